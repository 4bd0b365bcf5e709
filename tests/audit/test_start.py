"""An exchange starts on a log that is whole, its own and the published one, and on no other; each refusal says why."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from sandbox.audit.log import Log
from sandbox.audit.note import Checkpoint, Verifier, sign_note
from sandbox.audit.start import require_sound
from sandbox.audit.store import log_entry, log_head, log_tile
from sandbox.audit.tiles import export
from sandbox.core.database import Database
from sandbox.core.errors import Tampered
from sandbox.core.keys import SigningKey, key_from_seed

ORIGIN = "exchange.example.vn/log"
Opened = tuple[Database, Log]
OpenLog = Callable[..., Opened]
Sell = Callable[..., None]
Forge = Callable[..., None]
RECOVER, ANEW = "sandbox log recover", "sandbox log export --anew"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "published" / "log"


@pytest.fixture
def verifier(key: SigningKey) -> Verifier:
    return Log(ORIGIN, key).verifier


@pytest.fixture
def refused(engine: Engine, folder: Path, verifier: Verifier) -> Callable[[], Tampered]:
    """What the start is refused with."""

    def refused_() -> Tampered:
        with pytest.raises(Tampered) as refusal:
            require_sound(engine, folder, verifier)
        assert refusal.value.hint
        return refusal.value

    return refused_


@pytest.fixture
def published(open_log: OpenLog, sell: Sell, engine: Engine, folder: Path) -> Opened:
    """A log of 600 entries in three commits, of which 520 are published."""
    opened = open_log()
    sell(opened, 0, 500)
    sell(opened, 500, 520)
    export(engine, folder)
    sell(opened, 520, 600)
    return opened


def test_an_empty_log_starts(open_log: OpenLog, engine: Engine, folder: Path, verifier: Verifier) -> None:
    open_log()
    assert require_sound(engine, folder, verifier).size == 0


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 513])
def test_a_log_starts_at_every_edge_of_a_tile(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, verifier: Verifier, size: int
) -> None:
    opened = open_log()
    sell(opened, 0, size)
    export(engine, folder)
    assert require_sound(engine, folder, verifier).size == size
    sell(opened, size, size + 1)
    assert require_sound(engine, folder, verifier).size == size + 1  # what is not yet published is no fault


# --- the database ---
def replaced(table: sa.Table, column: str, content: bytes, **where: Any) -> sa.Update:
    conditions = [table.c[name] == value for name, value in where.items()]
    return table.update().where(*conditions).values({column: content})


DAMAGE: dict[str, tuple[Any, str]] = {
    "an open entry altered": (replaced(log_entry, "leaf", b"{}", idx=599), "newest entries do not have the root"),
    "an entry below the last full tile altered": (replaced(log_entry, "leaf", b"{}", idx=300), "Tile 0/1"),
    "the newest entry gone": (log_entry.delete().where(log_entry.c.idx == 599), "end at different places"),
    "an open entry gone": (log_entry.delete().where(log_entry.c.idx == 550), "87 of 88 rows"),
    "the newest head gone": (log_head.delete().where(log_head.c.size == 600), "end at different places"),
    "the root of the head altered": (replaced(log_head, "root", b"\1" * 32, size=600), "another size or root"),
    "a tile's hashes altered": (replaced(log_tile, "hashes", b"\1" * 8192, n=1), "Tile 0/1"),
    "a tile's root altered": (replaced(log_tile, "root", b"\1" * 32, n=1), "Tile 0/1"),
    "an older tile's root altered": (
        replaced(log_tile, "root", b"\1" * 32, n=0),
        "newest entries do not have the root",
    ),
    "a tile gone": (log_tile.delete().where(log_tile.c.n == 0), "full tiles"),
    "an entry of another type": (sa.text("UPDATE log_entry SET leaf = CAST(leaf AS TEXT)"), "column's type"),
    "a tile too many": (log_tile.insert().values(level=1, n=0, hashes=b"", root=b""), "full tiles"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_database_does_not_start_and_is_told_to_recover(
    published: Opened, forge: Forge, refused: Callable[[], Tampered], name: str
) -> None:
    change, sentence = DAMAGE[name]
    forge(change)
    refusal = refused()
    assert (refusal.code, sentence in refusal.message) == ("tampered.log", True), refusal.message


def test_a_head_under_another_key_does_not_start(
    published: Opened, engine: Engine, forge: Forge, refused: Callable[[], Tampered]
) -> None:
    with engine.connect() as connection:
        head = published[1].head(connection)
    thief = key_from_seed("log", b"\2" * 32)
    forge(replaced(log_head, "note", sign_note(Checkpoint(ORIGIN, 600, head.root).text, ORIGIN, thief), size=600))
    assert "not signed with this exchange's log key" in refused().message


def test_a_log_does_not_start_under_another_key(published: Opened, engine: Engine, folder: Path) -> None:
    with pytest.raises(Tampered, match="not signed with this exchange's log key") as refusal:
        require_sound(engine, folder, Log(ORIGIN, key_from_seed("log", b"\2" * 32)).verifier)
    assert "keys/log.jwk" in refusal.value.hint


def test_a_database_behind_its_published_log_is_told_to_recover(
    published: Opened, forge: Forge, refused: Callable[[], Tampered]
) -> None:
    forge(
        log_entry.delete().where(log_entry.c.idx >= 500),
        log_head.delete().where(log_head.c.size > 500),
        log_tile.delete().where(log_tile.c.n == 1),
    )
    refusal = refused()
    assert (refusal.code, refusal.message) == ("tampered.log", "520 entries were published, and the database has 500.")
    assert RECOVER in refusal.hint


def test_a_database_with_another_history_than_the_published_is_a_fork(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, forge: Forge, refused: Callable[[], Tampered]
) -> None:
    first = open_log()
    sell(first, 0, 3)
    export(engine, folder)
    first[0].close()
    forge(log_entry.delete(), log_head.delete(), sa.text("DELETE FROM log_body"))
    sell(open_log(), 5, 8)
    assert "tell the regulator" in refused().hint


# --- the published files ---
def test_no_flipped_bit_of_the_published_checkpoint_passes(
    open_log: OpenLog, sell: Sell, engine: Engine, folder: Path, verifier: Verifier
) -> None:
    sell(open_log(), 0, 3)
    export(engine, folder)
    path = folder / "checkpoint"
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(Tampered):
            require_sound(engine, folder, verifier)
    path.write_bytes(content)
    require_sound(engine, folder, verifier)


@pytest.mark.parametrize("content", [b"", b"damaged", b"a\n1\n\n", None], ids=["empty", "text", "cut", "gone"])
def test_a_damaged_or_missing_checkpoint_is_told_to_be_published_anew(
    published: Opened, folder: Path, refused: Callable[[], Tampered], content: bytes | None
) -> None:
    path = folder / "checkpoint"
    path.unlink() if content is None else path.write_bytes(content)
    refusal = refused()
    assert (refusal.code, ANEW in refusal.hint) == ("tampered.export", True)


def test_a_folder_in_the_place_of_the_checkpoint_is_refused(
    published: Opened, folder: Path, refused: Callable[[], Tampered]
) -> None:
    (folder / "checkpoint").unlink()
    (folder / "checkpoint").mkdir()
    assert refused().code == "tampered.export"


EDGE = ("tile/entries/002.p/8", "tile/0/002.p/8", "tile/1/000.p/2", "tile/0/001", "tile/entries/001")
CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[:-1],
    "emptied": lambda content: b"",
    "longer": lambda content: content + b"\0",
    "flipped": lambda content: bytes([content[0] ^ 1]) + content[1:],
}


@pytest.mark.parametrize("name", EDGE)
def test_a_newest_file_that_is_damaged_or_missing_is_named(
    published: Opened, folder: Path, refused: Callable[[], Tampered], name: str
) -> None:
    whole = (folder / name).read_bytes()
    for change in CHANGES.values():
        (folder / name).write_bytes(change(whole))
        assert name in refused().message
    (folder / name).unlink()
    refusal = refused()
    assert (refusal.code, refusal.message) == ("tampered.export", f"The published file {name} is missing.")


def test_the_whole_folder_gone_is_refused(published: Opened, folder: Path, refused: Callable[[], Tampered]) -> None:
    shutil.rmtree(folder)
    assert "has no checkpoint" in refused().message


def test_a_full_tile_stands_for_the_partial_one_that_it_replaced(
    published: Opened, engine: Engine, folder: Path, verifier: Verifier, sell: Sell
) -> None:
    """As when the exchange stopped after dropping them, and the checkpoint was put back from a copy."""
    before = (folder / "checkpoint").read_bytes()
    sell(published, 600, 800)
    export(engine, folder)
    assert not (folder / "tile/0/002.p").exists()
    (folder / "checkpoint").write_bytes(before)
    (folder / "tile/1/000.p").mkdir(exist_ok=True)
    assert require_sound(engine, folder, verifier).size == 800
