"""The scene of the attacks without the gate: an engine over its extract, among secrets that it must not reach."""

import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sandbox.core.terms import Column, DatasetId, Digest, Scope
from sandbox.query.duckdb import JailedEngine
from tests.canary import Detector

HERE = Path(__file__).with_name("attacks")
SECRETS = {
    "file": "QXZJKVWBPYGHTR",
    "environment": "ZYQWVKJXBGPHDL",
    "extract": "WKJQZXVYGBPNMC",
    "folder": "VBQXKZJWYPGSTF",
}
told = Detector(SECRETS).found
"""The names of the secrets in what came out."""


def corpus() -> list[str]:
    """Every attack of both corpora that the engine can read, but for bombs: they meet the same limits elsewhere."""
    lines = [json.loads(line) for name in ("sql.jsonl", "own.jsonl") for line in (HERE / name).read_text().splitlines()]
    return [
        line["sql"]
        for line in lines
        if (line["stage"], line["expect"]) == ("static", "deny")
        and line["category"] not in {"parser_dos", "characters", "resource", "size", "engine_crash"}
        and _readable(line["sql"])
    ]


def _readable(sql: str) -> bool:
    try:
        return bool(duckdb.extract_statements(sql))
    except (duckdb.Error, UnicodeEncodeError):
        return False


STATEMENTS = corpus()
AIMED = (HERE / "aimed.txt").read_text().splitlines()
"""A statement a line, with names in braces for what lies about."""


class Listener:
    """Counts who connects to a port of this machine."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.count = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                guest, _ = self._socket.accept()
                self.count += 1
                guest.close()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@dataclass(frozen=True)
class Scene:
    """An engine over the granted extract, among what it must not reach."""

    engine: JailedEngine
    extract: Path
    other: Path
    folder: Path
    listener: Listener

    def statements(self) -> list[str]:
        places = {"secret": self.folder / "secret", "folder": self.folder, "other": self.other, "extract": self.extract}
        return [line.format(**places, port=self.listener.port) for line in AIMED] + [*map(self._aim, STATEMENTS)]

    def _aim(self, sql: str) -> str:
        """An attack of the corpora, at what lies here."""
        for name, path in (("/data/bus_trips.parquet", self.extract), ("/data/other.db", self.other)):
            sql = sql.replace(name, str(path))
        sql = re.sub(r"/etc/(passwd|hostname)|/data/x\.(json|db)", str(self.folder / "secret"), sql)
        sql = re.sub(r"/tmp/own-attack|/dev/shm/x|(?<=')/x(?=\.csv)|/tmp/x", str(self.folder / "written"), sql)
        host = f"127.0.0.1:{self.listener.port}"
        return re.sub(r"https?://(example\.com|x)", f"http://{host}", sql).replace("evil.example", host)

    def state(self) -> dict[str, str]:
        """Every file that is here, with a digest."""
        files = [path for path in sorted(self.folder.parent.rglob("*")) if path.is_file()]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@contextmanager
def set_up(bus: Any, place: Path) -> Iterator[Scene]:
    """A scene in an empty folder, over the corpus's relation."""
    folder = place / f"home-{SECRETS['folder']}"
    folder.mkdir()
    for name in ("secret", "secret.csv"):
        (folder / name).write_text(f"{SECRETS['file']}\n")
    duckdb.sql(f"COPY (SELECT '{SECRETS['extract']}' AS rider_id FROM range(9)) TO '{folder}/other.parquet'")
    listener = Listener()
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("SANDBOX_SECRET", SECRETS["environment"])
        engine = JailedEngine(workers=4, patience=120)
        none = Digest("sha256:" + "0" * 64)
        columns = (Column("rider_id", "VARCHAR"),)
        scope = Scope(DatasetId("metro_trips"), none, ("rider_id",))
        other = engine.extract(scope, columns, (folder / "other.parquet",), folder / "extracts")
        granted = Scope(DatasetId("bus_trips"), none, tuple(column.name for column in bus.relation.columns))
        extract = engine.extract(granted, bus.relation.columns, (bus.source,), folder / "extracts")
        yield Scene(engine, extract, other, folder, listener)
        engine.close()
    listener.close()


def named(scene: Scene, sql: str) -> set[str]:
    """What a statement names itself: the engine's words may repeat it, and even cut it short."""
    return {"folder"} if str(scene.folder) in sql else set()
