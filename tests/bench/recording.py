"""Durable state with its log entry, and the log verified, beside SQLite and the cryptography alone."""

import hashlib
import itertools
import math
import sqlite3
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import psycopg

from sandbox.audit import receipt as receipts
from sandbox.audit import tiles
from sandbox.audit.events import EventType
from sandbox.audit.layout import WIDTH, node_of
from sandbox.audit.log import Log, guard_statements, written_down
from sandbox.audit.merkle import inclusion_proof
from sandbox.audit.note import verifier_key
from sandbox.audit.replay import Exported
from sandbox.audit.source import open_source
from sandbox.audit.store import log_body, log_cosignature, log_entry, log_head, log_tile
from sandbox.audit.verify import verify_log, verify_receipt
from sandbox.core.database import Database, Transaction, Unit, metadata, open_engine, sqlite_url
from sandbox.core.keys import SigningKey, key_from_seed
from sandbox.core.terms import EntryId, ParticipantId, QueryId
from sandbox.exchange import runs
from tests import logs
from tests.bench.figures import Act, Bench, Row, compared, medians, per_second, rate, seconds_of
from tests.bench.postgres import cluster, url_of

ORIGIN = "bench.example.vn/log"
TABLES = (runs.query_run, log_entry, log_body, log_head, log_tile, log_cosignature)
AT = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
SQL = "SELECT tuyen, count(DISTINCT khach) AS khach, sum(gia_vnd) AS tien FROM chuyen_di GROUP BY tuyen"
TOGETHER = 64
FLIGHTS = (1, 8, TOGETHER, 256)


class Book:
    """A database with its log, and units that write what a query writes: a row of state and an entry about it."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.path = folder / "book.db"
        self.key: SigningKey = key_from_seed("log", b"\1" * 32)
        engine = open_engine(url or sqlite_url(self.path))
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
        made = written_down(EventType.QUERY_COMPLETED, AT, entry_id=entry, clear=clear, sealed=sealed)

        def write(tx: Transaction) -> None:
            runs.begin(tx, query, ParticipantId("cong-ty-a"), entry, [], AT)
            self.log.add(tx, made)

        return write

    def written(self) -> Act:
        """One durable unit."""
        return lambda: self.database.write(self.unit())

    def fill(self, count: int) -> None:
        """Many units, as fast as they go."""
        for future in [self.database.submit(self.unit()) for _ in range(count)]:
            future.result()

    def flight(self, number: int, window: float) -> float:
        """Units a second, made and submitted by one thread that keeps ``number`` of them in flight."""
        flying = deque(self.database.submit(self.unit()) for _ in range(number))
        start, done = time.perf_counter(), 0
        while time.perf_counter() < start + window:
            flying.popleft().result()
            flying.append(self.database.submit(self.unit()))
            done += 1
        for future in flying:
            future.result()
        return (done + number) / (time.perf_counter() - start)

    def bulk(self, count: int) -> None:
        """Entries without state, many in each commit."""

        def add(tx: Transaction) -> None:
            for _ in range(1000):
                number = next(self._numbers)
                tx.record(f"ent_{number:026}", b"%0250d" % number)

        for _ in range(count // 1000):
            self.database.write(add)

    def batch(self) -> None:
        """So many units in one durable commit."""
        units = [self.unit() for _ in range(TOGETHER)]
        self.database.write(lambda tx: [unit(tx) for unit in units] and None)


def record(bench: Bench) -> Iterator[Row]:
    """(c) Durable state-plus-entry transactions a second, beside a bare loop that inserts the same rows."""
    book = Book(bench.fresh("commits"))
    with closing(book.database):
        book.fill(count := bench.sized(2048, 256))
        rows = _rows_of(book.path, count)
        yield from _flights(bench, book, lambda every: _inserted(bench.fresh("bare") / "bare.db", rows, every), rows)
        found = [per_second(book.written, TOGETHER, bench.window / 4) for _ in bench.rounds(bench.sized(3, 1), least=1)]
        yield Row(f"… {TOGETHER} threads that wait for each", rate(statistics.median(found)), "–", math.nan)
    yield from _on_postgresql(bench, rows)
    yield from _flat(bench)


def _flights(
    bench: Bench, book: Book, bare: Callable[[int], float], rows: "Rows", name: str = "SQLite"
) -> Iterator[Row]:
    found: dict[tuple[str, int], list[float]] = {}
    for _ in bench.rounds(bench.sized(7, 1), least=1):
        for number in FLIGHTS:
            found.setdefault(("ours", number), []).append(book.flight(number, bench.window / 4))
            found.setdefault(("bare", number), []).append(len(rows) / bare(number))
    for number in FLIGHTS:
        mine, others = (statistics.median(found[who, number]) for who in ("ours", "bare"))
        loop = f"bare {name}, commit per {number if number > 1 else 'row'}, {rate(others)}"
        yield Row(f"state and entry, durable, {name}, {number} in flight", rate(mine), loop, mine / others)


def _on_postgresql(bench: Bench, rows: "Rows") -> Iterator[Row]:
    folder = bench.fresh("postgresql")
    with cluster(folder) as conninfo:
        if conninfo is None:
            return
        book = Book(folder, url_of(conninfo))
        with closing(book.database), psycopg.connect(conninfo) as bare:
            for table in TABLES:
                bare.execute(f"CREATE TABLE bare_{table.name} (LIKE {table.name} INCLUDING ALL)")
            book.fill(bench.sized(512, 64))
            some = rows[: bench.sized(512, 64)]
            yield from _flights(bench, book, lambda every: _inserted_there(bare, some, every), some, "PostgreSQL")


def _inserted_there(bare: "psycopg.Connection[Any]", rows: "Rows", every: int) -> float:
    """As :func:`_inserted`, on PostgreSQL."""
    for table in TABLES:
        bare.execute(f"TRUNCATE bare_{table.name}")
    bare.commit()
    root, note = hashlib.sha256(b"root").digest(), b"n" * 180

    def insert() -> None:
        for start in range(0, len(rows), every):
            for place, values in itertools.chain.from_iterable(rows[start : start + every]):
                bare.execute(f"INSERT INTO bare_{place} VALUES ({', '.join(['%s'] * len(values))})", values)
            bare.execute("INSERT INTO bare_log_head VALUES (%s, %s, %s, %s)", (start, root, note, 0))
            bare.commit()

    return seconds_of(insert)


def _flat(bench: Bench) -> Iterator[Row]:
    """What a commit costs when the log is long, beside one when it is short."""
    few, many = 1_000, bench.sized(1_000_000, 20_000)
    short, long = Book(bench.fresh("short")), Book(bench.fresh("long"))
    with closing(short.database), closing(long.database):
        short.bulk(few)
        long.bulk(many)
        found = medians(bench, bench.sized(200, 20), {"long": long.batch, "short": short.batch})
        against = f"after {few:,} entries"
        yield compared(f"commit of {TOGETHER} after {many:,} entries", found["long"], against, found["short"])


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
        leaves = book.log.entries(connection, 0, count)
    many, long = bench.sized(1_000_000, 10_000), bench.fresh("long")
    logs.write_log(long, [*itertools.islice(itertools.cycle(leaves), many)])
    long_vkey = verifier_key(logs.ORIGIN, logs.LOG_KEY.verify_key)
    pair = bytes(65)

    def hashed() -> None:
        for leaf in leaves:
            hashlib.sha256(leaf).digest()
            hashlib.sha256(pair).digest()

    def read() -> None:
        hashed()
        for leaf in leaves:
            orjson.loads(leaf)

    found = medians(
        bench,
        bench.sized(5, 2),
        {"replay": lambda: verify_log(directory, vkey), "read": read, "hashed": hashed}
        | {"verify": lambda: verify_log(long, long_vkey, replay=False)},
    )
    yield _entries("verify log", many, found["verify"], count, found["hashed"], "two SHA-256 an entry")
    yield _entries("verify log --replay", count, found["replay"], count, found["read"], "two SHA-256 and JSON an entry")
    yield _included(bench, long, many)


def _included(bench: Bench, directory: Path, size: int) -> Row:
    """An inclusion proof out of the published tiles, of another entry each time."""
    with open_source(directory) as source:
        exported, numbers = Exported(source), itertools.cycle(range(0, size, 7919))
        tile = exported.tile(0, 0, WIDTH)

        def hashed() -> None:
            for _ in range(size.bit_length()):
                hashlib.sha256(tile[:65]).digest()

        acts: dict[str, Act] = {
            "proof": lambda: inclusion_proof(next(numbers), size, node_of(size, exported.tile)),
            "path": hashed,
        }
        found = medians(bench, bench.sized(300, 40), acts)
    return compared(f"inclusion proof in {size:,} entries, files", found["proof"], "its path hashed", found["path"])


def _entries(what: str, count: int, seconds: float, least: int, bare: float, against: str) -> Row:
    mine, floor = count / seconds, least / bare
    compared_with = f"{against}, {rate(floor, 'entries')}"
    return Row(f"{what}, {count:,} entries", rate(mine, "entries"), compared_with, mine / floor)


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
