"""Ways to pass off what the three parties did not sign as their contract. None of them opens.

The attacks lie in ``evidence``, one file each, so that any other verifier may be tried on the same bytes. When the
contract's format changes, delete the folder's files and run this twice: what is missing is written.
"""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from sandbox.contracts import envelope, offers, registry
from sandbox.contracts.terms import request_document
from sandbox.core.canonical import canonical, digest_of, parse
from sandbox.core.errors import Invalid
from sandbox.core.keys import SigningKey, b64url, key_from_seed
from tests.forgeries import Forgery, Good, forged, forgeries, read

EVIDENCE = Path(__file__).with_name("evidence")
FILES = sorted(EVIDENCE.glob("*.json"))
WIDE = jws.JWSRegistry(algorithms=["Ed25519"])
WIDE.max_header_length = WIDE.max_signature_length = 16_384


def refused(open_with, text, code):
    with pytest.raises(Invalid) as refusal:
        open_with(text)
    assert refusal.value.code == code
    return refusal.value.message


def put_down(texts: dict[Path, str]) -> list[str]:
    """The files' contents; those that are missing are written, and must be looked at before they are kept."""
    missing = [path for path in texts if not path.exists()]
    for path in missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[path])
    assert not missing, "these were missing and are written now; look at them"
    return [path.read_text() for path in texts]


@pytest.fixture
def good(parties):
    """What the parties did sign, from the evidence folder."""
    offer, when = parties.offer(), parties.now + timedelta(minutes=1)
    document = parse(offer)["offer"]
    asked = request_document(document, digest_of(document), {"max_rows": 100}, parties.buyer, when)
    made = {
        "agreement": parties.agreed(),
        "offer": offer,
        "request": envelope.sign_request(asked, parties.keys[parties.buyer]),
    }
    texts = put_down({EVIDENCE / "good" / f"{name}.json": text.decode() for name, text in made.items()})
    names = (parties.provider, parties.buyer, parties.exchange, parties.stranger)
    return Good(*(text.encode() for text in texts), *(parties.keys[who] for who in names))


def test_what_the_attacks_are_made_of_opens(parties, good):
    agreement = parties.open(good.agreement)
    assert agreement.offer == parties.open_offer(good.offer).id
    assert envelope.open_request(good.request, parties).prev == agreement.offer
    assert parties.open(canonical(forged(good.contract, *good.all))) == agreement


def test_the_evidence_is_what_is_made_here(good):
    made = list(forgeries(good))
    texts = {
        EVIDENCE / f"{each.name}.json": json.dumps(each.document(), ensure_ascii=False, indent=1) + "\n"
        for each in made
    }
    assert len(texts) == len(made)
    assert put_down(texts) == [*texts.values()]
    assert {*FILES} == {*texts}


@pytest.fixture
def attempt(request):
    return read(json.loads(request.param.read_text()))


every_file = pytest.mark.parametrize("attempt", FILES, ids=lambda path: path.stem, indirect=True)


@every_file
def test_nothing_opens_of(parties, register, good, attempt: Forgery):
    def at_the_registry(text):
        opened = parties.open(text)  # nothing is wrong with its signatures
        register.write(offers.put_offer, parties.open_offer(good.offer), good.offer, parties.now)
        register.recorded(text)
        return opened

    opening = {
        "contract": parties.open,
        "offer": parties.open_offer,
        "request": lambda text: envelope.open_request(text, parties),
        "registry": at_the_registry,
    }
    assert attempt.says in refused(opening[attempt.opens], attempt.text, attempt.code)
    assert register.read(registry.agreements) == []


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b'"contract"', b"[" * 20_000])
def test_what_is_no_object_is_refused(parties, text):
    refused(parties.open, text, "document.malformed")


# --- one participant, several keys ---
def test_a_second_key_of_one_party_does_not_stand_for_another_party(parties, good):
    second = SigningKey(f"{parties.provider}/2", key_from_seed("x", b"\x21" * 32).private)

    class WithSecond(type(parties)):
        def by_kid(self, kid):
            return second.verify_key if kid == second.kid else super().by_kid(kid)

        def owner_of(self, kid):
            return self.provider if kid == second.kid else super().owner_of(kid)

    def open_with(document):
        return envelope.open_agreement(canonical(document), WithSecond(), parties.exchange)

    provider, buyer, exchange = good.all
    refused(open_with, forged(good.contract, provider, second, exchange), "signature.invalid")
    refused(open_with, forged(good.contract, provider, second, buyer, exchange), "signature.invalid")
    assert open_with(forged(good.contract, second, buyer, exchange))


def test_a_signature_of_nobody_is_one_too_many(parties, good):
    class Forgetful(type(parties)):
        def owner_of(self, kid):
            return None if kid.startswith(self.stranger) else super().owner_of(kid)

    text = canonical(forged(good.contract, *good.all, good.stranger))
    refused(lambda it: envelope.open_agreement(it, Forgetful(), parties.exchange), text, "signature.invalid")


@pytest.mark.parametrize(("provider", "buyer"), [("exchange", "buyer"), ("provider", "exchange")])
def test_one_participant_is_never_two_parties(parties, provider, buyer):
    names = {"exchange": parties.exchange, "provider": parties.provider, "buyer": parties.buyer}
    document = parties.offer_document() | {"assigner": names[provider]}
    offer = canonical(forged(document, parties.keys[names[provider]], member="offer"))
    text = envelope.accept_offer(offer, parties.keys[names[buyer]], bytes(32), parties.now)
    for who in sorted({names[provider], names[buyer], parties.exchange} - {names[buyer]}):
        text = envelope.add_signature(text, parties.keys[who])
    assert "three different" in refused(parties.open, text, "signature.invalid")


# --- another JWS library on the same bytes ---
ACCEPTED = {
    "the buyer's signature stripped",
    "one signer in another's place",
    "an unprotected header beside the protected one",
    "a key standing twice",
    "decomposed letters that everyone signed",
    "a receipt's type",
    "a key of its own",
    "a header's key standing twice",
    "a stranger in the buyer's place",
}
"""What a good library takes, for it cannot know who must sign, for what, and what a reader makes of the text."""
REFUSED = {
    "two signatures swapped",
    "a signature of noughts",
    "one term altered",
    "another buyer",
    "no algorithm",
    "an algorithm of secrets",
    "an extension that must be understood",
    "a stranger under the buyer's name",
    "a bad signature beside three good ones",
}


def is_accepted(attempt: Forgery, parties) -> bool:
    """Whether the other library is content with every signature, by the keys that their headers name."""
    keys = {key.kid: OKPKey.import_key(key.verify_key.jwk()) for key in parties.keys.values()}
    whole = json.loads(attempt.text)
    payload = b64url(json.dumps(whole["contract"], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
    detached = {"payload": payload, "signatures": whole["signatures"]}
    try:
        jws.deserialize_json(detached, lambda it: keys[it.headers()["kid"]], algorithms=["Ed25519"], registry=WIDE)
    except JoseError:
        return False
    return True


def test_another_library_agrees_on_the_signatures_and_shows_why_the_rules_beyond_them_are_here(parties, good):
    attempts = {each.attack: each for each in forgeries(good)}
    assert is_accepted(Forgery("none", "contract", good.agreement, "", ""), parties)
    assert {attack for attack in ACCEPTED if not is_accepted(attempts[attack], parties)} == set()
    assert {attack for attack in REFUSED if is_accepted(attempts[attack], parties)} == set()
