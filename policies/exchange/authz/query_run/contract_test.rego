package exchange.authz.query_run_test

import data.exchange.authz_test.gone
import data.exchange.authz_test.set

test_cont_01_proves_a_verified_contract if {
	allowed([set("/resource/properties/datasets/0/agreement/signed_by", ["cong-ty-fintech", "hiep-hoi-ban-le"])])
}

test_cont_01_refuses_one_that_did_not_verify_or_lacks_a_party if {
	refused([set("/resource/properties/datasets/0/agreement/verified", false)]) == ["CONT-01"]
	refused([set("/resource/properties/datasets/0/agreement/verified", "true")]) == ["CONT-01"]
	refused([
		set("/resource/properties/datasets/0/agreement/provider", "cong-ty-fintech"),
	]) == ["CHARTER-05", "CONT-01"]
	refused([
		set("/resource/properties/datasets/0/agreement/signed_by", ["hiep-hoi-ban-le", "san-du-lieu"]),
	]) == ["CONT-01"]
	refused([set("/resource/properties/datasets/0/agreement/signed_by", ["cong-ty-fintech"])]) == ["CONT-01"]
	refused([set("/resource/properties/datasets/0/agreement/signed_by", "cong-ty-fintech")]) == ["CONT-01"]
	refused([set("/resource/properties/datasets/0/agreement/id", "")]) == ["CONT-01"]
}

test_cont_01_refuses_when_the_verdict_is_missing if {
	refused([gone("/resource/properties/datasets/0/agreement/verified")]) == ["CONT-01"]
	refused([gone("/resource/properties/datasets/0/agreement/id")]) == ["CONT-01"]
	refused([gone("/resource/properties/datasets/0/agreement/signed_by")]) == ["CONT-01"]
	refused([gone("/resource/properties/datasets/0/agreement/provider")]) == ["CHARTER-05", "CONT-01"]
	refused([gone("/resource/properties/datasets/0/agreement/buyer")]) == ["CONT-01", "CONT-05"]
}

test_cont_02_proves_a_contract_from_its_first_instant_and_a_version_kept if {
	allowed([set("/context/time_us", 1795300000000000)])
	allowed([set("/context/time_us", 1826799999999999)])
	allowed([
		set("/resource/properties/datasets/0/version", "sha256:aa"),
		set("/resource/properties/datasets/0/agreement/follows", true),
	])
}

test_cont_02_refuses_before_after_out_of_force_and_another_version if {
	refused([set("/context/time_us", 1795299999999999)]) == ["CONT-02"]
	refused([set("/context/time_us", 1826800000000000)]) == ["CONT-02"]
	refused([set("/resource/properties/datasets/0/agreement/not_after_us", "a")]) == ["CONT-02"]
	refused([set("/resource/properties/datasets/0/agreement/state", "suspended")]) == ["CONT-02"]
	refused([set("/resource/properties/datasets/0/agreement/state", "terminated")]) == ["CONT-02"]
	refused([set("/resource/properties/datasets/0/version", "sha256:aa")]) == ["CONT-02"]
	refused([
		set("/resource/properties/datasets/0/version", "sha256:aa"),
		set("/resource/properties/datasets/0/agreement/follows", true),
		set("/resource/properties/datasets/0/version_kept", false),
	]) == ["CONT-02"]
	refused([
		set("/resource/properties/datasets/0/version", "sha256:aa"),
		set("/resource/properties/datasets/0/agreement/follows", true),
		set("/resource/properties/datasets/0/version_kept", "true"),
	]) == ["CONT-02"]
}

test_cont_02_refuses_when_a_date_a_state_or_a_version_is_missing if {
	refused([gone("/resource/properties/datasets/0/agreement/not_before_us")]) == ["CONT-02"]
	refused([gone("/resource/properties/datasets/0/agreement/not_after_us")]) == ["CONT-02"]
	refused([gone("/resource/properties/datasets/0/agreement/state")]) == ["CONT-02"]
	refused([gone("/resource/properties/datasets/0/agreement/version")]) == ["CONT-02"]
	refused([gone("/resource/properties/datasets/0/agreement/follows")]) == ["CONT-02"]
	refused([gone("/resource/properties/datasets/0/version")]) == ["CONT-02"]
	refused([
		gone("/resource/properties/datasets/0/version"),
		gone("/resource/properties/datasets/0/agreement/version"),
	]) == ["CONT-02"]
	refused([
		set("/resource/properties/datasets/0/version", "sha256:aa"),
		set("/resource/properties/datasets/0/agreement/follows", true),
		gone("/resource/properties/datasets/0/version_kept"),
	]) == ["CONT-02"]
}

test_cont_03_proves_each_purpose_of_the_contract if {
	allowed([set("/context/purpose", "nghien_cuu")])
}

test_cont_03_refuses_any_other_purpose if {
	refused([set("/context/purpose", "tiep_thi")]) == ["CONT-03"]
	refused([set("/context/purpose", "")]) == ["CONT-03"]
	refused([set("/context/purpose", null)]) == ["CONT-03"]
	refused([set("/resource/properties/datasets/0/agreement/purposes", [])]) == ["CONT-03"]
	refused([set("/resource/properties/datasets/0/agreement/purposes", ["*"])]) == ["CONT-03"]
	refused([set("/resource/properties/datasets/0/agreement/purposes", "thong_ke")]) == ["CONT-03"]
}

test_cont_03_refuses_when_the_purpose_is_missing if {
	refused([gone("/context/purpose")]) == ["CONT-03"]
	refused([gone("/resource/properties/datasets/0/agreement/purposes")]) == ["CONT-03"]
}

test_cont_04_proves_a_country_of_the_territory if {
	allowed([set("/resource/properties/datasets/0/agreement/territories", ["LA", "VN"])])
}

test_cont_04_refuses_a_country_outside if {
	refused([set("/resource/properties/datasets/0/agreement/territories", ["LA"])]) == ["CONT-04"]
	refused([set("/resource/properties/datasets/0/agreement/territories", [])]) == ["CONT-04"]
	refused([set("/resource/properties/datasets/0/agreement/territories", "VN")]) == ["CONT-04"]
}

test_cont_04_refuses_when_the_territory_is_missing if {
	refused([gone("/resource/properties/datasets/0/agreement/territories")]) == ["CONT-04"]
	refused([gone("/context/country")]) == ["CONT-04", "XBR-01"]
}

test_cont_05_proves_the_buyer if {
	allowed([set("/resource/properties/datasets/0/agreement/receivers", ["cong-ty-fintech", "ngan-hang"])])
}

test_cont_05_refuses_anyone_else if {
	refused([set("/subject/id", "cong-ty-khac")]) == ["CONT-05"]
	refused([set("/resource/properties/datasets/0/agreement/buyer", "cong-ty-khac")]) == ["CONT-01", "CONT-05"]
	refused([set("/resource/properties/datasets/0/agreement/receivers", [])]) == ["CONT-05"]
	refused([set("/resource/properties/datasets/0/agreement/receivers", ["cong-ty-khac"])]) == ["CONT-05"]
}

test_cont_05_refuses_when_the_caller_is_missing if {
	refused([gone("/subject/id")]) == ["CHARTER-02", "CHARTER-07", "CONT-05"]
	refused([gone("/resource/properties/datasets/0/agreement/receivers")]) == ["CONT-05"]
}

test_cont_06_proves_a_part_of_what_is_granted_and_joins_as_agreed if {
	allowed([set("/resource/properties/datasets/0/columns", [])])
	allowed([set("/resource/properties/datasets/0/dimensions", [])])
	allowed([set("/resource/properties/datasets/0/dimensions", ["nganh", "thang"])])
	allowed([
		set("/resource/properties/scalar_functions", ["date_trunc"]),
		set("/resource/properties/datasets/0/agreement/scalar_functions", ["date_trunc", "/"]),
	])
	allowed([
		set("/resource/properties/expressions", true),
		set("/resource/properties/datasets/0/agreement/any_expression", true),
	])
	allowed([set("/resource/properties/datasets/0/agreement/any_expression", true)])
	allowed([set("/resource/properties/datasets/0/agreement/join_condition", "not_required")])
	allowed([
		set("/resource/properties/datasets/0/agreement/join_condition", "any"),
		set("/resource/properties/joins", ["inner"]),
		set("/resource/properties/datasets/0/agreement/join_columns", ["tinh", "nganh"]),
		set("/resource/properties/datasets/0/agreement/matched", ["tinh", "nganh"]),
		set("/resource/properties/datasets/0/matched", ["tinh"]),
	])
	allowed([
		set("/resource/properties/datasets/0/agreement/join_condition", "all"),
		set("/resource/properties/joins", ["inner"]),
		set("/resource/properties/datasets/0/agreement/join_columns", ["tinh"]),
		set("/resource/properties/datasets/0/agreement/matched", ["tinh"]),
		set("/resource/properties/datasets/0/matched", ["tinh"]),
	])
}

test_cont_06_refuses_more_than_is_granted if {
	refused([set("/resource/properties/datasets/0/columns", ["tinh", "thue_gtgt_vnd"])]) == ["CONT-06"]
	refused([set("/resource/properties/datasets/0/dimensions", ["tinh", "thanh_toan"])]) == ["CONT-06"]
	refused([set("/resource/properties/datasets/0/agreement/columns", [])]) == ["CONT-06"]
	refused([set("/resource/properties/datasets/0/agreement/dimensions", [])]) == ["CONT-06"]
	refused([set("/resource/properties/datasets/0/columns", "tinh")]) == ["CONT-06"]
	refused([set("/resource/properties/datasets/0/columns", [null])]) == ["CONT-06"]
	refused([set("/resource/properties/datasets/0/columns", 5)]) == ["CONT-06"]
	refused([set("/resource/properties/scalar_functions", ["md5"])]) == ["CONT-06"]
	refused([set("/resource/properties/scalar_functions", "md5")]) == ["CONT-06"]
	refused([set("/resource/properties/expressions", true)]) == ["CONT-06"]
	refused([set("/resource/properties/expressions", null)]) == ["CONT-06"]
	refused([set("/resource/properties/datasets/0/agreement/hidden", ["tinh"])]) == ["CONT-06"]
	refused([set("/resource/properties/datasets/0/agreement/hidden", null)]) == ["CONT-06"]
	refused([set("/resource/properties/datasets/0/literals", ["thue_gtgt_vnd"])]) == ["CONT-06"]
	refused([set("/resource/properties/datasets/0/matched", ["tinh"])]) == ["CONT-06"]
	refused([set("/resource/properties/joins", ["inner"])]) == ["CONT-06"]
	refused([set("/resource/properties/datasets/0/agreement/join_condition", "any")]) == ["CONT-06"]
	refused([set("/resource/properties/datasets/0/agreement/join_condition", "some")]) == ["CONT-06"]
	refused([
		set("/resource/properties/datasets/0/agreement/join_condition", "any"),
		set("/resource/properties/joins", ["inner"]),
		set("/resource/properties/datasets/0/agreement/join_columns", ["tinh"]),
	]) == ["CONT-06"]
	refused([
		set("/resource/properties/datasets/0/agreement/join_condition", "all"),
		set("/resource/properties/joins", ["inner"]),
		set("/resource/properties/datasets/0/agreement/join_columns", ["tinh", "nganh"]),
		set("/resource/properties/datasets/0/agreement/matched", ["tinh", "nganh"]),
		set("/resource/properties/datasets/0/matched", ["tinh"]),
	]) == ["CONT-06"]
	refused([
		set("/resource/properties/datasets/0/agreement/join_condition", "all"),
		set("/resource/properties/joins", ["inner"]),
	]) == ["CONT-06"]
	refused([
		set("/resource/properties/datasets/0/agreement/join_condition", "not_required"),
		set("/resource/properties/joins", null),
	]) == ["CONT-06"]
}

test_cont_06_refuses_when_a_list_is_missing if {
	refused([gone("/resource/properties/datasets/0/columns")]) == ["CONT-06"]
	refused([gone("/resource/properties/datasets/0/dimensions")]) == ["CONT-06"]
	refused([gone("/resource/properties/datasets/0/outputs")]) == ["CONT-06"]
	refused([gone("/resource/properties/datasets/0/literals")]) == ["CONT-06"]
	refused([gone("/resource/properties/datasets/0/matched")]) == ["CONT-06"]
	refused([gone("/resource/properties/datasets/0/id")]) == ["CONT-06"]
	refused([gone("/resource/properties/datasets/0/agreement/columns")]) == ["CONT-06"]
	refused([gone("/resource/properties/datasets/0/agreement/dimensions")]) == ["CONT-06"]
	refused([gone("/resource/properties/datasets/0/agreement/hidden")]) == ["CONT-06"]
	refused([gone("/resource/properties/datasets/0/agreement/literals")]) == ["CONT-06"]
	refused([
		set("/resource/properties/datasets/0/matched", ["tinh"]),
		gone("/resource/properties/datasets/0/agreement/matched"),
	]) == ["CONT-06"]
	refused([
		set("/resource/properties/scalar_functions", ["md5"]),
		gone("/resource/properties/datasets/0/agreement/scalar_functions"),
	]) == ["CONT-06"]
	refused([gone("/resource/properties/datasets/0/agreement/any_expression")]) == ["CONT-06"]
	refused([gone("/resource/properties/datasets/0/agreement/join_condition")]) == ["CONT-06"]
	refused([gone("/resource/properties/scalar_functions")]) == ["CONT-06"]
	refused([gone("/resource/properties/expressions")]) == ["CONT-06"]
	refused([gone("/resource/properties/joins")]) == ["CONT-06"]
}
