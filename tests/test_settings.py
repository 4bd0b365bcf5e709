"""Settings: what wins over what, and that nothing misspelt passes in silence."""

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sandbox.core.errors import Invalid, NotFound
from sandbox.settings import FILE, Settings, from_environ, load, share


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with the settings of an exchange."""
    home = tmp_path / "home"
    home.mkdir()
    (home / FILE).write_text('exchange = "san-cua-toi"\nport = 9000\nfee_bp = 100\n', encoding="utf-8")
    return home


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(home: Path) -> None:
    settings = load(home, {"SANDBOX_PORT": "9001", "PATH": "/bin", "sandbox_port": "1"})
    assert (settings.port, settings.fee_bp, settings.exchange) == (9001, 100, "san-cua-toi")
    assert settings.host == Settings().host


def test_a_home_on_the_command_line_wins_over_the_environment(home: Path, tmp_path: Path) -> None:
    assert load(home, {"SANDBOX_HOME": str(tmp_path / "other")}).home == home
    assert load(None, {"SANDBOX_HOME": str(home)}).home == home


def test_the_file_cannot_move_the_home(home: Path) -> None:
    (home / FILE).write_text('home = "/elsewhere"\n')
    assert load(home, {}).home == home


def test_the_default_home_lies_where_one_works(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".sandbox").mkdir()
    home.rename(tmp_path / ".sandbox" / "home")
    for environ in ({}, {"SANDBOX_HOME": ""}):
        assert load(None, environ).port == 9000


def test_what_the_environment_names_is_read_without_a_home() -> None:
    assert from_environ({"SANDBOX_TOKEN": "t", "SANDBOX_PORT": "1"}) == {"token": "t", "port": 1}
    assert from_environ({"OTHER": "x"}) == {}


def test_the_processes_own_environment_is_the_default(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_PORT", "9002")
    assert load(home).port == 9002


@pytest.mark.parametrize("name", ["SANDBOX_PROT", "SANDBOX_", "SANDBOX_DATABASE", "SANDBOX_POLICY_FOLDER"])
def test_an_unknown_name_in_the_environment_is_refused(home: Path, name: str) -> None:
    with pytest.raises(Invalid) as refused:
        load(home, {name: "secret"})
    assert refused.value.code == "settings.unknown"
    assert name in refused.value.message
    assert "secret" not in refused.value.message


def test_an_unknown_name_in_the_file_is_refused(home: Path) -> None:
    (home / FILE).write_text("prot = 1\n")
    with pytest.raises(Invalid) as refused:
        load(home, {})
    assert refused.value.code == "settings.unknown"


@pytest.mark.parametrize(
    "value", ["", "x", "-1", "+1", "1.0", "1e3", " 1", "1_000", "٣", "0x10", "9" * 19, "9" * 5_000]
)
def test_what_is_no_whole_number_is_refused_in_the_environment(home: Path, value: str) -> None:
    with pytest.raises(Invalid) as refused:
        load(home, {"SANDBOX_PORT": value})
    assert refused.value.code == "settings.invalid"


@pytest.mark.parametrize("value", ["-1", "true", "1.0", '"x"', "[1]", "1979-05-27"])
def test_what_is_no_whole_number_is_refused_in_the_file(home: Path, value: str) -> None:
    (home / FILE).write_text(f"port = {value}\n")
    with pytest.raises(Invalid) as refused:
        load(home, {})
    assert refused.value.code == "settings.invalid"


@pytest.mark.parametrize("value", ["1", "true", "{}", "[]"])
def test_what_is_no_text_is_refused(home: Path, value: str) -> None:
    (home / FILE).write_text(f"host = {value}\n")
    with pytest.raises(Invalid) as refused:
        load(home, {})
    assert refused.value.code == "settings.invalid"


@pytest.mark.parametrize("value", ["magic", "landlock+magic", "landlock seccomp", "+", "Landlock", "landlock+"])
def test_isolation_of_no_known_layers_is_refused(home: Path, value: str) -> None:
    (home / FILE).write_text(f'require_isolation = "{value}"\n')
    for environ in ({}, {"SANDBOX_REQUIRE_ISOLATION": value}):
        with pytest.raises(Invalid) as refused:
            load(home, environ)
        assert refused.value.code == "settings.invalid"
        assert "landlock" in refused.value.hint


def test_the_isolation_required_is_layers_joined_and_may_be_none(home: Path) -> None:
    assert load(home, {"SANDBOX_REQUIRE_ISOLATION": "uid+cgroup"}).required_layers == {"uid", "cgroup"}
    assert load(home, {"SANDBOX_REQUIRE_ISOLATION": ""}).required_layers == frozenset()
    if sys.platform == "linux":
        assert load(home, {}).required_layers == {"landlock", "seccomp"}


@pytest.mark.parametrize("content", [b"port = ", b"\xff", b"port = 1\nport = 2\n"])
def test_a_file_that_is_not_toml_is_refused(home: Path, content: bytes) -> None:
    (home / FILE).write_bytes(content)
    with pytest.raises(Invalid) as refused:
        load(home, {})
    assert refused.value.code == "settings.invalid"


@pytest.mark.parametrize("place", ["absent", f"home/{FILE}"])
def test_a_folder_without_an_exchange_is_said_so(home: Path, place: str) -> None:
    with pytest.raises(NotFound) as refused:
        load(home.parent / place, {})
    assert refused.value.code == "home.missing"


def test_the_file_is_utf_8_whatever_the_machines_language(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / FILE).write_text('origin = "sàn-dữ-liệu"\n', encoding="utf-8")
    monkeypatch.setattr("locale.getpreferredencoding", lambda *_: "ascii")
    assert load(home, {}).origin == "sàn-dữ-liệu"


def test_without_a_database_url_the_database_lies_in_the_home(home: Path) -> None:
    assert load(home, {}).database == f"sqlite:///{home.resolve() / 'exchange.db'}"
    assert load(home, {"SANDBOX_DATABASE_URL": "postgresql+psycopg://h/d"}).database == "postgresql+psycopg://h/d"


@pytest.mark.parametrize(("value", "folder"), [("", share("policies")), ("/other", Path("/other"))])
def test_without_a_policy_folder_those_that_came_along_hold(home: Path, value: str, folder: Path) -> None:
    assert load(home, {"SANDBOX_POLICIES": value}).policy_folder == folder


@pytest.mark.parametrize("folder", ["policies", "datasets", "contracts"])
def test_what_came_with_the_program_is_there(folder: str) -> None:
    assert any(share(folder).iterdir())


@pytest.mark.parametrize("setting", fields(Settings), ids=lambda each: each.name)
def test_every_setting_says_what_it_means(setting: Any) -> None:
    assert setting.metadata["meaning"]


def test_settings_do_not_change() -> None:
    with pytest.raises(AttributeError):
        Settings().port = 1  # type: ignore[misc]
