"""The published files: written whole, in order, resumed, and never ahead of the database."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from sandbox.audit.events import EventType, entry_leaf
from sandbox.audit.layout import levels, tile_path, tiles_of
from sandbox.audit.log import Log
from sandbox.audit.store import log_body, log_cosignature, log_entry, log_head, log_tile
from sandbox.audit.tiles import export
from sandbox.audit.verify import verify_log
from sandbox.core.database import Database, Transaction
from sandbox.core.errors import Tampered

NOON = datetime(2026, 11, 22, 5, tzinfo=UTC)
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
    with pytest.raises(Tampered, match="5 entries were published, and the database has 3") as refusal:
        export(engine, folder)
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


def test_a_checkpoint_with_another_signature_than_was_made_is_not_written_over(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path
) -> None:
    sell(open_log(), 0, 3)
    export(engine, folder)
    text, _, _ = (folder / "checkpoint").read_bytes().rpartition(b"\n\n")
    (folder / "checkpoint").write_bytes(text + "\n\n— exchange.example.vn/log AAAA\n".encode())
    with pytest.raises(Tampered, match="does not carry the signature") as refusal:
        export(engine, folder)
    assert (refusal.value.code, "sandbox log export --anew" in refusal.value.hint) == ("tampered.export", True)


# --- what witnesses said ---
LINE = "— regulator.example.vn/w1 v3dpEwAA\n".encode()
OTHER = "— university.example.vn/w2 q83vEwAA\n".encode()


def cosign(opened: Opened, size: int, line: bytes = LINE) -> None:
    """As when a witness has answered; that its signature is good is known before it is kept."""
    row = {"size": size, "witness": line.split()[1].decode(), "line": line, "at": NOON}
    opened[0].write(lambda tx: tx.connection.execute(log_cosignature.insert().values(row)))


def test_a_cosignature_is_shown_below_the_logs_own_signature(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, vkey: str
) -> None:
    opened = open_log()
    sell(opened, 0, 3)
    export(engine, folder)
    alone = (folder / "checkpoint").read_bytes()
    for line, lines in ((LINE, LINE), (OTHER, LINE + OTHER)):
        cosign(opened, 3, line)
        assert export(engine, folder) == 3
        assert (folder / "checkpoint").read_bytes() == alone + lines
    assert verify_log(folder, vkey).size == 3


def test_a_cosigned_head_is_shown_before_the_log_goes_on(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, vkey: str
) -> None:
    opened = open_log()
    sell(opened, 0, 3)
    export(engine, folder)
    sell(opened, 3, 300)  # meanwhile the witness answers
    cosign(opened, 3)
    assert export(engine, folder) == 3
    kept = (folder / "checkpoint").read_bytes()
    assert kept.endswith(LINE)
    assert export(engine, folder) == 300
    assert (folder / "checkpoint").read_bytes().endswith(LINE) is False
    assert verify_log(folder, vkey, kept).size == 300


def test_a_head_that_was_cosigned_before_it_was_published_is_published_as_it_is(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, vkey: str
) -> None:
    opened = open_log()
    sell(opened, 0, 300)
    sell(opened, 300, 700)
    cosign(opened, 300)
    assert (export(engine, folder), verify_log(folder, vkey).size) == (300, 300)
    assert "tile/0/001.p/44" in files(folder)
    assert (export(engine, folder), verify_log(folder, vkey).size) == (700, 700)


# --- edges and faults ---
@pytest.mark.parametrize("edge", [1, 256, 65_536])
def test_every_file_is_there_at_and_around_the_edges_of_tiles(
    open_log: OpenLog, engine: Engine, folder: Path, vkey: str, edge: int
) -> None:
    opened = open_log()
    kept = None
    for size, done in zip((max(1, edge - 1), edge, edge + 1), (0, max(1, edge - 1), edge), strict=True):
        opened[0].write(lambda tx, done=done, size=size: [small(tx, number) for number in range(done, size)])
        assert export(engine, folder) == size
        kept = verify_log(folder, vkey, kept) and (folder / "checkpoint").read_bytes()
        expected = {tile_path(level, n, width) for level in levels(size) for n, width in tiles_of(size, level)}
        assert expected <= files(folder).keys()


def small(tx: Transaction, number: int) -> None:
    tx.record(f"e{number}", entry_leaf(EventType.QUERY_FAILED, NOON, f"e{number}", {}, {}))


def test_a_disk_that_does_not_take_a_file_leaves_the_old_checkpoint_and_the_next_export_catches_up(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, vkey: str
) -> None:
    opened = open_log()
    sell(opened, 0, 100)
    export(engine, folder)
    before = (folder / "checkpoint").read_bytes()
    sell(opened, 100, 600)
    for name in ("tile/entries/001.tmp", "tile/0/002.p/88", "checkpoint.tmp"):
        (folder / name).mkdir(parents=True)  # a folder in its way refuses a file as surely as a broken disk
        with pytest.raises(OSError):  # noqa: PT011
            export(engine, folder)
        assert (folder / "checkpoint").read_bytes() == before
        assert verify_log(folder, vkey).size == 100
        (folder / name).rmdir()
    assert export(engine, folder) == 600
    assert verify_log(folder, vkey, before).size == 600
