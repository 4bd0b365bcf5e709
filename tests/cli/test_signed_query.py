"""``sandbox query --url --key`` against ``sandbox serve``, under a charter that has queries signed."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from sandbox.core.clock import ManualClock, SystemClock
from sandbox.core.keys import key_from_seed, write_key
from sandbox.core.terms import KeyUse, ParticipantId
from tests.terminal import SANDBOX, Terminal, Today, environment
from tests.world import BUYER, INDEX, OTHER

OPEN = "SELECT noi FROM chi_so ORDER BY noi"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Asking(Terminal):
    """A buyer's shell, and the exchange's address."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder)
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, *words: str, code: int = 0, sql: str = OPEN) -> subprocess.CompletedProcess[str]:
        agreement = (self.folder / "agreement").read_text()
        asked = ("--token-file", "token", "-a", agreement, "--purpose", "nghien_cuu", "-o", "json")
        return self.run("query", sql, *asked, *words, code=code)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exchange with one agreement and a buyer's request key, closed again."""
    folder = tmp_path_factory.mktemp("signed")
    world = Today(folder, ManualClock(SystemClock().now()))
    world.publish(INDEX)
    (folder / "agreement").write_text(world.agree(INDEX))
    world.adopt(signed_requests={"query": True, "contract": False, "order": False})
    for who, seed in ((BUYER, 0x51), (OTHER, 0x52)):
        key = key_from_seed(who, bytes([seed]) * 32)
        world.exchange.register_key(ParticipantId(who), key.verify_key, KeyUse.REQUEST)
        write_key(key, folder / f"{who}.request.jwk")
    (folder / "token").write_text(world.tokens[BUYER])
    world.exchange.close()
    write_key(world.keys[BUYER], folder / f"{BUYER}.jwk")
    return folder


@pytest.fixture(scope="module")
def asking(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    folder, port = tmp_path_factory.mktemp("served"), free_port()
    shutil.copytree(home, folder, dirs_exist_ok=True)
    command = [*SANDBOX, "serve", "--home", str(folder / "home"), "--port", str(port)]
    with (folder / "served.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment(), stdout=log, stderr=log)
    try:
        made = Asking(folder, port)
        for _ in range(300):
            try:
                httpx2.get(f"{made.url}/v1/datasets", timeout=5, trust_env=False)
            except httpx2.HTTPError:
                assert server.poll() is None, (folder / "served.log").read_text()
                time.sleep(0.1)
            else:
                break
        yield made
    finally:
        server.terminate()
        server.wait(30)


def test_a_signed_query_is_answered_with_its_receipt(asking: Asking) -> None:
    words = ("--url", asking.url, "--key", f"{BUYER}.request.jwk", "--receipt", "r.json")
    done = asking.ask(*words)
    assert [row["noi"] for row in json.loads(done.stdout)] == [*"ABCDE"]
    asking.run("verify", "receipt", "r.json", "--vkey", "home/log.vkey")
    query = done.stderr.split("qry_")[1].split(":")[0]
    told = json.loads(asking.run("policy", "explain", f"qry_{query}", "--json").stdout)
    assert told["decision"]["allow"] is True
    assert all(rule["proved"] for rule in told["rules"])
    assert told["question"]["context"]["amr"] == ["mfa", "pop"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 3, "identity.signature_missing"),
        (("--key", f"{OTHER}.request.jwk"), 3, "identity.signature_invalid"),
        (("--key", f"{BUYER}.jwk"), 3, "identity.signature_invalid"),
        (("--key", "nowhere.jwk"), 5, "key.missing"),
    ],
    ids=["none", "another's", "a contract key", "no file"],
)
def test_without_the_buyers_own_request_key_there_is_no_answer(
    asking: Asking, words: tuple[str, ...], code: int, says: str
) -> None:
    before = asking.run("volume", "--json").stdout
    refused = asking.ask("--url", asking.url, *words, code=code)
    assert says in refused.stderr
    assert "→" in refused.stderr, "no word of what to do"
    assert asking.run("volume", "--json").stdout == before


def test_a_key_signs_nothing_at_a_local_home(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    local = Asking(tmp_path, 0)
    assert "request.local" in local.ask("--key", f"{BUYER}.request.jwk", code=2).stderr
    assert "PART-02" in local.ask(code=4).stderr  # and where the charter has queries signed, none is asked there
