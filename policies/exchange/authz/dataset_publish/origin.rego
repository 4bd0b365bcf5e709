# May such data be traded at all, and about how many people is it? LIST-01 to 04.
package exchange.authz.dataset_publish

import data.exchange.classification

# Each with its proof: empty, and it is why the dataset is not listed.
origin := {
	# LIST-01: no flag of state secret, defence, security, foreign affairs or cipher (Law on Data 60/2024, art. 42(3)(a)).
	"LIST-01": [true |
		input.resource.properties.flags == []
	],
	# LIST-02: what is of personal origin is de-identified by more than a pseudonym or a cipher
	# (Decree 314/2026, art. 4(6); Decree 356/2025, art. 7(5); PDPL 91/2025, art. 12(1)).
	"LIST-02": [true | impersonal],
	# LIST-03: no column identifies a person directly (PDPL 91/2025, art. 7(6)).
	"LIST-03": [true |
		is_array(input.resource.properties.columns)
		input.resource.properties.columns[0]
		every column in input.resource.properties.columns {
			"" < column.name
			column.name < []
			column.sensitivity in classification.sensitivities
		}
	],
	# LIST-04: the number of people is stated; where it makes identifiable data important, its class says so, and core
	# data is never listed (Decision 20/2025).
	"LIST-04": [true |
		0 <= input.resource.properties.subject_count
		input.resource.properties.subject_count < ""
		"" < input.resource.properties.class
		input.resource.properties.class < []
		input.resource.properties.class != "cot_loi"
		classified
	],
}

impersonal if {
	input.resource.properties.personal_origin == false
	input.resource.properties.class in classification.impersonal
} else if deidentified

deidentified if {
	input.resource.properties.personal_origin in [false, true]
	input.resource.properties.deidentification in classification.deidentification
}

# The decision counts people whose data is personal; de-identified data is not (PDPL 91/2025, art. 2(1)).
classified if {
	input.resource.properties.subject_sensitive in [false, true]
	deidentified
} else if {
	input.resource.properties.subject_count < classification.subjects.important[kind]
} else if {
	input.resource.properties.class == "quan_trong"
	input.resource.properties.subject_count < classification.subjects.core[kind]
}

kind := "sensitive" if {
	input.resource.properties.subject_sensitive == true
} else := "basic" if {
	input.resource.properties.subject_sensitive == false
}
