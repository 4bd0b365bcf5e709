package exchange.authz.query_run_test

import data.exchange.authz_test.gone
import data.exchange.authz_test.set

test_pay_01_proves_a_balance_that_just_covers_and_a_free_query if {
	allowed([set("/context/balance_vnd", 25000)])
	allowed([
		set("/resource/properties/price_vnd", 0),
		set("/resource/properties/datasets/0/price_vnd", 0),
		set("/resource/properties/datasets/0/free", true),
		set("/context/balance_vnd", 0),
	])
	allowed([
		set("/resource/properties/price_vnd", 0),
		set("/resource/properties/datasets/0/price_vnd", 0),
		set("/resource/properties/datasets/0/agreement/price_vnd", 0),
	])
}

test_pay_01_refuses_a_balance_below_the_price_and_another_price if {
	refused([set("/context/balance_vnd", 24999)]) == ["PAY-01"]
	refused([set("/context/balance_vnd", "1000000")]) == ["PAY-01"]
	refused([set("/resource/properties/price_vnd", -1)]) == ["CHARTER-05", "PAY-01"]
	refused([set("/resource/properties/price_vnd", 24000)]) == ["PAY-01"]
	refused([set("/resource/properties/datasets/0/agreement/price_vnd", 24000)]) == ["PAY-01"]
	refused([set("/resource/properties/datasets/0/free", true)]) == ["PAY-01"]
	refused([
		set("/resource/properties/price_vnd", 0),
		set("/resource/properties/datasets/0/price_vnd", 0),
	]) == ["PAY-01"]
	refused([
		set("/resource/properties/price_vnd", 0),
		set("/resource/properties/datasets/0/price_vnd", 0),
		set("/resource/properties/datasets/0/free", true),
		set("/resource/properties/datasets/0/agreement/free_queries", 0),
	]) == ["PAY-01"]
	refused([
		set("/resource/properties/price_vnd", 0),
		set("/resource/properties/datasets/0/price_vnd", 0),
		set("/resource/properties/datasets/0/free", true),
		set("/resource/properties/datasets/0/agreement/price_vnd", null),
	]) == ["PAY-01"]
}

test_pay_01_refuses_when_price_or_balance_is_missing if {
	refused([gone("/context/balance_vnd")]) == ["PAY-01"]
	refused([gone("/resource/properties/price_vnd")]) == ["CHARTER-05", "PAY-01"]
	refused([gone("/resource/properties/datasets/0/price_vnd")]) == ["CHARTER-05", "PAY-01"]
	refused([gone("/resource/properties/datasets/0/free")]) == ["PAY-01"]
	refused([gone("/resource/properties/datasets/0/agreement/price_vnd")]) == ["PAY-01"]
	refused([
		set("/resource/properties/price_vnd", 0),
		set("/resource/properties/datasets/0/price_vnd", 0),
		set("/resource/properties/datasets/0/free", true),
		gone("/resource/properties/datasets/0/agreement/free_queries"),
	]) == ["PAY-01"]
}

test_charter_05_proves_sums_that_just_keep_the_caps if {
	allowed([set("/context/usage/buyer_day_vnd", 49975000)])
	allowed([set("/context/usage/buyer_day_queries", 199)])
	allowed([set("/context/usage/exchange_day_vnd", 499975000)])
	allowed([set("/context/usage/providers", {"hiep-hoi-ban-le": 199975000})])
	allowed([set("/context/charter/caps/per_transaction_vnd", 25000)])
}

test_charter_05_refuses_sums_above_a_cap if {
	refused([set("/context/usage/buyer_day_vnd", 49975001)]) == ["CHARTER-05"]
	refused([set("/context/usage/buyer_day_queries", 200)]) == ["CHARTER-05"]
	refused([set("/context/usage/exchange_day_vnd", 499975001)]) == ["CHARTER-05"]
	refused([set("/context/usage/providers", {"hiep-hoi-ban-le": 199975001})]) == ["CHARTER-05"]
	refused([set("/context/usage/providers", {})]) == ["CHARTER-05"]
	refused([set("/context/usage/providers", {"hiep-hoi-ban-le": "0"})]) == ["CHARTER-05"]
	refused([set("/context/usage/providers", {"hiep-hoi-ban-le": -1})]) == ["CHARTER-05"]
	refused([set("/context/charter/caps/per_transaction_vnd", 24999)]) == ["CHARTER-05"]
	refused([set("/context/charter/caps/per_query_rows_out", 0)]) == ["CHARTER-05"]
	refused([set("/context/charter/caps/per_query_bytes_out", "a")]) == ["CHARTER-05"]
	refused([set("/context/usage/buyer_day_vnd", "0")]) == ["CHARTER-05"]
	refused([set("/context/usage/buyer_day_queries", -1)]) == ["CHARTER-05"]
	refused([set("/context/usage/exchange_day_vnd", null)]) == ["CHARTER-05"]
}

test_charter_05_refuses_when_a_cap_or_a_sum_is_missing if {
	refused([gone("/context/charter/caps")]) == ["CHARTER-05"]
	refused([gone("/context/charter/caps/per_transaction_vnd")]) == ["CHARTER-05"]
	refused([gone("/context/charter/caps/per_buyer_day_vnd")]) == ["CHARTER-05"]
	refused([gone("/context/charter/caps/per_provider_day_vnd")]) == ["CHARTER-05"]
	refused([gone("/context/charter/caps/exchange_day_vnd")]) == ["CHARTER-05"]
	refused([gone("/context/charter/caps/per_buyer_day_queries")]) == ["CHARTER-05"]
	refused([gone("/context/charter/caps/per_query_rows_out")]) == ["CHARTER-05"]
	refused([gone("/context/charter/caps/per_query_bytes_out")]) == ["CHARTER-05"]
	refused([gone("/context/usage")]) == ["CHARTER-05"]
	refused([gone("/context/usage/buyer_day_vnd")]) == ["CHARTER-05"]
	refused([gone("/context/usage/buyer_day_queries")]) == ["CHARTER-05"]
	refused([gone("/context/usage/exchange_day_vnd")]) == ["CHARTER-05"]
	refused([gone("/context/usage/providers")]) == ["CHARTER-05"]
}
