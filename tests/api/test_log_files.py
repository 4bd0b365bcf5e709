"""``/log/`` gives out the files of the published log, with the headers that caches need, and nothing else."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from sandbox import bootstrap
from sandbox.app import create_app
from sandbox.audit.layout import tile_path
from sandbox.audit.note import ED25519_COSIGNATURE, verifier_key
from sandbox.core.database import Transaction
from sandbox.core.keys import key_from_seed
from tests.world import World

IMMUTABLE = "public, max-age=31536000, immutable"


@pytest.fixture
def world(tmp_path: Path, bare_world: World) -> Iterator[World]:
    """A log of more than a tile: 300 entries, published at 250 too, so that partial tiles were dropped."""
    made = bare_world.copy_to(tmp_path)
    house = made.exchange.house
    for size in (250, 300):

        def fill(tx: Transaction, size: int = size) -> None:
            for number in range(house.log.head(tx.connection).size, size):
                tx.record(f"ent_{number}", f'{{"id":"ent_{number}"}}'.encode())

        house.database.write(fill)
        made.exchange.export_log()
    yield made
    made.exchange.close()


@pytest.fixture
def http(world: World) -> TestClient:
    return TestClient(create_app(world.exchange), raise_server_exceptions=False)


def published(world: World) -> dict[str, bytes]:
    folder = world.home / "log"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_published_file_is_served_with_its_type_and_how_long_it_may_be_kept(
    http: TestClient, world: World
) -> None:
    files = published(world)
    assert {"checkpoint", "tile/0/000", "tile/entries/001.p/44", "tile/1/000.p/1"} <= files.keys()
    for name, content in files.items():
        answer = http.get(f"/log/{name}")
        assert (answer.status_code, answer.content) == (200, content)
        kept = (
            ("text/plain; charset=utf-8", "no-cache")
            if name == "checkpoint"
            else ("application/octet-stream", IMMUTABLE)
        )
        assert (answer.headers["content-type"], answer.headers["cache-control"]) == kept
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["checkpoint", "tile/0/000"])
def test_a_file_is_asked_for_by_its_head_and_by_what_one_has_of_it(http: TestClient, name: str) -> None:
    whole = http.get(f"/log/{name}")
    head = http.head(f"/log/{name}")
    assert (head.status_code, head.content) == (200, b"")
    tag = whole.headers["etag"]
    assert (head.headers["content-length"], head.headers["etag"]) == (str(len(whole.content)), tag)
    for known in (tag, f"W/{tag}", f'"a", {tag}', "*"):
        again = http.get(f"/log/{name}", headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["cache-control"] == whole.headers["cache-control"]
    other = http.get(f"/log/{name}", headers={"If-None-Match": '"another"'})
    assert (other.status_code, other.content) == (200, whole.content)


def test_a_part_of_a_tile_may_be_asked_for(http: TestClient, world: World) -> None:
    whole = published(world)["tile/0/000"]
    part = http.get("/log/tile/0/000", headers={"Range": "bytes=32-63"})
    assert (part.status_code, part.content) == (206, whole[32:64])
    assert http.get("/log/tile/0/000", headers={"Range": "bytes=9000-"}).status_code == 416
    assert http.get("/log/checkpoint", headers={"Range": "bytes=0-3"}).content == published(world)["checkpoint"]


def test_the_checkpoint_is_another_to_caches_once_the_log_went_on(http: TestClient, world: World) -> None:
    before = http.get("/log/checkpoint")
    world.exchange.house.database.write(lambda tx: tx.record("ent_more", b"{}"))
    world.exchange.export_log()
    after = http.get("/log/checkpoint", headers={"If-None-Match": before.headers["etag"]})
    assert (after.status_code, after.text.splitlines()[1]) == (200, "301")


HIDDEN = {
    "a partial tile that filled": "tile/0/000.p/250",
    "a tile that is not there yet": "tile/0/002",
    "a folder": "tile/0",
    "the top": "",
    "the top without a slash": "../log",
    "another spelling": "tile//0/000",
    "another spelling of the checkpoint": "checkpoint/",
    "a detour": "tile/0/%2e%2e/0/000",
    "up": "../keys/log.jwk",
    "up, encoded": "%2e%2e/keys/log.jwk",
    "up, encoded twice": "%252e%252e/keys/log.jwk",
    "a drive": "C:%5Ckeys",
    "a zero byte": "tile/0/000%00",
    "an absolute path": "/etc/passwd",
    "a width of zero": "tile/0/001.p/0",
    "a name that is too long": "tile/0/" + "x001/" * 400 + "000",
    "a leftover": "checkpoint.tmp",
    "a tile's leftover": "tile/0/000.tmp",
    "a link": "tile/0/009",
    "a strange file": "notes.txt",
}


@pytest.mark.parametrize("name", HIDDEN)
def test_nothing_else_is_served_and_that_it_is_not_there_is_never_kept(
    http: TestClient, world: World, name: str
) -> None:
    folder = world.home / "log"
    for leftover in ("checkpoint.tmp", "tile/0/000.tmp", "notes.txt"):
        (folder / leftover).write_bytes(b"half a fi")
    (folder / "tile/0/009").symlink_to(world.home / "keys" / "log.jwk")
    answer = http.get(f"http://testserver/log/{HIDDEN[name]}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers.get("cache-control") in {"no-store", None}
    assert "immutable" not in str(answer.headers)


def test_an_empty_folder_serves_no_checkpoint(http: TestClient, world: World) -> None:
    content = (world.home / "log/checkpoint").read_bytes()
    (world.home / "log/checkpoint").unlink()
    answer = http.get("/log/checkpoint")
    assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")
    (world.home / "log/checkpoint").write_bytes(content)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("name", ["checkpoint", "tile/0/000"])
def test_nobody_writes_to_the_published_log(http: TestClient, method: str, name: str) -> None:
    answer = http.request(method, f"/log/{name}")
    assert (answer.status_code, answer.json()["code"]) == (405, "request.method")


@pytest.mark.parametrize("n", [0, 999, 1_000, 1_234_067])
def test_every_name_that_the_layout_makes_is_one_that_is_served(http: TestClient, world: World, n: int) -> None:
    for path in (tile_path(0, n), tile_path(3, n, 255), tile_path("entries", n, 7)):
        if not (world.home / "log" / path).exists():
            (world.home / "log" / path).parent.mkdir(parents=True, exist_ok=True)
            (world.home / "log" / path).write_bytes(b"x")
        assert http.get(f"/log/{path}").status_code == 200


# --- the chores ---
def until(true: Callable[[], bool]) -> bool:
    """Whether it comes true within some seconds."""
    return any(true() or time.sleep(0.01) for _ in range(1_000))


@pytest.fixture
def _busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chores as often as the thread can."""
    monkeypatch.setattr("sandbox.app.EXPORT_SECONDS", 0.005)


def record(world: World, name: str) -> int:
    """Put one more entry in the log; answers its size."""
    world.exchange.house.database.write(lambda tx: tx.record(name, b"{}"))
    with world.exchange.house.database.read() as connection:
        return world.exchange.house.log.head(connection).size


def shown(world: World) -> int:
    return int((world.home / "log/checkpoint").read_text().splitlines()[1])


@pytest.mark.usefixtures("_busy")
def test_what_is_recorded_is_published_by_itself(world: World) -> None:
    with TestClient(create_app(world.exchange)):
        size = record(world, "ent_new")
        assert until(lambda: shown(world) == size)


@pytest.mark.usefixtures("_busy")
def test_with_witnesses_the_checkpoint_stays_until_they_are_asked_again(world: World, tmp_path: Path) -> None:
    key = key_from_seed("w1", b"\2" * 32).verify_key
    witness = f"witness w1 {verifier_key('w1', key, ED25519_COSIGNATURE)} http://127.0.0.1:9"
    (tmp_path / "policy").write_text(f"log {world.vkey}\n{witness}\nquorum w1\n")
    world.exchange.close()
    world.settings = replace(world.settings, witness_policy=tmp_path / "policy", witness_seconds=1_000_000)
    world.exchange = bootstrap.build(world.settings, world.clock)
    size = record(world, "ent_first")
    with TestClient(create_app(world.exchange)) as http:
        assert until(lambda: shown(world) == size and "unreachable" in http.get("/readyz").text)
        record(world, "ent_later")
        time.sleep(0.1)  # some rounds of chores
        assert shown(world) == size
        assert http.get("/readyz").json()["parts"]["log"]["ready"]


@pytest.mark.usefixtures("_busy")
def test_a_log_that_contradicts_its_files_is_not_ready(world: World) -> None:
    whole = (world.home / "log/checkpoint").read_bytes()
    with TestClient(create_app(world.exchange), raise_server_exceptions=False) as http:
        assert http.get("/readyz").json()["parts"]["log"]["ready"]
        (world.home / "log/checkpoint").write_bytes(b"damaged")
        assert until(lambda: http.get("/readyz").status_code == 503)
        assert http.get("/readyz").json()["parts"]["log"]["says"] == "log.unpublishable"
    (world.home / "log/checkpoint").write_bytes(whole)
