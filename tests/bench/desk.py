"""Searching the record by its index, beside reading every entry for the same answer."""

import itertools
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import orjson

from sandbox.audit.events import EventType
from sandbox.audit.index import catch_up, log_indexed, log_term
from sandbox.audit.search import Wanted, search
from sandbox.core.database import Transaction, Unit, metadata
from sandbox.core.terms import EntryId
from tests.bench.figures import Act, Bench, Row, compared, medians, rate, seconds_of
from tests.bench.recording import AT, Book

TOGETHER = 256
ACTORS, DATASETS = 50, 10


def desk(bench: Bench) -> Iterator[Row]:
    """(k) Searches of a log by one and two terms and a day, and how fast its index is made."""
    book, count = Book(bench.fresh("desk")), bench.sized(100_000, 1_000)
    with closing(book.database):
        with book.database.engine.execution_options(writes=True).begin() as connection:
            metadata.create_all(connection, tables=[log_term, log_indexed])
        for numbers in _batches(count):
            for future in [book.database.submit(_unit(book, number)) for number in numbers]:
                future.result()
        taken = seconds_of(lambda: catch_up(book.database))
        walk = seconds_of(lambda: _walk(book, count))
        made, read = count / taken, count / walk
        yield Row("index made", rate(made, "entries"), f"every leaf read, {rate(read, 'entries')}", made / read)
        yield from _searched(bench, book, count, walk)


def _batches(count: int) -> Iterator[range]:
    return (range(start, min(start + TOGETHER, count)) for start in range(0, count, TOGETHER))


def _unit(book: Book, number: int) -> Unit[None]:
    agreement = {"id": f"sha256:{number % 40:064x}", "dataset": f"bo_{number % DATASETS}", "vnd": 15_000}
    meter = {"rows_out": 2, "bytes_out": 1312, "vnd": 15_000}
    clear: dict[str, Any] = {"query": f"qry_{number:026}", "agreements": [agreement], "meter": meter}
    sealed: dict[str, Any] = {"actor": f"cong-ty-{number % ACTORS}", "sql": "SELECT 1"}
    at = AT + timedelta(minutes=number)

    def write(tx: Transaction) -> None:
        entry = EntryId(f"ent_{number:026}")
        book.log.record(tx, EventType.QUERY_COMPLETED, at, entry_id=entry, clear=clear, sealed=sealed)

    return write


def _walk(book: Book, count: int) -> int:
    with book.database.read() as connection:
        leaves = itertools.chain.from_iterable(
            book.log.entries(connection, each.start, each.stop) for each in _batches(count)
        )
        return sum(orjson.loads(leaf)["type"] == EventType.QUERY_REFUSED for leaf in leaves)


def _searched(bench: Bench, book: Book, count: int, walk: float) -> Iterator[Row]:
    someone, noon = ("actor", "cong-ty-7"), AT + timedelta(minutes=count // 2)
    searches = {
        "by actor": Wanted((someone,)),
        "by actor and dataset": Wanted((someone, ("dataset", "bo_7"))),
        "by two terms that never meet": Wanted((("dataset", "bo_3"), ("dataset", "bo_4"))),
        "by query": Wanted((("query", f"qry_{count // 2:026}"),)),
        "by actor within a day": Wanted((someone,), since=noon, until=noon + timedelta(days=1)),
    }
    with book.database.read() as connection:

        def asked(wanted: Wanted) -> Act:
            return lambda: search(connection, wanted, count)

        found = medians(bench, bench.sized(50, 5), {name: asked(wanted) for name, wanted in searches.items()})
    for name, seconds in found.items():
        yield compared(f"search {name}, {count:,} entries", seconds, "every leaf read", walk)
