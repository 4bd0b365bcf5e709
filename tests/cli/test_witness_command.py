"""``sandbox witness``: its key, its memory, and serving, in processes as a witness's holder runs them."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from sandbox.audit.merkle import leaf_hash
from sandbox.audit.note import Checkpoint, open_checkpoint, read_vkey, sign_note, verifier_key
from sandbox.audit.witness import Submission
from sandbox.core.keys import key_from_seed
from tests.terminal import SANDBOX, Ended, command, environment

ORIGIN, NAME = "exchange.example.vn/log", "regulator.example.vn/w1"
LOG = key_from_seed("log", b"\1" * 32)
NOTE = sign_note(Checkpoint(ORIGIN, 1, leaf_hash(b"0")).text, ORIGIN, LOG)
SERVE = ("witness", "serve", "--state", "w.state", "--key", "witness.jwk", "--log", "log.vkey")


def sandbox(folder: Path, *words: str) -> Ended:
    return command(folder, words, environment())


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with a log's vkey, and a witness's key and memory."""
    (tmp_path / "log.vkey").write_text(verifier_key(ORIGIN, LOG.verify_key) + "\n")
    made = sandbox(tmp_path, "witness", "keygen", NAME)
    (tmp_path / "witness.vkey").write_text(made.stdout)
    assert (made.returncode, sandbox(tmp_path, "witness", "init", "--state", "w.state").returncode) == (0, 0)
    return tmp_path


def _await(port: int) -> None:
    for _ in range(200):
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)


@contextmanager
def serving(folder: Path, *words: str) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    line = [*SANDBOX, *SERVE, "--port", str(port), *words]
    server = subprocess.Popen(line, cwd=folder, env=environment(), stderr=subprocess.PIPE)
    try:
        _await(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.communicate(timeout=10)


def test_a_witness_serves_from_a_key_a_memory_and_a_log_s_vkey(desk: Path) -> None:
    body = Submission(0, [], NOTE).as_bytes()
    with serving(desk) as url:
        answer = httpx2.post(f"{url}/add-checkpoint", content=body)
        vkey = httpx2.get(f"{url}/vkey").text
    assert vkey == (desk / "witness.vkey").read_text()
    assert open_checkpoint(NOTE + answer.content, read_vkey((desk / "log.vkey").read_text()), read_vkey(vkey)).size == 1
    with serving(desk) as url:  # it remembers
        assert httpx2.post(f"{url}/add-checkpoint", content=body).status_code == 409


@pytest.mark.parametrize(("alg", "kind"), [("ed25519", 4), ("ml-dsa-44", 6)])
def test_keygen_prints_the_vkey_and_keeps_the_key_for_its_holder(tmp_path: Path, alg: str, kind: int) -> None:
    made = sandbox(tmp_path, "witness", "keygen", NAME, "--alg", alg, "--out", "my.jwk")
    verifier = read_vkey(made.stdout)
    assert (verifier.name, verifier.kind) == (NAME, kind)
    assert (tmp_path / "my.jwk").stat().st_mode & 0o077 == 0
    assert json.loads((tmp_path / "my.jwk").read_bytes())["kid"].startswith(f"{NAME}/")
    again = sandbox(tmp_path, "witness", "keygen", NAME, "--out", "my.jwk")
    assert (again.returncode, "key.exists" in again.stderr) == (6, True)


@pytest.mark.parametrize("name", ["two words", "a+b", ""])
def test_a_name_that_no_note_can_hold_makes_no_key(tmp_path: Path, name: str) -> None:
    assert sandbox(tmp_path, "witness", "keygen", name).returncode == 2
    assert not [*tmp_path.iterdir()]


def test_a_memory_is_made_once(desk: Path) -> None:
    for words in (("witness", "init", "--state", "w.state"), (*SERVE, "--new")):
        refused = sandbox(desk, *words)
        assert (refused.returncode, "witness.exists" in refused.stderr) == (6, True)


def test_a_witness_without_its_memory_does_not_serve(desk: Path) -> None:
    (desk / "w.state").unlink()
    refused = sandbox(desk, *SERVE)
    assert (refused.returncode, "witness.missing" in refused.stderr) == (5, True)
    assert not (desk / "w.state").exists()
    (desk / "w.state").write_bytes(b"{}")
    refused = sandbox(desk, *SERVE)
    assert (refused.returncode, "tampered.witness" in refused.stderr) == (7, True)


def test_what_is_no_log_s_vkey_is_refused(desk: Path) -> None:
    (desk / "log.vkey").write_text((desk / "witness.vkey").read_text())
    assert sandbox(desk, *SERVE).returncode == 2
    (desk / "log.vkey").unlink()
    assert sandbox(desk, *SERVE).returncode == 5


def test_a_witness_loads_nothing_of_the_exchange() -> None:
    words = (
        "import sys, sandbox.witness, sandbox.cli.witness, sandbox.core.keys, sandbox.audit.quorum;"
        "foreign = ('sandbox.exchange', 'sandbox.query', 'sandbox.bootstrap', 'sandbox.core.database', 'sqlalchemy',"
        " 'duckdb', 'pyarrow', 'regorus');"
        "print([name for name in sys.modules if name.startswith(foreign)])"
    )
    loaded = subprocess.run([sys.executable, "-c", words], capture_output=True, check=True, text=True)
    assert loaded.stdout == "[]\n"
