"""A result on its way out: written once, hashed as it is written, kept in memory while it is small."""

import hashlib
import io
import tempfile
import weakref
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from sandbox.core.errors import Unavailable
from sandbox.core.terms import Digest

_IN_MEMORY: Final = 4 << 20
_CHUNK: Final = 1 << 20
_PIECES: Final = 4
"""How many may wait to be written; each is a batch's column at most."""


class Spool:
    """Beyond 4 MiB it is a file without a name in ``folder``, if there is one; it goes when it is forgotten.

    A file is hashed and written on a thread of its own, a few pieces behind, while the next ones are made.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file: Any = io.BytesIO()
        self._folder = folder
        self._hash = hashlib.sha256()
        self._behind: deque[Future[None]] = deque()
        self._thread: ThreadPoolExecutor | None = None
        self.bytes = 0
        self.closed = False

    def write(self, content: Any) -> int:
        """Add to the end.

        Raises:
            Unavailable: ``engine.spool``, there is no room for it; also :attr:`digest` and :meth:`chunks` may say so.
        """
        view = memoryview(content).cast("B")
        self.bytes += len(view)
        if self.bytes > _IN_MEMORY and self._folder:
            self._move(self._folder)
        if self._thread is None:
            self._put(view)
        else:
            self._behind.append(self._thread.submit(self._put, view))
            self._catch_up(_PIECES)
        return len(view)

    def _move(self, folder: Path) -> None:
        try:
            file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed with the spool
            weakref.finalize(self, file.close)
            file.write(self._file.getbuffer())
        except OSError:
            raise _no_room() from None
        self._file, self._folder = file, None
        self._thread = ThreadPoolExecutor(1, "spool")

    def _put(self, view: memoryview) -> None:
        self._hash.update(view)
        try:
            self._file.write(view)
        except OSError:
            raise _no_room() from None

    def _catch_up(self, left: int = 0) -> None:
        while len(self._behind) > left:
            self._behind.popleft().result()

    def flush(self) -> None:
        """Nothing is held back for long."""

    @property
    def digest(self) -> Digest:
        """Of all that was written."""
        self._catch_up()
        return Digest("sha256:" + self._hash.hexdigest())

    def chunks(self) -> Iterator[bytes]:
        """All of it from the beginning, at most a mebibyte at a time; for one reader at a time."""
        self._catch_up()
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK):
            yield chunk

    def read(self) -> bytes:
        """All of it."""
        return b"".join(self.chunks())

    def done(self) -> None:
        """Nothing more will be written."""
        self._catch_up()
        if self._thread:
            self._thread.shutdown()
            self._thread = None

    def close(self) -> None:
        """Forget it."""
        self.closed = True
        self._behind.clear()
        if self._thread:
            self._thread.shutdown(cancel_futures=True)
            self._thread = None
        self._file.close()


def _no_room() -> Unavailable:
    return Unavailable(
        "engine.spool", "There is no room for the result.", hint="Nothing was charged; the operator sees to the disk."
    )
