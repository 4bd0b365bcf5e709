"""API tokens: who is identified by them, for what, and who is not."""

import hashlib
from datetime import timedelta

import pytest
import sqlalchemy as sa

from sandbox.contracts import keyring, participants, tokens
from sandbox.core.errors import Conflict, Invalid, NotFound, NotIdentified
from sandbox.core.terms import SCOPES

DAY = timedelta(days=1)
SOME = frozenset({"read", "query"})


def refused(kind, code, act, *arguments):
    with pytest.raises(kind) as refusal:
        act(*arguments)
    assert refusal.value.code == code
    return refusal.value


def make(tx, owner, secret, expires_at, at):
    tokens.new_token(tx, owner, secret, expires_at, at, SOME, ("mfa",))


@pytest.fixture
def token(register, parties):
    secret = tokens.token_secret()
    register.write(make, parties.buyer, secret, parties.now + DAY, parties.now)
    return secret


def test_a_token_speaks_for_its_owner(register, parties, token):
    who = register.read(tokens.identify, token, parties.now + DAY - timedelta(microseconds=1))
    assert who.participant == register.read(participants.participant, parties.buyer)
    assert (who.id, who.token, who.signature) == (parties.buyer, tokens.token_id(token), None)
    assert (who.scopes, who.amr) == (frozenset({"read", "query"}), ("mfa",))


def test_tokens_are_long_random_and_marked():
    secrets = {tokens.token_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(secret.startswith("sbx_test_") and len(secret) == 57 for secret in secrets)


def test_only_the_digest_of_a_token_is_kept(register, token):
    rows = register.read(lambda connection: connection.execute(sa.text("SELECT * FROM token")).all())
    assert rows[0].id == hashlib.sha256(token.encode()).hexdigest()
    assert token not in str(rows)


def test_nobody_is_not_identified(register, parties):
    refused(NotIdentified, "identity.missing", register.read, tokens.identify, "", parties.now)


def test_a_token_that_expired_is_said_to_have(register, parties, token):
    refused(NotIdentified, "identity.token_expired", register.read, tokens.identify, token, parties.now + DAY)


def test_a_revoked_token_is_said_to_be(register, parties, token):
    register.write(tokens.revoke_token, tokens.token_id(token), parties.now)
    refused(NotIdentified, "identity.token_revoked", register.read, tokens.identify, token, parties.now + DAY)


def test_an_unknown_token_cannot_be_revoked(register, parties, token):
    refused(NotFound, "token.unknown", register.write, tokens.revoke_token, token, parties.now)


NEAR = {
    "another checksum": lambda secret: secret[:-1] + ("0" if secret[-1] != "0" else "1"),
    "capitals": str.upper,
    "a line end": lambda secret: secret + "\n",
    "its header": lambda secret: "Bearer " + secret,
    "letters that fit no checksum": lambda secret: "sbx_test_" + "A" * 40,
    "a token never given": lambda secret: tokens.token_secret(),
    "its own id": tokens.token_id,
    "SQL": lambda secret: "' OR 1=1 --",
    "a lone surrogate": lambda secret: "\ud800",
}


@pytest.mark.parametrize("change", NEAR.values(), ids=NEAR.keys())
def test_nothing_near_a_token_identifies_anyone(register, parties, token, change):
    refused(NotIdentified, "identity.token_unknown", register.read, tokens.identify, change(token), parties.now)


def test_a_token_is_made_by_the_exchange_for_someone_admitted_and_for_a_while(register, parties, token):
    good, later = tokens.token_secret(), parties.now + DAY
    for kind, code, owner, secret, expires_at in (
        (NotFound, "participant.unknown", "ai-do", good, later),
        (Invalid, "token.malformed", parties.buyer, "hunter2", later),
        (Invalid, "token.expiry", parties.buyer, good, parties.now),
        (Conflict, "token.exists", parties.stranger, token, later),
    ):
        refused(kind, code, register.write, make, owner, secret, expires_at, parties.now)
    assert register.read(tokens.identify, token, parties.now).id == parties.buyer


def test_a_key_is_no_token_and_a_token_no_key(register, parties, token):
    refused(
        NotIdentified, "identity.token_unknown", register.read, tokens.identify,
        parties.keys[parties.buyer].kid, parties.now,
    )  # fmt: skip
    with register.database.read() as connection:
        assert keyring.Signers(connection, parties.now).by_kid(token) is None


# --- what a token is good for ---
@pytest.mark.parametrize("scopes", [SCOPES, *([scope] for scope in SCOPES), ["query", "query"]], ids=repr)
def test_a_token_is_good_for_the_scopes_that_it_was_given(register, parties, scopes):
    secret = tokens.token_secret()
    register.write(tokens.new_token, parties.buyer, secret, parties.now + DAY, parties.now, scopes, ())
    who = register.read(tokens.identify, secret, parties.now)
    assert (who.scopes, who.amr) == (frozenset(scopes), ())


@pytest.mark.parametrize("scopes", [[], ["all"], ["read", "*"], ["Read"], ["read query"], ["read", ""]], ids=repr)
def test_a_token_has_scopes_that_exist_and_not_none(register, parties, scopes):
    later = parties.now + DAY
    arguments = (parties.buyer, tokens.token_secret(), later, parties.now, scopes, ("mfa",))
    refused(Invalid, "token.scopes", register.write, tokens.new_token, *arguments)
    assert register.read(tokens.tokens) == []


@pytest.mark.parametrize("amr", [["MFA"], ["mfa otp"], [""], ["a" * 17], [f"m{'abcdefghi'[n]}" for n in range(9)]])
def test_ways_of_signing_in_are_words(register, parties, amr):
    arguments = (parties.buyer, tokens.token_secret(), parties.now + DAY, parties.now, ["read"], amr)
    refused(Invalid, "token.amr", register.write, tokens.new_token, *arguments)
    assert register.read(tokens.tokens) == []


def test_the_ways_of_signing_in_keep_their_order(register, parties):
    secret, later = tokens.token_secret(), parties.now + DAY
    register.write(tokens.new_token, parties.buyer, secret, later, parties.now, ["read"], ["pwd", "otp", "mfa", "otp"])
    assert register.read(tokens.identify, secret, parties.now).amr == ("pwd", "otp", "mfa")


def test_tokens_are_listed_without_their_secrets(register, parties, token):
    other = tokens.token_secret()
    register.write(make, parties.stranger, other, parties.now + 2 * DAY, parties.now + DAY)
    register.write(tokens.revoke_token, tokens.token_id(token), parties.now + DAY)
    mine, theirs = register.read(tokens.tokens)
    assert (mine.id, mine.owner, mine.revoked_at) == (tokens.token_id(token), parties.buyer, parties.now + DAY)
    assert (mine.created_at, mine.expires_at) == (parties.now, parties.now + DAY)
    assert (theirs.owner, theirs.scopes, theirs.amr, theirs.revoked_at) == (parties.stranger, SOME, ("mfa",), None)
    assert register.read(tokens.tokens, parties.stranger) == [theirs]
    assert token not in str((mine, theirs))


def test_a_row_that_the_database_finds_for_another_digest_identifies_nobody(register, parties, token):
    """A database that compares without case would find it."""
    register.sql(sa.text("UPDATE token SET id = upper(id)"))
    refused(NotIdentified, "identity.token_unknown", register.read, tokens.identify, token, parties.now)


def test_a_token_that_fails_later_is_none(register, parties):
    secret = tokens.token_secret()

    def unit(tx):
        make(tx, parties.buyer, secret, parties.now + DAY, parties.now)
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        register.database.write(unit)
    refused(NotIdentified, "identity.token_unknown", register.read, tokens.identify, secret, parties.now)
