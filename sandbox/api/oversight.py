"""The charter, and the orders that stop trading and start it again, over HTTP."""

from collections.abc import Collection

from starlette.responses import Response

from sandbox.api.operations import Asked, answered
from sandbox.api.shapes import CharterView, OrderView, SuspensionView
from sandbox.contracts.orders import Standing
from sandbox.core.canonical import Json, parse
from sandbox.core.errors import NotFound
from sandbox.core.terms import OVERSEERS


def get_charter(asked: Asked) -> Response:
    """The charter in force, which the regulator and the operator signed."""
    charter, now = asked.exchange.charter(), asked.exchange.house.now()
    if charter is None:
        raise NotFound("charter.none", "No charter is in force.", hint="Nothing is traded until one is adopted.")
    stage = charter.stage_at(now)
    view = CharterView(
        digest=charter.digest,
        id=charter.id,
        version=charter.version,
        state=charter.state,
        stage=stage.name if stage else None,
        caps=charter.caps_at(now).as_input(),
        document=dict(charter.document),
    )
    return answered(view)


def give_order(asked: Asked) -> Response:
    """Hand in a signed order; it is carried out at once, or refused on the record."""
    issuer = _issuer(parse(asked.body))
    if asked.identity.id != issuer and not asked.identity.roles & OVERSEERS:  # overseers co-sign, and hand in
        raise NotFound("order.foreign", "The order is not yours.", hint="Sign in as the one who gives it.")
    order = asked.exchange.order(asked.body, asked.identity)
    return answered(OrderView(order.id, order.act, order.kind, order.target, order.ends), 201)


def _issuer(envelope: dict[str, Json]) -> Json:
    order = envelope.get("order")
    return order.get("issuer") if isinstance(order, dict) else None


def list_suspensions(asked: Asked) -> Response:
    """What is suspended or has an open incident: all of it for the overseers, for others what concerns them."""
    standing = asked.exchange.suspensions()
    if not asked.identity.roles & OVERSEERS:
        own = {asked.identity.id, *(row.id for row in asked.exchange.agreements(asked.identity.id))}
        standing = [each for each in standing if _concerns(each, own)]
    return answered([SuspensionView(each.id, each.act, each.kind, each.target, each.reason) for each in standing])


def _concerns(standing: Standing, own: Collection[str]) -> bool:
    # the catalogue is everyone's; who else was stopped is not
    return standing.kind in {"market", "dataset"} or standing.target in own
