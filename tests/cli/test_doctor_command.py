"""``sandbox doctor`` at the terminal: with an exchange and without, for people and for machines."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.jail import kernel


def doctor(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SANDBOX_")} | environ
    command = [sys.executable, "-m", "sandbox.cli", *words]
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False)


@pytest.fixture(autouse=True)
def _shut_in() -> None:
    if len(kernel.layers()) < 2:
        pytest.skip("this kernel has not all layers")


def test_it_works_without_an_exchange_and_ends_well(tmp_path: Path) -> None:
    done = doctor(tmp_path, "doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert "✓ read /etc/passwd                       EACCES" in done.stdout
    assert "✗" not in done.stdout
    assert "required landlock+seccomp" in done.stdout
    assert [*tmp_path.iterdir()] == []


def test_machines_get_a_document(tmp_path: Path) -> None:
    found = json.loads(doctor(tmp_path, "doctor", "--json").stdout)
    assert found["sound"]
    assert set(found) == {"reached", "required", "sound", "attempts", "works", "lacks", "versions"}
    assert {"operation", "layer", "stopped", "by"} == set(found["attempts"][0])


def test_it_tries_to_reach_the_exchange_that_is_named_and_requires_what_its_settings_do(tmp_path: Path) -> None:
    assert doctor(tmp_path, "init", "--home", "san").returncode == 0
    before = {path: path.read_bytes() for path in (tmp_path / "san").rglob("*") if path.is_file()}
    asked = json.loads(doctor(tmp_path, "doctor", "--home", "san", "--json").stdout)
    assert asked["sound"]
    (tmp_path / "san/sandbox.toml").write_text('require_isolation = "seccomp"\n')
    assert json.loads(doctor(tmp_path, "doctor", "--home", "san", "--json").stdout)["required"] == "seccomp"
    after = {path: path.read_bytes() for path in (tmp_path / "san").rglob("*") if path.is_file()}
    assert after.keys() == before.keys()


def test_an_exchange_that_is_named_and_missing_is_said_to_be(tmp_path: Path) -> None:
    assert doctor(tmp_path, "doctor", "--home", "nowhere").returncode == 5


def test_a_layer_that_nobody_knows_is_an_error_in_the_settings(tmp_path: Path) -> None:
    done = doctor(tmp_path, "doctor", SANDBOX_REQUIRE_ISOLATION="landlock+magic")
    assert done.returncode == 2
    assert "[settings.invalid]" in done.stderr


def test_help_loads_neither_the_engine_nor_the_jail() -> None:
    code = "import sys, sandbox.cli.main as m\ntry: m.group(['--help'])\nexcept SystemExit: pass\n"
    code += "print([name for name in ('duckdb', 'pyarrow', 'seccompy', 'sqlalchemy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "doctor" in done.stdout
