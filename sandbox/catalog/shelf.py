"""The shelf: datasets' bytes by digest, each file whole and unchangeable or not there at all.

What the provider signed lies under its digest, as evidence. Beside it lies the exchange's own layout of the same rows,
named by the original's digest and by its own, and only that is read for extracts.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Final

from sandbox.core import files
from sandbox.core.errors import Invalid, NotFound, Tampered, Unavailable
from sandbox.core.terms import DIGEST, Digest

_CHUNK: Final = 1 << 20


class Shelf:
    """Files under ``root/sha256/<hex>.parquet``, layouts under ``<hex>-<own hex>.parquet``.

    What has such a name has been written and hashed to its end.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = root / "sha256"
        self._files.mkdir(parents=True, exist_ok=True)
        self._layouts: dict[Digest, Path] = {}

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
                # Another version shares it; a file that is only said to be it would bring a layout along for both.
                if "sha256:" + hashlib.file_digest(content, "sha256").hexdigest() != expected:
                    raise _tampered(expected)
                return place
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
            files.sync_folder(self._files)
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
        if f"sha256:{files.hash_of(place)}" != digest:
            raise _tampered(digest)
        return place

    def workshop(self) -> AbstractContextManager[Path]:
        """A folder to make layouts in; what a crash leaves of it, :meth:`sweep` removes."""
        return files.workshop(self._root)

    def keep(self, original: Digest, made: Path) -> Path:
        """Give a finished layout of an original its name, durably; an older layout of it goes.

        Raises:
            Unavailable: ``shelf.unwritable``.
        """
        self._place(original)
        try:
            kept = files.keep(made, self._files, original.removeprefix("sha256:"), ".parquet")
        except OSError:
            hint = "Look at the exchange's disk: space, rights. Nothing was kept; try again."
            raise Unavailable("shelf.unwritable", "The shelf does not take the file.", hint=hint) from None
        self._layouts[original] = kept
        for older in self._found(original):
            if older != kept:
                older.unlink(missing_ok=True)
        return kept

    def layout(self, original: Digest) -> Path | None:
        """Where an original's layout is, if there is one."""
        self._place(original)
        known = self._layouts.get(original)
        if known is None or not known.is_file():
            found = self._found(original)
            if not found:
                return None
            known = self._layouts[original] = found[0]
        return known

    def _found(self, original: Digest) -> list[Path]:
        return sorted(self._files.glob(f"{original.removeprefix('sha256:')}-*.parquet"))

    def verify_layout(self, layout: Path) -> None:
        """Hash a layout again.

        Raises:
            Tampered: ``tampered.dataset`` when the disk gives other bytes than were kept.
        """
        if not files.is_whole(layout):
            hint = "The operator removes that copy; it is made again from the signed file."
            raise Tampered("tampered.dataset", "The exchange's copy of a file is not what was made.", hint=hint)

    def sweep(self, older: Callable[[float], bool] = lambda _: True) -> int:
        """Remove what interrupted copies left, and count it.

        ``older`` says of a file's time in seconds since 1970 whether nobody can still be at work on it; without it all
        goes, and a copy under way would be lost.
        """
        return files.sweep_parts(self._root, older)

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
