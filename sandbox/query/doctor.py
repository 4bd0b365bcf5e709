"""A demonstration of the jail on this machine: a real child over a real extract, which tries to get out."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sandbox.core.errors import Unavailable
from sandbox.core.terms import Column, DatasetId, Digest, Scope
from sandbox.jail import host
from sandbox.jail.cell import Bounds, Ended, message
from sandbox.jail.jail import Jail
from sandbox.jail.turns import Turns
from sandbox.query.duckdb import MODULES, JailedEngine
from sandbox.query.duckdb import half_of_the_machine as memory

_LIMITS: Final = {"seconds": 30, "memory_mb": 512}
_MOST_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """An operation, the layer that should stop it, whether it was stopped, and by what."""

    operation: str
    layer: str
    stopped: bool
    by: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the jail reached and held."""

    reached: str
    lines: tuple[Line, ...]
    works: Mapping[str, bool]
    lacks: tuple[host.Lack, ...]
    versions: Mapping[str, str]

    def sound(self, required: frozenset[str]) -> bool:
        """Whether the layers required are reached, nothing got out, and what must work does."""
        held = all(line.stopped for line in self.lines) and all(self.works.values())
        return held and required <= set(self.reached.split("+"))


def diagnose(home: Path | None = None) -> Diagnosis:
    """Start the jail, and have a child try to reach the files of ``home``, or of a likeness of one.

    Raises:
        Unavailable: ``engine.unreachable``, ``engine.extract``: no child can be had, or it does not say all.
    """
    with tempfile.TemporaryDirectory(prefix="sandbox-doctor-") as name:
        folder = Path(name).resolve()
        with closing(Jail((*MODULES, "sandbox.query.trial"), memory())) as jail:
            engine = JailedEngine(workers=1, jail=jail)
            reached = engine.isolation
            extract, foreign = (_extract(engine, folder, numbers) for numbers in ([1, 2, 3], [4, 5]))
            place = home or _likeness(folder)
            target = {
                "server": os.getpid(),
                "database": str(place / "exchange.db"),
                "keys": str(place / "keys/exchange.jwk"),
                "foreign": str(foreign),
                "extract": str(extract),
                "folder": str(folder),
            }
            said = list(_tried(jail, {"limits": _LIMITS, "target": target}))
            engine.close()
    lines = tuple(Line(each["tried"], each["layer"], each["stopped"], each["by"]) for each in said if "tried" in each)
    works = {each["works"]: bool(each["holds"]) for each in said if "works" in each}
    return Diagnosis(reached, lines, works, tuple(host.lacks(reached)), host.versions())


def _extract(engine: JailedEngine, folder: Path, numbers: list[int]) -> Path:
    source = folder / f"{len(numbers)}.parquet"
    pq.write_table(pa.table({"n": pa.array(numbers, pa.int32())}), source)
    scope = Scope(DatasetId("thu_nghiem"), Digest("sha256:" + "0" * 64), ("n",))
    return engine.extract(scope, (Column("n", "INTEGER"),), (source,), folder / "extracts")


def _likeness(folder: Path) -> Path:
    (folder / "keys").mkdir()
    for name in ("exchange.db", "keys/exchange.jwk"):
        (folder / name).write_text("a likeness")
    return folder


def _tried(jail: Jail, setup: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    with closing(jail.fork("trial")) as cell, Turns(1).join("") as turn:
        bounds = Bounds(_LIMITS["seconds"], _LIMITS["seconds"], _LIMITS["memory_mb"], _MOST_BYTES)
        try:
            cell.send(setup)
            answer = message(cell, turn, bounds)
        except Ended:
            raise Unavailable("engine.unreachable", "The child that tries the jail ended early.") from None
    yield from map(json.loads, answer.splitlines())
