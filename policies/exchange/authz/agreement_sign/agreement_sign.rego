# What must hold before an agreement is countersigned and recorded.
package exchange.authz.agreement_sign

import data.exchange.classification
import data.exchange.performed
import data.exchange.roles

rules := [data.exchange.authz.common.in_force, data.exchange.authz.common.membership, parties, subject_matter, terms]

# Who agrees? Each with its proof: empty, and it is why the agreement is not made.
parties := {
	# CHARTER-07: supervisors neither buy nor sell (Decree 314/2026, art. 5(2)(c)). That the offices are two, and the
	# buyer none of them, is asked of every member besides.
	"CHARTER-07": [true |
		every participant in [input.subject, input.context.provider] {
			participant.properties.roles[0]
			every role in participant.properties.roles {
				role in roles.market
			}
		}
		input.context.provider.id != input.context.charter.regulator
	],
	# CONT-01: signed and verified, and signed by the dataset's own provider (Law on E-Transactions 20/2023).
	"CONT-01": [true |
		input.resource.type == "agreement"
		"" < input.resource.id
		input.resource.id < []
		input.resource.properties.verified == true
		"" < input.resource.properties.provider
		input.resource.properties.provider < []
		input.resource.properties.provider == input.resource.properties.dataset_provider
		input.resource.properties.provider == input.context.provider.id
		input.resource.properties.provider in input.resource.properties.signed_by
		input.resource.properties.buyer in input.resource.properties.signed_by
	],
	# CONT-05: the one who signs is its buyer, and nobody buys from oneself (Decree 314/2026, art. 8(2)).
	"CONT-05": [true |
		input.subject.type == "participant"
		"" < input.subject.id
		input.subject.id < []
		input.resource.properties.buyer == input.subject.id
		"" < input.resource.properties.provider
		input.resource.properties.buyer != input.resource.properties.provider
	],
	# PART-01: two verified legal entities with eID and payment account, a buyer and a provider
	# (Decree 314/2026, art. 18).
	"PART-01": [true |
		"buyer" in input.subject.properties.roles
		"provider" in input.context.provider.properties.roles
		every participant in [input.subject, input.context.provider] {
			participant.type == "participant"
			participant.properties.entity_verified == true
			participant.properties.payment_account == true
			0 < input.context.charter.min_eid_level
			input.context.charter.min_eid_level <= participant.properties.eid_level
			participant.properties.eid_level < ""
		}
	],
}

# About what?
subject_matter := {
	# CHARTER-03: the dataset's sector takes part in the pilot (Decree 314/2026, art. 8(1)).
	"CHARTER-03": [true |
		"" < input.resource.properties.sector
		input.resource.properties.sector in input.context.charter.sectors
	],
	# CHARTER-04: the class of data is one that the charter admits (Law on Data 60/2024, art. 13(2)).
	"CHARTER-04": [true |
		"" < input.resource.properties.class
		input.resource.properties.class in input.context.charter.data_classes
	],
	# LIST-02: what is of personal origin is de-identified (Decree 314/2026, art. 4(6); Decree 356/2025, art. 7(5)).
	"LIST-02": [true | impersonal],
}

impersonal if {
	input.resource.properties.personal_origin == false
	input.resource.properties.class in classification.impersonal
} else if {
	input.resource.properties.personal_origin in [false, true]
	input.resource.properties.deidentification in classification.deidentification
}

# On which terms?
terms := {
	# CHARTER-05: the price keeps the charter's cap on one transaction (model: FCA).
	"CHARTER-05": [true |
		0 <= input.resource.properties.price_vnd
		input.resource.properties.price_vnd <= input.context.charter.caps.per_transaction_vnd
		input.context.charter.caps.per_transaction_vnd < ""
	],
	# CONT-02: it has a term that is not over, and is about the current version (Decree 314/2026, art. 8(2)).
	"CONT-02": [true |
		input.resource.properties.version_current == true
		0 < input.resource.properties.not_before_us
		input.resource.properties.not_before_us < input.resource.properties.not_after_us
		0 < input.context.time_us
		input.context.time_us < input.resource.properties.not_after_us
		input.resource.properties.not_after_us < ""
	],
	# CONT-03: it names its purposes (Decree 314/2026, art. 8; PDPL 91/2025).
	"CONT-03": [true |
		is_array(input.resource.properties.purposes)
		input.resource.properties.purposes[0]
		every purpose in input.resource.properties.purposes {
			"" < purpose
			purpose < []
		}
	],
	# QRY-02: its release mode is one that the charter admits and this exchange performs (Decree 356/2025, art. 7(5)).
	"QRY-02": [true |
		input.resource.properties.release in input.context.charter.release_modes
		input.resource.properties.release in performed.release_modes
	],
	# QRY-05: its smallest group is below neither the charter's floor nor the dataset's own, and it names the dataset's
	# unit (disclosure control).
	"QRY-05": [true | protected],
	# XBR-01: its territory is no wider than the charter's (Decree 165/2025; PDPL 91/2025, art. 20).
	"XBR-01": [true |
		is_array(input.resource.properties.territories)
		input.resource.properties.territories[0]
		every territory in input.resource.properties.territories {
			territory in input.context.charter.territories
		}
	],
}

protected if {
	input.resource.properties.unit == null
	input.resource.properties.dataset_unit == null
	input.resource.properties.class in classification.unit_optional
	1 <= input.resource.properties.min_group
	input.resource.properties.min_group < ""
} else if {
	"" < input.resource.properties.unit
	input.resource.properties.unit < []
	input.resource.properties.unit == input.resource.properties.dataset_unit
	floor := input.context.charter.privacy[classification.group_floor[input.resource.properties.class]]
	0 < floor
	floor <= input.resource.properties.min_group
	0 < input.resource.properties.dataset_min_group
	input.resource.properties.dataset_min_group <= input.resource.properties.min_group
	input.resource.properties.min_group < ""
}
