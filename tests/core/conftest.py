"""A database with one table of counters and a log of the simplest kind."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.core.database import BigId, Database, Instant, Transaction, open_engine

OWN = sa.MetaData()  # not the house's: the migration tests compare that one with the schema
COUNTER = sa.Table(
    "counter", OWN, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.BigInteger, nullable=False)
)
LEAF = sa.Table("leaf", OWN, sa.Column("number", BigId, primary_key=True), sa.Column("entry", sa.Text, unique=True))
MOMENT = sa.Table("moment", OWN, sa.Column("number", BigId, primary_key=True), sa.Column("at", Instant))
CHILD = sa.Table(
    "child", OWN,
    sa.Column("name", sa.ForeignKey("counter.name", deferrable=True, initially="DEFERRED"), primary_key=True),
)  # fmt: skip


class Notebook:
    """A seal that writes the leaves into a table, and can be told to fail."""

    def __init__(self) -> None:
        self.adopted: list[object] = []
        self.failures = 0
        self.fail_after_commit = False

    def before_commit(self, connection: Connection, leaves: list[tuple[str, bytes]]) -> object:
        for entry, _ in leaves:
            connection.execute(LEAF.insert().values(entry=entry))
        return len(leaves)

    def after_commit(self, grown: object) -> None:
        if self.fail_after_commit:
            raise OSError("the new tree was not adopted")
        self.adopted.append(grown)

    def after_failure(self) -> None:
        self.failures += 1


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


@pytest.fixture
def database(database_url: str, notebook: Notebook) -> Iterator[Database]:
    """A database of each kind, with the tables above and the counter ``a`` at 0."""
    engine = open_engine(database_url)
    with engine.execution_options(writes=True).begin() as connection:
        OWN.create_all(connection)
        connection.execute(COUNTER.insert().values(name="a", value=0))
    with Database(engine, notebook) as database:
        yield database


@pytest.fixture
def add() -> Callable[..., Callable[[Transaction], int]]:
    """``add(n, entry)``: a unit that adds ``n`` to the counter ``a``, records a leaf, and answers ``n``."""

    def make(number: int, entry: str | None = None) -> Callable[[Transaction], int]:
        def unit(tx: Transaction) -> int:
            tx.connection.execute(COUNTER.update().values(value=COUNTER.c.value + number))
            if entry is not None:
                tx.record(entry, b"leaf")
            return number

        return unit

    return make


@pytest.fixture
def stored(database: Database) -> Callable[[], tuple[int, set[str]]]:
    """Reads the counter ``a`` and the entries of all leaves, as a neighbour sees them."""

    def read() -> tuple[int, set[str]]:
        with database.read() as connection:
            value: int = connection.execute(sa.select(COUNTER.c.value).where(COUNTER.c.name == "a")).scalar_one()
            return value, set(connection.execute(sa.select(LEAF.c.entry)).scalars())

    return read


@pytest.fixture
def tables() -> dict[str, Any]:
    """The tables by name, for tests that write to them directly."""
    return dict(OWN.tables)
