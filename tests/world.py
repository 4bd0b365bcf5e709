"""A small exchange for tests: real rooms on SQLite, a clock that tests move, two tiny datasets, invented parties."""

import copy
import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sandbox import bootstrap
from sandbox.cli.parties import signed_folder, signed_offer
from sandbox.contracts import charters, envelope, orders
from sandbox.core.clock import ManualClock
from sandbox.core.errors import Conflict
from sandbox.core.keys import SigningKey, key_from_seed, read_key
from sandbox.core.terms import Identity, Participant, ParticipantId, Role
from sandbox.exchange import report
from sandbox.exchange.case import QueryRequest
from sandbox.exchange.exchange import Exchange
from sandbox.exchange.query import Result
from sandbox.query import duckdb as duckdb_adapter
from sandbox.settings import Settings, share

_ALLOWED = json.loads((Path(duckdb_adapter.__file__).parent / "functions.json").read_bytes())["allowed"]
SCALARS = sorted(
    {
        name
        for kind in ("scalar", "macro", "window")
        for names in _ALLOWED[kind].values()
        for name in names
        if name == name.lower()
    }
)
"""All that buyers may call at most: contracts of tests narrow it when they mean to."""
START = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
TRIPS = "chuyen_di"
INDEX = "chi_so"
PROVIDER, BUYER, OTHER, REGULATOR = "so-mau", "cong-ty-a", "cong-ty-b", "co-quan-giam-sat"
OPERATOR = "san-du-lieu"
ROLES = {PROVIDER: Role.PROVIDER, BUYER: Role.BUYER, OTHER: Role.BUYER, REGULATOR: Role.REGULATOR}
PER_ROUTE = "SELECT tuyen, count(DISTINCT khach) AS khach, sum(gia_vnd) AS tien FROM chuyen_di GROUP BY tuyen"


def _column(name: str, kind: str, sensitivity: str) -> dict[str, Any]:
    meaning = {"vi": f"Cột {name}", "en": f"Column {name}"}
    return {"name": name, "type": kind, "sensitivity": sensitivity, "nullable": False, "meaning": meaning}


def _descriptor(dataset: str, columns: list[dict[str, Any]], **rest: Any) -> dict[str, Any]:
    return {
        "id": dataset,
        "title": {"vi": "Bộ dữ liệu thử", "en": "Test dataset"},
        "description": {"vi": "Dữ liệu tổng hợp cho kiểm thử.", "en": "Synthetic data for tests."},
        "origin": "tong_hop",
        "update_frequency": "mot_lan",
        "flags": [],
        "subject_count": 30,
        "subject_sensitive": False,
        "assessment": {"assessor": "trung-tam-kiem-dinh", "report": "sha256:" + "0" * 64},
        "derived": None,
        "quality": {"vi": "Đã kiểm tra.", "en": "Checked."},
        "lawful_origin": {"vi": "Tự lập cho kiểm thử.", "en": "Made for tests."},
        "seller_status": "doanh_nghiep",
        "columns": columns,
        "dimensions": [],
    } | rest


def trips() -> tuple[dict[str, Any], pa.Table]:
    """120 trips of 30 riders on three routes; route R3 has only two riders."""
    routes = ["R1"] * 60 + ["R2"] * 56 + ["R3"] * 4
    riders = [1000 + i % 30 for i in range(60)] + [1000 + i % 28 for i in range(56)] + [1000, 1001, 1000, 1001]
    table = pa.table(
        {
            "khach": pa.array(riders, pa.uint64()),
            "tuyen": routes,
            "gia_vnd": pa.array([7000] * 120, pa.int32()),
            "bi_mat": pa.array(range(120), pa.int64()),
        }
    )
    columns = [_column("khach", "UBIGINT", "P"), _column("tuyen", "VARCHAR", "Q"), _column("gia_vnd", "INTEGER", "M")]
    columns.append(_column("bi_mat", "BIGINT", "M") | {"exposed": False})
    protected = {"personal_origin": True, "deidentification": "du_lieu_tong_hop", "privacy_unit": "khach"}
    kind = {"sector": "giao_thong", "data_class": "khu_nhan_dang", "min_group": 10}
    return _descriptor(TRIPS, columns, **protected, **kind), table


def index() -> tuple[dict[str, Any], pa.Table]:
    """An open dataset of five rows."""
    table = pa.table({"noi": ["A", "B", "C", "D", "E"], "diem": pa.array([5, 4, 3, 2, 1], pa.int32())})
    columns = [_column("noi", "VARCHAR", "O"), _column("diem", "INTEGER", "O")]
    open_ = {"personal_origin": False, "deidentification": None, "privacy_unit": None, "min_group": None}
    return _descriptor(INDEX, columns, **open_, sector="chi_so_cds", data_class="mo"), table


def charter() -> dict[str, Any]:
    """The sample charter at full scale from its first day, with caps that no test meets unless it means to."""
    document: dict[str, Any] = json.loads((share("contracts") / "charter.json").read_bytes())
    document["stages"] = [{"name": "day_du", "months": 12, "scale_percent": 100}]
    document["caps"] |= {name: 10**12 for name in document["caps"] if not name.startswith("per_query")}
    document["participants"] |= {"providers_max": 1_000, "buyers_max": 1_000}
    return document


def checked(made: "World") -> Iterator["World"]:
    """Hand a world to a test; its invariants hold after whatever the test did to it."""
    from tests import invariants

    try:
        yield made
        invariants.check(made.exchange, made.vkey)
    finally:
        made.exchange.close()


def terms(dataset: str, **changes: Any) -> bytes:
    """Terms of an offer of one of the two datasets."""
    document: dict[str, Any] = {
        "purposes": ["nghien_cuu"],
        "territories": ["VN"],
        "term_days": 30,
        "price_vnd": 15_000 if dataset == TRIPS else 0,
        "release": "exact",
        "privacy_unit": "khach" if dataset == TRIPS else None,
        "dimensions": ["tuyen"] if dataset == TRIPS else [],
        "columns": [] if dataset == TRIPS else ["noi", "diem"],
        "aggregate_columns": [{"columns": ["gia_vnd"], "functions": ["SUM", "AVG"]}] if dataset == TRIPS else [],
        "row_filter": [],
        "output_constraints": [{"column": "khach", "minimum": 10, "type": "COUNT_DISTINCT"}]
        if dataset == TRIPS
        else [],
        "max_rows": 1_000,
        "access_budget": {"day": None, "week": None, "month": None, "lifetime": None},
        "join_columns": [],
        "join_condition": "not_required",
        "scalar_functions": SCALARS,
        "aggregate_expressions": "columns_only" if dataset == TRIPS else "any_expression",
        "comparison_controls": {
            "literals": ["tuyen"] if dataset == TRIPS else ["noi", "diem"],
            "columns": ["tuyen"] if dataset == TRIPS else ["noi", "diem"],
        },
        "disallowed_output_columns": [],
        "retention_days": None,
        "version": "pinned",
        "price_plan": {"free_queries": 0},
        "dp": None,
        "templates": [],
        "exclusive": False,
        "sublicence": False,
        "intellectual_property": "Quyền của bên bán",
        "allowed_result_receivers": ["odrl:assignee"],
    }
    return json.dumps(document | changes, ensure_ascii=False).encode()


@dataclass
class World:
    """An open exchange with its parties' keys and tokens."""

    folder: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    overrides: Mapping[str, Any] = field(default_factory=dict)
    keys: dict[str, SigningKey] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    agreements: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings = Settings(home=self.folder / "home", **self.overrides)
        bootstrap.init(self.settings, "Sàn thử", self.clock)
        self.exchange: Exchange = bootstrap.build(self.settings, self.clock)
        self.keys[OPERATOR] = read_key(self.home / bootstrap.EXCHANGE_KEY)
        numbers = {slug: number for number, slug in enumerate(ROLES, 1)}
        self.admit(REGULATOR, Role.REGULATOR, numbers.pop(REGULATOR))
        self.adopt()
        for slug, number in numbers.items():
            self.admit(slug, ROLES[slug], number)

    def copy_to(self, folder: Path) -> "World":
        """Another exchange that begins where this closed one ended; copying is faster than making it again."""
        copied = copy.copy(self)
        copied.folder, copied.clock = folder, ManualClock(self.clock.now())
        copied.settings = replace(self.settings, home=folder / "home")
        copied.keys, copied.tokens, copied.agreements = dict(self.keys), dict(self.tokens), dict(self.agreements)
        shutil.copytree(self.home, copied.home)
        copied.exchange = bootstrap.build(copied.settings, copied.clock)
        return copied

    @property
    def home(self) -> Path:
        return self.settings.home

    @property
    def vkey(self) -> str:
        return (self.home / bootstrap.VKEY_FILE).read_text().strip()

    def reopen(self) -> None:
        """Close the exchange and open it again, as a restart does."""
        self.exchange.close()
        self.exchange = bootstrap.build(self.settings, self.clock)

    def adopt(self, **changes: Any) -> Any:
        """Put a charter in force that regulator and operator signed; the next version when there is one."""
        last = self.exchange.charter()
        following = {"version": last.version + 1, "prev": last.digest} if last else {}
        text = json.dumps(charter() | following | changes, ensure_ascii=False).encode()
        for signer in (REGULATOR, OPERATOR):
            text = charters.sign_charter(text, self.keys[signer])
        return self.exchange.adopt_charter(text)

    def order(self, act: str, kind: str, target: str | None, *signers: str, **rest: Any) -> Any:
        """Give an order that these have signed; the first of them issues it."""
        wanted = {"act": act, "scope": {"kind": kind, "id": target}, "issuer": signers[0], "reason": "Thử nghiệm"}
        wanted |= {"legal_basis": None, "ends": None} | rest
        text = orders.sign_order(
            orders.order_document(wanted, secrets.token_bytes(32), self.clock.now()), self.keys[signers[0]]
        )
        for signer in signers[1:]:
            text = orders.add_signature(text, self.keys[signer])
        return self.exchange.order(text)

    def admit(self, slug: str, role: Role, number: int, **facts: Any) -> None:
        key = key_from_seed(slug, bytes([number]) * 32)
        self.keys[slug] = key
        standing = {"entity_verified": True, "eid_level": 2, "payment_account": True} | facts
        member = Participant(ParticipantId(slug), f"Công ty {slug}", frozenset({role}), **standing)
        self.exchange.admit(member, key.verify_key)
        self.tokens[slug] = self.exchange.create_token(member.id, self.clock.now() + timedelta(days=90))
        if role is Role.BUYER:
            self.exchange.top_up(member.id, 100_000, "UNC-1")

    def who(self, slug: str) -> Identity:
        return self.exchange.identify(self.tokens[slug])

    def folder_of(self, dataset: str, **changes: Any) -> Path:
        descriptor, table = trips() if dataset == TRIPS else index()
        folder = self.folder / f"{dataset}-{secrets.token_hex(3)}"
        folder.mkdir()
        (folder / "descriptor.json").write_text(json.dumps(descriptor | changes, ensure_ascii=False))
        pq.write_table(table, folder / "v1.parquet", compression="zstd")
        return folder

    def publish(self, dataset: str, signer: str = PROVIDER, **changes: Any) -> Any:
        return self.exchange.publish(*signed_folder(self.folder_of(dataset, **changes), self.keys[signer]))

    def offered(self, dataset: str, **changes: Any) -> bytes:
        """A registered offer."""
        offer = signed_offer(self.exchange, dataset, terms(dataset, **changes), self.keys[PROVIDER])
        with suppress(Conflict):  # the clock stands, so the same terms make the same offer
            self.exchange.offer(offer)
        return offer

    def bought(self, offer: bytes, buyer: str = BUYER) -> bytes:
        """An agreement that buyer and provider signed."""
        half = envelope.accept_offer(offer, self.keys[buyer], secrets.token_bytes(32), self.clock.now())
        return envelope.add_signature(half, self.keys[PROVIDER])

    def agree(self, dataset: str, buyer: str = BUYER, **changes: Any) -> str:
        """A recorded agreement's id."""
        agreement = self.exchange.agree(self.bought(self.offered(dataset, **changes), buyer))
        self.agreements[dataset, buyer] = agreement.id
        return agreement.id

    def ready(self) -> "World":
        """Both datasets published and agreed on with the first buyer."""
        for dataset in (TRIPS, INDEX):
            self.publish(dataset)
            self.agree(dataset)
        return self

    def forget_extracts(self) -> None:
        """Start again without extracts: the next query makes its own anew."""
        for path in (self.home / "extracts").iterdir():
            path.unlink()
        self.reopen()

    def query(self, sql: str = PER_ROUTE, *, buyer: str = BUYER, dataset: str = TRIPS, **asked: Any) -> Result:
        names = asked.pop("agreements", None) or (self.agreements[dataset, BUYER],)
        request = QueryRequest(sql, tuple(names), asked.pop("purpose", "nghien_cuu"), **asked)
        return self.exchange.query(self.who(buyer), request)

    def rows(self, result: Result) -> list[tuple[Any, ...]]:
        """A result as sorted tuples."""
        table = pa.ipc.open_stream(result.ipc).read_all()
        return sorted(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def entries(self) -> list[dict[str, Any]]:
        """Every entry of the log."""
        with self.exchange.house.database.read() as connection:
            return list(report.log_entries(self.exchange.house, connection))
