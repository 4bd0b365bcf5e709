"""A second corpus of SQL, written against the finished gate: attacks, bombs, and honest queries that look like attacks.

Most static lines are judged by the analysis alone, many in one disposable process; a sample of them, and whatever can
hurt a process or is no text, goes the whole way.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from sandbox.core.errors import SandboxError
from sandbox.query.engine import Facts, Job, Limits
from tests.judge import judged

CORPUS = [json.loads(line) for line in Path(__file__).with_name("own.jsonl").read_text("ascii").splitlines()]
STATIC = [line for line in CORPUS if line["stage"] == "static"]
DENIED = [line for line in STATIC if line["expect"] == "deny"]
ALLOWED = [line for line in STATIC if line["expect"] == "allow"]
RUNTIME = [line for line in CORPUS if line["stage"] == "runtime"]
BOMBS = ("memory", "cpu", "recursion", "result", "regex")
WHOLE_WAY = {"parser_dos", "characters"}
SAMPLE = [line for number, line in enumerate(DENIED) if line["category"] in WHOLE_WAY or number % 8 == 0]
SHORT = Limits(max_rows=100_000, max_bytes=1 << 24, seconds=1, memory_mb=512)
LONG = Limits(max_rows=100_000, max_bytes=1 << 24, seconds=20, memory_mb=512)
LIMIT = {"run.limit", "query.too_large"}
FINISHED = 5
"""Of the bombs, so many may end by themselves: on a fast machine, or when the engine has learnt to defuse them."""
MARGIN = 2.5
"""Seconds that a refusal may take on a busy machine; the analysis itself has two."""


def rows_of(bus: Any, facts: Facts, limits: Limits) -> pa.Table:
    """What a checked query answers over the extract."""
    with bus.engine.run(Job("qry", facts.runs, {"bus_trips": (bus.extract,)}, limits)) as outcome:
        return outcome.read()


def leaks(message: str, sql: str, bus: Any) -> list[str]:
    """What a message must not hold unless the buyer wrote it: a folder, a rider, a fare of the data."""
    told = [str(bus.folder), str(bus.source), str(Path.home()), "R0"] + [str(fare) for fare in range(5000, 9001, 1000)]
    return [each for each in told if each in message and each not in sql]


@pytest.fixture(scope="module")
def verdicts(bus: Any) -> dict[str, tuple[str, str, float]]:
    chosen = [line for line in STATIC if line["category"] not in WHOLE_WAY]
    found = judged(bus.relation, [line["sql"] for line in chosen])
    return {line["id"]: verdict for line, verdict in zip(chosen, found, strict=True)}


def test_the_corpus_is_whole_and_nothing_of_it_stands_in_the_first_one() -> None:
    counts = Counter((line["stage"], line["expect"]) for line in CORPUS)
    assert counts == {("static", "deny"): 427, ("static", "allow"): 74, ("runtime", "deny"): 76}
    first = Path(__file__).with_name("sql.jsonl").read_text("ascii").splitlines()
    texts = [json.loads(line)["sql"] for line in first] + [line["sql"] for line in CORPUS]
    assert [text for text, times in Counter(texts).items() if times > 1] == []
    assert len({line["id"] for line in CORPUS}) == len(CORPUS)


def test_every_static_line_gets_its_verdict_within_two_seconds(bus: Any, verdicts: dict[str, Any]) -> None:
    wrong = []
    for line in STATIC:
        verdict, text, seconds = verdicts.get(line["id"], (line["expect"], "", 0.0))
        if verdict != line["expect"] or seconds > 2 or (verdict == "deny" and leaks(text, line["sql"], bus)):
            wrong.append((line["id"], verdict, text, seconds))
    assert wrong == []


@pytest.mark.parametrize("line", SAMPLE, ids=[line["id"] for line in SAMPLE])
def test_a_static_attack_is_refused_on_the_whole_way(bus: Any, line: dict[str, Any]) -> None:
    began = time.monotonic()
    with pytest.raises(SandboxError) as refused:
        bus.analyse(line["sql"])
    assert time.monotonic() - began < MARGIN
    assert refused.value.status in {403, 422}
    assert leaks(refused.value.message + refused.value.hint, line["sql"], bus) == []


@pytest.fixture(scope="module")
def plain(bus: Any) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute("SET TimeZone = 'Asia/Ho_Chi_Minh'")
        connection.execute(f"CREATE VIEW bus_trips AS FROM '{bus.source}'")
        yield connection


@pytest.mark.parametrize("line", ALLOWED, ids=[line["id"] for line in ALLOWED])
def test_an_honest_query_answers_as_plain_duckdb_does(
    bus: Any, plain: duckdb.DuckDBPyConnection, line: dict[str, Any]
) -> None:
    got = rows_of(bus, bus.analyse(line["sql"]), Limits(2_000_000, 1 << 28, 20, 1024))
    want = plain.sql(line["sql"]).to_arrow_table()
    assert got.schema.types == want.schema.types
    assert lines(got) == lines(want)


def lines(table: pa.Table) -> list[str]:
    """The rows as text, in the order of text; names apart, for a rendered query may name ``1+1`` otherwise."""
    columns = [column.to_pylist() for column in table.columns]
    return sorted(map(repr, zip(*columns, strict=True)))


def end_of(bus: Any, line: dict[str, Any], limits: Limits) -> str:
    """The code of a clean refusal, ``finished``, or what was not clean."""
    try:
        rows_of(bus, bus.analyse(line["sql"]), limits)
    except SandboxError as refused:
        clean = refused.status == 403 and not leaks(refused.message + refused.hint, line["sql"], bus)
        return refused.code if clean else repr(refused)
    return "finished"


def ends(bus: Any, at_once: int, limits: Limits, *categories: str) -> dict[str, str]:
    chosen = [line for line in RUNTIME if line["category"] in categories]
    with ThreadPoolExecutor(at_once) as pool:
        found = dict(
            zip([line["id"] for line in chosen], pool.map(lambda line: end_of(bus, line, limits), chosen), strict=True)
        )
    assert bus.run(bus.analyse("SELECT count(*) FROM bus_trips"), seconds=20).rows == 1, "the engine goes on"
    return found


def test_every_bomb_ends_cleanly_and_the_engine_goes_on(bus: Any) -> None:
    found = ends(bus, 6, SHORT, *BOMBS)
    assert len(found) >= 25
    assert {name: end for name, end in found.items() if end not in {*LIMIT, "run.failed", "finished"}} == {}
    assert sum(end == "finished" for end in found.values()) <= FINISHED


def test_what_recurses_in_the_engine_or_lies_beyond_its_numbers_ends_cleanly(bus: Any) -> None:
    found = ends(bus, 2, LONG, "crash")
    assert {name: end for name, end in found.items() if end not in {*LIMIT, "run.failed", "sql.syntax"}} == {}


def test_an_error_never_tells_the_value_that_it_met(bus: Any) -> None:
    assert {name: end for name, end in ends(bus, 2, LONG, "error_exfil").items() if end != "run.failed"} == {}


def test_no_attack_wrote_a_file(bus: Any) -> None:
    assert [*Path("/tmp").glob("own-attack*")] == []
    assert {path.suffix for path in bus.folder.iterdir()} == {bus.extract.suffix}
