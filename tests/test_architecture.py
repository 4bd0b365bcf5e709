"""The five rules of the house, and the shape of its files."""

import ast
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "sandbox").rglob("*.py"))
LONGEST = 400
JAIL = {"sandbox.query.worker", "sandbox.query.trial", "sandbox.jail.zygote"}
"""They run in processes of their own, and alone open DuckDB."""

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


def modules_after(code: str) -> set[str]:
    """The names of all modules that a fresh interpreter has loaded after some code."""
    report = "import json, sys; print('\\n' + json.dumps([*sys.modules]))"
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, check=False, text=True, cwd=ROOT
    )
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stdout.splitlines()[-1]))


def name_of(path: Path) -> str:
    """The module that a file holds."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_imports_keep_the_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(ROOT)  # import-linter prepends it too, and leaves it there
    assert lint_imports(config_filename="pyproject.toml", cache_dir=str(tmp_path), no_logo=True) == 0


def test_the_command_is_something_to_call() -> None:
    (command,) = importlib.metadata.entry_points(group="console_scripts", name="sandbox")
    assert callable(command.load())


def test_help_comes_without_loading_what_it_does_not_need() -> None:
    asked = "import sys; sys.argv = ['sandbox', '--help']\nfrom sandbox.cli.main import main"
    loaded = modules_after(f"{asked}\ntry: main()\nexcept SystemExit as end: assert not end.code")
    assert "sandbox.cli.main" in loaded
    assert not loaded & {"duckdb", "pyarrow", "starlette", "sqlalchemy", "httpx2", "rich", "numpy", "cryptography"}


def test_the_server_never_loads_duckdb() -> None:
    names = {name_of(path) for path in FILES if path.name != "__main__.py" and "migrations" not in path.parts} - JAIL
    loaded = modules_after(
        "import importlib\n" + "\n".join(f"importlib.import_module({name!r})" for name in sorted(names))
    )
    assert names <= loaded
    assert not {name for name in loaded if name.partition(".")[0] == "duckdb"}


@every_file
def test_a_module_opens_with_one_sentence(path: Path) -> None:
    words = ast.get_docstring(ast.parse(path.read_text()))
    assert words, "no docstring"
    first = words.partition("\n\n")[0]
    assert first[0].isupper() or not first[0].isalpha()
    assert first.endswith((".", ":", "?")), f"{first!r} is no sentence"


@every_file
def test_a_file_is_no_two_rooms(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.name == "__init__.py"], ids=lambda path: path.parent.name
)
def test_a_package_opens_with_its_sentence_and_nothing_else(path: Path) -> None:
    statements = ast.parse(path.read_text()).body[1:]
    if path.parent == ROOT / "sandbox":
        statements = [each for each in statements if ast.unparse(each).partition(" = ")[0] != "__version__"]
    assert not statements
