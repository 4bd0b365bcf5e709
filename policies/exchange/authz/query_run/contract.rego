# Is it covered by contracts? CONT-*.
package exchange.authz.query_run

import data.exchange.proof

# CONT-01: signed by provider, buyer and exchange, signatures verified (Law on E-Transactions 20/2023).
proved contains "CONT-01" if {
	proof.filled(datasets)
	every dataset in datasets {
		signed(dataset.agreement)
	}
}

signed(agreement) if {
	agreement.verified == true
	proof.texts([agreement.id, agreement.provider, agreement.buyer])
	agreement.provider != agreement.buyer
}

# CONT-02: in force at this instant, and about this very version (Decree 314/2026, art. 8(2)).
proved contains "CONT-02" if {
	proof.filled(datasets)
	every dataset in datasets {
		in_force(dataset)
	}
}

in_force(dataset) if {
	dataset.agreement.state == "in_force"
	proof.numbers([dataset.agreement.not_before_us, input.context.time_us, dataset.agreement.not_after_us])
	dataset.agreement.not_before_us <= input.context.time_us
	input.context.time_us < dataset.agreement.not_after_us
	proof.text(dataset.version)
	dataset.agreement.version == dataset.version
}

# CONT-03: a purpose is stated and every contract names it (Decree 314/2026, art. 8; PDPL 91/2025).
proved contains "CONT-03" if {
	proof.filled(datasets)
	every dataset in datasets {
		proof.among(input.context.purpose, dataset.agreement.purposes)
	}
}

# CONT-04: the caller's country is in every contract's territory (Decree 94/2025; PDPL 91/2025, art. 20).
proved contains "CONT-04" if {
	proof.filled(datasets)
	every dataset in datasets {
		proof.among(input.context.country, dataset.agreement.territories)
	}
}

# CONT-05: the caller is every contract's buyer, and may receive results; no resale (Decree 314/2026, art. 8(2)).
proved contains "CONT-05" if {
	proof.filled(datasets)
	every dataset in datasets {
		dataset.agreement.buyer == input.subject.id
		proof.among(input.subject.id, dataset.agreement.receivers)
	}
}

# CONT-06: the columns and dimensions used are among those granted (the contract itself).
proved contains "CONT-06" if {
	proof.filled(datasets)
	every dataset in datasets {
		proof.text(dataset.id)
		proof.within(dataset.columns, dataset.agreement.columns)
		dimensions_granted(dataset)
	}
}

dimensions_granted(dataset) if {
	dataset.dimensions == []
}

dimensions_granted(dataset) if {
	proof.within(dataset.dimensions, dataset.agreement.dimensions)
}
