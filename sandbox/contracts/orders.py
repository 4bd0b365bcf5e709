"""The record of orders: each is given once, and what stands against trading is known at once.

Whoever runs something asks :func:`concerning` before and again while it runs, so that costs one look at an index that
is empty on a good day.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from sandbox.contracts import participants
from sandbox.contracts.order import (
    ENDS,
    MARKET,
    OPEN_INCIDENT,
    ORDER,
    SUSPEND,
    Order,
    add_signature,
    open_order,
    order_document,
    read_order,
    refuse,
    sign_order,
)
from sandbox.core.canonical import digest_of
from sandbox.core.database import Instant, Transaction, metadata
from sandbox.core.errors import Conflict, Invalid, NotFound, PolicyRefused, Tampered
from sandbox.core.signing import unverified
from sandbox.core.terms import Digest, Role

__all__ = [
    "Given",
    "Order",
    "Standing",
    "about",
    "add_signature",
    "concerning",
    "envelope_of",
    "given",
    "history",
    "listing",
    "open_order",
    "order_document",
    "put_order",
    "read_order",
    "sign_order",
]

_directive = sa.Table(
    "directive", metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("act", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),  # empty: the whole market
    sa.Column("envelope", sa.LargeBinary, nullable=False),
    sa.Column("recorded_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("ended_by", sa.Text),
    sa.Index("directive_target", "target", "ended_at"),
)  # fmt: skip
_STANDING: Final = (
    sa.select(_directive)
    .where(_directive.c.ended_at.is_(None), _directive.c.act.in_([SUSPEND, OPEN_INCIDENT]))
    .order_by(_directive.c.recorded_at, _directive.c.id)
)
# built once: every query asks, and a running one asks again and again; a list of any length would be compiled each time
_AT_ONCE: Final = 8
_PLACES: Final = tuple(f"target_{number}" for number in range(_AT_ONCE))
_CONCERNING: Final = _STANDING.where(_directive.c.target.in_([*map(sa.bindparam, _PLACES)]))


@dataclass(frozen=True, slots=True)
class Standing:
    """An order in effect: a suspension, or an incident that is open. ``target`` is empty for the whole market."""

    id: Digest
    act: str
    kind: str
    target: str
    reason: str


@dataclass(frozen=True, slots=True)
class Given:
    """An order as the database has it, by what it is found, which its signed document may contradict."""

    id: str
    act: str
    kind: str
    target: str
    envelope: bytes
    recorded_at: datetime
    ended_at: datetime | None
    ended_by: str | None


def put_order(tx: Transaction, order: Order, envelope: bytes, at: datetime) -> None:
    """Record an order that was opened from this envelope; one that ends another ends it here.

    Raises:
        Invalid: ``order.invalid`` when the envelope holds another order, or the two orders do not fit.
        PolicyRefused: ``order.quorum`` when an end of a stop lacks a regulator's or an operator's signature.
        NotFound: ``order.unknown`` when there is no such order to end.
        Conflict: ``order.exists`` for one that was given before; ``order.ended``.
    """
    document, _ = unverified(envelope, ORDER)
    if digest_of(document) != order.id:
        refuse("The envelope holds another order than the one that was opened.")
    if order.act in ENDS:
        _require_quorum(tx.connection, order)
    row = {
        "id": order.id,
        "act": order.act,
        "kind": order.kind,
        "target": order.target,
        "envelope": envelope,
        "recorded_at": at,
    }
    given = Conflict("order.exists", "This order was given before.", hint="Sign a new one; each counts once.")
    participants.insert_new(tx, _directive, row, given)
    if order.act in ENDS:
        _end(tx, order, at)


def _require_quorum(connection: Connection, order: Order) -> None:
    # one office alone, or whoever holds its key, must not undo what another has stopped
    roles = [participants.participant(connection, each).roles for each in order.signed_by]
    for wanted in (Role.REGULATOR, Role.OPERATOR):
        if not any(wanted in each for each in roles):
            raise PolicyRefused(
                "order.quorum", f"No {wanted} has signed; {order.act} takes a regulator's and an operator's signature.",
                hint="Have it signed too: sandbox resume --add FILE --key KEY", reasons=("CHARTER-06",),
            )  # fmt: skip


def _end(tx: Transaction, order: Order, at: datetime) -> None:
    found = tx.connection.execute(sa.select(_directive).where(_directive.c.id == order.ends)).one_or_none()
    if found is None:
        raise NotFound(
            "order.unknown", "The order that this one ends was never given.", hint="See: sandbox suspensions"
        )
    if (found.act, found.kind, found.target) != (ENDS[order.act], order.kind, order.target):
        refuse(f"{order.act} ends an order to {ENDS[order.act]} of the same scope, and this one is another.")
    over = sa.update(_directive).where(_directive.c.id == order.ends, _directive.c.ended_at.is_(None))
    if tx.connection.execute(over.values(ended_at=at, ended_by=order.id)).rowcount != 1:
        raise Conflict("order.ended", "That order was ended before.", hint="See: sandbox suspensions")


# --- what stands ---
def concerning(
    connection: Connection,
    parties: Collection[str],
    datasets: Collection[str],
    agreements: Collection[str],
    query: str | None = None,
) -> tuple[Standing, ...]:
    """What suspends some of these now or is an open incident about them; the market concerns everyone."""
    wanted = {
        (MARKET, ""),
        *(("participant", each) for each in parties),
        *(("dataset", each) for each in datasets),
        *(("agreement", each) for each in agreements),
        ("query", query or ""),
    }
    rows = _about_some(connection, sorted({target for _, target in wanted}))
    return tuple(_standing(row) for row in rows if (row.kind, row.target) in wanted)


def _about_some(connection: Connection, targets: Sequence[str]) -> list[Row[tuple[object, ...]]]:
    rows: list[Row[tuple[object, ...]]] = []
    for start in range(0, len(targets), _AT_ONCE):
        some = targets[start : start + _AT_ONCE]
        filled = [*some, *[some[-1]] * (_AT_ONCE - len(some))]
        rows += connection.execute(_CONCERNING, dict(zip(_PLACES, filled, strict=True)))
    return sorted(rows, key=lambda row: (row.recorded_at, row.id))


def about(connection: Connection, kind: str, target: str = "") -> tuple[Standing, ...]:
    """What stands about exactly this, the oldest first."""
    return tuple(_standing(row) for row in _about_some(connection, [target]) if row.kind == kind)


def listing(connection: Connection) -> list[Standing]:
    """All that stands, the oldest first."""
    return [_standing(row) for row in connection.execute(_STANDING)]


def history(connection: Connection) -> list[Given]:
    """Every order that was given, in no particular order; nothing is checked."""
    return [Given(*row) for row in connection.execute(sa.select(_directive))]


def given(connection: Connection, order: str) -> Given | None:
    """One order that was given; None where there is none. Nothing is checked."""
    row = connection.execute(sa.select(_directive).where(_directive.c.id == order)).one_or_none()
    return None if row is None else Given(*row)


def envelope_of(connection: Connection, order: str) -> bytes:
    """The signed bytes of an order.

    Raises:
        NotFound: ``order.unknown``.
    """
    envelope: bytes | None = connection.scalar(sa.select(_directive.c.envelope).where(_directive.c.id == order))
    if envelope is None:
        raise NotFound("order.unknown", f"No order {order[:80]!r} was given.", hint="See: sandbox suspensions")
    return envelope


def _standing(row: Row[tuple[object, ...]]) -> Standing:
    try:
        order = read_order(unverified(row.envelope, ORDER)[0])
    except Invalid:
        order = None
    if order is None or (order.id, order.act, order.kind, order.target) != (row.id, row.act, row.kind, row.target):
        raise Tampered(
            "tampered.order", "The stored bytes of this order are not what was signed.",
            hint="Stop, keep the database as it is, and tell the regulator.",
        )  # fmt: skip
    return Standing(order.id, order.act, order.kind, order.target, order.reason)
