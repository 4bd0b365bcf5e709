"""An engine, and the five datasets at a small scale with the relations that their descriptors describe."""

import importlib.util
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pytest

from sandbox.core.terms import Column, DatasetId, Digest, Dimension, Scope
from sandbox.query.duckdb import JailedEngine
from sandbox.query.engine import Job, Limits, Relation
from tests.answers import Ran

ROOT = Path(__file__).parents[2]
VERSION = Digest("sha256:" + "0" * 64)


@dataclass(frozen=True)
class Shop:
    """Relations, their extracts and their sources, by dataset; and the jail over them."""

    engine: JailedEngine
    relations: Mapping[str, Relation]
    extracts: Mapping[str, Path]
    sources: Mapping[str, Path]

    def run(self, sql: str, *names: str, min_group: int = 1, **limits: int) -> Ran:
        allowed = Limits(**({"max_rows": 10_000, "max_bytes": 1 << 20, "seconds": 20, "memory_mb": 1024} | limits))
        files = {name: (self.extracts[name],) for name in names}
        with self.engine.run(Job("qry", sql, files, allowed, min_group)) as outcome:
            return Ran(outcome.read())

    def plain(self) -> duckdb.DuckDBPyConnection:
        """The sources in an unguarded DuckDB, to compare with."""
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'Asia/Ho_Chi_Minh'")
        for name, path in self.sources.items():
            connection.execute(f"CREATE VIEW {name} AS FROM '{path}'")
        return connection


@pytest.fixture(scope="session")
def engine() -> Iterator[JailedEngine]:
    engine = JailedEngine(analyse_seconds=5)  # the machine may be busy
    yield engine
    engine.close()


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_datasets", ROOT / "datasets/generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _relation(descriptor: Mapping[str, Any]) -> Relation:
    columns = [column for column in descriptor["columns"] if column.get("exposed", True)]
    dimensions = [Dimension(each["name"], each["expression"]) for each in descriptor["dimensions"]]
    dimensions += [
        Dimension(column["name"], column["name"])
        for column in columns
        if column["sensitivity"] in {"Q", "S"} and column["type"] in {"VARCHAR", "BOOLEAN"}
    ]
    return Relation(
        descriptor["id"],
        tuple(Column(column["name"], column["type"]) for column in columns),
        tuple(dimensions),
        descriptor["privacy_unit"],
        tuple(column["name"] for column in columns if column["sensitivity"] == "M"),
    )


@pytest.fixture(scope="session")
def shop(engine: JailedEngine, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder, generator = tmp_path_factory.mktemp("shop"), _generator()
    relations, extracts, sources = {}, {}, {}
    for path in sorted((ROOT / "datasets").glob("*/descriptor.json")):
        relation = _relation(json.loads(path.read_text(encoding="utf-8")))
        name = relation.name
        relations[name] = relation
        sources[name] = generator.generate(name, folder / name / "v1.parquet", 0.02)
        scope = Scope(DatasetId(name), VERSION, tuple(column.name for column in relation.columns))
        extracts[name] = engine.extract(scope, relation.columns, (sources[name],), folder / "extracts")
    return Shop(engine, relations, extracts, sources)
