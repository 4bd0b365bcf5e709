"""Secrets planted wherever a query must not reach, and a long run of statements after them.

Statements are honest, cut, mutated and hostile; they go through the gate, and past it straight into the engine. All
that comes back is searched for every secret.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.core.errors import SandboxError
from sandbox.core.terms import Column, Condition, DatasetId, Digest, Scope
from sandbox.query.duckdb import JailedEngine
from sandbox.query.engine import Job, Limits, Relation
from tests.canary import SPLICES, TEMPLATES, Detector, Pen, number, said, word
from tests.grammar import KINDS

STATEMENTS = 60
"""Of each seed; each is analysed, and runs with and without the gate."""
SEEDS = range(4)
EXAMPLES = 60
LIMITS = Limits(max_rows=10_000, max_bytes=1 << 22, seconds=3, memory_mb=512)
RELATION = Relation(
    "phieu",
    (Column("khu", "VARCHAR"), Column("ghi_chu", "VARCHAR"), Column("so", "BIGINT"), Column("ngay", "DATE")),
)
VERSION = Digest("sha256:" + "0" * 64)


@dataclass(frozen=True)
class Vault:
    """One granted extract among what is not granted, and what finds the latter."""

    engine: JailedEngine
    extract: Path
    home: Path
    alias: Path
    secrets: Mapping[str, str | int]

    def detector(self, *without: str) -> Detector:
        return Detector({name: secret for name, secret in self.secrets.items() if name not in without})

    def paths(self) -> list[str]:
        """What an attacker can name without knowing a secret."""
        near = [f"{self.alias}/{name}" for name in ("beside.csv", "beside.parquet", "beside.db", "extracts/*", "*/*")]
        return [
            *near,
            "../beside.csv",
            "/proc/self/environ",
            "/proc/self/cmdline",
            "/proc/self/maps",
            "/proc/1/environ",
        ]


PLACES = (
    "granted",
    "row",
    "row_number",
    "column",
    "column_number",
    "dataset",
    "dataset_number",
    "file",
    "table",
    "path",
)


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    chance = Random("canary")
    secrets = {name: number(chance) if name.endswith("_number") else word(chance) for name in (*PLACES, "environ")}
    folder = tmp_path_factory.mktemp("vault")
    home, alias = folder / f"home-{secrets['path']}", folder / "alias"
    home.mkdir()
    alias.symlink_to(home)
    _write_files(home, secrets)
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("SANDBOX_OPA_TOKEN", str(secrets["environ"]))
        engine = JailedEngine(workers=4)
        columns = tuple(column.name for column in RELATION.columns)
        rows = (Condition("khu", ("K1", "K2", "K3")),)
        scope = Scope(DatasetId("phieu"), VERSION, columns, rows)
        extract = engine.extract(scope, RELATION.columns, (home / "phieu.parquet",), home / "extracts")
        more = Scope(DatasetId("kho"), VERSION, ("bi_mat", "so"))
        kinds = (Column("bi_mat", "VARCHAR"), Column("so", "BIGINT"))
        engine.extract(more, kinds, (home / "kho.parquet",), home / "extracts")
        yield Vault(engine, extract, home, alias, secrets)
        engine.close()


def _write_files(home: Path, secrets: Mapping[str, Any]) -> None:
    with duckdb.connect() as plain:
        plain.execute(
            f"""COPY (SELECT CASE WHEN i % 20 = 7 THEN 'K9' ELSE 'K' || (1 + i % 3) END AS khu,
              CASE i % 20 WHEN 7 THEN '{secrets["row"]}' WHEN 5 THEN '{secrets["granted"]}' ELSE 'ghi ' || i % 5 END
                AS ghi_chu,
              CASE i % 20 WHEN 7 THEN {secrets["row_number"]} ELSE i END AS so, DATE '2026-01-01' + i::INT AS ngay,
              '{secrets["column"]}' AS bi_mat, {secrets["column_number"]} AS ma FROM range(200) t(i))
              TO '{home}/phieu.parquet'"""
        )
        secret = f"SELECT '{secrets['dataset']}' AS bi_mat, {secrets['dataset_number']} AS so FROM range(9)"
        plain.execute(f"COPY ({secret}) TO '{home}/kho.parquet'")
        plain.execute(f"COPY (SELECT '{secrets['file']}' AS khu) TO '{home}/beside.parquet'")
        plain.execute(f"COPY (SELECT '{secrets['file']}' AS khu) TO '{home}/beside.csv'")
        plain.execute(f"ATTACH '{home}/beside.db' AS beside")
        plain.execute(f"CREATE TABLE beside.phieu AS SELECT '{secrets['table']}' AS khu")
        plain.execute("DETACH beside")
    for path in [home, *home.iterdir()]:
        path.chmod(0o755 if path.is_dir() else 0o644)  # file rights are not what keeps them


def rows_of(engine: JailedEngine, job: Job) -> bytes:
    """All bytes that a job's run gives."""
    sink = pa.BufferOutputStream()
    with engine.run(job) as outcome:
        table = outcome.read()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue()) + repr(table.schema.metadata).encode()


def attempt(vault: Vault, sql: str) -> tuple[list[str | bytes], list[str | bytes]]:
    """All that a buyer would see of a statement: through the gate, and were there none."""
    gated, raw = [], []
    files = {"phieu": (vault.extract,)}
    try:
        facts = vault.engine.analyse(sql, [RELATION])
        gated += [repr(facts), rows_of(vault.engine, Job("qry", facts.runs, files, LIMITS))]
    except SandboxError as error:
        gated.append(said(error))
    try:
        raw.append(rows_of(vault.engine, Job("qry", sql.replace("phieu", "memory.main.phieu"), files, LIMITS)))
    except (SandboxError, UnicodeEncodeError) as error:
        raw.append(said(error) if isinstance(error, SandboxError) else "")
    return gated, raw


def pen(vault: Vault, chance: Random) -> Pen:
    return Pen(chance, vault.paths(), {"phieu": {column.name: KINDS[column.type] for column in RELATION.columns}})


# --- the detector itself ---
def test_the_detector_finds_what_is_granted_in_every_writing(vault: Vault) -> None:
    secret = vault.secrets["granted"]
    for shown in (
        "ghi_chu",
        "lower(ghi_chu)",
        "reverse(ghi_chu)",
        "hex(ghi_chu)",
        "to_base64(ghi_chu::BLOB)",
        "ghi_chu[3:11]",
    ):
        gated, raw = attempt(vault, f"SELECT {shown} AS x FROM phieu")
        for content in (gated[-1], raw[-1]):
            assert vault.detector().found(content) == {"granted"}, shown
    gated, _ = attempt(vault, f"SELECT 1 AS x FROM phieu WHERE ghi_chu = '{secret}'")
    assert vault.detector().found(gated[0]) == {"granted"}, "the facts hold the canonical SQL"


def test_the_detector_finds_a_number_as_bytes_text_and_double(vault: Vault) -> None:
    secret = vault.secrets["row_number"]
    for shown in (f"{secret}", f"'{secret}'", f"{secret}::DOUBLE", f"'a{str(secret)[2:12]}b'", f"({secret})::VARCHAR"):
        _, raw = attempt(vault, f"SELECT {shown} AS x")
        assert vault.detector().found(raw[0]) == {"row_number"}, shown
    assert vault.detector().found(b"no secret, 123456789 and QXZ") == set()


def test_the_secrets_lie_where_they_were_planted(vault: Vault) -> None:
    with duckdb.connect() as plain:
        source = repr(plain.execute(f"FROM '{vault.home}/phieu.parquet'").fetchall())
        kho = repr(plain.execute(f"FROM '{vault.home}/kho.parquet'").fetchall())
    assert vault.detector().found(source) == {"granted", "row", "row_number", "column", "column_number"}
    assert vault.detector().found(kho) == {"dataset", "dataset_number"}
    assert vault.detector().found((vault.home / "beside.csv").read_bytes()) == {"file"}
    assert vault.detector().found(str(vault.home)) == {"path"}


def test_an_extract_holds_the_granted_secret_alone(vault: Vault) -> None:
    assert vault.detector("granted").found(vault.extract.read_bytes()) == set()


# --- the run ---
def leaks(vault: Vault, statements: list[str]) -> list[tuple[str, set[str]]]:
    gate, none = vault.detector("granted"), vault.detector("granted", "path")

    def tried(sql: str) -> tuple[str, set[str]]:
        gated, raw = attempt(vault, sql)
        found = {name for each in gated for name in gate.found(each)}
        # Past the gate the engine tells the path of the extract that it has open, in duckdb_views() and the like.
        return sql, found | {name for each in raw for name in (none if isinstance(each, bytes) else gate).found(each)}

    with ThreadPoolExecutor(4) as pool:
        return [(sql, found) for sql, found in pool.map(tried, statements) if found]


@pytest.mark.parametrize("path", range(10))
def test_no_hostile_statement_brings_out_a_secret(vault: Vault, path: int) -> None:
    sayings = TEMPLATES if path == 0 else [line for line in TEMPLATES if "{path}" in line][path % 3 :: 3]
    assert leaks(vault, [line.replace("{path}", vault.paths()[path]) for line in sayings]) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_no_generated_statement_brings_out_a_secret(vault: Vault, seed: int) -> None:
    chance = Random(seed)
    assert leaks(vault, [pen(vault, chance).any() for _ in range(STATEMENTS)]) == []


SCRAPS = st.lists(
    st.sampled_from((*SPLICES, "SELECT", "FROM", "phieu", "WHERE", "ghi_chu", ",", " ", "so")), min_size=1
)


@settings(max_examples=EXAMPLES, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.text(min_size=1, max_size=60), SCRAPS.map(" ".join), st.randoms(use_true_random=False)))
def test_whatever_hypothesis_writes_brings_out_no_secret(vault: Vault, written: str | Random) -> None:
    sql = written if isinstance(written, str) else pen(vault, written).any()
    assert leaks(vault, [sql]) == []


def test_the_service_answers_after_all_that_and_the_files_are_as_they_were(vault: Vault) -> None:
    gated, _ = attempt(vault, "SELECT count(*) AS n FROM phieu")
    assert isinstance(gated[-1], bytes)
    names = {path.name for path in vault.home.iterdir()}
    assert names == {"phieu.parquet", "kho.parquet", "beside.parquet", "beside.csv", "beside.db", "extracts"}
    assert len([*(vault.home / "extracts").iterdir()]) == 2
