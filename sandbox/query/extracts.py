"""The folder of extracts: each is named by what it was made from and by the digest of its bytes."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from sandbox.core import files
from sandbox.core.errors import Tampered

SUFFIX: Final = ".duckdb"
_found: dict[tuple[Path, str], Path] = {}
"""A large folder is not read for every query."""


class Seen:
    """Extracts whose bytes were found to be those of their name, as long as the file stays the same."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[int, int, int]] = {}

    def require(self, path: Path) -> None:
        """Be sure that an extract is what it was when it was made.

        Raises:
            Tampered: ``tampered.extract``.
        """
        found = path.stat()
        mark = (found.st_ino, found.st_size, found.st_mtime_ns)
        if self._seen.get(path) == mark:
            return
        if not files.is_whole(path):
            raise Tampered(
                "tampered.extract",
                "What the contract grants is not what was prepared.",
                hint="The operator removes that extract; it is made anew.",
            )
        self._seen[path] = mark


def find(directory: Path, name: str) -> Path | None:
    """The extract whose name begins so, if it was made."""
    known = _found.get((directory, name))
    if known is None or not known.exists():
        known = next(iter(sorted(directory.glob(f"{name}-*{SUFFIX}"))), None)
        if known:
            _found[directory, name] = known
    return known


def sweep(directory: Path, needed: Collection[str], older: Callable[[float], bool]) -> int:
    """Remove extracts whose names begin with none of ``needed``, and what crashes left; answers how many.

    ``older`` says of a file's time in seconds since 1970 whether nobody can still be at work on it.
    """
    removed = files.sweep_parts(directory, older)
    for path in directory.iterdir() if directory.is_dir() else ():
        wanted = path.suffix == SUFFIX and path.stem.partition("-")[0] in needed
        if path.is_file() and not wanted and older(path.stat().st_mtime):
            path.unlink(missing_ok=True)
            removed += 1
    return removed
