"""What the regulator and the public may ask of the record: volume, its recount from the log, receipts, checkpoint."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson
from sqlalchemy.engine import Connection

from sandbox.audit import receipt as receipts
from sandbox.audit import tiles
from sandbox.audit.bodies import kept_of, require_sealed
from sandbox.audit.erasures import erased_names
from sandbox.audit.events import SALT_BYTES, EventType, read_entry, seal
from sandbox.core.canonical import canonical, parse
from sandbox.core.clock import day_of, instant_of
from sandbox.core.errors import Tampered
from sandbox.core.terms import OVERSEERS, Participant
from sandbox.exchange import runs
from sandbox.exchange.house import CHECKPOINT_FOLDER, House
from sandbox.market import volume
from sandbox.market.volume import Volume

_PAGE = 1_000


def log_entries(house: House, connection: Connection) -> Iterator[dict[str, Any]]:
    """Every entry document of the log, in its order."""
    size = house.log.head(connection).size
    for start in range(0, size, _PAGE):
        for leaf in house.log.entries(connection, start, min(start + _PAGE, size)):
            yield read_entry(leaf)


def counted(house: House, by: str | None = None) -> tuple[Volume, Mapping[str, Volume]]:
    """The volume from the ledger, whole and by a dimension, once the log's own count has given the same (I7).

    Raises:
        Tampered: ``tampered.ledger`` when it has not, as after a recovery that brought sales back without their money.
        Invalid: ``volume.dimension``.
    """
    total, parts = counted_by(house, [by] if by else [])
    return total, parts[by] if by else {}


def counted_by(house: House, dimensions: Iterable[str]) -> tuple[Volume, Mapping[str, Mapping[str, Volume]]]:
    """The same by several dimensions, for one reading of the log."""
    with house.database.read() as connection:  # one snapshot: a query that settles meanwhile is in both or in neither
        total, parts = volume.volume(connection), {by: volume.volume_by(connection, by) for by in dimensions}
        entries = list(log_entries(house, connection))
        recounted = volume.fold(entries)
        shares = {by: volume.fold_by(entries, _key_of(house, connection, by, entries)) for by in parts}
    if (total, parts) != (recounted, shares):
        raise _unequal(entries)
    return total, parts


def _unequal(entries: list[dict[str, Any]]) -> Tampered:
    """The error for a ledger that is not the log's; the log itself tells where a recovery is the reason."""
    told, hint = "The ledger and the log give different volumes.", "Stop trading and investigate."
    lost = [f"{entry['from']} to {entry['to']}" for entry in entries if entry["type"] == EventType.LOG_RECOVERED]
    if lost:
        told += f" The entries {', '.join(lost)} were recovered without their state."
        hint = (
            "Put back a backup of the database that holds those entries, then run: sandbox log recover. Without one "
            "the log alone tells the volume: sandbox verify log --replay."
        )
    return Tampered("tampered.ledger", told, hint=hint)


def _key_of(
    house: House, connection: Connection, by: str, entries: list[dict[str, Any]]
) -> Callable[[Mapping[str, Any], Mapping[str, Any]], str]:
    """How the log tells a dimension: provider and sector stand with the agreement, the buyer behind a seal."""
    agreed = {entry["agreement"]: entry for entry in entries if entry["type"] == EventType.AGREEMENT_SIGNED}
    erased = {entry for entry, name in erased_names(entries) if name == "actor"}

    def key(entry: Mapping[str, Any], share: Mapping[str, Any]) -> str:
        match by:
            case "day":
                return day_of(instant_of(entry["ts"])).isoformat()
            case "dataset":
                return str(share["dataset"])
            case "buyer" if entry["id"] in erased:  # the log does not tell any more whose query it was
                return runs.buyer_of(connection, entry["query"])
            case "buyer":
                return _actor(house, connection, entry)
        return str(agreed.get(share["id"], {}).get(by, ""))

    return key


def _actor(house: House, connection: Connection, entry: Mapping[str, Any]) -> str:
    salt, value = house.log.bodies(connection, entry["id"]).get("actor", (bytes(SALT_BYTES), None))
    return str(value) if seal("actor", salt, canonical(value)) == entry["sealed"]["actor"] else ""


def refusals(house: House) -> Mapping[str, int]:
    """How many queries each rule (or, without a rule, each error code) has refused, from the log."""
    with house.database.read() as connection:
        refused = [entry for entry in log_entries(house, connection) if entry["type"] == EventType.QUERY_REFUSED]
    counts = Counter(reason for entry in refused for reason in entry["reasons"] or [entry["code"]])
    return dict(sorted(counts.items()))


def receipt(house: House, who: Participant, query_id: str) -> bytes:
    """The receipt of a query's outcome: for its buyer, the regulator and the operator.

    A buyer's keeps the question sealed, whose counters tell what others have traded; see :func:`explained`.

    Raises:
        NotFound: ``query.unknown``, also when it is another buyer's.
    """
    overseer = who.roles & OVERSEERS
    with house.database.read() as connection:
        _, entry = runs.outcome_of(connection, query_id, None if overseer else who.id)
        withheld = () if overseer else ("question",)
        return receipts.receipt(connection, house.log, entry, house.exchange_key, withheld)


def explained(house: House, who: Participant, query_id: str) -> dict[str, Any]:
    """The question that was put to the policies for a query, and how they decided: for its buyer, regulator, operator.

    ``{"query", "entry", "state", "question", "decision": {"allow", "reasons"}, "policy"}``; ``question`` is None when
    the query was refused before any was put, or when its body was erased. A buyer's lacks the day's counters.

    Raises:
        NotFound: ``query.unknown``, also when it is another buyer's.
        Tampered: ``tampered.body`` when the stored question is not the one that the log commits to.
    """
    overseer = who.roles & OVERSEERS
    with house.database.read() as connection:
        state, entry_id = runs.decided_by(connection, query_id, None if overseer else who.id)
        _, leaf = house.log.find(connection, entry_id)
        entry = parse(leaf)
        question = _body(connection, entry, "question")
    said: Any = entry.get("policy") or {}
    if question and not overseer:  # what others have traded today is not for buyers
        del question["context"]["usage"]
    return {
        "query": query_id,
        "entry": entry_id,
        "state": state,
        "question": question,
        "decision": {"allow": said.get("decision") == "allow", "reasons": entry.get("reasons", [])},
        "policy": said.get("bundle"),
    }


def _body(connection: Connection, entry: Mapping[str, Any], name: str) -> Any:
    kept = kept_of(connection, [entry["id"]])[entry["id"]]
    if name not in kept:
        return None
    require_sealed(entry, {name: kept[name]})
    return orjson.loads(kept[name][1])


def export_log(house: House) -> int:
    """Bring the tile files in the home up to the database; answers the size that they show."""
    return tiles.export(house.database.engine, house.settings.home / CHECKPOINT_FOLDER)
