package exchange.authz.query_run_test

import data.exchange.proof_test.gone
import data.exchange.proof_test.set

test_part_01_proves_a_buyer if {
	"PART-01" in data.exchange.authz.query_run.proved with input as question
	allowed([set("/subject/properties/roles", ["buyer", "provider"])])
}

test_part_01_refuses_another_role if {
	refused([set("/subject/properties/roles", ["provider"])]) == ["PART-01"]
	refused([set("/subject/properties/roles", ["operator"])]) == ["PART-01"]
	refused([set("/subject/type", "service")]) == ["PART-01"]
}

test_part_01_refuses_when_the_roles_are_missing if {
	refused([gone("/subject/properties/roles")]) == ["PART-01", "REG-01"]
	refused([set("/subject/properties/roles", [])]) == ["PART-01", "REG-01"]
	refused([set("/subject/properties/roles", "buyer")]) == ["PART-01", "REG-01"]
	refused([gone("/subject/type")]) == ["PART-01"]
}

test_reg_01_proves_roles_of_the_market if {
	"REG-01" in data.exchange.authz.query_run.proved with input as question
}

# No role lifts a threshold, and this one closes a door whatever stands beside it.
test_reg_01_refuses_the_regulator_even_as_buyer if {
	refused([set("/subject/properties/roles", ["regulator"])]) == ["PART-01", "REG-01"]
	refused([set("/subject/properties/roles", ["buyer", "regulator"])]) == ["REG-01"]
	refused([set("/subject/properties/roles", ["buyer", "auditor"])]) == ["REG-01"]
	refused([set("/subject/properties/roles", ["buyer", null])]) == ["REG-01"]
}

test_reg_01_refuses_when_the_properties_are_missing if {
	refused([gone("/subject/properties")]) == ["PART-01", "REG-01", "XBR-01"]
}

test_charter_04_proves_a_class_of_the_charter if {
	allowed([set(dataset("class"), "dung_chung")])
}

test_charter_04_refuses_any_other_class if {
	refused([set(dataset("class"), "quan_trong")]) == ["CHARTER-04", "QRY-05"]
	refused([set(dataset("class"), "cot_loi")]) == ["CHARTER-04", "QRY-05"]
}

test_charter_04_refuses_when_the_class_is_missing if {
	refused([gone(dataset("class"))]) == ["CHARTER-04", "QRY-05"]
}

test_pay_01_proves_a_balance_that_just_covers if {
	allowed([set("/context/balance_vnd", 25000)])
	allowed([set(query("price_vnd"), 0), set("/context/balance_vnd", 0)])
}

test_pay_01_refuses_a_balance_below_the_price if {
	refused([set("/context/balance_vnd", 24999)]) == ["PAY-01"]
	refused([set("/context/balance_vnd", "1000000")]) == ["PAY-01"]
	refused([set(query("price_vnd"), -1)]) == ["PAY-01"]
}

test_pay_01_refuses_when_the_balance_is_missing if {
	refused([gone("/context/balance_vnd")]) == ["PAY-01"]
}

test_log_01_proves_a_healthy_log if {
	"LOG-01" in data.exchange.authz.query_run.proved with input as question
}

test_log_01_refuses_an_unhealthy_log if {
	refused([set("/context/log_healthy", false)]) == ["LOG-01"]
	refused([set("/context/log_healthy", 1)]) == ["LOG-01"]
	refused([set("/context/log_healthy", "true")]) == ["LOG-01"]
}

test_log_01_refuses_when_its_health_is_missing if {
	refused([gone("/context/log_healthy")]) == ["LOG-01"]
}
