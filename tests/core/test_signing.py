"""Signed documents: the golden vector, the verifier's rules one by one, and joserfc as the second opinion."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from sandbox.core.canonical import canonical, digest_of
from sandbox.core.errors import Invalid, SandboxError
from sandbox.core.keys import (
    ED25519,
    ES256,
    ML_DSA_65,
    PS256,
    RS256,
    SigningKey,
    VerifyKey,
    b64url,
    certified_key,
    from_b64url,
    key_from_seed,
    new_key,
    public_key,
    write_key,
)
from sandbox.core.signing import (
    MAX_CERTIFICATES,
    MAX_SIGNATURES,
    KnownKeys,
    Signed,
    envelope,
    open_signed,
    sign,
    unverified,
)
from tests import authority

TYP = "contract+jws"
CONTRACT: dict[str, Any] = {"price": {"per_query_vnd": 50_000}, "title": "Xe buýt"}
GOLDEN_ID = "sha256:fee70533e4c718bb54721ba0927e6402b3e9ef543178d262afaf1db5be678508"
GOLDEN_KEY = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "7UkoxijRwsbq6QM4kFmVYSlZJzpcY_k2NsFGFKyHN9E",
    "kid": "provider-1/2026",
}
GOLDEN = {
    "protected": "eyJhbGciOiJFZDI1NTE5Iiwia2lkIjoicHJvdmlkZXItMS8yMDI2IiwidHlwIjoiY29udHJhY3QrandzIn0",
    "signature": "yjdHTzPwBc6W27u5DWlPSEnnltC9766BcEr89zIATy8VYANbty3rOEC7-fyk3lhl3OixLYJdNoGyOHv2VkHDCw",
}

PROVIDER, BUYER = new_key("provider", ED25519), new_key("buyer", ES256)
BANK, ARCHIVE = new_key("bank", PS256), new_key("archive", ML_DSA_65)
EVERYONE = {ED25519: PROVIDER, ES256: BUYER, PS256: BANK, ML_DSA_65: ARCHIVE}
KNOWN = KnownKeys({key.kid: key.verify_key for key in EVERYONE.values()})
KINDS = {ED25519: OKPKey, ES256: ECKey, PS256: RSAKey}
JOSE = [ED25519, ES256, PS256, RS256]
keys = pytest.mark.parametrize("key", EVERYONE.values(), ids=EVERYONE)
jose_keys = pytest.mark.parametrize("key", [PROVIDER, BUYER, BANK], ids=KINDS)


@dataclass
class Asked:
    """Signers who know nobody, and note whom they were asked for."""

    kids: list[str] = field(default_factory=list)
    chains: list[tuple[bytes, ...]] = field(default_factory=list)
    found: VerifyKey | None = None

    def by_kid(self, kid: str) -> VerifyKey | None:
        self.kids.append(kid)
        return None

    def by_chain(self, chain: tuple[bytes, ...]) -> VerifyKey | None:
        self.chains.append(chain)
        return self.found


def opened(text: bytes, signers: Any = KNOWN) -> Signed:
    return open_signed(text, "contract", TYP, signers)


def good(key: SigningKey = PROVIDER) -> dict[str, Any]:
    """An envelope as a JSON value, to spoil."""
    return {"contract": CONTRACT, "signatures": [sign(CONTRACT, key, TYP)]}


def signed_header(header: dict[str, Any] | bytes, key: SigningKey = PROVIDER) -> dict[str, Any]:
    """A signature that is mathematically good over whatever header it is given."""
    protected = b64url(header if isinstance(header, bytes) else json.dumps(header).encode())
    message = f"{protected}.{b64url(canonical(CONTRACT))}".encode()
    return {"contract": CONTRACT, "signatures": [{"protected": protected, "signature": b64url(key.sign(message))}]}


def refused(document: object, signers: Any = KNOWN) -> str:
    """Why an envelope is refused."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(Invalid) as refusal:
        opened(text, signers)
    assert refusal.value.code in {"signature.invalid", "document.malformed"}
    return refusal.value.message


def test_the_golden_vector_is_made() -> None:
    seed = key_from_seed("provider", bytes([3]) * 32)
    key = SigningKey("provider-1/2026", seed.private)
    assert key.verify_key.jwk() == GOLDEN_KEY
    assert sign(CONTRACT, key, TYP) == GOLDEN
    assert digest_of(CONTRACT) == GOLDEN_ID


def test_the_golden_vector_verifies() -> None:
    key = public_key(dict(GOLDEN_KEY))
    found = opened(envelope("contract", CONTRACT, [dict(GOLDEN)]), KnownKeys({key.kid: key}))
    assert found == Signed(CONTRACT, GOLDEN_ID, ("provider-1/2026",), (ED25519,))


@jose_keys
def test_joserfc_accepts_what_is_signed_here(key: SigningKey) -> None:
    whole = {"payload": b64url(canonical(CONTRACT)), "signatures": [sign(CONTRACT, key, TYP)]}
    jwk = KINDS[key.verify_key.alg].import_key(key.verify_key.jwk())
    found = jws.deserialize_json(whole, jwk, algorithms=JOSE, registry=WIDE)
    assert found.payload == canonical(CONTRACT)


# its own limits are too small for RSA of 3072 bits and for certificates
WIDE = jws.JWSRegistry(algorithms=JOSE)
WIDE.max_header_length = WIDE.max_signature_length = 16_384


@jose_keys
@pytest.mark.parametrize("alg", JOSE)
def test_what_joserfc_signs_is_accepted_here_where_it_is_the_keys_algorithm(
    key: SigningKey, alg: str, tmp_path: Path
) -> None:
    if KINDS[key.verify_key.alg] is not {ED25519: OKPKey, ES256: ECKey}.get(alg, RSAKey):
        return
    write_key(key, tmp_path / "key.jwk")
    jwk = KINDS[key.verify_key.alg].import_key(json.loads((tmp_path / "key.jwk").read_text()))
    header = {"alg": alg, "kid": key.kid, "typ": TYP}
    whole = jws.serialize_json([{"protected": header}], canonical(CONTRACT), jwk, algorithms=JOSE, registry=WIDE)
    found = opened(canonical({"contract": CONTRACT, "signatures": whole["signatures"]}))
    assert (found.kids, found.algs) == ((key.kid,), (alg,))


def test_signatures_keep_their_order_and_do_not_change_the_digest() -> None:
    signatures = [sign(CONTRACT, key, TYP) for key in (BUYER, PROVIDER)]
    found = opened(envelope("contract", CONTRACT, [*signatures]))
    assert found.kids == (BUYER.kid, PROVIDER.kid)
    assert found.algs == (ES256, ED25519)
    assert found.digest == GOLDEN_ID


def test_the_text_received_is_never_what_is_verified() -> None:
    loose = json.dumps(good(), indent=3, ensure_ascii=True).encode()
    assert opened(loose).digest == GOLDEN_ID


# Rule 1: exactly these members, and no key twice


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda it: it | {"note": 1}, id="a third member"),
        pytest.param(lambda it: {"contract": it["contract"]}, id="no signatures"),
        pytest.param(lambda it: {"signatures": it["signatures"]}, id="no document"),
        pytest.param(lambda it: {"offer": it["contract"], "signatures": it["signatures"]}, id="another document"),
        pytest.param(lambda it: it | {"contract": [it["contract"]]}, id="a list for a document"),
        pytest.param(lambda it: it | {"signatures": it["signatures"][0]}, id="one signature without a list"),
        pytest.param(lambda it: it | {"signatures": ["a"]}, id="text for a signature"),
        pytest.param(lambda it: it | {"signatures": [it["signatures"][0] | {"header": {}}]}, id="unprotected header"),
        pytest.param(lambda it: it | {"signatures": [it["signatures"][0] | {"signature": None}]}, id="no value"),
        pytest.param(lambda it: it | {"signatures": [{"protected": ""}]}, id="no signature member"),
        pytest.param(lambda it: it | {"signatures": it["signatures"] * (MAX_SIGNATURES + 1)}, id="too many"),
    ],
)
def test_an_envelope_has_exactly_its_members(spoil: Callable[[dict[str, Any]], object]) -> None:
    refused(spoil(good()))


def test_a_key_that_stands_twice_is_refused() -> None:
    text = canonical(good()).decode()
    refused(text.replace('{"contract":', '{"contract":{},"contract":', 1).encode())
    refused(text.replace('"price":', '"price":{},"price":', 1).encode())


HEADER = {"alg": ED25519, "kid": PROVIDER.kid, "typ": TYP}


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(HEADER | {"crit": ["b64"]}, id="crit"),
        pytest.param(HEADER | {"b64": False}, id="b64"),
        pytest.param(HEADER | {"jwk": PROVIDER.verify_key.jwk()}, id="a key inside"),
        pytest.param(HEADER | {"jku": "https://example.vn/key"}, id="an address of a key"),
        pytest.param({"alg": ED25519, "kid": PROVIDER.kid}, id="no typ"),
        pytest.param({"kid": PROVIDER.kid, "typ": TYP}, id="no alg"),
        pytest.param({"alg": ED25519, "typ": TYP}, id="no kid"),
        pytest.param(HEADER | {"kid": 5}, id="a number for a kid"),
        pytest.param(b'{"alg":"Ed25519","alg":"Ed25519","kid":"a","typ":"contract+jws"}', id="a key twice"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff", id="no UTF-8"),
    ],
)
def test_a_protected_header_has_exactly_its_members(header: dict[str, Any] | bytes) -> None:
    refused(signed_header(header))


def test_the_header_used_above_is_good_when_it_is_not_spoilt() -> None:
    assert opened(canonical(signed_header(HEADER))).kids == (PROVIDER.kid,)


# Rule 2: one spelling of each byte string


@pytest.mark.parametrize("foreign", ["=", "\n", "!", " "])
@pytest.mark.parametrize("member", ["protected", "signature"])
def test_base64url_has_one_spelling(member: str, foreign: str) -> None:
    text = good()["signatures"][0][member]
    for respelt in (text + foreign, text[:9] + foreign + text[9:]):
        document = good()
        document["signatures"][0][member] = respelt
        refused(document)


def test_spare_bits_are_no_second_spelling() -> None:
    document = good()
    value = document["signatures"][0]["signature"]
    last = {"A": "B", "Q": "R", "g": "h", "w": "x"}[value[-1]]  # decodes to the same 64 bytes
    document["signatures"][0]["signature"] = value[:-1] + last
    assert "base64url" in refused(document)


# Rule 3: the key decides the algorithm, never the header


@keys
@pytest.mark.parametrize("alg", ["none", "HS256", "EdDSA", "RS512", "PS384", "ES384", "ML-DSA-44", "ed25519", ""])
def test_the_header_does_not_choose_the_algorithm(key: SigningKey, alg: str) -> None:
    assert "algorithm" in refused(signed_header({"alg": alg, "kid": key.kid, "typ": TYP}, key))


def test_one_keys_algorithm_does_not_serve_for_another_key() -> None:
    refused(signed_header({"alg": ES256, "kid": PROVIDER.kid, "typ": TYP}, PROVIDER))
    refused(signed_header({"alg": ED25519, "kid": BUYER.kid, "typ": TYP}, BUYER))
    refused(signed_header({"alg": RS256, "kid": PROVIDER.kid, "typ": TYP}, PROVIDER))
    refused(signed_header({"alg": RS256, "kid": BANK.kid, "typ": TYP}, BANK))  # over which it signed PS256


def test_ecdsa_in_der_is_refused() -> None:
    document = good(BUYER)
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    raw = from_b64url(document["signatures"][0]["signature"])
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    document["signatures"][0]["signature"] = b64url(der)
    refused(document)


# Rule 4: known keys, and the expected type


def test_an_unknown_key_is_refused() -> None:
    assert "not registered" in refused(good(new_key("stranger")))


def test_a_stranger_cannot_sign_under_a_known_kid() -> None:
    refused(good(SigningKey(PROVIDER.kid, new_key("stranger").private)))


@pytest.mark.parametrize("kid", ["a\0b", "a\nb", "a\u202eb"])
def test_a_kid_that_no_database_takes_is_not_looked_up(kid: str) -> None:
    asked = Asked()
    assert "not registered" in refused(signed_header(HEADER | {"kid": kid}), asked)
    assert not asked.kids


def test_a_receipt_is_never_read_as_a_contract() -> None:
    document = {"contract": CONTRACT, "signatures": [sign(CONTRACT, PROVIDER, "receipt+jws")]}
    assert "receipt+jws" in refused(document)


# Certificates in place of a key's id

CA = authority.root()
CHAIN = CA.under("CA2").issue(BUYER, "0101234567")


def certified(chain: tuple[bytes, ...] = CHAIN, key: SigningKey = BUYER) -> dict[str, Any]:
    return {"contract": CONTRACT, "signatures": [sign(CONTRACT, key, TYP, chain)]}


def test_a_chain_reaches_those_who_judge_it_and_names_the_signer_by_the_first_certificate() -> None:
    signers = Asked(found=certified_key(CHAIN[0]))
    found = opened(canonical(certified()), signers)
    assert signers.chains == [CHAIN]
    assert not signers.kids
    assert found.kids == (f"x5c:{hashlib.sha256(CHAIN[0]).hexdigest()}",)
    assert found.algs == (ES256,)


def test_joserfc_accepts_a_signature_that_carries_certificates() -> None:
    signature = certified()["signatures"][0]
    whole = {"payload": b64url(canonical(CONTRACT)), "signatures": [signature]}
    found = jws.deserialize_json(whole, ECKey.import_key(BUYER.verify_key.jwk()), algorithms=JOSE, registry=WIDE)
    assert found.payload == canonical(CONTRACT)
    assert [base64.b64decode(each) for each in found.members[0].protected["x5c"]] == [*CHAIN]


def test_a_certificate_counts_for_nothing_by_itself() -> None:
    assert "not trusted" in refused(certified(), Asked())
    assert "not trusted" in refused(certified())


def test_the_key_is_that_of_the_chain_and_not_that_of_whoever_signed() -> None:
    other = CA.issue(new_key("other", ES256), "0109999999")
    with pytest.raises(Invalid):
        certified(other)
    posed = signed_header({"alg": ES256, "typ": TYP, "x5c": [base64.b64encode(each).decode() for each in other]}, BUYER)
    assert "does not match" in refused(posed, Asked(found=certified_key(other[0])))


TEXTS = [base64.b64encode(each).decode() for each in CHAIN]


@pytest.mark.parametrize(
    "x5c",
    [
        pytest.param([], id="none"),
        pytest.param(TEXTS[0], id="no list"),
        pytest.param([TEXTS[0], None], id="nothing among them"),
        pytest.param([1], id="a number"),
        pytest.param([""], id="an empty one"),
        pytest.param(TEXTS * MAX_CERTIFICATES, id="too many"),
        pytest.param([b64url(CHAIN[0])], id="base64url"),
        pytest.param([TEXTS[0] + "\n"], id="a line end"),
        pytest.param([TEXTS[0].replace("M", "M ", 1)], id="a space"),
        pytest.param([TEXTS[0].rstrip("=") + "===="], id="too much padding"),
        pytest.param(["AB=="], id="spare bits"),
        pytest.param(["Ā==="], id="no ASCII"),
        pytest.param({"0": TEXTS[0]}, id="an object"),
    ],
)
def test_no_certificates_are_read_from(x5c: Any) -> None:
    signers = Asked(found=BUYER.verify_key)
    refused(signed_header({"alg": ES256, "typ": TYP, "x5c": x5c}, BUYER), signers)
    assert not signers.chains


@pytest.mark.parametrize(
    "more",
    [
        {"kid": BUYER.kid},
        {"x5t": "a"},
        {"x5t#S256": "a"},
        {"x5u": "https://example.vn/chain"},
        {"jku": "https://example.vn/key"},
        {"jwk": BUYER.verify_key.jwk()},
        {"crit": ["x5c"]},
    ],
    ids=lambda more: next(iter(more)),
)
def test_beside_certificates_nothing_names_a_key(more: dict[str, Any]) -> None:
    header = {"alg": ES256, "typ": TYP, "x5c": TEXTS}
    signers = Asked(found=BUYER.verify_key)
    assert opened(canonical(signed_header(header, BUYER)), signers).kids == (BUYER.kid,)
    assert "exactly" in refused(signed_header(header | more, BUYER), signers)


# Rules 5 and 6: who must have signed is the caller's; whoever did must have signed well


def test_a_stripped_signature_leaves_fewer_kids() -> None:
    assert opened(envelope("contract", CONTRACT, [])).kids == ()


@pytest.mark.parametrize("place", [0, 1])
def test_one_bad_signature_refuses_the_whole(place: int) -> None:
    document = {"contract": CONTRACT, "signatures": [sign(CONTRACT, key, TYP) for key in (PROVIDER, BUYER)]}
    document["signatures"][place]["signature"] = b64url(bytes(64))  # type: ignore[index]
    assert "does not match" in refused(document)


@keys
def test_one_key_does_not_sign_twice(key: SigningKey) -> None:
    document = {"contract": CONTRACT, "signatures": [sign(CONTRACT, key, TYP), sign(CONTRACT, key, TYP)]}
    assert "twice" in refused(document)


# Rule 7: the document is what is signed


@pytest.mark.parametrize(
    "other",
    [
        {"price": {"per_query_vnd": 5_000}, "title": "Xe buýt"},
        {"price": {"per_query_vnd": 50_000}, "title": "Xe buyt"},
        {"price": {"per_query_vnd": "50000"}, "title": "Xe buýt"},
        CONTRACT | {"more": None},
        {},
    ],
    ids=str,
)
@keys
def test_another_document_is_not_signed(key: SigningKey, other: dict[str, Any]) -> None:
    assert "does not match" in refused(good(key) | {"contract": other})


def test_the_same_words_in_another_unicode_form_are_refused() -> None:
    refused(good() | {"contract": CONTRACT | {"title": "Xe buy\u0301t"}})


def test_an_altered_protected_header_is_not_signed() -> None:
    document = good()
    document["signatures"][0]["protected"] = b64url(canonical(HEADER | {"kid": BUYER.kid, "alg": ES256}))
    assert "does not match" in refused(document)


def test_every_refusal_names_its_rule_and_what_to_do() -> None:
    with pytest.raises(Invalid) as refusal:
        opened(canonical(good() | {"contract": {}}))
    assert refusal.value.reasons == ("CONT-01",)
    assert refusal.value.hint


@given(st.data())
def test_no_single_altered_byte_passes(data: st.DataObject) -> None:
    text = bytearray(canonical(good()))
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] ^= data.draw(st.integers(1, 255))
    try:
        outcome = opened(bytes(text)).digest
    except SandboxError as error:
        outcome = error.code  # type: ignore[assignment]
    assert outcome in {"signature.invalid", "document.malformed"}


def test_an_envelope_can_be_taken_apart_to_add_a_signature() -> None:
    document, signatures = unverified(canonical(good()), "contract")
    assert document == CONTRACT
    whole = envelope("contract", document, [*signatures, sign(document, BUYER, TYP)])
    assert opened(whole).kids == (PROVIDER.kid, BUYER.kid)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"contract":{}}', b'{"contract":1,"signatures":[]}', b"\xff"])
def test_what_is_no_envelope_is_not_taken_apart(text: bytes) -> None:
    with pytest.raises(Invalid):
        unverified(text, "contract")


def test_a_bad_signature_breaks_the_rule_of_its_kind_of_document() -> None:
    text = envelope("charter", {"a": 1}, [])
    forged = text.replace(b"[]", b'[{"protected": "e30", "signature": "AA"}]')
    with pytest.raises(Invalid) as refusal:
        open_signed(forged, "charter", "charter+jws", KnownKeys({}), "CHARTER-01")
    assert refusal.value.reasons == ("CHARTER-01",)
