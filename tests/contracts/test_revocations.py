"""Revocation lists: what they take, what they leave, and which are believed."""

import pytest
import sqlalchemy as sa
from cryptography import x509

from sandbox.contracts import certificates
from sandbox.contracts.certificates import Trust
from sandbox.core.canonical import digest
from sandbox.core.errors import Invalid
from sandbox.core.keys import new_key
from tests import authority
from tests.certified import CA2, DAY, MST, ROOT, TICK, TRUST, World, bundle, settle


def refused(kind, code, act, *arguments):
    with pytest.raises(kind) as refusal:
        act(*arguments)
    assert refusal.value.code == code
    return refusal.value.message


@pytest.fixture
def world(empty, parties) -> World:
    return settle(empty, parties)


# --- revoked ---
def test_a_revoked_certificate_does_not_count_from_its_revocation_on(world, parties):
    begin, revoked = parties.now, parties.now + DAY // 2
    world.cover(ROOT, since=begin)
    world.cover(CA2, since=begin)
    world.cover(CA2, since=revoked, revoked={world.chain[0]: revoked})
    for at, counts in ((begin, True), (revoked - TICK, True), (revoked, False), (revoked + TICK, False)):
        assert world.counts(at=at) == counts
    assert "revoked" in world.why_not(at=revoked)


def test_a_revocation_with_effect_from_an_earlier_time_takes_what_was_signed_since(world, parties):
    """The card was stolen yesterday, which its holder notices today (RFC 5280, invalidityDate)."""
    stolen, noticed = parties.now + DAY // 4, parties.now + DAY // 2
    entry = (x509.InvalidityDate(stolen.replace(tzinfo=None)),)
    world.cover(CA2, ROOT)
    at = stolen + TICK
    assert world.counts(at=at)
    world.cover(CA2, since=noticed, revoked={world.chain[0]: noticed}, entry=entry)
    assert "revoked" in world.why_not(at=at)
    assert world.counts(at=stolen - TICK)


def test_a_revocation_is_found_however_many_lists_came_between(world, parties):
    world.cover(CA2, ROOT)
    for day in range(1, 9):
        revoked = {world.chain[0]: parties.now} if day > 4 else {}
        world.cover(CA2, since=parties.now + day * DAY, revoked=revoked)
    assert "revoked" in world.why_not()


def test_a_ca_that_was_revoked_vouches_for_nobody(world, parties):
    world.cover(CA2)
    world.cover(ROOT, revoked={CA2.chain[0]: parties.now})
    assert "revoked" in world.why_not()


def test_a_hold_counts_while_it_lasts(world, parties):
    hold = (x509.CRLReason(x509.ReasonFlags.certificate_hold),)
    begin, lifted = parties.now, parties.now + 3 * DAY
    world.cover(CA2, ROOT, since=lifted)
    world.cover(CA2, ROOT, since=begin, revoked={world.chain[0]: begin}, entry=hold)
    assert "revoked" in world.why_not(at=begin)
    assert world.counts(at=lifted)


def test_another_certificates_revocation_is_not_this_ones(world, parties):
    other = CA2.issue(new_key("y", "ES256"), MST)
    world.cover(ROOT)
    world.cover(CA2, revoked={other[0]: parties.now})
    assert world.counts()
    assert "revoked" in world.why_not(other)


# --- evidence ---
def test_the_lists_that_were_relied_on_are_named_and_kept(world):
    names = world.cover(CA2, ROOT)
    with world.register.database.read() as connection:
        signers = world.signers(connection)
        kid = signers.by_chain(world.chain).kid
        assert {*signers.evidence(kid)} == {*names}
        kept = connection.execute(sa.text("SELECT digest, content FROM revocation_list")).all()
    assert {row.digest: digest(row.content) for row in kept} == {name: name for name in names}


def test_a_list_is_kept_once_in_whatever_form_it_comes(world, parties):
    content = CA2.revocations(parties.now)
    first = world.store(bundle(CA2, content))
    assert first == digest(content)
    assert world.store(bundle(CA2, content)) == first
    assert world.store(content, trust=Trust(TRUST.roots, (CA2.certificate,))) == first
    assert world.register.read(lambda c: c.scalar(sa.text("SELECT count(*) FROM revocation_list"))) == 1


def test_a_list_that_fails_later_is_not_kept(world, parties):
    content = ROOT.revocations(parties.now)

    def unit(tx):
        certificates.put_crl(tx, content, TRUST, parties.now)
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        world.register.database.write(unit)
    assert world.register.read(lambda c: c.scalar(sa.text("SELECT count(*) FROM revocation_list"))) == 0


def test_whoever_writes_to_the_database_cannot_make_a_list(world):
    world.cover(CA2, ROOT)
    forged = authority.Authority(CA2.certificate, new_key("x", "ES256").private).revocations(world.parties.now)
    for content in (forged, b"", b"x"):
        world.register.sql(sa.text("UPDATE revocation_list SET content = :content"), content=content)
        assert "revocation list" in world.why_not()


# --- what is no list that can be relied on ---
def test_a_list_that_no_trusted_ca_signed_is_refused(world, parties):
    now = parties.now
    stranger = authority.root("Stranger")
    posing = authority.Authority(CA2.certificate, new_key("x", "ES256").private, CA2.chain)
    leaf = authority.Authority(x509.load_der_x509_certificate(world.chain[0]), world.key.private, world.chain)
    for ca in (stranger, stranger.under("CA2 of a licensed CA"), posing, leaf):
        refused(Invalid, "crl.untrusted", world.store, bundle(ca, ca.revocations(now)))
    refused(Invalid, "crl.untrusted", world.store, CA2.revocations(now))  # nobody shows that CA2 is under the root
    assert world.register.read(lambda c: c.scalar(sa.text("SELECT count(*) FROM revocation_list"))) == 0


def test_a_ca_that_may_not_sign_lists_makes_none(world, parties):
    ca = ROOT.under("No lists", uses={"key_cert_sign": True})
    refused(Invalid, "crl.untrusted", world.store, bundle(ca, ca.revocations(parties.now)))


@pytest.mark.parametrize("content", [b"", b"x", b"-----BEGIN X509 CRL-----\nAA==\n-----END X509 CRL-----\n"], ids=repr)
def test_what_is_no_list_is_refused(world, content):
    refused(Invalid, "crl.malformed", world.store, content)


def test_certificates_are_no_list(world):
    refused(Invalid, "crl.malformed", world.store, ROOT.pem)


@pytest.mark.parametrize(
    "extension",
    [
        x509.DeltaCRLIndicator(1),
        x509.IssuingDistributionPoint(None, None, False, True, None, False, False),
        x509.IssuingDistributionPoint(None, None, False, False, None, True, False),
    ],
    ids=["a delta", "CAs only", "by another"],
)
def test_a_list_that_does_not_say_all_is_refused(world, parties, extension):
    content = ROOT.revocations(parties.now, extra=((extension, True),))
    refused(Invalid, "crl.unsupported", world.store, content)


def test_a_list_of_tomorrow_is_refused(world, parties):
    content = ROOT.revocations(parties.now + DAY)
    refused(Invalid, "crl.unsupported", lambda: world.store(content, at=parties.now))
    assert world.store(content, at=parties.now + DAY)
