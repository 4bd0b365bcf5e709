# Is it covered by contracts? CONT-*.
package exchange.authz.query_run

# Each with its proof: empty, and it is why the query is refused.
contract := {
	# CONT-01: signed by provider, buyer and exchange, signatures verified (Law on E-Transactions 20/2023).
	"CONT-01": [true |
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			dataset.agreement.verified == true
			"" < dataset.agreement.id
			dataset.agreement.id < []
			dataset.agreement.provider != dataset.agreement.buyer
			dataset.agreement.provider in dataset.agreement.signed_by
			dataset.agreement.buyer in dataset.agreement.signed_by
		}
	],
	# CONT-02: in force at this instant, and about this very version or about one that took its place unchanged
	# (Decree 314/2026, art. 8(2)).
	"CONT-02": [true |
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			dataset.agreement.state == "in_force"
			0 < dataset.agreement.not_before_us
			dataset.agreement.not_before_us <= input.context.time_us
			input.context.time_us < dataset.agreement.not_after_us
			dataset.agreement.not_after_us < ""
			"" < dataset.version
			dataset.version < []
			about(dataset)
		}
	],
	# CONT-03: a purpose is stated and every contract names it (Decree 314/2026, art. 8; PDPL 91/2025).
	"CONT-03": [true |
		"" < input.context.purpose
		input.context.purpose < []
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			input.context.purpose in dataset.agreement.purposes
		}
	],
	# CONT-04: the caller's country is in every contract's territory (Decree 94/2025; PDPL 91/2025, art. 20).
	"CONT-04": [true |
		"" < input.context.country
		input.context.country < []
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			input.context.country in dataset.agreement.territories
		}
	],
	# CONT-05: the caller is every contract's buyer, and may receive results; no resale (Decree 314/2026, art. 8(2)).
	"CONT-05": [true |
		"" < input.subject.id
		input.subject.id < []
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			dataset.agreement.buyer == input.subject.id
			input.subject.id in dataset.agreement.receivers
		}
	],
	# CONT-06: columns, dimensions, functions, comparisons and joins are among those granted (the contract itself).
	"CONT-06": [true |
		is_array(input.resource.properties.scalar_functions)
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			"" < dataset.id
			dataset.id < []
			is_array(dataset.columns)
			is_array(dataset.dimensions)
			is_array(dataset.outputs)
			is_array(dataset.literals)
			is_array(dataset.matched)
			is_array(dataset.agreement.hidden)
			dataset.agreement.columns[0]
			every column in dataset.columns {
				column in dataset.agreement.columns
			}
			every dimension in dataset.dimensions {
				dimension in dataset.agreement.dimensions
			}
			every function in input.resource.properties.scalar_functions {
				function in dataset.agreement.scalar_functions
			}
			every column in dataset.outputs {
				not column in dataset.agreement.hidden
			}
			every column in dataset.literals {
				column in dataset.agreement.literals
			}
			every column in dataset.matched {
				column in dataset.agreement.matched
			}
			[input.resource.properties.expressions, dataset.agreement.any_expression] in [[false, false], [false, true], [true, true]]
			joined_as_granted(dataset)
		}
	],
}

about(dataset) if {
	dataset.agreement.follows in [false, true]
	dataset.agreement.version == dataset.version
} else if {
	dataset.agreement.follows == true
	dataset.version_kept == true
}

joined_as_granted(dataset) if {
	dataset.agreement.join_condition == "not_required"
	is_array(input.resource.properties.joins)
} else if {
	dataset.agreement.join_condition == "blocked"
	input.resource.properties.joins == []
	not input.resource.properties.datasets[1]
} else if {
	dataset.agreement.join_condition == "any"
	input.resource.properties.joins[0]
	column := dataset.agreement.join_columns[_]
	column in dataset.matched
} else if {
	dataset.agreement.join_condition == "all"
	input.resource.properties.joins[0]
	dataset.agreement.join_columns[0]
	every column in dataset.agreement.join_columns {
		column in dataset.matched
	}
}
