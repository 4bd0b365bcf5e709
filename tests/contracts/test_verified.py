"""What was verified is remembered under its bytes and its keys, and never beyond them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from sandbox.contracts import keyring, participants
from sandbox.contracts.keyring import Signers
from sandbox.contracts.verified import Verified
from sandbox.core.database import Database, Transaction, open_engine, sqlite_url
from sandbox.core.keys import key_from_seed
from sandbox.core.terms import KeyUse, Participant, ParticipantId, Role
from tests.tables import furnish

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = key_from_seed("ben-xe", bytes(32))
WHAT = ("san", b"bytes")


@pytest.fixture
def database(tmp_path: Path):  # type: ignore[no-untyped-def]
    engine = open_engine(sqlite_url(tmp_path / "x.db"))
    furnish(engine)
    with Database(engine) as database:

        def write(tx: Transaction) -> None:
            participants.admit(tx, Participant(ParticipantId("ben-xe"), "Bến xe", frozenset({Role.PROVIDER})), NOW)
            keyring.register_key(tx, ParticipantId("ben-xe"), KEY.verify_key, KeyUse.CONTRACT, NOW)

        database.write(write)
        yield database


class Counting:
    """A verification that says how often it was done."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, signers: Signers) -> object:
        self.times += 1
        assert signers.by_kid(KEY.kid) is not None
        return object()


@pytest.fixture
def opened(database: Database):  # type: ignore[no-untyped-def]
    """Opens some bytes at an instant, as a query does: with signers made anew."""
    known: Verified[object] = Verified()

    def open_(verify: Callable[[Signers], object], what: tuple[str, bytes] = WHAT, at: datetime = NOW) -> object:
        with database.read() as connection:
            signers = Signers(connection, at)
            return known.opened(signers, what, lambda: verify(signers))

    return open_


def test_the_same_bytes_under_the_same_keys_are_verified_once(opened) -> None:  # type: ignore[no-untyped-def]
    verify = Counting()
    first = opened(verify)
    assert opened(verify) is first
    assert verify.times == 1
    opened(verify, ("san", b"other bytes"))
    opened(verify, ("another-exchange", b"bytes"))
    assert verify.times == 3


def test_a_revoked_key_has_all_verified_again(opened, database: Database) -> None:  # type: ignore[no-untyped-def]
    verify = Counting()
    opened(verify)
    database.write(lambda tx: keyring.revoke_key(tx, KEY.kid, NOW))
    with pytest.raises(AssertionError):
        opened(verify)
    assert verify.times == 2


def test_a_key_that_was_stolen_later_has_nothing_verified_again(opened, database: Database) -> None:  # type: ignore[no-untyped-def]
    verify, day = Counting(), timedelta(days=1)
    first = opened(verify)
    database.write(lambda tx: keyring.revoke_key(tx, KEY.kid, NOW + 2 * day, NOW + day))
    assert opened(verify) is first
    with pytest.raises(AssertionError):
        opened(verify, at=NOW + day)
    assert verify.times == 2


def test_another_owner_of_a_key_has_all_verified_again(opened, database: Database) -> None:  # type: ignore[no-untyped-def]
    verify = Counting()

    def write(tx: Transaction) -> None:
        participants.admit(tx, Participant(ParticipantId("khac"), "Khác", frozenset({Role.BUYER})), NOW)
        tx.connection.execute(sa.text("UPDATE participant_key SET owner = 'khac'"))

    opened(verify)
    database.write(write)
    opened(verify)
    assert verify.times == 2


def test_what_was_refused_is_not_remembered(opened) -> None:  # type: ignore[no-untyped-def]
    verify = Counting()

    def refuses(signers: Signers) -> object:
        signers.by_kid(KEY.kid)
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        opened(refuses)
    opened(verify)
    assert verify.times == 1


def test_many_threads_open_the_same_bytes(opened) -> None:  # type: ignore[no-untyped-def]
    verify = Counting()
    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(lambda number: opened(verify, ("san", bytes([number % 4]))), range(64))]
    assert len({id(each) for each in found}) <= verify.times <= 16
