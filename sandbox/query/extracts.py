"""The folder of extracts: each is named by what it was made from and by the digest of its bytes."""

import hashlib
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, Self

from sandbox.core.errors import Tampered

SUFFIX: Final = ".duckdb"
_PART: Final = ".part"
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
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest_in(path):
                raise Tampered(
                    "tampered.extract",
                    "What the contract grants is not what was prepared.",
                    hint="The operator removes that extract; it is made anew.",
                )
        self._seen[path] = mark


def digest_in(path: Path) -> str:
    """The digest of an extract's bytes, in hexadecimal, as its name tells it."""
    return path.stem.rpartition("-")[2]


def find(directory: Path, name: str) -> Path | None:
    """The extract whose name begins so, if it was made."""
    known = _found.get((directory, name))
    if known is None or not known.exists():
        known = next(iter(sorted(directory.glob(f"{name}-*{SUFFIX}"))), None)
        if known:
            _found[directory, name] = known
    return known


class Workshop:
    """A folder in which one extract is being made; what a crash leaves of it, :func:`sweep` removes."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.folder = directory.resolve() / f"{secrets.token_hex(8)}{_PART}"
        self.granted = self.folder / "granted.parquet"
        self.target = self.folder / f"made{SUFFIX}"

    def __enter__(self) -> Self:
        self.folder.mkdir(mode=0o700)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def keep(self, name: str) -> Path:
        """Give the finished file its name, durably."""
        os.chown(self.target, os.geteuid(), os.getegid())  # a stranger made it
        self.target.chmod(0o444)
        with self.target.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        kept = self.folder.parent / f"{name}-{digest}{SUFFIX}"
        self.target.replace(kept)
        directory = os.open(kept.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return kept


def sweep(directory: Path, needed: Collection[str], older: Callable[[float], bool]) -> int:
    """Remove extracts whose names begin with none of ``needed``, and what crashes left; answers how many.

    ``older`` says of a file's time in seconds since 1970 whether nobody can still be at work on it.
    """
    removed = 0
    for path in directory.iterdir() if directory.is_dir() else ():
        wanted = path.suffix == SUFFIX and path.stem.partition("-")[0] in needed
        if wanted or not older(path.stat().st_mtime):
            continue
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        removed += 1
    return removed


class Makers:
    """One lock for each extract's name, so that queries which need the same extract make it once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def lock(self, name: str) -> threading.Lock:
        """The lock of that name."""
        with self._lock:
            return self._locks.setdefault(name, threading.Lock())
