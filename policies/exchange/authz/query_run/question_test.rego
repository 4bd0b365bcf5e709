# The question that all tests of this action start from: a sum over a dataset with a privacy unit.
package exchange.authz.query_run_test

import data.exchange.proof_test.gone
import data.exchange.proof_test.set

question := {
	"subject": {
		"type": "participant",
		"id": "cong-ty-fintech",
		"properties": {"roles": ["buyer"], "territory": "VN"},
	},
	"action": {"name": "query.run"},
	"resource": {
		"type": "query",
		"id": "qry_01K0000000000000000000000",
		"properties": {
			"statement": "select",
			"shape": "aggregate",
			"functions": ["count", "sum"],
			"price_vnd": 25000,
			"aggregates": [
				{"function": "count", "column": null, "distinct": false},
				{"function": "count", "column": "nguoi_ban_pid", "distinct": true},
				{"function": "sum", "column": "doanh_thu_vnd", "distinct": false},
			],
			"undeclared": [],
			"unit_exposed": false,
			"datasets": [{
				"id": "hoa_don_dnnvv",
				"version": "sha256:9f",
				"class": "thuong_mai",
				"columns": ["nguoi_ban_pid", "tinh", "doanh_thu_vnd"],
				"dimensions": ["tinh"],
				"unit": "nguoi_ban_pid",
				"agreement": {
					"id": "sha256:1a",
					"verified": true,
					"state": "in_force",
					"provider": "hiep-hoi-ban-le",
					"buyer": "cong-ty-fintech",
					"version": "sha256:9f",
					"not_before_us": 1795300000000000,
					"not_after_us": 1826800000000000,
					"purposes": ["thong_ke", "nghien_cuu"],
					"territories": ["VN"],
					"release": "exact",
					"columns": ["nguoi_ban_pid", "ngay_lap", "tinh", "nganh", "doanh_thu_vnd"],
					"dimensions": ["thang", "tinh", "nganh"],
					"measures": [{"column": "doanh_thu_vnd", "functions": ["sum", "avg"]}],
					"unit": "nguoi_ban_pid",
					"min_group": 10,
					"max_rows": 5000,
					"receivers": ["cong-ty-fintech"],
				},
			}],
		},
	},
	"context": {
		"purpose": "thong_ke",
		"country": "VN",
		"time_us": 1795341600000000,
		"balance_vnd": 1000000,
		"log_healthy": true,
		"limits": {"max_rows": 10000, "max_bytes": 10485760},
	},
}

# A free SELECT over two open datasets without a unit.
open_question := json.patch(question, [
	set("/resource/properties/shape", "free"),
	set("/resource/properties/aggregates", [{"function": "max", "column": "hang", "distinct": false}]),
	set("/resource/properties/undeclared", ["hang"]),
	set("/resource/properties/price_vnd", 0),
	set("/resource/properties/datasets", [open_dataset, json.patch(open_dataset, [set("/agreement/max_rows", 700)])]),
])

open_dataset := json.patch(question.resource.properties.datasets[0], [
	set("/id", "chi_so_cds"),
	set("/class", "mo"),
	set("/columns", ["dia_phuong", "hang"]),
	set("/dimensions", []),
	set("/unit", null),
	set("/agreement/columns", ["dia_phuong", "hang"]),
	set("/agreement/dimensions", []),
	set("/agreement/measures", []),
	set("/agreement/unit", null),
	set("/agreement/min_group", 1),
])

decided(patches) := answer if {
	answer := data.exchange.authz.decision with input as json.patch(question, patches)
}

# Why it is refused, when a decision is a refusal as a whole.
refused(patches) := answer.reasons if {
	answer := decided(patches)
	answer == {"allow": false, "reasons": answer.reasons, "obligations": {}, "policy": data.exchange.policy}
}

allowed(patches) if decided(patches).allow == true

# Members by short names.
query(name) := concat("/", ["/resource/properties", name])

dataset(name) := concat("/", ["/resource/properties/datasets/0", name])

agreement(name) := concat("/", ["/resource/properties/datasets/0/agreement", name])

test_the_question_is_allowed if {
	decided([]) == {
		"allow": true,
		"reasons": [],
		"obligations": {"min_group": 10, "max_rows": 5000, "max_bytes": 10485760},
		"policy": data.exchange.policy,
	}
}

test_the_open_question_is_allowed_under_the_strictest_limits if {
	data.exchange.authz.decision == {
		"allow": true,
		"reasons": [],
		"obligations": {"min_group": 1, "max_rows": 700, "max_bytes": 10485760},
		"policy": data.exchange.policy,
	} with input as open_question
}

test_limits_of_the_house_and_caps_of_the_charter_bind_too if {
	decided([set("/context/limits", {"max_rows": 20, "max_bytes": 30})]).obligations == {
		"min_group": 10,
		"max_rows": 20,
		"max_bytes": 30,
	}
	decided([
		set("/context/limits", {"max_rows": 99000000, "max_bytes": 99000000}),
		set(agreement("max_rows"), 99000000),
	]).obligations == {"min_group": 10, "max_rows": 10000, "max_bytes": 10485760}
}

test_the_second_dataset_is_judged_as_the_first if {
	every name, why in {
		"verified": ["CONT-01"],
		"state": ["CONT-02"],
		"purposes": ["CONT-03"],
		"territories": ["CONT-04"],
		"receivers": ["CONT-05"],
		"columns": ["CONT-06"],
		"release": ["QRY-02"],
		"min_group": ["QRY-05"],
		"max_rows": ["QRY-07"],
	} {
		path := concat("/", ["/resource/properties/datasets/1/agreement", name])
		answer := data.exchange.authz.decision with input as json.patch(open_question, [gone(path)])
		answer.reasons == why
	}
}

# Every rule over datasets would hold for none of them.
test_no_dataset_is_no_query if {
	every datasets in [[], {}, null, 5, "hoa_don_dnnvv", [null], [5], [[]]] {
		answer := data.exchange.authz.decision with input as json.patch(question, [set("/resource/properties/datasets", datasets)])
		answer.reasons == [
			"CHARTER-04", "CONT-01", "CONT-02", "CONT-03", "CONT-04", "CONT-05", "CONT-06",
			"QRY-01", "QRY-02", "QRY-03", "QRY-04", "QRY-05", "QRY-07", "QRY-09",
		]
	}
}
