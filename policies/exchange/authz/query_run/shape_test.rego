package exchange.authz.query_run_test

import data.exchange.authz_test.gone
import data.exchange.authz_test.set

test_qry_01_proves_one_select_of_groups if {
	allowed([set("/resource/properties/statement", "select")])
}

test_qry_01_refuses_another_statement_or_shape if {
	refused([set("/resource/properties/statement", "attach")]) == ["QRY-01"]
	refused([set("/resource/properties/shape", "free")]) == ["QRY-01"]
	refused([set("/resource/properties/shape", "other")]) == ["QRY-01"]
	refused([set("/resource/type", "file")]) == ["QRY-01"]
}

test_qry_01_refuses_when_statement_or_shape_is_missing if {
	refused([gone("/resource/properties/statement")]) == ["QRY-01"]
	refused([gone("/resource/properties/shape")]) == ["QRY-01"]
	refused([gone("/resource/type")]) == ["QRY-01"]
}

test_qry_03_proves_the_aggregates_of_the_contract if {
	allowed([
		set("/resource/properties/aggregates", [{"function": "avg", "column": "doanh_thu_vnd", "distinct": false}]),
	])
	allowed([set("/resource/properties/aggregates", [])])
}

test_qry_03_refuses_aggregates_that_return_one_value if {
	refused([set("/resource/properties/aggregates/2/function", "max")]) == ["QRY-03"]
	refused([set("/resource/properties/aggregates/2/column", "thue_gtgt_vnd")]) == ["QRY-03"]
	refused([set("/resource/properties/aggregates/2/column", "nguoi_ban_pid")]) == ["QRY-03"]
	refused([set("/resource/properties/aggregates/2/distinct", true)]) == ["QRY-03"]
	refused([set("/resource/properties/aggregates/2/column", null)]) == ["QRY-03"]
	refused([set("/resource/properties/aggregates/1/distinct", false)]) == ["QRY-03"]
	refused([set("/resource/properties/aggregates/1/column", "tinh")]) == ["QRY-03"]
	refused([set("/resource/properties/datasets/0/agreement/measures", [["sum", "nguoi_ban_pid"]])]) == ["QRY-03"]
	refused([
		set("/resource/properties/datasets/0/agreement/measures", [["max", "doanh_thu_vnd"]]),
		set("/resource/properties/aggregates/2/function", "max"),
	]) == ["QRY-03"]
	refused([set("/resource/properties/datasets/0/agreement/measures", [])]) == ["QRY-03"]
	refused([set("/resource/properties/datasets/0/agreement/measures", null)]) == ["QRY-03"]
	refused([set("/resource/properties/aggregates", 5)]) == ["QRY-03"]
	refused([set("/resource/properties/aggregates", [null])]) == ["QRY-03"]
}

test_qry_03_refuses_when_an_aggregate_is_missing if {
	refused([gone("/resource/properties/aggregates")]) == ["QRY-03"]
	refused([gone("/resource/properties/aggregates/0/function")]) == ["QRY-03"]
	refused([gone("/resource/properties/aggregates/0/column")]) == ["QRY-03"]
	refused([gone("/resource/properties/aggregates/0/distinct")]) == ["QRY-03"]
	refused([gone("/resource/properties/datasets/0/agreement/measures")]) == ["QRY-03"]
}

test_qry_04_proves_declared_dimensions if {
	allowed([set("/resource/properties/undeclared", [])])
}

test_qry_04_refuses_anything_undeclared if {
	refused([set("/resource/properties/undeclared", ["ngay_lap"])]) == ["QRY-04"]
	refused([set("/resource/properties/undeclared", null)]) == ["QRY-04"]
	refused([set("/resource/properties/undeclared", 0)]) == ["QRY-04"]
}

test_qry_04_refuses_when_the_list_is_missing if {
	refused([gone("/resource/properties/undeclared")]) == ["QRY-04"]
}

test_qry_09_proves_a_hidden_unit if {
	allowed([set("/resource/properties/unit_exposed", false)])
}

test_qry_09_refuses_an_exposed_unit if {
	refused([set("/resource/properties/unit_exposed", true)]) == ["QRY-09"]
	refused([set("/resource/properties/unit_exposed", null)]) == ["QRY-09"]
	refused([set("/resource/properties/unit_exposed", 0)]) == ["QRY-09"]
}

test_qry_09_refuses_when_the_fact_is_missing if {
	refused([gone("/resource/properties/unit_exposed")]) == ["QRY-09"]
}
