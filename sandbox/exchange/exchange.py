"""The exchange: one method per use case, for every door alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from sandbox.catalog import listing
from sandbox.catalog.listing import DatasetVersion
from sandbox.contracts import participants, registry
from sandbox.contracts.agreement import Agreement
from sandbox.contracts.terms import Offer
from sandbox.core.database import Transaction
from sandbox.core.errors import Conflict, SandboxError, Unavailable
from sandbox.core.keys import VerifyKey
from sandbox.core.terms import Digest, Participant, ParticipantId, Vnd
from sandbox.exchange import agree, members, policies, publish, query, report, runs, settle, sweep
from sandbox.exchange.case import QueryRequest
from sandbox.exchange.house import House
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

    def create_token(self, owner: ParticipantId, expires_at: datetime) -> str:
        """See :func:`sandbox.exchange.members.create_token`."""
        return members.create_token(self.house, owner, expires_at)

    def identify(self, secret: str) -> Participant:
        """Who holds this API token.

        Raises:
            NotIdentified: unknown, expired and revoked are told apart.
        """
        with self.house.database.read() as connection:
            return participants.identify(connection, secret, self.house.now())

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

    def offer(self, envelope: bytes) -> Offer:
        """See :func:`sandbox.exchange.agree.offer`."""
        return agree.offer(self.house, envelope)

    def offers(self) -> list[Offer]:
        """Every registered offer."""
        with self.house.database.read() as connection:
            return registry.offers(connection)

    def offer_envelope(self, digest: Digest) -> bytes:
        """The signed bytes of an offer.

        Raises:
            NotFound: ``offer.unknown``.
        """
        with self.house.database.read() as connection:
            return registry.offer_envelope(connection, digest)

    def agree(self, envelope: bytes) -> Agreement:
        """See :func:`sandbox.exchange.agree.agree`."""
        return agree.agree(self.house, envelope)

    def agreements(self, participant: ParticipantId | None = None) -> list[registry.AgreementRow]:
        """Agreements, of one participant or of all; one whose term is over says ``expired``."""
        now = self.house.now()
        with self.house.database.read() as connection:
            rows = registry.agreements(connection, participant)
        over = [row.state == registry.IN_FORCE and row.not_after <= now for row in rows]
        return [replace(row, state="expired") if ended else row for row, ended in zip(rows, over, strict=True)]

    # --- queries ---
    def query(self, buyer: Participant, request: QueryRequest) -> Result:
        """See :func:`sandbox.exchange.query.run_query`."""
        return query.run_query(self.house, buyer, request)

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

    def refusals(self) -> Mapping[str, int]:
        """See :func:`sandbox.exchange.report.refusals`."""
        return report.refusals(self.house)

    def export_log(self) -> int:
        """See :func:`sandbox.exchange.report.export_log`."""
        return report.export_log(self.house)

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

    def sweep(self) -> int:
        """See :func:`sandbox.exchange.sweep.sweep`."""
        return sweep.sweep(self.house)

    def status(self) -> Mapping[str, Status]:
        """Whether database, log, decision point and jail are ready."""
        return {
            "database": self._try(self._probe_database),
            "log": self._try(lambda: f"{self._head_size()} entries"),
            "policy": self._try(self._probe_policy),
            "engine": self._try(self.house.engine.require_isolation),
        }

    def _probe_database(self) -> str:
        def nothing(tx: Transaction) -> str:
            return tx.connection.dialect.name

        return self.house.database.write(nothing)

    def _head_size(self) -> int:
        with self.house.database.read() as connection:
            return self.house.log.head(connection).size

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
