"""The evidence pack: everything that a query was decided by, judged again without the exchange."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.audit.evidence import PackVerdict, verify_pack
from sandbox.audit.pack import packed, unpacked
from sandbox.audit.source import open_source
from sandbox.cli import replaying
from sandbox.cli.pack import EQUAL, NOT_EQUAL, UNKNOWN, replayed
from sandbox.core.canonical import canonical, digest, parse
from sandbox.core.errors import Invalid, NotFound, SandboxError, Tampered, Unavailable
from sandbox.exchange import erase, policies
from tests.world import BUYER, INDEX, PROVIDER, REGULATOR, TRIPS, World


@pytest.fixture
def asked(ready: World) -> tuple[World, str]:
    """A world with one completed query."""
    return ready, ready.query().id


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory, ready_world: World) -> tuple[str, str, bytes]:
    """The pack of a completed query that left its exchange: the log's vkey, the query, the bytes."""
    world = ready_world.copy_to(tmp_path_factory.mktemp("given"))
    query = world.query().id
    content = pack_of(world, query)
    world.exchange.close()
    return world.vkey, query, content


def pack_of(world: World, query: str) -> bytes:
    return world.exchange.evidence(world.who(REGULATOR).participant, query)


def refused(world: World, **asked: Any) -> str:
    with pytest.raises(SandboxError) as refusal:
        world.query(**asked)
    assert refusal.value.query
    return refusal.value.query


def judged(world: World, query: str) -> PackVerdict:
    return verify_pack(pack_of(world, query), world.vkey)


def test_a_completed_query_is_judged_again_before_it_ran_and_before_it_left(asked: tuple[World, str]) -> None:
    verdict = judged(*asked)
    assert [each.kind for each in verdict.decisions] == ["query.authorized", "query.completed"]
    assert [replayed(each).outcome for each in verdict.decisions] == [EQUAL, EQUAL]
    assert verdict.absent == verdict.erased == ()
    questions = [each.question["action"]["name"] for each in verdict.decisions if each.question]
    assert questions == ["query.run", "query.release"]


def test_a_pack_holds_charter_agreement_offer_dataset_policies_receipts_and_disclosures(
    given: tuple[str, str, bytes], ready_world: World
) -> None:
    _, files = unpacked(given[2])
    agreement = ready_world.agreements[TRIPS, BUYER].removeprefix("sha256:")
    assert {path.partition("/")[0] for path in files} == {
        "charter.json", "agreements", "datasets", "policies", "receipts", "disclosures",
    }  # fmt: skip
    assert {f"agreements/{agreement}/contract.json", f"agreements/{agreement}/offer.json"} <= files.keys()
    assert any(path.endswith("/exchange/authz/decision.rego") for path in files)
    manifest = next(parse(content) for path, content in files.items() if path.endswith("/manifest.json"))
    assert manifest["manifest"]["files"][0]["sha256"].startswith("sha256:")


def test_a_query_refused_by_the_policies_is_refused_again_for_the_same_reasons(ready: World) -> None:
    verdict = judged(ready, refused(ready, purpose="ban_lai"))
    (decision,) = verdict.decisions
    assert decision.reasons == ("CONT-03",)
    assert (replayed(decision).outcome, replayed(decision).again) == (EQUAL, ("CONT-03",))


def test_a_query_refused_before_any_policy_was_asked_has_a_pack_without_decisions(ready: World) -> None:
    verdict = judged(ready, refused(ready, sql="DROP TABLE chuyen_di"))
    assert verdict.decisions == ()
    assert verdict.receipts["decision"].entry["code"] == "query.shape"


def test_a_query_over_two_datasets_of_one_version_each_holds_both(ready: World) -> None:
    both = (ready.agreements[INDEX, BUYER], ready.agree(INDEX, retention_days=5))
    with pytest.raises(SandboxError) as refusal:
        ready.query("SELECT noi FROM chi_so", agreements=both)
    verdict = judged(ready, str(refusal.value.query))
    assert verdict.absent == ()


def test_the_same_query_makes_the_same_pack(asked: tuple[World, str]) -> None:
    assert pack_of(*asked) == pack_of(*asked)


def test_a_pack_is_for_the_overseers_alone(asked: tuple[World, str]) -> None:
    world, query = asked
    for who in (BUYER, PROVIDER):
        with pytest.raises(NotFound) as refusal:
            world.exchange.evidence(world.who(who).participant, query)
        assert refusal.value.code == "query.unknown"
    with pytest.raises(NotFound):
        pack_of(world, "qry_none")
    with pytest.raises(NotFound):
        pack_of(world, "qry\0")


def test_what_was_erased_is_told_and_the_decision_not_made_again(asked: tuple[World, str]) -> None:
    world, query = asked
    entry = next(each["id"] for each in world.entries() if each["type"] == "query.authorized")
    erase.erase(world.exchange.house, entry, ["question", "actor"], "D314-4(6)")
    verdict = judged(world, query)
    assert verdict.erased == ((entry, "actor"), (entry, "question"))
    assert [replayed(each).outcome for each in verdict.decisions] == [UNKNOWN, EQUAL]
    world.exchange.export_log()
    with open_source(world.home / "log") as log:
        assert verify_pack(pack_of(world, query), world.vkey, log=log).erased == verdict.erased


def test_an_erasure_that_the_log_does_not_tell_of_is_found_with_the_log_at_hand(asked: tuple[World, str]) -> None:
    world, query = asked
    _, files = unpacked(pack_of(world, query))
    receipt = parse(files["receipts/decision.json"])
    del receipt["reveal"]["actor"]
    lines = files["disclosures/decision.ndjson"].splitlines(keepends=True)
    told = json.loads(lines[1])
    assert told["name"] == "actor"
    lines[1] = canonical({"index": told["index"], "entry": told["entry"], "name": "actor", "erased": True, "by": 0})
    files |= {
        "receipts/decision.json": canonical(receipt),
        "disclosures/decision.ndjson": b"\n".join(line.rstrip() for line in lines),
    }
    forged = packed(query, files)
    assert verify_pack(forged, world.vkey).erased
    world.exchange.export_log()
    with open_source(world.home / "log") as log, pytest.raises(Tampered, match="does not say"):
        verify_pack(forged, world.vkey, log=log)


Change = Callable[[dict[str, bytes]], object]


def _path(files: dict[str, bytes], ending: str) -> str:
    return next(path for path in sorted(files) if path.endswith(ending))


def _edit(files: dict[str, bytes], ending: str, old: bytes, new: bytes) -> None:
    path = _path(files, ending)
    assert old in files[path]
    files[path] = files[path].replace(old, new, 1)


CHANGES: dict[str, Change] = {
    "the charter": lambda files: _edit(files, "charter.json", b'"version":1', b'"version":2'),
    "the contract's price": lambda files: _edit(files, "contract.json", b'"15000"', b'"15001"'),
    "the offer": lambda files: _edit(files, "offer.json", b'"15000"', b'"15001"'),
    "the descriptor": lambda files: _edit(files, "descriptor.json", b'"min_group":10', b'"min_group":11'),
    "the file's digest": lambda files: _edit(files, "/manifest.json", b'"rows":120', b'"rows":121'),
    "a policy": lambda files: _edit(files, "decision.rego", b"package", b"# \npackage"),
    "a policy left out": lambda files: files.pop(_path(files, "decision.rego")),
    "the question": lambda files: _edit(files, "receipts/decision.json", b'"nghien_cuu"', b'"nghien_cUu"'),
    "the decision": lambda files: _edit(files, "receipts/decision.json", b'"decision":"allow"', b'"decision":"deny"'),
    "a reveal left out": lambda files: _edit(files, "disclosures/decision.ndjson", b'"name":"sql"', b'"name":"sqk"'),
    "the receipt left out": lambda files: files.pop("receipts/decision.json"),
    "a disclosure left out": lambda files: files.pop("disclosures/outcome.ndjson"),
    "the outcome's receipt left out": lambda files: files.pop("receipts/outcome.json"),
    "another file": lambda files: files.update({"note.txt": b"believe me"}),
    "another policy": lambda files: files.update({"policies/" + "0" * 64 + "/exchange/a.rego": b"package exchange"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_pack_whose_manifest_was_made_anew_over_changed_files_is_refused(
    given: tuple[str, str, bytes], name: str
) -> None:
    vkey, query, content = given
    _, files = unpacked(content)
    CHANGES[name](files)
    with pytest.raises(SandboxError) as refusal:
        verify_pack(packed(query, files), vkey)
    assert refusal.value.code in {"verify.mismatch", "disclosure.malformed"}


def test_a_decision_other_than_the_policies_make_is_not_equal(given: tuple[str, str, bytes]) -> None:
    vkey, _, content = given
    ran, left = verify_pack(content, vkey).decisions
    assert replayed(replace(ran, allow=False, reasons=("CONT-03",))).outcome == NOT_EQUAL
    assert replayed(replace(ran, question=left.question)).outcome == EQUAL
    elsewhere = json.loads(canonical(dict(ran.question or {})))
    elsewhere["context"]["purpose"] = "ban_lai"
    again = replayed(replace(ran, question=elsewhere))
    assert (again.outcome, again.again) == (NOT_EQUAL, ("CONT-03",))
    assert replayed(replace(ran, allow=False, reasons=("CONT-04",), question=elsewhere)).outcome == NOT_EQUAL
    with pytest.raises(Invalid):
        replayed(replace(ran, question={**elsewhere, "more": 1}))


ENDLESS = """package exchange.authz
decision := {"allow": count(pairs) > 0}
pairs := [1 | some i in numbers.range(1, N); some j in numbers.range(1, N); i == j]
"""


@pytest.mark.parametrize("most", ["30000", "300000000"], ids=["time", "memory"])
def test_policies_that_do_not_end_are_ended(
    given: tuple[str, str, bytes], most: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "SECONDS", 2)
    vkey, _, content = given
    ran, _ = verify_pack(content, vkey).decisions
    policies = {"exchange/authz/endless.rego": ENDLESS.replace("N", most).encode()}
    with pytest.raises(Unavailable) as refusal:
        replayed(replace(ran, policies=policies))
    assert refusal.value.code == "verify.replay"


def test_what_a_pack_lacks_is_said(given: tuple[str, str, bytes]) -> None:
    vkey, query, content = given
    _, files = unpacked(content)
    kept = {path: text for path, text in files.items() if path.startswith(("receipts/", "disclosures/"))}
    verdict = verify_pack(packed(query, kept), vkey)
    assert [each.partition(" sha256:")[0] for each in verdict.absent] == [
        "the agreement", "the charter", "the policies",
    ]  # fmt: skip
    assert {replayed(each).outcome for each in verdict.decisions} == {UNKNOWN}


def test_a_pack_of_another_query_or_log_is_refused(given: tuple[str, str, bytes], vkey_of_another: str) -> None:
    vkey, _, content = given
    _, files = unpacked(content)
    with pytest.raises(Tampered, match="is not of qry_other"):
        verify_pack(packed("qry_other", files), vkey)
    with pytest.raises(Tampered):
        verify_pack(content, vkey_of_another)


@pytest.fixture
def vkey_of_another() -> str:
    from sandbox.audit.note import verifier_key
    from sandbox.core.keys import key_from_seed

    return verifier_key("exchange.example.vn/log", key_from_seed("log", b"\7" * 32).verify_key)


def test_the_files_of_the_policies_are_kept_once_and_by_their_digest(ready: World) -> None:
    house = ready.exchange.house
    with house.database.read() as connection:
        files = policies.bundle_files(connection, house.policy.policy)
        assert files is not None
        assert policies.bundle_files(connection, "sha256:" + "0" * 64) is None
    folder = house.settings.policy_folder
    assert all((folder / path).read_bytes() == content for path, content in files.items())
    ready.reopen()


def test_policies_altered_in_the_database_are_seen(tmp_path: Path, ready_world: World) -> None:
    import sqlalchemy as sa

    world = ready_world.copy_to(tmp_path)
    try:
        query = world.query().id
        with sa.create_engine(world.settings.database).begin() as connection:
            connection.execute(sa.text("DROP TRIGGER policy_bundle_no_update"))
            connection.execute(
                sa.text("UPDATE policy_bundle SET files = CAST(replace(files, 'package', 'pakcage') AS BLOB)")
            )
        with pytest.raises(Tampered) as refusal:
            pack_of(world, query)
        assert refusal.value.code == "tampered.policy"
    finally:
        world.exchange.close()


def test_the_archive_is_plain_and_names_its_files(given: tuple[str, str, bytes]) -> None:
    with zipfile.ZipFile(io.BytesIO(given[2])) as archive:
        names = archive.namelist()
        manifest = json.loads(archive.read("manifest.json"))
        assert manifest["files"] == {name: digest(archive.read(name)) for name in names if name != "manifest.json"}
    assert names == sorted(names)
