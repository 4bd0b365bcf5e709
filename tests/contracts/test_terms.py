"""What a contract may say, and everything it may not."""

from datetime import UTC, datetime, timedelta

import pytest

from sandbox.contracts.clauses import MEMBERS, Clip, Dp, Measure
from sandbox.contracts.terms import (
    agreement_document,
    clauses_of,
    counter_document,
    offer_document,
    read_agreement,
    read_offer,
    read_request,
    request_document,
)
from sandbox.core.canonical import digest_of, parse
from sandbox.core.errors import Invalid
from sandbox.core.terms import Condition, ReleaseMode

NONCE = bytes(range(32))
VERSION = "sha256:" + "5a" * 32
OTHER = "sha256:" + "6b" * 32
LATER = timedelta(minutes=5)
STATEMENT = {
    "seller_status": "hiep_hoi",
    "origin": "Hóa đơn của hội viên.",
    "format": "parquet",
    "fields": [
        {"name": "nguoi_ban_pid", "type": "UBIGINT", "role": "pseudonym"},
        {"name": "tinh", "type": "VARCHAR", "role": "dimension"},
        {"name": "doanh_thu_vnd", "type": "BIGINT", "role": "measure"},
        {"name": "thue_gtgt_vnd", "type": "BIGINT", "role": "measure"},
        {"name": "ma_hoa_don", "type": "VARCHAR", "role": "withheld"},
    ],
}
RHO = {"nano_rho_query": 5, "nano_rho_total": 100, "delta_pico": 7, "groups_per_unit": 3}
CLIPPING = [{"column": name, "low": 0, "high": 9} for name in ("doanh_thu_vnd", "thue_gtgt_vnd")]
CLIP = CLIPPING[0]
DP = {"release": "dp", "dp": RHO | {"clipping": CLIPPING}}
OPEN = {"privacy_unit": None, "output_constraints": []}
BUDGET = {"day": 20, "week": None, "month": None, "lifetime": None}
CONTROLS = {"literals": ["thang", "tinh"], "columns": []}
CONSTRAINT = {"column": "nguoi_ban_pid", "minimum": 10, "type": "COUNT_DISTINCT"}


def refused(make, *arguments, **named):
    with pytest.raises(Invalid) as refusal:
        make(*arguments, **named)
    assert refusal.value.code == "contract.invalid"
    assert refusal.value.reasons == ("CONT-01",)
    return refusal.value.message


def agreement_of(parties, document, *, buyer=None, now=None):
    return agreement_document(document, digest_of(document), buyer or parties.buyer, NONCE, now or parties.now)


def test_an_offer_says_what_its_terms_file_says(parties):
    offer = read_offer(parties.offer_document())
    assert (offer.provider, offer.dataset, offer.timestamp) == (parties.provider, "hoa_don_dnnvv", parties.now)
    terms = offer.terms
    assert (terms.release, terms.unit, terms.min_group) == (ReleaseMode.EXACT, "nguoi_ban_pid", 10)
    assert terms.measures == (Measure(("doanh_thu_vnd", "thue_gtgt_vnd"), ("SUM", "AVG")),)
    assert (terms.day_budget, terms.week_budget, terms.month_budget, terms.lifetime_budget) == (200, None, None, 5000)
    assert (terms.max_rows, terms.retention_days, terms.free_queries) == (5000, 365, 20)
    assert (terms.follows, terms.any_expression, terms.dp, terms.templates) == (False, False, None, ())
    assert (terms.join_columns, terms.join_condition, terms.hidden_columns) == ((), "blocked", ())
    assert {*terms.literal_columns} == {*terms.dimensions}
    assert terms.compared_columns == ()
    assert "date_trunc" in terms.scalar_functions
    assert (terms.purposes, terms.territories, terms.price) == (("thong_ke", "nghien_cuu"), ("VN",), 25_000)
    assert terms.not_after == parties.now + timedelta(days=365)
    assert (terms.exclusive, terms.sublicence, terms.receivers) == (False, False, ("odrl:assignee",))


def test_an_agreement_differs_from_its_offer_only_in_who_accepted_when(parties):
    offer = parties.offer_document()
    document = agreement_of(parties, offer, now=parties.now + timedelta(minutes=5))
    differing = {member for member in document if document.get(member) != offer.get(member)}
    assert differing == {"type", "uid", "assignee", "prev", "nonce", "timestamp"}
    draft = read_agreement(document)
    assert (draft.offer, draft.buyer, draft.id) == (digest_of(offer), parties.buyer, digest_of(document))
    assert draft.terms.receivers == (parties.buyer,)


@pytest.mark.parametrize(
    "dataset", ["xe_buyt_luot_di", "cang_luot_tau", "dat_dai_giao_dich", "chi_so_cds", "hoa_don_dnnvv"]
)
def test_the_terms_of_each_pilot_dataset_fit_its_descriptor(parties, contracts, dataset):
    terms = read_offer(parties.offer_document(dataset)).terms
    descriptor = parse((contracts.parent / "datasets" / dataset / "descriptor.json").read_bytes())
    columns = {column["name"]: column for column in descriptor["columns"]}
    declared = {dimension["name"] for dimension in descriptor["dimensions"]}
    assert (terms.unit, terms.min_group) == (descriptor["privacy_unit"], descriptor["min_group"] or 1)
    assert {name for name in terms.dimensions if columns.get(name, {}).get("sensitivity") not in {"Q", "S"}} <= declared
    measured = {column for measure in terms.measures for column in measure.columns}
    assert all(columns[name]["sensitivity"] == "M" and columns[name].get("exposed", True) for name in measured)
    assert all(columns[name]["sensitivity"] == "O" for name in terms.columns)
    assert (terms.price == 0) == (dataset == "chi_so_cds")


def test_the_open_dataset_is_offered_as_plain_columns_without_a_budget(parties):
    terms = read_offer(parties.offer_document("chi_so_cds")).terms
    assert (terms.unit, terms.min_group, terms.dimensions, terms.measures) == (None, 1, (), ())
    assert (len(terms.columns), terms.day_budget, terms.lifetime_budget) == (8, None, None)
    assert (terms.join_columns, terms.join_condition) == (terms.columns, "not_required")
    assert (terms.retention_days, terms.any_expression) == (None, True)


def test_the_earlier_of_two_ends_holds(parties):
    early = read_offer(parties.offer_document(not_after="2026-12-02T10:00:00+07:00"))
    late = read_offer(parties.offer_document(not_after="2036-12-02T10:00:00+07:00"))
    assert early.terms.not_after == datetime(2026, 12, 2, 3, tzinfo=UTC)
    assert late.terms.not_after == parties.now + timedelta(days=365)


def test_a_row_filter_opens_only_the_named_values(parties):
    terms = read_offer(parties.offer_document(row_filter=[{"column": "tinh", "values": ["TP.HCM", "Đồng Nai"]}])).terms
    assert terms.rows == (Condition("tinh", ("TP.HCM", "Đồng Nai")),)


CHANGES = {
    "purposes empty": {"purposes": []},
    "purposes twice": {"purposes": ["thong_ke", "thong_ke"]},
    "a purpose in words": {"purposes": ["Thống kê"]},
    "purposes a text": {"purposes": "thong_ke"},
    "territories empty": {"territories": []},
    "a territory in small letters": {"territories": ["vn"]},
    "a territory with a line end": {"territories": ["VN\n"]},
    "term of no days": {"term_days": 0},
    "term as truth": {"term_days": True},
    "an end before its beginning": {"not_after": "2026-11-30T00:00:00Z"},
    "an end without a zone": {"not_after": "2027-11-30T00:00:00"},
    "an end beyond the calendar": {"not_after": "9999-12-31T23:59:59-07:00"},
    "a negative price": {"price_vnd": -1},
    "a price as text": {"price_vnd": "25000"},
    "a price as truth": {"price_vnd": True},
    "a price beyond all money": {"price_vnd": 10**15},
    "a release mode nobody knows": {"release": "raw"},
    "a release mode of another type": {"release": ["exact"]},
    "no receiver": {"allowed_result_receivers": []},
    "a receiver that is no participant": {"allowed_result_receivers": ["*"]},
    "no rows": {"max_rows": 0},
    "rows without end": {"max_rows": 10**9},
    "a budget of no use": {"access_budget": BUDGET | {"week": 0}},
    "half a budget": {"access_budget": {"day": 20}},
    "a budget for an hour": {"access_budget": BUDGET | {"hour": 5}},
    "a budget as truth": {"access_budget": BUDGET | {"month": True}},
    "a price plan of half a query": {"price_plan": {"free_queries": "20"}},
    "fewer than no free queries": {"price_plan": {"free_queries": -1}},
    "a monthly fee nobody charges": {"price_plan": {"free_queries": 0, "month_vnd": 1}},
    "results kept for no day": {"retention_days": 0},
    "results kept for a word": {"retention_days": "mai mai"},
    "a version that is neither": {"version": "latest"},
    "a version as truth": {"version": True},
    "expressions by a flag": {"aggregate_expressions": True},
    "expressions over a protected unit": {"aggregate_expressions": "any_expression"},
    "functions as a text": {"scalar_functions": "date_trunc"},
    "a function in capitals": {"scalar_functions": ["DATE_TRUNC"]},
    "a function that is SQL": {"scalar_functions": ["date_trunc ('month', x)"]},
    "a function twice": {"scalar_functions": ["+", "+"]},
    "functions without end": {"scalar_functions": [f"f{number}" for number in range(1025)]},
    "a join that is blocked": {"join_columns": ["nganh_id"]},
    "a join on nothing": {"join_condition": "all"},
    "a join on anything of nothing": {"join_condition": "any"},
    "a join condition nobody knows": {"join_condition": "maybe"},
    "a join on the unit": {"join_columns": ["nguoi_ban_pid"], "join_condition": "any"},
    "a join on a dimension of a protected unit": {"join_columns": ["tinh"], "join_condition": "not_required"},
    "a join on a measure of a protected unit": {"join_columns": ["doanh_thu_vnd"], "join_condition": "not_required"},
    "half the comparison controls": {"comparison_controls": {"literals": ["tinh"]}},
    "the unit against a constant": {"comparison_controls": CONTROLS | {"literals": ["nguoi_ban_pid"]}},
    "the unit against a column": {"comparison_controls": CONTROLS | {"columns": ["nguoi_ban_pid"]}},
    "a comparison of what is not opened": {"comparison_controls": CONTROLS | {"literals": ["phuong"]}},
    "a comparison with what is not opened": {"comparison_controls": CONTROLS | {"columns": ["phuong"]}},
    "the unit barred from results": {"disallowed_output_columns": ["nguoi_ban_pid"]},
    "a bar on what is not opened": {"disallowed_output_columns": ["phuong"]},
    "noise without its numbers": {"release": "dp"},
    "noise that is not asked for": {"dp": DP["dp"]},
    "noise without a unit": DP | OPEN | {"aggregate_expressions": "any_expression"},
    "noise over an unbounded sum": {"release": "dp", "dp": RHO | {"clipping": CLIPPING[:1]}},
    "a bound twice": {"release": "dp", "dp": RHO | {"clipping": [*CLIPPING, CLIPPING[0] | {"high": 8}]}},
    "a bound of nothing summed": {"release": "dp", "dp": RHO | {"clipping": [*CLIPPING, CLIP | {"column": "x"}]}},
    "bounds the wrong way round": {"release": "dp", "dp": RHO | {"clipping": [CLIPPING[0], CLIPPING[1] | {"low": 9}]}},
    "bounds that are no numbers": {"release": "dp", "dp": RHO | {"clipping": [CLIP, CLIPPING[1] | {"low": "0"}]}},
    "a query beyond the whole budget": {"release": "dp", "dp": DP["dp"] | {"nano_rho_query": 101}},
    "noise for nothing": {"release": "dp", "dp": DP["dp"] | {"nano_rho_query": 0}},
    "noise without a delta": {"release": "dp", "dp": DP["dp"] | {"delta_pico": 0}},
    "a template mode without templates": {"release": "template"},
    "templates that nobody asks for": {"templates": [OTHER]},
    "a template that is no digest": {"release": "template", "templates": ["SELECT 1"]},
    "a template twice": {"release": "template", "templates": [OTHER, OTHER]},
    "a cube without a unit": OPEN | {"release": "safe_cube"},
    "a threshold mode without a unit": OPEN | {"release": "threshold"},
    "a measure that the statement withholds": {
        "aggregate_columns": [{"columns": ["phi_vnd"], "functions": ["SUM"]}],
    },
    "a filter on what the statement does not list": {"row_filter": [{"column": "phi_vnd", "values": [1]}]},
    "exclusive as number": {"exclusive": 0},
    "sublicence unsaid": {"sublicence": None},
    "no word on intellectual property": {"intellectual_property": "  "},
    "text turned round": {"intellectual_property": "x\u202ey"},
    "rows of a protected unit": {"columns": ["tinh"]},
    "the unit as a dimension": {"dimensions": ["nguoi_ban_pid"]},
    "the unit as a measure": {"aggregate_columns": [{"columns": ["nguoi_ban_pid"], "functions": ["SUM"]}]},
    "the unit in the filter": {"row_filter": [{"column": "nguoi_ban_pid", "values": [42]}]},
    "the largest invoice": {"aggregate_columns": [{"columns": ["doanh_thu_vnd"], "functions": ["MAX"]}]},
    "an unknown function": {"aggregate_columns": [{"columns": ["doanh_thu_vnd"], "functions": ["LIST"]}]},
    "no function": {"aggregate_columns": [{"columns": ["doanh_thu_vnd"], "functions": []}]},
    "a column measured twice": {
        "aggregate_columns": [
            {"columns": ["doanh_thu_vnd"], "functions": ["SUM"]},
            {"columns": ["doanh_thu_vnd"], "functions": ["AVG"]},
        ]
    },
    "a column that is SQL": {"dimensions": ["tinh, doanh_thu_vnd"]},
    "a filter without values": {"row_filter": [{"column": "tinh", "values": []}]},
    "a filter of mixed values": {"row_filter": [{"column": "tinh", "values": ["a", 1]}]},
    "a filter of lists": {"row_filter": [{"column": "tinh", "values": [[1]]}]},
    "no threshold for a unit": {"output_constraints": []},
    "a threshold of one": {"output_constraints": [CONSTRAINT | {"minimum": 1}]},
    "a threshold on rows": {"output_constraints": [CONSTRAINT | {"type": "COUNT"}]},
    "a threshold on another column": {"output_constraints": [CONSTRAINT | {"column": "tinh"}]},
    "two thresholds": {"output_constraints": [CONSTRAINT, CONSTRAINT | {"minimum": 20}]},
    "a threshold without a unit": {"privacy_unit": None},
    "nothing opened": {
        "privacy_unit": None, "output_constraints": [], "dimensions": [], "aggregate_columns": [], "columns": [],
        "comparison_controls": {"literals": [], "columns": []},
    },
    "an unknown member": {"free_queries": 20},
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_no_offer_is_made_of_terms_with(parties, change):
    assert refused(parties.offer_document, **change)


@pytest.mark.parametrize("member", sorted(MEMBERS - {"not_after"}))
def test_a_missing_member_is_named(parties, terms, member):
    said = terms()
    del said[member]
    assert member in refused(offer_document, said, "hoa_don_dnnvv", VERSION, parties.provider, parties.now, STATEMENT)


def test_terms_without_an_end_are_refused(parties, terms):
    said = terms()
    del said["term_days"]
    assert "term_days" in refused(offer_document, said, "x", VERSION, parties.provider, parties.now, STATEMENT)


@pytest.mark.parametrize(
    ("dataset", "version", "provider"),
    [
        ("Hóa đơn", "sha256:" + "5a" * 32, "hiep-hoi-ban-le"),
        ("hoa_don_dnnvv", "v1", "hiep-hoi-ban-le"),
        ("hoa_don_dnnvv", "sha256:" + "5A" * 32, "hiep-hoi-ban-le"),
        ("hoa_don_dnnvv", "sha256:" + "5a" * 32, "Hiệp hội"),
    ],
)
def test_an_offer_names_dataset_version_and_provider_exactly(parties, terms, dataset, version, provider):
    refused(offer_document, terms(), dataset, version, provider, parties.now, STATEMENT)


# --- release modes ---
def test_noise_is_read_with_its_numbers(parties):
    terms = read_offer(parties.offer_document(**DP)).terms
    bounds = (Clip("doanh_thu_vnd", 0, 9), Clip("thue_gtgt_vnd", 0, 9))
    assert (terms.release, terms.dp) == (ReleaseMode.DP, Dp(5, 100, 7, 3, bounds))


def test_what_is_only_counted_needs_no_bounds_for_noise(parties):
    counted = [{"columns": ["doanh_thu_vnd"], "functions": ["COUNT"]}]
    terms = read_offer(parties.offer_document(**DP | {"dp": RHO | {"clipping": []}}, aggregate_columns=counted)).terms
    assert terms.dp.clipping == ()


def test_approved_queries_are_read_by_their_digests(parties):
    terms = read_offer(parties.offer_document(release="template", templates=[OTHER])).terms
    assert (terms.release, terms.templates) == (ReleaseMode.TEMPLATE, (OTHER,))


@pytest.mark.parametrize("mode", ["safe_cube", "threshold"])
def test_a_mode_of_protected_units_needs_nothing_but_its_name(parties, mode):
    assert read_offer(parties.offer_document(release=mode)).terms.release == mode


def test_a_join_column_beside_a_protected_unit_is_used_for_nothing_else(parties):
    terms = read_offer(parties.offer_document(join_columns=["ngay_lap"], join_condition="all")).terms
    assert (terms.join_columns, terms.join_condition) == (("ngay_lap",), "all")


def test_a_contract_may_follow_its_dataset(parties):
    assert read_offer(parties.offer_document(version="follows")).terms.follows


def test_each_budget_is_read_under_its_own_name(parties):
    terms = read_offer(parties.offer_document(access_budget={"day": 1, "week": 2, "month": 3, "lifetime": 4})).terms
    assert (terms.day_budget, terms.week_budget, terms.month_budget, terms.lifetime_budget) == (1, 2, 3, 4)


# --- the statement ---
def said_of(parties, terms, statement):
    return offer_document(terms(), "hoa_don_dnnvv", VERSION, parties.provider, parties.now, statement)


def test_every_offer_states_what_the_law_asks_of_a_seller(parties, terms):
    statement = read_offer(said_of(parties, terms, STATEMENT)).statement
    assert (statement.seller_status, statement.format) == ("hiep_hoi", "parquet")
    assert [(field.name, field.role) for field in statement.fields][-1] == ("ma_hoa_don", "withheld")


FIELD = STATEMENT["fields"][1]
STATEMENTS = {
    "a seller of no kind": {"seller_status": "ca_nhan"},
    "an origin left empty": {"origin": " "},
    "an origin turned round": {"origin": "x\u202ey"},
    "another format": {"format": "csv"},
    "no fields": {"fields": []},
    "a field without a role": {"fields": [{"name": "tinh", "type": "VARCHAR"}]},
    "a direct identifier": {"fields": [*STATEMENT["fields"], FIELD | {"name": "ten", "role": "identifier"}]},
    "a field twice": {"fields": [*STATEMENT["fields"], FIELD | {"name": "Tinh"}]},
    "a field that is SQL": {"fields": [*STATEMENT["fields"], FIELD | {"name": "a, b"}]},
    "a type as number": {"fields": [*STATEMENT["fields"], FIELD | {"name": "x", "type": 7}]},
    "the measure withheld": {"fields": [*STATEMENT["fields"][:2], STATEMENT["fields"][2] | {"role": "withheld"}]},
    "the unit missing": {"fields": STATEMENT["fields"][1:]},
    "a member too many": {"price": 1},
}


@pytest.mark.parametrize("change", STATEMENTS.values(), ids=STATEMENTS.keys())
def test_no_offer_is_made_with_a_statement_of(parties, terms, change):
    refused(said_of, parties, terms, STATEMENT | change)


def test_a_statement_that_misses_a_member_is_refused(parties, terms):
    for member in STATEMENT:
        assert member in refused(said_of, parties, terms, {k: v for k, v in STATEMENT.items() if k != member})


# --- the permission and the frame ---
def permission_of(document):
    return document["permission"][0]


ODRL = {
    "another action": lambda p: p.update(action="distribute"),
    "a second action": lambda p: p.update(action=["use", "distribute"]),
    "an operand nobody reads": lambda p: p["constraint"].append(
        {"leftOperand": "count", "operator": "lt", "rightOperand": "5"}
    ),
    "no purpose": lambda p: p["constraint"].pop(0),
    "another order": lambda p: p["constraint"].reverse(),
    "a purpose excluded": lambda p: p["constraint"][0].update(operator="isNoneOf"),
    "an end included": lambda p: p["constraint"][2].update(operator="lteq"),
    "no duty": lambda p: p.update(duty=[]),
    "a second duty": lambda p: p["duty"].append({"action": "attribute"}),
    "a price in dollars": lambda p: p["duty"][0]["constraint"][0].update(unit="USD"),
    "a price as number": lambda p: p["duty"][0]["constraint"][0].update(rightOperand=25_000),
    "a price with a nought before": lambda p: p["duty"][0]["constraint"][0].update(rightOperand="025000"),
    "a price below nothing": lambda p: p["duty"][0]["constraint"][0].update(rightOperand="-1"),
    "a price in other digits": lambda p: p["duty"][0]["constraint"][0].update(rightOperand="２５"),
    "an assignee of its own": lambda p: p.update(assignee="cong-ty-khac"),
}


@pytest.mark.parametrize("change", ODRL.values(), ids=ODRL.keys())
def test_the_permission_is_said_in_one_way_and_not_with(parties, change):
    document = parties.offer_document()
    change(permission_of(document))
    assert "permission is not" in refused(read_offer, document)


FRAME = {
    "a context of their own": {"@context": "http://example.org/odrl.jsonld"},
    "another profile": {"profile": "https://example.org/odrl"},
    "another type": {"type": "Set"},
    "a prohibition": {"prohibition": []},
    "an assignee that is no participant": {"assignee": "Công ty"},
    "its own provider as assignee": {"assignee": "hiep-hoi-ban-le"},
    "an answer to nobody": {"prev": OTHER},
    "an answer to no document": {"assignee": "cong-ty-fintech", "prev": "v1"},
    "a nonce": {"nonce": "A" * 43},
    "no statement": {"statement": None},
    "two permissions": {"permission": []},
    "a target without a version": {"target": "hoa_don_dnnvv"},
    "a uid that is no UUID": {"uid": "urn:x"},
    "two targets": {"target": ["hoa_don_dnnvv@sha256:" + "5a" * 32]},
    "a time in another spelling": {"timestamp": "2026-12-01T03:00:00Z"},
    "terms as a list": {"terms": []},
}


@pytest.mark.parametrize("change", FRAME.values(), ids=FRAME.keys())
def test_no_offer_reads_with(parties, change):
    refused(read_offer, parties.offer_document() | change)


def test_a_term_cannot_stand_in_two_places(parties):
    document = parties.offer_document()
    document["terms"]["purposes"] = ["ban_lai"]
    assert "permission leaves open" in refused(read_offer, document)


def test_an_agreement_is_made_of_the_offer_that_its_digest_names(parties):
    older, newer = parties.offer_document(price_vnd=10_000), parties.offer_document()
    message = refused(agreement_document, newer, digest_of(older), parties.buyer, NONCE, parties.now)
    assert "digest" in message


def test_an_offer_that_has_ended_cannot_be_accepted(parties):
    offer = parties.offer_document()
    assert "ends before" in refused(agreement_of, parties, offer, now=parties.now + timedelta(days=365))


def test_a_buyer_whom_the_offer_gives_no_results_cannot_accept_it(parties):
    offer = parties.offer_document(allowed_result_receivers=["cong-ty-khac"])
    assert "allowed_result_receivers" in refused(agreement_of, parties, offer)
    assert agreement_of(parties, offer, buyer="cong-ty-khac")


@pytest.mark.parametrize("nonce", [b"", bytes(31), bytes(33)])
def test_a_nonce_has_32_bytes(parties, nonce):
    offer = parties.offer_document()
    assert "nonce" in refused(agreement_document, offer, digest_of(offer), parties.buyer, nonce, parties.now)


@pytest.mark.parametrize("nonce", [7, "=" * 43, "A" * 42 + "B", "A" * 44])
def test_a_nonce_has_one_spelling(parties, nonce):
    document = agreement_of(parties, parties.offer_document()) | {"nonce": nonce}
    assert "nonce" in refused(read_agreement, document)


# --- requests and counter-offers ---
def request_of(parties, offer, *, buyer=None, **changed):
    return request_document(offer, digest_of(offer), changed, buyer or parties.buyer, parties.now + LATER)


def test_a_request_names_the_offer_that_it_would_change_and_its_buyer(parties):
    offer = parties.offer_document()
    document = request_of(parties, offer, price_vnd=20_000, max_rows=100)
    request = read_request(document)
    assert (request.prev, request.provider, request.buyer) == (digest_of(offer), parties.provider, parties.buyer)
    assert (request.dataset, request.version) == ("hoa_don_dnnvv", VERSION)
    assert (request.id, request.timestamp) == (digest_of(document), parties.now + LATER)
    assert (request.terms.price, request.terms.max_rows, request.terms.receivers) == (20_000, 100, (parties.buyer,))
    differing = {member for member in document if document.get(member) != offer.get(member)}
    assert differing == {"type", "uid", "assignee", "prev", "timestamp", "permission", "terms"}


def test_a_request_that_changes_nothing_asks_for_the_offer_as_it_is(parties):
    offer = parties.offer_document()
    assert clauses_of(request_of(parties, offer)) == clauses_of(offer)


def test_a_requested_term_counts_from_the_request(parties):
    terms = read_request(request_of(parties, parties.offer_document(), term_days=30)).terms
    assert terms.not_after == parties.now + LATER + timedelta(days=30)


def test_a_requested_end_is_taken_though_it_is_later_than_the_offers(parties):
    later = read_request(request_of(parties, parties.offer_document(), not_after="2028-12-31T17:00:00Z")).terms
    assert later.not_after == datetime(2028, 12, 31, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    "changed",
    [{"price": 1}, {"timestamp": "x"}, {"price_vnd": -1}, {"columns": ["tinh"]}, {"not_after": "2026-01-01T00:00:00Z"}],
)
def test_no_request_asks_for(parties, changed):
    refused(request_of, parties, parties.offer_document(), **changed)


def test_a_request_answers_the_offer_that_its_digest_names(parties):
    older, newer = parties.offer_document(price_vnd=10_000), parties.offer_document()
    assert "digest" in refused(request_document, newer, digest_of(older), {}, parties.buyer, parties.now)


def test_nobody_requests_of_themselves(parties):
    assert "expected two" in refused(request_of, parties, parties.offer_document(), buyer=parties.provider)


@pytest.mark.parametrize("change", [{"type": "Offer"}, {"prev": "v1"}, {"assignee": 7}, {"nonce": "A" * 43}])
def test_no_request_reads_with(parties, change):
    refused(read_request, request_of(parties, parties.offer_document()) | change)


@pytest.mark.parametrize("member", ["prev", "assignee", "statement"])
def test_no_request_reads_without(parties, member):
    document = request_of(parties, parties.offer_document())
    del document[member]
    assert member in refused(read_request, document)


def test_a_counter_offer_is_to_the_buyer_whose_request_it_answers(parties):
    request = request_of(parties, parties.offer_document(), price_vnd=1_000)
    offer = read_offer(counter_document(request, digest_of(request), {"price_vnd": 20_000}, parties.now + 2 * LATER))
    assert (offer.buyer, offer.prev, offer.terms.price) == (parties.buyer, digest_of(request), 20_000)
    assert offer.terms.receivers == (parties.buyer,)


def test_a_counter_offer_answers_the_request_that_its_digest_names(parties):
    request = request_of(parties, parties.offer_document())
    assert "digest" in refused(counter_document, request, OTHER, {}, parties.now)
    refused(counter_document, parties.offer_document(), OTHER, {}, parties.now)


def test_a_request_may_answer_a_counter_offer_but_not_anothers(parties):
    request = request_of(parties, parties.offer_document())
    counter = counter_document(request, digest_of(request), {}, parties.now)
    assert read_request(request_of(parties, counter)).prev == digest_of(counter)
    assert "another buyer" in refused(request_of, parties, counter, buyer="cong-ty-khac")


def test_an_offer_may_be_made_to_one_buyer_at_once(parties, terms):
    document = offer_document(
        terms(), "hoa_don_dnnvv", VERSION, parties.provider, parties.now, STATEMENT, buyer=parties.buyer
    )
    assert (read_offer(document).buyer, read_offer(document).prev) == (parties.buyer, None)
    assert agreement_of(parties, document)["assignee"] == parties.buyer
    assert "another buyer" in refused(agreement_of, parties, document, buyer="cong-ty-khac")


def test_an_agreement_is_made_of_a_request_as_of_an_offer(parties):
    request = request_of(parties, parties.offer_document(), price_vnd=20_000)
    draft = read_agreement(agreement_of(parties, request, now=parties.now + 2 * LATER))
    assert (draft.offer, draft.buyer, draft.terms.price) == (digest_of(request), parties.buyer, 20_000)
    assert "another buyer" in refused(agreement_of, parties, request, buyer="cong-ty-khac")
