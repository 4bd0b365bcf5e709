"""Rego tests as pytest items: each ``test_`` rule of a ``*_test.rego`` below ``policies`` must be exactly true."""

import os
import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

POLICIES = Path(__file__).parent / "policies"
PACKAGE = re.compile(r"^package\s+([\w.]+)\s*$", re.MULTILINE)
TEST = re.compile(r"^(test_\w+)", re.MULTILINE)

MEMORY = Path("/dev/shm")
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4 * 2**30:
    # every commit waits for its disk, and tests commit thousands of times; they kill processes, never the machine
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "RegoFile | None":
    if file_path.name.endswith("_test.rego") and file_path.is_relative_to(POLICIES):
        return RegoFile.from_parent(parent, path=file_path)
    return None


@cache
def rego_engine() -> Any:
    """The policies as the exchange loads them, digest included, and every test beside them."""
    import regorus

    from sandbox.core.canonical import canonical
    from sandbox.policy.bundle import Bundle

    bundle, engine = Bundle.load(POLICIES), regorus.Engine()
    for name, text in bundle.modules.items():
        engine.add_policy(name, text)
    for path in sorted(POLICIES.rglob("*_test.rego")):
        engine.add_policy(path.relative_to(POLICIES).as_posix(), path.read_text(encoding="utf-8"))
    engine.add_data_json(canonical(bundle.data).decode())
    return engine


class RegoFile(pytest.File):
    """A ``*_test.rego`` file. Tests are found by name in the source: one that is undefined is in no document."""

    def collect(self) -> Iterator["RegoTest"]:
        source = self.path.read_text(encoding="utf-8")
        packages = PACKAGE.findall(source)
        if len(packages) != 1:
            raise self.CollectError(f"{self.path.name} must name its package once.")
        seen: set[str] = set()
        for match in TEST.finditer(source):
            name = match[1]
            if name in seen:  # two rules of one name are an OR: the true one would hide the false one
                raise self.CollectError(f"{self.path.name} holds {name} twice.")
            seen.add(name)
            line = source.count("\n", 0, match.start())
            yield RegoTest.from_parent(self, name=name, rule=f"data.{packages[0]}.{name}", line=line)


class RegoTest(pytest.Item):
    """One ``test_`` rule."""

    def __init__(self, *, rule: str, line: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rule = rule
        self.line = line

    def runtest(self) -> None:
        try:
            answer = rego_engine().eval_rule_as_json(self.rule)
        except RuntimeError as error:
            pytest.fail(str(error).partition("\n\nStack backtrace")[0], pytrace=False)
        if answer != "true":
            pytest.fail(f"{self.rule} is {answer}, not true", pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.line, self.name
