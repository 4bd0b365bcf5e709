"""A dataset version as bytes: its files examined against the descriptor, and the manifest that its provider signs.

::

    {"dataset": "xe_buyt_luot_di", "descriptor": "sha256:…", "rows": 1200000, "bytes": 21471454,
     "files": [{"sha256": "sha256:…", "rows": 1200000, "bytes": 21471454}]}

The digest of the manifest is the name of the version.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from sandbox.catalog.descriptor import ColumnSpec, Descriptor, describe
from sandbox.catalog.draft import draft_descriptor
from sandbox.catalog.examination import Examined, FileEntry, Statistics
from sandbox.catalog.parquet import refuse
from sandbox.catalog.reading import read_descriptor
from sandbox.core.canonical import Json, digest_of
from sandbox.core.errors import Unavailable
from sandbox.core.terms import DatasetId, Digest

__all__ = [
    "ColumnSpec",
    "Descriptor",
    "Examined",
    "FileEntry",
    "Statistics",
    "draft_descriptor",
    "examine",
    "manifest",
    "manifest_under",
    "read_descriptor",
]

SECONDS: Final = 900
MEMORY: Final = 4 << 30
_FEW_THREADS: Final = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "1", "ARROW_IO_THREADS": "2"}
"""On a machine of many cores the stacks of idle threads alone would fill the child's memory."""


def examine(
    descriptor: Descriptor, files: Sequence[Path], *, seconds: float = SECONDS, memory: int = MEMORY
) -> Examined:
    """Read every row of a provider's files against the descriptor, in a process of its own that may die of them.

    Raises:
        Invalid: ``parquet.unreadable``, ``parquet.refused_codec`` or ``parquet.mismatch``; the sentence names file and
            column, and holds no value.
        Unavailable: ``examiner.unavailable`` when the process does not start.
    """
    names = [os.fspath(path.absolute()) for path in files]
    request = {"descriptor": describe(descriptor), "files": names, "memory": memory}
    command = [sys.executable, "-I", "-m", "sandbox.catalog.examiner"]
    try:
        child = subprocess.run(  # noqa: S603 - our own interpreter and module; the files' names go through its input
            command,
            input=json.dumps(request).encode(),
            capture_output=True,
            env=_FEW_THREADS,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        _refuse_current(expired.stdout or b"", f"takes longer than {seconds:g} seconds to read")
    if child.returncode != 0:
        _refuse_current(child.stdout, "cannot be read to its end")
    return _answer(child.stdout)


def _refuse_current(said: bytes, fault: str) -> NoReturn:
    name = _last(said).get("reading")
    if not isinstance(name, str):
        raise Unavailable("examiner.unavailable", "Files cannot be examined now.", hint="Nothing was kept; try again.")
    hint = "Write the file again with compression zstd, and check that the copy is complete."
    refuse("parquet.unreadable", f"{name}: got a file that {fault}, expected sound Parquet.", hint)


def _answer(said: bytes) -> Examined:
    match _last(said):
        case {"refused": {"code": str(code), "message": str(message), "hint": str(hint)}}:
            refuse(code, message, hint)
        case {
            "examined": {"rows": int(rows), "bytes": int(size), "files": list(files), "statistics": dict(statistics)}
        }:
            return Examined(rows, size, tuple(FileEntry(**file) for file in files), statistics)
    raise Unavailable("examiner.unavailable", "Files cannot be examined now.", hint="Nothing was kept; try again.")


def _last(said: bytes) -> dict[str, Any]:
    whole, _, _ = said.rpartition(b"\n")  # a child that dies may leave half a line
    try:
        answer = json.loads(whole.rpartition(b"\n")[2])
    except ValueError:  # nothing said, or the words of a child that a file has taken over
        return {}
    return answer if isinstance(answer, dict) else {}


def manifest(descriptor: Descriptor, examined: Examined) -> dict[str, Json]:
    """What the provider signs; list the files in the order of their names, for the order is part of it."""
    return manifest_under(descriptor.id, digest_of(describe(descriptor)), examined)


def manifest_under(dataset: DatasetId, descriptor: Digest, examined: Examined) -> dict[str, Json]:
    """The manifest of a descriptor whose digest is known."""
    return {
        "dataset": dataset,
        "descriptor": descriptor,
        "files": [{"sha256": file.digest, "rows": file.rows, "bytes": file.bytes} for file in examined.files],
        "rows": examined.rows,
        "bytes": examined.bytes,
    }
