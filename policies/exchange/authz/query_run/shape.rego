# Is the SQL of a shape that cannot single anyone out? QRY-01, 03, 04, 09.
# Each with its proof: empty, and it is why the query is refused.
# A dataset without a privacy unit holds nobody's secrets and may be read row by row. One with a unit answers only
# aggregates over groups, and it stands alone: facts on aggregates name columns, not datasets, and a join could multiply
# a unit's rows.
package exchange.authz.query_run

import data.exchange.classification

# Each with its proof: empty, and it is why the query is refused.
shape := {
	# QRY-01: one SELECT of the allowed shape (zero extraction; Decree 314/2026).
	"QRY-01": [true |
		input.resource.type == "query"
		input.resource.properties.statement == "select"
		[input.resource.properties.shape, protected] in [["aggregate", []], ["free", []], ["aggregate", [0]]]
	],
	# QRY-03: over a unit, only the aggregates that do not return one row's value (privacy).
	"QRY-03": [true |
		is_array(input.resource.properties.aggregates)
		every place in protected {
			agreement := input.resource.properties.datasets[place].agreement
			every aggregate in input.resource.properties.aggregates {
				singles_out_nobody(aggregate, agreement)
			}
		}
	],
	# QRY-04: over a unit, groups and filters stand on declared dimensions only (privacy).
	"QRY-04": [true |
		every _ in protected {
			input.resource.properties.undeclared == []
		}
	],
	# QRY-09: the unit column is seen inside COUNT(DISTINCT …) only (PDPL 91/2025, art. 14(6)).
	"QRY-09": [true |
		every _ in protected {
			input.resource.properties.unit_exposed == false
		}
	],
}

singles_out_nobody(aggregate, agreement) if {
	aggregate.function == "count"
	[aggregate.column, aggregate.distinct] in [[null, false], [agreement.unit, true]]
} else if {
	aggregate.distinct == false
	aggregate.column != agreement.unit
	[aggregate.function, aggregate.column] in agreement.measures
	aggregate.function in classification.aggregates_over_units
}

# The places of the datasets with a unit: none, or the one dataset that there is. Both sides say that there is no unit,
# and the class allows it: one of personal origin cannot lose it in a contract. What is neither the one nor the other
# leaves this undefined, and proves nothing.
protected := [] if {
	input.resource.properties.datasets[0]
	every dataset in input.resource.properties.datasets {
		dataset.unit == null
		dataset.agreement.unit == null
		dataset.class in classification.unit_optional
	}
} else := [0] if {
	"" < input.resource.properties.datasets[0].unit
	input.resource.properties.datasets[0].unit < []
	input.resource.properties.datasets[0].unit == input.resource.properties.datasets[0].agreement.unit
	not input.resource.properties.datasets[1]
}
