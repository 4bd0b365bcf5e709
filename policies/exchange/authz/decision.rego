# May this be done? The one entry: `data.exchange.authz.decision`.
#
# Each action has a package with the rules that must hold (`checks`) and those that do (`proved`). What is not proved is
# the refusal, by rule id, all of them at once. A rule that is false, undefined or fed a wrong type is not proved, so
# nothing opens by accident.
package exchange.authz

# Without "policy" this can never be read as an answer, let alone as yes. It shows only if the bundle itself is broken.
default decision := {"allow": false, "reasons": ["policy_undefined"], "obligations": {}}

decision := {"allow": true, "reasons": [], "obligations": obligations, "policy": data.exchange.policy} if {
	count(unproved) == 0
}

decision := {"allow": false, "reasons": sort(unproved), "obligations": {}, "policy": data.exchange.policy} if {
	count(unproved) > 0
}

# An action that no package answers for is refused. The two rules change together: an obligation that is undefined
# makes the yes undefined.
unproved := data.exchange.authz.query_run.checks - data.exchange.authz.query_run.proved if {
	input.action.name == "query.run"
} else := data.exchange.authz.dataset_publish.checks - data.exchange.authz.dataset_publish.proved if {
	input.action.name == "dataset.publish"
} else := data.exchange.authz.agreement_sign.checks - data.exchange.authz.agreement_sign.proved if {
	input.action.name == "agreement.sign"
} else := {"action_unknown"}

obligations := data.exchange.authz.query_run.obligations if {
	input.action.name == "query.run"
} else := data.exchange.authz.dataset_publish.obligations if {
	input.action.name == "dataset.publish"
} else := data.exchange.authz.agreement_sign.obligations if {
	input.action.name == "agreement.sign"
}
