"""What was verified is remembered under its bytes and its keys, and never beyond them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.contracts import participants
from sandbox.contracts.verified import Verified
from sandbox.core.database import Database, Transaction, metadata, open_engine, sqlite_url
from sandbox.core.keys import key_from_seed
from sandbox.core.terms import Participant, ParticipantId, Role

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = key_from_seed("ben-xe", bytes(32))


@pytest.fixture
def database(tmp_path: Path):  # type: ignore[no-untyped-def]
    engine = open_engine(sqlite_url(tmp_path / "x.db"))
    metadata.create_all(engine)
    with Database(engine) as database:

        def write(tx: Transaction) -> None:
            participants.admit(tx, Participant(ParticipantId("ben-xe"), "Bến xe", frozenset({Role.PROVIDER})), NOW)
            participants.register_key(tx, ParticipantId("ben-xe"), KEY.verify_key, NOW)

        database.write(write)
        yield database


class Counting:
    """A verification that says how often it was done."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> tuple[object, list[str]]:
        self.times += 1
        return object(), [KEY.kid]


def test_the_same_bytes_under_the_same_keys_are_verified_once(database: Database) -> None:
    known, verify = Verified(), Counting()
    with database.read() as connection:
        first = known.agreement(connection, ("san", b"bytes"), verify)  # type: ignore[arg-type]
        assert known.agreement(connection, ("san", b"bytes"), verify) is first  # type: ignore[arg-type]
        assert verify.times == 1
        known.agreement(connection, ("san", b"other bytes"), verify)  # type: ignore[arg-type]
        known.agreement(connection, ("another-exchange", b"bytes"), verify)  # type: ignore[arg-type]
    assert verify.times == 3


def test_a_revoked_key_has_all_verified_again(database: Database) -> None:
    known, verify = Verified(), Counting()
    with database.read() as connection:
        known.agreement(connection, ("san", b"bytes"), verify)  # type: ignore[arg-type]
    database.write(lambda tx: participants.revoke_key(tx, KEY.kid, NOW))
    with database.read() as connection:
        known.agreement(connection, ("san", b"bytes"), verify)  # type: ignore[arg-type]
    assert verify.times == 2


def test_what_was_refused_is_not_remembered(database: Database) -> None:
    known, verify = Verified(), Counting()

    def refuses() -> tuple[object, list[str]]:
        raise ValueError

    with database.read() as connection:
        with pytest.raises(ValueError):  # noqa: PT011
            known.agreement(connection, ("san", b"bytes"), refuses)  # type: ignore[arg-type]
        known.agreement(connection, ("san", b"bytes"), verify)  # type: ignore[arg-type]
    assert verify.times == 1
