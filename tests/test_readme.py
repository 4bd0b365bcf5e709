"""The README says what the program does: settings, errors, commands, layout and links are compared with it."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import click
import pytest

from sandbox.cli.main import VERBS, group
from sandbox.core import errors
from sandbox.core.errors import SandboxError
from sandbox.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "DEVELOPING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def rows(first: str) -> list[list[str]]:
    """A table's rows, by its first heading."""
    table = re.search(rf"\| {first} \|.*\n\|[-|]+\n((?:\|.*\n)+)", README)
    assert table, first
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


def test_the_table_of_settings_is_the_programs() -> None:
    said = {name.strip("`"): (meaning, default.strip("`")) for name, meaning, default in rows("setting")}
    known = {
        each.name: (each.metadata["meaning"], "" if each.default in (None, "") else str(each.default))
        for each in fields(Settings)
    }
    assert said == known


def test_the_table_of_errors_is_the_programs() -> None:
    said = {name.strip("`"): (int(status), int(code)) for name, status, code, _ in rows("class")}
    leaves = [
        kind for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, SandboxError) and kind not in {SandboxError, errors.Refused}
    ]  # fmt: skip
    assert said == {kind.__name__: (kind.status, kind.exit_code) for kind in leaves}


def commands() -> list[list[str]]:
    """Every ``sandbox`` command that a page shows, line continuations joined."""
    lines = []
    for page in PAGES:
        text = page.read_text()
        blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
        lines += [*blocks.splitlines(), *re.findall(r"`(sandbox [a-z][^`]*)`", text)]
    words = [shlex.split(line, comments=True) for line in lines]
    return [each[1:] for each in words if each[:1] == ["sandbox"]]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_shown_has_a_verb_and_options_that_exist(words: list[str]) -> None:
    context = click.Context(group)
    command: click.Command | None = group
    while isinstance(command, click.Group) and words:
        command = command.get_command(context, words[0])
        assert command, words
        words = words[1:]
    assert command
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)} <= known


def test_every_verb_is_reachable_and_described() -> None:
    context = click.Context(group)
    for verb, (_, line) in VERBS.items():
        command = group.get_command(context, verb)
        assert command is not None
        assert line.endswith(".")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


def test_make_knows_the_commands_that_pages_show() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {word for page in PAGES for word in re.findall(r"^make ([a-z]+)", page.read_text(), re.MULTILINE)}
    assert {"demo", "test"} <= shown <= targets


def test_nothing_generated_no_key_and_no_machine_path_is_tracked() -> None:
    import subprocess

    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    for name in tracked.stdout.splitlines():
        assert not re.search(r"\.(db|sqlite3?|log|pyc|jwk|pem|token|duckdb|wal)$|__pycache__", name), name
    locks = [(ROOT / name).read_text() for name in ("requirements.lock", "requirements-dev.lock")]
    assert not any("://" in lock or "--index" in lock or "file:" in lock for lock in locks)


def test_the_example_of_a_descriptor_is_one() -> None:
    from sandbox.catalog import descriptor as words
    from sandbox.catalog.dataset import read_descriptor

    page = (ROOT / "docs/formats/descriptor.md").read_text()
    example = page.partition("```json\n")[2].partition("```")[0]
    assert [each.name for each in read_descriptor(example.encode()).dimensions] == ["gio"]
    assert all(f"`{word}`" in page for word in (*words.DATA_CLASSES, *words.ORIGINS, *words.FREQUENCIES))
