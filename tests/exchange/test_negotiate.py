"""From a request to an agreement, step by step, as use cases: who may say what, what opens data, what is recorded."""

import secrets
from typing import Any

import pytest

from sandbox.contracts import envelope
from sandbox.contracts.terms import counter_document, request_document
from sandbox.core.canonical import Json, digest_of
from sandbox.core.errors import Conflict, Invalid, NotFound, SandboxError
from sandbox.core.signing import unverified
from sandbox.core.terms import ParticipantId
from tests.world import BUYER, OTHER, PROVIDER, TRIPS, World

SELLER, ASKER, STRANGER = ParticipantId(PROVIDER), ParticipantId(BUYER), ParticipantId(OTHER)


class Talk:
    """A negotiation over the price of trips, one step at a time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.offer = unverified(world.offered(TRIPS), envelope.OFFER)[0]

    def request(self, price_vnd: int = 10_000, **changes: Json) -> Any:
        wanted = {"price_vnd": price_vnd} | changes
        document = request_document(self.offer, digest_of(self.offer), wanted, ASKER, self.world.clock.now())
        self.requested = document
        self.request_text = envelope.sign_request(document, self.world.keys[BUYER])
        self.found = self.world.exchange.negotiate(ASKER, "request", self.request_text)
        return self.found

    def counter(self, price_vnd: int = 12_000) -> Any:
        document = counter_document(
            self.requested, digest_of(self.requested), {"price_vnd": price_vnd}, self.world.clock.now()
        )
        self.countered = envelope.sign_offer(document, self.world.keys[PROVIDER])
        return self.step(SELLER, "offer", self.countered)

    def accept(self) -> Any:
        now = self.world.clock.now()
        self.half = envelope.accept_offer(self.countered, self.world.keys[BUYER], secrets.token_bytes(32), now)
        return self.step(ASKER, "accept", self.half)

    def agree(self) -> Any:
        self.both = envelope.add_signature(self.half, self.world.keys[PROVIDER])
        return self.step(SELLER, "agree", self.both)

    def step(self, who: ParticipantId, act: str, text: bytes | None = None) -> Any:
        return self.world.exchange.negotiate(who, act, text, self.found.id)


@pytest.fixture
def talk(ready: World) -> Talk:
    return Talk(ready)


def test_a_counter_offer_becomes_an_agreement_at_its_price(talk: Talk) -> None:
    states = [talk.request().state, talk.counter().state, talk.accept().state, talk.agree().state]
    states += [talk.step(ASKER, "verify").state, talk.step(SELLER, "finalize").state]
    assert states == ["REQUESTED", "OFFERED", "ACCEPTED", "AGREED", "VERIFIED", "FINALIZED"]
    agreement = talk.world.exchange.negotiation(ASKER, talk.found.id)[0].document
    result = talk.world.query(agreements=(agreement,))
    assert result.price_vnd == 12_000
    moved = [entry["state"] for entry in talk.world.entries() if entry["type"] == "negotiation.moved"]
    assert moved == states


def test_only_what_is_finalised_opens_data(talk: Talk) -> None:
    talk.request(), talk.counter(), talk.accept(), talk.agree(), talk.step(ASKER, "verify")
    agreement = talk.world.exchange.negotiation(ASKER, talk.found.id)[0].document
    with pytest.raises(NotFound):
        talk.world.query(agreements=(agreement,))
    talk.step(SELLER, "finalize")
    talk.world.query(agreements=(agreement,))


def test_a_provider_agrees_to_a_request_as_it_is(talk: Talk) -> None:
    talk.request()
    now, keys = talk.world.clock.now(), talk.world.keys
    signed = envelope.accept_offer(talk.request_text, keys[PROVIDER], secrets.token_bytes(32), now)
    assert talk.step(SELLER, "agree", signed).state == "AGREED"
    assert talk.step(ASKER, "verify", envelope.add_signature(signed, keys[BUYER])).state == "VERIFIED"
    done = talk.step(SELLER, "finalize")
    assert talk.world.query(agreements=(done.document,)).price_vnd == 10_000


def test_an_old_offer_is_not_accepted_once_a_counter_offer_took_its_place(talk: Talk) -> None:
    talk.request(), talk.counter()
    world = talk.world
    old = envelope.sign_offer(talk.offer, world.keys[PROVIDER])
    with pytest.raises(SandboxError) as caught:
        world.exchange.agree(world.bought(old))
    assert caught.value.code == "offer.superseded"
    assert world.entries()[-1]["type"] == "contract.refused"


def test_strangers_see_and_move_nothing(talk: Talk) -> None:
    talk.request()
    for act in ("offer", "accept", "terminate"):
        with pytest.raises(SandboxError):
            talk.step(STRANGER, act, talk.request_text if act != "terminate" else None)
    with pytest.raises(NotFound):
        talk.world.exchange.negotiation(STRANGER, talk.found.id)
    assert talk.world.exchange.negotiations(STRANGER) == []


def test_a_document_signed_by_the_other_side_is_not_ones_own(talk: Talk) -> None:
    talk.request()
    with pytest.raises(Invalid):
        talk.world.exchange.negotiate(SELLER, "request", talk.request_text)


def test_an_illegal_move_says_the_legal_ones_and_changes_nothing(talk: Talk) -> None:
    talk.request()
    with pytest.raises(Conflict) as caught:
        talk.step(SELLER, "finalize")
    assert caught.value.code == "negotiation.state"
    assert talk.world.exchange.negotiation(SELLER, talk.found.id)[0].state == "REQUESTED"


def test_a_repeated_message_is_answered_as_done_and_recorded_once(talk: Talk) -> None:
    first = talk.request()
    again = talk.world.exchange.negotiate(ASKER, "request", talk.request_text)
    assert again.id == first.id
    talk.counter()
    assert talk.step(SELLER, "offer", talk.countered).state == "OFFERED"
    assert [entry["type"] for entry in talk.world.entries()].count("negotiation.moved") == 2


def test_terms_that_the_dataset_does_not_bear_are_refused_in_a_request_too(talk: Talk) -> None:
    with pytest.raises(Invalid):
        talk.request(output_constraints=[{"column": "khach", "minimum": 2, "type": "COUNT_DISTINCT"}])
    assert talk.world.exchange.negotiations(ASKER) == []


def test_a_finalisation_that_the_policies_refuse_leaves_it_verified(talk: Talk) -> None:
    talk.request(), talk.counter(), talk.accept(), talk.agree(), talk.step(ASKER, "verify")
    talk.world.order("suspend", "dataset", TRIPS, "co-quan-giam-sat")
    with pytest.raises(SandboxError) as caught:
        talk.step(SELLER, "finalize")
    assert "CHARTER-06" in caught.value.reasons
    assert "sandbox suspensions" in caught.value.hint
    assert talk.world.exchange.negotiation(SELLER, talk.found.id)[0].state == "VERIFIED"


def test_what_is_terminated_is_over(talk: Talk) -> None:
    talk.request()
    assert talk.step(ASKER, "terminate").state == "TERMINATED"
    with pytest.raises(Conflict):
        talk.counter()
