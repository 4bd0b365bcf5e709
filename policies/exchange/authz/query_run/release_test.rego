package exchange.authz.query_run_test

import data.exchange.authz_test.gone
import data.exchange.authz_test.set

test_qry_02_proves_a_mode_that_is_performed if {
	allowed([set("/context/charter/release_modes", ["exact"])])
}

test_qry_02_refuses_any_other_mode if {
	refused([set("/resource/properties/datasets/0/agreement/release", "safe_cube")]) == ["QRY-02"]
	refused([set("/resource/properties/datasets/0/agreement/release", "threshold")]) == ["QRY-02"]
	refused([set("/context/charter/release_modes", ["dp"])]) == ["QRY-02"]
	refused([set("/context/charter/release_modes", [])]) == ["QRY-02"]
}

test_qry_02_refuses_when_the_mode_is_missing if {
	refused([gone("/resource/properties/datasets/0/agreement/release")]) == ["QRY-02", "QRY-06", "QRY-08"]
	refused([gone("/context/charter/release_modes")]) == ["QRY-02"]
}

test_qry_05_proves_a_group_at_the_floor_of_its_class if {
	allowed([set("/resource/properties/datasets/0/agreement/min_group", 5)])
	allowed([
		set("/resource/properties/datasets/0/class", "khu_nhan_dang"),
		set("/resource/properties/datasets/0/personal_origin", true),
		set("/resource/properties/datasets/0/deidentification", "an_danh_k"),
	])
}

test_qry_05_refuses_a_group_below_the_floor if {
	refused([set("/resource/properties/datasets/0/agreement/min_group", 4)]) == ["QRY-05"]
	refused([set("/resource/properties/datasets/0/agreement/min_group", "10")]) == ["QRY-05"]
	refused([set("/resource/properties/datasets/0/agreement/min_group", 0)]) == ["QRY-05"]
	refused([set("/context/charter/privacy/k_min_business", 11)]) == ["QRY-05"]
	refused([set("/context/charter/privacy/k_min_business", 0)]) == ["QRY-05"]
	refused([
		set("/resource/properties/datasets/0/class", "khu_nhan_dang"),
		set("/resource/properties/datasets/0/personal_origin", true),
		set("/resource/properties/datasets/0/deidentification", "an_danh_k"),
		set("/resource/properties/datasets/0/agreement/min_group", 9),
	]) == ["QRY-05"]
}

test_qry_05_refuses_when_group_or_floor_is_missing if {
	refused([gone("/resource/properties/datasets/0/agreement/min_group")]) == ["QRY-05"]
	refused([gone("/context/charter/privacy/k_min_business")]) == ["QRY-05"]
	refused([gone("/context/charter/privacy")]) == ["QRY-05"]
	refused([gone("/resource/properties/datasets/0/unit")]) == ["QRY-01", "QRY-03", "QRY-04", "QRY-05", "QRY-09"]
	refused([
		gone("/resource/properties/datasets/0/agreement/unit"),
	]) == ["QRY-01", "QRY-03", "QRY-04", "QRY-05", "QRY-09"]
}

test_qry_06_proves_that_nothing_is_spent if {
	allowed([
		set("/resource/properties/datasets/0/nano_rho", {"query": 0, "contract_spent": 0, "dataset_spent": 0}),
	])
}

test_qry_06_refuses_anything_spent_outside_dp if {
	refused([set("/resource/properties/datasets/0/nano_rho/query", 1)]) == ["QRY-06"]
	refused([set("/resource/properties/datasets/0/nano_rho/query", "0")]) == ["QRY-06"]
	refused([set("/resource/properties/datasets/0/nano_rho", null)]) == ["QRY-06"]
}

test_qry_06_refuses_when_the_cost_is_missing if {
	refused([gone("/resource/properties/datasets/0/nano_rho")]) == ["QRY-06"]
	refused([gone("/resource/properties/datasets/0/nano_rho/query")]) == ["QRY-06"]
}

test_qry_07_proves_limits_of_house_and_contract if {
	allowed([set("/context/limits/seconds", 1)])
}

test_qry_07_refuses_limits_that_are_none if {
	refused([set("/context/limits/max_rows", 0)]) == ["QRY-07"]
	refused([set("/context/limits/max_bytes", "1")]) == ["QRY-07"]
	refused([set("/context/limits/seconds", 0)]) == ["QRY-07"]
	refused([set("/context/limits/memory_mb", null)]) == ["QRY-07"]
	refused([set("/resource/properties/datasets/0/agreement/max_rows", 0)]) == ["QRY-07"]
	refused([set("/resource/properties/datasets/0/agreement/max_rows", "5000")]) == ["QRY-07"]
}

test_qry_07_refuses_when_a_limit_is_missing if {
	refused([gone("/context/limits")]) == ["QRY-07"]
	refused([gone("/context/limits/max_rows")]) == ["QRY-07"]
	refused([gone("/context/limits/max_bytes")]) == ["QRY-07"]
	refused([gone("/context/limits/seconds")]) == ["QRY-07"]
	refused([gone("/context/limits/memory_mb")]) == ["QRY-07"]
	refused([gone("/resource/properties/datasets/0/agreement/max_rows")]) == ["QRY-07"]
}

test_qry_08_proves_that_no_template_is_asked_for if {
	allowed([set("/resource/properties/fingerprint", "sha256:00")])
}

test_qry_08_refuses_a_query_that_is_not_on_the_list if {
	refused([set("/resource/properties/datasets/0/agreement/release", "template")]) == ["QRY-02", "QRY-08"]
	refused([
		set("/resource/properties/datasets/0/agreement/release", "template"),
		set("/resource/properties/datasets/0/agreement/templates", ["sha256:00"]),
	]) == ["QRY-02", "QRY-08"]
	refused([
		set("/resource/properties/datasets/0/agreement/release", "template"),
		set("/resource/properties/datasets/0/agreement/templates", "sha256:5e"),
	]) == ["QRY-02", "QRY-08"]
}

test_qry_08_refuses_when_digest_or_list_is_missing if {
	refused([
		set("/resource/properties/datasets/0/agreement/release", "template"),
		set("/resource/properties/datasets/0/agreement/templates", ["sha256:5e"]),
		gone("/resource/properties/fingerprint"),
	]) == ["QRY-02", "QRY-08"]
	refused([
		set("/resource/properties/datasets/0/agreement/release", "template"),
		gone("/resource/properties/datasets/0/agreement/templates"),
	]) == ["QRY-02", "QRY-08"]
}
