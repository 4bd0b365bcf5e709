# Rules that several actions have in common, each with its proof.
package exchange.authz.common

import data.exchange.performed

# For whatever is done in the pilot.
in_force := {
	# CHARTER-01: now is in the window of a signed and active charter (Law 93/2025; Decree 94/2025).
	"CHARTER-01": [true |
		input.context.charter.signed == true
		input.context.charter.state == "active"
		0 < input.context.charter.start_us
		input.context.charter.start_us <= input.context.time_us
		input.context.time_us < input.context.charter.end_us
		input.context.charter.end_us < ""
	],
	# CHARTER-06: nothing of what is asked about is suspended (Decree 314/2026, art. 7(8)(d)).
	"CHARTER-06": [true |
		input.context.suspensions == []
	],
}

# For whoever acts in it.
membership := {
	# CHARTER-02: the caller was admitted, and is from a territory of the cohort (Law 93/2025).
	"CHARTER-02": [true |
		input.subject.type == "participant"
		"" < input.subject.id
		input.subject.id < []
		"" < input.subject.properties.territory
		input.subject.properties.territory in input.context.charter.territories
	],
	# CHARTER-07: operator and supervisor are two, and the caller is not the supervisor (Decree 314/2026, art. 5(2)(c)).
	"CHARTER-07": [true |
		"" < input.context.charter.regulator
		input.context.charter.regulator < []
		"" < input.context.charter.operator
		input.context.charter.operator < []
		"" < input.subject.id
		input.subject.id < []
		input.context.charter.regulator != input.context.charter.operator
		input.context.charter.regulator != input.subject.id
	],
	# PART-02: signed in by several factors, or by a key of one's own (Decree 356/2025, art. 9(3)).
	"PART-02": [true | strongly_identified],
}

# For whatever runs and leaves.
operation := {
	# INC-01: no incident about it is open (PDPL 91/2025, art. 23).
	"INC-01": [true |
		input.context.incidents == []
	],
	# LOG-01: the log takes entries, and keeps them for six months at the least (Decree 165/2025, art. 17(10);
	# Decree 363/2026, art. 22).
	"LOG-01": [true |
		input.context.log.healthy == true
		performed.log_days_min <= input.context.log.kept_days
		input.context.log.kept_days < ""
	],
	# XBR-01: here, and by one of here (Decree 165/2025; PDPL 91/2025, art. 20).
	"XBR-01": [true | stays_in_the_country],
}

strongly_identified if {
	input.context.charter.signed_requests == false
	"mfa" in input.context.amr
} else if {
	# where the charter wants signed requests, nothing but such a key will do
	input.context.charter.signed_requests in [false, true]
	"pop" in input.context.amr
}

stays_in_the_country if {
	input.context.country == performed.home
	input.context.country == input.subject.properties.territory
} else if {
	# abroad, under a dossier, where the charter permits it
	input.context.charter.cross_border == true
	"" < input.context.dossier
	input.context.dossier < []
	"" < input.context.country
	input.context.country in input.context.charter.territories
	input.subject.properties.territory in input.context.charter.territories
}
