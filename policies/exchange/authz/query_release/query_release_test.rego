package exchange.authz.query_release_test

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
	"action": {"name": "query.release"},
	"resource": {
		"type": "query",
		"id": "qry_01K0000000000000000000000",
		"properties": {
			"rows_out": 120,
			"bytes_out": 4096,
			"min_group": 10,
			"guards": 1,
			"price_vnd": 25000,
			"datasets": [
				{
					"id": "hoa_don_dnnvv",
					"version": "sha256:9f",
					"class": "thuong_mai",
					"unit": "nguoi_ban_pid",
					"extract": "sha256:e7",
					"agreement": {
						"id": "sha256:1a",
						"state": "in_force",
						"not_before_us": 1795300000000000,
						"not_after_us": 1826800000000000,
						"territories": ["VN"],
						"unit": "nguoi_ban_pid",
						"min_group": 10,
						"max_rows": 5000,
					},
				},
			],
		},
	},
	"context": {
		"time_us": 1795341600000000,
		"country": "VN",
		"dossier": null,
		"log": {"healthy": true, "kept_days": 3650, "authorized": "ent_01K0000000000000000000000"},
		"limits": {"max_rows": 10000, "max_bytes": 10485760, "seconds": 30, "memory_mb": 512},
		"suspensions": [],
		"incidents": [],
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

allowed(patches) if {
	decided(patches) == {"allow": true, "reasons": [], "obligations": {"released": 1}, "policy": data.exchange.policy}
}

test_no_dataset_is_no_result if {
	every datasets in [[], {}, null, 5, "hoa_don_dnnvv", [null], [5]] {
		refused([set("/resource/properties/datasets", datasets)]) == ["CONT-02", "CONT-04", "LIST-08", "QRY-05", "QRY-07"]
	}
}

test_the_question_is_allowed if allowed([])

test_charter_01_proves_the_window if {
	allowed([set("/context/time_us", 1795300000000000)])
}

test_charter_01_refuses_after_the_end_and_when_paused if {
	refused([set("/context/time_us", 1826816400000000)]) == ["CHARTER-01", "CONT-02"]
	refused([set("/context/charter/state", "paused")]) == ["CHARTER-01"]
	refused([set("/context/charter/signed", false)]) == ["CHARTER-01"]
}

test_charter_01_refuses_when_a_fact_is_missing if {
	refused([gone("/context/charter/end_us")]) == ["CHARTER-01"]
	refused([gone("/context/charter/state")]) == ["CHARTER-01"]
	refused([gone("/context/time_us")]) == ["CHARTER-01", "CONT-02"]
	refused([set("/context/charter", null)]) == ["CHARTER-01", "CHARTER-05", "QRY-05"]
}

test_charter_05_proves_a_result_at_the_caps if {
	allowed([set("/resource/properties/rows_out", 5000), set("/resource/properties/bytes_out", 10485760)])
	allowed([set("/context/charter/caps/per_transaction_vnd", 25000)])
}

test_charter_05_refuses_a_result_above_a_cap if {
	refused([set("/context/charter/caps/per_query_rows_out", 119)]) == ["CHARTER-05"]
	refused([set("/context/charter/caps/per_query_bytes_out", 4095)]) == ["CHARTER-05"]
	refused([set("/context/charter/caps/per_transaction_vnd", 24999)]) == ["CHARTER-05"]
	refused([set("/resource/properties/price_vnd", -1)]) == ["CHARTER-05"]
	refused([set("/resource/properties/rows_out", -1)]) == ["CHARTER-05", "QRY-07"]
	refused([set("/resource/properties/bytes_out", "1")]) == ["CHARTER-05", "QRY-07"]
}

test_charter_05_refuses_when_a_cap_or_a_size_is_missing if {
	refused([gone("/context/charter/caps")]) == ["CHARTER-05"]
	refused([gone("/resource/properties/price_vnd")]) == ["CHARTER-05"]
	refused([gone("/resource/properties/rows_out")]) == ["CHARTER-05", "QRY-07"]
	refused([gone("/resource/properties/bytes_out")]) == ["CHARTER-05", "QRY-07"]
}

test_charter_06_proves_that_nothing_is_suspended if {
	allowed([set("/context/suspensions", [])])
}

test_charter_06_refuses_whatever_is_suspended if {
	refused([set("/context/suspensions", [{"kind": "market", "id": "", "order": "sha256:5a"}])]) == ["CHARTER-06"]
	refused([set("/context/suspensions", [null])]) == ["CHARTER-06"]
	refused([set("/context/suspensions", {})]) == ["CHARTER-06"]
	refused([set("/context/suspensions", null)]) == ["CHARTER-06"]
}

test_charter_06_refuses_when_the_list_is_missing if {
	refused([gone("/context/suspensions")]) == ["CHARTER-06"]
}

test_inc_01_proves_that_none_is_open if {
	allowed([set("/context/incidents", [])])
}

test_inc_01_refuses_any_open_incident if {
	refused([
		set("/context/incidents", [{"kind": "dataset", "id": "hoa_don_dnnvv", "order": "sha256:5a"}]),
	]) == ["INC-01"]
	refused([set("/context/incidents", null)]) == ["INC-01"]
}

test_inc_01_refuses_when_the_list_is_missing if {
	refused([gone("/context/incidents")]) == ["INC-01"]
}

test_log_01_proves_a_durable_authorisation if {
	allowed([set("/context/log/authorized", "ent_2")])
}

test_log_01_refuses_an_unhealthy_log_and_no_authorisation if {
	refused([set("/context/log/healthy", false)]) == ["LOG-01"]
	refused([set("/context/log/kept_days", 100)]) == ["LOG-01"]
	refused([set("/context/log/authorized", null)]) == ["LOG-01"]
	refused([set("/context/log/authorized", "")]) == ["LOG-01"]
	refused([set("/context/log/authorized", true)]) == ["LOG-01"]
}

test_log_01_refuses_when_it_is_missing if {
	refused([gone("/context/log")]) == ["LOG-01"]
	refused([gone("/context/log/authorized")]) == ["LOG-01"]
	refused([gone("/context/log/healthy")]) == ["LOG-01"]
}

test_xbr_01_proves_home if {
	allowed([set("/context/country", "VN")])
}

test_xbr_01_refuses_abroad if {
	refused([set("/context/country", "LA")]) == ["CONT-04", "XBR-01"]
	refused([set("/subject/properties/territory", "LA")]) == ["XBR-01"]
}

test_xbr_01_refuses_when_country_or_territory_is_missing if {
	refused([gone("/context/country")]) == ["CONT-04", "XBR-01"]
	refused([gone("/subject/properties/territory")]) == ["XBR-01"]
}

test_cont_02_proves_the_last_instant if {
	allowed([set("/context/time_us", 1826799999999999)])
}

test_cont_02_refuses_a_contract_that_ended_meanwhile if {
	refused([set("/resource/properties/datasets/0/agreement/state", "suspended")]) == ["CONT-02"]
	refused([set("/context/time_us", 1826800000000000)]) == ["CONT-02"]
	refused([set("/resource/properties/datasets/0/agreement/not_after_us", "a")]) == ["CONT-02"]
}

test_cont_02_refuses_when_a_date_or_the_state_is_missing if {
	refused([gone("/resource/properties/datasets/0/agreement/state")]) == ["CONT-02"]
	refused([gone("/resource/properties/datasets/0/agreement/not_before_us")]) == ["CONT-02"]
	refused([gone("/resource/properties/datasets/0/agreement/not_after_us")]) == ["CONT-02"]
}

test_cont_04_proves_a_country_of_the_territory if {
	allowed([set("/resource/properties/datasets/0/agreement/territories", ["LA", "VN"])])
}

test_cont_04_refuses_a_country_outside if {
	refused([set("/resource/properties/datasets/0/agreement/territories", ["LA"])]) == ["CONT-04"]
	refused([set("/resource/properties/datasets/0/agreement/territories", "VN")]) == ["CONT-04"]
}

test_cont_04_refuses_when_the_territory_is_missing if {
	refused([gone("/resource/properties/datasets/0/agreement/territories")]) == ["CONT-04"]
}

test_list_08_proves_extracts_with_a_digest if {
	allowed([set("/resource/properties/datasets/0/extract", "sha256:00")])
}

test_list_08_refuses_extracts_without_one if {
	refused([set("/resource/properties/datasets/0/extract", null)]) == ["LIST-08"]
	refused([set("/resource/properties/datasets/0/extract", "")]) == ["LIST-08"]
	refused([set("/resource/properties/datasets/0/version", 5)]) == ["LIST-08"]
}

test_list_08_refuses_when_it_is_missing if {
	refused([gone("/resource/properties/datasets/0/extract")]) == ["LIST-08"]
	refused([gone("/resource/properties/datasets/0/version")]) == ["LIST-08"]
}

test_qry_05_proves_groups_counted_at_the_floor_and_open_data if {
	allowed([
		set("/resource/properties/min_group", 5),
		set("/resource/properties/datasets/0/agreement/min_group", 5),
	])
	allowed([
		set("/resource/properties/datasets/0/unit", null),
		set("/resource/properties/datasets/0/agreement/unit", null),
		set("/resource/properties/datasets/0/class", "mo"),
		set("/resource/properties/guards", 0),
		set("/resource/properties/min_group", 1),
		set("/resource/properties/datasets/0/agreement/min_group", 1),
	])
}

test_qry_05_refuses_groups_below_or_not_counted if {
	refused([set("/resource/properties/min_group", 9)]) == ["QRY-05"]
	refused([set("/resource/properties/min_group", "10")]) == ["QRY-05"]
	refused([set("/resource/properties/guards", 0)]) == ["QRY-05"]
	refused([set("/resource/properties/guards", "1")]) == ["QRY-05"]
	refused([
		set("/resource/properties/datasets/0/unit", null),
		set("/resource/properties/datasets/0/agreement/unit", null),
		set("/resource/properties/datasets/0/class", "khu_nhan_dang"),
	]) == ["QRY-05"]
	refused([set("/resource/properties/datasets/0/unit", null)]) == ["QRY-05"]
	refused([set("/resource/properties/datasets/0/agreement/unit", null)]) == ["QRY-05"]
	refused([
		set("/resource/properties/min_group", 4),
		set("/resource/properties/datasets/0/agreement/min_group", 4),
	]) == ["QRY-05"]
	refused([set("/resource/properties/datasets/0/agreement/min_group", 0)]) == ["QRY-05"]
}

test_qry_05_refuses_when_group_or_guards_are_missing if {
	refused([gone("/resource/properties/min_group")]) == ["QRY-05"]
	refused([gone("/resource/properties/datasets/0/agreement/min_group")]) == ["QRY-05"]
	refused([gone("/resource/properties/guards")]) == ["QRY-05"]
	refused([gone("/resource/properties/datasets/0/unit")]) == ["QRY-05"]
	refused([gone("/resource/properties/datasets/0/class")]) == ["QRY-05"]
	refused([gone("/context/charter/privacy/k_min_business")]) == ["QRY-05"]
}

test_qry_07_proves_a_result_at_the_limits if {
	allowed([set("/context/limits/max_rows", 120), set("/context/limits/max_bytes", 4096)])
	allowed([set("/resource/properties/datasets/0/agreement/max_rows", 120)])
}

test_qry_07_refuses_a_result_above_a_limit if {
	refused([set("/context/limits/max_rows", 119)]) == ["QRY-07"]
	refused([set("/context/limits/max_bytes", 4095)]) == ["QRY-07"]
	refused([set("/resource/properties/datasets/0/agreement/max_rows", 119)]) == ["QRY-07"]
	refused([set("/resource/properties/datasets/0/agreement/max_rows", "a")]) == ["QRY-07"]
	refused([set("/context/limits/max_rows", "a")]) == ["QRY-07"]
}

test_qry_07_refuses_when_a_limit_is_missing if {
	refused([gone("/context/limits")]) == ["QRY-07"]
	refused([gone("/context/limits/max_bytes")]) == ["QRY-07"]
	refused([gone("/resource/properties/datasets/0/agreement/max_rows")]) == ["QRY-07"]
}
