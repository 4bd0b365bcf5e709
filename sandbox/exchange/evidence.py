"""The evidence of one query, gathered for whoever must judge it without the exchange."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy.engine import Connection

from sandbox.audit import receipt as receipts
from sandbox.audit.evidence import DECISION, OUTCOME, QUESTION, Named, folder_of, named_by
from sandbox.audit.pack import packed
from sandbox.catalog import listing
from sandbox.catalog.descriptor import describe
from sandbox.contracts import charters, offers, registry
from sandbox.core.canonical import canonical, parse
from sandbox.core.errors import NotFound
from sandbox.core.terms import OVERSEERS, Digest, Participant
from sandbox.exchange import policies, runs
from sandbox.exchange.disclose import Extent, lines
from sandbox.exchange.house import House


def evidence(house: House, who: Participant, query_id: str) -> bytes:
    """The evidence pack of a query, for the regulator and the operator. It holds every sealed value that is kept.

    Raises:
        NotFound: ``query.unknown``, also for everybody else.
        Tampered: ``tampered.dataset``, ``tampered.policy`` when what is stored is not what was signed.
    """
    if not who.roles & OVERSEERS:
        raise NotFound("query.unknown", f"No query {query_id[:40]!r}, or it is not yours.", hint="Check the id.")
    files: dict[str, bytes] = {}
    with house.database.read() as connection:
        told = {name: _receipt(house, connection, entry) for name, entry in _entries(connection, query_id)}
        decision = told[DECISION]
        question = decision["reveal"].get(QUESTION, {}).get("value")
        files |= _documents(connection, named_by(decision["entry"], question))
        for entry in (each["entry"] for each in told.values()):
            files |= _policies(connection, entry)
        places = {name: house.log.find(connection, each["entry"]["id"])[0] for name, each in told.items()}
    for name, place in places.items():
        files[f"receipts/{name}.json"] = canonical(told[name])
        files[f"disclosures/{name}.ndjson"] = b"".join(lines(house, Extent(place, place)))
    return packed(query_id, files)


def _entries(connection: Connection, query_id: str) -> Iterator[tuple[str, str]]:
    """The entries of the decision and, where there is one, of the outcome."""
    _, decided = runs.decided_by(connection, query_id, None)
    yield DECISION, decided
    _, last = runs.outcome_of(connection, query_id, None)
    if last != decided:
        yield OUTCOME, last


def _receipt(house: House, connection: Connection, entry: str) -> dict[str, Any]:
    return parse(receipts.receipt(connection, house.log, entry, house.exchange_key))


def _policies(connection: Connection, entry: Mapping[str, Any]) -> dict[str, bytes]:
    bundle: str | None = (entry.get("policy") or {}).get("bundle")
    if bundle is None:
        return {}
    files = policies.bundle_files(connection, bundle)
    return {folder_of("policies", bundle) + path: content for path, content in (files or {}).items()}


def _documents(connection: Connection, named: Named) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for agreement, version in named.agreements.items():
        row, folder = registry.agreement_row(connection, agreement), folder_of("agreements", agreement)
        files[f"{folder}contract.json"] = registry.agreement_envelope(connection, agreement)
        offer = offers.offer_envelope(connection, row.offer)
        files[f"{folder}{'offer' if 'offer' in parse(offer) else 'request'}.json"] = offer
        files |= _dataset(connection, Digest(version or row.version))
    adopted = {each.digest: each.envelope for each in charters.history(connection)}
    if named.charter in adopted:
        files["charter.json"] = adopted[Digest(named.charter)]
    return files


def _dataset(connection: Connection, version: Digest) -> dict[str, bytes]:
    folder, descriptor = folder_of("datasets", version), listing.version(connection, version).descriptor
    return {
        f"{folder}manifest.json": listing.signed_manifest(connection, version),
        f"{folder}descriptor.json": canonical(describe(descriptor)),
    }
