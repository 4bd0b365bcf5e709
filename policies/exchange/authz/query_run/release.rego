# May the answer leave, and how much of it? QRY-02, 05, 07, CHARTER-05, XBR-01.
package exchange.authz.query_run

import data.exchange.charter
import data.exchange.classification
import data.exchange.proof

# QRY-02: the contract's release mode is one that this exchange performs (Decree 356/2025, art. 7(5)).
proved contains "QRY-02" if {
	proof.filled(datasets)
	every dataset in datasets {
		proof.among(dataset.agreement.release, charter.release_modes)
	}
}

# QRY-05: the contract's smallest group is not below the charter's floor (disclosure control). Whether each group of
# the result reaches it is seen to at release.
proved contains "QRY-05" if {
	proof.filled(datasets)
	every dataset in datasets {
		group_large_enough(dataset)
	}
}

group_large_enough(dataset) if {
	without_unit(dataset)
	proof.numbers([dataset.agreement.min_group])
	dataset.agreement.min_group >= 1
}

group_large_enough(dataset) if {
	with_unit(dataset)
	proof.numbers([dataset.agreement.min_group])
	dataset.agreement.min_group >= charter.privacy[classification.group_floor[dataset.class]]
}

# QRY-07: the limits of the house and of every contract are known (safety).
proved contains "QRY-07" if {
	proof.numbers([input.context.limits.max_rows, input.context.limits.max_bytes])
	input.context.limits.max_rows > 0
	input.context.limits.max_bytes > 0
	proof.filled(datasets)
	every dataset in datasets {
		proof.numbers([dataset.agreement.max_rows])
		dataset.agreement.max_rows > 0
	}
}

# CHARTER-05: the price keeps the charter's cap on one transaction (model: FCA). Rows and bytes keep theirs by the
# obligations; caps of the day need sums that no question carries.
proved contains "CHARTER-05" if {
	proof.numbers([query.price_vnd])
	query.price_vnd <= charter.caps.per_transaction_vnd
}

# XBR-01: nothing leaves the country; the charter permits no transfer (Decree 165/2025; PDPL 91/2025, art. 20).
proved contains "XBR-01" if {
	input.context.country == charter.home
	input.subject.properties.territory == charter.home
}
