# What must hold before an agreement is countersigned and recorded.
package exchange.authz.agreement_sign

import data.exchange.charter
import data.exchange.classification
import data.exchange.proof
import data.exchange.roles

# A name lost here would open something: a test holds this set against the documented one.
checks := {
	"CHARTER-04", "CHARTER-05", "CHARTER-07",
	"CONT-01", "CONT-02", "CONT-03", "CONT-05",
	"PART-01",
	"QRY-02", "QRY-05",
}

obligations := {"recorded": 1}

agreement := input.resource.properties

# CHARTER-04: the class of data is one that the charter admits (Law on Data 60/2024, art. 13(2)).
proved contains "CHARTER-04" if {
	proof.among(agreement.class, charter.data_classes)
}

# CHARTER-05: the price keeps the charter's cap on one transaction (model: FCA).
proved contains "CHARTER-05" if {
	proof.numbers([agreement.price_vnd])
	agreement.price_vnd >= 0
	agreement.price_vnd <= charter.caps.per_transaction_vnd
}

# CHARTER-07: the regulator only supervises; it neither sells nor buys (Decree 314/2026, art. 5(2)(c)).
proved contains "CHARTER-07" if {
	proof.filled(input.context.buyer_roles)
	proof.within(input.context.buyer_roles, roles.market)
	proof.filled(input.context.provider_roles)
	proof.within(input.context.provider_roles, roles.market)
}

# CONT-01: signed and verified, and signed by the dataset's own provider (Law on E-Transactions 20/2023).
proved contains "CONT-01" if {
	input.resource.type == "agreement"
	proof.text(input.resource.id)
	agreement.verified == true
	proof.text(agreement.provider)
	agreement.provider == agreement.dataset_provider
}

# CONT-02: it has a term that is not over, and is about the current version (Decree 314/2026, art. 8(2)).
proved contains "CONT-02" if {
	agreement.version_current == true
	proof.numbers([agreement.not_before_us, input.context.time_us, agreement.not_after_us])
	agreement.not_before_us < agreement.not_after_us
	input.context.time_us < agreement.not_after_us
}

# CONT-03: it names its purposes (Decree 314/2026, art. 8; PDPL 91/2025).
proved contains "CONT-03" if {
	proof.texts(agreement.purposes)
}

# CONT-05: the one who signs is its buyer, and nobody buys from oneself (Decree 314/2026, art. 8(2)).
proved contains "CONT-05" if {
	input.subject.type == "participant"
	proof.texts([agreement.buyer, agreement.provider])
	agreement.buyer == input.subject.id
	agreement.buyer != agreement.provider
}

# PART-01: a buyer and a provider, each admitted as such (Decree 314/2026, art. 18).
proved contains "PART-01" if {
	proof.among("buyer", input.context.buyer_roles)
	proof.among("provider", input.context.provider_roles)
}

# QRY-02: its release mode is one that this exchange performs (Decree 356/2025, art. 7(5)).
proved contains "QRY-02" if {
	proof.among(agreement.release, charter.release_modes)
}

# QRY-05: its smallest group is not below the charter's floor, and a class of personal origin keeps its unit
# (disclosure control).
proved contains "QRY-05" if {
	agreement.unit == null
	agreement.class in classification.unit_optional
	proof.numbers([agreement.min_group])
	agreement.min_group >= 1
}

proved contains "QRY-05" if {
	proof.text(agreement.unit)
	proof.numbers([agreement.min_group])
	agreement.min_group >= charter.privacy[classification.group_floor[agreement.class]]
}
