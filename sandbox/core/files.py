"""Files that are whole or not there: made in a folder of their own, then kept under a name that holds their digest."""

import hashlib
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PART: Final = "part-"


def hash_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make what was renamed in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def workshop(root: Path) -> Iterator[Path]:
    """A folder to make files in, which nobody else enters; what a crash leaves of it, :func:`sweep_parts` removes."""
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=_PART, dir=root)).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep_parts(root: Path, older: Callable[[float], bool]) -> int:
    """Remove what crashes left of workshops, and count it.

    ``older`` says of a file's time in seconds since 1970 whether nobody can still be at work on it.
    """
    parts = [part for part in root.glob(f"{_PART}*") if older(part.stat().st_mtime)]
    for part in parts:
        shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink(missing_ok=True)
    return len(parts)


def keep(made: Path, folder: Path, name: str, suffix: str) -> Path:
    """Move a finished file to ``folder/name-DIGEST.suffix``, read-only and durable; answers where it is.

    Who made it may have been taken over, so it must be a plain file. One that is there already stays: who has leave to
    read it may open that very file alone.

    Raises:
        OSError: it is no plain file, or the disk does not take it.
    """
    descriptor = os.open(made, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as content:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileNotFoundError
        os.fchown(descriptor, os.geteuid(), os.getegid())  # a process under another user made it
        os.fchmod(descriptor, 0o444)
        digest = hashlib.file_digest(content, "sha256").hexdigest()
        os.fsync(descriptor)
    kept = folder / f"{name}-{digest}{suffix}"
    if not (kept.is_file() and is_whole(kept)):
        made.replace(kept)  # the one step that makes it present
        sync_folder(folder)
    return kept


def own_digest(kept: Path) -> str:
    """The digest in the name of a file that was kept."""
    return kept.stem.rpartition("-")[2]


def is_whole(kept: Path) -> bool:
    """Whether a file that was kept still has the bytes that its name says."""
    return hash_of(kept) == own_digest(kept)


class Makers:
    """One lock for each name, so that those who need the same file make it once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def lock(self, name: str) -> threading.Lock:
        """The lock of that name."""
        with self._lock:
            return self._locks.setdefault(name, threading.Lock())
