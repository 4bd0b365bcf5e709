"""The same through the exchange: no answer, entry, log or database of it holds a secret of the data."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from sandbox.app import create_app
from sandbox.cli.parties import signed_folder
from sandbox.core.errors import SandboxError
from tests import world as worlds
from tests.canary import Detector, Pen, number, said, word
from tests.world import BUYER, INDEX, PROVIDER, TRIPS, World

ASKED = 100
"""Of the exchange, and half as many over HTTP."""


@dataclass(frozen=True)
class Market:
    """An exchange whose datasets hold secrets: a withheld group's name and riders, rows and a column not granted."""

    world: World
    secrets: Mapping[str, str | int]

    @property
    def detector(self) -> Detector:
        return Detector(self.secrets)

    def statements(self, seed: int) -> Iterator[tuple[str, str]]:
        """SQL, and the dataset under whose agreement it is asked."""
        chance = Random(seed)
        relations = {INDEX: {"noi": "text", "diem": "int"}}
        alias = self.world.folder.with_name("alias")
        paths = [f"{alias}/home/*", f"{alias}/home/exchange.db", f"{alias}/home/extracts/*", "/proc/self/environ"]
        writes = Pen(chance, paths, relations)
        honest = [worlds.PER_ROUTE, "SELECT tuyen, avg(gia_vnd) FROM chuyen_di GROUP BY 1 ORDER BY 1"]
        hostile = ["SELECT * FROM chuyen_di", "SELECT khach, count(*) FROM chuyen_di GROUP BY khach", *WITHHELD]
        while True:
            dataset = chance.choice((TRIPS, INDEX))
            own = chance.choice((*honest, *hostile)) if dataset == TRIPS and chance.randrange(2) else writes.any()
            yield re.sub(r"\bphieu\b", dataset, own).replace("bi_mat", "ma"), dataset


WITHHELD = """
    SELECT tuyen, count(*) FROM chuyen_di GROUP BY tuyen ORDER BY count(DISTINCT khach)
    SELECT tuyen FROM chuyen_di GROUP BY tuyen LIMIT 1
    SELECT max(tuyen) FROM chuyen_di
    SELECT min(khach), max(khach) FROM chuyen_di
    SELECT sum(khach) FROM chuyen_di GROUP BY tuyen
    SELECT sum(bi_mat) FROM chuyen_di
    SELECT CAST(tuyen AS INTEGER), count(*) FROM chuyen_di GROUP BY tuyen
    SELECT CASE WHEN count(DISTINCT khach) < 5 THEN CAST(tuyen AS INTEGER) END, count(*) FROM chuyen_di GROUP BY tuyen
    SELECT string_agg(tuyen, ',') FROM chuyen_di
    SELECT tuyen, count(*) FILTER (WHERE tuyen LIKE 'R3%') FROM chuyen_di GROUP BY tuyen
    SELECT noi, diem FROM chi_so WHERE diem < 100 ORDER BY 2
    SELECT max(noi), max(diem) FROM chi_so
    SELECT CAST(noi AS INTEGER) FROM chi_so
""".strip().splitlines()


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    chance = Random("market")
    places = ("group", "rider_number", "column_number", "row", "environ", "path")
    secrets = {name: number(chance) if name.endswith("_number") else word(chance) for name in places}
    folder = tmp_path_factory.mktemp("market")
    home = folder / f"home-{secrets['path']}"
    home.mkdir()
    (folder / "alias").symlink_to(home)
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("SANDBOX_OPA_TOKEN", str(secrets["environ"]))
        world = World(home)
        _publish(world, secrets)
        yield Market(world, secrets)
        world.exchange.close()


def _publish(world: World, secrets: Mapping[str, Any]) -> None:
    few = [secrets["rider_number"], secrets["rider_number"] + 1]
    trips = worlds.trips()[1].slice(0, 116)
    hidden = {
        "khach": pa.array(few * 2, pa.uint64()),
        "tuyen": [secrets["group"]] * 4,
        "gia_vnd": pa.array([7000] * 4, pa.int32()),
        "bi_mat": pa.array([0] * 4, pa.int64()),
    }
    trips = pa.concat_tables([trips, pa.table(hidden)])
    trips = trips.set_column(3, "bi_mat", pa.array([secrets["column_number"]] * 120, pa.int64()))
    scores = pa.table({"noi": ["A", "B", "Z", secrets["row"]], "diem": pa.array([5, 4, 3, 2], pa.int32())})
    for dataset, table, changes in ((TRIPS, trips, {}), (INDEX, scores, {"row_filter": WHERE})):
        folder = world.folder_of(dataset)
        pq.write_table(table, folder / "v1.parquet", compression="zstd")
        world.exchange.publish(*signed_folder(folder, world.keys[PROVIDER]))
        world.agree(dataset, **({"price_vnd": 0} | changes))


WHERE = [{"column": "noi", "values": ["A", "B", "Z"]}]


def _ask(market: Market, sql: str, dataset: str) -> list[str | bytes]:
    try:
        result = market.world.query(sql, dataset=dataset)
    except SandboxError as error:
        return [said(error), str(error.query)]
    except UnicodeEncodeError:
        return []
    return [repr(result), result.ipc, market.world.exchange.receipt(market.world.who(BUYER), result.id)]


def _post(client: TestClient, market: Market, sql: str, dataset: str) -> list[str | bytes]:
    body = {"sql": sql, "agreements": [market.world.agreements[dataset, BUYER]], "purpose": "nghien_cuu"}
    answers = []
    for accept in ("application/json", "text/csv"):
        headers = {"Authorization": f"Bearer {market.world.tokens[BUYER]}", "Accept": accept}
        answer = client.post("/v1/queries", content=json.dumps(body), headers=headers)
        answers += [answer.content, repr(answer.headers)]
        assert answer.status_code != 500, sql
    return answers


def test_no_answer_of_the_exchange_brings_out_a_secret(market: Market) -> None:
    asked = [*zip(WITHHELD, [INDEX if "chi_so" in sql else TRIPS for sql in WITHHELD], strict=True)]
    asked += [next(statements) for statements in [market.statements(1)] for _ in range(ASKED)]
    _none_found(market, asked, lambda sql, dataset: _ask(market, sql, dataset))


def test_no_answer_over_http_brings_out_a_secret(market: Market) -> None:
    client = TestClient(create_app(market.world.exchange), raise_server_exceptions=False)
    asked = [next(statements) for statements in [market.statements(2)] for _ in range(ASKED // 2)]
    for page in ("datasets", "offers", "agreements", "volume"):
        token = {"Authorization": f"Bearer {market.world.tokens[BUYER]}"}
        assert market.detector.found(client.get(f"/v1/{page}", headers=token).content) == set()
    _none_found(market, asked, lambda sql, dataset: _post(client, market, sql, dataset))


def _none_found(market: Market, asked: list[tuple[str, str]], ask: Callable[[str, str], list[str | bytes]]) -> None:
    answers = [(sql, ask(sql, dataset)) for sql, dataset in asked]
    found = [(sql, names) for sql, answer in answers for each in answer if (names := market.detector.found(each))]
    assert found == []
    assert any(isinstance(each, bytes) for _, answer in answers for each in answer), "something was answered"


def test_no_entry_no_log_and_no_database_holds_a_secret(market: Market) -> None:
    for sql in WITHHELD:
        _ask(market, sql, INDEX if "chi_so" in sql else TRIPS)
    world = market.world
    world.exchange.export_log()
    assert len(world.entries()) > len(WITHHELD)
    stored = {"entries": json.dumps(world.entries(), ensure_ascii=False, default=str).encode()}
    kept = [*(world.home / "log").rglob("*"), *world.home.glob("exchange.db*")]
    stored |= {path.name: path.read_bytes() for path in kept if path.is_file()}
    assert {name: found for name, content in stored.items() if (found := market.detector.found(content))} == {}


def test_the_secrets_of_the_market_are_there_to_be_found(market: Market) -> None:
    asked = f"SELECT '{market.secrets['row']}' AS x, {market.secrets['rider_number']} AS y FROM chi_so"
    assert {name for each in _ask(market, asked, INDEX) for name in market.detector.found(each)} == {
        "row",
        "rider_number",
    }
    shelf = [path for path in market.world.home.rglob("*.parquet") if path.is_file()]
    held = {name for path in shelf for name in market.detector.found(repr(pq.read_table(path).to_pylist()))}
    assert held >= {"group", "rider_number", "column_number", "row"}
