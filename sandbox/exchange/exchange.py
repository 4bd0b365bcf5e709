"""The exchange: one method per use case, for every door alike."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

from sandbox.audit import index
from sandbox.audit.search import Wanted
from sandbox.catalog import listing
from sandbox.catalog.listing import DatasetVersion
from sandbox.contracts import keyring, offers, participants, registry, tokens
from sandbox.contracts.agreement import Agreement
from sandbox.contracts.charter import Charter
from sandbox.contracts.keyring import RegisteredKey
from sandbox.contracts.negotiation import Message, Negotiation
from sandbox.contracts.orders import Order, Standing
from sandbox.contracts.requests import SignedRequest
from sandbox.contracts.terms import Offer
from sandbox.contracts.tokens import Token
from sandbox.core.database import Transaction
from sandbox.core.errors import Conflict, SandboxError, Unavailable
from sandbox.core.keys import VerifyKey
from sandbox.core.terms import Digest, Identity, KeyUse, Participant, ParticipantId, Vnd
from sandbox.exchange import (
    agree,
    books,
    charter,
    desk,
    disclose,
    evidence,
    identify,
    members,
    negotiate,
    orders,
    policies,
    publish,
    query,
    report,
    runs,
    settle,
    sweep,
    witnessing,
)
from sandbox.exchange.case import QueryRequest
from sandbox.exchange.disclose import Extent
from sandbox.exchange.house import House
from sandbox.exchange.publication import Publication
from sandbox.exchange.query import Result
from sandbox.market import ledger, volume
from sandbox.market.volume import Volume


@dataclass(frozen=True, slots=True)
class Status:
    """Whether one part of the exchange is ready, and what it says of itself."""

    ready: bool
    says: str


class Exchange:
    """Close it, or use it as a context manager. Methods may be called from several threads."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._publication = Publication(house)
        policies.activate(house)
        self.repair()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish writing, export the log, stop the jail."""
        try:
            report.export_log(self.house)
        finally:
            self.house.database.close()
            self.house.engine.close()

    # --- participants ---
    def admit(self, participant: Participant, key: VerifyKey | None = None) -> None:
        """See :func:`sandbox.exchange.members.admit`."""
        members.admit(self.house, participant, key)

    def participants(self) -> list[Participant]:
        """Everyone admitted, by id."""
        with self.house.database.read() as connection:
            return participants.participants(connection)

    def register_key(
        self, owner: ParticipantId, key: VerifyKey, use: KeyUse, valid_until: datetime | None = None
    ) -> None:
        """See :func:`sandbox.exchange.members.register_key`."""
        members.register_key(self.house, owner, key, use, valid_until)

    def revoke_key(self, kid: str, invalid_from: datetime | None = None) -> None:
        """See :func:`sandbox.exchange.members.revoke_key`."""
        members.revoke_key(self.house, kid, invalid_from)

    def keys(self, owner: ParticipantId | None = None) -> list[RegisteredKey]:
        """The registered keys, of one participant or of all."""
        with self.house.database.read() as connection:
            return keyring.keys(connection, owner)

    def store_crl(self, content: bytes) -> Digest:
        """See :func:`sandbox.exchange.members.store_crl`."""
        return members.store_crl(self.house, content)

    def create_token(
        self,
        owner: ParticipantId,
        expires_at: datetime,
        scopes: Collection[str] | None = None,
        amr: tuple[str, ...] = members.STRONG,
    ) -> str:
        """See :func:`sandbox.exchange.members.create_token`."""
        return members.create_token(self.house, owner, expires_at, scopes, amr)

    def tokens(self, owner: ParticipantId | None = None) -> list[Token]:
        """The API tokens, of one participant or of all; no secret is kept."""
        with self.house.database.read() as connection:
            return tokens.tokens(connection, owner)

    def revoke_token(self, token: str) -> None:
        """See :func:`sandbox.exchange.members.revoke_token`."""
        members.revoke_token(self.house, token)

    def identify(self, secret: str, signature: SignedRequest | None = None) -> Identity:
        """See :func:`sandbox.exchange.identify.identify`."""
        return identify.identify(self.house, secret, signature)

    def top_up(self, owner: ParticipantId, vnd: int, evidence: str) -> Vnd:
        """See :func:`sandbox.exchange.members.top_up`."""
        return members.top_up(self.house, owner, vnd, evidence)

    def balance(self, owner: ParticipantId) -> Vnd:
        """What a participant's wallet holds, in đồng."""
        with self.house.database.read() as connection:
            return ledger.balance(connection, owner)

    # --- datasets, offers, agreements ---
    def publish(self, descriptor: bytes, files: Sequence[Path], envelope: bytes) -> DatasetVersion:
        """See :func:`sandbox.exchange.publish.publish`."""
        return publish.publish(self.house, descriptor, files, envelope)

    def datasets(self) -> list[DatasetVersion]:
        """The newest version of each dataset."""
        with self.house.database.read() as connection:
            return listing.datasets(connection)

    def offer(self, envelope: bytes, by: Identity | None = None) -> Offer:
        """See :func:`sandbox.exchange.agree.offer`."""
        return agree.offer(self.house, envelope, by)

    def offers(self) -> list[Offer]:
        """Every registered offer."""
        with self.house.database.read() as connection:
            return offers.offers(connection, partial(self.house.signers, connection))

    def offer_envelope(self, digest: Digest) -> bytes:
        """The signed bytes of an offer.

        Raises:
            NotFound: ``offer.unknown``.
        """
        with self.house.database.read() as connection:
            return offers.offer_envelope(connection, digest)

    def agree(self, envelope: bytes, by: Identity | None = None) -> Agreement:
        """See :func:`sandbox.exchange.agree.agree`."""
        return agree.agree(self.house, envelope, by)

    def agreements(self, participant: ParticipantId | None = None) -> list[registry.AgreementRow]:
        """Agreements, of one participant or of all; one whose term is over says ``expired``."""
        now = self.house.now()
        with self.house.database.read() as connection:
            rows = registry.agreements(connection, participant)
        over = [row.state == registry.IN_FORCE and row.not_after <= now for row in rows]
        return [replace(row, state="expired") if ended else row for row, ended in zip(rows, over, strict=True)]

    def negotiate(
        self,
        who: ParticipantId,
        act: str,
        envelope: bytes | None = None,
        negotiation: str | None = None,
        by: Identity | None = None,
    ) -> Negotiation:
        """See :func:`sandbox.exchange.negotiate.negotiate`."""
        return negotiate.negotiate(self.house, negotiate.Said(who, act, envelope, negotiation, by))

    def negotiations(self, who: ParticipantId | None = None) -> list[Negotiation]:
        """See :func:`sandbox.exchange.negotiate.of`."""
        return negotiate.of(self.house, who)

    def negotiation(self, who: ParticipantId | None, name: str) -> tuple[Negotiation, list[Message]]:
        """See :func:`sandbox.exchange.negotiate.history`."""
        return negotiate.history(self.house, who, name)

    # --- charter, orders ---
    def charter(self) -> Charter | None:
        """The charter in force; None when there is none, and nothing may be traded."""
        with self.house.database.read() as connection:
            return self.house.charter(connection)

    def adopt_charter(self, envelope: bytes) -> Charter:
        """See :func:`sandbox.exchange.charter.adopt`."""
        return charter.adopt(self.house, envelope)

    def order(self, envelope: bytes, by: Identity | None = None) -> Order:
        """See :func:`sandbox.exchange.orders.order`."""
        return orders.order(self.house, envelope, by)

    def suspensions(self) -> list[Standing]:
        """See :func:`sandbox.exchange.orders.suspensions`."""
        return orders.suspensions(self.house)

    # --- queries ---
    def query(self, identity: Identity, request: QueryRequest) -> Result:
        """See :func:`sandbox.exchange.query.run_query` and :meth:`Publication.require_sound`."""
        self._publication.require_sound()
        return query.run_query(self.house, identity, request)

    def explain(self, who: Participant, query_id: str) -> dict[str, Any]:
        """See :func:`sandbox.exchange.report.explained`."""
        return report.explained(self.house, who, query_id)

    def receipt(self, who: Participant, query_id: str) -> bytes:
        """See :func:`sandbox.exchange.report.receipt`."""
        return report.receipt(self.house, who, query_id)

    # --- the record ---
    def volume(self) -> Volume:
        """The transaction volume from the ledger."""
        with self.house.database.read() as connection:
            return volume.volume(connection)

    def volume_by(self, dimension: str) -> Mapping[str, Volume]:
        """The volume by ``day``, ``provider``, ``buyer``, ``dataset`` or ``sector``.

        Raises:
            Invalid: any other dimension.
        """
        with self.house.database.read() as connection:
            return volume.volume_by(connection, dimension)

    def counted_volume(self, by: str | None = None) -> tuple[Volume, Mapping[str, Volume]]:
        """See :func:`sandbox.exchange.report.counted`."""
        return report.counted(self.house, by)

    def books(self) -> dict[str, Any]:
        """See :func:`sandbox.exchange.books.books`."""
        return books.books(self.house)

    def audit_entries(self, who: Participant | None, asked: Wanted, *, reveal: bool = False) -> desk.Page:
        """See :func:`sandbox.exchange.desk.find`."""
        return desk.find(self.house, who, asked, reveal=reveal)

    def audit_entry(self, who: Participant | None, name: str) -> list[desk.Shown]:
        """See :func:`sandbox.exchange.desk.show`."""
        return desk.show(self.house, who, name)

    def refusals(self) -> Mapping[str, int]:
        """See :func:`sandbox.exchange.report.refusals`."""
        return report.refusals(self.house)

    def evidence(self, who: Participant, query_id: str) -> bytes:
        """See :func:`sandbox.exchange.evidence.evidence`."""
        return evidence.evidence(self.house, who, query_id)

    def disclose(self, extent: Extent, to: str, basis: str, by: Identity | None = None) -> Iterator[bytes]:
        """See :func:`sandbox.exchange.disclose.disclose`."""
        return disclose.disclose(self.house, extent, to, basis, by)

    def export_log(self) -> int:
        """See :meth:`Publication.export`."""
        return self._publication.export()

    def repair(self) -> int:
        """Close what a crash left "authorized without outcome": money and uses go back. Answers how many."""
        with self.house.database.read() as connection:
            left = runs.abandoned(connection, self.house.now())
        for query_id, uses in left:
            try:
                settle.fail(self.house, query_id, uses, Unavailable("run.abandoned", "The exchange stopped meanwhile."))
            except Conflict:  # another process closed it first
                continue
        return len(left)

    def ask_witnesses(self) -> int:
        """See :meth:`Publication.ask_witnesses`."""
        return self._publication.ask_witnesses()

    def survey(self) -> None:
        """See :meth:`Publication.survey`."""
        self._publication.survey()

    def index_log(self) -> int:
        """See :func:`sandbox.audit.index.catch_up`."""
        return index.catch_up(self.house.database)

    def sweep(self) -> int:
        """See :func:`sandbox.exchange.sweep.sweep`."""
        return sweep.sweep(self.house)

    def status(self) -> Mapping[str, Status]:
        """Whether database, log, decision point and jail are ready."""
        parts = {
            "database": self._try(self._probe_database),
            "log": self._try(self._probe_log),
            "policy": self._try(self._probe_policy),
            "engine": self._try(self.house.engine.require_isolation),
        }
        if self.house.settings.witness_policy:
            parts["witnesses"] = self._try(lambda: witnessing.standing(self.house.settings))
        return parts

    def _probe_database(self) -> str:
        def nothing(tx: Transaction) -> str:
            return tx.connection.dialect.name

        return self.house.database.write(nothing)

    def _probe_log(self) -> str:
        self._publication.require_sound()
        with self.house.database.read() as connection:
            return f"{self.house.log.head(connection).size} entries"

    def _probe_policy(self) -> str:
        self.house.policy.probe()
        return self.house.policy.policy

    @staticmethod
    def _try(part: Any) -> Status:
        try:
            return Status(True, part())
        except SandboxError as error:
            return Status(False, error.code)
        except Exception:  # a driver's own error: its text may hold a host or a path
            return Status(False, "unavailable")
