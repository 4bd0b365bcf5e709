"""The published files: written whole, in order, resumed, and never ahead of the database."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from sandbox.audit.log import Log
from sandbox.audit.store import log_body, log_entry, log_head, log_tile
from sandbox.audit.tiles import export, require_continuation
from sandbox.audit.verify import verify_log
from sandbox.core.database import Database
from sandbox.core.errors import Tampered

Opened = tuple[Database, Log]
OpenLog = Callable[..., Opened]
Sell = Callable[..., None]
Forge = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "published" / "log"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_empty_log_publishes_nothing(open_log: OpenLog, engine: Engine, folder: Path) -> None:
    open_log()
    assert (export(engine, folder), files(folder)) == (0, {})


def test_a_tree_of_256_has_one_full_tile_and_the_start_of_the_next_level(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path
) -> None:
    sell(open_log(), 0, 256)
    export(engine, folder)
    published = files(folder)
    assert published.keys() == {"checkpoint", "tile/entries/000", "tile/0/000", "tile/1/000.p/1"}
    assert (len(published["tile/0/000"]), len(published["tile/1/000.p/1"])) == (8192, 32)


def test_an_export_goes_on_where_it_ended_and_drops_partial_tiles_that_filled(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, vkey: str
) -> None:
    opened = open_log()
    sell(opened, 0, 200)
    export(engine, folder)
    sell(opened, 200, 250)
    export(engine, folder)
    assert {"tile/0/000.p/200", "tile/0/000.p/250"} < files(folder).keys()
    sell(opened, 250, 600)
    assert export(engine, folder) == 600
    assert files(folder).keys() == {
        "checkpoint",
        *("tile/entries/000", "tile/entries/001", "tile/entries/002.p/88"),
        *("tile/0/000", "tile/0/001", "tile/0/002.p/88"),
        "tile/1/000.p/2",
    }
    assert verify_log(folder, vkey).size == 600


def test_exporting_again_changes_nothing(open_log: OpenLog, sell: Sell, engine: Engine, folder: Path) -> None:
    sell(open_log(), 0, 300)
    export(engine, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert export(engine, folder) == 300
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_leftovers_of_a_crash_are_written_over(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, vkey: str
) -> None:
    opened = open_log()
    sell(opened, 0, 300)
    for name in ("checkpoint.tmp", "tile/0/000.tmp", "tile/entries/001.p/44.tmp", "tile/0/000"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"half a fi")
    export(engine, folder)
    assert verify_log(folder, vkey).size == 300
    assert [name for name in files(folder) if name.endswith(".tmp")] == []
    sell(opened, 300, 600)
    (folder / "tile/entries/002.p/88.tmp").parent.mkdir()
    (folder / "tile/entries/002.p/88.tmp").write_bytes(b"half a fi")
    export(engine, folder)
    assert verify_log(folder, vkey).size == 600


EXPORTER = """
import sys
from pathlib import Path
from sandbox.audit.tiles import export
from sandbox.core.database import open_engine
export(open_engine(sys.argv[1]), Path(sys.argv[2]))
"""


def test_an_export_that_is_killed_is_resumed(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, vkey: str
) -> None:
    opened = open_log()
    for turn, sign in enumerate(("tile/entries/000", "tile/entries/005")):
        sell(opened, turn * 1000, turn * 1000 + 1000)
        command = [sys.executable, "-c", EXPORTER, engine.url.render_as_string(), str(folder)]
        with subprocess.Popen(command) as exporter:
            while exporter.poll() is None and not (folder / sign).exists():
                time.sleep(0.0005)
            exporter.send_signal(signal.SIGKILL)
        before = (folder / "checkpoint").read_bytes() if turn else None
        assert export(engine, folder) == turn * 1000 + 1000
        assert verify_log(folder, vkey, before).size == turn * 1000 + 1000


def test_two_exports_at_once_do_not_disturb_each_other(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, vkey: str
) -> None:
    opened = open_log()
    sizes: list[int] = []

    def keep_exporting() -> None:
        while not sizes or sizes[-1] < 300:
            sizes.append(export(engine, folder))

    threads = [threading.Thread(target=keep_exporting) for _ in range(2)]
    for thread in threads:
        thread.start()
    for start in range(0, 300, 20):
        sell(opened, start, start + 20)
    for thread in threads:
        thread.join()
    assert verify_log(folder, vkey).size == 300


def test_a_database_with_less_than_was_published_is_refused(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, forge: Forge
) -> None:
    opened = open_log()
    sell(opened, 0, 3)
    sell(opened, 3, 5)
    export(engine, folder)
    before = files(folder)
    forge(log_entry.delete().where(log_entry.c.idx >= 3), log_head.delete().where(log_head.c.size > 3))
    for ask in (export, require_continuation):
        with pytest.raises(Tampered, match="5 entries were published, and the database has 3") as refusal:
            ask(engine, folder)
        assert refusal.value.code == "tampered.log"
    assert files(folder) == before


@pytest.mark.parametrize("steps", [[(4, 7)], [(4, 6), (6, 8)]], ids=["other root", "no such size"])
def test_a_database_with_another_history_than_was_published_is_refused(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, forge: Forge, steps: list[tuple[int, int]]
) -> None:
    first = open_log()
    sell(first, 0, 3)
    export(engine, folder)
    first[0].close()
    forge(log_entry.delete(), log_head.delete(), log_body.delete())
    again = open_log()
    for start, stop in steps:
        sell(again, start, stop)
    with pytest.raises(Tampered) as refusal:
        export(engine, folder)
    assert refusal.value.code == "tampered.log"


def test_an_entry_changed_in_the_database_is_not_published(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, forge: Forge
) -> None:
    sell(open_log(), 0, 300)
    forge(log_entry.update().where(log_entry.c.idx == 7).values(leaf=b"{}"))
    with pytest.raises(Tampered, match="Entries from 0 on"):
        export(engine, folder)
    assert "checkpoint" not in files(folder)


def test_a_tile_lost_in_the_database_is_not_published(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, forge: Forge
) -> None:
    sell(open_log(), 0, 600)
    forge(log_tile.delete().where(log_tile.c.n == 0))
    with pytest.raises(Tampered):
        export(engine, folder)


@pytest.mark.parametrize("content", [b"", b"damaged", b"a\n1\n\n"])
def test_a_damaged_published_checkpoint_is_not_written_over(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, content: bytes
) -> None:
    sell(open_log(), 0, 3)
    export(engine, folder)
    (folder / "checkpoint").write_bytes(content)
    with pytest.raises(Tampered) as refusal:
        export(engine, folder)
    assert refusal.value.code == "tampered.export"
