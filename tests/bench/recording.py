"""Durable state with its log entry, and the log verified, beside SQLite and the cryptography alone."""

import hashlib
import itertools
import sqlite3
import statistics
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from sandbox.audit import receipt as receipts
from sandbox.audit import tiles
from sandbox.audit.events import EventType
from sandbox.audit.layout import bundle, unbundle
from sandbox.audit.log import Log, guard_statements
from sandbox.audit.note import verifier_key
from sandbox.audit.store import log_body, log_entry, log_head, log_tile
from sandbox.audit.verify import verify_log, verify_receipt
from sandbox.core.database import Database, Transaction, Unit, metadata, open_engine, sqlite_url
from sandbox.core.keys import SigningKey, key_from_seed
from sandbox.core.terms import EntryId, ParticipantId, QueryId
from sandbox.exchange import runs
from tests.bench.figures import Act, Bench, Row, compared, medians, per_second, rate, seconds_of

ORIGIN = "bench.example.vn/log"
TABLES = (runs.query_run, log_entry, log_body, log_head, log_tile)
AT = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
SQL = "SELECT tuyen, count(DISTINCT khach) AS khach, sum(gia_vnd) AS tien FROM chuyen_di GROUP BY tuyen"
TOGETHER = 64


class Book:
    """A database with its log, and units that write what a query writes: a row of state and an entry about it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "book.db"
        self.key: SigningKey = key_from_seed("log", b"\1" * 32)
        engine = open_engine(sqlite_url(self.path))
        with engine.execution_options(writes=True).begin() as connection:
            metadata.create_all(connection, tables=[*TABLES])
            for statement in guard_statements(engine.dialect.name):
                connection.exec_driver_sql(statement)
        self.log = Log(ORIGIN, self.key)
        self.log.load(engine)
        self.database = Database(engine, self.log)
        self._numbers = itertools.count()

    def unit(self) -> Unit[None]:
        """The next query's state and entry."""
        number = next(self._numbers)
        query, entry = QueryId(f"qry_{number:026}"), EntryId(f"ent_{number:026}")
        meter = {"rows_out": 2, "bytes_out": 1312, "vnd": 15_000}
        agreements = [{"id": "sha256:" + "0" * 64, "dataset": "chuyen_di", "vnd": 15_000}]
        clear: dict[str, Any] = {"query": query, "agreements": agreements, "meter": meter, "groups_withheld": False}
        sealed = {"actor": "cong-ty-a", "sql": SQL, "purpose": "nghien_cuu"}

        def write(tx: Transaction) -> None:
            runs.begin(tx, query, ParticipantId("cong-ty-a"), entry, [], AT)
            self.log.record(tx, EventType.QUERY_COMPLETED, AT, entry_id=entry, clear=clear, sealed=sealed)

        return write

    def written(self) -> Act:
        """One durable unit."""
        return lambda: self.database.write(self.unit())

    def fill(self, count: int) -> None:
        """Many units, as fast as they go."""
        for future in [self.database.submit(self.unit()) for _ in range(count)]:
            future.result()


def record(bench: Bench) -> Iterator[Row]:
    """(c) Durable state-plus-entry transactions a second, beside a bare loop that inserts the same rows."""
    book = Book(bench.fresh("commits"))
    with closing(book.database):
        book.fill(count := bench.sized(256, 128))
        rows = _rows_of(book.path, count)
        found: dict[str, list[float]] = {}
        for _ in bench.rounds(bench.sized(7, 1), least=1):
            for writers in (1, 8, TOGETHER):
                each = per_second(book.written, writers, max(bench.window / 4, 0.15))
                found.setdefault(f"ours {writers}", []).append(each)
            for every in (1, TOGETHER):
                taken = _inserted(bench.fresh("bare") / "bare.db", rows, every)
                found.setdefault(f"bare {every}", []).append(count / taken)
    ours = {name: statistics.median(each) for name, each in found.items()}
    for writers, every in ((1, 1), (8, 1), (TOGETHER, TOGETHER)):
        mine, bare = ours[f"ours {writers}"], ours[f"bare {every}"]
        loop = f"bare SQLite, commit per {every if every > 1 else 'row'}, {rate(bare)}"
        yield Row(f"state and entry, durable, {writers} at once", rate(mine), loop, mine / bare)


Rows = list[list[tuple[str, tuple[Any, ...]]]]


def _rows_of(path: Path, count: int) -> Rows:
    """The statements that put each query's rows into a bare database: run, entry and three sealed values."""
    with closing(sqlite3.connect(path)) as connection:
        states = connection.execute("SELECT * FROM query_run ORDER BY id LIMIT ?", (count,)).fetchall()
        entries = connection.execute("SELECT * FROM log_entry ORDER BY idx LIMIT ?", (count,)).fetchall()
        bodies = connection.execute("SELECT * FROM log_body ORDER BY entry_id").fetchall()
    sealed = {name: [*each] for name, each in itertools.groupby(bodies, key=lambda body: body[0])}
    return [
        [("query_run", state), ("log_entry", entry), *(("log_body", body) for body in sealed[entry[1]])]
        for state, entry in zip(states, entries, strict=True)
    ]


def _inserted(path: Path, rows: Rows, every: int) -> float:
    """The seconds that it takes to insert them with nothing around, ``every`` so many in one durable commit."""
    engine = open_engine(sqlite_url(path))
    with engine.execution_options(writes=True).begin() as connection:
        metadata.create_all(connection, tables=[*TABLES])
    engine.dispose()
    with closing(sqlite3.connect(path, isolation_level=None)) as bare:
        for pragma in ("journal_mode=wal", "synchronous=full"):
            bare.execute(f"PRAGMA {pragma}")
        return seconds_of(lambda: _loop(bare, rows, every))


def _loop(bare: sqlite3.Connection, rows: Rows, every: int) -> None:
    head = (hashlib.sha256(b"root").digest(), b"n" * 180, 0)
    for start in range(0, len(rows), every):
        bare.execute("BEGIN IMMEDIATE")
        for place, values in itertools.chain.from_iterable(rows[start : start + every]):
            bare.execute(f"INSERT INTO {place} VALUES ({', '.join('?' * len(values))})", values)
        bare.execute("INSERT INTO log_head VALUES (?, ?, ?, ?)", (start, *head))
        bare.execute("COMMIT")


def prove(bench: Bench) -> Iterator[Row]:
    """(d) A log verified whole, a receipt made and verified, beside the hashing and signing that they cannot avoid."""
    book, count = Book(folder := bench.fresh("log")), bench.sized(20_000, 1_000)
    with closing(book.database):
        book.fill(count)
        tiles.export(book.database.engine, folder / "log")
        yield from _verified(bench, book, folder / "log", count)
        yield from _receipts(bench, book, count)


def _verified(bench: Bench, book: Book, directory: Path, count: int) -> Iterator[Row]:
    vkey = verifier_key(ORIGIN, book.key.verify_key)
    with book.database.read() as connection:
        content = bundle(book.log.entries(connection, 0, count))

    def floor() -> None:
        for leaf in unbundle(content):
            hashlib.sha256(leaf).digest()
            orjson.loads(leaf)

    found = medians(bench, bench.sized(5, 2), {"verify": lambda: verify_log(directory, vkey), "floor": floor})
    mine, floors = count / found["verify"], count / found["floor"]
    against = f"SHA-256 and JSON of the same bytes, {rate(floors, 'entries')}"
    yield Row(f"verify_log over {count:,} entries", rate(mine, "entries"), against, mine / floors)


def _receipts(bench: Bench, book: Book, count: int) -> Iterator[Row]:
    exchange = key_from_seed("san-du-lieu", b"\2" * 32)
    vkey, numbers = verifier_key(ORIGIN, book.key.verify_key), itertools.cycle(range(0, count, 97))
    message = b"m" * 700
    signature = exchange.sign(message)
    with book.database.read() as connection:

        def made() -> bytes:
            return receipts.receipt(connection, book.log, f"ent_{next(numbers):026}", exchange)

        one = made()
        acts: dict[str, Act] = {
            "made": made,
            "sign": lambda: exchange.sign(message),
            "verified": lambda: verify_receipt(one, vkey, signers=[exchange.verify_key]),
            "twice": lambda: [exchange.verify_key.verifies(signature, message) for _ in range(2)],
        }
        found = medians(bench, bench.sized(300, 40), acts)
    yield compared("receipt made", found["made"], "one Ed25519 signature", found["sign"])
    yield compared("receipt verified", found["verified"], "two Ed25519 verifications", found["twice"])
