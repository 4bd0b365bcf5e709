"""The command line: a stranger's whole way with keys and files of their own, and how wrong use ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.world import INDEX, World, index, terms

SANDBOX = [sys.executable, "-m", "sandbox.cli"]


def run(folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("SANDBOX_")}
    done = subprocess.run([*SANDBOX, *words], cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_a_strangers_whole_way_from_an_empty_folder_to_a_verified_receipt(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    home = ("--home", "san")
    run(tmp_path, "init", *home)
    for party, role in (("ben-ban", "provider"), ("ben-mua", "buyer")):
        run(tmp_path, "keygen", party)
        run(
            tmp_path,
            "participants",
            "add",
            *home,
            party,
            "--name",
            party,
            "--role",
            role,
            "--public-key",
            f"{party}.pub.jwk",
        )
    descriptor, table = index()
    data = tmp_path / "du-lieu"
    data.mkdir()
    pq.write_table(table, data / "a.parquet")
    (data / "descriptor.json").write_text(json.dumps(descriptor, ensure_ascii=False))
    run(tmp_path, "publish", *home, "du-lieu", "--key", "ben-ban.jwk")
    (tmp_path / "terms.json").write_bytes(terms(INDEX, price_vnd=2_000))
    run(tmp_path, "offer", *home, INDEX, "--terms", "terms.json", "--key", "ben-ban.jwk", "--out", "offer.json")
    run(tmp_path, "sign", "offer.json", "--key", "ben-mua.jwk", "--out", "half.json")
    run(tmp_path, "sign", "half.json", "--key", "ben-ban.jwk", "--out", "whole.json")
    agreement = run(tmp_path, "agree", *home, "whole.json").stdout.strip()
    run(tmp_path, "wallet", "top-up", *home, "ben-mua", "5000", "--evidence", "UNC-7")
    (tmp_path / "token").write_text(run(tmp_path, "tokens", "create", *home, "ben-mua").stdout)
    asked = ("query", *home, "--token-file", "token", "-a", agreement[7:19], "--purpose", "nghien_cuu")
    answer = run(tmp_path, *asked, "SELECT noi FROM chi_so ORDER BY diem LIMIT 1", "-o", "json", "--receipt", "r.json")
    assert json.loads(answer.stdout) == [{"noi": "E"}]
    assert "2.000" in answer.stderr
    run(tmp_path, "verify", "receipt", "r.json", "--vkey", "san/log.vkey")
    verdict = json.loads(run(tmp_path, "verify", "log", "san/log", "--vkey", "san/log.vkey", "--json").stdout)
    assert verdict["verified"]
    volume = json.loads(run(tmp_path, "volume", *home, "--json").stdout)
    assert volume[-1]["value_vnd"] == 2_000
    refused = run(tmp_path, *asked[:-1], "ban_lai", "SELECT noi FROM chi_so", code=4)
    assert "CONT-03" in refused.stderr
    tampered = json.loads((tmp_path / "r.json").read_text())
    tampered["entry"]["meter"]["vnd"] = 1
    (tmp_path / "r.json").write_text(json.dumps(tampered))
    assert "verify.mismatch" in run(tmp_path, "verify", "receipt", "r.json", "--vkey", "san/log.vkey", code=7).stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("volume", "--home", "nowhere"), 5, "sandbox init"),
        (("verify", "log", "nowhere", "--vkey", "nowhere"), 5, "file.missing"),
        (("sign", "nowhere.json", "--key", "nowhere.jwk"), 5, "key.missing"),
        (("keygen", "Not A Slug"), 2, "participant.invalid"),
        (("nonsense",), 2, "No such command"),
        (("query", "SELECT 1", "-a", "00", "--purpose", "x", "--home", "nowhere"), 3, "identity.missing"),
        (("query", "SELECT 1", "-a", "00", "--purpose", "x", "--url", "http://127.0.0.1:9"), 8, "exchange.unreachable"),
    ],
)
def test_wrong_use_ends_in_a_sentence_and_its_own_exit_code(
    tmp_path: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    assert says in run(tmp_path, *words, code=code).stderr


def test_an_exchange_is_not_made_over_something_else(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("keep")
    run(tmp_path, "init", "--home", "mine", code=6)
    run(tmp_path, "demo", "--home", "mine", code=6)
    assert (tmp_path / "mine" / "file").read_text() == "keep"


def test_keys_are_for_their_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    run(tmp_path, "keygen", "ben-mua")
    assert (tmp_path / "ben-mua.jwk").stat().st_mode & 0o777 == 0o600
    before = (tmp_path / "ben-mua.jwk").read_text()
    run(tmp_path, "keygen", "ben-mua", code=6)
    assert (tmp_path / "ben-mua.jwk").read_text() == before
    (tmp_path / "ben-mua.jwk").chmod(0o644)
    (tmp_path / "x.json").write_text("{}")
    assert "chmod 600" in run(tmp_path, "sign", "x.json", "--key", "ben-mua.jwk", code=2).stderr


def test_every_verb_has_help_that_imports_nothing_heavy(tmp_path: Path) -> None:
    from sandbox.cli.main import VERBS

    shown = run(tmp_path, "--help").stdout
    assert all(verb in shown for verb in VERBS)
    for verb in VERBS:
        assert "Usage" in run(tmp_path, verb, "--help").stdout


def test_a_home_is_private_and_laid_out_as_documented(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.exchange.close()
    names = {path.name for path in world.home.iterdir()}
    assert {"sandbox.toml", "exchange.db", "datasets", "keys", "log", "log.vkey", "receipts"} <= names
    assert all(
        path.stat().st_mode & 0o777 == 0o600 for path in (world.home / "keys").glob("*.jwk") if "pub" not in path.name
    )
    assert (world.home / "log" / "checkpoint").is_file()
