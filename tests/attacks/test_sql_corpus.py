"""The SQL corpus through the sandbox: every attack is refused, every honest query runs and keeps its meaning.

Most static lines are judged by the analysis alone, many in one disposable process; a sample of them, and whatever can
hurt a process, goes the whole way.
"""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from sandbox.core.errors import SandboxError
from sandbox.core.terms import Condition
from tests.judge import judged

CORPUS = [json.loads(line) for line in Path(__file__).with_name("sql.jsonl").read_text("ascii").splitlines()]
STATIC = [line for line in CORPUS if line["stage"] == "static"]
DENIED = [line for line in STATIC if line["expect"] == "deny"]
ALLOWED = [line for line in STATIC if line["expect"] == "allow"]
RUNTIME = [line for line in CORPUS if line["stage"] == "runtime"]
HURTFUL = {"parser_dos", "engine_crash"}
SAMPLE = [line for number, line in enumerate(DENIED) if line["category"] in HURTFUL or number % 8 == 0]
UNORDERED = {"B312", "B318", "B338", "B345", "B352"}
"""LIMIT without ORDER BY, a sample, and aggregates whose answer follows the order in which rows come."""
PROBES = [line for line in RUNTIME if line["category"] in {"hidden_rows", "error_exfil"}]


def spoken(line: dict[str, Any], bus: Any) -> str:
    return str(line["sql"]).replace("/data/bus_trips.parquet", str(bus.source))


def leaks(message: str, line: dict[str, Any], bus: Any) -> list[str]:
    """What a message must not hold, unless the buyer wrote it: the folder, a rider, a fare of the data."""
    told = [str(bus.folder), str(bus.source), "R0", "LEAK"] + [str(fare) for fare in range(5000, 9001, 1000)]
    return [each for each in told if each in message and each not in spoken(line, bus)]


@pytest.fixture(scope="module")
def verdicts(bus: Any) -> dict[str, tuple[str, str, float]]:
    chosen = [line for line in STATIC if line["category"] not in HURTFUL]
    found = judged(bus.relation, [spoken(line, bus) for line in chosen])
    return {line["id"]: verdict for line, verdict in zip(chosen, found, strict=True)}


def test_the_corpus_is_whole() -> None:
    assert (len(CORPUS), len(DENIED), len(ALLOWED), len(RUNTIME)) == (226, 161, 47, 18)


def test_every_static_line_gets_its_verdict_within_two_seconds(bus: Any, verdicts: dict[str, Any]) -> None:
    wrong = []
    for line in STATIC:
        verdict, text, seconds = verdicts.get(line["id"], (line["expect"], "", 0.0))
        if verdict != line["expect"] or seconds > 2 or (verdict == "deny" and leaks(text, line, bus)):
            wrong.append((line["id"], verdict, text, seconds))
    assert wrong == []


@pytest.mark.parametrize("line", SAMPLE, ids=[line["id"] for line in SAMPLE])
def test_a_static_attack_is_refused_on_the_whole_way(bus: Any, line: dict[str, Any]) -> None:
    began = time.monotonic()
    with pytest.raises(SandboxError) as refused:
        bus.analyse(spoken(line, bus))
    assert time.monotonic() - began < 2.5
    assert refused.value.status in {403, 422}
    assert leaks(refused.value.message + refused.value.hint, line, bus) == []


@pytest.mark.parametrize("line", ALLOWED, ids=[line["id"] for line in ALLOWED])
def test_an_honest_query_answers_as_plain_duckdb_does(bus: Any, line: dict[str, Any]) -> None:
    outcome = bus.run(bus.analyse(line["sql"]), seconds=20)
    with pa.ipc.open_stream(outcome.ipc) as reader:
        got = reader.read_all()
    with duckdb.connect(config={"threads": 2}) as plain:
        plain.execute("SET TimeZone = 'Asia/Ho_Chi_Minh'")
        plain.execute(f"CREATE VIEW bus_trips AS FROM '{bus.source}'")
        want = plain.sql(line["sql"]).to_arrow_table()
    assert [field.type for field in got.schema] == [field.type for field in want.schema]
    assert got.num_rows == want.num_rows
    if line["id"] not in UNORDERED:
        assert sorted(map(repr, got.to_pylist())) == sorted(map(repr, renamed(want, got).to_pylist()))


def renamed(table: Any, like: Any) -> Any:
    """A rendered query may name an unnamed column otherwise: ``(1 + 1)`` for ``1+1``."""
    return table.rename_columns(like.column_names)


def test_runtime_attacks_fail_cleanly_and_the_service_goes_on(bus: Any) -> None:
    def attempt(line: dict[str, Any]) -> str:
        try:
            bus.run(bus.analyse(spoken(line, bus)))
        except SandboxError as refused:
            return (
                "" if refused.status == 403 and not leaks(refused.message + refused.hint, line, bus) else repr(refused)
            )
        return "ran"

    with ThreadPoolExecutor(6) as pool:
        ends = dict(zip([line["id"] for line in RUNTIME], pool.map(attempt, RUNTIME), strict=True))
    assert bus.run(bus.analyse("SELECT count(*) FROM bus_trips")).rows == 1
    legal = {line["id"] for line in RUNTIME if line["category"] == "resource"}
    assert {name: end for name, end in ends.items() if end and not (end == "ran" and name in legal)} == {}
    assert sum(end == "ran" for end in ends.values()) <= 2, "a fast machine may finish a bomb in time"


@pytest.mark.parametrize("line", PROBES, ids=[line["id"] for line in PROBES])
def test_what_runs_on_granted_rows_tells_nothing_of_the_others(bus: Any, line: dict[str, Any]) -> None:
    own = bus.written("own.parquet", f"SELECT * FROM '{bus.source}' WHERE rider_id >= 'R04990'")
    riders = Condition("rider_id", tuple(f"R{number:05d}" for number in range(4990, 5000)))
    answers = []
    for source in (bus.source, own):
        try:
            outcome = bus.run(bus.analyse(line["sql"]), extract=bus.narrowed(source, riders))
        except SandboxError as refused:
            answers.append((refused.code, refused.message))
        else:
            answers.append(("rows", outcome.ipc))
    assert answers[0] == answers[1]


def test_no_attack_wrote_a_file(bus: Any) -> None:
    assert not os.path.lexists("/x.csv")
    assert {path.suffix for path in bus.folder.iterdir()} == {".duckdb"}
