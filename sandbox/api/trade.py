"""Offers, negotiations and agreements over HTTP: what is handed in is signed, by whoever hands it in."""

from typing import Final

from starlette.responses import Response

from sandbox.api.operations import Asked, answered
from sandbox.api.shapes import (
    AgreementView,
    HistoryView,
    MessageView,
    NegotiationView,
    offer_view,
)
from sandbox.contracts.negotiation import Message, Negotiation, due
from sandbox.core.canonical import Json, parse
from sandbox.core.clock import text_of
from sandbox.core.errors import NotFound

_EMPTY: Final = frozenset({b"", b"{}"})


def list_offers(asked: Asked) -> Response:
    """Every offer, with its signed document."""
    exchange = asked.exchange
    return answered([offer_view(offer, parse(exchange.offer_envelope(offer.id))) for offer in exchange.offers()])


def list_agreements(asked: Asked) -> Response:
    """The caller's agreements, on either side."""
    rows = asked.exchange.agreements(asked.identity.id)
    return answered([AgreementView(row.id, row.dataset, row.provider, row.buyer, row.state) for row in rows])


def create_agreement(asked: Asked) -> Response:
    """Hand in an agreement that buyer and provider signed; the exchange countersigns and records it."""
    if asked.identity.id not in _named(asked.body, "contract", "assigner", "assignee"):
        raise NotFound(
            "agreement.foreign", "You are no party to this agreement.", hint="Sign in as its buyer or provider."
        )
    agreement = asked.exchange.agree(asked.body, asked.identity)
    view = AgreementView(agreement.id, agreement.dataset, agreement.provider, agreement.buyer, "in_force")
    return answered(view, 201)


def create_offer(asked: Asked) -> Response:
    """Register an offer that its provider signed, for everyone to see."""
    if asked.identity.id not in _named(asked.body, "offer", "assigner"):
        raise NotFound("offer.foreign", "The offer is not yours.", hint="Sign in as its provider.")
    offer = asked.exchange.offer(asked.body, asked.identity)
    return answered(offer_view(offer, parse(asked.body)), 201)


def _named(body: bytes, member: str, *parties: str) -> list[Json]:
    """Who is named in a signed document: a token never signs, and nobody hands in what others agreed."""
    document = parse(body).get(member)
    return [document.get(party) for party in parties] if isinstance(document, dict) else []


# --- negotiations ---
def list_negotiations(asked: Asked) -> Response:
    """The caller's negotiations, on either side, the newest first."""
    return answered([_negotiation(each) for each in asked.exchange.negotiations(asked.identity.id)])


def get_negotiation(asked: Asked) -> Response:
    """One of the caller's negotiations with its messages, signed documents included."""
    found, messages = asked.exchange.negotiation(asked.identity.id, asked.path["id"])
    return answered(HistoryView(_negotiation(found), [_message(message) for message in messages]))


def start_negotiation(asked: Asked) -> Response:
    """Begin a negotiation: a buyer by a signed request, a provider by a signed offer to one buyer."""
    act = "request" if "request" in parse(asked.body) else "offer"
    who = asked.identity
    return answered(_negotiation(asked.exchange.negotiate(who.id, act, asked.body, by=who)), 201)


def move_negotiation(asked: Asked) -> Response:
    """Take a step: request, offer, accept, agree, verify, finalize or terminate, with the document that it needs."""
    envelope = None if asked.body.strip() in _EMPTY else asked.body
    who = asked.identity
    moved = asked.exchange.negotiate(who.id, asked.path["act"], envelope, asked.path["id"], who)
    return answered(_negotiation(moved))


def _negotiation(found: Negotiation) -> NegotiationView:
    return NegotiationView(found.id, found.state, found.dataset, found.provider, found.buyer, due(found))


def _message(message: Message) -> MessageView:
    envelope = None if message.envelope is None else parse(message.envelope)
    return MessageView(message.party, message.state, message.document, envelope, text_of(message.at))
