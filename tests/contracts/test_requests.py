"""Signed requests: whose key, of what time, over which bytes, and only once; on SQLite and on PostgreSQL."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from sandbox.contracts import requests
from sandbox.contracts.requests import SignedRequest
from sandbox.core.database import Database, metadata, open_engine
from sandbox.core.errors import NotIdentified
from sandbox.core.keys import SigningKey, VerifyKey, key_from_seed, new_key
from sandbox.core.terms import ParticipantId

NOW = datetime(2026, 12, 1, 3, tzinfo=UTC)
BUYER, OTHER = ParticipantId("cong-ty-a"), ParticipantId("cong-ty-b")
KEY = key_from_seed(BUYER, b"\x05" * 32)
BASE = b'"@method": POST\n"authorization": Bearer secret'


class Ring:
    """The request keys of one test."""

    def __init__(self, **keys: SigningKey) -> None:
        self.keys = {key.kid: (owner.replace("_", "-"), key) for owner, key in keys.items()}

    def by_kid(self, kid: str) -> VerifyKey | None:
        return self.keys[kid][1].verify_key if kid in self.keys else None

    def owner_of(self, kid: str) -> ParticipantId | None:
        return ParticipantId(self.keys[kid][0]) if kid in self.keys else None


RING = Ring(cong_ty_a=KEY)


def signed(key: SigningKey = KEY, base: bytes = BASE, **changes: object) -> SignedRequest:
    at = int(NOW.timestamp())
    whole = SignedRequest(key.kid, "n" * 24, at, at + 300, base, key.sign(base))
    return replace(whole, **changes)  # type: ignore[arg-type]


def refused(request: SignedRequest, owner: ParticipantId = BUYER, ring: Ring = RING, now: datetime = NOW) -> str:
    with pytest.raises(NotIdentified) as caught:
        requests.verified(request, owner, ring, now)
    assert caught.value.hint
    assert "secret" not in caught.value.message
    return caught.value.code


def test_a_good_signature_leaves_evidence_that_does_not_hold_the_token() -> None:
    kept = requests.verified(signed(), BUYER, RING, NOW)
    assert {*kept} == {"keyid", "nonce", "created", "base", "signature"}
    assert (kept["keyid"], kept["created"]) == (KEY.kid, int(NOW.timestamp()))
    assert str(kept["base"]).startswith("sha256:")
    assert "secret" not in str(kept)


@pytest.mark.parametrize(
    "request_",
    [
        signed(base=BASE + b"x", signature=KEY.sign(BASE)),
        signed(signature=b"\x00" * 64),
        signed(signature=b""),
        signed(keyid="cong-ty-a/unknown"),
        signed(nonce="short"),
        signed(nonce="n" * 201),
        signed(keyid="x" * 5_000),
    ],
    ids=["another base", "zeros", "nothing", "an unknown key", "a short nonce", "a long nonce", "a long key id"],
)
def test_a_signature_that_does_not_verify_is_refused_without_saying_why(request_: SignedRequest) -> None:
    assert refused(request_) == "identity.signature_invalid"


def test_anothers_key_signs_nothing_for_the_holder_of_a_token() -> None:
    key = key_from_seed(OTHER, b"\x06" * 32)
    assert refused(signed(key), ring=Ring(cong_ty_b=key)) == "identity.signature_invalid"
    assert refused(signed(), owner=OTHER) == "identity.signature_invalid"


def test_only_ed25519_keys_sign_requests() -> None:
    key = new_key(BUYER, "ES256")
    assert refused(signed(key), ring=Ring(cong_ty_a=key)) == "identity.signature_invalid"


@pytest.mark.parametrize("seconds", [-59, 0, 300, 359])
def test_clocks_may_be_a_minute_apart(seconds: int) -> None:
    assert requests.verified(signed(), BUYER, RING, NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-61, 360, 86_400])
def test_a_signature_of_another_time_is_refused(seconds: int) -> None:
    assert refused(signed(), now=NOW + timedelta(seconds=seconds)) == "identity.signature_expired"


@pytest.mark.parametrize("lasts", [301, 0, -1, 10**14])
def test_a_signature_is_good_for_five_minutes_at_most(lasts: int) -> None:
    assert refused(signed(expires=int(NOW.timestamp()) + lasts)) == "identity.signature_expired"


@pytest.mark.parametrize("created", [10**14, -(10**14)])
def test_times_beyond_the_calendar_are_refused_like_any_other(created: int) -> None:
    assert refused(signed(created=created, expires=created + 300)) == "identity.signature_expired"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    engine = open_engine(database_url)
    metadata.tables["request_nonce"].create(engine)
    with Database(engine) as database:
        yield database


def spend(database: Database, request: SignedRequest, now: datetime = NOW) -> str:
    try:
        database.write(lambda tx: requests.spend_nonce(tx, request, now))
    except NotIdentified as refusal:
        return refusal.code
    return "accepted"


def test_a_request_counts_once(database: Database) -> None:
    again = "identity.signature_replayed"
    assert [spend(database, signed()) for _ in range(3)] == ["accepted", again, again]
    assert spend(database, signed(nonce="m" * 24)) == "accepted"
    assert spend(database, signed(keyid="cong-ty-a/another")) == "accepted"


def test_a_request_counts_once_for_as_long_as_its_signature_does(database: Database) -> None:
    spend(database, signed())
    last = NOW + timedelta(seconds=359)
    assert requests.verified(signed(), BUYER, RING, last)
    assert spend(database, signed(), last) == "identity.signature_replayed"


def test_what_has_expired_is_forgotten(database: Database) -> None:
    for number in range(5):
        spend(database, signed(nonce=f"{number}" * 24))
    later = NOW + timedelta(seconds=400)
    at = int(later.timestamp())
    spend(database, signed(nonce="m" * 24, created=at, expires=at + 300), later)
    with database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(metadata.tables["request_nonce"])) == 1


def test_of_many_that_come_at_once_one_is_accepted(database: Database) -> None:
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(spend(database, signed()))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["accepted"] + ["identity.signature_replayed"] * 11


def test_a_unit_that_fails_spends_nothing(database: Database) -> None:
    def fails(tx: object) -> None:
        requests.spend_nonce(tx, signed(), NOW)  # type: ignore[arg-type]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        database.write(fails)
    assert spend(database, signed()) == "accepted"
