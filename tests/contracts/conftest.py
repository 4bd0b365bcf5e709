"""A registry of three parties and a stranger, on SQLite or on the PostgreSQL of ``SANDBOX_TEST_POSTGRES_URL``."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sandbox.contracts import envelope, keyring, offers, participants, registry
from sandbox.contracts.drafting import statement_of
from sandbox.contracts.terms import offer_document
from sandbox.core.canonical import parse
from sandbox.core.database import Database, open_engine, sqlite_url
from sandbox.core.keys import SigningKey, key_from_seed
from sandbox.core.terms import KeyUse, Participant, Role
from tests.forgeries import forged
from tests.tables import furnish

NOW = datetime(2026, 12, 1, 3, tzinfo=UTC)
EXCHANGE = "san-du-lieu"
PROVIDER = "hiep-hoi-ban-le"
BUYER = "cong-ty-fintech"
STRANGER = "cong-ty-khac"
SEEDS = {PROVIDER: 3, BUYER: 5, EXCHANGE: 7, STRANGER: 9}
VERSION = "sha256:" + "5a" * 32
CONTRACTS = Path(__file__).parents[2] / "contracts"


def terms_of(dataset: str = "hoa_don_dnnvv", **changed: Any) -> dict[str, Any]:
    return parse((CONTRACTS / "terms" / f"{dataset}.json").read_bytes()) | changed


def stated(dataset: str) -> dict[str, Any]:
    return statement_of(parse((CONTRACTS.parent / "datasets" / dataset / "descriptor.json").read_bytes()))


@dataclass
class Parties:
    """The keys of everyone, and a register of them that needs no database."""

    now: datetime = NOW
    exchange: str = EXCHANGE
    provider: str = PROVIDER
    buyer: str = BUYER
    stranger: str = STRANGER
    keys: dict[str, SigningKey] = field(
        default_factory=lambda: {who: key_from_seed(who, bytes([seed]) * 32) for who, seed in SEEDS.items()}
    )

    def by_kid(self, kid: str):
        return next((key.verify_key for key in self.keys.values() if key.kid == kid), None)

    def by_chain(self, chain: tuple[bytes, ...]):
        return None

    def ca_licensed(self, kid: str) -> bool:
        return False

    def owner_of(self, kid: str):
        return next((who for who, key in self.keys.items() if key.kid == kid), None)

    def offer_document(self, dataset: str = "hoa_don_dnnvv", *, at: datetime = NOW, **changed: Any) -> dict[str, Any]:
        return offer_document(terms_of(dataset, **changed), dataset, VERSION, PROVIDER, at, stated(dataset))

    def offer(self, dataset: str = "hoa_don_dnnvv", **changed: Any) -> bytes:
        return envelope.sign_offer(self.offer_document(dataset, **changed), self.keys[PROVIDER])

    def agreed(self, offer: bytes | None = None, *, buyer: str = BUYER, number: int = 1, at: datetime | None = None):
        """An agreement that all three signed."""
        when = at or NOW + timedelta(minutes=5)
        text = envelope.accept_offer(offer or self.offer(), self.keys[buyer], bytes([number]) * 32, when)
        for who in (PROVIDER, EXCHANGE):
            text = envelope.add_signature(text, self.keys[who])
        return text

    def open_offer(self, text: bytes):
        return envelope.open_offer(text, self)

    def open(self, text: bytes):
        return envelope.open_agreement(text, self, EXCHANGE)


class Register:
    """The registry over a database in which all parties are admitted."""

    def __init__(self, database: Database, parties: Parties) -> None:
        self.database = database
        self.parties = parties

    def admit_all(self) -> None:
        roles = {EXCHANGE: Role.OPERATOR, PROVIDER: Role.PROVIDER}

        def unit(tx):
            for who, key in self.parties.keys.items():
                member = Participant(who, f"Tổ chức {who}", frozenset({roles.get(who, Role.BUYER)}))
                participants.admit(tx, member, NOW)
                keyring.register_key(tx, who, key.verify_key, KeyUse.CONTRACT, NOW)

        self.database.write(unit)

    @contextmanager
    def second_node(self) -> "Iterator[Register]":
        """Another process's view of the same database."""
        with Database(open_engine(self.database.engine.url.render_as_string(hide_password=False))) as database:
            yield Register(database, self.parties)

    def write(self, act: Callable[..., Any], *arguments: Any) -> Any:
        return self.database.write(lambda tx: act(tx, *arguments))

    def read(self, question: Callable[..., Any], *arguments: Any) -> Any:
        with self.database.read() as connection:
            return question(connection, *arguments)

    def sql(self, statement: Any, **values: Any) -> None:
        self.database.write(lambda tx: tx.connection.execute(statement, values))

    def offered(self, text: bytes):
        offer = self.parties.open_offer(text)
        self.write(offers.put_offer, offer, text, NOW)
        return offer

    def recorded(self, text: bytes, at: datetime = NOW + timedelta(minutes=6)):
        agreement = self.parties.open(text)
        self.put(agreement, text, at)
        return agreement

    def put(self, agreement, text: bytes, at: datetime = NOW + timedelta(minutes=6)) -> None:
        self.write(lambda tx: registry.put_agreement(tx, agreement, text, at, self.signers_at(tx.connection)))

    @staticmethod
    def signers_at(connection):
        return lambda when: keyring.Signers(connection, when)

    def agreement(self, name: str):
        with self.database.read() as connection:
            return registry.agreement(connection, name, self.signers_at(connection), EXCHANGE)


@pytest.fixture
def forge() -> Callable[..., dict[str, Any]]:
    return forged


@pytest.fixture
def parties() -> Parties:
    return Parties()


@pytest.fixture
def terms() -> Callable[..., dict[str, Any]]:
    return terms_of


@pytest.fixture(scope="session")
def contracts() -> Path:
    return CONTRACTS


@pytest.fixture
def empty(tmp_path: Path, parties: Parties) -> Iterator[Register]:
    server = os.environ.get("SANDBOX_TEST_POSTGRES_URL")
    engine = open_engine(server or sqlite_url(tmp_path / "contracts.db"))
    if server:
        left = sa.MetaData()
        left.reflect(engine)
        left.drop_all(engine)
    furnish(engine)
    with Database(engine) as database:
        yield Register(database, parties)


@pytest.fixture
def register(empty: Register) -> Register:
    empty.admit_all()
    return empty
