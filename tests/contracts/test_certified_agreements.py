"""Agreements signed under CA certificates: opened, kept, and looked at again when something changes."""

import base64
from datetime import timedelta

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from sandbox.contracts import envelope, offers, registry
from sandbox.contracts.certificates import Trust
from sandbox.contracts.verified import Verified
from sandbox.core.canonical import canonical, parse
from sandbox.core.errors import AgreementRefused, Invalid
from sandbox.core.keys import b64url, from_b64url, new_key
from tests import authority
from tests.certified import CA2, DAY, MST, ROOT, TICK, TRUST, World, settle


def refused(kind, code, act, *arguments):
    with pytest.raises(kind) as refusal:
        act(*arguments)
    assert refusal.value.code == code
    return refusal.value.message


@pytest.fixture
def world(empty, parties) -> World:
    return settle(empty, parties)


# --- agreements under certificates ---
@pytest.fixture
def agreed(world, parties):
    """An agreement that the buyer signed under its certificate, and the others with registered keys."""
    when = parties.now + timedelta(minutes=5)
    text = envelope.accept_offer(parties.offer(), world.key, b"\x01" * 32, when, world.chain)
    for who in (parties.provider, parties.exchange):
        text = envelope.add_signature(text, parties.keys[who])
    return text


def opened(world, text, **when):
    with world.register.database.read() as connection:
        return envelope.open_agreement(text, world.signers(connection, **when), world.parties.exchange)


def test_an_agreement_opens_that_its_buyer_signed_under_a_certificate(world, parties, agreed):
    world.cover(CA2, ROOT)
    agreement = opened(world, agreed)
    assert agreement.buyer == parties.buyer
    assert [(each.participant, each.alg, each.ca_licensed) for each in agreement.signatures] == [
        (parties.provider, "Ed25519", False),
        (parties.buyer, "ES256", True),
        (parties.exchange, "Ed25519", False),
    ]


def test_one_party_does_not_sign_for_another_under_a_certificate(world, parties):
    world.cover(CA2, ROOT)
    when = parties.now + timedelta(minutes=5)
    text = envelope.accept_offer(parties.offer(), parties.keys[parties.buyer], b"\x01" * 32, when)
    text = envelope.add_signature(text, world.key, world.chain)  # the buyer again, in its provider's place
    text = envelope.add_signature(text, parties.keys[parties.exchange])
    assert "once each" in refused(Invalid, "signature.invalid", opened, world, text)


def test_a_stranger_under_a_good_certificate_refuses_the_whole(world, agreed):
    world.cover(CA2, ROOT)
    key = new_key("z", "ES256")
    text = envelope.add_signature(agreed, key, CA2.issue(key, "0109999999"))
    assert "No participant" in refused(Invalid, "signature.invalid", opened, world, text)


def test_a_signature_under_an_offer_or_request_carries_certificates_too(world, parties):
    world.cover(CA2, ROOT)
    world.register.sql(sa.text("UPDATE participant SET tax_code = NULL"))
    world.register.sql(sa.text("UPDATE participant SET tax_code = :code WHERE id = :id"), code=MST, id=parties.provider)
    text = envelope.sign_offer(parties.offer_document(), world.key, world.chain)
    with world.register.database.read() as connection:
        assert envelope.open_offer(text, world.signers(connection)).provider == parties.provider


def test_rs256_verifies_as_smart_cards_write_it(world, parties, agreed):
    world.cover(CA2, ROOT)
    key = new_key("x", "PS256")
    document = parse(agreed)
    header = parse(from_b64url(document["signatures"][0]["protected"]))
    header |= {"alg": "RS256", "x5c": [base64.b64encode(each).decode() for each in CA2.issue(key, MST)]}
    protected = b64url(canonical(header))
    message = f"{protected}.{b64url(canonical(document['contract']))}".encode()
    signature = key.private.sign(message, padding.PKCS1v15(), hashes.SHA256())
    document["signatures"][0] = {"protected": protected, "signature": b64url(signature)}
    assert opened(world, canonical(document)).signatures[1].alg == "RS256"


def test_a_stored_agreement_falls_with_a_revocation_that_reaches_back_and_with_no_other(world, parties, agreed):
    world.cover(CA2, ROOT)
    signed_at = parties.now + DAY // 2
    offer = parties.open_offer(parties.offer())

    def signers_at(connection):
        return lambda at: world.signers(connection, at=at)

    def write(tx):
        offers.put_offer(tx, offer, parties.offer(), parties.now)
        agreement = envelope.open_agreement(agreed, world.signers(tx.connection, at=signed_at), parties.exchange)
        registry.put_agreement(tx, agreement, agreed, signed_at, signers_at(tx.connection))
        return agreement.id

    name = world.register.database.write(write)

    def read():
        with world.register.database.read() as connection:
            return registry.agreement(connection, name, signers_at(connection), parties.exchange)

    assert read().id == name
    world.cover(CA2, since=signed_at + DAY, revoked={world.chain[0]: signed_at + TICK})
    assert read().id == name
    world.cover(CA2, since=signed_at + 2 * DAY, revoked={world.chain[0]: signed_at})
    refused(AgreementRefused, "agreement.key_revoked", read)


# --- remembered ---
def test_what_was_verified_is_verified_again_when_a_list_a_root_or_a_tax_code_changes(world, parties, agreed):
    world.cover(CA2, ROOT)
    known, times = Verified(), []

    def look(trust=TRUST):
        with world.register.database.read() as connection:
            signers = world.signers(connection, trust=trust)

            def verify():
                times.append(1)
                return envelope.open_agreement(agreed, signers, parties.exchange)

            return known.opened(signers, ("x", agreed), verify)

    assert look() is look()
    assert len(times) == 1
    world.cover(CA2, since=parties.now + DAY)
    look()
    look()
    assert len(times) == 2
    look(Trust((*TRUST.roots, authority.root("More").certificate)))
    assert len(times) == 3
    refused(Invalid, "signature.invalid", look, None)
    look()
    world.register.sql(sa.text("UPDATE participant SET tax_code = NULL"))
    refused(Invalid, "signature.invalid", look)


def test_nothing_is_remembered_of_a_certificate_that_was_never_verified(world):
    with world.register.database.read() as connection:
        signers = world.signers(connection)
        kid = "x5c:" + "0" * 64
        assert signers.standing((kid,)) != signers.standing((kid,))
        assert signers.owner_of(kid) is None
        assert not signers.ca_licensed(kid)
