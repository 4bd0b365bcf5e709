"""The transaction volume: what has been settled, counted from the ledger or from the log (docs/measures.md)."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sandbox.core.errors import Invalid
from sandbox.core.terms import Vnd
from sandbox.market.tables import settlement, settlement_share

_KEYS: Final[Mapping[str, sa.Column[Any]]] = {
    "day": settlement.c.day,
    "provider": settlement_share.c.provider,
    "buyer": settlement.c.buyer,
    "dataset": settlement_share.c.dataset,
    "sector": settlement_share.c.sector,
    "agreement": settlement_share.c.agreement,
}


@dataclass(frozen=True, slots=True)
class Volume:
    """Settled queries: how many, for how much, releasing what, and how many of them cost 0 ₫."""

    count: int
    value_vnd: Vnd
    rows: int
    bytes: int
    count_open: int


def volume(connection: Connection, since: datetime | None = None, until: datetime | None = None) -> Volume:
    """The volume of what was settled from ``since`` and before ``until``."""
    totals = sa.select(*_totals(_parts((), since, until)))
    return Volume(*connection.execute(totals).one())


def volume_by(
    connection: Connection, dimension: str, since: datetime | None = None, until: datetime | None = None
) -> dict[str, Volume]:
    """The volume by day (``2026-12-01`` in Asia/Ho_Chi_Minh), provider, buyer, dataset, sector or agreement.

    It is in order of the key.

    A query over several datasets counts once, with all its rows and bytes, in each group that it touches; its price is
    divided among them, so only values add up to the whole.

    Raises:
        Invalid: ``volume.dimension``.
    """
    if dimension not in _KEYS:
        raise Invalid("volume.dimension", f"No volume by {dimension[:40]!r}.", hint=f"Choose {', '.join(_KEYS)}.")
    parts = _parts((_KEYS[dimension],), since, until)
    key = parts.c[_KEYS[dimension].name]
    groups = connection.execute(sa.select(key, *_totals(parts)).group_by(key))
    volumes = {str(name): Volume(*totals) for name, *totals in groups}
    return dict(sorted(volumes.items()))  # not ORDER BY: each database has its own collation


def fold(entries: Iterable[Mapping[str, Any]]) -> Volume:
    """The volume recounted from the log's entry documents, without the ledger; the two must be equal.

    Raises:
        Invalid: ``entry.malformed`` for a ``query.completed`` without its meter: to skip it would hide a sale.
    """
    total = Volume(0, Vnd(0), 0, 0, 0)
    for entry in entries:
        if entry.get("type") == "query.completed":
            total = _plus(total, entry.get("meter"))
    return total


def fold_by(
    entries: Iterable[Mapping[str, Any]], key_of: Callable[[Mapping[str, Any], Mapping[str, Any]], str]
) -> dict[str, Volume]:
    """The same by a key of each entry and share (``{"id", "dataset", "vnd"}``), counted as :func:`volume_by` counts.

    Raises:
        Invalid: ``entry.malformed``.
    """
    groups: dict[str, Volume] = {}
    for entry in entries:
        if entry.get("type") == "query.completed":
            shares: Counter[str] = Counter()
            for share in entry["agreements"]:
                shares[key_of(entry, share)] += share["vnd"]
            for key, vnd in shares.items():
                groups[key] = _plus(groups.get(key, Volume(0, Vnd(0), 0, 0, 0)), {**entry["meter"], "vnd": vnd})
    return dict(sorted(groups.items()))


def growth_bp(now: int, before: int) -> int | None:
    """Growth over the earlier period in basis points, to the nearest (halves up); undefined when that one is 0."""
    if before == 0:
        return None
    return ((now - before) * 20_000 + before) // (2 * before)


def _plus(total: Volume, meter: object) -> Volume:
    match meter:
        case {"rows_out": int(rows), "bytes_out": int(size), "vnd": int(vnd)}:
            return Volume(
                total.count + 1,
                Vnd(total.value_vnd + vnd),
                total.rows + rows,
                total.bytes + size,
                total.count_open + (vnd == 0),
            )
    raise Invalid("entry.malformed", "A completed query has no meter.", hint="Verify the log: sandbox audit verify.")


def _totals(parts: sa.Subquery) -> list[sa.ColumnElement[Any]]:
    vnd, rows, size = (
        sa.func.coalesce(sa.func.sum(part), 0) for part in (parts.c.vnd, parts.c.rows_out, parts.c.bytes_out)
    )
    sums = [total.cast(sa.BigInteger) for total in (vnd, rows, size)]  # PostgreSQL sums integers to Decimal
    return [sa.func.count(), *sums, sa.func.count().filter(parts.c.vnd == 0)]


def _parts(keys: tuple[sa.Column[Any], ...], since: datetime | None, until: datetime | None) -> sa.Subquery:
    # one row per query and group, or a query with two shares in one group would release its rows twice
    columns = (*keys, settlement.c.query_id, settlement.c.rows_out, settlement.c.bytes_out)
    parts = sa.select(*columns, sa.func.sum(settlement_share.c.vnd).label("vnd")).join_from(
        settlement, settlement_share
    )
    if since is not None:
        parts = parts.where(settlement.c.at >= since)
    if until is not None:
        parts = parts.where(settlement.c.at < until)
    return parts.group_by(*columns).subquery()
