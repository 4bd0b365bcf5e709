"""A folder with an exchange that lives by this machine's clock, everyone's key files, and a shell."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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

    def run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        environ = environment(SANDBOX_HOME=str(self.folder / "home"))
        done = subprocess.run(
            [*SANDBOX, *words], cwd=self.folder, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def write(self, name: str, document: dict[str, Any]) -> str:
        (self.folder / name).write_text(json.dumps(document))
        return name

    @property
    def offer(self) -> str:
        return (self.folder / "offer").read_text()

    def negotiate(self, act: str, *words: str, who: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.run("negotiate", act, *words, "--key", self.keys[who], code=code)

    def listed(self, *words: str) -> list[dict[str, Any]]:
        return json.loads(self.run(*words, "--json").stdout)
