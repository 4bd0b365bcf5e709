"""Signing and opening contracts: the format's golden vector, another JWS library, and who must have signed."""

import json
from datetime import timedelta

import pytest
import rfc8785
from joserfc import jws
from joserfc.errors import BadSignatureError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from sandbox.contracts import envelope
from sandbox.contracts.agreement import Agreement, PartySignature
from sandbox.contracts.terms import counter_document, request_document
from sandbox.core.canonical import canonical, digest_of, parse
from sandbox.core.errors import Invalid
from sandbox.core.keys import ML_DSA_65, SigningKey, b64url, key_from_seed, new_key, write_key
from sandbox.core.signing import KnownKeys, open_signed, sign

GOLDEN = {"price": {"per_query_vnd": 50000}, "title": "Xe buýt"}
GOLDEN_ID = "sha256:fee70533e4c718bb54721ba0927e6402b3e9ef543178d262afaf1db5be678508"
GOLDEN_SIGNATURE = {
    "protected": "eyJhbGciOiJFZDI1NTE5Iiwia2lkIjoicHJvdmlkZXItMS8yMDI2IiwidHlwIjoiY29udHJhY3QrandzIn0",
    "signature": "yjdHTzPwBc6W27u5DWlPSEnnltC9766BcEr89zIATy8VYANbty3rOEC7-fyk3lhl3OixLYJdNoGyOHv2VkHDCw",
}
ALGORITHMS = ["Ed25519", "ES256", "PS256"]
KINDS = {"OKP": OKPKey, "EC": ECKey, "RSA": RSAKey}
WIDE = jws.JWSRegistry(algorithms=ALGORITHMS)
WIDE.max_header_length = WIDE.max_signature_length = 16_384


def golden_key():
    return SigningKey("provider-1/2026", key_from_seed("provider-1", b"\x03" * 32).private)


def test_the_golden_vector_signs_to_the_same_bytes():
    key = golden_key()
    assert key.verify_key.jwk()["x"] == "7UkoxijRwsbq6QM4kFmVYSlZJzpcY_k2NsFGFKyHN9E"
    assert digest_of(GOLDEN) == GOLDEN_ID
    assert sign(GOLDEN, key, envelope.CONTRACT_TYPE) == GOLDEN_SIGNATURE


def test_the_golden_vector_opens():
    text = json.dumps({"contract": GOLDEN, "signatures": [GOLDEN_SIGNATURE]}, indent=2).encode()
    signed = open_signed(text, "contract", "contract+jws", KnownKeys({"provider-1/2026": golden_key().verify_key}))
    assert (signed.digest, signed.kids) == (GOLDEN_ID, ("provider-1/2026",))


def oracle_key(jwk):
    return KINDS[jwk["kty"]].import_key(jwk)


@pytest.fixture(params=ALGORITHMS)
def mixed(request, parties):
    """Parties whose buyer signs with each algorithm that the other library knows."""
    parties.keys[parties.buyer] = new_key(parties.buyer, request.param)
    return parties


def test_another_library_verifies_an_agreement_once_its_payload_is_put_back(mixed):
    document = parse(mixed.agreed())
    payload = rfc8785.dumps(document["contract"])
    whole = {"payload": b64url(payload), "signatures": document["signatures"]}
    keys = {key.kid: oracle_key(key.verify_key.jwk()) for key in mixed.keys.values()}
    seen = jws.deserialize_json(
        whole, lambda member: keys[member.headers()["kid"]], algorithms=ALGORITHMS, registry=WIDE
    )
    assert seen.payload == payload
    whole["payload"] = b64url(payload.replace(b"25000", b"15000"))
    with pytest.raises(BadSignatureError):
        jws.deserialize_json(whole, lambda member: keys[member.headers()["kid"]], algorithms=ALGORITHMS, registry=WIDE)


def test_what_another_library_signed_opens(mixed, tmp_path):
    document = parse(mixed.agreed())
    signers = [mixed.keys[who] for who in (mixed.exchange, mixed.buyer, mixed.provider)]
    headers = [{"alg": key.verify_key.alg, "kid": key.kid, "typ": "contract+jws"} for key in signers]
    private = {}
    for number, key in enumerate(signers):
        write_key(key, tmp_path / f"{number}.jwk")
        private[key.kid] = oracle_key(json.loads((tmp_path / f"{number}.jwk").read_text()))
    whole = jws.serialize_json(
        [{"protected": header} for header in headers],
        rfc8785.dumps(document["contract"]),
        lambda member: private[member.headers()["kid"]],
        algorithms=ALGORITHMS,
        registry=WIDE,
    )
    text = json.dumps({"contract": document["contract"], "signatures": whole["signatures"]}).encode()
    assert mixed.open(text).id == digest_of(document["contract"])


def test_our_canonical_bytes_are_those_of_rfc_8785(parties):
    document = parties.offer_document()
    document["terms"]["intellectual_property"] = 'Hải Dương \u00a0"\\/\b\f\n\r\t\u0001\u007f\u2028 ₫ 🚌'
    assert canonical(document) == rfc8785.dumps(document)


def test_an_agreement_holds_what_its_document_says(parties):
    text = parties.agreed()
    agreement = parties.open(text)
    offer = parties.open_offer(parties.offer())
    assert agreement.id == digest_of(parse(text)["contract"])
    assert (agreement.offer, agreement.version, agreement.dataset) == (offer.id, offer.version, "hoa_don_dnnvv")
    assert (agreement.provider, agreement.buyer) == (parties.provider, parties.buyer)
    assert agreement.not_before == parties.now + timedelta(minutes=5)
    assert agreement.not_after == offer.terms.not_after
    assert agreement.in_force_at(agreement.not_before)
    assert not agreement.in_force_at(agreement.not_before - timedelta(microseconds=1))
    assert not agreement.in_force_at(agreement.not_after)


def test_the_order_of_signing_does_not_matter(parties):
    document = parse(parties.agreed())
    document["signatures"].reverse()
    assert parties.open(canonical(document)) == parties.open(parties.agreed())


def test_spaces_and_the_order_of_members_do_not_matter(parties):
    document = parse(parties.agreed())
    text = json.dumps(dict(reversed(document.items())), ensure_ascii=False, indent=4).encode()
    assert parties.open(text).id == digest_of(document["contract"])


def test_two_acceptances_of_one_offer_are_two_agreements(parties):
    assert parties.open(parties.agreed(number=1)).id != parties.open(parties.agreed(number=2)).id


def test_an_agreement_cannot_be_made_without_opening_one(parties):
    agreement = parties.open(parties.agreed())
    members = {name: getattr(agreement, name) for name in Agreement.__slots__}
    with pytest.raises(TypeError, match="open_agreement"):
        Agreement(**members, proof=None)
    with pytest.raises(AttributeError):
        agreement.terms = None


def test_one_verb_signs_for_a_buyer_what_is_an_offer_and_for_a_provider_what_is_an_agreement(parties):
    offer, when = parties.offer(), parties.now + timedelta(minutes=5)
    bought = envelope.accept_offer(offer, parties.keys[parties.buyer], b"\x01" * 32, when)
    both = envelope.accept_offer(bought, parties.keys[parties.provider], b"\x02" * 32, when)
    assert parse(both)["contract"] == parse(bought)["contract"]
    assert envelope.add_signature(both, parties.keys[parties.exchange]) == parties.agreed()


def test_nobody_signs_what_does_not_read_well(parties):
    document = parties.offer_document()
    document["terms"]["max_rows"] = 0
    with pytest.raises(Invalid) as refusal:
        envelope.sign_offer(document, parties.keys[parties.provider])
    assert refusal.value.code == "contract.invalid"
    altered = parse(parties.agreed())
    altered["contract"]["permission"] = []
    with pytest.raises(Invalid) as refusal:
        envelope.add_signature(canonical(altered), parties.keys[parties.exchange])
    assert refusal.value.code == "contract.invalid"


def test_an_exchange_that_countersigns_an_altered_contract_does_not_mend_it(parties):
    when = parties.now + timedelta(minutes=5)
    bought = envelope.accept_offer(parties.offer(), parties.keys[parties.buyer], b"\x01" * 32, when)
    document = parse(envelope.add_signature(bought, parties.keys[parties.provider]))
    document["contract"]["terms"]["max_rows"] = 9_999
    with pytest.raises(Invalid) as refusal:
        parties.open(envelope.add_signature(canonical(document), parties.keys[parties.exchange]))
    assert refusal.value.code == "signature.invalid"


def test_a_contract_has_a_greatest_size(parties):
    with pytest.raises(Invalid) as refusal:
        parties.open(parties.agreed() + b" " * envelope.MOST_BYTES)
    assert refusal.value.code == "contract.invalid"


def test_an_agreement_says_who_signed_with_which_key_and_how(parties):
    """Only a signature under a licensed CA's certificate equals one in ink; whoever shows an agreement shows which."""
    parties.keys[parties.buyer] = new_key(parties.buyer, "ES256")
    parties.keys[parties.exchange] = new_key(parties.exchange, ML_DSA_65)
    agreement = parties.open(parties.agreed())
    order = (parties.provider, "Ed25519"), (parties.buyer, "ES256"), (parties.exchange, ML_DSA_65)
    assert agreement.signatures == tuple(
        PartySignature(who, parties.keys[who].kid, alg, ca_licensed=False) for who, alg in order
    )


# --- what a buyer asks for, and how a provider answers ---
@pytest.fixture
def request_text(parties):
    """A buyer's request of fewer rows, signed."""
    document = parse(parties.offer())["offer"]
    when = parties.now + timedelta(minutes=1)
    asked = request_document(document, digest_of(document), {"max_rows": 100}, parties.buyer, when)
    return envelope.sign_request(asked, parties.keys[parties.buyer])


def test_a_request_is_opened_as_its_buyers(parties, request_text):
    request = envelope.open_request(request_text, parties)
    assert request.id == digest_of(parse(request_text)["request"])
    assert (request.buyer, request.provider, request.terms.max_rows) == (parties.buyer, parties.provider, 100)
    assert request.prev == parties.open_offer(parties.offer()).id


@pytest.mark.parametrize("wrong", [["provider"], ["stranger"], ["buyer", "provider"], []], ids=repr)
def test_a_request_is_signed_by_its_buyer_alone(parties, request_text, forge, wrong):
    document = parse(request_text)["request"]
    names = [parties.keys[getattr(parties, who)] for who in wrong]
    text = canonical(forge(document, *names, member="request", typ="request+jws"))
    with pytest.raises(Invalid) as refusal:
        envelope.open_request(text, parties)
    assert refusal.value.code == "signature.invalid"


def test_a_provider_makes_an_agreement_of_a_request(parties, request_text):
    when = parties.now + timedelta(minutes=5)
    text = envelope.accept_offer(request_text, parties.keys[parties.provider], b"\x01" * 32, when)
    for who in (parties.buyer, parties.exchange):
        text = envelope.add_signature(text, parties.keys[who])
    agreement = parties.open(text)
    assert agreement.offer == envelope.open_request(request_text, parties).id
    assert (agreement.provider, agreement.buyer, agreement.terms.max_rows) == (parties.provider, parties.buyer, 100)


def test_a_buyer_does_not_accept_its_own_request(parties, request_text):
    with pytest.raises(Invalid) as refusal:
        envelope.accept_offer(request_text, parties.keys[parties.buyer], bytes(32), parties.now)
    assert refusal.value.code == "contract.invalid"


def test_a_counter_offer_is_signed_by_its_provider_alone_and_accepted_by_its_buyer_alone(parties, request_text, forge):
    request = parse(request_text)["request"]
    document = counter_document(request, digest_of(request), {"max_rows": 50}, parties.now + timedelta(minutes=2))
    text = envelope.sign_offer(document, parties.keys[parties.provider])
    offer = parties.open_offer(text)
    assert (offer.buyer, offer.prev, offer.terms.max_rows) == (parties.buyer, digest_of(request), 50)
    assert parties.open(parties.agreed(text)).offer == offer.id
    with pytest.raises(Invalid) as refusal:
        parties.open_offer(canonical(forge(document, parties.keys[parties.buyer], member="offer", typ="offer+jws")))
    assert refusal.value.code == "signature.invalid"
    with pytest.raises(Invalid) as refusal:
        parties.agreed(text, buyer=parties.stranger)
    assert refusal.value.code == "contract.invalid"


def test_nobody_signs_a_request_that_does_not_read_well(parties, request_text):
    with pytest.raises(Invalid) as refusal:
        envelope.sign_request(parse(request_text)["request"] | {"type": "Offer"}, parties.keys[parties.buyer])
    assert refusal.value.code == "contract.invalid"
