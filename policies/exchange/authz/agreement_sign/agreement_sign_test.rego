package exchange.authz.agreement_sign_test

import data.exchange.proof_test.gone
import data.exchange.proof_test.set

question := {
	"subject": {"type": "participant", "id": "cong-ty-fintech", "properties": {"roles": ["buyer"], "territory": "VN"}},
	"action": {"name": "agreement.sign"},
	"resource": {
		"type": "agreement",
		"id": "sha256:1a",
		"properties": {
			"verified": true,
			"provider": "hiep-hoi-ban-le",
			"buyer": "cong-ty-fintech",
			"dataset_provider": "hiep-hoi-ban-le",
			"version_current": true,
			"not_before_us": 1795300000000000,
			"not_after_us": 1826800000000000,
			"purposes": ["thong_ke", "nghien_cuu"],
			"min_group": 10,
			"unit": "nguoi_ban_pid",
			"class": "thuong_mai",
			"price_vnd": 25000,
			"release": "exact",
		},
	},
	"context": {"time_us": 1795341600000000, "buyer_roles": ["buyer"], "provider_roles": ["provider"]},
}

open_data := [set(its("class"), "mo"), set(its("unit"), null), set(its("min_group"), 1), set(its("price_vnd"), 0)]

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
		"obligations": {"recorded": 1},
		"policy": data.exchange.policy,
	}
}

its(name) := concat("/", ["/resource/properties", name])

test_the_question_is_allowed if allowed([])

test_open_data_is_allowed if allowed(open_data)

test_charter_04_proves_a_class_of_the_charter if allowed([set(its("class"), "khu_nhan_dang")])

test_charter_04_refuses_another_class if {
	refused([set(its("class"), "cot_loi")]) == ["CHARTER-04", "QRY-05"]
}

test_charter_04_refuses_when_the_class_is_missing if {
	refused([gone(its("class"))]) == ["CHARTER-04", "QRY-05"]
}

test_charter_05_proves_a_price_at_the_cap if {
	allowed([set(its("price_vnd"), 20000000)])
	allowed([set(its("price_vnd"), 0)])
}

test_charter_05_refuses_a_price_above_the_cap_or_below_nothing if {
	refused([set(its("price_vnd"), 20000001)]) == ["CHARTER-05"]
	refused([set(its("price_vnd"), -1)]) == ["CHARTER-05"]
	refused([set(its("price_vnd"), "25000")]) == ["CHARTER-05"]
}

test_charter_05_refuses_when_the_price_is_missing if {
	refused([gone(its("price_vnd"))]) == ["CHARTER-05"]
}

test_charter_07_proves_two_participants_of_the_market if {
	"CHARTER-07" in data.exchange.authz.agreement_sign.proved with input as question
}

test_charter_07_refuses_the_regulator_on_either_side if {
	refused([set("/context/buyer_roles", ["buyer", "regulator"])]) == ["CHARTER-07"]
	refused([set("/context/provider_roles", ["provider", "regulator"])]) == ["CHARTER-07"]
}

test_charter_07_refuses_when_roles_are_missing if {
	refused([gone("/context/buyer_roles")]) == ["CHARTER-07", "PART-01"]
	refused([gone("/context/provider_roles")]) == ["CHARTER-07", "PART-01"]
	refused([set("/context/provider_roles", [])]) == ["CHARTER-07", "PART-01"]
}

test_cont_01_proves_the_datasets_own_provider if {
	"CONT-01" in data.exchange.authz.agreement_sign.proved with input as question
}

test_cont_01_refuses_bad_signatures_and_another_provider if {
	refused([set(its("verified"), false)]) == ["CONT-01"]
	refused([set(its("dataset_provider"), "so-giao-thong")]) == ["CONT-01"]
	refused([set("/resource/type", "query")]) == ["CONT-01"]
}

test_cont_01_refuses_when_the_verdict_is_missing if {
	refused([gone(its("verified"))]) == ["CONT-01"]
	refused([gone(its("dataset_provider"))]) == ["CONT-01"]
	refused([gone("/resource/id")]) == ["CONT-01"]
	refused([gone(its("provider"))]) == ["CONT-01", "CONT-05"]
}

test_cont_02_proves_a_term_that_is_yet_to_begin if {
	allowed([set("/context/time_us", 1)])
}

test_cont_02_refuses_a_term_that_is_over_or_empty_and_an_old_version if {
	refused([set("/context/time_us", 1826800000000000)]) == ["CONT-02"]
	refused([set(its("not_after_us"), 1795300000000000)]) == ["CONT-02"]
	refused([set(its("not_after_us"), "a")]) == ["CONT-02"]
	refused([set(its("version_current"), false)]) == ["CONT-02"]
}

test_cont_02_refuses_when_a_date_is_missing if {
	refused([gone(its("not_before_us"))]) == ["CONT-02"]
	refused([gone(its("not_after_us"))]) == ["CONT-02"]
	refused([gone("/context/time_us")]) == ["CONT-02"]
	refused([gone(its("version_current"))]) == ["CONT-02"]
}

test_cont_03_proves_one_purpose if allowed([set(its("purposes"), ["thong_ke"])])

test_cont_03_refuses_no_purpose if {
	refused([set(its("purposes"), [])]) == ["CONT-03"]
	refused([set(its("purposes"), [""])]) == ["CONT-03"]
	refused([set(its("purposes"), "thong_ke")]) == ["CONT-03"]
}

test_cont_03_refuses_when_the_purposes_are_missing if {
	refused([gone(its("purposes"))]) == ["CONT-03"]
}

test_cont_05_proves_the_buyer_who_signs if {
	"CONT-05" in data.exchange.authz.agreement_sign.proved with input as question
}

test_cont_05_refuses_another_subject_and_a_sale_to_oneself if {
	refused([set("/subject/id", "cong-ty-khac")]) == ["CONT-05"]
	refused([set("/subject/type", "service")]) == ["CONT-05"]
	refused([set("/subject/id", "hiep-hoi-ban-le"), set(its("buyer"), "hiep-hoi-ban-le")]) == ["CONT-05"]
}

test_cont_05_refuses_when_the_buyer_is_missing if {
	refused([gone(its("buyer"))]) == ["CONT-05"]
	refused([gone("/subject/id")]) == ["CONT-05"]
	refused([gone(its("buyer")), gone("/subject/id")]) == ["CONT-05"]
}

test_part_01_proves_a_buyer_and_a_provider if {
	"PART-01" in data.exchange.authz.agreement_sign.proved with input as question
}

test_part_01_refuses_roles_that_do_not_fit if {
	refused([set("/context/buyer_roles", ["provider"])]) == ["PART-01"]
	refused([set("/context/provider_roles", ["buyer"])]) == ["PART-01"]
}

test_part_01_refuses_when_the_context_is_missing if {
	refused([gone("/context")]) == ["CHARTER-07", "CONT-02", "PART-01"]
}

test_qry_02_proves_a_mode_that_the_exchange_performs if {
	"QRY-02" in data.exchange.authz.agreement_sign.proved with input as question
}

test_qry_02_refuses_another_mode if {
	refused([set(its("release"), "dp")]) == ["QRY-02"]
}

test_qry_02_refuses_when_the_mode_is_missing if {
	refused([gone(its("release"))]) == ["QRY-02"]
}

test_qry_05_proves_a_group_at_the_floor_of_its_class if {
	allowed([set(its("min_group"), 5)])
}

test_qry_05_refuses_a_group_below_the_floor_and_a_lost_unit if {
	refused([set(its("min_group"), 4)]) == ["QRY-05"]
	refused([set(its("class"), "khu_nhan_dang"), set(its("min_group"), 9)]) == ["QRY-05"]
	refused([set(its("class"), "khu_nhan_dang"), set(its("unit"), null)]) == ["QRY-05"]
	refused(array.concat(open_data, [set(its("min_group"), 0)])) == ["QRY-05"]
}

test_qry_05_refuses_when_unit_or_group_is_missing if {
	refused([gone(its("unit"))]) == ["QRY-05"]
	refused([gone(its("min_group"))]) == ["QRY-05"]
}
