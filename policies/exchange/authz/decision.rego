# May this be done? The one entry: `data.exchange.authz.decision`.
#
# Each action has a package with its `rules`: objects of a proof for each rule id. A proof is a list that holds `true` if
# the rule holds; where the rule is false, undefined or fed a wrong type, the list is empty, and the id is a reason to
# refuse. All of them are named at once, and nothing opens by accident.
package exchange.authz

# Without "policy" this can never be read as an answer, let alone as yes. It shows only if the bundle itself is broken.
default decision := {"allow": false, "reasons": ["policy_undefined"], "obligations": {}}

decision := {"allow": true, "reasons": [], "obligations": obligations, "policy": data.exchange.policy} if {
	count(unproved) == 0
} else := {"allow": false, "reasons": sort(unproved), "obligations": {}, "policy": data.exchange.policy} if {
	count(unproved) > 0
}

unproved := {rule |
	some proofs in rules
	some rule, proof in proofs
	proof == []
}

# An action that no package answers for is refused.
rules := data.exchange.authz.query_run.rules if {
	input.action.name == "query.run"
} else := data.exchange.authz.query_release.rules if {
	input.action.name == "query.release"
} else := data.exchange.authz.dataset_publish.rules if {
	input.action.name == "dataset.publish"
} else := data.exchange.authz.agreement_sign.rules if {
	input.action.name == "agreement.sign"
} else := data.exchange.authz.participant_admit.rules if {
	input.action.name == "participant.admit"
} else := data.exchange.authz.order_apply.rules if {
	input.action.name == "order.apply"
} else := [{"action_unknown": []}]

# The duties that come with a yes; undefined, they make it undefined.
obligations := data.exchange.authz.query_run.obligations if {
	input.action.name == "query.run"
} else := {"released": 1} if {
	input.action.name == "query.release"
} else := {"listed": 1} if {
	input.action.name == "dataset.publish"
} else := {"recorded": 1} if {
	input.action.name == "agreement.sign"
} else := {"admitted": 1} if {
	input.action.name == "participant.admit"
} else := {"applied": 1} if {
	input.action.name == "order.apply"
}
