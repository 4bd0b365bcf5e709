"""The operator's verbs for keys: registered, listed, revoked, and what CAs have revoked."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests import authority
from tests.terminal import Ended, command, environment

EXCHANGE = "san-du-lieu"
ROOT = authority.root()


def run(folder: Path, *words: str, code: int = 0, **environ: str) -> Ended:
    done = command(folder, words, environment(**environ))
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def listed(folder: Path) -> dict[str, dict[str, str]]:
    lines = json.loads(run(folder, "keys", "list", "--home", "san", "--owner", EXCHANGE, "--json").stdout)
    return {line["key"]: line for line in lines}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an exchange in ``san`` and a request key of the operator's beside it."""
    folder = tmp_path_factory.mktemp("keys")
    run(folder, "init", "--home", "san")
    run(folder, "keygen", EXCHANGE, "--use", "request")
    return folder


@pytest.mark.parametrize("alg", ["Ed25519", "ES256", "PS256", "ML-DSA-65"])
def test_a_key_of_each_kind_is_made_for_contracts(tmp_path: Path, alg: str) -> None:
    run(tmp_path, "keygen", "ben-mua", "--alg", alg)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ben-mua.jwk", "ben-mua.pub.jwk"]
    assert "exists" in run(tmp_path, "keygen", "ben-mua", "--alg", alg, code=6).stderr


def test_a_key_for_requests_is_of_one_kind_and_bears_its_use_in_its_name(tmp_path: Path) -> None:
    assert "Ed25519" in run(tmp_path, "keygen", "ben-mua", "--use", "request", "--alg", "ES256", code=2).stderr
    assert not list(tmp_path.iterdir())
    run(tmp_path, "keygen", "ben-mua", "--use", "request")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ben-mua.request.jwk", "ben-mua.request.pub.jwk"]


def test_a_key_is_registered_for_its_use_listed_and_revoked(home: Path) -> None:
    key = json.loads((home / f"{EXCHANGE}.request.pub.jwk").read_text())["kid"]
    words = ("keys", "register", "--home", "san", EXCHANGE, "--public-key", f"{EXCHANGE}.request.pub.jwk")
    done = run(home, *words, "--use", "request", "--until", "2099-01-01")
    assert key in done.stderr
    line = listed(home)[key]
    assert (line["use"], line["alg"], line["until"], line["revoked"]) == (
        "request", "Ed25519", "2098-12-31T17:00:00.000000Z", "",
    )  # fmt: skip
    assert "key.registered" in run(home, *words, "--use", "contract", code=6).stderr
    run(home, "keys", "revoke", "--home", "san", key)
    assert listed(home)[key]["revoked"]
    assert listed(home)[key]["invalid_from"] == ""
    shown = run(home, "keys", "list", "--home", "san", COLUMNS="60").stdout.splitlines()
    assert any(line.startswith(key) for line in shown)  # whole, to be copied, however narrow the terminal


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("register", "khong-ai", "--public-key", f"{EXCHANGE}.request.pub.jwk"), 5, "participant.unknown"),
        (("register", EXCHANGE, "--public-key", "absent.jwk"), 5, "key.missing"),
        (("register", EXCHANGE, "--public-key", f"{EXCHANGE}.request.pub.jwk", "--until", "soon"), 2, "time.malformed"),
        (("register", EXCHANGE, "--public-key", f"{EXCHANGE}.request.pub.jwk", "--use", "tls"), 2, "--use"),
        (("revoke", "khong-ai/0"), 5, "key.unknown"),
        (("revoke", "khong-ai/0", "--invalid-from", "2026-13-01"), 2, "time.malformed"),
        (("crl", "absent.crl"), 5, "file.missing"),
    ],
    ids=str,
)
def test_wrong_words_change_nothing(home: Path, words: tuple[str, ...], code: int, said: str) -> None:
    before = listed(home)
    assert said in run(home, "keys", words[0], "--home", "san", *words[1:], code=code).stderr
    assert listed(home) == before


def test_a_revocation_list_is_kept_where_its_ca_is_trusted(home: Path) -> None:
    (home / "roots.pem").write_bytes(ROOT.pem)
    (home / "list.crl").write_bytes(ROOT.revocations(datetime(2026, 1, 1, tzinfo=UTC)))
    words = ("keys", "crl", "--home", "san", "list.crl")
    assert "trust.none" in run(home, *words, code=2).stderr
    kept = run(home, *words, SANDBOX_TRUST_STORE="roots.pem").stdout.strip()
    assert kept.startswith("sha256:")
    (home / "roots.pem").write_bytes(authority.root().pem)
    assert "crl.untrusted" in run(home, *words, code=2, SANDBOX_TRUST_STORE="roots.pem").stderr
