"""The README says what the program does: settings, errors, commands, layout and links are compared with it."""

import ast
import json
import os
import re
import shlex
from dataclasses import fields
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

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


def shell_lines(text: str) -> list[str]:
    """The lines of a page's shell blocks, continuations joined."""
    return "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ").splitlines()


def commands() -> list[list[str]]:
    """Every ``sandbox`` command that a page shows, line continuations joined."""
    lines = []
    for page in PAGES:
        text = page.read_text()
        lines += [*shell_lines(text), *re.findall(r"`(sandbox [a-z][^`]*)`", text)]
    words = dict.fromkeys(tuple(shlex.split(line, comments=True)) for line in lines)
    return [list(each[1:]) for each in words if each[:1] == ("sandbox",)]


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


def test_the_way_from_nothing_to_a_first_result_works_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of that chapter and of the regulator's, in a folder with the checkout's samples."""
    for name in ("datasets", "contracts"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    for name in [each for each in os.environ if each.startswith("SANDBOX_")]:
        monkeypatch.delenv(name)
    chapter = README.partition("## From nothing to a first result")[2].partition("\n## What is promised")[0]
    said: dict[str, str] = {}
    for line in filter(None, shell_lines(chapter)):
        receipt = next(Path(".sandbox/home/receipts").glob("*.json"), Path())
        typed = line.replace("AGREEMENT", said.get("agree", "").strip()).replace("QUERY", receipt.stem)
        words, target = shlex.split(typed, comments=True), ""
        if ">" in words:
            words, target = words[: words.index(">")], words[-1]
        if words[1:3] == ["witness", "serve"]:  # for ever; see tests/cli/test_regulator.py
            continue
        done = CliRunner().invoke(group, words[1:], catch_exceptions=False)
        assert done.exit_code == 0, (line, done.output)
        said[words[1]] = done.stdout
        if target:
            Path(target).write_text(done.stdout)
    assert "Đà Nẵng" in said["query"]


def raised() -> set[tuple[str, str]]:
    """Class and code wherever the program names a code as it raises."""
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, SandboxError)}
    calls = [
        node
        for path in (ROOT / "sandbox").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds and node.args
    ]
    return {
        (call.func.id, call.args[0].value)
        for call in calls
        if isinstance(call.func, ast.Name) and isinstance(call.args[0], ast.Constant)
    }  # fmt: skip


def test_every_code_that_the_program_names_stands_on_the_page_of_codes_and_no_other() -> None:
    page = (ROOT / "docs/codes.md").read_text()
    listed = {
        (kind, code)
        for kind, codes in re.findall(r"^\| `([A-Z]\w+)` \| (.*) \|$", page, re.MULTILINE)
        for code in re.findall(r"`([^`]+)`", codes)
    }
    assert raised() - listed == set()
    sources = "".join(path.read_text() for path in (ROOT / "sandbox").rglob("*.py"))
    assert [code for _, code in listed if f'"{code}"' not in sources and f"``{code}``" not in sources] == []


def test_every_rule_stands_on_its_page() -> None:
    page = (ROOT / "docs/rules.md").read_text()
    listed = dict(re.findall(r"^\| ([A-Z]+-\d\d) (\|.*\|)$", page, re.MULTILINE))
    rules = json.loads((ROOT / "policies/exchange/reasons/data.json").read_text())["rules"]
    assert listed == {rule: f"| {said['en']} | {said['vi']} | {said['law']} |" for rule, said in rules.items()}


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
