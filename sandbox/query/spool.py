"""A result on its way out: written once, hashed as it is written, kept in memory while it is small."""

import hashlib
import io
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sandbox.core.terms import Digest

_IN_MEMORY: Final = 4 << 20
_CHUNK: Final = 1 << 20


class Spool:
    """Beyond 4 MiB it is a file without a name in ``folder``, if there is one; it goes when it is forgotten."""

    def __init__(self, folder: Path | None = None) -> None:
        self._file: Any = io.BytesIO()
        self._folder = folder
        self._hash = hashlib.sha256()
        self.bytes = 0
        self.closed = False

    def write(self, content: Any) -> int:
        """Add to the end."""
        view = memoryview(content).cast("B")
        self._hash.update(view)
        self.bytes += len(view)
        if self.bytes > _IN_MEMORY and self._folder:
            self._move(self._folder)
        written: int = self._file.write(view)
        return written

    def _move(self, folder: Path) -> None:
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed with the spool
        weakref.finalize(self, file.close)
        file.write(self._file.getbuffer())
        self._file, self._folder = file, None

    def flush(self) -> None:
        """Nothing is held back."""

    @property
    def digest(self) -> Digest:
        """Of all that was written."""
        return Digest("sha256:" + self._hash.hexdigest())

    def chunks(self) -> Iterator[bytes]:
        """All of it from the beginning, at most a mebibyte at a time; for one reader at a time."""
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK):
            yield chunk

    def read(self) -> bytes:
        """All of it."""
        return b"".join(self.chunks())

    def close(self) -> None:
        """Forget it."""
        self.closed = True
        self._file.close()
