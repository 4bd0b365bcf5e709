"""Who takes part: admission, keys and tokens, and who is turned away."""

import hashlib
from datetime import timedelta

import pytest
import sqlalchemy as sa

from sandbox.contracts import participants
from sandbox.core.errors import Conflict, Invalid, NotFound, NotIdentified
from sandbox.core.keys import SigningKey, VerifyKey, b64url, key_from_seed, new_key, public_key
from sandbox.core.terms import Participant, Role

DAY = timedelta(days=1)


def refused(kind, code, act, *arguments):
    with pytest.raises(kind) as refusal:
        act(*arguments)
    assert refusal.value.code == code
    return refusal.value


def member(slug="so-khoa-hoc", name="Sở Khoa học và Công nghệ", roles=(Role.PROVIDER,), territory="VN"):
    return Participant(slug, name, frozenset(roles), territory)


# --- organisations ---
def test_who_is_admitted_is_known(empty, parties):
    both = member("cong-ty-hai-vai", roles=(Role.BUYER, Role.PROVIDER), territory="LA")
    for each in (member(), both):
        empty.write(participants.admit, each, parties.now)
    assert empty.read(participants.participants) == [both, member()]
    assert empty.read(participants.participant, "cong-ty-hai-vai") == both


def test_nobody_else_is_known(empty):
    refused(NotFound, "participant.unknown", empty.read, participants.participant, "so-khoa-hoc")


def test_an_id_is_given_once(empty, parties):
    empty.write(participants.admit, member(), parties.now)
    refused(Conflict, "participant.exists", empty.write, participants.admit, member(name="Khác"), parties.now)
    assert empty.read(participants.participant, "so-khoa-hoc").name == "Sở Khoa học và Công nghệ"


def test_nobody_supervises_itself(empty, parties):
    both = member(roles=(Role.OPERATOR, Role.REGULATOR))
    assert refused(Conflict, "participant.roles", empty.write, participants.admit, both, parties.now).reasons == (
        "CHARTER-07",
    )
    assert empty.read(participants.participants) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"slug": "Sở"},
        {"slug": "odrl:assignee"},
        {"slug": "a/b"},
        {"slug": "a" * 64},
        {"slug": ""},
        {"name": " "},
        {"name": "Sở\u202e"},
        {"name": "Sơ\u0309"},
        {"name": "a" * 201},
        {"roles": ()},
        {"territory": "vn"},
        {"territory": "VNM"},
    ],
    ids=repr,
)
def test_no_one_is_admitted_with(empty, parties, wrong):
    refused(Invalid, "participant.invalid", empty.write, participants.admit, member(**wrong), parties.now)


# --- keys ---
@pytest.mark.parametrize("algorithm", ["Ed25519", "ES256"])
def test_a_registered_key_verifies_for_its_owner(register, parties, algorithm):
    key = new_key(parties.buyer, algorithm)
    register.write(participants.register_key, parties.buyer, key.verify_key, parties.now)
    found = register.read(participants.key_of, key.kid)
    assert (found.kid, found.jwk()) == (key.kid, key.verify_key.jwk())
    assert found.verifies(key.sign(b"x"), b"x")
    assert register.read(participants.owner_of, key.kid) == parties.buyer


def test_an_unknown_key_is_nobodys(register):
    assert register.read(participants.key_of, "cong-ty-fintech/none") is None
    assert register.read(participants.owner_of, "cong-ty-fintech/none") is None
    assert not register.read(participants.is_revoked, "cong-ty-fintech/none")


def test_a_key_is_registered_for_one_participant_under_one_id(register, parties):
    """Else the holder of one private key could sign as provider and as buyer."""
    again = parties.keys[parties.provider].verify_key
    posing = VerifyKey(f"{parties.buyer}/stolen", again.public)
    same_id = VerifyKey(again.kid, new_key(parties.provider).verify_key.public)
    for owner, key in ((parties.provider, again), (parties.buyer, posing), (parties.provider, same_id)):
        refused(Conflict, "key.registered", register.write, participants.register_key, owner, key, parties.now)
    assert register.read(participants.owner_of, again.kid) == parties.provider


@pytest.mark.parametrize(
    "kid", ["cong-ty-khac/1", "cong-ty-fintech-2/1", "1", "", "cong-ty-fintech/ộ", "cong-ty-fintech/\n"]
)
def test_a_key_bears_the_name_of_its_owner(register, parties, kid):
    key = SigningKey(kid, new_key("x").private).verify_key
    refused(Invalid, "key.foreign", register.write, participants.register_key, parties.buyer, key, parties.now)


def test_a_key_needs_an_owner_who_is_admitted(empty, parties):
    key = parties.keys[parties.buyer].verify_key
    refused(NotFound, "participant.unknown", empty.write, participants.register_key, parties.buyer, key, parties.now)


@pytest.mark.parametrize("high_bit", [0, 0x80])
@pytest.mark.parametrize("point", sorted(participants._LOW_ORDER), ids=bytes.hex)
def test_a_key_under_which_one_signature_fits_many_texts_is_refused(register, parties, point, high_bit):
    raw = point[:31] + bytes([point[31] | high_bit])
    try:
        key = public_key({"kty": "OKP", "crv": "Ed25519", "kid": f"{parties.buyer}/weak", "x": b64url(raw)})
    except Invalid:
        return
    refused(Invalid, "key.weak", register.write, participants.register_key, parties.buyer, key, parties.now)


def test_a_revoked_key_verifies_nothing_and_is_still_its_owners(register, parties):
    kid = parties.keys[parties.buyer].kid
    register.write(participants.revoke_key, kid, parties.now)
    register.write(participants.revoke_key, kid, parties.now + DAY)
    assert register.read(participants.key_of, kid) is None
    assert register.read(participants.owner_of, kid) == parties.buyer
    assert register.read(participants.is_revoked, kid)
    first = register.read(lambda connection: connection.scalar(sa.text("SELECT max(revoked_at) FROM participant_key")))
    assert first == int(parties.now.timestamp() * 1_000_000)


def test_an_unknown_key_cannot_be_revoked(register, parties):
    refused(NotFound, "key.unknown", register.write, participants.revoke_key, "cong-ty-fintech/none", parties.now)


def test_a_revoked_key_does_not_come_back(register, parties):
    key = parties.keys[parties.buyer].verify_key
    register.write(participants.revoke_key, key.kid, parties.now)
    refused(Conflict, "key.registered", register.write, participants.register_key, parties.buyer, key, parties.now)


# --- tokens ---
@pytest.fixture
def token(register, parties):
    secret = participants.token_secret()
    register.write(participants.new_token, parties.buyer, secret, parties.now + DAY, parties.now)
    return secret


def test_a_token_speaks_for_its_owner(register, parties, token):
    who = register.read(participants.identify, token, parties.now + DAY - timedelta(microseconds=1))
    assert who == register.read(participants.participant, parties.buyer)


def test_tokens_are_long_random_and_marked():
    secrets = {participants.token_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(secret.startswith("sbx_test_") and len(secret) == 57 for secret in secrets)


def test_only_the_digest_of_a_token_is_kept(register, token):
    rows = register.read(lambda connection: connection.execute(sa.text("SELECT * FROM token")).all())
    assert rows[0].id == hashlib.sha256(token.encode()).hexdigest()
    assert token not in str(rows)


def test_nobody_is_not_identified(register, parties):
    refused(NotIdentified, "identity.missing", register.read, participants.identify, "", parties.now)


def test_a_token_that_expired_is_said_to_have(register, parties, token):
    refused(NotIdentified, "identity.token_expired", register.read, participants.identify, token, parties.now + DAY)


def test_a_revoked_token_is_said_to_be(register, parties, token):
    register.write(participants.revoke_token, participants.token_id(token), parties.now)
    refused(NotIdentified, "identity.token_revoked", register.read, participants.identify, token, parties.now + DAY)


def test_an_unknown_token_cannot_be_revoked(register, parties, token):
    refused(NotFound, "token.unknown", register.write, participants.revoke_token, token, parties.now)


NEAR = {
    "another checksum": lambda secret: secret[:-1] + ("0" if secret[-1] != "0" else "1"),
    "capitals": str.upper,
    "a line end": lambda secret: secret + "\n",
    "its header": lambda secret: "Bearer " + secret,
    "letters that fit no checksum": lambda secret: "sbx_test_" + "A" * 40,
    "a token never given": lambda secret: participants.token_secret(),
    "its own id": participants.token_id,
    "SQL": lambda secret: "' OR 1=1 --",
    "a lone surrogate": lambda secret: "\ud800",
}


@pytest.mark.parametrize("change", NEAR.values(), ids=NEAR.keys())
def test_nothing_near_a_token_identifies_anyone(register, parties, token, change):
    refused(NotIdentified, "identity.token_unknown", register.read, participants.identify, change(token), parties.now)


def test_a_token_is_made_by_the_exchange_for_someone_admitted_and_for_a_while(register, parties, token):
    good, later = participants.token_secret(), parties.now + DAY
    for kind, code, owner, secret, expires_at in (
        (NotFound, "participant.unknown", "ai-do", good, later),
        (Invalid, "token.malformed", parties.buyer, "hunter2", later),
        (Invalid, "token.expiry", parties.buyer, good, parties.now),
        (Conflict, "token.exists", parties.stranger, token, later),
    ):
        refused(kind, code, register.write, participants.new_token, owner, secret, expires_at, parties.now)
    assert register.read(participants.identify, token, parties.now).id == parties.buyer


def test_a_key_is_no_token_and_a_token_no_key(register, parties, token):
    refused(
        NotIdentified, "identity.token_unknown", register.read, participants.identify,
        parties.keys[parties.buyer].kid, parties.now,
    )  # fmt: skip
    assert register.read(participants.key_of, token) is None
    assert key_from_seed(parties.buyer, b"\x05" * 32).kid == parties.keys[parties.buyer].kid
