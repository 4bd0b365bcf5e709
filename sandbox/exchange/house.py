"""What every use case works with: the rooms' adapters, chosen by ``bootstrap``."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy.engine import Connection

from sandbox.audit.events import EventType
from sandbox.audit.log import Entry, Log, written_down
from sandbox.catalog.intake import Intake
from sandbox.catalog.shelf import Shelf
from sandbox.contracts import charters, registry
from sandbox.contracts.agreement import Agreement
from sandbox.contracts.certificates import Trust
from sandbox.contracts.charter import Charter
from sandbox.contracts.keyring import Signers
from sandbox.core.canonical import Json
from sandbox.core.clock import Clock, new_id
from sandbox.core.database import Database, Transaction
from sandbox.core.keys import SigningKey
from sandbox.core.terms import EntryId, KeyUse, ParticipantId
from sandbox.policy.decision import DecisionPoint
from sandbox.query.engine import Engine
from sandbox.settings import Settings

CHECKPOINT_FOLDER: Final = "log"


@dataclass(frozen=True, slots=True)
class House:
    """The parts of one exchange."""

    settings: Settings
    clock: Clock
    database: Database
    log: Log
    shelf: Shelf
    intake: Intake
    policy: DecisionPoint
    engine: Engine
    exchange_key: SigningKey
    trust: Trust | None = None

    @property
    def exchange_id(self) -> ParticipantId:
        return ParticipantId(self.settings.exchange)

    @property
    def extracts(self) -> Path:
        return self.settings.home / "extracts"

    @property
    def spool(self) -> Path:
        """Where results that are too large for memory lie while they leave."""
        folder = self.settings.home / "spool"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def new_entry(self) -> EntryId:
        """The id of a log entry to come; made outside the unit, so that a redo writes the same one."""
        return EntryId(new_id("ent", self.clock))

    def record(
        self,
        tx: Transaction,
        kind: EventType,
        entry_id: EntryId,
        clear: Mapping[str, Json],
        sealed: Mapping[str, Json] | None = None,
    ) -> None:
        """Put an event on the record, in the transaction of the state it tells of."""
        self.log.record(tx, kind, self.clock.now(), entry_id=entry_id, clear=clear, sealed=sealed or {})

    def written_down(
        self, kind: EventType, entry_id: EntryId, clear: Mapping[str, Json], sealed: Mapping[str, Json] | None = None
    ) -> Entry:
        """An entry made ready before its unit: what every query writes is not made on the one writer thread."""
        return written_down(kind, self.clock.now(), entry_id=entry_id, clear=clear, sealed=sealed)

    def signers(self, connection: Connection, at: datetime | None = None, use: KeyUse = KeyUse.CONTRACT) -> Signers:
        """Whose signatures count, for one use, at an instant; now unless said otherwise."""
        return Signers(connection, at or self.now(), self.trust, use)

    def charter(self, connection: Connection) -> Charter | None:
        """The charter that governs now, verified from its stored bytes; None when there is none."""
        return charters.in_force(connection, partial(self.signers, connection), self.now())

    def agreement(self, connection: Connection, name: str) -> Agreement:
        """The agreement of a digest or unique prefix, verified from its stored bytes."""
        return registry.agreement(connection, name, partial(self.signers, connection), self.exchange_id)

    def now(self) -> datetime:
        return self.clock.now()
