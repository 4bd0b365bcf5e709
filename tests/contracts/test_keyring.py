"""The keyring: whose key, for what, and from when until when it counts."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from sandbox.contracts import keyring
from sandbox.contracts.keyring import Signers
from sandbox.core.errors import Conflict, Invalid, NotFound
from sandbox.core.keys import ALGORITHMS, SigningKey, VerifyKey, b64url, new_key, public_key
from sandbox.core.terms import KeyUse

DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
USE = KeyUse.CONTRACT


def refused(kind, code, act, *arguments):
    with pytest.raises(kind) as refusal:
        act(*arguments)
    assert refusal.value.code == code
    return refusal.value


@pytest.fixture
def ask(register, parties):
    """One question to the signers of an instant."""

    def asked(question, *arguments, at=parties.now, use=USE):
        with register.database.read() as connection:
            return getattr(Signers(connection, at, None, use), question)(*arguments)

    return asked


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_registered_key_verifies_for_its_owner(register, parties, ask, algorithm):
    key = new_key(parties.buyer, algorithm)
    register.write(keyring.register_key, parties.buyer, key.verify_key, USE, parties.now)
    found = ask("by_kid", key.kid)
    assert (found.kid, found.jwk()) == (key.kid, key.verify_key.jwk())
    assert found.verifies(key.sign(b"x"), b"x")
    assert ask("owner_of", key.kid) == parties.buyer


def test_an_unknown_key_is_nobodys(ask):
    assert ask("by_kid", "cong-ty-fintech/none") is None
    assert ask("owner_of", "cong-ty-fintech/none") is None
    assert not ask("is_revoked", "cong-ty-fintech/none")


def test_a_key_is_registered_for_one_participant_under_one_id(register, parties, ask):
    """Else the holder of one private key could sign as provider and as buyer."""
    again = parties.keys[parties.provider].verify_key
    posing = VerifyKey(f"{parties.buyer}/stolen", again.public)
    same_id = VerifyKey(again.kid, new_key(parties.provider).verify_key.public)
    for owner, key in ((parties.provider, again), (parties.buyer, posing), (parties.provider, same_id)):
        refused(Conflict, "key.registered", register.write, keyring.register_key, owner, key, USE, parties.now)
    assert ask("owner_of", again.kid) == parties.provider


@pytest.mark.parametrize(
    "kid", ["cong-ty-khac/1", "cong-ty-fintech-2/1", "1", "", "cong-ty-fintech/ộ", "cong-ty-fintech/\n"]
)
def test_a_key_bears_the_name_of_its_owner(register, parties, kid):
    key = SigningKey(kid, new_key("x").private).verify_key
    refused(Invalid, "key.foreign", register.write, keyring.register_key, parties.buyer, key, USE, parties.now)


def test_a_key_needs_an_owner_who_is_admitted(empty, parties):
    key = parties.keys[parties.buyer].verify_key
    refused(NotFound, "participant.unknown", empty.write, keyring.register_key, parties.buyer, key, USE, parties.now)


@pytest.mark.parametrize("high_bit", [0, 0x80])
@pytest.mark.parametrize("point", sorted(keyring._LOW_ORDER), ids=bytes.hex)
def test_a_key_under_which_one_signature_fits_many_texts_is_refused(register, parties, point, high_bit):
    raw = point[:31] + bytes([point[31] | high_bit])
    try:
        key = public_key({"kty": "OKP", "crv": "Ed25519", "kid": f"{parties.buyer}/weak", "x": b64url(raw)})
    except Invalid:
        return
    refused(Invalid, "key.weak", register.write, keyring.register_key, parties.buyer, key, USE, parties.now)


def test_a_revoked_key_verifies_nothing_and_is_still_its_owners(register, parties, ask):
    kid = parties.keys[parties.buyer].kid
    register.write(keyring.revoke_key, kid, parties.now)
    register.write(keyring.revoke_key, kid, parties.now + DAY)
    assert ask("by_kid", kid) is None
    assert ask("owner_of", kid) == parties.buyer
    assert ask("is_revoked", kid)
    (line,) = register.read(keyring.keys, parties.buyer)
    assert line.revoked_at == parties.now


def test_an_unknown_key_cannot_be_revoked(register, parties):
    refused(NotFound, "key.unknown", register.write, keyring.revoke_key, "cong-ty-fintech/none", parties.now)


def test_a_revoked_key_does_not_come_back(register, parties):
    key = parties.keys[parties.buyer].verify_key
    register.write(keyring.revoke_key, key.kid, parties.now)
    refused(Conflict, "key.registered", register.write, keyring.register_key, parties.buyer, key, USE, parties.now)


# --- from when until when ---
@pytest.fixture
def lasting(register, parties):
    """A key of the buyer that is registered a day from now for a day."""
    key = new_key(parties.buyer)
    begin = parties.now + DAY
    register.write(keyring.register_key, parties.buyer, key.verify_key, USE, begin, begin + DAY)
    return key.kid


def test_a_key_counts_from_its_registration_until_its_end(parties, ask, lasting):
    begin, end = parties.now + DAY, parties.now + 2 * DAY
    for at, counts in ((begin - TICK, False), (begin, True), (end - TICK, True), (end, False)):
        assert (ask("by_kid", lasting, at=at) is not None) == counts
        assert not ask("is_revoked", lasting, at=at)
        assert ask("owner_of", lasting, at=at) == parties.buyer


def test_what_was_signed_before_a_key_was_stolen_holds(register, parties, ask):
    kid, stolen = parties.keys[parties.buyer].kid, parties.now + DAY
    register.write(keyring.revoke_key, kid, parties.now + 3 * DAY, stolen)
    for at, counts in ((parties.now, True), (stolen - TICK, True), (stolen, False), (stolen + 9 * DAY, False)):
        assert (ask("by_kid", kid, at=at) is not None) == counts
        assert ask("is_revoked", kid, at=at) != counts


def test_of_a_key_that_was_revoked_without_a_time_nothing_holds(register, parties, ask):
    kid = parties.keys[parties.buyer].kid
    register.write(keyring.revoke_key, kid, parties.now + 3 * DAY)
    for at in (parties.now, parties.now + 9 * DAY):
        assert ask("by_kid", kid, at=at) is None


@pytest.mark.parametrize(
    ("first", "second", "holds_until"),
    [(3, 2, 2), (2, 3, 2), (3, None, None), (None, 3, None)],
)
def test_revoked_again_a_key_loses_more_and_gains_nothing(register, parties, ask, first, second, holds_until):
    kid = parties.keys[parties.buyer].kid
    for number, days in enumerate((first, second)):
        since = None if days is None else parties.now + days * DAY
        register.write(keyring.revoke_key, kid, parties.now + (5 + number) * DAY, since)
    (line,) = register.read(keyring.keys, parties.buyer)
    assert line.revoked_at == parties.now + 5 * DAY
    assert line.invalid_from == (None if holds_until is None else parties.now + holds_until * DAY)
    assert (ask("by_kid", kid, at=parties.now) is None) == (holds_until is None)


def test_a_key_is_not_revoked_from_tomorrow_on(register, parties, ask):
    kid = parties.keys[parties.buyer].kid
    refused(
        Invalid, "key.invalid_from", register.write, keyring.revoke_key, kid, parties.now, parties.now + TICK
    )  # fmt: skip
    assert ask("by_kid", kid, at=parties.now + DAY) is not None


def test_a_key_that_would_have_expired_is_not_registered(register, parties):
    key = new_key(parties.buyer).verify_key
    for end in (parties.now, parties.now - TICK):
        refused(
            Invalid, "key.expiry", register.write, keyring.register_key, parties.buyer, key, USE, parties.now, end
        )  # fmt: skip
    assert key.kid not in {line.kid for line in register.read(keyring.keys)}


# --- for what ---
@pytest.mark.parametrize("use", KeyUse)
def test_a_key_counts_for_its_use_alone(register, parties, ask, use):
    key = new_key(parties.buyer)
    register.write(keyring.register_key, parties.buyer, key.verify_key, use, parties.now)
    assert {other for other in KeyUse if ask("by_kid", key.kid, use=other) is not None} == {use}


def test_a_key_is_not_registered_for_a_second_use(register, parties, ask):
    key = parties.keys[parties.buyer].verify_key
    refused(
        Conflict, "key.registered", register.write,
        keyring.register_key, parties.buyer, key, KeyUse.REQUEST, parties.now,
    )  # fmt: skip
    renamed = VerifyKey(f"{parties.buyer}/again", key.public)
    refused(
        Conflict, "key.registered", register.write,
        keyring.register_key, parties.buyer, renamed, KeyUse.REQUEST, parties.now,
    )  # fmt: skip
    assert ask("by_kid", key.kid, use=KeyUse.REQUEST) is None


# --- lists ---
def test_keys_are_listed_with_all_that_is_said_of_them(register, parties, lasting):
    (line,) = [each for each in register.read(keyring.keys, parties.buyer) if each.kid == lasting]
    assert (line.owner, line.use, line.alg) == (parties.buyer, USE, "Ed25519")
    assert (line.valid_from, line.valid_until) == (parties.now + DAY, parties.now + 2 * DAY)
    assert (line.revoked_at, line.invalid_from) == (None, None)
    assert {each.owner for each in register.read(keyring.keys)} == {*parties.keys}
    assert register.read(keyring.keys, "khong-ai") == []


def test_a_registration_that_fails_later_leaves_no_key(register, parties):
    key = new_key(parties.buyer).verify_key

    def unit(tx):
        keyring.register_key(tx, parties.buyer, key, USE, parties.now)
        keyring.revoke_key(tx, parties.keys[parties.buyer].kid, parties.now)
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        register.database.write(unit)
    (line,) = register.read(keyring.keys, parties.buyer)
    assert line.revoked_at is None


def test_a_unit_that_runs_twice_registers_once(register, parties):
    """One that fails beside it has the whole batch redone."""
    key = new_key(parties.buyer).verify_key

    def fails(tx):
        raise OSError

    good = register.database.submit(lambda tx: keyring.register_key(tx, parties.buyer, key, USE, parties.now))
    bad = register.database.submit(fails)
    assert good.result() is None
    assert isinstance(bad.exception(), OSError)
    assert key.kid in {line.kid for line in register.read(keyring.keys)}


# --- what was asked, and what could change ---
def test_signers_note_whom_they_were_asked_for(register, parties):
    kids = (parties.keys[parties.buyer].kid, "cong-ty-fintech/none")
    with register.database.read() as connection:
        signers = Signers(connection, parties.now)
        for kid in kids:
            signers.by_kid(kid)
        assert signers.asked == kids
        assert not any(map(signers.ca_licensed, kids))
        assert [signers.evidence(kid) for kid in kids] == [(), ()]


def test_certificates_do_not_sign_where_none_is_trusted(ask):
    assert "registered keys" in refused(Invalid, "signature.invalid", ask, "by_chain", (b"x",)).message


def changes(parties):
    """What may happen to a buyer's key, and whether signatures of now end otherwise by it."""
    kid, later = parties.keys[parties.buyer].kid, parties.now + DAY
    return {
        "another key": (keyring.register_key, (parties.buyer, new_key(parties.buyer).verify_key, USE, later), False),
        "revoked": (keyring.revoke_key, (kid, later), True),
        "stolen later": (keyring.revoke_key, (kid, later, later), False),
        "stolen before": (keyring.revoke_key, (kid, later, parties.now), True),
    }


@pytest.mark.parametrize("change", ["another key", "revoked", "stolen later", "stolen before"])
def test_the_standing_differs_when_what_was_signed_would_end_otherwise(register, parties, ask, change):
    act, arguments, differs = changes(parties)[change]
    kids = tuple(sorted(key.kid for key in parties.keys.values()))
    before = ask("standing", kids)
    assert before == ask("standing", kids)
    register.write(act, *arguments)
    assert (ask("standing", kids) != before) == differs


def test_the_standing_differs_from_use_to_use_and_from_time_to_time(register, parties, ask):
    kids = (parties.keys[parties.buyer].kid,)
    assert ask("standing", kids) != ask("standing", kids, use=KeyUse.REQUEST)
    assert ask("standing", kids) != ask("standing", kids, at=parties.now - TICK)
    assert ask("standing", kids) == ask("standing", kids, at=parties.now + TICK)


def test_the_standing_is_one_statement(register, parties):
    kids = tuple(key.kid for key in parties.keys.values())
    with register.database.read() as connection:
        signers, seen = Signers(connection, parties.now), []
        sa.event.listen(connection, "before_cursor_execute", lambda *event: seen.append(event[2]))
        signers.standing(kids)
    assert [statement.split()[0] for statement in seen if statement != "BEGIN"] == ["SELECT"]
