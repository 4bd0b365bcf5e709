# Who asks, about what class of data, and is it paid and on record? PART-01, REG-01, CHARTER-04, PAY-01, LOG-01.
package exchange.authz.query_run

import data.exchange.charter
import data.exchange.proof
import data.exchange.roles

# PART-01: an organisation admitted as a buyer (Decree 314/2026, art. 18). Admission itself verifies legal entity, eID
# and payment account; what reaches a question is the role it gave.
proved contains "PART-01" if {
	input.subject.type == "participant"
	proof.text(input.subject.id)
	proof.among("buyer", input.subject.properties.roles)
}

# REG-01: the regulator reads log, proofs and reports, never rows (Decree 314/2026, art. 5(2)(c)).
proved contains "REG-01" if {
	proof.within(input.subject.properties.roles, roles.market)
	proof.filled(input.subject.properties.roles)
}

# CHARTER-04: every class of data is one that the charter admits (Law on Data 60/2024, art. 13(2); Decree 363/2026, art. 9).
proved contains "CHARTER-04" if {
	proof.filled(datasets)
	every dataset in datasets {
		proof.among(dataset.class, charter.data_classes)
	}
}

# PAY-01: the prepaid balance covers the price (Decree 314/2026, art. 6).
proved contains "PAY-01" if {
	proof.numbers([query.price_vnd, input.context.balance_vnd])
	query.price_vnd >= 0
	query.price_vnd <= input.context.balance_vnd
}

# LOG-01: the log is healthy (Decree 165/2025, art. 17(10); Decree 363/2026, art. 22).
proved contains "LOG-01" if {
	input.context.log_healthy == true
}
