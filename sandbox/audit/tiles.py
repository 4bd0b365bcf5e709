"""The published log: files derived from the database that anyone can copy, serve and check."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import Connection, Engine

from sandbox.audit import store
from sandbox.audit.cosignatures import cosignatures, witnessed_size
from sandbox.audit.layout import CHECKPOINT, WIDTH, bundle, bundle_path, levels, tile_path, tiles_of
from sandbox.audit.merkle import leaf_hash
from sandbox.audit.note import read_checkpoint, unverified
from sandbox.audit.store import Head
from sandbox.core.errors import Invalid, Tampered
from sandbox.core.files import sync_folder

ANEW = "Run: sandbox log export --anew --home HOME (the old files are kept aside)."
RECOVER = "See what is missing: sandbox log recover --home HOME"
FORK = "Stop. Keep the database and the published log as they are, and tell the regulator."


def export(engine: Engine, directory: Path) -> int:
    """Bring the files up to the database and answer the size that their checkpoint shows.

    Entries first, then tiles, and when all of that is durable the checkpoint. A crash at any point leaves the old
    checkpoint with all its files; the next export writes again what came after it. Only one export of a directory
    runs at a time. A head that witnesses have cosigned since is shown with their lines before the log goes on: where
    something is recorded every second, nobody would ever see them else.

    Raises:
        Tampered: ``tampered.log`` when the database has fewer entries than were published, or other ones;
            ``tampered.export`` when the published checkpoint is damaged.
        OSError: the disk failed or is full; the checkpoint stays the one it was.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with alone(directory), engine.connect() as connection:
        content = checkpoint_in(directory)
        done = published(connection, content)
        head, note = _next(connection, content or b"", done)
        if note == content or not head.size:
            return done
        if done < head.size:
            _write_tiles(connection, directory, head.size, done)
        _write(directory / CHECKPOINT, note)
        sync_folder(directory)
        _drop_filled(directory, head.size, done)
        return head.size


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Hold a published folder, so that nobody else exports to it meanwhile."""
    # the lock is on the folder itself: it ends with the process and leaves no file among the published ones
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def checkpoint_in(directory: Path) -> bytes | None:
    """The published checkpoint as it stands there, None before the first.

    Raises:
        Tampered: ``tampered.export`` when what has its name is no file.
    """
    try:
        return (directory / CHECKPOINT).read_bytes()
    except FileNotFoundError:
        return None
    except (IsADirectoryError, NotADirectoryError):
        raise damaged("What stands in the place of the published checkpoint is no file.") from None


def published(connection: Connection, content: bytes | None) -> int:
    """The size of a published checkpoint, 0 for none, once the database has shown that it continues it.

    Raises:
        Tampered: as :func:`export`.
    """
    if content is None:
        return 0
    size, text = size_of(content)
    head = store.newest_head(connection)
    if size > head.size:
        raise Tampered(
            "tampered.log", f"{size} entries were published, and the database has {head.size}.", hint=RECOVER
        )
    known = store.head_at(connection, size).note
    if not known.startswith(f"{text}\n".encode()):
        raise Tampered(
            "tampered.log", "The published checkpoint is not the one that the database holds for its size.", hint=FORK
        )
    if not content.startswith(known):  # the text stands there, and another signature below it than was made
        raise damaged("The published checkpoint does not carry the signature that was made for it.")
    return size


def size_of(content: bytes) -> tuple[int, str]:
    """Size and text of a published checkpoint, whoever signed it.

    Raises:
        Tampered: ``tampered.export`` when it is none.
    """
    try:
        text, _ = unverified(content)
        return read_checkpoint(text).size, text
    except Invalid:
        raise damaged("The published checkpoint is damaged.") from None


def damaged(what: str) -> Tampered:
    """The error for published files that are not what was published; all of them can be made anew."""
    return Tampered("tampered.export", what, hint=ANEW)


def _next(connection: Connection, content: bytes, done: int) -> tuple[Head, bytes]:
    """What the checkpoint shows next: a head with cosignatures that nobody has seen yet, else the newest."""
    size = witnessed_size(connection)
    if size and size >= done:
        head, lines = store.head_at(connection, size), cosignatures(connection, size)
        if size > done or any(line not in content for line in lines):
            return head, head.note + b"".join(lines)
    head = store.newest_head(connection)
    return head, content if head.size == done else head.note


def _write_tiles(connection: Connection, directory: Path, size: int, done: int) -> None:
    read, folders = store.tile_reader(connection), {directory.parent}
    for n, width in tiles_of(size, 0, done):
        leaves = store.leaves(connection, n * WIDTH, n * WIDTH + width)
        if b"".join(map(leaf_hash, leaves)) != read(0, n, width):  # what does not verify is not published
            raise store.disagrees(f"Entries from {n * WIDTH} on were changed after they were logged.")
        folders |= _write(directory / bundle_path(n, width), bundle(leaves), directory)
    for level in levels(size):
        for n, width in tiles_of(size, level, done):
            folders |= _write(directory / tile_path(level, n, width), read(level, n, width), directory)
    for folder in folders:
        sync_folder(folder)


def _write(path: Path, content: bytes, top: Path | None = None) -> set[Path]:
    """Put a durable file in place whole or not at all; answers the folders to make durable, up to ``top``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".tmp")  # the same name each time: a leftover is overwritten
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return {folder for folder in path.parents if top and folder.is_relative_to(top)}


def _drop_filled(directory: Path, size: int, done: int) -> None:
    """Remove partial tiles whose full tile is now published; readers of older checkpoints take the full one."""
    for level in ("entries", *levels(size)):
        for n, width in tiles_of(size, 0 if level == "entries" else int(level), done):
            if width == WIDTH:
                shutil.rmtree((directory / tile_path(level, n, 1)).parent, ignore_errors=True)
