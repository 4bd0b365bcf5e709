# What must hold before a dataset version is listed.
package exchange.authz.dataset_publish

import data.exchange.charter
import data.exchange.classification
import data.exchange.proof
import data.exchange.roles

# A name lost here would open something: a test holds this set against the documented one.
checks := {
	"CHARTER-03", "CHARTER-04", "CHARTER-07",
	"LIST-02", "LIST-03", "LIST-05", "LIST-08",
	"PART-01",
	"QRY-05",
}

obligations := {"listed": 1}

dataset := input.resource.properties

# CHARTER-03: the sector takes part in the pilot (Decree 314/2026, art. 8(1)).
proved contains "CHARTER-03" if {
	proof.among(dataset.sector, charter.sectors)
}

# CHARTER-04: the class of data is one that the charter admits; core data never is (Law on Data 60/2024, art. 13(2)).
proved contains "CHARTER-04" if {
	proof.among(dataset.class, charter.data_classes)
}

# CHARTER-07: the regulator only supervises; it offers nothing (Decree 314/2026, art. 5(2)(c)).
proved contains "CHARTER-07" if {
	proof.filled(input.subject.properties.roles)
	proof.within(input.subject.properties.roles, roles.market)
}

# PART-01: an organisation admitted as a provider (Decree 314/2026, art. 18).
proved contains "PART-01" if {
	input.subject.type == "participant"
	proof.text(input.subject.id)
	proof.among("provider", input.subject.properties.roles)
}

# LIST-02: data of personal origin is de-identified by a method that is more than a pseudonym or a cipher
# (Decree 314/2026, art. 4(6); Decree 356/2025, art. 7(5); PDPL 91/2025, art. 12(1)).
proved contains "LIST-02" if {
	dataset.personal_origin == false
	dataset.class in classification.impersonal
}

proved contains "LIST-02" if {
	is_boolean(dataset.personal_origin)
	proof.among(dataset.deidentification, classification.deidentification)
}

# LIST-03: no column identifies a person directly (PDPL 91/2025, art. 7(6)).
proved contains "LIST-03" if {
	proof.filled(dataset.columns)
	every column in dataset.columns {
		proof.text(column.name)
		proof.among(column.sensitivity, classification.sensitivities)
	}
}

# LIST-05: the offer says what it is, in both languages, and how often it is renewed (Decree 314/2026, art. 8(2), 17).
proved contains "LIST-05" if {
	input.resource.type == "dataset"
	proof.text(input.resource.id)
	proof.among("vi", dataset.titles)
	proof.among("en", dataset.titles)
	proof.text(dataset.update_frequency)
}

# LIST-08: every file is the one that the provider signed for (Decree 314/2026, art. 4(5), 17).
proved contains "LIST-08" if {
	dataset.signed_by_provider == true
	proof.filled(dataset.files)
	every file in dataset.files {
		proof.text(file.declared)
		file.declared == file.actual
	}
}

# QRY-05: the privacy unit and its smallest group are declared wherever someone could be singled out
# (disclosure control).
proved contains "QRY-05" if {
	dataset.unit == null
	dataset.class in classification.unit_optional
	proof.filled(dataset.columns)
	every column in dataset.columns {
		proof.among(column.sensitivity, classification.sensitivities_without_unit)
	}
}

proved contains "QRY-05" if {
	proof.filled(dataset.columns)
	some column in dataset.columns
	column.sensitivity == "P"
	column.name == dataset.unit
	proof.numbers([dataset.min_group])
	dataset.min_group >= charter.privacy[classification.group_floor[dataset.class]]
}
