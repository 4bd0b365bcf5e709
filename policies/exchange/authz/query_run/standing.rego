# Is the buyer one who may buy, and the data such as may be traded? PART-01, CHARTER-03 and 04, LIST-02 and 08.
package exchange.authz.query_run

import data.exchange.classification
import data.exchange.roles

# Each with its proof: empty, and it is why the query is refused.
standing := {
	# PART-01: a verified legal entity with eID and payment account, admitted as a buyer (Decree 314/2026, art. 18).
	"PART-01": [true |
		input.subject.type == "participant"
		"buyer" in input.subject.properties.roles
		input.subject.properties.entity_verified == true
		input.subject.properties.payment_account == true
		0 < input.context.charter.min_eid_level
		input.context.charter.min_eid_level <= input.subject.properties.eid_level
		input.subject.properties.eid_level < ""
	],
	# REG-01: whoever supervises reads log, proofs and reports, never rows; no role beside it lifts that
	# (Decree 314/2026, art. 5(2)(c)).
	"REG-01": [true |
		input.subject.properties.roles[0]
		every role in input.subject.properties.roles {
			role in roles.market
		}
	],
	# CHARTER-03: every dataset's sector takes part in the pilot (Decree 314/2026, art. 8(1)).
	"CHARTER-03": [true |
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			"" < dataset.sector
			dataset.sector in input.context.charter.sectors
		}
	],
	# CHARTER-04: every class of data is one that the charter admits (Law on Data 60/2024, art. 13(2); Decree 363/2026, art. 9).
	"CHARTER-04": [true |
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			"" < dataset.class
			dataset.class in input.context.charter.data_classes
		}
	],
	# LIST-02: what is of personal origin is de-identified by more than a pseudonym or a cipher
	# (Decree 314/2026, art. 4(6); Decree 356/2025, art. 7(5); PDPL 91/2025, art. 12(1)).
	"LIST-02": [true |
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			impersonal(dataset)
		}
	],
	# LIST-08: every version read is the one that its provider signed for (Decree 314/2026, art. 4(5), 17).
	"LIST-08": [true |
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			dataset.manifest_verified == true
		}
	],
}

impersonal(dataset) if {
	dataset.personal_origin == false
	dataset.class in classification.impersonal
} else if {
	dataset.personal_origin in [false, true]
	dataset.deidentification in classification.deidentification
}
