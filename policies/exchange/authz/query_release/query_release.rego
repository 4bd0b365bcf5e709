# What must hold once a query has run, before it is settled and its result leaves.
package exchange.authz.query_release

import data.exchange.classification

rules := [data.exchange.authz.common.in_force, data.exchange.authz.common.operation, contract, result]

# Still covered? Time went by while it ran. Each with its proof: empty, and it is why the result is withheld.
contract := {
	# CONT-02: each contract is in force at this instant, too (Decree 314/2026, art. 8(2)).
	"CONT-02": [true |
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			dataset.agreement.state == "in_force"
			0 < dataset.agreement.not_before_us
			dataset.agreement.not_before_us <= input.context.time_us
			input.context.time_us < dataset.agreement.not_after_us
			dataset.agreement.not_after_us < ""
		}
	],
	# CONT-04: the receiver's country is in every contract's territory (Decree 94/2025; PDPL 91/2025, art. 20).
	"CONT-04": [true |
		"" < input.context.country
		input.context.country < []
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			input.context.country in dataset.agreement.territories
		}
	],
	# LIST-08: what was read are extracts of the signed version, named by their digests (Decree 314/2026, art. 4(5), 17).
	"LIST-08": [true |
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			"" < dataset.version
			dataset.version < []
			"" < dataset.extract
			dataset.extract < []
		}
	],
	# LOG-01: the entry that authorised the run is durable (Decree 165/2025, art. 17(10); Decree 363/2026, art. 22).
	"LOG-01": [true |
		"" < input.context.log.authorized
		input.context.log.authorized < []
	],
}

# How much is it, and of how many?
result := {
	# CHARTER-05: price, rows and bytes keep the charter's caps (model: FCA).
	"CHARTER-05": [true |
		0 <= input.resource.properties.price_vnd
		input.resource.properties.price_vnd <= input.context.charter.caps.per_transaction_vnd
		input.context.charter.caps.per_transaction_vnd < ""
		0 <= input.resource.properties.rows_out
		input.resource.properties.rows_out <= input.context.charter.caps.per_query_rows_out
		input.context.charter.caps.per_query_rows_out < ""
		0 <= input.resource.properties.bytes_out
		input.resource.properties.bytes_out <= input.context.charter.caps.per_query_bytes_out
		input.context.charter.caps.per_query_bytes_out < ""
	],
	# QRY-05: every group was held against the contracts' smallest, and that against the charter's floor (disclosure
	# control).
	"QRY-05": [true |
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			1 <= dataset.agreement.min_group
			dataset.agreement.min_group <= input.resource.properties.min_group
			input.resource.properties.min_group < ""
			counted(dataset)
		}
	],
	# QRY-07: rows and bytes keep the limits of the house and of every contract (safety).
	"QRY-07": [true |
		0 <= input.resource.properties.rows_out
		input.resource.properties.rows_out <= input.context.limits.max_rows
		input.context.limits.max_rows < ""
		0 <= input.resource.properties.bytes_out
		input.resource.properties.bytes_out <= input.context.limits.max_bytes
		input.context.limits.max_bytes < ""
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			input.resource.properties.rows_out <= dataset.agreement.max_rows
			dataset.agreement.max_rows < ""
		}
	],
}

# Nobody's secrets, or the units behind each group were counted.
counted(dataset) if {
	dataset.unit == null
	dataset.agreement.unit == null
	dataset.class in classification.unit_optional
} else if {
	"" < dataset.unit
	dataset.unit < []
	dataset.agreement.unit == dataset.unit
	0 < input.resource.properties.guards
	input.resource.properties.guards < ""
	floor := input.context.charter.privacy[classification.group_floor[dataset.class]]
	0 < floor
	floor <= input.resource.properties.min_group
}
