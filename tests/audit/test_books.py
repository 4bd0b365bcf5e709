"""The books that the log tells, and what they are compared with."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.audit.books import Books, differences, fold_books, read_books
from sandbox.core.canonical import canonical
from sandbox.core.errors import Invalid

NOON = "2026-11-22T05:00:00.123456Z"


def entry(kind: str, **clear: Any) -> dict[str, Any]:
    return {"v": 1, "type": kind, "id": "ent_1", "ts": NOON, "sealed": {}} | clear


def sold(query: str, *shares: tuple[str, int, int | None], at: str = NOON) -> dict[str, Any]:
    agreements = [
        {"id": name, "dataset": "d", "vnd": vnd} | ({} if fee is None else {"fee_vnd": fee})
        for name, vnd, fee in shares
    ]
    meter = {"rows_out": 2, "bytes_out": 10, "vnd": sum(vnd for _, vnd, _ in shares)}
    return entry("query.completed", query=query, agreements=agreements, meter=meter, ts=at)


def held(query: str, vnd: int) -> dict[str, Any]:
    return entry("query.authorized", query=query, vnd=vnd)


AGREED = [
    entry("agreement.signed", agreement="sha256:a", provider="so-giao-thong"),
    entry("agreement.signed", agreement="sha256:b", provider="cang-bien"),
]
STORY = [
    *AGREED,
    entry("wallet.topped_up", vnd=1_000),
    held("q1", 100),
    sold("q1", ("sha256:a", 60, 1), ("sha256:b", 40, 1)),
    held("q2", 70),
    entry("query.failed", query="q2"),
    held("q3", 0),
    sold("q3", ("sha256:a", 0, 0), at="2026-11-22T17:30:00.000000Z"),
    entry("query.refused", query="q4"),
    held("q5", 200),
]


def test_the_ledger_is_told_by_the_log_alone() -> None:
    books = fold_books(STORY)
    assert (books["type"], books["size"]) == ("sandbox.books/v1", 11)
    assert books["volume"] == {"count": 2, "vnd": 100, "rows": 4, "bytes": 20, "count_open": 1}
    assert {day: part["count"] for day, part in books["by_day"].items()} == {"2026-11-22": 1, "2026-11-23": 1}
    assert {name: part["vnd"] for name, part in books["by_agreement"].items()} == {"sha256:a": 60, "sha256:b": 40}
    assert books["ledger"] == {
        "topped_up": 1_000, "held": 200, "wallets": 700, "paid": 100, "fees": 2,
        "providers": {"cang-bien": 39, "so-giao-thong": 59},
    }  # fmt: skip


def test_nothing_is_all_zero() -> None:
    books = fold_books([])
    assert books["ledger"] == {"topped_up": 0, "held": 0, "wallets": 0, "paid": 0, "fees": 0, "providers": {}}
    assert differences(books, books) == []


def test_a_fee_that_is_not_told_is_not_made_up() -> None:
    ledger = fold_books([*AGREED, sold("q1", ("sha256:a", 60, None))])["ledger"]
    assert (ledger["paid"], ledger["fees"], ledger["providers"]) == (60, None, None)
    free = fold_books([*AGREED, sold("q1", ("sha256:a", 0, None))])["ledger"]  # of nothing the fee is nothing
    assert (free["fees"], free["providers"]) == (0, {})


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (entry("wallet.topped_up"), "its amount"),
        (entry("wallet.topped_up", vnd=-1), "its amount"),
        (entry("wallet.topped_up", vnd=True), "its amount"),
        (entry("query.authorized", query="q9"), "its price"),
        (held("q5", 200), "a second time"),
        (sold("q5", ("sha256:a", 199, 0)), "not the one that was held"),
        (sold("q6", ("sha256:a", 5, 6)), "more than its share"),
        (sold("q6", ("sha256:a", 5, -1)), "no amount"),
        (entry("query.completed", query="q6", meter=[]), "no whole meter"),
        (
            entry("query.completed", query="q6", meter={"rows_out": 1, "bytes_out": 1, "vnd": 0}, agreements=[3]),
            "share",
        ),
    ],
)
def test_an_entry_that_cannot_be_counted_is_not_skipped(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(Invalid, match=why) as refusal:
        fold_books([*STORY, wrong])
    assert refusal.value.code == "entry.malformed"


def test_the_books_of_an_earlier_entry_are_kept_while_the_log_goes_on() -> None:
    books = Books(at=5)
    books.add_leaves(canonical(each) for each in STORY)
    assert books.then == fold_books(STORY[:5])
    assert books.document() == fold_books(STORY)
    assert Books(at=0).then == fold_books([])
    late = Books(at=12)
    late.add_leaves(canonical(each) for each in STORY)
    assert late.then is None


def test_what_differs_is_named_with_by_how_much() -> None:
    told = fold_books(STORY)
    books = json.loads(json.dumps(told))
    books["volume"]["vnd"] += 5
    books["ledger"]["providers"]["so-giao-thong"] = 50
    books["ledger"]["providers"]["ma"] = 9
    del books["by_day"]["2026-11-23"]
    books["ledger"]["held"] = "200"
    assert differences(told, books) == [
        "volume.vnd: 100 by the log, 105 by the books (+5)",
        "by_day.2026-11-23.bytes: 10 by the log, 0 by the books (-10)",
        "by_day.2026-11-23.count: 1 by the log, 0 by the books (-1)",
        "by_day.2026-11-23.count_open: 1 by the log, 0 by the books (-1)",
        "by_day.2026-11-23.rows: 2 by the log, 0 by the books (-2)",
        "ledger.held: the books give no number",
        "ledger.providers.ma: 0 by the log, 9 by the books (+9)",
        "ledger.providers.so-giao-thong: 59 by the log, 50 by the books (-9)",
    ]


def test_a_long_list_of_differences_is_cut() -> None:
    told = fold_books([sold(f"q{number}", (f"sha256:{number}", 1, 0)) for number in range(40)])
    found = differences(told, fold_books([]))
    assert len(found) == 21
    assert found[-1].startswith("and ")


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 100), st.sampled_from(["paid", "failed", "open"]))))
def test_all_money_is_somewhere(runs: list[tuple[int, int, str]]) -> None:
    entries = [*AGREED, entry("wallet.topped_up", vnd=10**12)]
    for number, (vnd, percent, end) in enumerate(runs):
        entries.append(held(f"q{number}", vnd))
        if end == "paid":
            entries.append(sold(f"q{number}", ("sha256:a", vnd, vnd * percent // 100)))
        elif end == "failed":
            entries.append(entry("query.failed", query=f"q{number}"))
    ledger = fold_books(entries)["ledger"]
    assert ledger["paid"] == ledger["fees"] + sum(ledger["providers"].values())
    assert ledger["topped_up"] == ledger["held"] + ledger["wallets"] + ledger["paid"]
    assert ledger["held"] == sum(vnd for vnd, _, end in runs if end == "open")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"type":"sandbox.books/v1"}', json.dumps(fold_books([]) | {"size": -1}).encode()]
)
def test_what_are_no_books_is_refused(content: bytes) -> None:
    with pytest.raises(Invalid):
        read_books(content)


def test_printed_books_are_read_whatever_their_spaces() -> None:
    books = fold_books(STORY)
    assert read_books(json.dumps(books, indent=2).encode()) == books
