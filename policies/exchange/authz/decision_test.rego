package exchange.authz_test

# Changes to a question, for json.patch.
set(path, value) := {"op": "replace", "path": path, "value": value}

gone(path) := {"op": "remove", "path": path}

refusal(reasons) := {"allow": false, "reasons": reasons, "obligations": {}, "policy": data.exchange.policy}

test_nothing_asked_is_refused_by_this_bundle if {
	data.exchange.authz.decision == refusal(["action_unknown"]) with input as {}
}

test_an_unknown_action_is_refused if {
	every name in ["query.runs", "QUERY.RUN", "", null, 5, ["query.run"], {"query.run": true}] {
		data.exchange.authz.decision == refusal(["action_unknown"]) with input as {"action": {"name": name}}
	}
}

test_an_input_that_is_no_object_is_refused if {
	every value in [null, true, 5, "query.run", [], ["query.run"]] {
		data.exchange.authz.decision == refusal(["action_unknown"]) with input as value
	}
}

test_a_known_action_without_facts_names_every_rule if {
	every name, rules in {
		"query.run": data.exchange.authz.query_run.rules,
		"query.release": data.exchange.authz.query_release.rules,
		"dataset.publish": data.exchange.authz.dataset_publish.rules,
		"agreement.sign": data.exchange.authz.agreement_sign.rules,
		"participant.admit": data.exchange.authz.participant_admit.rules,
		"order.apply": data.exchange.authz.order_apply.rules,
	} {
		ids := {rule |
			some proofs in rules
			some rule, _ in proofs
		}
		data.exchange.authz.decision == refusal(sort(ids)) with input as {"action": {"name": name}}
	}
}

test_the_answer_names_the_bundle_that_gave_it if {
	answer := data.exchange.authz.decision with input as {} with data.exchange.policy as "sha256:other"
	answer == object.union(refusal(["action_unknown"]), {"policy": "sha256:other"})
}
