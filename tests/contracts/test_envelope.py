"""Signing and opening contracts: the format's golden vector, another JWS library, and who must have signed."""

import json
from datetime import timedelta

import pytest
import rfc8785
from joserfc import jws
from joserfc.errors import BadSignatureError
from joserfc.jwk import ECKey, OKPKey

from sandbox.contracts import envelope
from sandbox.contracts.agreement import Agreement
from sandbox.core.canonical import canonical, digest_of, parse
from sandbox.core.errors import Invalid
from sandbox.core.keys import SigningKey, b64url, key_from_seed, new_key
from sandbox.core.signing import open_signed, sign

GOLDEN = {"price": {"per_query_vnd": 50000}, "title": "Xe buýt"}
GOLDEN_ID = "sha256:fee70533e4c718bb54721ba0927e6402b3e9ef543178d262afaf1db5be678508"
GOLDEN_SIGNATURE = {
    "protected": "eyJhbGciOiJFZDI1NTE5Iiwia2lkIjoicHJvdmlkZXItMS8yMDI2IiwidHlwIjoiY29udHJhY3QrandzIn0",
    "signature": "yjdHTzPwBc6W27u5DWlPSEnnltC9766BcEr89zIATy8VYANbty3rOEC7-fyk3lhl3OixLYJdNoGyOHv2VkHDCw",
}
ALGORITHMS = ["Ed25519", "ES256"]


def golden_key():
    return SigningKey("provider-1/2026", key_from_seed("provider-1", b"\x03" * 32).private)


def test_the_golden_vector_signs_to_the_same_bytes():
    key = golden_key()
    assert key.verify_key.jwk()["x"] == "7UkoxijRwsbq6QM4kFmVYSlZJzpcY_k2NsFGFKyHN9E"
    assert digest_of(GOLDEN) == GOLDEN_ID
    assert sign(GOLDEN, key, envelope.CONTRACT_TYPE) == GOLDEN_SIGNATURE


def test_the_golden_vector_opens():
    text = json.dumps({"contract": GOLDEN, "signatures": [GOLDEN_SIGNATURE]}, indent=2).encode()
    signed = open_signed(text, "contract", "contract+jws", {"provider-1/2026": golden_key().verify_key}.get)
    assert (signed.digest, signed.kids) == (GOLDEN_ID, ("provider-1/2026",))


def oracle_key(jwk):
    return (OKPKey if jwk["kty"] == "OKP" else ECKey).import_key(jwk)


@pytest.fixture(params=ALGORITHMS)
def mixed(request, parties):
    """Parties whose buyer signs with either algorithm."""
    parties.keys[parties.buyer] = new_key(parties.buyer, request.param)
    return parties


def test_another_library_verifies_an_agreement_once_its_payload_is_put_back(mixed):
    document = parse(mixed.agreed())
    payload = rfc8785.dumps(document["contract"])
    whole = {"payload": b64url(payload), "signatures": document["signatures"]}
    keys = {key.kid: oracle_key(key.verify_key.jwk()) for key in mixed.keys.values()}
    seen = jws.deserialize_json(whole, lambda member: keys[member.headers()["kid"]], algorithms=ALGORITHMS)
    assert seen.payload == payload
    whole["payload"] = b64url(payload.replace(b"25000", b"15000"))
    with pytest.raises(BadSignatureError):
        jws.deserialize_json(whole, lambda member: keys[member.headers()["kid"]], algorithms=ALGORITHMS)


def test_what_another_library_signed_opens(mixed):
    document = parse(mixed.agreed())
    signers = [mixed.keys[who] for who in (mixed.exchange, mixed.buyer, mixed.provider)]
    headers = [{"alg": key.verify_key.alg, "kid": key.kid, "typ": "contract+jws"} for key in signers]
    private = {}
    for key in signers:
        raw = key.private.private_numbers().private_value.to_bytes(32, "big") if key.verify_key.alg == "ES256" else (
            key.private.private_bytes_raw()
        )  # fmt: skip
        private[key.kid] = oracle_key(key.verify_key.jwk() | {"d": b64url(raw)})
    whole = jws.serialize_json(
        [{"protected": header} for header in headers],
        rfc8785.dumps(document["contract"]),
        lambda member: private[member.headers()["kid"]],
        algorithms=ALGORITHMS,
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
