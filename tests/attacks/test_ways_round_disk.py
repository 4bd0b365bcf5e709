"""Ways round through the machine: files swapped, opened or altered, settings bent, policies changed under way."""

import contextlib
import dataclasses
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sandbox import bootstrap
from sandbox.catalog import dataset, examination
from sandbox.cli import say
from sandbox.cli.parties import signed_folder
from sandbox.core import signing
from sandbox.core.clock import ManualClock
from sandbox.core.errors import Invalid, NotFound, PolicyRefused, SandboxError, Tampered
from sandbox.core.terms import ParticipantId
from sandbox.exchange import publish
from sandbox.settings import Settings, load, share
from tests.world import BUYER, INDEX, PROVIDER, START, TRIPS, World


# --- publishing ---
def test_a_manifest_of_another_dataset_lists_nothing(ready: World) -> None:
    descriptor, files, _ = signed_folder(ready.folder_of(INDEX), ready.keys[PROVIDER])
    _, _, foreign = signed_folder(ready.folder_of(TRIPS), ready.keys[PROVIDER])
    with pytest.raises(SandboxError) as refusal:
        ready.exchange.publish(descriptor, files, foreign)
    assert "LIST-08" in refusal.value.reasons


def test_a_file_changed_while_it_is_examined_is_not_what_reaches_the_shelf(
    ready: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ready.folder_of(INDEX, description={"vi": "Bản khác.", "en": "Another one."})
    descriptor, files, envelope = signed_folder(folder, ready.keys[PROVIDER])
    (file,), good, bad = files, files[0].read_bytes(), io.BytesIO()
    nulls = pa.table({"noi": [*"ABCDX"], "diem": pa.array([5, 4, 3, 2, None], pa.int32())})
    pq.write_table(nulls, bad)
    document = json.loads(envelope)["manifest"]
    content = bad.getvalue()
    document["files"][0] |= {"sha256": "sha256:" + hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    document["bytes"] = len(content)
    forged = signing.envelope("manifest", document, [signing.sign(document, ready.keys[PROVIDER], "dataset+jws")])
    opened = examination.parquet.open_parquet

    def swapping(*given: object) -> object:  # between the hash and the reading of the rows
        file.write_bytes(good)
        return opened(*given)  # type: ignore[arg-type]

    def examine(*given: object) -> object:
        examined = examination.examine_here(*given)  # type: ignore[arg-type]
        file.write_bytes(content)
        return examined

    monkeypatch.setattr(examination.parquet, "open_parquet", swapping)
    monkeypatch.setattr(dataset, "examine", examine)  # the child process runs the same function
    file.write_bytes(content)
    with pytest.raises(Invalid) as refusal:
        ready.exchange.publish(descriptor, files, forged)
    assert refusal.value.code == "parquet.mismatch"
    assert {path.name for path in ready.home.iterdir() if path.name.startswith("publishing-")} == set()


def test_a_manifest_signed_as_something_else_or_by_two_parties_lists_nothing(ready: World) -> None:
    descriptor, files, envelope = signed_folder(ready.folder_of(INDEX), ready.keys[PROVIDER])
    document = json.loads(envelope)["manifest"]
    receipt = [signing.sign(document, ready.keys[PROVIDER], "receipt+jws")]
    both = [signing.sign(document, ready.keys[slug], publish.MANIFEST_TYPE) for slug in (PROVIDER, BUYER)]
    for signatures in (receipt, both, []):
        with pytest.raises(Invalid) as refusal:
            ready.exchange.publish(descriptor, files, signing.envelope("manifest", document, signatures))
        assert refusal.value.code == "signature.invalid"


# --- files of the home ---
def test_a_dataset_swapped_on_the_disk_is_noticed_before_an_extract_is_made_of_it(ready: World) -> None:
    ready.forget_extracts()
    for file in (ready.home / "datasets").rglob("*.parquet"):
        table = pq.read_table(file)
        file.chmod(0o644)
        pq.write_table(table.slice(1), file)
    with pytest.raises(Tampered) as refusal:
        ready.query()
    assert refusal.value.code == "tampered.dataset"
    assert ready.entries()[-1]["type"] == "query.refused"
    assert ready.exchange.balance(ParticipantId(BUYER)) == 100_000


@pytest.mark.parametrize(
    ("loosen", "code"),
    [
        (lambda home: home.chmod(0o755), "home.exposed"),
        (lambda home: (home / "keys/exchange.jwk").chmod(0o644), "key.exposed"),
        (lambda home: (home / "keys/log.jwk").chmod(0o640), "key.exposed"),
        (lambda home: (home / "keys/log.jwk").unlink(), "key.missing"),
        (lambda home: shutil.copy(home / "keys/exchange.jwk", home / "keys/log.jwk"), "tampered.log"),
    ],
    ids=["home", "exchange key", "log key", "no key", "another key"],
)
def test_an_exchange_does_not_open_on_a_home_that_others_can_look_into_or_with_another_key(
    tmp_path: Path, bare_world: World, loosen: Callable[[Path], object], code: str
) -> None:
    home = shutil.copytree(bare_world.home, tmp_path / "home")
    loosen(home)
    with pytest.raises(SandboxError) as refusal:
        bootstrap.build(Settings(home=home), ManualClock(START))
    assert refusal.value.code == code


# --- settings ---
@pytest.mark.parametrize("origin", ['a"b.vn/log', "a.vn\\log", "a.vn/'log'", "a.vn/#log", "nhật-ký.vn/log"])
def test_a_log_named_with_signs_of_the_settings_file_keeps_its_name_and_sets_nothing_else(origin: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        bootstrap.init(Settings(home=home, origin=origin), "Sàn thử", ManualClock(START))
        settings = load(home, {})
        assert (settings.origin, settings.exchange, settings.fee_bp) == (origin, "san-du-lieu", 250)
        bootstrap.build(settings, ManualClock(START)).close()


@pytest.mark.parametrize(
    "named",
    [
        {"origin": 'a.vn/log"\nfee_bp = 0\n#'},
        {"origin": "a.vn/\x1blog"},
        {"origin": "a.vn/\x00log"},
        {"origin": ""},
        {"exchange": 'x"\nfee_bp = 0'},
        {"exchange": "../x"},
        {"fee_bp": 10_001},
    ],
)
def test_settings_that_no_exchange_can_have_leave_no_home(tmp_path: Path, named: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        bootstrap.init(Settings(home=tmp_path / "home", **named), "Sàn thử", ManualClock(START))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


# --- policies ---
def test_policies_altered_under_way_decide_nothing_until_a_restart_that_the_log_shows(ready: World) -> None:
    folder = ready.folder / "policies"
    shutil.copytree(share("policies"), folder)
    ready.settings = dataclasses.replace(ready.settings, policies=folder)
    ready.reopen()
    table = folder / "exchange/roles/data.json"
    table.write_text(table.read_text() + "\n")
    with pytest.raises(PolicyRefused):
        ready.query(purpose="ban_lai")
    digests = [entry["policy"]["bundle"] for entry in ready.entries() if entry["type"] == "query.refused"]
    assert digests == [ready.exchange.house.policy.policy]
    ready.reopen()
    activated = [entry["policy"]["bundle"] for entry in ready.entries() if entry["type"] == "policy.activated"]
    assert (len(activated), activated[-1] != digests[0]) == (2, True)


def test_an_exchange_does_not_open_on_policies_that_always_say_yes(ready: World) -> None:
    folder = ready.folder / "policies"
    shutil.copytree(share("policies"), folder)
    entry = folder / "exchange/authz/decision.rego"
    yes = '{"allow": true, "reasons": [], "obligations": {"max_rows": 1}, "policy": data.exchange.policy}'
    entry.write_text(f"package exchange.authz\n\ndecision := {yes}\n")
    with pytest.raises(SandboxError):
        bootstrap.build(dataclasses.replace(ready.settings, policies=folder), ready.clock)


# --- the terminal and the receipts folder ---
def test_data_does_not_speak_to_the_terminal() -> None:
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        say.table([["\x1b]0;mine\x07\x1b[2J", "[red]x\u202e 1\u00a0₫"]], ["a", "\x1b[31mb"])
    assert not {"\x1b", "\x07", "\u202e"} & {*shown.getvalue()}
    assert "[red]x" in shown.getvalue()
    assert "1\u00a0₫" in shown.getvalue()


def test_no_trick_with_a_name_finds_a_receipt_in_either_database(tmp_path: Path, database_url: str) -> None:
    world = World(tmp_path, overrides={"database_url": database_url})
    with world.exchange:
        for name in ("../keys/log.jwk", "qry_0\x00", "%", "' OR '1'='1", "qry_" + "A" * 5_000, ""):
            with pytest.raises(NotFound) as refusal:
                world.exchange.receipt(world.who(BUYER), name)
            assert refusal.value.code == "query.unknown"
