package exchange.authz.query_run_test

import data.exchange.proof_test.gone
import data.exchange.proof_test.set

test_qry_02_proves_a_mode_that_the_exchange_performs if {
	"QRY-02" in data.exchange.authz.query_run.proved with input as question
}

test_qry_02_refuses_any_other_mode if {
	every mode in ["dp", "raw", "", null, ["exact"]] {
		refused([set(agreement("release"), mode)]) == ["QRY-02"]
	}
}

test_qry_02_refuses_when_the_mode_is_missing if {
	refused([gone(agreement("release"))]) == ["QRY-02"]
}

test_qry_05_proves_a_contract_at_its_floor_or_stricter if {
	allowed([set(agreement("min_group"), 5)])
	allowed([set(agreement("min_group"), 100)])
	allowed([set(dataset("class"), "khu_nhan_dang"), set(agreement("min_group"), 10)])
}

test_qry_05_refuses_a_contract_below_its_floor if {
	refused([set(agreement("min_group"), 4)]) == ["QRY-05"]
	refused([set(agreement("min_group"), "10")]) == ["QRY-05"]
	refused([set(dataset("class"), "khu_nhan_dang"), set(agreement("min_group"), 9)]) == ["QRY-05"]
}

test_qry_05_refuses_less_than_one_without_a_unit if {
	every group in [0, -1, "1", null] {
		path := "/resource/properties/datasets/0/agreement/min_group"
		answer := data.exchange.authz.decision with input as json.patch(open_question, [set(path, group)])
		answer.reasons == ["QRY-05"]
	}
}

test_qry_05_refuses_when_the_smallest_group_is_missing if {
	refused([gone(agreement("min_group"))]) == ["QRY-05"]
	refused([gone(dataset("class"))]) == ["CHARTER-04", "QRY-05"]
}

test_qry_07_proves_limits_that_are_known if {
	allowed([set("/context/limits", {"max_rows": 1, "max_bytes": 1})])
}

test_qry_07_refuses_a_limit_that_lets_nothing_through if {
	refused([set("/context/limits/max_rows", 0)]) == ["QRY-07"]
	refused([set("/context/limits/max_bytes", -1)]) == ["QRY-07"]
	refused([set("/context/limits/max_bytes", "10")]) == ["QRY-07"]
	refused([set(agreement("max_rows"), 0)]) == ["QRY-07"]
	refused([set(agreement("max_rows"), "5000")]) == ["QRY-07"]
}

test_qry_07_refuses_when_a_limit_is_missing if {
	refused([gone("/context/limits")]) == ["QRY-07"]
	refused([gone("/context/limits/max_rows")]) == ["QRY-07"]
	refused([gone("/context/limits/max_bytes")]) == ["QRY-07"]
	refused([gone(agreement("max_rows"))]) == ["QRY-07"]
}

test_charter_05_proves_a_price_at_the_cap if {
	allowed([set(query("price_vnd"), 20000000), set("/context/balance_vnd", 20000000)])
}

test_charter_05_refuses_a_price_above_the_cap if {
	refused([set(query("price_vnd"), 20000001), set("/context/balance_vnd", 90000000)]) == ["CHARTER-05"]
}

test_charter_05_refuses_when_the_price_is_missing if {
	refused([gone(query("price_vnd"))]) == ["CHARTER-05", "PAY-01"]
}

test_xbr_01_proves_a_caller_at_home if {
	"XBR-01" in data.exchange.authz.query_run.proved with input as question
}

# Even a contract for that territory does not open the border.
test_xbr_01_refuses_a_caller_abroad if {
	refused([set("/subject/properties/territory", "SG")]) == ["XBR-01"]
	refused([set("/context/country", "SG"), set(agreement("territories"), ["SG", "VN"])]) == ["XBR-01"]
}

test_xbr_01_refuses_when_the_territory_is_missing if {
	refused([gone("/subject/properties/territory")]) == ["XBR-01"]
}
