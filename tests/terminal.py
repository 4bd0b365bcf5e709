"""A folder with an exchange that lives by this machine's clock, everyone's key files, and a shell."""

import contextlib
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.cli.main import main
from sandbox.core.clock import HO_CHI_MINH
from tests.world import BUYER, OPERATOR, OTHER, PROVIDER, REGULATOR, World

SANDBOX = [sys.executable, "-m", "sandbox.cli"]


def environment(**added: str) -> dict[str, str]:
    """This process's environment without any setting of the exchange, and with some words added."""
    return {key: value for key, value in os.environ.items() if not key.startswith("SANDBOX_")} | added


def year_around(now: datetime) -> dict[str, Any]:
    """The window of a charter that is in force at ``now``: a year from the month's first day in Ho Chi Minh City."""
    start = now.astimezone(HO_CHI_MINH).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    ends = {"start": start, "end": start.replace(year=start.year + 1)}
    said = {name: when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for name, when in ends.items()}
    return {**said, "max_extensions": 2, "max_extension_months": 12}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: what it printed, and its exit code."""

    stdout: str
    stderr: str
    returncode: int


def command(folder: Path, words: Sequence[str], environ: Mapping[str, str]) -> Ended:
    """The command ``sandbox`` in a folder, under an environment; in this process, for starting one takes a second."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    code = 0
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() - environ.keys():
            patch.delenv(name)
        for name, value in environ.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["sandbox", *words])
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as end:
                code = int(end.code or 0)
    return Ended(*(each.buffer.getvalue().decode() for each in (out, err)), code)  # type: ignore[attr-defined]


class Today(World):
    """An exchange whose charter is in force on this machine's own clock, which the command line reads."""

    def adopt(self, **changes: Any) -> Any:
        return super().adopt(window=year_around(self.clock.now()), **changes)


class Terminal:
    """A folder with an exchange in it, everyone's key files, and a shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = {who: f"{who}.jwk" for who in (PROVIDER, BUYER, OTHER, REGULATOR)}
        self.keys[OPERATOR] = "home/keys/exchange.jwk"

    def run(self, *words: str, code: int = 0) -> Ended:
        done = command(self.folder, words, environment(SANDBOX_HOME=str(self.folder / "home")))
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def write(self, name: str, document: dict[str, Any]) -> str:
        (self.folder / name).write_text(json.dumps(document))
        return name

    @property
    def offer(self) -> str:
        return (self.folder / "offer").read_text()

    def negotiate(self, act: str, *words: str, who: str, code: int = 0) -> Ended:
        return self.run("negotiate", act, *words, "--key", self.keys[who], code=code)

    def listed(self, *words: str) -> list[dict[str, Any]]:
        return json.loads(self.run(*words, "--json").stdout)
