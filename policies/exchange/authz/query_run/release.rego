# May an answer leave in this way, and how much of it? QRY-02, 05 to 08.
package exchange.authz.query_run

import data.exchange.classification
import data.exchange.performed

# Each with its proof: empty, and it is why the query is refused.
release := {
	# QRY-02: the contract's release mode is one that the charter admits and this exchange performs
	# (Decree 356/2025, art. 7(5)).
	"QRY-02": [true |
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			dataset.agreement.release in input.context.charter.release_modes
			dataset.agreement.release in performed.release_modes
		}
	],
	# QRY-05: the contract's smallest group is not below the charter's floor (disclosure control). Whether each group of
	# the result reaches it is seen to at release.
	"QRY-05": [true |
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			1 <= dataset.agreement.min_group
			dataset.agreement.min_group < ""
		}
		every place in protected {
			dataset := input.resource.properties.datasets[place]
			floor := input.context.charter.privacy[classification.group_floor[dataset.class]]
			0 < floor
			floor <= dataset.agreement.min_group
		}
	],
	# QRY-06: what it spends of a privacy budget is left in the contract and in the dataset (differential privacy). Only
	# the mode `dp` spends.
	"QRY-06": [true |
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			within_privacy_budget(dataset)
		}
	],
	# QRY-07: the limits of the house and of every contract are known (safety).
	"QRY-07": [true |
		0 < input.context.limits.max_rows
		input.context.limits.max_rows < ""
		0 < input.context.limits.max_bytes
		input.context.limits.max_bytes < ""
		0 < input.context.limits.seconds
		input.context.limits.seconds < ""
		0 < input.context.limits.memory_mb
		input.context.limits.memory_mb < ""
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			0 < dataset.agreement.max_rows
			dataset.agreement.max_rows < ""
		}
	],
	# QRY-08: under the mode `template`, the query is one that the contract approved by its digest (the pilot's procedure).
	# No other mode asks for a template.
	"QRY-08": [true |
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			approved(dataset.agreement)
		}
	],
}

within_privacy_budget(dataset) if {
	"" < dataset.agreement.release
	dataset.agreement.release < []
	dataset.agreement.release != "dp"
	dataset.nano_rho.query == 0
} else if {
	dataset.agreement.release == "dp"
	0 < dataset.nano_rho.query
	dataset.nano_rho.query <= dataset.agreement.dp.nano_rho_query
	dataset.agreement.dp.nano_rho_query < ""
	0 <= dataset.nano_rho.contract_spent
	dataset.nano_rho.contract_spent < ""
	0 <= dataset.nano_rho.dataset_spent
	dataset.nano_rho.dataset_spent < ""
	dataset.agreement.dp.nano_rho_total < ""
	input.context.charter.privacy.nano_rho_contract < ""
	input.context.charter.privacy.nano_rho_dataset < ""
	dataset.nano_rho.contract_spent + dataset.nano_rho.query <= dataset.agreement.dp.nano_rho_total
	dataset.nano_rho.contract_spent + dataset.nano_rho.query <= input.context.charter.privacy.nano_rho_contract
	dataset.nano_rho.dataset_spent + dataset.nano_rho.query <= input.context.charter.privacy.nano_rho_dataset
}

approved(agreement) if {
	"" < agreement.release
	agreement.release < []
	agreement.release != "template"
} else if {
	agreement.release == "template"
	"" < input.resource.properties.fingerprint
	input.resource.properties.fingerprint in agreement.templates
}
