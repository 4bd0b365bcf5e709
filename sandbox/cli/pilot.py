"""The demo's exchange with all its participants: every act goes through the same use cases as any other door's."""

import importlib.util
import json
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self

from sandbox import bootstrap
from sandbox.audit import verify
from sandbox.audit.note import b64
from sandbox.cli import market, overseer, tour
from sandbox.cli.authority import Authority
from sandbox.cli.parties import signed_folder, signed_offer
from sandbox.cli.story import Narrator
from sandbox.contracts import envelope
from sandbox.core.canonical import Json, canonical, parse
from sandbox.core.clock import SystemClock
from sandbox.core.keys import ES256, SigningKey, new_key, read_key, write_key
from sandbox.core.terms import Participant, Role
from sandbox.exchange.case import QueryRequest
from sandbox.exchange.exchange import Exchange
from sandbox.exchange.house import CHECKPOINT_FOLDER
from sandbox.exchange.query import Result
from sandbox.settings import FILE, Settings, load, share

TRUST_STORE: Final = "trust.pem"
_SHORT_SECONDS: Final = 2.0
_QUERY: Final = re.compile(r"^-- (\w+) (\d+): (.*)$")


@dataclass(frozen=True, slots=True)
class Asked:
    """One buyer's question of the demo."""

    dataset: str
    title: str
    sql: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """Something that must be refused: what it tries, how, and by which rule or code."""

    tries: str
    expected: str
    make: Callable[[], object]


@dataclass(slots=True)
class Pilot:
    """The demo's state: the exchange, everyone's keys and tokens, the agreements made."""

    exchange: Exchange
    settings: Settings
    narrator: Narrator
    authority: Authority
    keys: dict[str, SigningKey] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    agreements: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    size: int = 0
    root: str = ""
    witnesses: int = 0

    @classmethod
    def open(cls, home: Path, narrator: Narrator) -> "Pilot":
        """A fresh exchange in ``home``, in place of an earlier demo's.

        Raises:
            Conflict: ``home.foreign`` when the folder is something else.
        """
        bootstrap.destroy(home)
        bootstrap.init(Settings(home=home), "Sàn giao dịch dữ liệu (thử nghiệm)")
        authority = Authority.new(SystemClock().now())
        store = home.resolve() / TRUST_STORE
        store.write_bytes(authority.pem)
        with (home / FILE).open("a", encoding="utf-8") as file:
            file.write(f"trust_store = {json.dumps(str(store))}\n")
        settings = load(home, {})
        narrator.say(f"a new exchange in {home}: keys, database, empty log")
        pilot = cls(bootstrap.build(settings), settings, narrator, authority)
        pilot.keys[settings.exchange] = read_key(home / bootstrap.EXCHANGE_KEY)
        return pilot

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.exchange.close()

    # --- before the first query ---
    def admit_everyone(self) -> None:
        """Admit the regulator, put the charter in force, admit the rest; each gets a key, buyers prepaid money."""
        self._admit(market.REGULATOR)
        tour.adopt(self)
        self.exchange.store_crl(self.authority.revoked(self.exchange.house.now()))
        for member in market.MEMBERS:
            self._admit(member)
        self.narrator.say(f"{len(market.MEMBERS)} more participants admitted, each with a signing key of its own")

    def _admit(self, member: Participant) -> None:
        key = new_key(member.id)
        write_key(key, self.settings.home / "keys" / f"{member.id}.jwk")
        self.keys[member.id] = key
        self.exchange.admit(member, key.verify_key)
        token = self.exchange.create_token(member.id, self.exchange.house.now() + timedelta(days=30))
        self.tokens[member.id] = token
        path = self.settings.home / "keys" / f"{member.id}.token"
        path.touch(mode=0o600)
        path.write_text(token + "\n")
        if Role.BUYER in member.roles:
            self.exchange.top_up(member.id, market.TOP_UP_VND, f"demo-{member.id}")

    def publish(self, scale: float) -> None:
        """Generate, sign and publish the five datasets."""
        with tempfile.TemporaryDirectory() as scratch:
            for deal in self.narrator.track("Providers publish", market.DEALS):
                folder = Path(scratch) / deal.dataset
                folder.mkdir()
                shutil.copy(share("datasets") / deal.dataset / "descriptor.json", folder)
                generate(deal.dataset, folder / "v1.parquet", scale)
                version = self.exchange.publish(*signed_folder(folder, self.keys[deal.provider]))
                self.narrator.published(version)

    def agree(self) -> None:
        """Offer, accept, countersign and record one agreement for each dataset."""
        for deal in market.DEALS:
            terms = (share("contracts") / "terms" / f"{deal.dataset}.json").read_bytes()
            self.agreements[deal.dataset] = self._agree(deal, terms)
            self.narrator.agreed(deal)

    def _agree(self, deal: market.Deal, terms: bytes) -> str:
        offer = signed_offer(self.exchange, deal.dataset, terms, self.keys[deal.provider])
        self.exchange.offer(offer)
        if deal.dataset == market.NEGOTIATED:
            return tour.bargain(self, deal, offer, *market.BARGAIN)
        now = self.exchange.house.now()
        bought = envelope.accept_offer(offer, self.keys[deal.buyer], secrets.token_bytes(32), now)
        if deal.dataset == market.CERTIFIED:
            return self._agree_by_certificate(deal, bought)
        both = envelope.add_signature(bought, self.keys[deal.provider])
        return self.exchange.agree(both).id

    def _agree_by_certificate(self, deal: market.Deal, bought: bytes) -> str:
        """The provider signs with a key that no register holds, and the chain of its certificate."""
        now, key = self.exchange.house.now(), new_key(deal.provider, ES256)
        holder = next(each for each in market.MEMBERS if each.id == deal.provider)
        chain = self.authority.certify(key.verify_key.public, holder.name, holder.tax_code or "", now)
        self.narrator.say(f"{deal.provider} signs under a CA certificate, with its authority's revocation list on file")
        return self.exchange.agree(envelope.add_signature(bought, key, chain)).id

    # --- queries ---
    def questions(self) -> list[Asked]:
        """The twenty questions of ``datasets/queries.sql``."""
        found, block = [], ""
        for line in (share("datasets") / "queries.sql").read_text().splitlines():
            head = _QUERY.match(line)
            if head:
                title = (head[1], head[3])
                block = ""
            elif not line.startswith("--"):
                block += line + "\n"
                if line.rstrip().endswith(";"):
                    found.append(Asked(*title, block.strip().rstrip(";")))
        return found

    def ask(self, asked: Asked) -> Result:
        """Ask one question as its buyer, keep the receipt."""
        deal = next(each for each in market.DEALS if each.dataset == asked.dataset)
        result = self._query(deal, asked.sql, deal.purpose)
        self.results.append(result)
        who = self.exchange.identify(self.tokens[deal.buyer])
        receipt = self.exchange.receipt(who.participant, result.id)
        (self.settings.home / "receipts" / f"{result.id}.json").write_bytes(receipt)
        return result

    def _query(self, deal: market.Deal, sql: str, purpose: str, *, token: str = "", agreement: str = "") -> Result:
        who = self.exchange.identify(token or self.tokens[deal.buyer])
        names = (agreement or self.agreements[deal.dataset],)
        return self.exchange.query(who, QueryRequest(sql, names, purpose))

    def attempts(self) -> Iterator[Attempt]:
        """What must be refused, in the order of the story."""
        deals = {deal.dataset: deal for deal in market.DEALS}
        for each in market.REFUSALS:
            deal = deals[each.dataset]
            purpose = each.purpose or deal.purpose
            yield Attempt(each.tries, each.expected, lambda d=deal, s=each.sql, p=purpose: self._query(d, s, p))  # type: ignore[misc]
        bus, fintech = deals["xe_buyt_luot_di"], deals["hoa_don_dnnvv"]
        routes = "SELECT tuyen, count(*) AS luot FROM xe_buyt_luot_di GROUP BY tuyen"
        stranger = self.tokens[fintech.buyer]
        yield Attempt(
            "someone else's agreement", "agreement.unknown",
            lambda: self._query(bus, routes, bus.purpose, token=stranger),
        )  # fmt: skip
        yield Attempt(
            "a token that the exchange never gave", "identity.token_unknown",
            lambda: self._query(bus, routes, bus.purpose, token="sbx_test_" + "A" * 40),
        )  # fmt: skip
        yield Attempt("a contract with one term altered", "signature.invalid", lambda: self._altered(fintech))
        yield self._expired(bus, routes)
        with tour.suspended(self, self.agreements[bus.dataset]):
            yield Attempt(
                "an agreement that the regulator has suspended", "CHARTER-06",
                lambda: self._query(bus, routes, bus.purpose),
            )  # fmt: skip
        yield self._broke(bus, routes)

    def _altered(self, deal: market.Deal) -> object:
        terms = (share("contracts") / "terms" / f"{deal.dataset}.json").read_bytes()
        offer = signed_offer(self.exchange, deal.dataset, terms, self.keys[deal.provider])
        now = self.exchange.house.now()
        bought = envelope.accept_offer(offer, self.keys[deal.buyer], secrets.token_bytes(32), now)
        document = parse(envelope.add_signature(bought, self.keys[deal.provider]))
        _set_max_rows(document, 9_999)
        return self.exchange.agree(canonical(document))

    def _expired(self, deal: market.Deal, sql: str) -> Attempt:
        """An agreement of two seconds, used after its end."""
        terms = parse((share("contracts") / "terms" / f"{deal.dataset}.json").read_bytes())
        end = self.exchange.house.now() + timedelta(seconds=_SHORT_SECONDS)
        terms["not_after"] = end.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        short = self._agree(deal, canonical(terms))
        time.sleep(max(0.0, (end - self.exchange.house.now()).total_seconds()))
        return Attempt(
            "an agreement that has ended", "CONT-02",
            lambda: self._query(deal, sql, deal.purpose, agreement=short),
        )  # fmt: skip

    def _broke(self, deal: market.Deal, sql: str) -> Attempt:
        """A buyer whose wallet is empty."""
        poor = market.Deal(deal.dataset, deal.provider, "vi-rong", deal.purpose)
        member = market.member(poor.buyer, "Công ty ví rỗng", Role.BUYER)
        key = new_key(member.id)
        self.keys[member.id] = key
        self.exchange.admit(member, key.verify_key)
        self.tokens[member.id] = self.exchange.create_token(member.id, self.exchange.house.now() + timedelta(days=1))
        terms = (share("contracts") / "terms" / f"{deal.dataset}.json").read_bytes()
        agreement = self._agree(poor, terms)
        return Attempt(
            "a query that the wallet does not cover", "PAY-01",
            lambda: self._query(poor, sql, poor.purpose, agreement=agreement),
        )  # fmt: skip

    # --- the regulator ---
    def verify(self) -> None:
        """What a regulator does: witness the log, then check it with every receipt, and fold it against the books.

        Raises:
            Tampered: something does not match.
            NotCovered: the witness has not cosigned.
        """
        vkey = (self.settings.home / bootstrap.VKEY_FILE).read_text().strip()
        policy = overseer.witnessed(self.exchange.house, vkey)
        folder = self.settings.home / CHECKPOINT_FOLDER
        verdict = verify.verify_log(folder, policy, books=self.exchange.books())
        for path in sorted((self.settings.home / "receipts").glob("*.json")):
            verify.verify_receipt(path.read_bytes(), vkey)
        self.witnesses = len(verdict.cosigned)
        self.size, self.root = verdict.size, b64(verdict.root)


def _set_max_rows(document: dict[str, Json], rows: int) -> None:
    match document:
        case {"contract": {"terms": dict(terms)}}:
            terms["max_rows"] = rows


def generate(dataset: str, path: Path, scale: float) -> None:
    """Write a sample dataset's Parquet with the generator of the ``datasets`` folder."""
    source = share("datasets") / "generate.py"
    spec = importlib.util.spec_from_file_location("sandbox_dataset_generator", source)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(source.name)
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.generate(dataset, path, scale)
