package exchange.authz.dataset_publish_test

import data.exchange.authz_test.gone
import data.exchange.authz_test.set

question := {
	"subject": {
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
	"action": {"name": "dataset.publish"},
	"resource": {
		"type": "dataset",
		"id": "hoa_don_dnnvv",
		"properties": {
			"class": "thuong_mai",
			"sector": "dnnvv",
			"personal_origin": false,
			"deidentification": null,
			"columns": [
				{"name": "nguoi_ban_pid", "sensitivity": "P"},
				{"name": "tinh", "sensitivity": "Q"},
				{"name": "doanh_thu_vnd", "sensitivity": "M"},
			],
			"titles": ["en", "vi"],
			"update_frequency": "hang_thang",
			"unit": "nguoi_ban_pid",
			"min_group": 10,
			"files": [{"declared": "sha256:9f", "actual": "sha256:9f"}],
			"signed_by_provider": true,
			"flags": [],
			"subject_count": 0,
			"subject_sensitive": false,
			"assessment": {"assessor": "to-chuc-danh-gia", "report": null},
			"derived": null,
			"quality": ["en", "vi"],
			"lawful_origin": ["en", "vi"],
			"seller_status": "hiep_hoi",
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
	decided(patches) == {"allow": true, "reasons": [], "obligations": {"listed": 1}, "policy": data.exchange.policy}
}

test_the_question_is_allowed if allowed([])

test_charter_01_proves_now if {
	allowed([set("/context/time_us", 1795280400000000)])
}

test_charter_01_refuses_before_after_and_when_paused if {
	refused([set("/context/time_us", 1795280399999999)]) == ["CHARTER-01"]
	refused([set("/context/time_us", 1826816400000000)]) == ["CHARTER-01"]
	refused([set("/context/charter/state", "paused")]) == ["CHARTER-01"]
	refused([set("/context/charter/signed", false)]) == ["CHARTER-01"]
}

test_charter_01_refuses_when_a_fact_is_missing if {
	refused([gone("/context/charter/start_us")]) == ["CHARTER-01"]
	refused([gone("/context/charter/end_us")]) == ["CHARTER-01"]
	refused([gone("/context/charter/state")]) == ["CHARTER-01"]
	refused([gone("/context/charter/signed")]) == ["CHARTER-01"]
	refused([gone("/context/time_us")]) == ["CHARTER-01"]
}

test_charter_02_proves_a_territory_of_the_cohort if {
	allowed([set("/context/charter/territories", ["LA", "VN"])])
}

test_charter_02_refuses_another_territory if {
	refused([set("/context/charter/territories", ["LA"])]) == ["CHARTER-02"]
	refused([set("/subject/properties/territory", "SG")]) == ["CHARTER-02"]
}

test_charter_02_refuses_when_it_is_missing if {
	refused([gone("/context/charter/territories")]) == ["CHARTER-02"]
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

test_charter_04_refuses_any_other_class_and_core_data if {
	refused([set("/resource/properties/class", "quan_trong")]) == ["CHARTER-04", "LIST-02", "QRY-05"]
	refused([
		set("/resource/properties/class", "cot_loi"),
		set("/context/charter/data_classes", ["cot_loi"]),
	]) == ["CHARTER-04", "LIST-02", "LIST-04", "QRY-05"]
	refused([set("/context/charter/data_classes", [])]) == ["CHARTER-04"]
}

test_charter_04_refuses_when_the_class_is_missing if {
	refused([gone("/resource/properties/class")]) == ["CHARTER-04", "LIST-02", "LIST-04", "QRY-05"]
	refused([gone("/context/charter/data_classes")]) == ["CHARTER-04"]
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

test_charter_07_proves_a_provider_beside_two_offices if {
	allowed([set("/subject/properties/roles", ["operator", "provider"])])
}

test_charter_07_refuses_the_supervisor_as_provider if {
	refused([set("/subject/properties/roles", ["provider", "regulator"])]) == ["CHARTER-07"]
	refused([set("/context/charter/regulator", "hiep-hoi-ban-le")]) == ["CHARTER-07"]
	refused([set("/context/charter/operator", "so-khcn")]) == ["CHARTER-07"]
}

test_charter_07_refuses_when_roles_or_offices_are_missing if {
	refused([gone("/subject/properties/roles")]) == ["CHARTER-07", "PART-01"]
	refused([gone("/context/charter/regulator")]) == ["CHARTER-07"]
	refused([gone("/context/charter/operator")]) == ["CHARTER-07"]
}

test_part_01_proves_a_verified_provider if {
	allowed([set("/subject/properties/eid_level", 3)])
}

test_part_01_refuses_another_role_and_every_lack_of_standing if {
	refused([set("/subject/properties/roles", ["buyer"])]) == ["PART-01"]
	refused([set("/subject/properties/entity_verified", false)]) == ["PART-01"]
	refused([set("/subject/properties/payment_account", "true")]) == ["PART-01"]
	refused([set("/subject/properties/eid_level", 1)]) == ["PART-01"]
	refused([set("/subject/type", "service")]) == ["CHARTER-02", "PART-01"]
}

test_part_01_refuses_when_standing_is_missing if {
	refused([gone("/subject/properties/entity_verified")]) == ["PART-01"]
	refused([gone("/subject/properties/payment_account")]) == ["PART-01"]
	refused([gone("/subject/properties/eid_level")]) == ["PART-01"]
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

test_list_01_proves_that_there_is_no_flag if {
	allowed([set("/resource/properties/flags", [])])
}

test_list_01_refuses_every_flag if {
	refused([set("/resource/properties/flags", ["quoc_phong"])]) == ["LIST-01"]
	refused([set("/resource/properties/flags", ["co_yeu", "an_ninh"])]) == ["LIST-01"]
	refused([set("/resource/properties/flags", {})]) == ["LIST-01"]
}

test_list_01_refuses_when_the_flags_are_missing if {
	refused([gone("/resource/properties/flags")]) == ["LIST-01"]
	refused([set("/resource/properties/flags", null)]) == ["LIST-01"]
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

test_list_03_proves_columns_that_identify_nobody if {
	allowed([set("/resource/properties/columns/1/sensitivity", "O")])
}

test_list_03_refuses_a_direct_identifier_and_a_column_without_a_name if {
	refused([set("/resource/properties/columns/1/sensitivity", "D")]) == ["LIST-03"]
	refused([set("/resource/properties/columns/1/sensitivity", "X")]) == ["LIST-03"]
	refused([set("/resource/properties/columns/1/name", "")]) == ["LIST-03"]
	refused([set("/resource/properties/columns", [])]) == ["LIST-03", "QRY-05"]
	refused([set("/resource/properties/columns", 5)]) == ["LIST-03", "QRY-05"]
}

test_list_03_refuses_when_a_class_of_a_column_is_missing if {
	refused([gone("/resource/properties/columns/1/sensitivity")]) == ["LIST-03"]
	refused([gone("/resource/properties/columns/1/name")]) == ["LIST-03"]
	refused([gone("/resource/properties/columns")]) == ["LIST-03", "QRY-05"]
}

test_list_04_proves_counts_below_the_thresholds_and_de_identified_data if {
	allowed([set("/resource/properties/subject_count", 99999)])
	allowed([
		set("/resource/properties/subject_count", 9999),
		set("/resource/properties/subject_sensitive", true),
	])
	allowed([
		set("/resource/properties/subject_count", 5000000),
		set("/resource/properties/personal_origin", true),
		set("/resource/properties/deidentification", "an_danh_k"),
	])
}

test_list_04_refuses_important_and_core_data_whose_class_does_not_say_so if {
	refused([set("/resource/properties/subject_count", 100000)]) == ["LIST-04"]
	refused([
		set("/resource/properties/subject_count", 10000),
		set("/resource/properties/subject_sensitive", true),
	]) == ["LIST-04"]
	refused([set("/resource/properties/subject_count", -1)]) == ["LIST-04"]
	refused([set("/resource/properties/subject_count", "5")]) == ["LIST-04"]
	refused([
		set("/resource/properties/subject_count", 999999),
		set("/resource/properties/class", "quan_trong"),
		set("/context/charter/data_classes", ["quan_trong"]),
	]) == ["LIST-02", "QRY-05"]
	refused([
		set("/resource/properties/subject_count", 1000000),
		set("/resource/properties/class", "quan_trong"),
		set("/context/charter/data_classes", ["quan_trong"]),
	]) == ["LIST-02", "LIST-04", "QRY-05"]
	refused([
		set("/resource/properties/subject_count", 99999),
		set("/resource/properties/subject_sensitive", true),
		set("/resource/properties/class", "quan_trong"),
		set("/context/charter/data_classes", ["quan_trong"]),
	]) == ["LIST-02", "QRY-05"]
	refused([
		set("/resource/properties/subject_count", 100000),
		set("/resource/properties/subject_sensitive", true),
		set("/resource/properties/class", "quan_trong"),
		set("/context/charter/data_classes", ["quan_trong"]),
	]) == ["LIST-02", "LIST-04", "QRY-05"]
}

test_list_04_refuses_when_the_count_is_missing if {
	refused([gone("/resource/properties/subject_count")]) == ["LIST-04"]
	refused([set("/resource/properties/subject_count", null)]) == ["LIST-04"]
	refused([gone("/resource/properties/subject_sensitive")]) == ["LIST-04"]
	refused([set("/resource/properties/subject_sensitive", null)]) == ["LIST-04"]
}

test_list_05_proves_a_whole_sheet if {
	allowed([set("/resource/properties/titles", ["en", "fr", "vi"])])
}

test_list_05_refuses_a_sheet_in_one_language_and_an_unknown_seller if {
	refused([set("/resource/properties/titles", ["vi"])]) == ["LIST-05"]
	refused([set("/resource/properties/quality", ["en"])]) == ["LIST-05"]
	refused([set("/resource/properties/lawful_origin", [])]) == ["LIST-05"]
	refused([set("/resource/properties/seller_status", "ca_nhan")]) == ["LIST-05"]
	refused([set("/resource/properties/update_frequency", "")]) == ["LIST-05"]
	refused([set("/resource/type", "file")]) == ["LIST-05"]
	refused([set("/resource/id", "")]) == ["LIST-05"]
}

test_list_05_refuses_when_a_member_is_missing if {
	refused([gone("/resource/properties/titles")]) == ["LIST-05"]
	refused([gone("/resource/properties/quality")]) == ["LIST-05"]
	refused([set("/resource/properties/quality", null)]) == ["LIST-05"]
	refused([gone("/resource/properties/lawful_origin")]) == ["LIST-05"]
	refused([set("/resource/properties/lawful_origin", null)]) == ["LIST-05"]
	refused([gone("/resource/properties/seller_status")]) == ["LIST-05"]
	refused([set("/resource/properties/seller_status", null)]) == ["LIST-05"]
	refused([gone("/resource/properties/update_frequency")]) == ["LIST-05"]
	refused([gone("/resource/id")]) == ["LIST-05"]
	refused([gone("/resource/type")]) == ["LIST-05"]
}

test_list_06_proves_original_data_and_a_labelled_product if {
	allowed([set("/resource/properties/derived", null)])
	allowed([
		set("/resource/properties/derived", {"label": "sản phẩm có giá trị gia tăng, không phải dữ liệu gốc", "method": "cộng theo tháng", "inputs": "hóa đơn", "frequency": "hang_thang"}),
	])
}

test_list_06_refuses_a_product_without_the_label_or_its_method if {
	refused([
		set("/resource/properties/derived", {"label": "dữ liệu gốc", "method": "cộng theo tháng", "inputs": "hóa đơn", "frequency": "hang_thang"}),
	]) == ["LIST-06"]
	refused([
		set("/resource/properties/derived", {"label": "sản phẩm có giá trị gia tăng, không phải dữ liệu gốc", "method": "", "inputs": "hóa đơn", "frequency": "hang_thang"}),
	]) == ["LIST-06"]
	refused([
		set("/resource/properties/derived", {"label": "sản phẩm có giá trị gia tăng, không phải dữ liệu gốc", "method": "cộng theo tháng", "inputs": 5, "frequency": "hang_thang"}),
	]) == ["LIST-06"]
	refused([set("/resource/properties/derived", false)]) == ["LIST-06"]
	refused([set("/resource/properties/derived", [])]) == ["LIST-06"]
}

test_list_06_refuses_when_something_of_it_is_missing if {
	refused([gone("/resource/properties/derived")]) == ["LIST-06"]
	refused([
		set("/resource/properties/derived", {"label": "sản phẩm có giá trị gia tăng, không phải dữ liệu gốc", "method": "cộng theo tháng", "inputs": "hóa đơn"}),
	]) == ["LIST-06"]
	refused([
		set("/resource/properties/derived", {"method": "cộng theo tháng", "inputs": "hóa đơn", "frequency": "hang_thang"}),
	]) == ["LIST-06"]
}

test_list_07_proves_an_assessor_of_its_own if {
	allowed([set("/resource/properties/assessment/assessor", "cong-ty-kiem-dinh")])
}

test_list_07_refuses_the_seller_as_assessor if {
	refused([set("/resource/properties/assessment/assessor", "hiep-hoi-ban-le")]) == ["LIST-07"]
	refused([set("/resource/properties/assessment/assessor", "")]) == ["LIST-07"]
	refused([set("/resource/properties/assessment/assessor", null)]) == ["LIST-07"]
	refused([set("/resource/properties/assessment/assessor", 5)]) == ["LIST-07"]
}

test_list_07_refuses_when_the_assessment_is_missing if {
	refused([gone("/resource/properties/assessment")]) == ["LIST-07"]
	refused([set("/resource/properties/assessment", null)]) == ["LIST-07"]
	refused([gone("/resource/properties/assessment/assessor")]) == ["LIST-07"]
	refused([gone("/subject/id")]) == ["CHARTER-02", "CHARTER-07", "LIST-07"]
}

test_list_08_proves_files_as_signed if {
	allowed([
		set("/resource/properties/files", [{"declared": "sha256:1", "actual": "sha256:1"}, {"declared": "sha256:2", "actual": "sha256:2"}]),
	])
}

test_list_08_refuses_another_file_and_none if {
	refused([set("/resource/properties/files/0/actual", "sha256:00")]) == ["LIST-08"]
	refused([set("/resource/properties/files/0", {"declared": null, "actual": null})]) == ["LIST-08"]
	refused([set("/resource/properties/files", [])]) == ["LIST-08"]
	refused([set("/resource/properties/files", 5)]) == ["LIST-08"]
	refused([set("/resource/properties/signed_by_provider", false)]) == ["LIST-08"]
}

test_list_08_refuses_when_a_digest_is_missing if {
	refused([gone("/resource/properties/files")]) == ["LIST-08"]
	refused([gone("/resource/properties/files/0/declared")]) == ["LIST-08"]
	refused([gone("/resource/properties/files/0/actual")]) == ["LIST-08"]
	refused([gone("/resource/properties/signed_by_provider")]) == ["LIST-08"]
}

test_qry_05_proves_a_unit_with_its_floor_and_data_without_one if {
	allowed([set("/resource/properties/min_group", 5)])
	allowed([
		set("/resource/properties/unit", null),
		set("/resource/properties/columns", [{"name": "nam", "sensitivity": "O"}]),
	])
}

test_qry_05_refuses_a_group_below_the_floor_and_a_lost_unit if {
	refused([set("/resource/properties/min_group", 4)]) == ["QRY-05"]
	refused([set("/resource/properties/min_group", "10")]) == ["QRY-05"]
	refused([set("/resource/properties/unit", "tinh")]) == ["QRY-05"]
	refused([set("/resource/properties/unit", null)]) == ["QRY-05"]
	refused([
		set("/resource/properties/unit", null),
		set("/resource/properties/columns", [{"name": "a", "sensitivity": "S"}]),
	]) == ["QRY-05"]
	refused([
		set("/resource/properties/unit", null),
		set("/resource/properties/columns", [{"name": "nam", "sensitivity": "O"}]),
		set("/resource/properties/class", "khu_nhan_dang"),
		set("/resource/properties/personal_origin", true),
		set("/resource/properties/deidentification", "an_danh_k"),
	]) == ["QRY-05"]
}

test_qry_05_refuses_when_unit_or_group_is_missing if {
	refused([gone("/resource/properties/unit")]) == ["QRY-05"]
	refused([gone("/resource/properties/min_group")]) == ["QRY-05"]
	refused([set("/resource/properties/min_group", null)]) == ["QRY-05"]
	refused([gone("/context/charter/privacy")]) == ["QRY-05"]
	refused([gone("/context/charter/privacy/k_min_business")]) == ["QRY-05"]
}
