package exchange.authz.query_run_test

import data.exchange.authz_test.gone
import data.exchange.authz_test.set

test_charter_01_proves_the_first_and_the_last_instant if {
	allowed([
		set("/context/time_us", 1795280400000000),
		set("/resource/properties/datasets/0/agreement/not_before_us", 1795280400000000),
	])
	allowed([set("/context/time_us", 1826799999999999)])
}

test_charter_01_refuses_before_after_and_when_paused_or_unsigned if {
	refused([set("/context/time_us", 1795280399999999)]) == ["CHARTER-01", "CONT-02"]
	refused([set("/context/time_us", 1826816400000000)]) == ["CHARTER-01", "CONT-02"]
	refused([set("/context/charter/state", "paused")]) == ["CHARTER-01"]
	refused([set("/context/charter/state", "ended")]) == ["CHARTER-01"]
	refused([set("/context/charter/signed", false)]) == ["CHARTER-01"]
	refused([set("/context/charter/signed", "true")]) == ["CHARTER-01"]
	refused([set("/context/charter/end_us", "a")]) == ["CHARTER-01"]
}

test_charter_01_refuses_when_a_date_is_missing if {
	refused([gone("/context/charter/start_us")]) == ["CHARTER-01"]
	refused([gone("/context/charter/end_us")]) == ["CHARTER-01"]
	refused([gone("/context/charter/state")]) == ["CHARTER-01"]
	refused([gone("/context/charter/signed")]) == ["CHARTER-01"]
	refused([gone("/context/time_us")]) == ["CHARTER-01", "CONT-02"]
}

test_charter_02_proves_any_territory_of_the_cohort if {
	allowed([set("/context/charter/territories", ["LA", "VN"])])
}

test_charter_02_refuses_another_territory_and_no_participant if {
	refused([set("/context/charter/territories", ["LA"])]) == ["CHARTER-02"]
	refused([set("/context/charter/territories", [])]) == ["CHARTER-02"]
	refused([set("/context/charter/territories", "VN")]) == ["CHARTER-02"]
	refused([set("/subject/properties/territory", "SG")]) == ["CHARTER-02", "XBR-01"]
	refused([set("/subject/type", "service")]) == ["CHARTER-02", "PART-01"]
}

test_charter_02_refuses_when_the_territory_is_missing if {
	refused([gone("/context/charter/territories")]) == ["CHARTER-02"]
	refused([gone("/subject/properties/territory")]) == ["CHARTER-02", "XBR-01"]
}

test_charter_06_proves_that_nothing_is_suspended if {
	allowed([set("/context/suspensions", [])])
}

test_charter_06_refuses_whatever_is_suspended if {
	refused([set("/context/suspensions", [{"kind": "market", "id": "", "order": "sha256:5a"}])]) == ["CHARTER-06"]
	refused([set("/context/suspensions", [null])]) == ["CHARTER-06"]
	refused([set("/context/suspensions", {})]) == ["CHARTER-06"]
	refused([set("/context/suspensions", null)]) == ["CHARTER-06"]
}

test_charter_06_refuses_when_the_list_is_missing if {
	refused([gone("/context/suspensions")]) == ["CHARTER-06"]
}

test_charter_07_proves_two_offices if {
	allowed([set("/context/charter/operator", "don-vi-van-hanh")])
}

test_charter_07_refuses_one_office_for_both_and_the_supervisor_as_buyer if {
	refused([set("/context/charter/operator", "so-khcn")]) == ["CHARTER-07"]
	refused([set("/context/charter/regulator", "")]) == ["CHARTER-07"]
	refused([set("/context/charter/operator", 5)]) == ["CHARTER-07"]
	refused([set("/context/charter/regulator", "cong-ty-fintech")]) == ["CHARTER-07"]
}

test_charter_07_refuses_when_an_office_is_missing if {
	refused([gone("/context/charter/regulator")]) == ["CHARTER-07"]
	refused([gone("/context/charter/operator")]) == ["CHARTER-07"]
	refused([gone("/subject/id")]) == ["CHARTER-02", "CHARTER-07", "CONT-05"]
}

test_part_02_proves_several_factors_or_a_key if {
	allowed([set("/context/amr", ["mfa"])])
	allowed([set("/context/amr", ["pwd", "pop"])])
	allowed([set("/context/amr", ["pop"]), set("/context/charter/signed_requests", true)])
}

test_part_02_refuses_a_password_and_where_requests_are_signed_also_a_second_factor if {
	refused([set("/context/amr", ["pwd"])]) == ["PART-02"]
	refused([set("/context/amr", [])]) == ["PART-02"]
	refused([set("/context/amr", "mfa")]) == ["PART-02"]
	refused([set("/context/charter/signed_requests", true)]) == ["PART-02"]
	refused([set("/context/charter/signed_requests", null)]) == ["PART-02"]
}

test_part_02_refuses_when_the_sign_in_is_missing if {
	refused([gone("/context/amr")]) == ["PART-02"]
	refused([gone("/context/charter/signed_requests")]) == ["PART-02"]
}

test_inc_01_proves_that_none_is_open if {
	allowed([set("/context/incidents", [])])
}

test_inc_01_refuses_any_open_incident if {
	refused([
		set("/context/incidents", [{"kind": "dataset", "id": "hoa_don_dnnvv", "order": "sha256:5a"}]),
	]) == ["INC-01"]
	refused([set("/context/incidents", null)]) == ["INC-01"]
}

test_inc_01_refuses_when_the_list_is_missing if {
	refused([gone("/context/incidents")]) == ["INC-01"]
}

test_log_01_proves_a_healthy_log_kept_for_half_a_year if {
	allowed([set("/context/log/kept_days", 183)])
}

test_log_01_refuses_an_unhealthy_or_short_lived_log if {
	refused([set("/context/log/healthy", false)]) == ["LOG-01"]
	refused([set("/context/log/healthy", 1)]) == ["LOG-01"]
	refused([set("/context/log/healthy", "true")]) == ["LOG-01"]
	refused([set("/context/log/kept_days", 182)]) == ["LOG-01"]
	refused([set("/context/log/kept_days", "3650")]) == ["LOG-01"]
}

test_log_01_refuses_when_its_health_or_its_time_is_missing if {
	refused([gone("/context/log/healthy")]) == ["LOG-01"]
	refused([gone("/context/log/kept_days")]) == ["LOG-01"]
	refused([gone("/context/log")]) == ["LOG-01"]
}

test_xbr_01_proves_home_and_abroad_with_a_dossier if {
	allowed([set("/context/country", "VN")])
	allowed([
		set("/context/charter/cross_border", true),
		set("/context/dossier", "HS-2026-17"),
		set("/context/charter/territories", ["LA", "VN"]),
		set("/context/country", "LA"),
		set("/resource/properties/datasets/0/agreement/territories", ["LA", "VN"]),
	])
}

test_xbr_01_refuses_abroad_without_permission_or_dossier if {
	refused([set("/context/country", "LA")]) == ["CONT-04", "XBR-01"]
	refused([
		set("/context/country", "LA"),
		set("/resource/properties/datasets/0/agreement/territories", ["LA", "VN"]),
		set("/context/dossier", "HS-2026-17"),
		set("/context/charter/territories", ["LA", "VN"]),
	]) == ["XBR-01"]
	refused([
		set("/context/country", "LA"),
		set("/resource/properties/datasets/0/agreement/territories", ["LA", "VN"]),
		set("/context/charter/cross_border", true),
		set("/context/charter/territories", ["LA", "VN"]),
	]) == ["XBR-01"]
	refused([
		set("/context/country", "LA"),
		set("/resource/properties/datasets/0/agreement/territories", ["LA", "VN"]),
		set("/context/charter/cross_border", true),
		set("/context/dossier", "HS-2026-17"),
	]) == ["XBR-01"]
}

test_xbr_01_refuses_when_country_or_territory_is_missing if {
	refused([gone("/context/country")]) == ["CONT-04", "XBR-01"]
	refused([gone("/subject/properties/territory")]) == ["CHARTER-02", "XBR-01"]
}
