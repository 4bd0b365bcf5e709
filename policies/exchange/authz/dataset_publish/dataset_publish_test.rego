package exchange.authz.dataset_publish_test

import data.exchange.proof_test.gone
import data.exchange.proof_test.set

question := {
	"subject": {"type": "participant", "id": "so-giao-thong", "properties": {"roles": ["provider"], "territory": "VN"}},
	"action": {"name": "dataset.publish"},
	"resource": {
		"type": "dataset",
		"id": "xe_buyt_luot_di",
		"properties": {
			"class": "khu_nhan_dang",
			"sector": "giao_thong",
			"personal_origin": true,
			"deidentification": "du_lieu_tong_hop",
			"columns": [
				{"name": "hanh_khach_pid", "sensitivity": "P"},
				{"name": "tuyen", "sensitivity": "Q"},
				{"name": "doi_tuong_ve", "sensitivity": "S"},
				{"name": "gia_ve_vnd", "sensitivity": "M"},
			],
			"titles": ["en", "vi"],
			"update_frequency": "hang_quy",
			"unit": "hanh_khach_pid",
			"min_group": 10,
			"files": [{"declared": "sha256:9f", "actual": "sha256:9f"}],
			"signed_by_provider": true,
		},
	},
	"context": {"time_us": 1795341600000000},
}

# Open figures about places: nobody's unit, nobody's secret.
open_data := [
	set(its("class"), "mo"),
	set(its("personal_origin"), false),
	set(its("deidentification"), null),
	set(its("columns"), [{"name": "dia_phuong", "sensitivity": "O"}]),
	set(its("unit"), null),
	set(its("min_group"), null),
]

decided(patches) := answer if {
	answer := data.exchange.authz.decision with input as json.patch(question, patches)
}

refused(patches) := answer.reasons if {
	answer := decided(patches)
	answer == {"allow": false, "reasons": answer.reasons, "obligations": {}, "policy": data.exchange.policy}
}

allowed(patches) if {
	decided(patches) == {
		"allow": true,
		"reasons": [],
		"obligations": {"listed": 1},
		"policy": data.exchange.policy,
	}
}

its(name) := concat("/", ["/resource/properties", name])

test_the_question_is_allowed if allowed([])

test_open_data_is_allowed if allowed(open_data)

test_charter_03_proves_a_sector_of_the_pilot if allowed([set(its("sector"), "du_lich")])

test_charter_03_refuses_another_sector if {
	refused([set(its("sector"), "y_te")]) == ["CHARTER-03"]
}

test_charter_03_refuses_when_the_sector_is_missing if {
	refused([gone(its("sector"))]) == ["CHARTER-03"]
}

test_charter_04_proves_a_class_of_the_charter if allowed([set(its("class"), "thuong_mai")])

test_charter_04_refuses_important_and_core_data if {
	refused([set(its("class"), "quan_trong")]) == ["CHARTER-04", "QRY-05"]
	refused([set(its("class"), "cot_loi")]) == ["CHARTER-04", "QRY-05"]
}

test_charter_04_refuses_when_the_class_is_missing if {
	refused([gone(its("class"))]) == ["CHARTER-04", "QRY-05"]
}

test_charter_07_proves_a_participant_of_the_market if {
	"CHARTER-07" in data.exchange.authz.dataset_publish.proved with input as question
}

test_charter_07_refuses_the_regulator if {
	refused([set("/subject/properties/roles", ["provider", "regulator"])]) == ["CHARTER-07"]
}

test_charter_07_refuses_when_the_roles_are_missing if {
	refused([gone("/subject/properties/roles")]) == ["CHARTER-07", "PART-01"]
	refused([set("/subject/properties/roles", [])]) == ["CHARTER-07", "PART-01"]
}

test_part_01_proves_a_provider if allowed([set("/subject/properties/roles", ["buyer", "provider"])])

test_part_01_refuses_another_role if {
	refused([set("/subject/properties/roles", ["buyer"])]) == ["PART-01"]
	refused([set("/subject/type", "service")]) == ["PART-01"]
}

test_part_01_refuses_when_the_subject_is_missing if {
	refused([gone("/subject/id")]) == ["PART-01"]
	refused([gone("/subject/type")]) == ["PART-01"]
}

test_list_02_proves_a_method_or_no_person_at_all if {
	allowed([set(its("deidentification"), "rieng_tu_vi_phan")])
	allowed([set(its("class"), "thuong_mai"), set(its("personal_origin"), false), set(its("deidentification"), null)])
}

test_list_02_refuses_a_pseudonym_and_a_cipher if {
	every method in ["gia_danh_hoa", "ma_hoa", "", null] {
		refused([set(its("deidentification"), method)]) == ["LIST-02"]
	}
}

# The class says de-identified, hence of personal origin, whatever the flag says.
test_list_02_refuses_a_flag_that_belies_the_class if {
	refused([set(its("personal_origin"), false), set(its("deidentification"), null)]) == ["LIST-02"]
}

test_list_02_refuses_when_the_origin_is_missing if {
	refused([gone(its("personal_origin"))]) == ["LIST-02"]
	refused([gone(its("deidentification"))]) == ["LIST-02"]
	refused([set(its("personal_origin"), "false")]) == ["LIST-02"]
}

test_list_03_proves_classified_columns if {
	"LIST-03" in data.exchange.authz.dataset_publish.proved with input as question
}

test_list_03_refuses_a_direct_identifier if {
	refused([set(its("columns/1/sensitivity"), "D")]) == ["LIST-03"]
	refused([set(its("columns/1/sensitivity"), "X")]) == ["LIST-03"]
}

test_list_03_refuses_when_a_classification_is_missing if {
	refused([gone(its("columns/1/sensitivity"))]) == ["LIST-03"]
	refused([gone(its("columns/1/name"))]) == ["LIST-03"]
	refused([set(its("columns"), [])]) == ["LIST-03", "QRY-05"]
	refused([gone(its("columns"))]) == ["LIST-03", "QRY-05"]
}

test_list_05_proves_an_offer_that_says_what_it_is if {
	"LIST-05" in data.exchange.authz.dataset_publish.proved with input as question
}

test_list_05_refuses_an_offer_in_one_language if {
	refused([set(its("titles"), ["vi"])]) == ["LIST-05"]
	refused([set(its("titles"), ["en"])]) == ["LIST-05"]
	refused([set(its("update_frequency"), "")]) == ["LIST-05"]
	refused([set("/resource/type", "query")]) == ["LIST-05"]
}

test_list_05_refuses_when_a_part_of_the_offer_is_missing if {
	refused([gone(its("titles"))]) == ["LIST-05"]
	refused([gone(its("update_frequency"))]) == ["LIST-05"]
	refused([gone("/resource/id")]) == ["LIST-05"]
}

test_list_08_proves_files_as_signed if {
	"LIST-08" in data.exchange.authz.dataset_publish.proved with input as question
}

test_list_08_refuses_another_file_and_another_signer if {
	refused([set(its("files/0/actual"), "sha256:00")]) == ["LIST-08"]
	refused([set(its("files/0/declared"), null)]) == ["LIST-08"]
	refused([set(its("files/0"), {"declared": null, "actual": null})]) == ["LIST-08"]
	refused([set(its("signed_by_provider"), false)]) == ["LIST-08"]
}

test_list_08_refuses_when_a_digest_is_missing if {
	refused([gone(its("files/0/declared"))]) == ["LIST-08"]
	refused([set(its("files/0"), {})]) == ["LIST-08"]
	refused([set(its("files"), [])]) == ["LIST-08"]
	refused([gone(its("files"))]) == ["LIST-08"]
	refused([gone(its("signed_by_provider"))]) == ["LIST-08"]
}

test_qry_05_proves_a_unit_with_its_floor if {
	allowed([set(its("class"), "thuong_mai"), set(its("min_group"), 5)])
	allowed([set(its("min_group"), 50)])
}

test_qry_05_refuses_a_group_below_the_floor_and_a_unit_that_is_no_key if {
	refused([set(its("min_group"), 9)]) == ["QRY-05"]
	refused([set(its("class"), "thuong_mai"), set(its("min_group"), 4)]) == ["QRY-05"]
	refused([set(its("min_group"), "10")]) == ["QRY-05"]
	refused([set(its("unit"), "tuyen")]) == ["QRY-05"]
	refused([set(its("unit"), "khong_co")]) == ["QRY-05"]
}

test_qry_05_refuses_open_data_in_which_someone_is_told_apart if {
	someone := {"name": "nguoi_pid", "sensitivity": "P"}
	refused(array.concat(open_data, [set(its("columns/0"), someone)])) == ["QRY-05"]
	refused(array.concat(open_data, [set(its("columns/0/sensitivity"), "S")])) == ["QRY-05"]
	refused([set(its("unit"), null)]) == ["QRY-05"]
}

test_qry_05_refuses_when_unit_or_group_is_missing if {
	refused([gone(its("unit"))]) == ["QRY-05"]
	refused([gone(its("min_group"))]) == ["QRY-05"]
	refused(array.concat(open_data, [gone(its("unit"))])) == ["QRY-05"]
}
