package exchange.authz.order_apply_test

import data.exchange.authz_test.gone
import data.exchange.authz_test.set

question := {
	"subject": {
		"type": "participant",
		"id": "so-khcn",
		"properties": {
			"roles": ["regulator"],
			"territory": "VN",
			"entity_verified": true,
			"eid_level": 2,
			"payment_account": true,
		},
	},
	"action": {"name": "order.apply"},
	"resource": {
		"type": "order",
		"id": "sha256:5a",
		"properties": {
			"act": "suspend",
			"kind": "dataset",
			"target": "hoa_don_dnnvv",
			"ends": null,
			"parties": ["hiep-hoi-ban-le"],
		},
	},
	"context": {"time_us": 1795341600000000, "signers": [{"id": "so-khcn", "roles": ["regulator"]}]},
}

decided(patches) := answer if {
	answer := data.exchange.authz.decision with input as json.patch(question, patches)
}

# Why it is refused, when a decision is a refusal as a whole.
refused(patches) := answer.reasons if {
	answer := decided(patches)
	answer == {"allow": false, "reasons": answer.reasons, "obligations": {}, "policy": data.exchange.policy}
}

allowed(patches) if {
	decided(patches) == {"allow": true, "reasons": [], "obligations": {"applied": 1}, "policy": data.exchange.policy}
}

test_the_question_is_allowed if allowed([])

test_charter_06_proves_stops_by_one_and_starts_by_two if {
	allowed([
		set("/resource/properties/act", "suspend"),
		set("/resource/properties/kind", "market"),
		set("/resource/properties/parties", []),
		set("/resource/properties/ends", null),
	])
	allowed([
		set("/resource/properties/act", "suspend"),
		set("/resource/properties/kind", "query"),
		set("/resource/properties/parties", []),
		set("/resource/properties/ends", null),
	])
	allowed([
		set("/resource/properties/act", "open_incident"),
		set("/resource/properties/kind", "participant"),
		set("/resource/properties/parties", []),
		set("/resource/properties/ends", null),
	])
	allowed([
		set("/context/signers", [{"id": "san-du-lieu", "roles": ["operator"]}]),
		set("/subject/id", "san-du-lieu"),
	])
	allowed([
		set("/context/signers", [{"id": "hiep-hoi-ban-le", "roles": ["provider"]}]),
		set("/subject/id", "hiep-hoi-ban-le"),
	])
	allowed([
		set("/context/signers", [{"id": "cong-ty-fintech", "roles": ["buyer"]}]),
		set("/subject/id", "cong-ty-fintech"),
		set("/resource/properties/act", "suspend"),
		set("/resource/properties/kind", "agreement"),
		set("/resource/properties/parties", ["hiep-hoi-ban-le", "cong-ty-fintech"]),
		set("/resource/properties/ends", null),
	])
	allowed([
		set("/resource/properties/act", "terminate"),
		set("/resource/properties/kind", "agreement"),
		set("/resource/properties/parties", []),
		set("/resource/properties/ends", null),
	])
	allowed([
		set("/context/signers", [{"id": "cong-ty-fintech", "roles": ["buyer"]}, {"id": "hiep-hoi-ban-le", "roles": ["provider"]}]),
		set("/subject/id", "cong-ty-fintech"),
		set("/resource/properties/act", "terminate"),
		set("/resource/properties/kind", "agreement"),
		set("/resource/properties/parties", ["hiep-hoi-ban-le", "cong-ty-fintech"]),
		set("/resource/properties/ends", null),
	])
	allowed([
		set("/context/signers", [{"id": "so-khcn", "roles": ["regulator"]}, {"id": "san-du-lieu", "roles": ["operator"]}]),
		set("/subject/id", "so-khcn"),
		set("/resource/properties/act", "resume"),
		set("/resource/properties/kind", "market"),
		set("/resource/properties/parties", []),
		set("/resource/properties/ends", "sha256:5a"),
	])
	allowed([
		set("/context/signers", [{"id": "san-du-lieu", "roles": ["operator"]}, {"id": "so-khcn", "roles": ["regulator"]}]),
		set("/subject/id", "san-du-lieu"),
		set("/resource/properties/act", "close_incident"),
		set("/resource/properties/kind", "dataset"),
		set("/resource/properties/parties", []),
		set("/resource/properties/ends", "sha256:5a"),
	])
}

test_charter_06_refuses_strangers_single_starts_and_unknown_acts if {
	refused([
		set("/context/signers", [{"id": "cong-ty-fintech", "roles": ["buyer"]}]),
		set("/subject/id", "cong-ty-fintech"),
	]) == ["CHARTER-06"]
	refused([
		set("/context/signers", [{"id": "hiep-hoi-ban-le", "roles": ["provider"]}]),
		set("/subject/id", "hiep-hoi-ban-le"),
		set("/resource/properties/act", "suspend"),
		set("/resource/properties/kind", "market"),
		set("/resource/properties/parties", ["hiep-hoi-ban-le"]),
		set("/resource/properties/ends", null),
	]) == ["CHARTER-06"]
	refused([
		set("/context/signers", [{"id": "hiep-hoi-ban-le", "roles": ["provider"]}]),
		set("/subject/id", "hiep-hoi-ban-le"),
		set("/resource/properties/act", "suspend"),
		set("/resource/properties/kind", "market"),
		set("/resource/properties/parties", []),
		set("/resource/properties/ends", null),
	]) == ["CHARTER-06"]
	refused([
		set("/context/signers", [{"id": "cong-ty-fintech", "roles": ["buyer"]}]),
		set("/subject/id", "cong-ty-fintech"),
		set("/resource/properties/act", "suspend"),
		set("/resource/properties/kind", "agreement"),
		set("/resource/properties/parties", ["hiep-hoi-ban-le"]),
		set("/resource/properties/ends", null),
	]) == ["CHARTER-06"]
	refused([
		set("/context/signers", [{"id": "hiep-hoi-ban-le", "roles": ["provider"]}]),
		set("/subject/id", "hiep-hoi-ban-le"),
		set("/resource/properties/act", "terminate"),
		set("/resource/properties/kind", "agreement"),
		set("/resource/properties/parties", ["hiep-hoi-ban-le", "cong-ty-fintech"]),
		set("/resource/properties/ends", null),
	]) == ["CHARTER-06"]
	refused([
		set("/context/signers", [{"id": "hiep-hoi-ban-le", "roles": ["provider"]}]),
		set("/subject/id", "hiep-hoi-ban-le"),
		set("/resource/properties/act", "terminate"),
		set("/resource/properties/kind", "agreement"),
		set("/resource/properties/parties", ["hiep-hoi-ban-le"]),
		set("/resource/properties/ends", null),
	]) == ["CHARTER-06"]
	refused([
		set("/context/signers", [{"id": "so-khcn", "roles": ["regulator"]}]),
		set("/subject/id", "so-khcn"),
		set("/resource/properties/act", "terminate"),
		set("/resource/properties/kind", "dataset"),
		set("/resource/properties/parties", []),
		set("/resource/properties/ends", null),
	]) == ["CHARTER-06"]
	refused([
		set("/context/signers", [{"id": "so-khcn", "roles": ["regulator"]}]),
		set("/subject/id", "so-khcn"),
		set("/resource/properties/act", "resume"),
		set("/resource/properties/kind", "market"),
		set("/resource/properties/parties", []),
		set("/resource/properties/ends", "sha256:5a"),
	]) == ["CHARTER-06"]
	refused([
		set("/context/signers", [{"id": "san-du-lieu", "roles": ["operator"]}]),
		set("/subject/id", "san-du-lieu"),
		set("/resource/properties/act", "resume"),
		set("/resource/properties/kind", "market"),
		set("/resource/properties/parties", []),
		set("/resource/properties/ends", "sha256:5a"),
	]) == ["CHARTER-06"]
	refused([
		set("/context/signers", [{"id": "so-khcn", "roles": ["regulator"]}, {"id": "hiep-hoi-ban-le", "roles": ["provider"]}]),
		set("/subject/id", "so-khcn"),
		set("/resource/properties/act", "resume"),
		set("/resource/properties/kind", "dataset"),
		set("/resource/properties/parties", ["hiep-hoi-ban-le"]),
		set("/resource/properties/ends", "sha256:5a"),
	]) == ["CHARTER-06"]
	refused([
		set("/context/signers", [{"id": "so-khcn", "roles": ["regulator"]}, {"id": "san-du-lieu", "roles": ["operator"]}]),
		set("/subject/id", "so-khcn"),
		set("/resource/properties/act", "resume"),
		set("/resource/properties/kind", "market"),
		set("/resource/properties/parties", []),
		set("/resource/properties/ends", null),
	]) == ["CHARTER-06"]
	refused([
		set("/context/signers", [{"id": "so-khcn", "roles": ["regulator"]}, {"id": "san-du-lieu", "roles": ["operator"]}]),
		set("/subject/id", "so-khcn"),
		set("/resource/properties/act", "close_incident"),
		set("/resource/properties/kind", "dataset"),
		set("/resource/properties/parties", []),
		set("/resource/properties/ends", ""),
	]) == ["CHARTER-06"]
	refused([
		set("/resource/properties/act", "delete"),
		set("/resource/properties/kind", "dataset"),
		set("/resource/properties/parties", []),
		set("/resource/properties/ends", null),
	]) == ["CHARTER-06"]
	refused([
		set("/resource/properties/act", "suspend"),
		set("/resource/properties/kind", "wallet"),
		set("/resource/properties/parties", []),
		set("/resource/properties/ends", null),
	]) == ["CHARTER-06"]
	refused([set("/subject/id", "san-du-lieu")]) == ["CHARTER-06"]
	refused([set("/resource/type", "agreement")]) == ["CHARTER-06"]
	refused([
		set("/context/signers", [{"id": "hiep-hoi-ban-le", "roles": ["provider"]}]),
		set("/subject/id", "hiep-hoi-ban-le"),
		set("/resource/properties/parties", null),
	]) == ["CHARTER-06"]
}

test_charter_06_refuses_when_a_fact_is_missing if {
	refused([gone("/resource/properties/act")]) == ["CHARTER-06"]
	refused([gone("/resource/properties/kind")]) == ["CHARTER-06"]
	refused([gone("/resource/id")]) == ["CHARTER-06"]
	refused([gone("/subject/id")]) == ["CHARTER-06"]
	refused([
		set("/context/signers", [{"id": "hiep-hoi-ban-le", "roles": ["provider"]}]),
		set("/subject/id", "hiep-hoi-ban-le"),
		gone("/resource/properties/parties"),
	]) == ["CHARTER-06"]
	refused([
		set("/context/signers", [{"id": "so-khcn", "roles": ["regulator"]}, {"id": "san-du-lieu", "roles": ["operator"]}]),
		set("/subject/id", "so-khcn"),
		set("/resource/properties/act", "resume"),
		gone("/resource/properties/ends"),
	]) == ["CHARTER-06"]
	refused([gone("/context/signers")]) == ["CHARTER-06", "CHARTER-07"]
	refused([set("/context/signers", [])]) == ["CHARTER-06", "CHARTER-07"]
}

test_charter_07_proves_signers_of_one_office_each if {
	allowed([
		set("/context/signers", [{"id": "so-khcn", "roles": ["regulator"]}, {"id": "san-du-lieu", "roles": ["operator"]}]),
		set("/subject/id", "so-khcn"),
	])
}

test_charter_07_refuses_who_signs_for_two_offices if {
	refused([set("/context/signers", [{"id": "so-khcn", "roles": ["operator", "regulator"]}])]) == ["CHARTER-07"]
	refused([set("/context/signers", [{"id": "so-khcn", "roles": ["provider", "regulator"]}])]) == ["CHARTER-07"]
	refused([
		set("/context/signers", [{"id": "", "roles": ["regulator"]}]),
		set("/subject/id", ""),
	]) == ["CHARTER-07"]
	refused([set("/context/signers", [{"id": "so-khcn", "roles": []}])]) == ["CHARTER-06", "CHARTER-07"]
	refused([set("/context/signers", 5)]) == ["CHARTER-06", "CHARTER-07"]
}

test_charter_07_refuses_when_the_roles_are_missing if {
	refused([set("/context/signers", [{"id": "so-khcn"}])]) == ["CHARTER-06", "CHARTER-07"]
	refused([set("/context/signers", [{"roles": ["regulator"]}])]) == ["CHARTER-06", "CHARTER-07"]
}
