"""Databases with every table, made once and copied: creating the tables takes longer than most tests."""

import atexit
import shutil
import tempfile
from pathlib import Path

from sqlalchemy.engine import Engine, make_url

from sandbox.core.database import metadata, open_engine

_made: dict[frozenset[str], Path] = {}


def furnish(engine: Engine) -> None:
    """Give an empty database the tables of all rooms that are imported."""
    place = make_url(engine.url).database
    if engine.dialect.name != "sqlite" or not place or Path(place).exists():
        metadata.create_all(engine)
    else:
        shutil.copyfile(_template(), place)


def _template() -> Path:
    known = frozenset(metadata.tables)
    if known not in _made:
        folder = tempfile.mkdtemp(prefix="sandbox-tables-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        path = Path(folder) / "empty.db"
        engine = open_engine(f"sqlite:///{path}")
        metadata.create_all(engine)
        engine.dispose()
        _made[known] = path
    return _made[known]
