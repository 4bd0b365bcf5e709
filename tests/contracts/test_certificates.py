"""Certificates that sign: whom a CA vouches for, and when."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from sandbox.contracts import certificates
from sandbox.contracts.certificates import Trust
from sandbox.core.errors import Invalid, NotFound
from sandbox.core.keys import SigningKey, new_key
from sandbox.core.terms import KeyUse
from tests import authority
from tests.authority import SIGNS, subject
from tests.certified import CA2, DAY, MST, ROOT, TICK, TRUST, World, settle


def refused(kind, code, act, *arguments):
    with pytest.raises(kind) as refusal:
        act(*arguments)
    assert refusal.value.code == code
    return refusal.value.message


@pytest.fixture
def world(empty, parties) -> World:
    return settle(empty, parties)


# --- whom a CA vouches for ---
@pytest.mark.parametrize("alg", ["ES256", "PS256", "Ed25519", "ML-DSA-65"])
def test_a_certificate_without_subject_alt_name_signs_for_the_holder_of_its_tax_code(world, parties, alg):
    world.cover(CA2, ROOT)
    chain = CA2.issue(new_key("x", alg), MST)
    kid, owner, licensed = world.judged(chain)
    assert (kid[:4], owner, licensed) == ("x5c:", parties.buyer, True)


@pytest.mark.parametrize(
    "name",
    [
        subject("Công ty", f"MST:{MST}"),
        subject("Công ty", f"VATVN-{MST}", NameOID.ORGANIZATION_IDENTIFIER),
        subject("Công ty", f"MST:{MST}", NameOID.ORGANIZATION_IDENTIFIER),
    ],
    ids=str,
)
def test_the_tax_code_stands_in_the_uid_or_in_the_organisations_identifier(world, parties, name):
    world.cover(CA2, ROOT)
    assert world.judged(CA2.issue(world.key, None, name=name))[1] == parties.buyer


@pytest.mark.parametrize(
    "name",
    [
        subject("Công ty", None),
        subject("Công ty", MST),  # a number that nobody says is a tax code
        subject("Công ty", f"CCCD:{MST}"),  # a citizen's
        subject("Công ty", f"mst:{MST}"),
        subject("Công ty", f"MST:{MST} "),
        subject(f"MST:{MST}", None),
        subject("Công ty", f"MST:{MST}", NameOID.ORGANIZATIONAL_UNIT_NAME),
        x509.Name([*subject("A", f"MST:{MST}"), x509.NameAttribute(NameOID.USER_ID, "MST:0109999999")]),
        x509.Name(
            [*subject("A", f"MST:{MST}"), x509.NameAttribute(NameOID.ORGANIZATION_IDENTIFIER, "VATVN-0109999999")]
        ),
    ],
    ids=str,
)
def test_a_certificate_that_does_not_name_one_tax_code_signs_for_nobody(world, name):
    world.cover(CA2, ROOT)
    assert "tax code" in world.why_not(CA2.issue(world.key, None, name=name))


def test_a_tax_code_of_no_participant_signs_for_nobody(world):
    world.cover(CA2, ROOT)
    assert "No participant" in world.why_not(CA2.issue(world.key, "0109999999"))
    assert "No participant" in world.why_not(CA2.issue(world.key, f"{MST}-001"))  # a branch is not its company


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_a_root_vouches_through_cas_under_it(world, depth):
    path = [ROOT]
    for number in range(depth):
        path.append(path[-1].under(f"CA {number}"))
    world.cover(*path)
    assert world.counts(path[-1].issue(world.key, MST))


def test_a_chain_may_leave_out_what_the_trust_file_has(world):
    world.cover(CA2, ROOT)
    alone = world.chain[:1]
    assert "does not lead" in world.why_not(alone)
    assert world.counts(alone, trust=Trust(TRUST.roots, (CA2.certificate,)))


def test_another_root_of_the_same_name_vouches_for_nobody(world):
    world.cover(CA2, ROOT)
    other = authority.root()
    assert other.certificate.subject == ROOT.certificate.subject
    assert "does not lead" in world.why_not(trust=Trust((other.certificate,)))
    assert "does not lead" in world.why_not(other.under("CA2 of a licensed CA").issue(world.key, MST))


def test_a_certificate_that_its_holder_signed_itself_counts_for_nothing(world):
    posing = authority.Authority(ROOT.certificate, new_key("x", "ES256").private)  # the root's name, another key
    assert "does not lead" in world.why_not(posing.issue(world.key, MST))


def test_no_ca_of_the_trust_file_signs_contracts_itself(world):
    world.cover(CA2, ROOT)
    for ca in (ROOT, CA2):
        chain = (ca.certificate.public_bytes(Encoding.DER), *ca.chain[1:])
        assert "does not lead" in world.why_not(chain)
    both = ROOT.under("Both", uses={**SIGNS, **authority.RULES}, name=subject("Công ty", f"MST:{MST}"))
    world.cover(both)
    assert "may not sign" in world.why_not(both.chain)


def test_who_is_no_ca_vouches_for_nobody(world):
    world.cover(CA2, ROOT)
    middle = authority.Authority(
        x509.load_der_x509_certificate(world.chain[0]), world.key.private, world.chain
    )  # the buyer's own certificate, used as if it were a CA's
    assert "does not lead" in world.why_not(middle.issue(new_key("y", "ES256"), "0109999999"))


@pytest.mark.parametrize(
    "uses",
    [{"content_commitment": True}, {"key_encipherment": True}, {"key_cert_sign": True, "crl_sign": True}, None],
    ids=str,
)
def test_a_certificate_signs_only_whose_key_usage_says_digital_signature(world, uses):
    world.cover(CA2, ROOT)
    assert "may not sign" in world.why_not(CA2.issue(world.key, MST, uses=uses))


def test_a_certificate_of_which_something_must_be_understood_that_is_not_counts_for_nothing(world):
    world.cover(CA2, ROOT)
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert world.counts(CA2.issue(world.key, MST, extra=((unknown, False),)))
    assert "does not lead" in world.why_not(CA2.issue(world.key, MST, extra=((unknown, True),)))


@pytest.mark.parametrize("key", [rsa.generate_private_key(65_537, 1024), ec.generate_private_key(ec.SECP384R1())])
def test_a_certified_key_of_a_kind_that_does_not_sign_here_counts_for_nothing(world, key):
    world.cover(CA2, ROOT)
    assert not world.counts(CA2.issue(SigningKey("x/1", key), MST))


@pytest.mark.parametrize("content", [b"", b"x", b"\x30\x03\x02\x01\x05"], ids=repr)
def test_what_is_no_certificate_counts_for_nothing(world, content):
    assert "cannot be read" in world.why_not((content,))
    assert "cannot be read" in world.why_not((*world.chain, content))


def test_certificates_sign_contracts_and_nothing_else(world):
    world.cover(CA2, ROOT)
    for use in {*KeyUse} - {KeyUse.CONTRACT}:
        assert "registered keys" in world.why_not(use=use)
    assert "registered keys" in world.why_not(trust=None)


# --- at the time of signing ---
def test_a_certificate_counts_while_it_is_valid(world, parties):
    begin, end = parties.now, parties.now + 5 * DAY
    chain = CA2.issue(world.key, MST, since=begin, until=end)
    for since in (begin - DAY, begin, end - DAY, end):
        world.cover(CA2, ROOT, since=since)
    for at, counts in ((begin - TICK, False), (begin, True), (end, True), (end + TICK, False)):
        assert world.counts(chain, at=at) == counts
    assert "valid at the time" in world.why_not(chain, at=end + TICK)


def test_a_ca_that_had_expired_vouches_for_nobody(world, parties):
    ca = ROOT.under("Old CA", until=parties.now)
    world.cover(ca, ROOT)
    chain = ca.issue(world.key, MST)
    assert world.counts(chain)
    assert "valid at the time" in world.why_not(chain, at=parties.now + TICK)


def test_without_a_list_of_its_ca_a_certificate_does_not_count(world):
    assert "revocation list" in world.why_not()
    world.cover(CA2)
    assert "revocation list" in world.why_not()  # nobody says that CA2 itself was not revoked
    world.cover(ROOT)
    assert world.counts()


def test_a_list_speaks_for_its_time_only(world, parties):
    world.cover(CA2, ROOT)
    begin = parties.now
    for at, counts in ((begin - TICK, False), (begin, True), (begin + DAY - TICK, True), (begin + DAY, False)):
        assert world.counts(at=at) == counts
    assert "revocation list" in world.why_not(at=begin + DAY)


def test_a_stale_list_does_not_become_good_by_a_later_one(world, parties):
    world.cover(CA2, ROOT, since=parties.now - 3 * DAY)
    world.cover(CA2, ROOT, since=parties.now + 3 * DAY)
    assert "revocation list" in world.why_not()


def test_another_cas_list_says_nothing_of_a_certificate(world):
    other = ROOT.under("CA3")
    namesake = ROOT.under("CA2 of a licensed CA")
    world.cover(other, namesake, ROOT)
    assert "revocation list" in world.why_not()


# --- a signer's own file ---
def test_a_chain_is_read_from_pem_with_the_signers_own_first(world):
    pem = b"".join(x509.load_der_x509_certificate(each).public_bytes(Encoding.PEM) for each in world.chain)
    assert certificates.read_chain(b"subject=...\n" + pem) == world.chain


def test_a_chain_that_is_cut_off_empty_or_too_long_is_refused(world):
    for content in (b"", b"x", world.chain[0], ROOT.pem[:-30], ROOT.pem + ROOT.pem[:-30], ROOT.pem * 6):
        refused(Invalid, "certificates.malformed", certificates.read_chain, content)


# --- the trust file ---
def test_a_trust_file_names_roots_and_the_cas_under_them(tmp_path):
    path = tmp_path / "roots.pem"
    second = authority.root("Second")
    path.write_bytes(CA2.pem + ROOT.pem + b"\n# a comment\n" + second.pem)
    trust = Trust.load(path)
    assert trust.roots == (ROOT.certificate, second.certificate)
    assert trust.issuers == (CA2.certificate,)
    assert Trust((second.certificate, ROOT.certificate), (CA2.certificate,)).digest == trust.digest != TRUST.digest


def test_a_trust_file_that_names_no_root_is_refused(tmp_path, world):
    leaf = x509.load_der_x509_certificate(world.chain[0]).public_bytes(Encoding.PEM)
    for content in (b"", b"x", CA2.pem, ROOT.pem + leaf, ROOT.pem[:200], ROOT.pem + b"-----BEGIN CERTIFICATE-----"):
        (tmp_path / "roots.pem").write_bytes(content)
        message = refused(Invalid, "trust.malformed", Trust.load, tmp_path / "roots.pem")
        assert str(tmp_path) not in message
    refused(NotFound, "trust.missing", Trust.load, tmp_path / "absent.pem")
    refused(NotFound, "trust.missing", Trust.load, tmp_path)
