"""Starting, publishing and recovering on each kind of database."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from sandbox.audit.anew import export_whole
from sandbox.audit.log import Log
from sandbox.audit.recovery import missing, recover
from sandbox.audit.start import require_sound
from sandbox.audit.store import log_body, log_entry, log_head, log_tile
from sandbox.audit.verify import verify_log
from sandbox.core.clock import ManualClock
from sandbox.core.database import Database
from sandbox.core.errors import Tampered
from sandbox.core.keys import SigningKey

ORIGIN = "exchange.example.vn/log"
Opened = tuple[Database, Log]
OpenLog = Callable[..., Opened]
Sell = Callable[..., None]
Forge = Callable[..., None]


@pytest.fixture
def log_url(database_url: str) -> str:
    return database_url


def test_a_log_starts_is_refused_when_set_back_and_recovers(
    open_log: OpenLog, sell: Sell, engine: Engine, forge: Forge, key: SigningKey, tmp_path: Path
) -> None:
    folder, log, opened = tmp_path / "log", Log(ORIGIN, key), open_log()
    sell(opened, 0, 300)
    assert export_whole(engine, folder) == 300
    kept = (folder / "checkpoint").read_bytes()
    sell(opened, 300, 600)
    assert export_whole(engine, folder) == 600
    assert require_sound(engine, folder, log.verifier).size == 600
    opened[0].close()
    forge(
        log_entry.delete().where(log_entry.c.idx >= 300),
        log_head.delete().where(log_head.c.size > 300),
        log_tile.delete().where(log_tile.c.n == 1),
        log_body.delete().where(log_body.c.entry_id.in_([f"ent_{number}" for number in range(300, 600)])),
    )
    with pytest.raises(Tampered, match="600 entries were published, and the database has 300"):
        require_sound(engine, folder, log.verifier)
    absent = missing(engine, folder, log.verifier)
    assert absent
    recover(engine, log, folder, absent, ManualClock(datetime(2026, 11, 23, tzinfo=UTC)))
    assert require_sound(engine, folder, log.verifier).size == 601
    assert export_whole(engine, folder) == 601
    assert verify_log(folder, log.verifier.vkey, kept).size == 601
