"""``sandbox charter`` reads, signs and explains files without an exchange, and puts them in force in one."""

import json

import pytest
from click.testing import CliRunner

from sandbox import bootstrap
from sandbox.cli.charter import charter
from sandbox.core.canonical import digest_of, parse
from sandbox.core.errors import Conflict, Invalid, NotFound
from sandbox.core.keys import key_from_seed, read_key, write_key
from sandbox.core.terms import Participant, Role
from sandbox.settings import Settings
from tests.chartering import SAMPLE, document, following, signed

REGULATOR = "co-quan-giam-sat"
KEY = key_from_seed(REGULATOR, bytes([1]) * 32)


def run(*words):
    return CliRunner().invoke(charter, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture
def keys(tmp_path):
    files = {}
    for number, who in enumerate(("co-quan-giam-sat", "san-du-lieu"), 1):
        files[who] = tmp_path / f"{who}.jwk"
        write_key(key_from_seed(who, bytes([number]) * 32), files[who])
    return files


def test_two_parties_sign_one_after_the_other(keys, tmp_path):
    half, whole = tmp_path / "half.json", tmp_path / "whole.json"
    run("sign", SAMPLE, "--key", keys["co-quan-giam-sat"], "--out", half)
    run("sign", half, "--key", keys["san-du-lieu"], "--out", whole)
    said = parse(whole.read_bytes())
    assert said["charter"] == document()
    assert len(said["signatures"]) == 2
    checked = json.loads(run("check", whole, "--json").stdout)
    assert (checked["signatures_present"], checked["signatures_verified"]) == (2, False)
    assert checked["digest"] == digest_of(document())


def test_a_charter_is_checked_without_a_signature():
    assert "TPHCM-SGDDL-2026-01 version 1 reads well" in run("check", SAMPLE).stderr


def test_a_draft_has_the_parties_and_the_window_asked_for_and_reads_as_a_charter(tmp_path):
    file = tmp_path / "draft.json"
    run("draft", "--regulator", "so-kh", "--operator", "san-hai", "--start", "2027-01-31", "--out", file)
    said = json.loads(file.read_text())
    assert said["parties"] == {"regulator": "so-kh", "operator": "san-hai"}
    assert (said["window"]["start"], said["window"]["end"]) == ("2027-01-30T17:00:00Z", "2028-01-30T17:00:00Z")
    assert "reads well" in run("check", file).stderr


@pytest.mark.parametrize("words", [["--start", "31/01/2027"], ["--regulator", "san-du-lieu"], ["--operator", "Sàn"]])
def test_a_draft_without_a_day_or_with_impossible_parties_is_not_written(tmp_path, words):
    with pytest.raises(Invalid):
        run("draft", *words, "--out", tmp_path / "draft.json")
    assert not list(tmp_path.iterdir())


def test_a_charter_that_does_not_read_is_neither_checked_signed_nor_explained(keys, tmp_path):
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(document(state="open")))
    for words in (["check"], ["explain"], ["sign", "--key", keys["san-du-lieu"]]):
        with pytest.raises(Invalid, match="state is"):
            run(*words, wrong)


def test_a_file_is_explained_in_either_language():
    assert "Chỉ giao dịch từ 01/12/2026 00:00" in " ".join(run("explain", SAMPLE).stdout.split())
    english = json.loads(run("explain", SAMPLE, "--lang", "en", "--json").stdout)
    assert {name: english[15][name] for name in ("member", "value")} == {"member": "cross_border", "value": False}


def test_a_missing_file_and_a_file_without_certificates_are_said(keys, tmp_path):
    with pytest.raises(NotFound):
        run("check", tmp_path / "nothing.json")
    with pytest.raises(Invalid, match="holds no PEM certificates"):
        run("sign", SAMPLE, "--key", keys["san-du-lieu"], "--certificates", SAMPLE)


# --- an exchange ---
@pytest.fixture
def home(tmp_path):
    """An exchange with a regulator and no charter yet; commands go by the machine's clock."""
    settings = Settings(home=tmp_path / "home")
    bootstrap.init(settings, "Sàn thử")
    with bootstrap.build(settings) as exchange:
        regulator = Participant(
            REGULATOR, "Cơ quan giám sát", frozenset({Role.REGULATOR}), entity_verified=True, eid_level=2
        )
        exchange.admit(regulator, KEY.verify_key)
    return settings.home


def file_of(home, said):
    file = home.parent / "charter.json"
    file.write_bytes(signed(said, KEY, read_key(home / bootstrap.EXCHANGE_KEY)))
    return file


def test_versions_are_adopted_shown_explained_and_listed(home):
    assert "version 1 is in force (active)" in run("adopt", "--home", home, file_of(home, document())).stderr
    second = following(document(), digest_of(document()), state="paused")
    assert "it allows no trade now: it is paused" in run("adopt", "--home", home, file_of(home, second)).stderr
    shown = json.loads(run("show", "--home", home, "--json").stdout)
    assert (shown["version"], shown["state"], shown["trade_allowed_now"]) == (2, "paused", False)
    assert shown["document"] == second
    assert "per_buyer_day_vnd" in run("show", "--home", home).stdout
    versions = json.loads(run("show", "--home", home, "--history", "--json").stdout)
    assert [row["version"] for row in versions] == [1, 2]
    assert "tạm dừng" in run("explain", "--home", home).stdout


def test_a_version_that_is_not_the_next_is_refused_and_the_old_one_shown(home):
    run("adopt", "--home", home, file_of(home, document()))
    with pytest.raises(Conflict):
        run("adopt", "--home", home, file_of(home, following(document(), digest_of(document()), version=3)))
    assert json.loads(run("show", "--home", home, "--json").stdout)["version"] == 1


def test_a_signature_that_is_missing_is_said_with_the_command_that_adds_it(home):
    half = home.parent / "half.json"
    half.write_bytes(signed(document(), KEY))
    with pytest.raises(Invalid) as refusal:
        run("adopt", "--home", home, half)
    assert "sandbox charter sign" in refusal.value.hint


def test_an_exchange_without_a_charter_says_that_nothing_may_be_traded(home):
    for words in (["show"], ["explain"]):
        with pytest.raises(NotFound, match="nothing may be traded"):
            run(*words, "--home", home)
