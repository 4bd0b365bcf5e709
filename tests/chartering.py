"""Charters for tests: the sample with changes, signed by whoever is given."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.contracts.charters import sign_charter
from sandbox.core.canonical import canonical, parse
from sandbox.core.keys import SigningKey

SAMPLE = Path(__file__).parents[1] / "contracts" / "charter.json"


def document(*, changes: Mapping[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """The sample charter with whole members replaced, and others inside objects by their path: ``{"caps.x": 1}``."""
    said: dict[str, Any] = parse(SAMPLE.read_bytes()) | members
    for path, value in (changes or {}).items():
        *way, last = path.split(".")
        place = said
        for step in way:
            place = place[step]
        place[last] = value
    return said


def signed(said: Mapping[str, Any], *keys: SigningKey) -> bytes:
    """A charter in its envelope, signed by these keys one after the other."""
    text = json.dumps(said, ensure_ascii=False).encode()
    for key in keys:
        text = sign_charter(text, key)
    return text if keys else canonical({"charter": dict(said), "signatures": []})


def following(said: Mapping[str, Any], digest: str, **members: Any) -> dict[str, Any]:
    """The next version of a charter, with some members changed."""
    return {**said, "version": said["version"] + 1, "prev": digest, **members}
