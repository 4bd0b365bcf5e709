"""The volume: from the ledger and from the log alike."""

from dataclasses import astuple
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.core.clock import day_of, instant_of
from sandbox.core.errors import Invalid
from sandbox.core.terms import Vnd
from sandbox.market.volume import Volume, fold, fold_by, growth_bp, volume, volume_by

NOTHING = Volume(0, 0, 0, 0, 0)
# query, instant, buyer, {dataset: vnd}, rows, bytes. 17:00 UTC is midnight in Ho Chi Minh City.
SALES = [
    ("q1", "2026-11-30T16:59:59.999999Z", "fintech", {"xe_buyt": 15_000}, 30, 2_000),
    ("q2", "2026-11-30T17:00:00Z", "fintech", {"chi_so_cds": 0}, 10, 900),
    ("q3", "2026-12-01T05:00:00Z", "logistics", {"cang": 40_000, "bien_dong": 1_000}, 9, 700),
    ("q4", "2026-12-01T16:59:59Z", "logistics", {"chi_so_cds": 0, "dat_dai": 60_000}, 0, 64),
]
DAYS = {"q1": "2026-11-30", "q2": "2026-12-01", "q3": "2026-12-01", "q4": "2026-12-01"}


def completed(query, at, shares, rows, size):
    """The log's document of a completed query, as far as it is in clear."""
    return {
        "v": 1, "type": "query.completed", "id": f"ent-{query}", "ts": at, "query": query,
        "agreements": [{"id": f"sha256:{name}", "dataset": name, "vnd": vnd} for name, vnd in shares.items()],
        "meter": {"rows_out": rows, "bytes_out": size, "vnd": sum(shares.values())}, "isolation": "process",
        "sealed": {},
    }  # fmt: skip


DOCUMENTS = [completed(query, at, shares, rows, size) for query, at, _, shares, rows, size in SALES]
NOISE = [
    {"v": 1, "type": "query.refused", "id": "ent-r", "ts": "2026-12-01T01:00:00Z", "sealed": {}},
    {"v": 1, "type": "query.failed", "id": "ent-f", "ts": "2026-12-01T01:00:00Z", "sealed": {}},
    {"v": 1, "type": "wallet.topped_up", "id": "ent-t", "ts": "2026-12-01T01:00:00Z", "sealed": {}},
]


@pytest.fixture
def sold(till):
    for buyer in ("fintech", "logistics"):
        till.top_up(buyer, 500_000)
    for query, at, buyer, shares, rows, size in SALES:
        till.reserve(query, buyer, sum(shares.values()))
        till.capture(query, buyer, shares, at=instant_of(at), rows_out=rows, bytes_out=size)
    till.reserve("q5", "fintech", 25_000)  # still running
    till.reserve("q6", "fintech", 25_000)
    till.refund("q6")
    return till


def narrowed(document, datasets):
    """The document as if only these datasets had been asked, or None."""
    parts = [part for part in document["agreements"] if part["dataset"] in datasets]
    return document | {"meter": document["meter"] | {"vnd": sum(part["vnd"] for part in parts)}} if parts else None


def test_only_what_is_settled_counts_and_the_ledger_equals_the_log(sold):
    by_hand = Volume(count=4, value_vnd=116_000, rows=49, bytes=3_664, count_open=1)
    assert sold.read(volume) == fold(NOISE + DOCUMENTS) == by_hand
    assert {type(number) for number in astuple(sold.read(volume))} == {int}  # PostgreSQL sums to Decimal


def test_nothing_settled_is_zero_and_no_group(till):
    assert till.read(volume) == fold(NOISE) == NOTHING
    assert till.read(volume_by, "day") == {}


def test_a_day_begins_at_midnight_in_ho_chi_minh_city(sold):
    days = sold.read(volume_by, "day")
    assert list(days) == ["2026-11-30", "2026-12-01"]
    for day, found in days.items():
        assert found == fold(entry for entry in DOCUMENTS if str(day_of(instant_of(entry["ts"]))) == day)
        assert found.count == list(DAYS.values()).count(day)


def test_by_buyer_it_equals_the_fold_of_that_buyers_entries(sold):
    found = sold.read(volume_by, "buyer")
    assert found == {"fintech": fold(DOCUMENTS[:2]), "logistics": fold(DOCUMENTS[2:])}


PORT, INDEX, LAND, BUS = {"cang", "bien_dong"}, {"chi_so_cds"}, {"dat_dai"}, {"xe_buyt"}


@pytest.mark.parametrize(
    ("dimension", "groups"),
    [
        ("dataset", {name: {name} for name in PORT | INDEX | LAND | BUS}),
        ("provider", {"cang-vu": PORT, "so-gtvt": BUS, "so-kh-cn": INDEX, "so-tnmt": LAND}),
        ("sector", {"cang_bien": PORT, "chi_so_cds": INDEX, "dat_dai": LAND, "giao_thong": BUS}),
    ],
)
def test_a_query_counts_once_in_each_group_it_touches_and_its_price_is_divided(sold, dimension, groups):
    found = sold.read(volume_by, dimension)
    assert list(found) == sorted(groups)
    for name, datasets in groups.items():
        parts = (narrowed(document, datasets) for document in DOCUMENTS)
        assert found[name] == fold(part for part in parts if part)
    assert sum(part.value_vnd for part in found.values()) == sold.read(volume).value_vnd


def test_two_shares_in_one_group_do_not_double_the_query(sold):
    port = sold.read(volume_by, "sector")["cang_bien"]
    assert port == Volume(count=1, value_vnd=41_000, rows=9, bytes=700, count_open=0)


def test_open_is_what_costs_nothing_in_the_group_looked_at(sold):
    assert sold.read(volume).count_open == 1  # q4 was paid
    assert sold.read(volume_by, "dataset")["chi_so_cds"].count_open == 2  # not for its open part


def test_a_period_holds_its_beginning_and_not_its_end(sold):
    since, until = datetime(2026, 11, 30, 17, tzinfo=UTC), datetime(2026, 12, 1, 16, 59, 59, tzinfo=UTC)
    assert sold.read(volume, since, until) == fold(DOCUMENTS[1:3])
    assert sold.read(volume, until) == fold(DOCUMENTS[3:])
    assert sold.read(volume_by, "buyer", None, since) == {"fintech": fold(DOCUMENTS[:1])}
    assert sold.read(volume, until + timedelta(days=1)) == NOTHING


@pytest.mark.parametrize("dimension", ["purpose", "", "query_id; drop table posting"])
def test_an_unknown_dimension_is_refused(till, dimension):
    with pytest.raises(Invalid, match="No volume by") as refused:
        till.read(volume_by, dimension)
    assert refused.value.code == "volume.dimension"


@pytest.mark.parametrize(
    "meter", [None, {}, {"rows_out": 1, "bytes_out": 1}, {"rows_out": 1, "bytes_out": 1, "vnd": "5"}]
)
def test_a_completed_entry_without_its_meter_is_not_passed_over(meter):
    with pytest.raises(Invalid) as refused:
        fold([{"type": "query.completed", "meter": meter}])
    assert refused.value.code == "entry.malformed"


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [(120, 100, 2_000), (100, 100, 0), (0, 5, -10_000), (4, 3, 3_333), (2, 3, -3_333), (5, 0, None), (0, 0, None),
     (20_001, 20_000, 1), (19_999, 20_000, 0), (10**18 + 10**14, 10**18, 1)],
)  # fmt: skip
def test_growth_is_in_basis_points_and_undefined_from_nothing(now, before, expected):
    assert growth_bp(now, before) == expected


@given(st.integers(0, 10**15), st.integers(1, 10**15))
def test_growth_is_the_nearest_basis_point(now, before):
    error = growth_bp(now, before) * before - (now - before) * 10_000
    assert -before <= 2 * error <= before


def test_a_query_over_two_datasets_is_recounted_by_group_as_the_ledger_counts_it() -> None:
    meter = {"rows_out": 3, "bytes_out": 100, "vnd": 30}
    shares = [{"id": "a", "dataset": "cang", "vnd": 30}, {"id": "b", "dataset": "mo", "vnd": 0}]
    entries = [{"type": "query.completed", "meter": meter, "agreements": shares}, {"type": "query.refused"}]
    assert fold_by(entries, lambda _, share: share["dataset"]) == {
        "cang": Volume(1, Vnd(30), 3, 100, 0),
        "mo": Volume(1, Vnd(0), 3, 100, 1),
    }
    assert fold_by(entries, lambda *_: "2026-12-01") == {"2026-12-01": Volume(1, Vnd(30), 3, 100, 0)}
