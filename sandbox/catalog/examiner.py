"""The child in which a provider's Parquet is read, for a flipped bit can end, or take over, the process that reads it.

It is shut in before it reads a byte, says a line for each file that it starts, and then what it found::

    {"descriptor": {...}, "files": ["/…/a.parquet"], "folder": "/…/part-6f1c", "limits": {...}}

    {"reading": 0}
    {"examined": {"rows": 3, "bytes": 1024, "files": [...], "statistics": {...}}}   or   {"refused": {...}}

With a folder it writes each file anew there, under its number. Its words are not believed: who hears them looks at the
files' digests, and takes only what has the form that it should have.
"""

import io
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sandbox.catalog import draft
from sandbox.catalog.examination import examine_here
from sandbox.catalog.layout import Unwritten
from sandbox.catalog.parquet import batches, open_parquet
from sandbox.catalog.reading import read_descriptor
from sandbox.core.canonical import canonical
from sandbox.core.errors import Invalid
from sandbox.jail import kernel
from sandbox.jail.frames import Out


def warm() -> None:
    """Read and write a few rows, so that no child has to look for the parts of the reader."""
    content = io.BytesIO()
    pq.write_table(pa.table({"t": ["x", "y"]}), content)
    for _ in batches(open_parquet(content, ["t"])):
        pass


def intake(jobs: Iterator[dict[str, Any]], out: Out, stranger: int) -> None:
    """Examine files, and write them anew where a folder is given for it."""
    job = next(jobs)
    kernel.harden(job["files"], job["folder"], job["limits"], stranger)

    def started(number: int) -> None:
        out.say(reading=number)
        out.flush()

    descriptor = read_descriptor(canonical(job["descriptor"]))
    files = [Path(name) for name in job["files"]]
    try:
        examined = examine_here(descriptor, files, started, job["folder"] and Path(job["folder"]))
        out.say(examined=asdict(examined))
    except Invalid as error:
        _refused(error, out)
    except Unwritten:
        out.say(unwritten=True)
    out.end()


def columns(jobs: Iterator[dict[str, Any]], out: Out, stranger: int) -> None:
    """Say what columns a file has."""
    job = next(jobs)
    kernel.harden(job["files"], None, job["limits"], stranger)
    out.say(reading=0)
    out.flush()
    try:
        out.say(columns=[asdict(field) for field in draft.fields_here(Path(job["files"][0]))])
    except Invalid as error:
        _refused(error, out)
    out.end()


def _refused(error: Invalid, out: Out) -> None:
    out.say(refused={"code": error.code, "message": error.message, "hint": error.hint})


KINDS: Final = {"intake": intake, "columns": columns}
