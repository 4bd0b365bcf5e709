"""The policies' own tests, run without an ``opa`` binary: a test passes if it is exactly true.

An undefined test is missing from its package's document, so names are taken from the source.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import regorus

from sandbox.core.canonical import canonical
from sandbox.core.errors import Invalid
from sandbox.policy.bundle import Bundle

_PACKAGE: Final = re.compile(r"^package (\S+)$", re.MULTILINE)
_TEST: Final = re.compile(r"^(test_\w+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Report:
    """What the tests said: each by its full name, and the lines of each module that none of them reached."""

    results: Mapping[str, bool]
    unreached: Mapping[str, tuple[int, ...]]

    @property
    def failed(self) -> tuple[str, ...]:
        return tuple(name for name, passed in self.results.items() if not passed)


def run_tests(directory: Path) -> Report:
    """Run every ``test_*`` of every ``*_test.rego`` below a directory of policies.

    Raises:
        Invalid: ``policy.invalid`` when the folder holds no policies, no tests, or something that does not parse.
    """
    bundle = Bundle.load(directory)
    sources = {path.relative_to(directory).as_posix(): path.read_text() for path in directory.rglob("*_test.rego")}
    engine = _engine(bundle, sources)
    names = [name for path in sorted(sources) for name in _names(sources[path])]
    if not names:
        raise Invalid("policy.invalid", "There is no test in this folder.", hint="Write test_… rules in *_test.rego.")
    results = {name: _passes(engine, name) for name in names}
    report = json.loads(engine.get_coverage_report_as_json())["files"]
    return Report(
        results,
        {
            file["path"]: tuple(file["not_covered"])
            for file in report
            if file["not_covered"] and not file["path"].endswith("_test.rego")
        },
    )


def _engine(bundle: Bundle, sources: Mapping[str, str]) -> Any:
    engine = regorus.Engine()
    try:
        for path, text in {**bundle.modules, **sources}.items():
            engine.add_policy(path, text)
    except RuntimeError as failure:
        where = str(failure).partition("\n\nStack backtrace")[0].strip()
        raise Invalid("policy.invalid", f"A policy does not parse: {where}", hint="Mend it.") from None
    engine.add_data_json(canonical(bundle.data).decode())
    engine.set_enable_coverage(True)
    return engine


def _names(source: str) -> Iterator[str]:
    for package in _PACKAGE.findall(source):
        for name in _TEST.findall(source):
            yield f"data.{package}.{name}"


def _passes(engine: Any, name: str) -> bool:
    try:
        return bool(engine.eval_rule_as_json(name) == "true")
    except RuntimeError:  # a built-in that was handed the wrong type, or a name that is nowhere
        return False
