# What must hold before an organisation is admitted.
#
# The two offices come before any charter, since they sign it: nothing but CHARTER-07 asks something of them.
package exchange.authz.participant_admit

import data.exchange.roles

rules := [admission]

# Each with its proof: empty, and it is why the organisation is not admitted.
admission := {
	# CHARTER-01: a signed charter is active and not over; one may join before its first day (Law 93/2025).
	"CHARTER-01": [true | pilot_runs],
	# CHARTER-02: the cohort has a place for each role, and the organisation is from one of its territories (Law 93/2025).
	"CHARTER-02": [true | has_a_place],
	# CHARTER-07: whoever supervises does nothing else (Decree 314/2026, art. 5(2)(c)).
	"CHARTER-07": [true | offices_apart],
	# PART-01: a verified legal entity with eID and payment account (Decree 314/2026, art. 18).
	"PART-01": [true | verified],
}

# An office, and nothing that trades.
office if {
	input.subject.type == "participant"
	"" < input.subject.id
	input.subject.id < []
	input.subject.properties.roles in [["operator"], ["regulator"]]
}

pilot_runs if office

pilot_runs if {
	input.context.charter.signed == true
	input.context.charter.state == "active"
	0 < input.context.time_us
	input.context.time_us < input.context.charter.end_us
	input.context.charter.end_us < ""
}

has_a_place if office

has_a_place if {
	"" < input.subject.properties.territory
	input.subject.properties.territory in input.context.charter.territories
	input.subject.properties.roles[0]
	every role in input.subject.properties.roles {
		place_for(role)
	}
}

place_for("operator") if true

place_for("provider") if {
	0 <= input.context.counts.providers
	input.context.counts.providers < input.context.charter.providers_max
	input.context.charter.providers_max < ""
}

place_for("buyer") if {
	0 <= input.context.counts.buyers
	input.context.counts.buyers < input.context.charter.buyers_max
	input.context.charter.buyers_max < ""
}

offices_apart if office

offices_apart if {
	input.subject.properties.roles[0]
	every role in input.subject.properties.roles {
		role in roles.market
	}
}

verified if office

verified if {
	input.subject.type == "participant"
	"" < input.subject.id
	input.subject.id < []
	input.subject.properties.entity_verified == true
	input.subject.properties.payment_account == true
	0 < input.context.charter.min_eid_level
	input.context.charter.min_eid_level <= input.subject.properties.eid_level
	input.subject.properties.eid_level < ""
}
