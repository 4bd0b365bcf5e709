"""The shelf: datasets' bytes by digest, each file whole and unchangeable or not there at all."""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import BinaryIO, Final

from sandbox.core.errors import Invalid, NotFound, Tampered, Unavailable
from sandbox.core.terms import DIGEST, Digest

_CHUNK: Final = 1 << 20


class Shelf:
    """Files under ``root/sha256/<hex>.parquet``. What has such a name has been written and hashed to its end."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = root / "sha256"
        self._files.mkdir(parents=True, exist_ok=True)

    def put(self, source: Path, expected: Digest) -> Path:
        """Copy a file onto the shelf under the digest it must have, and return its place.

        Raises:
            Tampered: ``tampered.dataset`` when the bytes are others; nothing is left of them.
            Invalid: ``parquet.unreadable`` when the source cannot be opened.
            Unavailable: ``shelf.unwritable`` when the disk does not take it.
        """
        place = self._place(expected)
        try:
            content = source.open("rb")
        except OSError:
            hint = "Check the name and that the exchange may read it."
            raise Invalid("parquet.unreadable", f"{source.name}: the file cannot be opened.", hint=hint) from None
        with content:
            if place.is_file() and place.stat().st_size == os.fstat(content.fileno()).st_size:
                return place  # a file of that name is whole; another version shares it
            try:
                return self._copy(content, place, expected)
            except OSError:
                hint = "Look at the exchange's disk: space, rights. Nothing was kept; try again."
                raise Unavailable("shelf.unwritable", "The shelf does not take the file.", hint=hint) from None

    def _copy(self, content: BinaryIO, place: Path, expected: Digest) -> Path:
        descriptor, name = tempfile.mkstemp(prefix="part-", dir=self._root)
        part = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as target:
                digest = hashlib.sha256()
                while chunk := content.read(_CHUNK):
                    digest.update(chunk)
                    target.write(chunk)
                target.flush()
                os.fchmod(target.fileno(), 0o444)
                os.fsync(target.fileno())
            if f"sha256:{digest.hexdigest()}" != expected:
                raise _tampered(expected)
            part.replace(place)  # the one step that makes it present; before it, a crash leaves only a part
            _sync(self._files)
        finally:
            part.unlink(missing_ok=True)
        return place

    def path(self, digest: Digest) -> Path:
        """Where a file is.

        Raises:
            NotFound: ``dataset.file_missing``.
        """
        place = self._place(digest)
        if not place.is_file():
            raise _missing()
        return place

    def verify(self, digest: Digest) -> Path:
        """Where a file is, after hashing it again.

        Raises:
            NotFound: ``dataset.file_missing``.
            Tampered: ``tampered.dataset`` when the disk gives other bytes than were put.
        """
        place = self.path(digest)
        with place.open("rb") as content:
            if "sha256:" + hashlib.file_digest(content, "sha256").hexdigest() != digest:
                raise _tampered(digest)
        return place

    def sweep(self) -> int:
        """Remove what interrupted copies left, and count it. Only at start: a copy under way would be lost."""
        parts = list(self._root.glob("part-*"))
        for part in parts:
            part.unlink(missing_ok=True)
        return len(parts)

    def _place(self, digest: Digest) -> Path:
        if not DIGEST.fullmatch(digest):  # "sha256:../.." must not lead off the shelf
            raise _missing()
        return self._files / f"{digest.removeprefix('sha256:')}.parquet"


def _missing() -> NotFound:
    hint = "Put the version's files on the shelf again: their digests are in its manifest."
    return NotFound("dataset.file_missing", "No file of that digest is on the shelf.", hint=hint)


def _tampered(expected: Digest) -> Tampered:
    hint = "Send the file that the manifest was signed for."
    return Tampered("tampered.dataset", f"The bytes of a file are not those of {expected}.", hint=hint)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)  # a rename is durable only once its folder is
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
