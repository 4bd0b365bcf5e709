package exchange.authz.query_run_test

import data.exchange.proof_test.gone
import data.exchange.proof_test.set

of_unit_rules := ["QRY-01", "QRY-03", "QRY-04", "QRY-05", "QRY-09"]

aggregates(list) := set(query("aggregates"), [object.union({"distinct": false}, aggregate) | some aggregate in list])

test_qry_01_proves_an_aggregate_and_a_free_select_over_open_data if {
	"QRY-01" in data.exchange.authz.query_run.proved with input as question
	"QRY-01" in data.exchange.authz.query_run.proved with input as open_question
	"QRY-01" in data.exchange.authz.query_run.proved with input as json.patch(open_question, [set(query("shape"), "aggregate")])
}

test_qry_01_refuses_another_statement_or_shape if {
	refused([set(query("statement"), "copy")]) == ["QRY-01"]
	refused([set(query("shape"), "free")]) == ["QRY-01"]
	refused([set(query("shape"), "other")]) == ["QRY-01"]
	refused([set("/resource/type", "dataset")]) == ["QRY-01"]
}

test_qry_01_refuses_a_unit_beside_another_dataset if {
	second := set("/resource/properties/datasets", [question.resource.properties.datasets[0], open_dataset])
	refused([second]) == ["QRY-01"]
}

test_qry_01_refuses_when_a_fact_of_the_sql_is_missing if {
	refused([gone(query("statement"))]) == ["QRY-01"]
	refused([gone(query("shape"))]) == ["QRY-01"]
	refused([gone(query("functions"))]) == ["QRY-01"]
	refused([gone("/resource/type")]) == ["QRY-01"]
}

test_a_unit_that_only_one_side_names_proves_nothing if {
	refused([set(dataset("unit"), null)]) == of_unit_rules
	refused([set(agreement("unit"), null)]) == of_unit_rules
	refused([set(dataset("unit"), "tinh")]) == of_unit_rules
	refused([gone(dataset("unit"))]) == of_unit_rules
	refused([gone(agreement("unit"))]) == of_unit_rules
	refused([gone(dataset("unit")), gone(agreement("unit"))]) == of_unit_rules
	refused([set(dataset("unit"), ""), set(agreement("unit"), "")]) == of_unit_rules
}

test_a_class_of_personal_origin_cannot_lose_its_unit if {
	personal := set("/resource/properties/datasets/0/class", "khu_nhan_dang")
	answer := data.exchange.authz.decision with input as json.patch(open_question, [personal])
	answer.reasons == of_unit_rules
}

test_qry_03_proves_counts_sums_and_means_of_measures if {
	allowed([aggregates([
		{"function": "count", "column": null},
		{"function": "count", "column": "nguoi_ban_pid", "distinct": true},
		{"function": "sum", "column": "doanh_thu_vnd"},
		{"function": "avg", "column": "doanh_thu_vnd"},
	])])
	allowed([aggregates([])])
	allowed([
		set(agreement("measures"), [{"column": "doanh_thu_vnd", "functions": ["count"]}]),
		aggregates([{"function": "count", "column": "doanh_thu_vnd"}]),
	])
}

# Each returns, or isolates, one row's value.
test_qry_03_refuses_everything_else_over_a_unit if {
	every aggregate in [
		{"function": "min", "column": "doanh_thu_vnd"},
		{"function": "max", "column": "doanh_thu_vnd"},
		{"function": "quantile", "column": "doanh_thu_vnd"},
		{"function": "any_value", "column": "doanh_thu_vnd"},
		{"function": "sum", "column": "doanh_thu_vnd", "distinct": true},
		{"function": "avg", "column": "thue_gtgt_vnd"},
		{"function": "sum", "column": "nguoi_ban_pid"},
		{"function": "sum", "column": null},
		{"function": "count", "column": "tinh"},
		{"function": "count", "column": "tinh", "distinct": true},
		{"function": "count", "column": "doanh_thu_vnd"},
		{"function": "count", "column": "nguoi_ban_pid"},
		{"function": "count", "column": null, "distinct": true},
	] {
		refused([aggregates([{"function": "count", "column": null}, aggregate])]) == ["QRY-03"]
	}
}

test_qry_03_refuses_what_the_contract_does_not_name if {
	refused([set(agreement("measures"), [])]) == ["QRY-03"]
	refused([set(agreement("measures"), [{"column": "doanh_thu_vnd", "functions": []}])]) == ["QRY-03"]
	refused([set(agreement("measures"), [{"column": "doanh_thu_vnd", "functions": ["avg"]}])]) == ["QRY-03"]
	refused([
		set(agreement("measures"), [{"column": "doanh_thu_vnd", "functions": ["min"]}]),
		aggregates([{"function": "min", "column": "doanh_thu_vnd"}]),
	]) == ["QRY-03"]
	refused([
		set(agreement("measures"), [{"column": "nguoi_ban_pid", "functions": ["count", "sum"]}]),
		aggregates([{"function": "count", "column": "nguoi_ban_pid"}]),
	]) == ["QRY-03"]
}

test_qry_03_refuses_when_the_aggregates_are_missing if {
	refused([gone(query("aggregates"))]) == ["QRY-03"]
	refused([set(query("aggregates"), null)]) == ["QRY-03"]
	refused([gone(agreement("measures"))]) == ["QRY-03"]
	every name in ["function", "column", "distinct"] {
		refused([gone(concat("/", [query("aggregates/2"), name]))]) == ["QRY-03"]
	}
}

test_qry_04_proves_declared_dimensions_and_open_data if {
	"QRY-04" in data.exchange.authz.query_run.proved with input as question
	"QRY-04" in data.exchange.authz.query_run.proved with input as open_question
}

test_qry_04_refuses_an_undeclared_group_or_filter if {
	refused([set(query("undeclared"), ["ngay_lap"])]) == ["QRY-04"]
}

test_qry_04_refuses_when_the_fact_is_missing if {
	refused([gone(query("undeclared"))]) == ["QRY-04"]
	refused([set(query("undeclared"), null)]) == ["QRY-04"]
	refused([set(query("undeclared"), {})]) == ["QRY-04"]
}

test_qry_09_proves_a_hidden_unit_and_open_data if {
	"QRY-09" in data.exchange.authz.query_run.proved with input as question
	"QRY-09" in data.exchange.authz.query_run.proved with input as json.patch(open_question, [set(query("unit_exposed"), true)])
}

test_qry_09_refuses_an_exposed_unit if {
	refused([set(query("unit_exposed"), true)]) == ["QRY-09"]
}

test_qry_09_refuses_when_the_fact_is_missing if {
	refused([gone(query("unit_exposed"))]) == ["QRY-09"]
	refused([set(query("unit_exposed"), null)]) == ["QRY-09"]
	refused([set(query("unit_exposed"), 0)]) == ["QRY-09"]
}
