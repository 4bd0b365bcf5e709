package exchange.authz.agreement_sign_test

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
	"action": {"name": "agreement.sign"},
	"resource": {
		"type": "agreement",
		"id": "sha256:1a",
		"properties": {
			"verified": true,
			"signed_by": ["hiep-hoi-ban-le", "cong-ty-fintech", "san-du-lieu"],
			"provider": "hiep-hoi-ban-le",
			"buyer": "cong-ty-fintech",
			"dataset_provider": "hiep-hoi-ban-le",
			"version_current": true,
			"not_before_us": 1795300000000000,
			"not_after_us": 1826800000000000,
			"purposes": ["thong_ke", "nghien_cuu"],
			"territories": ["VN"],
			"sector": "dnnvv",
			"class": "thuong_mai",
			"personal_origin": false,
			"deidentification": null,
			"unit": "nguoi_ban_pid",
			"dataset_unit": "nguoi_ban_pid",
			"min_group": 10,
			"dataset_min_group": 10,
			"price_vnd": 25000,
			"release": "exact",
		},
	},
	"context": {
		"time_us": 1795341600000000,
		"amr": ["pop"],
		"suspensions": [],
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
		"provider": {
			"type": "participant",
			"id": "hiep-hoi-ban-le",
			"properties": {
				"roles": ["provider"],
				"territory": "VN",
				"entity_verified": true,
				"eid_level": 2,
				"payment_account": true,
			},
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
	decided(patches) == {"allow": true, "reasons": [], "obligations": {"recorded": 1}, "policy": data.exchange.policy}
}

test_the_question_is_allowed if allowed([])

test_charter_01_proves_now if {
	allowed([set("/context/time_us", 1795280400000000)])
}

test_charter_01_refuses_before_after_and_when_paused if {
	refused([set("/context/time_us", 1795280399999999)]) == ["CHARTER-01"]
	refused([set("/context/time_us", 1826816400000000)]) == ["CHARTER-01", "CONT-02"]
	refused([set("/context/charter/state", "paused")]) == ["CHARTER-01"]
	refused([set("/context/charter/signed", false)]) == ["CHARTER-01"]
}

test_charter_01_refuses_when_a_fact_is_missing if {
	refused([gone("/context/charter/start_us")]) == ["CHARTER-01"]
	refused([gone("/context/charter/end_us")]) == ["CHARTER-01"]
	refused([gone("/context/charter/state")]) == ["CHARTER-01"]
	refused([gone("/context/charter/signed")]) == ["CHARTER-01"]
	refused([gone("/context/time_us")]) == ["CHARTER-01", "CONT-02"]
}

test_charter_02_proves_a_territory_of_the_cohort if {
	allowed([set("/context/charter/territories", ["LA", "VN"])])
}

test_charter_02_refuses_another_territory if {
	refused([set("/context/charter/territories", ["LA"])]) == ["CHARTER-02", "XBR-01"]
	refused([set("/subject/properties/territory", "SG")]) == ["CHARTER-02"]
}

test_charter_02_refuses_when_it_is_missing if {
	refused([gone("/context/charter/territories")]) == ["CHARTER-02", "XBR-01"]
	refused([gone("/subject/properties/territory")]) == ["CHARTER-02"]
}

test_charter_03_proves_a_sector_of_the_charter if {
	allowed([set("/resource/properties/sector", "du_lich")])
}

test_charter_03_refuses_any_other_sector if {
	refused([set("/resource/properties/sector", "y_te")]) == ["CHARTER-03"]
	refused([set("/context/charter/sectors", [])]) == ["CHARTER-03"]
}

test_charter_03_refuses_when_the_sector_is_missing if {
	refused([gone("/resource/properties/sector")]) == ["CHARTER-03"]
	refused([gone("/context/charter/sectors")]) == ["CHARTER-03"]
}

test_charter_04_proves_a_class_of_the_charter if {
	allowed([set("/resource/properties/class", "dung_chung")])
}

test_charter_04_refuses_another_class if {
	refused([set("/resource/properties/class", "cot_loi")]) == ["CHARTER-04", "LIST-02", "QRY-05"]
	refused([set("/context/charter/data_classes", [])]) == ["CHARTER-04"]
}

test_charter_04_refuses_when_the_class_is_missing if {
	refused([gone("/resource/properties/class")]) == ["CHARTER-04", "LIST-02", "QRY-05"]
	refused([gone("/context/charter/data_classes")]) == ["CHARTER-04"]
}

test_charter_05_proves_a_price_at_the_cap if {
	allowed([set("/resource/properties/price_vnd", 20000000)])
	allowed([set("/resource/properties/price_vnd", 0)])
}

test_charter_05_refuses_a_price_above_the_cap_or_below_nothing if {
	refused([set("/resource/properties/price_vnd", 20000001)]) == ["CHARTER-05"]
	refused([set("/resource/properties/price_vnd", -1)]) == ["CHARTER-05"]
	refused([set("/resource/properties/price_vnd", "25000")]) == ["CHARTER-05"]
	refused([set("/context/charter/caps/per_transaction_vnd", "a")]) == ["CHARTER-05"]
}

test_charter_05_refuses_when_price_or_cap_is_missing if {
	refused([gone("/resource/properties/price_vnd")]) == ["CHARTER-05"]
	refused([gone("/context/charter/caps")]) == ["CHARTER-05"]
	refused([gone("/context/charter/caps/per_transaction_vnd")]) == ["CHARTER-05"]
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

test_charter_07_proves_two_participants_of_the_market if {
	allowed([set("/context/provider/properties/roles", ["operator", "provider"])])
}

test_charter_07_refuses_the_supervisor_on_either_side if {
	refused([set("/subject/properties/roles", ["buyer", "regulator"])]) == ["CHARTER-07"]
	refused([set("/context/provider/properties/roles", ["provider", "regulator"])]) == ["CHARTER-07"]
	refused([set("/context/charter/regulator", "hiep-hoi-ban-le")]) == ["CHARTER-07"]
	refused([set("/context/charter/regulator", "cong-ty-fintech")]) == ["CHARTER-07"]
	refused([set("/context/charter/operator", "so-khcn")]) == ["CHARTER-07"]
}

test_charter_07_refuses_when_roles_are_missing if {
	refused([gone("/subject/properties/roles")]) == ["CHARTER-07", "PART-01"]
	refused([gone("/context/provider/properties/roles")]) == ["CHARTER-07", "PART-01"]
	refused([gone("/context/provider")]) == ["CHARTER-07", "CONT-01", "PART-01"]
	refused([gone("/context/charter/regulator")]) == ["CHARTER-07"]
}

test_part_01_proves_two_verified_parties if {
	allowed([set("/subject/properties/eid_level", 3)])
}

test_part_01_refuses_another_role_and_every_lack_of_standing if {
	refused([set("/subject/properties/roles", ["provider"])]) == ["PART-01"]
	refused([set("/context/provider/properties/roles", ["buyer"])]) == ["PART-01"]
	refused([set("/subject/properties/entity_verified", false)]) == ["PART-01"]
	refused([set("/context/provider/properties/entity_verified", false)]) == ["PART-01"]
	refused([set("/context/provider/properties/payment_account", false)]) == ["PART-01"]
	refused([set("/context/provider/properties/eid_level", 1)]) == ["PART-01"]
	refused([set("/subject/properties/eid_level", 1)]) == ["PART-01"]
}

test_part_01_refuses_when_standing_is_missing if {
	refused([gone("/subject/properties/entity_verified")]) == ["PART-01"]
	refused([gone("/context/provider/properties/entity_verified")]) == ["PART-01"]
	refused([gone("/context/provider/properties/eid_level")]) == ["PART-01"]
	refused([gone("/subject/properties/payment_account")]) == ["PART-01"]
	refused([gone("/context/charter/min_eid_level")]) == ["PART-01"]
}

test_part_02_proves_a_key if {
	allowed([set("/context/amr", ["pop"])])
	allowed([set("/context/charter/signed_requests", true)])
}

test_part_02_refuses_a_password if {
	refused([set("/context/amr", ["pwd"])]) == ["PART-02"]
	refused([set("/context/amr", [])]) == ["PART-02"]
}

test_part_02_refuses_when_the_sign_in_is_missing if {
	refused([gone("/context/amr")]) == ["PART-02"]
	refused([gone("/context/charter/signed_requests")]) == ["PART-02"]
}

test_list_02_proves_impersonal_and_de_identified_data if {
	allowed([
		set("/resource/properties/personal_origin", true),
		set("/resource/properties/deidentification", "an_danh_k"),
	])
	allowed([
		set("/resource/properties/personal_origin", true),
		set("/resource/properties/deidentification", "rieng_tu_vi_phan"),
		set("/resource/properties/class", "khu_nhan_dang"),
	])
}

test_list_02_refuses_pseudonyms_ciphers_and_nothing if {
	refused([set("/resource/properties/personal_origin", true)]) == ["LIST-02"]
	refused([
		set("/resource/properties/personal_origin", true),
		set("/resource/properties/deidentification", "gia_danh"),
	]) == ["LIST-02"]
	refused([
		set("/resource/properties/personal_origin", true),
		set("/resource/properties/deidentification", "ma_hoa"),
	]) == ["LIST-02"]
}

test_list_02_refuses_when_the_origin_is_missing if {
	refused([gone("/resource/properties/personal_origin")]) == ["LIST-02"]
	refused([
		set("/resource/properties/personal_origin", true),
		gone("/resource/properties/deidentification"),
	]) == ["LIST-02"]
}

test_cont_01_proves_a_contract_of_the_datasets_own_provider if {
	allowed([set("/resource/properties/signed_by", ["cong-ty-fintech", "hiep-hoi-ban-le"])])
}

test_cont_01_refuses_bad_signatures_and_another_provider if {
	refused([set("/resource/properties/verified", false)]) == ["CONT-01"]
	refused([set("/resource/properties/dataset_provider", "so-giao-thong")]) == ["CONT-01"]
	refused([set("/resource/properties/signed_by", ["hiep-hoi-ban-le"])]) == ["CONT-01"]
	refused([set("/resource/type", "query")]) == ["CONT-01"]
	refused([set("/context/provider/id", "so-giao-thong")]) == ["CONT-01"]
}

test_cont_01_refuses_when_the_verdict_is_missing if {
	refused([gone("/resource/properties/verified")]) == ["CONT-01"]
	refused([gone("/resource/properties/dataset_provider")]) == ["CONT-01"]
	refused([gone("/resource/properties/signed_by")]) == ["CONT-01"]
	refused([gone("/resource/id")]) == ["CONT-01"]
	refused([gone("/resource/properties/provider")]) == ["CONT-01", "CONT-05"]
}

test_cont_02_proves_a_term_that_is_yet_to_begin if {
	allowed([set("/resource/properties/not_before_us", 1795400000000000)])
}

test_cont_02_refuses_a_term_that_is_over_or_empty_and_an_old_version if {
	refused([set("/resource/properties/not_after_us", 1795341600000000)]) == ["CONT-02"]
	refused([set("/resource/properties/not_after_us", 1795300000000000)]) == ["CONT-02"]
	refused([set("/resource/properties/not_after_us", "a")]) == ["CONT-02"]
	refused([set("/resource/properties/version_current", false)]) == ["CONT-02"]
}

test_cont_02_refuses_when_a_date_is_missing if {
	refused([gone("/resource/properties/not_before_us")]) == ["CONT-02"]
	refused([gone("/resource/properties/not_after_us")]) == ["CONT-02"]
	refused([gone("/resource/properties/version_current")]) == ["CONT-02"]
	refused([gone("/context/time_us")]) == ["CHARTER-01", "CONT-02"]
}

test_cont_03_proves_one_purpose if {
	allowed([set("/resource/properties/purposes", ["thong_ke"])])
}

test_cont_03_refuses_no_purpose if {
	refused([set("/resource/properties/purposes", [])]) == ["CONT-03"]
	refused([set("/resource/properties/purposes", [""])]) == ["CONT-03"]
	refused([set("/resource/properties/purposes", "thong_ke")]) == ["CONT-03"]
	refused([set("/resource/properties/purposes", [5])]) == ["CONT-03"]
}

test_cont_03_refuses_when_the_purposes_are_missing if {
	refused([gone("/resource/properties/purposes")]) == ["CONT-03"]
}

test_cont_05_proves_the_buyer_who_signs if {
	allowed([set("/resource/properties/buyer", "cong-ty-fintech")])
}

test_cont_05_refuses_another_subject_and_a_sale_to_oneself if {
	refused([set("/subject/id", "cong-ty-khac")]) == ["CONT-05"]
	refused([set("/resource/properties/buyer", "hiep-hoi-ban-le")]) == ["CONT-05"]
}

test_cont_05_refuses_when_the_buyer_is_missing if {
	refused([gone("/resource/properties/buyer")]) == ["CONT-01", "CONT-05"]
	refused([gone("/subject/id")]) == ["CHARTER-02", "CHARTER-07", "CONT-05"]
}

test_qry_02_proves_a_mode_that_is_performed if {
	allowed([set("/context/charter/release_modes", ["exact"])])
}

test_qry_02_refuses_another_mode if {
	refused([set("/resource/properties/release", "dp")]) == ["QRY-02"]
	refused([set("/resource/properties/release", "threshold")]) == ["QRY-02"]
	refused([set("/context/charter/release_modes", ["dp"])]) == ["QRY-02"]
}

test_qry_02_refuses_when_the_mode_is_missing if {
	refused([gone("/resource/properties/release")]) == ["QRY-02"]
	refused([gone("/context/charter/release_modes")]) == ["QRY-02"]
}

test_qry_05_proves_a_group_at_the_floor_and_open_data if {
	allowed([set("/resource/properties/min_group", 5), set("/resource/properties/dataset_min_group", 5)])
	allowed([
		set("/resource/properties/unit", null),
		set("/resource/properties/dataset_unit", null),
		set("/resource/properties/min_group", 1),
		set("/resource/properties/class", "mo"),
	])
}

test_qry_05_refuses_a_group_below_a_floor_and_a_lost_unit if {
	refused([set("/resource/properties/min_group", 9)]) == ["QRY-05"]
	refused([
		set("/resource/properties/min_group", 4),
		set("/resource/properties/dataset_min_group", 4),
	]) == ["QRY-05"]
	refused([set("/resource/properties/unit", null)]) == ["QRY-05"]
	refused([
		set("/resource/properties/unit", null),
		set("/resource/properties/dataset_unit", null),
		set("/resource/properties/class", "khu_nhan_dang"),
		set("/resource/properties/personal_origin", true),
		set("/resource/properties/deidentification", "an_danh_k"),
	]) == ["QRY-05"]
	refused([
		set("/resource/properties/unit", null),
		set("/resource/properties/dataset_unit", null),
		set("/resource/properties/min_group", 0),
	]) == ["QRY-05"]
	refused([set("/resource/properties/min_group", "10")]) == ["QRY-05"]
	refused([set("/resource/properties/dataset_unit", "tinh")]) == ["QRY-05"]
}

test_qry_05_refuses_when_unit_or_group_is_missing if {
	refused([gone("/resource/properties/unit")]) == ["QRY-05"]
	refused([gone("/resource/properties/dataset_unit")]) == ["QRY-05"]
	refused([gone("/resource/properties/min_group")]) == ["QRY-05"]
	refused([gone("/resource/properties/dataset_min_group")]) == ["QRY-05"]
	refused([gone("/context/charter/privacy/k_min_business")]) == ["QRY-05"]
}

test_xbr_01_proves_a_territory_within_the_charters if {
	allowed([set("/context/charter/territories", ["LA", "VN"]), set("/resource/properties/territories", ["LA"])])
}

test_xbr_01_refuses_a_wider_territory if {
	refused([set("/resource/properties/territories", ["LA", "VN"])]) == ["XBR-01"]
	refused([set("/resource/properties/territories", [])]) == ["XBR-01"]
	refused([set("/resource/properties/territories", "VN")]) == ["XBR-01"]
}

test_xbr_01_refuses_when_the_territory_is_missing if {
	refused([gone("/resource/properties/territories")]) == ["XBR-01"]
	refused([gone("/context/charter/territories")]) == ["CHARTER-02", "XBR-01"]
}
