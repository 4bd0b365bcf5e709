"""Every clause of a contract is said in plain sentences, and what two contracts say differently is found."""

import pytest

from sandbox.contracts.clauses import MEMBERS
from sandbox.contracts.explain import SENTENCES, differences, explain
from sandbox.contracts.terms import agreement_document, clauses_of, counter_document, request_document
from sandbox.core.canonical import digest_of
from sandbox.core.errors import Invalid
from sandbox.core.terms import ReleaseMode

DIGEST = "sha256:" + "6b" * 32
BOUNDS = [{"column": "doanh_thu_vnd", "low": -1_000, "high": 5_000_000}]
NOISE = {
    "nano_rho_query": 5_000_000, "nano_rho_total": 100_000_000, "delta_pico": 100_000, "groups_per_unit": 8,
    "clipping": BOUNDS,
}  # fmt: skip
SUMS = [{"columns": ["doanh_thu_vnd"], "functions": ["SUM", "MAX"]}]
FRAME = {"type", "assigner", "assignee", "target", "prev", "timestamp", "statement"}


@pytest.fixture
def said(terms):
    """What one clause of otherwise ordinary terms says, in both languages."""

    def say(member, dataset="hoa_don_dnnvv", **changed):
        clause = next(each for each in explain(terms(dataset, **changed)) if each.member == member)
        return clause.vi, clause.en

    return say


def agreed(parties, offer):
    return agreement_document(offer, digest_of(offer), parties.buyer, bytes(32), parties.now)


def requested(parties, offer, **changed):
    return request_document(offer, digest_of(offer), changed, parties.buyer, parties.now)


@pytest.mark.parametrize("dataset", ["hoa_don_dnnvv", "chi_so_cds", "xe_buyt_luot_di"])
def test_every_clause_of_the_terms_is_said_in_both_languages(parties, terms, dataset):
    assert SENTENCES.keys() == MEMBERS | {"term_days"}
    asked = parties.offer_document(dataset)
    for document in (terms(dataset), asked, requested(parties, asked), agreed(parties, asked)):
        clauses = {clause.member: clause for clause in explain(document)}
        kept = document if "type" not in document else clauses_of(document)
        assert clauses.keys() - FRAME == kept.keys()
        assert all(clauses[name].value == value for name, value in kept.items())
        for clause in clauses.values():
            assert clause.vi != clause.en
            assert all(text[0].isupper() and text.endswith((".", "”")) for text in (clause.vi, clause.en)), clause


def test_an_offer_says_who_offers_what_to_whom(parties):
    said = {clause.member: clause for clause in explain(parties.offer_document())}
    assert said["assignee"].value is None
    assert "Any buyer" in said["assignee"].en
    assert parties.provider in said["assigner"].vi
    assert "hoa_don_dnnvv" in said["target"].vi
    assert "01/12/2026 10:00 (giờ Việt Nam)" in said["timestamp"].vi
    assert "hiệp hội" in said["statement"].vi
    assert "doanh_thu_vnd BIGINT (đại lượng)" in said["statement"].vi
    assert "prev" not in said


def test_answers_name_what_they_answer_and_an_agreement_what_it_accepts(parties):
    offer = parties.offer_document()
    request = requested(parties, offer)
    counter = counter_document(request, digest_of(request), {}, parties.now)
    for document in (request, counter):
        said = {clause.member: clause for clause in explain(document)}
        assert f"answers the document {document['prev']}" in said["prev"].en
        assert parties.buyer in said["assignee"].en
    said = {clause.member: clause for clause in explain(agreed(parties, request))}
    assert f"{digest_of(request)}, unaltered" in said["prev"].en


@pytest.mark.parametrize("mode", [*ReleaseMode])
def test_each_release_mode_has_its_own_sentence(terms, mode):
    changed = {"release": mode.value, "aggregate_columns": [SUMS[0] | {"functions": ["SUM"]}]}
    changed |= {"dp": NOISE} if mode == "dp" else {"templates": [DIGEST]} if mode == "template" else {}
    clause = next(each for each in explain(terms(**changed)) if each.member == "release")
    others = {each.vi for other in {"exact", "safe_cube"} - {mode} for each in explain(terms(release=other))}
    assert clause.vi not in others


def test_the_threshold_mode_is_said_to_be_weaker(said):
    vi, en = said("release", release="threshold")
    assert "yếu hơn safe_cube và dp" in vi
    assert "weaker than safe_cube and dp" in en


def test_the_minimum_says_what_it_protects_and_what_becomes_of_small_groups(said):
    vi, en = said("output_constraints")
    assert "ít nhất 10 nguoi_ban_pid khác nhau" in vi
    assert "bị bỏ đi" in vi
    assert "at least 10 different nguoi_ban_pid" in en
    assert "left out" in en


SAID = {
    "money in whole đồng": ("price_vnd", {"price_vnd": 1_234_567}, "1.234.567\u00a0₫"),
    "no price": ("price_vnd", {"price_vnd": 0}, "0\u00a0₫"),
    "trial queries": ("price_plan", {}, "the first 20 queries"),
    "no trial queries": ("price_plan", {"price_plan": {"free_queries": 0}}, "no free trial"),
    "a date before its time of day": ("not_after", {"not_after": "2026-11-22T03:00:00Z"}, "22/11/2026 10:00"),
    "a time with seconds": ("not_after", {"not_after": "2026-11-22T03:00:07Z"}, "22/11/2026 10:00:07"),
    "known and unknown purposes": ("purposes", {"purposes": ["thong_ke", "x"]}, "statistics (thong_ke), x"),
    "a foreign territory": ("territories", {"territories": ["VN", "SG"]}, "Viet Nam (VN), SG"),
    "later versions": ("version", {"version": "follows"}, "later versions"),
    "no dimension": (
        "dimensions",
        {"dimensions": [], "comparison_controls": {"literals": [], "columns": []}},
        "no dimension",
    ),
    "no comparison": (
        "comparison_controls",
        {"comparison_controls": {"literals": [], "columns": []}},
        "Nothing may be compared with constants. No column with another column.",
    ),
    "comparison of columns": (
        "comparison_controls",
        {"comparison_controls": {"literals": [], "columns": ["tinh"]}},
        "These with other columns: tinh.",
    ),
    "no measure": ("aggregate_columns", {"aggregate_columns": []}, "by itself"),
    "no function": ("scalar_functions", {"scalar_functions": []}, "no function"),
    "some functions": ("scalar_functions", {"scalar_functions": ["+", "round"]}, "may be called: +, round."),
    "join columns": ("join_columns", {"join_columns": ["ngay_lap"], "join_condition": "any"}, "only: ngay_lap"),
    "a join on any": ("join_condition", {"join_columns": ["ngay_lap"], "join_condition": "any"}, "at least one"),
    "a join on all": ("join_condition", {"join_columns": ["ngay_lap"], "join_condition": "all"}, "on all of"),
    "a row filter": (
        "row_filter",
        {"row_filter": [{"column": "tinh", "values": ["Huế"]}, {"column": "nam", "values": [2026, 2027]}]},
        "tinh is one of “Huế” and nam is one of 2026, 2027",
    ),
    "a row filter of truth": ("row_filter", {"row_filter": [{"column": "x", "values": [True]}]}, "x is one of true"),
    "what is never shown": ("disallowed_output_columns", {"disallowed_output_columns": ["tinh"]}, "never stand"),
    "approved queries": ("templates", {"release": "template", "templates": [DIGEST]}, DIGEST),
    "each budget": (
        "access_budget",
        {"access_budget": {"day": 1, "week": None, "month": 3_000, "lifetime": 4}},
        "at most 1 query a day, 3.000 queries a month, 4 queries in the whole term",
    ),
    "no budget": (
        "access_budget",
        {"access_budget": dict.fromkeys(("day", "week", "month", "lifetime"))},
        "not limited",
    ),
    "results kept for ever": ("retention_days", {"retention_days": None}, "without limit of time"),
    "an exclusive right": ("exclusive", {"exclusive": True}, "no other buyer"),
    "a right to pass on": ("sublicence", {"sublicence": True}, "may pass the right"),
    "other receivers": (
        "allowed_result_receivers",
        {"allowed_result_receivers": ["odrl:assignee", "ngan-hang"]},
        "the buyer (odrl:assignee), ngan-hang",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("member", "changed", "words"), SAID.values(), ids=SAID.keys())
def test_a_clause_says(said, member, changed, words):
    assert words in said(member, **changed)[1]


def test_noise_is_said_in_rho_and_in_epsilon(said):
    counted = [{"columns": ["doanh_thu_vnd"], "functions": ["SUM"]}]
    vi, en = said("dp", release="dp", dp=NOISE, aggregate_columns=counted)
    for text in (vi, en):
        assert all(part in text for part in ("ρ = 0,005", "ρ = 0,1", "ε ≤ 2,64", "100.000 · 10⁻¹²", "8"))
        assert "doanh_thu_vnd -1.000 … 5.000.000" in text
    counted[0]["functions"] = ["COUNT"]
    whole = NOISE | {"nano_rho_total": 2_000_000_000, "clipping": []}
    assert "ρ = 2," in said("dp", release="dp", dp=whole, aggregate_columns=counted)[1]


def test_an_open_dataset_is_said_to_protect_no_unit(said):
    assert "đọc từng dòng" in said("privacy_unit", "chi_so_cds")[0]
    assert "no minimum" in said("output_constraints", "chi_so_cds")[1]
    assert "any expression" in said("aggregate_expressions", "chi_so_cds")[1]


@pytest.mark.parametrize(
    "document", [{}, {"type": "Order"}, {"type": ["Offer"]}, {"type": "Offer", "terms": {}}, {"purposes": ["x"]}]
)
def test_what_does_not_read_as_a_contract_is_not_explained(document):
    with pytest.raises(Invalid) as refusal:
        explain(document)
    assert refusal.value.code == "contract.invalid"


def test_a_request_differs_from_its_offer_in_the_clauses_that_it_changes(parties):
    offer = parties.offer_document()
    request = requested(parties, offer, price_vnd=20_000, version="follows")
    found = differences(offer, request)
    assert [each.member for each in found] == ["version", "price_vnd"]
    assert (found[1].first.value, found[1].second.value) == (25_000, 20_000)
    assert "20.000\u00a0₫" in found[1].second.vi
    assert differences(offer, agreed(parties, offer)) == []


def test_a_clause_that_only_one_of_two_has_is_a_difference(parties, terms):
    found = differences(terms(), parties.offer_document())
    assert [each.member for each in found if each.first is None] == ["assigner", "target", "statement", "not_after"]
    assert [each.member for each in found if each.second is None] == ["term_days"]


def test_what_does_not_read_is_not_compared(parties):
    with pytest.raises(Invalid):
        differences(parties.offer_document(), {"type": "Offer"})
