"""The published log: files derived from the database that anyone can copy, serve and check."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from sqlalchemy.engine import Connection, Engine

from sandbox.audit import store
from sandbox.audit.layout import CHECKPOINT, WIDTH, bundle, bundle_path, levels, tile_path, tiles_of
from sandbox.audit.merkle import leaf_hash
from sandbox.audit.note import read_checkpoint, unverified
from sandbox.audit.store import Head
from sandbox.core.errors import Invalid, Tampered
from sandbox.core.files import sync_folder


def export(engine: Engine, directory: Path) -> int:
    """Bring the files up to the database and answer the size that they show.

    Entries first, then tiles, and when all of that is durable the checkpoint. A crash at any point leaves the old
    checkpoint with all its files; the next export writes again what came after it. Only one export of a directory
    runs at a time.

    Raises:
        Tampered: ``tampered.log`` when the database has fewer entries than were published, or other ones;
            ``tampered.export`` when the published checkpoint is damaged.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _alone(directory), engine.connect() as connection:
        head = store.newest_head(connection)
        done = _published(connection, directory, head)
        if done < head.size:
            _write_tiles(connection, directory, head.size, done)
            _write(directory / CHECKPOINT, head.note)
            sync_folder(directory)
            _drop_filled(directory, head.size, done)
        return head.size


def require_continuation(engine: Engine, directory: Path) -> None:
    """Refuse a database that does not continue the published log: call it before the first write after a start.

    Raises:
        Tampered: as :func:`export`.
    """
    with engine.connect() as connection:
        _published(connection, directory, store.newest_head(connection))


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    # the lock is on the folder itself: it ends with the process and leaves no file among the published ones
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _published(connection: Connection, directory: Path, head: Head) -> int:
    try:
        text, _ = unverified((directory / CHECKPOINT).read_bytes())
        size = read_checkpoint(text).size
    except FileNotFoundError:
        return 0
    except Invalid:
        _damaged("The published checkpoint is damaged.")
    if size > head.size:
        raise store.disagrees(f"{size} entries were published, and the database has {head.size}.")
    if size and unverified(store.head_at(connection, size).note)[0] != text:
        raise store.disagrees("The published checkpoint is not the one that the database holds for its size.")
    return size


def _damaged(what: str) -> NoReturn:
    raise Tampered("tampered.export", what, hint="Keep a copy, remove the folder of the published log, export again.")


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
