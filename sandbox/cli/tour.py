"""The demo's tour of contracts: a charter, a bargain, a certificate, a suspension."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from sandbox.cli import market
from sandbox.contracts import charters, envelope, orders
from sandbox.contracts.charter import months_after
from sandbox.contracts.terms import counter_document, request_document
from sandbox.core.canonical import Json, canonical, digest_of, parse
from sandbox.core.clock import HO_CHI_MINH, text_of
from sandbox.core.signing import unverified
from sandbox.core.terms import ParticipantId
from sandbox.settings import share

if TYPE_CHECKING:
    from sandbox.cli.pilot import Pilot


def charter_from(now: datetime) -> bytes:
    """The charter of the ``contracts`` folder, with its window beginning today."""
    document = parse((share("contracts") / "charter.json").read_bytes())
    start = now.astimezone(HO_CHI_MINH).replace(hour=0, minute=0, second=0, microsecond=0)
    match document:
        case {"window": dict(window)}:
            window |= {"start": _whole(start), "end": _whole(months_after(start, 12))}
    return canonical(document)


def _whole(instant: datetime) -> str:
    return text_of(instant).replace(".000000Z", "Z")


def adopt(pilot: "Pilot") -> None:
    """Regulator and operator sign the charter, and it is in force."""
    text = charter_from(pilot.exchange.house.now())
    for signer in (market.REGULATOR.id, pilot.settings.exchange):
        text = charters.sign_charter(text, pilot.keys[signer])
    adopted = pilot.exchange.adopt_charter(text)
    stage = adopted.stage_at(pilot.exchange.house.now())
    scale = f", stage {stage.name} at {stage.scale_percent} % of its caps" if stage else ""
    pilot.narrator.say(f"charter {adopted.id} version {adopted.version}: signed by regulator and operator{scale}")


def bargain(pilot: "Pilot", deal: market.Deal, offer: bytes, price_vnd: int, met_vnd: int) -> str:
    """Request, counter-offer, acceptance, agreement, confirmation, finalisation; answers the agreement's id."""
    exchange, buyer, provider = pilot.exchange, ParticipantId(deal.buyer), ParticipantId(deal.provider)
    now = exchange.house.now()
    offered = unverified(offer, envelope.OFFER)[0]
    wanted = request_document(offered, digest_of(offered), {"price_vnd": price_vnd}, buyer, now)
    begun = exchange.negotiate(buyer, "request", envelope.sign_request(wanted, pilot.keys[buyer]))
    counter = counter_document(wanted, digest_of(wanted), {"price_vnd": met_vnd}, now)
    answer = envelope.sign_offer(counter, pilot.keys[provider])
    exchange.negotiate(provider, "offer", answer, begun.id)
    accepted = envelope.accept_offer(answer, pilot.keys[buyer], secrets.token_bytes(32), now)
    exchange.negotiate(buyer, "accept", accepted, begun.id)
    exchange.negotiate(provider, "agree", envelope.add_signature(accepted, pilot.keys[provider]), begun.id)
    exchange.negotiate(buyer, "verify", None, begun.id)
    done = exchange.negotiate(provider, "finalize", None, begun.id)
    pilot.narrator.bargained(deal, price_vnd, met_vnd)
    return str(done.document)


@contextmanager
def suspended(pilot: "Pilot", agreement: str) -> Iterator[None]:
    """An agreement that the regulator has stopped; afterwards regulator and operator let it go on."""
    regulator, operator = market.REGULATOR.id, pilot.settings.exchange
    stop = _order(pilot, "suspend", agreement, "Kiểm tra theo kế hoạch", None)
    given = pilot.exchange.order(orders.sign_order(stop, pilot.keys[regulator]))
    yield
    go_on = _order(pilot, "resume", agreement, "Đã kiểm tra xong", given.id)
    half = orders.sign_order(go_on, pilot.keys[regulator])
    pilot.exchange.order(orders.add_signature(half, pilot.keys[operator]))
    pilot.narrator.say("regulator and operator sign together that it may go on")


def _order(pilot: "Pilot", act: str, agreement: str, reason: str, ends: str | None) -> dict[str, Json]:
    wanted: dict[str, Json] = {
        "act": act,
        "scope": {"kind": "agreement", "id": agreement},
        "issuer": market.REGULATOR.id,
        "reason": reason,
        "legal_basis": "Nghị định 314/2026/NĐ-CP, Điều 7 khoản 8 điểm d",
        "ends": ends,
    }
    return orders.order_document(wanted, secrets.token_bytes(32), pilot.exchange.house.now())
