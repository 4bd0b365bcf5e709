"""A writer killed in the middle: every unit that was answered is there, and no unit is there in part."""

import subprocess
import sys
import time
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from sandbox.core.database import open_engine

WRITER = Path(__file__).with_name("endless_writer.py")
ROUNDS, ANSWERS = 5, 120


def run_and_kill(url: str) -> list[int]:
    """Start the writer on a database, kill it after some answers, and give back all that it had answered."""
    with subprocess.Popen([sys.executable, WRITER, url], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        answered = [writer.stdout.readline() for _ in range(ANSWERS)]
        writer.kill()
        answered += writer.stdout.readlines()
    return [int(line) for line in answered if line.endswith("\n")]


def others(engine: Engine) -> int:
    """How many sessions PostgreSQL still has: it may be busy with what the dead client sent last."""
    if engine.dialect.name == "sqlite":
        return 0
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with engine.connect() as connection:
        number: int = connection.exec_driver_sql(count).scalar_one()
        return number


def test_a_killed_writer_loses_nothing_that_it_answered(database_url: str) -> None:
    engine = open_engine(database_url)
    with engine.begin() as connection:
        for name in ("counter", "row", "leaf"):
            connection.exec_driver_sql(f'CREATE TABLE "{name}" (value BIGINT NOT NULL)')
        connection.exec_driver_sql("INSERT INTO counter VALUES (0)")
    total = 0
    for _ in range(ROUNDS):
        answered = run_and_kill(database_url)
        assert len(answered) >= ANSWERS
        while others(engine):
            time.sleep(0.05)
        with engine.execution_options(writes=True).begin() as connection:
            rows, leaves = (
                [*connection.exec_driver_sql(f'SELECT value FROM "{name}"').scalars()] for name in ("row", "leaf")
            )
            total += len(rows)
            assert not set(answered) - set(rows), "an answered unit is not there"
            assert sorted(rows) == sorted(leaves), "a unit is there without its leaf, or a leaf without its unit"
            assert len(rows) == len(set(rows)), "a unit was written twice"
            assert not [number for number in rows if number % 7 == 0], "a refused unit was written"
            assert connection.exec_driver_sql("SELECT value FROM counter").scalar_one() == total
            for name in ("row", "leaf"):
                connection.execute(sa.text(f'DELETE FROM "{name}"'))
    engine.dispose()
