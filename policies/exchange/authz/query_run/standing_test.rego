package exchange.authz.query_run_test

import data.exchange.authz_test.gone
import data.exchange.authz_test.set

test_part_01_proves_a_verified_buyer_of_level_two if {
	allowed([set("/subject/properties/roles", ["buyer", "provider"])])
	allowed([set("/subject/properties/eid_level", 3)])
}

test_part_01_refuses_another_role_and_every_lack_of_standing if {
	refused([set("/subject/properties/roles", ["provider"])]) == ["PART-01"]
	refused([set("/subject/properties/entity_verified", false)]) == ["PART-01"]
	refused([set("/subject/properties/payment_account", false)]) == ["PART-01"]
	refused([set("/subject/properties/eid_level", 1)]) == ["PART-01"]
	refused([set("/subject/properties/eid_level", "2")]) == ["PART-01"]
	refused([set("/context/charter/min_eid_level", 3)]) == ["PART-01"]
	refused([set("/context/charter/min_eid_level", 0)]) == ["PART-01"]
}

test_part_01_refuses_when_standing_is_missing if {
	refused([gone("/subject/properties/entity_verified")]) == ["PART-01"]
	refused([gone("/subject/properties/eid_level")]) == ["PART-01"]
	refused([gone("/subject/properties/payment_account")]) == ["PART-01"]
	refused([gone("/context/charter/min_eid_level")]) == ["PART-01"]
	refused([gone("/subject/properties/roles")]) == ["PART-01", "REG-01"]
}

test_reg_01_proves_roles_of_the_market if {
	allowed([set("/subject/properties/roles", ["buyer", "operator"])])
}

test_reg_01_refuses_the_regulator_even_as_buyer if {
	refused([set("/subject/properties/roles", ["buyer", "regulator"])]) == ["REG-01"]
	refused([set("/subject/properties/roles", ["buyer", "auditor"])]) == ["REG-01"]
	refused([set("/subject/properties/roles", ["buyer", null])]) == ["REG-01"]
	refused([set("/subject/properties/roles", ["regulator"])]) == ["PART-01", "REG-01"]
}

test_reg_01_refuses_when_the_roles_are_missing if {
	refused([gone("/subject/properties/roles")]) == ["PART-01", "REG-01"]
	refused([set("/subject/properties/roles", [])]) == ["PART-01", "REG-01"]
	refused([set("/subject/properties/roles", "buyer")]) == ["PART-01", "REG-01"]
}

test_charter_03_proves_a_sector_of_the_charter if {
	allowed([set("/resource/properties/datasets/0/sector", "du_lich")])
}

test_charter_03_refuses_any_other_sector if {
	refused([set("/resource/properties/datasets/0/sector", "y_te")]) == ["CHARTER-03"]
	refused([set("/resource/properties/datasets/0/sector", "")]) == ["CHARTER-03"]
	refused([set("/context/charter/sectors", [])]) == ["CHARTER-03"]
	refused([set("/context/charter/sectors", "dnnvv")]) == ["CHARTER-03"]
}

test_charter_03_refuses_when_the_sector_is_missing if {
	refused([gone("/resource/properties/datasets/0/sector")]) == ["CHARTER-03"]
	refused([gone("/context/charter/sectors")]) == ["CHARTER-03"]
}

test_charter_04_proves_a_class_of_the_charter if {
	allowed([set("/resource/properties/datasets/0/class", "dung_chung")])
}

test_charter_04_refuses_any_other_class if {
	refused([set("/resource/properties/datasets/0/class", "quan_trong")]) == ["CHARTER-04", "LIST-02", "QRY-05"]
	refused([set("/resource/properties/datasets/0/class", "cot_loi")]) == ["CHARTER-04", "LIST-02", "QRY-05"]
	refused([set("/context/charter/data_classes", ["mo"])]) == ["CHARTER-04"]
}

test_charter_04_refuses_when_the_class_is_missing if {
	refused([gone("/resource/properties/datasets/0/class")]) == ["CHARTER-04", "LIST-02", "QRY-05"]
	refused([gone("/context/charter/data_classes")]) == ["CHARTER-04"]
}

test_list_02_proves_de_identified_and_impersonal_data if {
	allowed([
		set("/resource/properties/datasets/0/personal_origin", true),
		set("/resource/properties/datasets/0/deidentification", "an_danh_k"),
	])
	allowed([set("/resource/properties/datasets/0/deidentification", "khai_quat_hoa")])
	allowed([
		set("/resource/properties/datasets/0/class", "khu_nhan_dang"),
		set("/resource/properties/datasets/0/personal_origin", true),
		set("/resource/properties/datasets/0/deidentification", "du_lieu_tong_hop"),
	])
}

test_list_02_refuses_a_pseudonym_a_cipher_and_nothing if {
	refused([set("/resource/properties/datasets/0/personal_origin", true)]) == ["LIST-02"]
	refused([
		set("/resource/properties/datasets/0/personal_origin", true),
		set("/resource/properties/datasets/0/deidentification", "gia_danh"),
	]) == ["LIST-02"]
	refused([
		set("/resource/properties/datasets/0/personal_origin", true),
		set("/resource/properties/datasets/0/deidentification", "ma_hoa"),
	]) == ["LIST-02"]
	refused([set("/resource/properties/datasets/0/class", "khu_nhan_dang")]) == ["LIST-02"]
}

test_list_02_refuses_when_the_origin_is_missing if {
	refused([gone("/resource/properties/datasets/0/personal_origin")]) == ["LIST-02"]
	refused([
		set("/resource/properties/datasets/0/personal_origin", true),
		gone("/resource/properties/datasets/0/deidentification"),
	]) == ["LIST-02"]
	refused([set("/resource/properties/datasets/0/personal_origin", null)]) == ["LIST-02"]
}

test_list_08_proves_a_version_as_its_provider_signed_it if {
	allowed([set("/resource/properties/datasets/0/manifest_verified", true)])
}

test_list_08_refuses_one_that_did_not_verify if {
	refused([set("/resource/properties/datasets/0/manifest_verified", false)]) == ["LIST-08"]
	refused([set("/resource/properties/datasets/0/manifest_verified", "true")]) == ["LIST-08"]
}

test_list_08_refuses_when_the_verdict_is_missing if {
	refused([gone("/resource/properties/datasets/0/manifest_verified")]) == ["LIST-08"]
}
