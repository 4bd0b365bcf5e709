"""The command line: a stranger's whole way with keys and files of their own, and how wrong use ends."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sandbox.core.clock import SystemClock
from tests.chartering import document
from tests.terminal import Ended, command, environment, year_around
from tests.world import INDEX, World, index, terms

EXCHANGE = "san-du-lieu"


def run(folder: Path, *words: str, code: int = 0) -> Ended:
    done = command(folder, words, environment())
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


class Stranger:
    """Someone with an empty folder and the documentation: every word typed, nothing prepared."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *words: str, code: int = 0) -> Ended:
        """A verb that works on the exchange in ``san``; groups take their home after the second word."""
        place = 2 if words[0] in {"participants", "charter", "tokens", "wallet", "negotiate", "policy"} else 1
        return run(self.folder, *words[:place], "--home", "san", *words[place:], code=code)

    def sign(self, *words: str) -> None:
        run(self.folder, *words)

    def write(self, name: str, document: Any) -> str:
        (self.folder / name).write_text(json.dumps(document, ensure_ascii=False))
        return name

    def founded(self) -> None:
        """An exchange, its regulator, and the charter that both have signed."""
        self.sign("init", "--home", "san")
        self.sign("keygen", "so-khcn")
        office = ("--role", "regulator", "--entity-verified", "--eid-level", "2", "--public-key", "so-khcn.pub.jwk")
        self("participants", "add", "so-khcn", "--name", "Sở KH&CN", *office)
        said = document(window=year_around(SystemClock().now()), parties={"regulator": "so-khcn", "operator": EXCHANGE})
        said["stages"] = [{"name": "day_du", "months": 12, "scale_percent": 100}]
        self.sign("charter", "sign", self.write("charter.json", said), "--key", "so-khcn.jwk", "--out", "half.json")
        self.sign("charter", "sign", "half.json", "--key", "san/keys/exchange.jwk", "--out", "charter.signed.json")
        self("charter", "adopt", "charter.signed.json")

    def peopled(self) -> None:
        """A provider with a dataset, and a buyer with money and a token."""
        for party, role in (("ben-ban", "provider"), ("ben-mua", "buyer")):
            self.sign("keygen", party)
            standing = ("--entity-verified", "--eid-level", "2", "--payment-account")
            key = ("--role", role, "--public-key", f"{party}.pub.jwk")
            self("participants", "add", party, "--name", party, *key, *standing)
        descriptor, table = index()
        (self.folder / "du-lieu").mkdir()
        pq.write_table(table, self.folder / "du-lieu" / "a.parquet")
        self.write("du-lieu/descriptor.json", descriptor)
        self("publish", "du-lieu", "--key", "ben-ban.jwk")
        self("wallet", "top-up", "ben-mua", "5000", "--evidence", "UNC-7")
        (self.folder / "token").write_text(self("tokens", "create", "ben-mua").stdout)

    def bargained(self) -> str:
        """The agreement that a negotiation over the price ends in."""
        (self.folder / "terms.json").write_bytes(terms(INDEX, price_vnd=9_000))
        self("offer", INDEX, "--terms", "terms.json", "--key", "ben-ban.jwk", "--out", "offer.json")
        (offer,) = json.loads(self("offers", "--json").stdout)
        buyer, provider = ("--key", "ben-mua.jwk"), ("--key", "ben-ban.jwk")
        less, last = self.write("less.json", {"price_vnd": 1_000}), self.write("last.json", {"price_vnd": 2_000})
        talk = self("negotiate", "request", "--offer", offer["offer"], "--terms", less, *buyer).stdout.strip()
        self("negotiate", "offer", talk, "--terms", last, *provider)
        for act, key in (("accept", buyer), ("agree", provider), ("verify", buyer)):
            self("negotiate", act, talk, *key)
        self("negotiate", "finalize", talk, "--as", "ben-ban")
        (agreement,) = json.loads(self("agreements", "--json").stdout)
        return str(agreement["agreement"])


@pytest.fixture
def stranger(tmp_path: Path) -> Stranger:
    made = Stranger(tmp_path)
    made.founded()
    made.peopled()
    return made


def test_a_strangers_whole_way_from_an_empty_folder_to_a_verified_receipt(stranger: Stranger) -> None:
    agreement, folder = stranger.bargained(), stranger.folder
    asked = ("query", "--token-file", "token", "-a", agreement[7:19], "--purpose", "nghien_cuu")
    first = "SELECT noi FROM chi_so ORDER BY diem LIMIT 1"
    answer = stranger(*asked, first, "-o", "json", "--receipt", "r.json")
    assert json.loads(answer.stdout) == [{"noi": "E"}]
    assert "2.000" in answer.stderr
    run(folder, "verify", "receipt", "r.json", "--vkey", "san/log.vkey")
    refused = stranger(*asked[:-1], "ban_lai", first, code=4)
    assert "CONT-03" in refused.stderr
    query = refused.stderr.rsplit("on the record as ", 1)[1].split()[0]
    told = json.loads(stranger("policy", "explain", query, "--json").stdout)
    assert (told["decision"]["allow"], told["decision"]["reasons"]) == (False, ["CONT-03"])
    assert [rule["id"] for rule in told["rules"] if not rule["proved"]] == ["CONT-03"]
    why, key = ("--reason", "Nghi lộ dữ liệu.", "--issuer", "so-khcn"), ("--key", "so-khcn.jwk")
    order = stranger("suspend", "dataset", INDEX, *why, *key).stdout.strip()
    assert "CHARTER-06" in stranger(*asked, first, code=4).stderr
    stranger("resume", order, *why, *key, "--out", "resume.json")
    stranger("resume", "--add", "resume.json", "--key", "san/keys/exchange.jwk")
    stranger(*asked, first)
    volume = json.loads(stranger("volume", "--json").stdout)
    assert volume[-1]["value_vnd"] == 4_000
    assert "wallet.insufficient" in stranger(*asked, first, code=4).stderr
    verdict = json.loads(run(folder, "verify", "log", "san/log", "--vkey", "san/log.vkey", "--json").stdout)
    assert verdict["verified"]
    tampered = json.loads((folder / "r.json").read_text())
    tampered["entry"]["meter"]["vnd"] = 1
    (folder / "r.json").write_text(json.dumps(tampered))
    assert "verify.mismatch" in run(folder, "verify", "receipt", "r.json", "--vkey", "san/log.vkey", code=7).stderr


def test_an_offer_taken_as_it_is_needs_no_negotiation(stranger: Stranger) -> None:
    (stranger.folder / "terms.json").write_bytes(terms(INDEX, price_vnd=0))
    stranger("offer", INDEX, "--terms", "terms.json", "--key", "ben-ban.jwk", "--out", "offer.json")
    stranger.sign("sign", "offer.json", "--key", "ben-mua.jwk", "--out", "one.json")
    assert "signature" in stranger("agree", "one.json", code=2).stderr
    stranger.sign("sign", "one.json", "--key", "ben-ban.jwk", "--out", "both.json")
    agreement = stranger("agree", "both.json").stdout.strip()
    asked = ("query", "-a", agreement, "--purpose", "nghien_cuu", "SELECT noi FROM chi_so", "-o", "csv")
    assert len(stranger(*asked, "--token-file", "token").stdout.splitlines()) == 6
    weak = stranger("tokens", "create", "ben-mua", "--single-factor").stdout
    (stranger.folder / "weak").write_text(weak)
    assert "PART-02" in stranger(*asked, "--token-file", "weak", code=4).stderr


def test_without_a_charter_no_one_but_the_offices_comes_in(tmp_path: Path) -> None:
    alone = Stranger(tmp_path)
    alone.sign("init", "--home", "san")
    standing = ("--entity-verified", "--eid-level", "2", "--payment-account")
    refused = alone("participants", "add", "ben-mua", "--name", "Bên mua", "--role", "buyer", *standing, code=4)
    assert "CHARTER-01" in refused.stderr
    assert "sandbox charter show" in refused.stderr
    both = ("--role", "regulator", "--role", "operator", *standing)
    assert "CHARTER-07" in alone("participants", "add", "hai-vai", "--name", "Hai vai", *both, code=6).stderr


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


def test_every_verb_has_help(tmp_path: Path) -> None:
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
