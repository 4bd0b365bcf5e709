"""Negotiations: every move that is legal, none that is not, and a chain of documents that nobody can bend."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from sandbox.contracts import envelope, negotiation, offers, registry
from sandbox.contracts.negotiation import FINAL, NEGOTIATION, Message, Parties
from sandbox.contracts.terms import counter_document, request_document
from sandbox.core.canonical import canonical, digest_of, parse
from sandbox.core.errors import AgreementRefused, Conflict, Invalid, NotFound
from sandbox.core.terms import Digest

NAME = "neg_01K0000000000000000000000A"
OTHER = "neg_01K0000000000000000000000B"
STATES = [*NEGOTIATION, *FINAL]
PAGE = Path(__file__).parents[2] / "docs" / "formats" / "negotiation.md"


def refused(kind, code, act, *arguments, **named):
    with pytest.raises(kind) as refusal:
        act(*arguments, **named)
    assert refusal.value.code == code
    return refusal.value


def document_of(text):
    (document,) = (value for member, value in parse(text).items() if member != "signatures")
    return document


class Talk:
    """One buyer and one provider, who write what their moves need and send it as the exchange would hand it on."""

    def __init__(self, register, parties):
        self.register, self.parties = register, parties
        self.between = Parties(parties.provider, parties.buyer, "hoa_don_dnnvv")
        self.at = parties.now
        self.public = parties.offer()
        register.offered(self.public)
        self.last = self.public

    # --- what they write ---
    def request(self, **changed):
        document = document_of(self.last)
        self.at += timedelta(minutes=1)
        asked = request_document(document, digest_of(document), changed, self.parties.buyer, self.at)
        return envelope.sign_request(asked, self.parties.keys[self.parties.buyer])

    def offer(self, **changed):
        document = document_of(self.last)
        self.at += timedelta(minutes=1)
        if document["type"] == "Request":
            offered = counter_document(document, digest_of(document), changed, self.at)
        else:
            offered = self.parties.offer_document(**changed) | {"assignee": self.parties.buyer}
        return envelope.sign_offer(offered, self.parties.keys[self.parties.provider])

    def agreement(self, *signers, made_of=None, number=1):
        self.at += timedelta(minutes=1)
        first, *others = (self.parties.keys[who] for who in signers)
        text = envelope.accept_offer(made_of or self.last, first, bytes([number]) * 32, self.at)
        for key in others:
            text = envelope.add_signature(text, key)
        return text

    # --- what they send ---
    def message(self, party, state, text=None, signed_by=()):
        named = Digest(digest_of(document_of(text))) if text else None
        return Message(party, state, named, text, self.at, frozenset(signed_by))

    def proposed(self, party, state, text, name=NAME):
        """Registers the proposal and moves in one transaction, as the exchange does."""
        read = envelope.open_request if state == "REQUESTED" else envelope.open_offer
        opened, message = read(text, self.parties), self.message(party, state, text)

        def unit(tx):
            offers.put_offer(tx, opened, text, self.at)
            if tx.connection.scalar(sa.text("SELECT count(*) FROM negotiation")) == 0:
                return negotiation.start(tx, name, self.between, message)
            return negotiation.move(tx, name, message)

        moved = self.register.database.write(unit)
        self.last = text
        return moved

    def move(self, party, state, text=None, signed_by=(), name=NAME):
        moved = self.register.write(negotiation.move, name, self.message(party, state, text, signed_by))
        self.last = text or self.last
        return moved

    def finalized(self, then=lambda: None):
        """The exchange countersigns, records and moves, in one transaction."""
        half = self.register.read(negotiation.signed_agreement, NAME)
        text = envelope.add_signature(half, self.parties.keys[self.parties.exchange])
        agreement = self.parties.open(text)
        at = self.at + timedelta(minutes=1)

        def unit(tx):
            registry.put_agreement(tx, agreement, text, at, self.register.signers_at(tx.connection))
            negotiation.move(tx, NAME, Message("P", "FINALIZED", agreement.id, None, at))
            then()

        self.register.database.write(unit)
        return agreement

    def state(self):
        return self.register.read(negotiation.negotiation, NAME).state

    # --- ways through ---
    def to(self, state):
        """Bring the negotiation to a state, on the shortest way."""
        return getattr(self, f"_{state.lower()}")()

    def _start(self):
        return None

    def _requested(self):
        return self.proposed("C", "REQUESTED", self.request(price_vnd=20_000))

    def _offered(self):
        return self.proposed("P", "OFFERED", self.offer(price_vnd=22_000))

    def _accepted(self):
        self._offered()
        buyer = self.parties.buyer
        return self.move("C", "ACCEPTED", self.agreement(buyer), {buyer})

    def _agreed(self):
        self._accepted()
        return self.countersigned("AGREED", self.parties.provider)

    def countersigned(self, state, who):
        both = {self.parties.buyer, self.parties.provider}
        text = envelope.add_signature(self.last, self.parties.keys[who])
        return self.move("P" if who == self.parties.provider else "C", state, text, both)

    def _verified(self):
        self._agreed()
        return self.move("C", "VERIFIED")

    def _finalized(self):
        self._verified()
        return self.finalized()

    def _terminated(self):
        self._requested()
        return self.move("C", "TERMINATED")


@pytest.fixture
def talk(register, parties):
    return Talk(register, parties)


# --- the states ---
def test_the_negotiation_is_the_protocols():
    assert NEGOTIATION == {
        "START": {"REQUESTED": "C", "OFFERED": "P"},
        "REQUESTED": {"OFFERED": "P", "AGREED": "P", "TERMINATED": "CP"},
        "OFFERED": {"REQUESTED": "C", "ACCEPTED": "C", "TERMINATED": "CP"},
        "ACCEPTED": {"AGREED": "P", "TERMINATED": "P"},
        "AGREED": {"VERIFIED": "C", "TERMINATED": "C"},
        "VERIFIED": {"FINALIZED": "P", "TERMINATED": "P"},
    }


def test_the_diagram_on_the_page_is_the_programs():
    (drawn,) = re.findall(r"```mermaid\n(.*?)\n```", PAGE.read_text(), re.DOTALL)
    assert drawn == negotiation.diagram()


@pytest.mark.parametrize(
    ("state", "who"),
    [("REQUESTED", "provider"), ("OFFERED", "buyer"), ("ACCEPTED", "provider"), ("AGREED", "buyer"),
     ("VERIFIED", "provider"), ("FINALIZED", None), ("TERMINATED", None)],
)  # fmt: skip
def test_a_negotiation_waits_for_whoever_can_go_on(talk, state, who):
    talk.to(state)
    assert negotiation.due(talk.register.read(negotiation.negotiation, NAME)) == who


def test_either_side_may_begin():
    assert negotiation.whose_turn("START") is None
    assert (negotiation.moves("START", "C"), negotiation.moves("START", "P")) == (("REQUESTED",), ("OFFERED",))


@pytest.mark.parametrize("source", [state for state in STATES if state != "START"])
@pytest.mark.parametrize("target", STATES)
@pytest.mark.parametrize("party", ["C", "P"])
def test_every_move_that_the_protocol_does_not_know_is_refused(talk, source, target, party):
    talk.to(source)
    if party in NEGOTIATION.get(source, {}).get(target, ""):
        return
    before = talk.register.read(negotiation.history, NAME)
    if any((each.party, each.state, each.document) == (party, target, None) for each in before):
        assert talk.move(party, target).state == source  # a repetition, answered as done
    else:
        refusal = refused(Conflict, "negotiation.state", talk.move, party, target)
        assert ", ".join(negotiation.moves(source, party)) in refusal.hint
    assert (talk.state(), talk.register.read(negotiation.history, NAME)) == (source, before)


@pytest.mark.parametrize(
    ("party", "state"), [("P", "REQUESTED"), ("C", "OFFERED"), ("C", "ACCEPTED"), ("X", "REQUESTED")]
)
def test_nothing_else_begins_a_negotiation(talk, party, state):
    message = replace(talk.message("C", "REQUESTED", talk.request()), party=party, state=state)
    refused(Conflict, "negotiation.state", talk.register.write, negotiation.start, NAME, talk.between, message)
    assert talk.register.read(negotiation.negotiations) == []


# --- whole ways ---
def test_a_request_that_the_provider_takes_becomes_an_agreement(talk, parties):
    """REQUESTED, AGREED by the provider alone, VERIFIED with the buyer's signature, FINALIZED by the exchange."""
    talk.to("REQUESTED")
    talk.move("P", "AGREED", talk.agreement(parties.provider), {parties.provider})
    talk.countersigned("VERIFIED", parties.buyer)
    standing = talk.finalized()
    assert talk.state() == "FINALIZED"
    assert (talk.register.agreement(standing.id), int(standing.terms.price)) == (standing, 20_000)


def test_offers_and_requests_go_to_and_fro_until_one_is_accepted(talk, parties):
    talk.proposed("C", "REQUESTED", talk.request(price_vnd=10_000))
    talk.proposed("P", "OFFERED", talk.offer(price_vnd=24_000))
    talk.proposed("C", "REQUESTED", talk.request(price_vnd=15_000))
    talk.proposed("P", "OFFERED", talk.offer(price_vnd=18_000))
    talk.move("C", "ACCEPTED", talk.agreement(parties.buyer), {parties.buyer})
    talk.countersigned("AGREED", parties.provider)
    talk.move("C", "VERIFIED")
    standing = talk.finalized()
    assert int(standing.terms.price) == 18_000
    said = talk.register.read(negotiation.history, NAME)
    assert [(each.party, each.state) for each in said] == [
        *(("C", "REQUESTED"), ("P", "OFFERED"), ("C", "REQUESTED"), ("P", "OFFERED")),
        *(("C", "ACCEPTED"), ("P", "AGREED"), ("C", "VERIFIED"), ("P", "FINALIZED")),
    ]


def test_only_what_is_finalised_is_an_agreement(talk):
    talk.to("VERIFIED")
    assert talk.register.read(registry.agreements) == []
    talk.finalized()
    assert len(talk.register.read(registry.agreements)) == 1


def test_nothing_is_final_before_the_exchange_has_recorded_the_agreement(talk):
    talk.to("VERIFIED")
    last = talk.register.read(negotiation.negotiation, NAME).document
    message = Message("P", "FINALIZED", last, None, talk.at)
    refused(NotFound, "agreement.unknown", talk.register.write, negotiation.move, NAME, message)
    other = replace(message, document=Digest("sha256:" + "0" * 64))
    refused(Invalid, "negotiation.document", talk.register.write, negotiation.move, NAME, other)
    assert talk.state() == "VERIFIED"


def crash():
    raise OSError


def test_a_crash_before_the_commit_leaves_neither_agreement_nor_move(talk):
    talk.to("VERIFIED")
    with pytest.raises(OSError):  # noqa: PT011  # whatever it is that a crash raises
        talk.finalized(crash)
    assert (talk.state(), talk.register.read(registry.agreements)) == ("VERIFIED", [])
    talk.finalized()
    assert talk.state() == "FINALIZED"


# --- repetitions ---
@pytest.mark.parametrize("state", ["REQUESTED", "OFFERED", "ACCEPTED", "AGREED", "VERIFIED", "FINALIZED", "TERMINATED"])
def test_each_message_may_come_again_and_changes_nothing(talk, state):
    talk.to(state)
    before = talk.register.read(negotiation.history, NAME)
    for message in before:
        again = talk.register.write(negotiation.move, NAME, replace(message, at=talk.at + timedelta(hours=1)))
        assert again.state == state
    assert talk.register.read(negotiation.history, NAME) == before


def test_a_negotiation_begun_twice_by_one_document_is_one(talk):
    begun = talk.to("REQUESTED")
    (message,) = talk.register.read(negotiation.history, NAME)
    assert talk.register.write(negotiation.start, OTHER, talk.between, message) == begun
    assert talk.register.read(negotiation.begun_by, begun.document) == begun
    assert talk.register.read(negotiation.begun_by, "sha256:" + "0" * 64) is None


def test_two_documents_do_not_begin_one_negotiation(talk):
    talk.to("REQUESTED")
    talk.last = talk.public
    text = talk.request(price_vnd=1)
    talk.register.write(offers.put_offer, envelope.open_request(text, talk.parties), text, talk.at)
    message = talk.message("C", "REQUESTED", text)
    refused(Conflict, "negotiation.exists", talk.register.write, negotiation.start, NAME, talk.between, message)


def test_one_document_is_said_in_one_negotiation(talk, parties):
    talk.to("REQUESTED")
    talk.last = talk.public
    text = talk.request(price_vnd=1)
    talk.register.write(offers.put_offer, envelope.open_request(text, parties), text, talk.at)
    talk.register.write(negotiation.start, OTHER, talk.between, talk.message("C", "REQUESTED", text))
    talk.last = text
    counter = talk.offer(price_vnd=2)
    talk.register.write(offers.put_offer, envelope.open_offer(counter, parties), counter, talk.at)
    talk.register.write(negotiation.move, OTHER, talk.message("P", "OFFERED", counter))
    refused(Invalid, "negotiation.document", talk.move, "P", "OFFERED", counter)


# --- documents that do not fit ---
def test_a_move_without_its_document_is_refused(talk):
    for state, party, target in [("REQUESTED", "P", "OFFERED"), ("OFFERED", "C", "ACCEPTED")]:
        if state == "OFFERED":
            talk.proposed("P", "OFFERED", talk.offer())
        else:
            talk.to(state)
        refused(Invalid, "negotiation.document", talk.move, party, target)
        assert talk.state() == state


def test_a_message_names_the_document_that_it_carries(talk):
    message = talk.message("C", "REQUESTED", talk.request())
    lying = replace(message, document=Digest("sha256:" + "0" * 64))
    refused(Invalid, "negotiation.document", talk.register.write, negotiation.start, NAME, talk.between, lying)


def test_a_document_of_another_kind_is_no_message(talk):
    message = replace(talk.message("P", "OFFERED", talk.offer()), party="C", state="REQUESTED")
    refused(Invalid, "signature.invalid", talk.register.write, negotiation.start, NAME, talk.between, message)


@pytest.mark.parametrize(
    "between",
    [{"provider": "cong-ty-khac"}, {"buyer": "cong-ty-khac"}, {"dataset": "chi_so_cds"}],
    ids=["provider", "buyer", "dataset"],
)
def test_a_document_between_others_is_no_message(talk, between):
    message = talk.message("C", "REQUESTED", talk.request())
    others = replace(talk.between, **between)
    refused(Invalid, "negotiation.document", talk.register.write, negotiation.start, NAME, others, message)


def test_a_public_offer_is_no_message(talk):
    message = talk.message("P", "OFFERED", talk.public)
    refused(Invalid, "negotiation.document", talk.register.write, negotiation.start, NAME, talk.between, message)


def test_a_proposal_that_the_registry_does_not_hold_is_no_message(talk):
    message = talk.message("C", "REQUESTED", talk.request())
    refused(NotFound, "offer.unknown", talk.register.write, negotiation.start, NAME, talk.between, message)
    talk.to("REQUESTED")
    refused(NotFound, "offer.unknown", talk.move, "P", "OFFERED", talk.offer())


def test_a_request_answers_a_public_offer_that_stands(talk, parties):
    unknown = parties.offer(price_vnd=1)
    talk.last = unknown
    refused(NotFound, "offer.unknown", talk.proposed, "C", "REQUESTED", talk.request())
    talk.last = talk.public
    offer = digest_of(document_of(talk.public))
    talk.register.write(offers.withdraw_offer, offer, parties.provider, talk.at)
    refused(AgreementRefused, "offer.superseded", talk.proposed, "C", "REQUESTED", talk.request())


def test_a_request_does_not_begin_from_an_offer_that_is_said_in_a_negotiation(talk, parties):
    talk.to("OFFERED")
    text = talk.request(price_vnd=1)
    talk.register.write(offers.put_offer, envelope.open_request(text, parties), text, talk.at)
    message = talk.message("C", "REQUESTED", text)
    refused(NotFound, "offer.unknown", talk.register.write, negotiation.start, OTHER, talk.between, message)


def test_a_request_does_not_begin_from_another_providers_offer_or_dataset(talk, parties):
    other = parties.offer("chi_so_cds", price_vnd=0)
    talk.register.offered(other)
    document = document_of(talk.request()) | {"prev": digest_of(document_of(other))}
    text = envelope.sign_request(document, parties.keys[parties.buyer])
    refused(Invalid, "negotiation.document", talk.proposed, "C", "REQUESTED", text)


def test_who_gave_up_may_begin_again_from_the_same_public_offer(talk, parties):
    talk.to("REQUESTED")
    talk.proposed("P", "OFFERED", talk.offer(price_vnd=30_000))
    talk.move("C", "TERMINATED")
    talk.last = talk.public
    text = talk.request(price_vnd=21_000)
    talk.register.write(offers.put_offer, envelope.open_request(text, parties), text, talk.at)
    begun = talk.register.write(negotiation.start, OTHER, talk.between, talk.message("C", "REQUESTED", text))
    assert begun.state == "REQUESTED"


def test_a_counter_offer_answers_what_was_said_last(talk):
    talk.to("REQUESTED")
    first = talk.last
    talk.proposed("P", "OFFERED", talk.offer(price_vnd=24_000))
    talk.proposed("C", "REQUESTED", talk.request(price_vnd=15_000))
    talk.last = first  # the provider answers the buyer's first request once more
    refused(Invalid, "negotiation.document", talk.proposed, "P", "OFFERED", talk.offer(price_vnd=23_000))


def test_an_old_offer_in_prev_is_not_accepted(talk, parties):
    talk.to("REQUESTED")
    talk.proposed("P", "OFFERED", talk.offer(price_vnd=10_000))
    cheap = talk.last
    talk.proposed("C", "REQUESTED", talk.request(price_vnd=5_000))
    talk.proposed("P", "OFFERED", talk.offer(price_vnd=22_000))
    old = talk.agreement(parties.buyer, made_of=cheap)
    refused(Invalid, "negotiation.document", talk.move, "C", "ACCEPTED", old, {parties.buyer})
    # nor beside the negotiation, though all three sign it
    for who in (parties.provider, parties.exchange):
        old = envelope.add_signature(old, parties.keys[who])
    refused(AgreementRefused, "offer.superseded", talk.register.recorded, old)


def test_a_public_offer_is_closed_to_a_buyer_who_was_made_another_and_open_to_all_else(talk, parties):
    talk.to("REQUESTED")
    assert talk.register.recorded(parties.agreed(talk.public, number=3))  # a request alone replaces nothing
    talk.proposed("P", "OFFERED", talk.offer(price_vnd=30_000))
    refused(AgreementRefused, "offer.superseded", talk.register.recorded, parties.agreed(talk.public, number=4))
    assert talk.register.recorded(parties.agreed(talk.public, buyer=parties.stranger))


def test_nothing_is_agreed_on_what_was_said_in_a_negotiation_that_was_given_up(talk, parties):
    talk.to("OFFERED")
    text = talk.agreement(parties.buyer, parties.provider, parties.exchange)
    talk.move("P", "TERMINATED")
    refused(AgreementRefused, "offer.superseded", talk.register.recorded, text)


def test_an_agreement_that_differs_from_what_it_is_made_of_is_refused(talk, parties, forge):
    talk.to("OFFERED")
    document = document_of(talk.agreement(parties.buyer))
    document["terms"]["max_rows"] = 9_999
    text = canonical(forge(document, parties.keys[parties.buyer]))
    refused(Invalid, "contract.invalid", talk.move, "C", "ACCEPTED", text, {parties.buyer})
    assert talk.state() == "OFFERED"


def test_what_the_provider_withdraws_in_the_middle_is_not_accepted(talk, parties):
    talk.to("OFFERED")
    offer = digest_of(document_of(talk.last))
    talk.register.write(offers.withdraw_offer, offer, parties.provider, talk.at)
    text = talk.agreement(parties.buyer)
    refused(AgreementRefused, "offer.superseded", talk.move, "C", "ACCEPTED", text, {parties.buyer})


def test_the_provider_signs_the_agreement_that_the_buyer_signed_and_no_other(talk, parties):
    talk.to("ACCEPTED")
    both = {parties.buyer, parties.provider}
    talk.last = talk.register.read(offers.offer_envelope, document_of(talk.last)["prev"])
    other = talk.agreement(parties.buyer, parties.provider, number=2)
    refused(Invalid, "negotiation.document", talk.move, "P", "AGREED", other, both)


SIGNED = {"nobody": set(), "the other side": {"hiep-hoi-ban-le"}, "a stranger": {"cong-ty-khac"},
          "a stranger too": {"cong-ty-fintech", "cong-ty-khac"}}  # fmt: skip


@pytest.mark.parametrize("signed_by", SIGNED.values(), ids=SIGNED.keys())
def test_an_agreement_is_accepted_with_the_buyers_signature_alone(talk, parties, signed_by):
    talk.to("OFFERED")
    text = talk.agreement(parties.buyer)
    refused(Invalid, "negotiation.unsigned", talk.move, "C", "ACCEPTED", text, signed_by)
    assert talk.state() == "OFFERED"


def test_a_provider_who_strips_the_buyers_signature_has_agreed_to_nothing(talk, parties):
    talk.to("ACCEPTED")
    alone = canonical(parse(envelope.add_signature(talk.last, parties.keys[parties.provider])) | {"signatures": []})
    refused(Invalid, "negotiation.unsigned", talk.move, "P", "AGREED", alone, {parties.provider})
    assert talk.state() == "ACCEPTED"


def test_a_buyer_who_has_not_signed_does_not_confirm_by_a_word(talk, parties):
    talk.to("REQUESTED")
    text = talk.agreement(parties.provider)
    talk.move("P", "AGREED", text, {parties.provider})
    refused(Invalid, "negotiation.document", talk.move, "C", "VERIFIED")
    refused(Invalid, "negotiation.unsigned", talk.move, "C", "VERIFIED", text, {parties.provider})
    assert talk.state() == "AGREED"


def test_giving_up_and_confirming_carry_no_loose_document(talk, parties):
    talk.to("AGREED")
    agreement = talk.last
    named = replace(talk.message("C", "VERIFIED", agreement), envelope=None)
    refused(Invalid, "negotiation.document", talk.register.write, negotiation.move, NAME, named)
    refused(Invalid, "negotiation.document", talk.move, "C", "TERMINATED", agreement)
    assert talk.state() == "AGREED"


# --- who sees what ---
def test_each_party_sees_its_own_negotiations_the_newest_first(talk, parties):
    first = talk.to("REQUESTED")
    talk.last = talk.public
    text = talk.request(price_vnd=1)
    talk.register.write(offers.put_offer, envelope.open_request(text, parties), text, talk.at)
    second = talk.register.write(negotiation.start, OTHER, talk.between, talk.message("C", "REQUESTED", text))
    for who in (parties.provider, parties.buyer, None):
        assert talk.register.read(negotiation.negotiations, who) == [second, first]
    assert talk.register.read(negotiation.negotiations, parties.stranger) == []


@pytest.mark.parametrize("name", ["", "neg_x", "neg_\x00", "../x", OTHER])
def test_an_unknown_negotiation_is_not_found(talk, name):
    talk.to("REQUESTED")
    refused(NotFound, "negotiation.unknown", talk.register.read, negotiation.negotiation, name)
    refused(NotFound, "negotiation.unknown", talk.move, "C", "TERMINATED", name=name)


def test_a_negotiation_has_an_agreement_only_once_someone_has_signed_one(talk):
    talk.to("OFFERED")
    assert talk.register.read(negotiation.signed_agreement, NAME) is None
    talk.move("C", "ACCEPTED", text := talk.agreement(talk.parties.buyer), {talk.parties.buyer})
    assert talk.register.read(negotiation.signed_agreement, NAME) == text
