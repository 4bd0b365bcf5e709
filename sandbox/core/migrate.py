"""Brings a database to the program's schema, and refuses to work on another one."""

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from sandbox.core.errors import Unavailable

_SCRIPTS: Final = Path(__file__).parent / "migrations"
HEAD: Final = "0003"
_LOCK: Final = 7_263_982
_VERSION: Final = sa.table("alembic_version", sa.column("version_num"))


def upgrade(engine: Engine) -> None:
    """Run every outstanding migration, in one transaction, one process at a time.

    Raises:
        Unavailable: ``database.unreachable``; ``database.revision`` for a database that a newer program made.
    """
    from alembic import command  # noqa: PLC0415  # 0.2 s of imports, needed when a home is made
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    found = _found(engine)
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    with engine.execution_options(writes=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError:
            raise _foreign(found, "Use the program that made it, or a newer one.") from None


def revision(connection: Connection) -> str | None:
    """The revision of a database's schema; None when it has none of ours."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return ", ".join(sorted(connection.execute(sa.select(_VERSION.c.version_num)).scalars())) or None


def require_current(engine: Engine) -> None:
    """Refuse a database at another revision than the program's.

    Raises:
        Unavailable: ``database.revision``; ``database.unreachable`` when it does not answer.
    """
    found = _found(engine)
    if found != HEAD:
        raise _foreign(found, "Run: sandbox migrate --home HOME")


def _found(engine: Engine) -> str | None:
    try:
        with engine.connect() as connection:
            return revision(connection)
    except sa.exc.SQLAlchemyError:
        hint = "Start it and try again."
        raise Unavailable("database.unreachable", "The database does not answer.", hint=hint) from None


def _foreign(found: str | None, hint: str) -> Unavailable:
    sentence = f"The database has schema revision {found}, this program needs {HEAD}."
    return Unavailable("database.revision", sentence, hint=hint)
