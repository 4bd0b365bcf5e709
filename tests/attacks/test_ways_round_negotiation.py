"""Ways round a negotiation: an agreement that one side has not made."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from sandbox.contracts import envelope, offers
from sandbox.contracts.terms import counter_document, request_document
from sandbox.core.canonical import canonical, digest_of
from sandbox.core.signing import sign, unverified
from sandbox.core.terms import ParticipantId, Role
from tests.trying import ASKER, SELLER, STRANGER, refused
from tests.world import BUYER, INDEX, OTHER, PROVIDER, TRIPS, World


# --- negotiation ---
class Talk:
    """A negotiation over trips, brought to the state that an attack begins from."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.public = unverified(world.offered(TRIPS), envelope.OFFER)[0]
        self.asked = request_document(
            self.public, digest_of(self.public), {"price_vnd": 10_000}, ASKER, world.clock.now()
        )
        self.text = envelope.sign_request(self.asked, world.keys[BUYER])
        self.id = world.exchange.negotiate(ASKER, "request", self.text).id

    def step(self, who: ParticipantId, act: str, text: bytes | None = None) -> Any:
        return self.world.exchange.negotiate(who, act, text, self.id)

    def countered(self) -> bytes:
        document = counter_document(self.asked, digest_of(self.asked), {"price_vnd": 12_000}, self.world.clock.now())
        text = envelope.sign_offer(document, self.world.keys[PROVIDER])
        self.step(SELLER, "offer", text)
        return text

    def half(self, text: bytes, who: str) -> bytes:
        return envelope.accept_offer(text, self.world.keys[who], secrets.token_bytes(32), self.world.clock.now())

    def verified(self) -> bytes:
        half = self.half(self.countered(), BUYER)
        self.step(ASKER, "accept", half)
        both = envelope.add_signature(half, self.world.keys[PROVIDER])
        self.step(SELLER, "agree", both)
        self.step(ASKER, "verify")
        return both

    @property
    def state(self) -> str:
        return str(self.world.exchange.negotiation(ASKER, self.id)[0].state)


@pytest.fixture
def talk(ready: World) -> Talk:
    return Talk(ready)


def test_what_the_buyer_accepted_is_not_altered_before_it_is_agreed(talk: Talk) -> None:
    keys = talk.world.keys
    half = talk.half(talk.countered(), BUYER)
    talk.step(ASKER, "accept", half)
    other = envelope.add_signature(talk.half(talk.world.offered(TRIPS, price_vnd=99_000), BUYER), keys[PROVIDER])
    document, signatures = unverified(half, envelope.CONTRACT)
    document["timestamp"] = "2026-12-01T03:00:00.000001Z"
    dated = envelope.add_signature(canonical({"contract": document, "signatures": signatures}), keys[PROVIDER])
    for text in (other, dated, half):
        assert refused(lambda text=text: talk.step(SELLER, "agree", text))
    assert talk.state == "ACCEPTED"


def test_a_request_that_answers_somebody_elses_offer_is_none(ready: World) -> None:
    ready.admit("so-hai", Role.PROVIDER, 34)
    public = unverified(ready.offered(TRIPS), envelope.OFFER)[0]
    index = unverified(ready.offered(INDEX), envelope.OFFER)[0]
    fair = request_document(public, digest_of(public), {}, ASKER, ready.clock.now())
    for answered in (digest_of({**public, "assigner": "so-hai"}), ready.agreements[TRIPS, BUYER]):
        text = envelope.sign_request({**fair, "prev": answered}, ready.keys[BUYER])
        assert refused(lambda text=text: ready.exchange.negotiate(ASKER, "request", text)).code == "offer.unknown"
    text = envelope.sign_request({**fair, "prev": digest_of(index)}, ready.keys[BUYER])
    assert refused(lambda: ready.exchange.negotiate(ASKER, "request", text)).code == "negotiation.document"
    assert ready.exchange.negotiations(ASKER) == []


def test_an_offer_to_one_buyer_is_accepted_by_no_other(talk: Talk) -> None:
    document = {**unverified(talk.half(talk.countered(), BUYER), envelope.CONTRACT)[0], "assignee": OTHER}
    signature = sign(document, talk.world.keys[OTHER], envelope.CONTRACT_TYPE)
    theirs = canonical({"contract": document, "signatures": [signature]})
    both = envelope.add_signature(theirs, talk.world.keys[PROVIDER])
    assert refused(lambda: talk.world.exchange.agree(both))
    assert refused(lambda: talk.step(STRANGER, "accept", theirs)).code == "negotiation.unknown"
    assert refused(lambda: talk.step(ASKER, "accept", theirs))
    assert talk.state == "OFFERED"


def test_a_request_is_not_verified_without_the_buyers_signature(talk: Talk) -> None:
    signed = talk.half(talk.text, PROVIDER)
    talk.step(SELLER, "agree", signed)
    for text in (None, signed):
        assert refused(lambda text=text: talk.step(ASKER, "verify", text))
    assert talk.state == "AGREED"


def test_what_is_finalised_twice_is_one_agreement(talk: Talk) -> None:
    talk.verified()
    before = len(talk.world.exchange.agreements())
    with ThreadPoolExecutor(4) as pool:
        ends = [pool.submit(talk.step, SELLER, "finalize") for _ in range(4)]
        done = [each for each in ends if each.exception() is None]
    assert done
    assert talk.step(SELLER, "finalize").state == "FINALIZED"
    assert len(talk.world.exchange.agreements()) == before + 1
    assert refused(lambda: talk.step(ASKER, "terminate")).code == "negotiation.state"


def test_of_a_finalisation_and_an_end_at_once_one_holds_and_the_other_changes_nothing(ready: World) -> None:
    for _ in range(4):
        talk = Talk(ready)
        talk.verified()
        before = len(ready.exchange.agreements())
        with ThreadPoolExecutor(2) as pool:
            acts = [pool.submit(talk.step, SELLER, act) for act in ("finalize", "terminate")]
            ends = [act.exception() for act in acts]
        assert ends.count(None) == 1
        assert (talk.state == "FINALIZED") == (len(ready.exchange.agreements()) == before + 1)
        ready.clock.advance(timedelta(seconds=1))


def test_an_agreement_under_negotiation_is_not_handed_in_past_its_finalisation(talk: Talk) -> None:
    """The provider may still say no at VERIFIED; whoever holds both signatures must not take that from it."""
    both = talk.verified()
    before = talk.world.exchange.agreements()
    error = refused(lambda: talk.world.exchange.agree(both))
    assert (error.code, talk.world.entries()[-1]["type"]) == ("negotiation.open", "contract.refused")
    assert talk.step(SELLER, "terminate").state == "TERMINATED"
    assert refused(lambda: talk.world.exchange.agree(both))
    assert talk.world.exchange.agreements() == before


def test_an_offer_that_was_taken_back_makes_no_agreement_and_begins_no_negotiation(ready: World) -> None:
    offer = ready.offered(INDEX, price_vnd=3)
    public = unverified(offer, envelope.OFFER)[0]
    name, now = digest_of(public), ready.clock.now()
    ready.exchange.house.database.write(lambda tx: offers.withdraw_offer(tx, name, SELLER, now))
    asking = envelope.sign_request(request_document(public, name, {}, ASKER, now), ready.keys[BUYER])
    for act in (
        lambda: ready.exchange.agree(ready.bought(offer)),
        lambda: ready.exchange.negotiate(ASKER, "request", asking),
    ):
        assert refused(act).code == "offer.superseded"
