"""The child process in which a provider's Parquet is read, for one flipped bit can end the process that reads it.

It hears one JSON request on its standard input, and says a line for each file that it starts, then what it found::

    {"descriptor": {...}, "files": ["/…/a.parquet"], "memory": 4294967296}

    {"reading": "a.parquet"}
    {"examined": {"rows": 3, "bytes": 1024, "files": [...], "statistics": {...}}}   or   {"refused": {...}}
"""

import json
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sandbox.catalog.examination import examine_here
from sandbox.catalog.reading import read_descriptor
from sandbox.core.canonical import canonical
from sandbox.core.errors import Invalid


def main() -> None:
    """Answer the one request."""
    request = json.load(sys.stdin.buffer)
    _limit(resource.RLIMIT_AS, request["memory"])  # a page that unpacks to gigabytes ends the child, not the machine
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    descriptor = read_descriptor(canonical(request["descriptor"]))
    files = [Path(name) for name in request["files"]]
    try:
        examined = examine_here(descriptor, files, lambda path: _say(reading=path.name))
    except Invalid as error:
        _say(refused={"code": error.code, "message": error.message, "hint": error.hint})
    else:
        _say(examined=asdict(examined))


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (limit, limit))


def _say(**answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
