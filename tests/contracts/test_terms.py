"""What a contract may say, and everything it may not."""

from datetime import UTC, datetime, timedelta

import pytest

from sandbox.contracts.clauses import Measure
from sandbox.contracts.terms import agreement_document, offer_document, read_agreement, read_offer
from sandbox.core.canonical import digest_of, parse
from sandbox.core.errors import Invalid
from sandbox.core.terms import Condition, ReleaseMode

NONCE = bytes(range(32))
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
    assert (terms.day_budget, terms.lifetime_budget, terms.max_rows) == (200, 5000, 5000)
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
    "a release mode nobody built": {"release": "safe_cube"},
    "a release mode of another type": {"release": ["exact"]},
    "no receiver": {"allowed_result_receivers": []},
    "a receiver that is no participant": {"allowed_result_receivers": ["*"]},
    "no rows": {"max_rows": 0},
    "rows without end": {"max_rows": 10**9},
    "a budget of no use": {"access_budget": {"day": 0, "lifetime": None}},
    "half a budget": {"access_budget": {"day": 20}},
    "a budget for a week": {"access_budget": {"day": 20, "lifetime": None, "week": 5}},
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
    },
    "an unknown member": {"free_queries": 20},
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_no_offer_is_made_of_terms_with(parties, change):
    assert refused(parties.offer_document, **change)


@pytest.mark.parametrize("member", ["purposes", "dimensions", "row_filter", "access_budget", "exclusive", "release"])
def test_a_missing_member_is_named(parties, terms, member):
    said = terms()
    del said[member]
    assert member in refused(
        offer_document, said, "hoa_don_dnnvv", "sha256:" + "5a" * 32, parties.provider, parties.now
    )


def test_terms_without_an_end_are_refused(parties, terms):
    said = terms()
    del said["term_days"]
    assert "term_days" in refused(offer_document, said, "x", "sha256:" + "5a" * 32, parties.provider, parties.now)


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
    refused(offer_document, terms(), dataset, version, provider, parties.now)


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
    "an assignee": {"assignee": "cong-ty-fintech"},
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
