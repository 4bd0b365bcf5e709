# The question that all tests of this action start from: a sum over a dataset with a privacy unit.
package exchange.authz.query_run_test

import data.exchange.authz_test.gone
import data.exchange.authz_test.set

question := {
	"subject": {
		"type": "participant",
		"id": "cong-ty-fintech",
		"properties": {
			"roles": ["buyer"],
			"territory": "VN",
			"entity_verified": true,
			"eid_level": 2,
			"payment_account": true,
		},
	},
	"action": {"name": "query.run"},
	"resource": {
		"type": "query",
		"id": "qry_01K0000000000000000000000",
		"properties": {
			"statement": "select",
			"shape": "aggregate",
			"fingerprint": "sha256:5e",
			"scalar_functions": [],
			"expressions": false,
			"joins": [],
			"price_vnd": 25000,
			"aggregates": [
				{"function": "count", "column": null, "distinct": false},
				{"function": "count", "column": "nguoi_ban_pid", "distinct": true},
				{"function": "sum", "column": "doanh_thu_vnd", "distinct": false},
			],
			"undeclared": [],
			"unit_exposed": false,
			"datasets": [
				{
					"id": "hoa_don_dnnvv",
					"version": "sha256:9f",
					"version_kept": true,
					"manifest_verified": true,
					"class": "thuong_mai",
					"sector": "dnnvv",
					"personal_origin": false,
					"deidentification": null,
					"unit": "nguoi_ban_pid",
					"columns": ["nguoi_ban_pid", "tinh", "doanh_thu_vnd"],
					"dimensions": ["tinh"],
					"outputs": ["tinh", "doanh_thu_vnd"],
					"literals": ["tinh"],
					"matched": [],
					"price_vnd": 25000,
					"free": false,
					"nano_rho": {"query": 0, "contract_spent": 0, "dataset_spent": 0},
					"agreement": {
						"id": "sha256:1a",
						"verified": true,
						"signed_by": ["hiep-hoi-ban-le", "cong-ty-fintech", "san-du-lieu"],
						"state": "in_force",
						"provider": "hiep-hoi-ban-le",
						"buyer": "cong-ty-fintech",
						"version": "sha256:9f",
						"follows": false,
						"not_before_us": 1795300000000000,
						"not_after_us": 1826800000000000,
						"purposes": ["thong_ke", "nghien_cuu"],
						"territories": ["VN"],
						"release": "exact",
						"columns": ["nguoi_ban_pid", "ngay_lap", "tinh", "nganh", "doanh_thu_vnd"],
						"dimensions": ["thang", "tinh", "nganh"],
						"measures": [["sum", "doanh_thu_vnd"], ["avg", "doanh_thu_vnd"]],
						"scalar_functions": [],
						"any_expression": false,
						"literals": ["tinh", "nganh", "ngay_lap"],
						"matched": [],
						"join_condition": "blocked",
						"join_columns": [],
						"hidden": [],
						"unit": "nguoi_ban_pid",
						"min_group": 10,
						"max_rows": 5000,
						"price_vnd": 25000,
						"free_queries": 20,
						"receivers": ["cong-ty-fintech"],
						"dp": null,
						"templates": [],
					},
				},
			],
		},
	},
	"context": {
		"purpose": "thong_ke",
		"country": "VN",
		"dossier": null,
		"time_us": 1795341600000000,
		"amr": ["mfa"],
		"balance_vnd": 1000000,
		"log": {"healthy": true, "kept_days": 3650},
		"limits": {"max_rows": 10000, "max_bytes": 10485760, "seconds": 30, "memory_mb": 512},
		"suspensions": [],
		"incidents": [],
		"usage": {
			"buyer_day_vnd": 75000,
			"buyer_day_queries": 3,
			"exchange_day_vnd": 900000,
			"providers": {"hiep-hoi-ban-le": 75000},
		},
		"charter": {
			"id": "TPHCM-SGDDL-2026-01",
			"version": 1,
			"digest": "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
			"signed": true,
			"regulator": "so-khcn",
			"operator": "san-du-lieu",
			"state": "active",
			"start_us": 1795280400000000,
			"end_us": 1826816400000000,
			"sectors": ["giao_thong", "cang_bien", "dat_dai", "chi_so_cds", "dnnvv", "du_lich"],
			"data_classes": ["mo", "dung_chung", "thuong_mai", "khu_nhan_dang"],
			"territories": ["VN"],
			"release_modes": ["exact", "safe_cube", "dp"],
			"min_eid_level": 2,
			"cross_border": false,
			"caps": {
				"per_transaction_vnd": 20000000,
				"per_buyer_day_vnd": 50000000,
				"per_provider_day_vnd": 200000000,
				"exchange_day_vnd": 500000000,
				"per_buyer_day_queries": 200,
				"per_query_rows_out": 10000,
				"per_query_bytes_out": 10485760,
			},
			"privacy": {
				"k_min": 10,
				"k_min_business": 5,
				"nano_rho_dataset": 250000000,
				"nano_rho_contract": 100000000,
			},
			"signed_requests": false,
		},
	},
}

decided(patches) := answer if {
	answer := data.exchange.authz.decision with input as json.patch(question, patches)
}

# Why it is refused, when a decision is a refusal as a whole.
refused(patches) := answer.reasons if {
	answer := decided(patches)
	answer == {"allow": false, "reasons": answer.reasons, "obligations": {}, "policy": data.exchange.policy}
}

allowed(patches) if decided(patches).allow == true

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
	set("/sector", "chi_so_cds"),
	set("/columns", ["dia_phuong", "hang"]),
	set("/dimensions", []),
	set("/outputs", ["hang"]),
	set("/literals", []),
	set("/unit", null),
	set("/price_vnd", 0),
	set("/agreement/price_vnd", 0),
	set("/agreement/columns", ["dia_phuong", "hang"]),
	set("/agreement/dimensions", []),
	set("/agreement/literals", []),
	set("/agreement/measures", []),
	set("/agreement/join_condition", "not_required"),
	set("/agreement/unit", null),
	set("/agreement/min_group", 1),
])

test_the_open_question_is_allowed_under_the_strictest_limits if {
	data.exchange.authz.decision == {
		"allow": true,
		"reasons": [],
		"obligations": {"min_group": 1, "max_rows": 700, "max_bytes": 10485760},
		"policy": data.exchange.policy,
	} with input as open_question
}

test_limits_of_the_house_and_caps_of_the_charter_bind_too if {
	decided([
		set("/context/limits", {"max_rows": 20, "max_bytes": 30, "seconds": 1, "memory_mb": 1}),
	]).obligations == {"min_group": 10, "max_rows": 20, "max_bytes": 30}
	decided([
		set("/context/limits", {"max_rows": 99000000, "max_bytes": 99000000, "seconds": 1, "memory_mb": 1}),
		set("/resource/properties/datasets/0/agreement/max_rows", 99000000),
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
		"release": ["QRY-02", "QRY-06", "QRY-08"],
		"min_group": ["QRY-05"],
		"max_rows": ["QRY-07"],
		"price_vnd": ["PAY-01"],
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
			"CHARTER-03", "CHARTER-04", "CHARTER-05", "CONT-01", "CONT-02", "CONT-03", "CONT-04", "CONT-05", "CONT-06",
			"LIST-02", "LIST-08", "PAY-01",
			"QRY-01", "QRY-02", "QRY-03", "QRY-04", "QRY-05", "QRY-06", "QRY-07", "QRY-08", "QRY-09",
		]
	}
}

# Several datasets of one provider are added up.
test_a_provider_bears_the_sum_of_its_datasets if {
	patches := [
		set("/resource/properties/datasets/0/price_vnd", 10),
		set("/resource/properties/datasets/1/price_vnd", 10),
		set("/resource/properties/datasets/0/agreement/price_vnd", 10),
		set("/resource/properties/datasets/1/agreement/price_vnd", 10),
		set("/resource/properties/price_vnd", 20),
	]
	most := data.exchange.authz.decision with input as json.patch(open_question, array.concat(
		patches,
		[set("/context/usage/providers", {"hiep-hoi-ban-le": 199999980})],
	))
	most.allow == true
	more := data.exchange.authz.decision with input as json.patch(open_question, array.concat(
		patches,
		[set("/context/usage/providers", {"hiep-hoi-ban-le": 199999981})],
	))
	more.reasons == ["CHARTER-05"]
}

# A unit stands alone: beside another dataset nothing of the query's shape is proved.
test_a_unit_is_not_joined if {
	answer := data.exchange.authz.decision with input as json.patch(question, [
		set("/resource/properties/datasets", [question.resource.properties.datasets[0], open_dataset]),
	])
	answer.reasons == ["CONT-06", "QRY-01", "QRY-03", "QRY-04", "QRY-05", "QRY-09"]
}

# What no contract can do: drop the unit of a class of personal origin.
test_a_class_of_personal_origin_keeps_its_unit if {
	refused([
		set("/resource/properties/datasets/0/class", "khu_nhan_dang"),
		set("/resource/properties/datasets/0/personal_origin", true),
		set("/resource/properties/datasets/0/deidentification", "an_danh_k"),
		set("/resource/properties/datasets/0/unit", null),
		set("/resource/properties/datasets/0/agreement/unit", null),
	]) == ["QRY-01", "QRY-03", "QRY-04", "QRY-05", "QRY-09"]
}

# Modes that are not performed yet still have their rules.
under(mode, patches) := answer.reasons if {
	answer := decided(array.concat([set("/resource/properties/datasets/0/agreement/release", mode)], patches))
}

budgets := [
	set("/resource/properties/datasets/0/agreement/dp", {"nano_rho_query": 5, "nano_rho_total": 100}),
	set("/resource/properties/datasets/0/nano_rho", {"query": 5, "contract_spent": 95, "dataset_spent": 249999995}),
]

test_a_privacy_budget_is_spent_to_its_end_and_no_further if {
	under("dp", budgets) == ["QRY-02"]
	every path, value in {
		"/resource/properties/datasets/0/nano_rho/query": 6,
		"/resource/properties/datasets/0/nano_rho/contract_spent": 96,
		"/resource/properties/datasets/0/nano_rho/dataset_spent": 249999996,
		"/resource/properties/datasets/0/agreement/dp/nano_rho_total": 99,
		"/context/charter/privacy/nano_rho_contract": 99,
		"/context/charter/privacy/nano_rho_dataset": "a",
	} {
		under("dp", array.concat(budgets, [set(path, value)])) == ["QRY-02", "QRY-06"]
		under("dp", array.concat(budgets, [gone(path)])) == ["QRY-02", "QRY-06"]
	}
}

test_an_approved_query_is_approved if {
	under("template", [set("/resource/properties/datasets/0/agreement/templates", ["sha256:5e"])]) == ["QRY-02"]
}

test_the_question_is_allowed if {
	decided([]) == {
		"allow": true,
		"reasons": [],
		"obligations": {"min_group": 10, "max_rows": 5000, "max_bytes": 10485760},
		"policy": data.exchange.policy,
	}
}
