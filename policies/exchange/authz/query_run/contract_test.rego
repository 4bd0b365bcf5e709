package exchange.authz.query_run_test

import data.exchange.proof_test.gone
import data.exchange.proof_test.set

test_cont_01_proves_a_verified_contract if {
	"CONT-01" in data.exchange.authz.query_run.proved with input as question
}

test_cont_01_refuses_one_that_did_not_verify if {
	refused([set(agreement("verified"), false)]) == ["CONT-01"]
	refused([set(agreement("verified"), "true")]) == ["CONT-01"]
	refused([set(agreement("provider"), "cong-ty-fintech")]) == ["CONT-01"]
}

test_cont_01_refuses_when_the_verdict_is_missing if {
	refused([gone(agreement("verified"))]) == ["CONT-01"]
	refused([gone(agreement("id"))]) == ["CONT-01"]
	refused([gone(agreement("provider"))]) == ["CONT-01"]
	refused([gone(agreement("buyer"))]) == ["CONT-01", "CONT-05"]
}

test_cont_02_proves_a_contract_from_its_first_instant if {
	allowed([set("/context/time_us", 1795300000000000)])
	allowed([set("/context/time_us", 1826799999999999)])
}

test_cont_02_refuses_before_after_and_out_of_force if {
	refused([set("/context/time_us", 1795299999999999)]) == ["CONT-02"]
	refused([set("/context/time_us", 1826800000000000)]) == ["CONT-02"]
	refused([set("/context/time_us", "1795341600000000")]) == ["CONT-02"]
	refused([set(agreement("not_after_us"), "a")]) == ["CONT-02"]
	refused([set(agreement("state"), "suspended")]) == ["CONT-02"]
	refused([set(agreement("state"), "terminated")]) == ["CONT-02"]
	refused([set(dataset("version"), "sha256:aa")]) == ["CONT-02"]
}

test_cont_02_refuses_when_a_date_is_missing if {
	refused([gone(agreement("not_before_us"))]) == ["CONT-02"]
	refused([gone(agreement("not_after_us"))]) == ["CONT-02"]
	refused([gone("/context/time_us")]) == ["CONT-02"]
	refused([gone(agreement("state"))]) == ["CONT-02"]
	refused([gone(agreement("version"))]) == ["CONT-02"]
	refused([gone(dataset("version"))]) == ["CONT-02"]
	refused([gone(dataset("version")), gone(agreement("version"))]) == ["CONT-02"]
}

test_cont_03_proves_each_purpose_of_the_contract if {
	allowed([set("/context/purpose", "nghien_cuu")])
}

test_cont_03_refuses_any_other_purpose if {
	refused([set("/context/purpose", "tiep_thi")]) == ["CONT-03"]
	refused([set("/context/purpose", "")]) == ["CONT-03"]
	refused([set("/context/purpose", null)]) == ["CONT-03"]
	refused([set(agreement("purposes"), [])]) == ["CONT-03"]
	refused([set(agreement("purposes"), ["*"])]) == ["CONT-03"]
	refused([set(agreement("purposes"), "thong_ke")]) == ["CONT-03"]
}

test_cont_03_refuses_when_the_purpose_is_missing if {
	refused([gone("/context/purpose")]) == ["CONT-03"]
	refused([gone(agreement("purposes"))]) == ["CONT-03"]
}

test_cont_04_proves_a_country_of_the_territory if {
	allowed([set(agreement("territories"), ["LA", "VN"])])
}

test_cont_04_refuses_a_country_outside if {
	refused([set(agreement("territories"), ["LA"])]) == ["CONT-04"]
	refused([set(agreement("territories"), [])]) == ["CONT-04"]
	refused([set("/context/country", "SG")]) == ["CONT-04", "XBR-01"]
}

test_cont_04_refuses_when_the_country_is_missing if {
	refused([gone("/context/country")]) == ["CONT-04", "XBR-01"]
	refused([gone(agreement("territories"))]) == ["CONT-04"]
}

test_cont_05_proves_the_buyer if {
	"CONT-05" in data.exchange.authz.query_run.proved with input as question
}

test_cont_05_refuses_anyone_else if {
	refused([set("/subject/id", "cong-ty-khac")]) == ["CONT-05"]
	refused([set(agreement("buyer"), "cong-ty-khac")]) == ["CONT-05"]
	refused([set("/subject/id", "hiep-hoi-ban-le")]) == ["CONT-05"]
	refused([set(agreement("receivers"), [])]) == ["CONT-05"]
	refused([set(agreement("receivers"), ["cong-ty-khac"])]) == ["CONT-05"]
}

test_cont_05_refuses_when_the_caller_is_missing if {
	refused([gone("/subject/id")]) == ["CONT-05", "PART-01"]
	refused([gone("/subject/id"), gone(agreement("buyer"))]) == ["CONT-01", "CONT-05", "PART-01"]
	refused([gone(agreement("receivers"))]) == ["CONT-05"]
}

test_cont_06_proves_a_part_of_what_is_granted if {
	allowed([set(dataset("columns"), [])])
	allowed([set(dataset("dimensions"), [])])
	allowed([set(dataset("dimensions"), ["nganh", "thang"])])
}

test_cont_06_refuses_more_than_is_granted if {
	refused([set(dataset("columns"), ["tinh", "thue_gtgt_vnd"])]) == ["CONT-06"]
	refused([set(dataset("dimensions"), ["tinh", "thanh_toan"])]) == ["CONT-06"]
	refused([set(agreement("columns"), [])]) == ["CONT-06"]
	refused([set(agreement("dimensions"), [])]) == ["CONT-06"]
	refused([set(dataset("columns"), "tinh")]) == ["CONT-06"]
	refused([set(dataset("columns"), [null])]) == ["CONT-06"]
}

test_cont_06_refuses_when_a_list_is_missing if {
	refused([gone(dataset("columns"))]) == ["CONT-06"]
	refused([gone(dataset("dimensions"))]) == ["CONT-06"]
	refused([gone(agreement("columns"))]) == ["CONT-06"]
	refused([gone(agreement("dimensions"))]) == ["CONT-06"]
	refused([gone(dataset("id"))]) == ["CONT-06"]
}
