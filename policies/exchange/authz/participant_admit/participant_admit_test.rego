package exchange.authz.participant_admit_test

import data.exchange.authz_test.gone
import data.exchange.authz_test.set

question := {
	"subject": {
		"type": "participant",
		"id": "cong-ty-fintech",
		"properties": {
			"roles": ["buyer", "provider"],
			"territory": "VN",
			"entity_verified": true,
			"eid_level": 2,
			"payment_account": true,
		},
	},
	"action": {"name": "participant.admit"},
	"resource": {"type": "participant", "id": "cong-ty-fintech"},
	"context": {
		"time_us": 1795000000000000,
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
			"providers_max": 10,
			"buyers_max": 40,
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
		"counts": {"providers": 9, "buyers": 39},
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

allowed(patches) if {
	decided(patches) == {"allow": true, "reasons": [], "obligations": {"admitted": 1}, "policy": data.exchange.policy}
}

test_the_question_is_allowed if allowed([])

test_charter_01_proves_also_before_the_first_day_and_the_offices_before_any_charter if {
	allowed([set("/context/time_us", 1826816399999999)])
	allowed([set("/subject/properties/roles", ["regulator"]), set("/context/charter", null)])
	allowed([set("/subject/properties/roles", ["operator"]), set("/context/charter", null)])
}

test_charter_01_refuses_after_the_end_and_when_paused if {
	refused([set("/context/time_us", 1826816400000000)]) == ["CHARTER-01"]
	refused([set("/context/charter/state", "paused")]) == ["CHARTER-01"]
	refused([set("/context/charter/signed", false)]) == ["CHARTER-01"]
	refused([set("/context/charter/end_us", "a")]) == ["CHARTER-01"]
}

test_charter_01_refuses_when_a_fact_is_missing if {
	refused([gone("/context/charter/end_us")]) == ["CHARTER-01"]
	refused([gone("/context/charter/state")]) == ["CHARTER-01"]
	refused([gone("/context/charter/signed")]) == ["CHARTER-01"]
	refused([gone("/context/time_us")]) == ["CHARTER-01"]
}

test_charter_02_proves_the_last_place if {
	allowed([set("/context/counts", {"providers": 0, "buyers": 0})])
	allowed([set("/subject/properties/roles", ["operator", "provider"])])
}

test_charter_02_refuses_a_full_cohort_and_another_territory if {
	refused([set("/context/counts/providers", 10)]) == ["CHARTER-02"]
	refused([set("/context/counts/buyers", 40)]) == ["CHARTER-02"]
	refused([set("/context/counts/buyers", "1")]) == ["CHARTER-02"]
	refused([set("/context/counts/buyers", -1)]) == ["CHARTER-02"]
	refused([set("/subject/properties/territory", "SG")]) == ["CHARTER-02"]
	refused([set("/context/charter/territories", [])]) == ["CHARTER-02"]
}

test_charter_02_refuses_when_a_number_is_missing if {
	refused([gone("/context/counts")]) == ["CHARTER-02"]
	refused([gone("/context/counts/buyers")]) == ["CHARTER-02"]
	refused([gone("/context/counts/providers")]) == ["CHARTER-02"]
	refused([gone("/context/charter/buyers_max")]) == ["CHARTER-02"]
	refused([gone("/context/charter/providers_max")]) == ["CHARTER-02"]
	refused([gone("/subject/properties/territory")]) == ["CHARTER-02"]
}

test_charter_07_proves_a_supervisor_who_does_nothing_else if {
	allowed([set("/subject/properties/roles", ["regulator"])])
	allowed([set("/subject/properties/roles", ["buyer"])])
}

test_charter_07_refuses_a_supervisor_who_trades_or_operates if {
	refused([set("/subject/properties/roles", ["buyer", "regulator"])]) == ["CHARTER-02", "CHARTER-07"]
	refused([set("/subject/properties/roles", ["operator", "regulator"])]) == ["CHARTER-02", "CHARTER-07"]
	refused([set("/subject/properties/roles", ["auditor"])]) == ["CHARTER-02", "CHARTER-07"]
}

test_charter_07_refuses_when_the_roles_are_missing if {
	refused([gone("/subject/properties/roles")]) == ["CHARTER-02", "CHARTER-07"]
	refused([set("/subject/properties/roles", [])]) == ["CHARTER-02", "CHARTER-07"]
	refused([set("/subject/properties/roles", "buyer")]) == ["CHARTER-02", "CHARTER-07"]
}

test_part_01_proves_verified_organisations_and_offices if {
	allowed([set("/subject/properties/eid_level", 3)])
	allowed([set("/subject/properties/roles", ["operator"]), set("/subject/properties/entity_verified", false)])
}

test_part_01_refuses_every_lack_of_standing if {
	refused([set("/subject/properties/entity_verified", false)]) == ["PART-01"]
	refused([set("/subject/properties/payment_account", false)]) == ["PART-01"]
	refused([set("/subject/properties/eid_level", 1)]) == ["PART-01"]
	refused([set("/subject/properties/eid_level", "2")]) == ["PART-01"]
	refused([set("/subject/type", "service")]) == ["PART-01"]
	refused([set("/subject/id", "")]) == ["PART-01"]
}

test_part_01_refuses_when_standing_is_missing if {
	refused([gone("/subject/properties/entity_verified")]) == ["PART-01"]
	refused([gone("/subject/properties/payment_account")]) == ["PART-01"]
	refused([gone("/subject/properties/eid_level")]) == ["PART-01"]
	refused([gone("/context/charter/min_eid_level")]) == ["PART-01"]
	refused([gone("/subject/id")]) == ["PART-01"]
}
