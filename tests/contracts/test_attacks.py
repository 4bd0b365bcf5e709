"""Ways to pass off what the three parties did not sign as their contract. None of them opens."""

import unicodedata

import orjson
import pytest

from sandbox.contracts import envelope
from sandbox.core.canonical import canonical, parse
from sandbox.core.errors import Invalid
from sandbox.core.keys import SigningKey, b64url, key_from_seed, new_key


def refused(open_with, text, code):
    with pytest.raises(Invalid) as refusal:
        open_with(text)
    assert refusal.value.code == code
    return refusal.value.message


def signers(parties, *others):
    return [parties.keys[who] for who in (parties.provider, parties.buyer, parties.exchange)] + list(others)


# --- what can be done to the signatures of a good agreement, without any key ---
def strip(index):
    def change(document):
        del document["signatures"][index]

    return change


def swap(member):
    def change(document):
        first, second, _ = document["signatures"]
        first[member], second[member] = second[member], first[member]

    return change


def respell(member, spelling):
    def change(document):
        document["signatures"][0][member] = spelling(document["signatures"][0][member])

    return change


def spare_bits(text):
    """The last letter of 64 bytes in base64url has four spare bits: sixteen spellings of one signature."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]


def unprotected(document):
    document["signatures"][0]["header"] = {"kid": document["signatures"][0]["protected"]}


def null_signature(document):
    document["signatures"][0]["signature"] = b64url(bytes(64))


def no_signature(document):
    document["signatures"] = []


def repeat(document):
    document["signatures"].append(document["signatures"][0])


def replace_by_repetition(document):
    document["signatures"][1] = document["signatures"][0]


def flood(document):
    document["signatures"] *= 4


def payload_beside(document):
    document["payload"] = b64url(canonical(document["contract"]))


def one_term(document):
    document["contract"]["terms"]["max_rows"] = 9_999


def a_term_less(document):
    del document["contract"]["terms"]["output_constraints"]


def truth_for_one(document):
    document["contract"]["terms"]["access_budget"]["day"] = True


WITHOUT_KEYS = {
    "the provider's signature stripped": (strip(1), "signature.invalid"),
    "the buyer's signature stripped": (strip(0), "signature.invalid"),
    "the exchange's signature stripped": (strip(2), "signature.invalid"),
    "all signatures stripped": (no_signature, "signature.invalid"),
    "two signatures swapped": (swap("signature"), "signature.invalid"),
    "two headers swapped": (swap("protected"), "signature.invalid"),
    "one signer twice": (repeat, "signature.invalid"),
    "one signer in another's place": (replace_by_repetition, "signature.invalid"),
    "more signatures than anyone needs": (flood, "signature.invalid"),
    "an unprotected header": (unprotected, "signature.invalid"),
    "a signature of noughts": (null_signature, "signature.invalid"),
    "a signature shortened": (respell("signature", lambda text: text[:-4]), "signature.invalid"),
    "a signature with spare bits set": (respell("signature", spare_bits), "signature.invalid"),
    "a signature with padding": (respell("signature", lambda text: text + "=="), "signature.invalid"),
    "a signature in standard base64": (respell("signature", lambda text: text + "+/"), "signature.invalid"),
    "a signature with a line break": (respell("signature", lambda text: text + "\n"), "signature.invalid"),
    "a header with padding": (respell("protected", lambda text: text + "="), "signature.invalid"),
    "a header that is no text": (respell("protected", lambda text: [text]), "signature.invalid"),
    "a payload beside the contract": (payload_beside, "signature.invalid"),
    "one term altered": (one_term, "signature.invalid"),
    "one term removed": (a_term_less, "signature.invalid"),
    "true for one": (truth_for_one, "signature.invalid"),
}


@pytest.mark.parametrize(("change", "code"), WITHOUT_KEYS.values(), ids=WITHOUT_KEYS.keys())
def test_no_agreement_opens_after(parties, change, code):
    document = parse(parties.agreed())
    change(document)
    refused(parties.open, canonical(document), code)


# --- what can be done to the text, so that two readers would read two things ---
TEXTS = {
    "a key standing twice": (b'"max_rows":5000', b'"max_rows":1,"max_rows":5000'),
    "a key standing twice in another spelling": (b'"max_rows":5000', b'"max_rows":5000,"max\\u005frows":9999'),
    "a float": (b'"max_rows":5000', b'"max_rows":5000.0'),
    "a power": (b'"max_rows":5000', b'"max_rows":5e3'),
    "no number": (b'"max_rows":5000', b'"max_rows":NaN'),
    "a number beyond 2^53": (b'"max_rows":5000', b'"max_rows":9007199254740993'),
    "a byte order mark": (b'{"contract"', b'\xef\xbb\xbf{"contract"'),
    "a lone surrogate": ("Bên mua".encode(), b"\\ud800"),
    "bytes that are no UTF-8": ("Bên mua".encode(), b"B\xean mua"),
    "another document behind it": (b'{"contract"', b'{} {"contract"'),
}


@pytest.mark.parametrize(("found", "put"), TEXTS.values(), ids=TEXTS.keys())
def test_no_text_is_read_with(parties, found, put):
    text = parties.agreed()
    assert found in text
    refused(parties.open, text.replace(found, put, 1), "document.malformed")


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b'"contract"', b"[" * 20_000])
def test_what_is_no_object_is_refused(parties, text):
    refused(parties.open, text, "document.malformed")


def test_decomposed_letters_are_refused_although_everyone_signed_them(parties, forge):
    document = parse(parties.agreed())["contract"]
    words = document["terms"]["intellectual_property"]
    document["terms"]["intellectual_property"] = unicodedata.normalize("NFD", words)
    refused(parties.open, orjson.dumps(forge(document, *signers(parties))), "document.malformed")


# --- what a party can sign with its own key ---
def test_what_is_forged_below_opens_when_nothing_is_wrong_with_it(parties, forge):
    text = parties.agreed()
    assert parties.open(canonical(forge(parse(text)["contract"], *signers(parties)))) == parties.open(text)


HEADERS = {
    "the old name of the algorithm": {"alg": "EdDSA"},
    "no algorithm": {"alg": "none"},
    "an algorithm of secrets": {"alg": "HS256"},
    "another key's algorithm": {"alg": "ES256"},
    "an offer's type": {"typ": "offer+jws"},
    "a receipt's type": {"typ": "receipt+jws"},
    "a dataset's type": {"typ": "dataset+jws"},
    "a type that is no text": {"typ": None},
    "an extension that must be understood": {"crit": ["b64"], "b64": False},
    "an empty crit": {"crit": []},
    "a key of its own": {"jwk": {"kty": "OKP"}},
    "a place to fetch a key": {"jku": "https://example.org/keys"},
    "certificates": {"x5c": []},
    "a foreign member": {"iat": 1},
    "a kid that is no text": {"kid": 1},
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_no_signature_counts_whose_header_has(parties, forge, header):
    document = parse(parties.agreed())["contract"]
    provider, buyer, exchange = signers(parties)
    whole = forge(document, provider, exchange)
    whole["signatures"] += forge(document, buyer, **header)["signatures"]
    refused(parties.open, canonical(whole), "signature.invalid")


def test_a_header_key_standing_twice_is_refused(parties, forge):
    key = parties.keys[parties.buyer]
    document = parse(parties.agreed())["contract"]
    header = f'{{"alg":"Ed25519","kid":"{parties.keys[parties.stranger].kid}","kid":"{key.kid}","typ":"contract+jws"}}'
    protected = b64url(header.encode())
    signature = b64url(key.sign(f"{protected}.{b64url(canonical(document))}".encode()))
    whole = forge(document, parties.keys[parties.provider], parties.keys[parties.exchange])
    whole["signatures"].append({"protected": protected, "signature": signature})
    refused(parties.open, canonical(whole), "signature.invalid")


def test_a_receipt_does_not_pose_as_a_contract(parties, forge):
    document = parse(parties.agreed())["contract"]
    refused(parties.open, canonical(forge(document, *signers(parties), typ="receipt+jws")), "signature.invalid")
    posed = forge(document, *signers(parties), member="receipt")
    refused(parties.open, canonical(posed), "signature.invalid")


def test_an_offer_does_not_pose_as_a_contract_nor_a_contract_as_an_offer(parties, forge):
    offer, agreement = parse(parties.offer()), parse(parties.agreed())
    refused(parties.open, canonical(forge(offer["offer"], *signers(parties))), "contract.invalid")
    refused(
        parties.open, canonical({"contract": offer["offer"], "signatures": offer["signatures"]}), "signature.invalid"
    )
    one = forge(agreement["contract"], parties.keys[parties.provider], member="offer", typ="offer+jws")
    refused(parties.open_offer, canonical(one), "contract.invalid")


def test_a_signature_on_the_offer_is_none_on_the_agreement(parties):
    agreement = parse(parties.agreed())
    agreement["signatures"][1] = parse(parties.offer())["signatures"][0]
    refused(parties.open, canonical(agreement), "signature.invalid")


def test_a_key_that_nobody_registered_does_not_sign(parties, forge):
    document = parse(parties.agreed())["contract"]
    provider, _, exchange = signers(parties)
    unknown = new_key(parties.buyer)
    assert "not registered" in refused(
        parties.open, canonical(forge(document, provider, unknown, exchange)), "signature.invalid"
    )


def test_another_participants_key_does_not_sign_for_the_buyer(parties, forge):
    document = parse(parties.agreed())["contract"]
    provider, buyer, exchange = signers(parties)
    stranger = parties.keys[parties.stranger]
    refused(parties.open, canonical(forge(document, provider, stranger, exchange)), "signature.invalid")
    posing = SigningKey(buyer.kid, stranger.private)
    refused(parties.open, canonical(forge(document, provider, posing, exchange)), "signature.invalid")


def test_a_signature_too_many_refuses_the_whole(parties, forge):
    document = parse(parties.agreed())["contract"]
    stranger = parties.keys[parties.stranger]
    refused(parties.open, canonical(forge(document, *signers(parties, stranger))), "signature.invalid")
    bad = forge(document, *signers(parties))
    bad["signatures"].append(forge(document | {"prev": "x"}, stranger)["signatures"][0])
    refused(parties.open, canonical(bad), "signature.invalid")


def test_a_second_key_of_one_party_does_not_stand_for_another_party(parties, forge):
    document = parse(parties.agreed())["contract"]
    second = SigningKey(f"{parties.provider}/2", key_from_seed("x", b"\x21" * 32).private)

    def key_of(kid):
        return second.verify_key if kid == second.kid else parties.key_of(kid)

    def owner_of(kid):
        return parties.provider if kid == second.kid else parties.owner_of(kid)

    def open_with(text):
        return envelope.open_agreement(text, key_of, owner_of, parties.exchange)

    provider, buyer, exchange = signers(parties)
    refused(open_with, canonical(forge(document, provider, second, exchange)), "signature.invalid")
    refused(open_with, canonical(forge(document, provider, second, buyer, exchange)), "signature.invalid")
    assert open_with(canonical(forge(document, second, buyer, exchange)))


@pytest.mark.parametrize(("provider", "buyer"), [("self", "self"), ("exchange", "buyer"), ("provider", "exchange")])
def test_one_participant_is_never_two_parties(parties, forge, provider, buyer):
    names = {
        "self": parties.provider,
        "exchange": parties.exchange,
        "provider": parties.provider,
        "buyer": parties.buyer,
    }
    parties.provider = names[provider]
    document = parties.offer_document() | {"assigner": names[provider]}
    offer = canonical(forge(document, parties.keys[names[provider]], member="offer", typ="offer+jws"))
    text = envelope.accept_offer(offer, parties.keys[names[buyer]], bytes(32), parties.now)
    everyone = {names[provider], names[buyer], parties.exchange}
    for who in sorted(everyone - {names[buyer]}):
        text = envelope.add_signature(text, parties.keys[who])
    assert "three different" in refused(parties.open, text, "signature.invalid")


def test_empty_purposes_are_no_purposes_although_everyone_signed_them(parties, forge):
    document = parse(parties.agreed())["contract"]
    document["permission"][0]["constraint"][0]["rightOperand"] = []
    text = canonical(forge(document, *signers(parties)))
    assert "purposes" in refused(parties.open, text, "contract.invalid")


def test_a_missing_threshold_is_no_threshold_although_everyone_signed_it(parties, forge):
    document = parse(parties.agreed())["contract"]
    del document["terms"]["output_constraints"]
    text = canonical(forge(document, *signers(parties)))
    assert "output_constraints" in refused(parties.open, text, "contract.invalid")


@pytest.mark.parametrize("index", [0, 1])
def test_an_offer_is_its_providers_alone(parties, forge, index):
    document = parties.offer_document()
    stranger = parties.keys[parties.stranger]
    wrong = ([stranger], [parties.keys[parties.provider], stranger])[index]
    text = canonical(forge(document, *wrong, member="offer", typ="offer+jws"))
    refused(parties.open_offer, text, "signature.invalid")


def test_an_unsigned_offer_is_none(parties):
    refused(parties.open_offer, canonical({"offer": parties.offer_document(), "signatures": []}), "signature.invalid")
