# Who may order what: to stop, one is enough; to start again, it takes the supervisor and the operator.
package exchange.authz.order_apply

import data.exchange.roles

rules := [orders]

# Each with its proof: empty, and it is why the order is not carried out.
orders := {
	# CHARTER-06: whoever signed may give such an order about such a thing (Decree 314/2026, art. 7(8)(d)).
	"CHARTER-06": [true |
		input.resource.type == "order"
		"" < input.resource.id
		input.resource.id < []
		some signer in signers
		signer.id == input.subject.id
		authority
	],
	# CHARTER-07: nobody signs for both offices, and what takes both is signed by two (Decree 314/2026, art. 5(2)(c)).
	"CHARTER-07": [true |
		count(signers) > 0
		every signer in signers {
			"" < signer.id
			signer.id < []
			signer.roles[0]
			not both(signer)
		}
	],
}

# The signers as they came in: each a participant with its roles.
signers := [signer |
	is_array(input.context.signers)
	signer := input.context.signers[_]
]

both(signer) if {
	"regulator" in signer.roles
	count(signer.roles) > 1
}

# Stop trading, wholly or in part, or say that something happened: an office, about anything.
authority if {
	input.resource.properties.act in ["open_incident", "suspend"]
	input.resource.properties.kind in ["agreement", "dataset", "market", "participant", "query"]
	signed_by_office
}

# Or whoever's own affair it is.
authority if {
	input.resource.properties.act in ["open_incident", "suspend"]
	input.resource.properties.kind in ["agreement", "dataset", "participant", "query"]
	signed_by_party
}

# End a contract for good: an office, or both of its parties.
authority if {
	input.resource.properties.act == "terminate"
	input.resource.properties.kind == "agreement"
	signed_by_office
}

authority if {
	input.resource.properties.act == "terminate"
	input.resource.properties.kind == "agreement"
	is_array(input.resource.properties.parties)
	count(input.resource.properties.parties) == 2
	every party in input.resource.properties.parties {
		some signer in signers
		signer.id == party
	}
}

# Start again: supervisor and operator together, and they say which order it ends.
authority if {
	input.resource.properties.act in ["close_incident", "resume"]
	"" < input.resource.properties.ends
	input.resource.properties.ends < []
	some supervisor in signers
	"regulator" in supervisor.roles
	some operator in signers
	"operator" in operator.roles
	supervisor.id != operator.id
}

signed_by_office if {
	some signer in signers
	some role in roles.oversight
	role in signer.roles
}

signed_by_party if {
	some signer in signers
	signer.id in input.resource.properties.parties
}
