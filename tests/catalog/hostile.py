"""The intake's own kind of job, taken over by a file once it reads: what it then tries, and what it leaves behind."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox.catalog import examiner


def _try(source: Path, folder: Path) -> dict[str, Callable[[], Any]]:
    beside = source.parent
    return {
        "read the file": source.read_bytes,
        "write in the folder": lambda: (folder / "1").write_bytes(b"more"),
        "read its neighbour": (beside / "neighbour").read_bytes,
        "read passwords": Path("/etc/passwd").read_bytes,
        "read the parent's environment": Path(f"/proc/{os.getppid()}/environ").read_bytes,
        "look around": lambda: [*beside.iterdir()],
        "look into the folder": lambda: [*folder.iterdir()],
        "write over the file": lambda: os.close(os.open(source, os.O_WRONLY)),
        "truncate the file": lambda: os.truncate(source, 0),
        "write beside the file": lambda: (beside / "new").write_bytes(b"x"),
        "write beside the folder": lambda: (folder.parent / "new").write_bytes(b"x"),
        "remove the file": source.unlink,
        "rename": lambda: (folder / "1").rename(folder.parent / "0"),
        "link to passwords": lambda: (folder / "2").symlink_to("/etc/passwd"),
        "link to its neighbour": lambda: (folder / "2").hardlink_to(beside / "neighbour"),
        "make a folder": lambda: (folder / "deeper").mkdir(),
        "reach the network": socket.socket,
        "become two": os.fork,
        "become another program": lambda: os.execv("/bin/true", ["true"]),
        "end its parent": lambda: os.kill(os.getppid(), 0),
    }


def _taken_over(_: object, files: list[Path], started: Callable[[int], None], folder: Path) -> None:
    started(0)
    done = []
    for name, attempt in _try(files[0], folder).items():
        try:
            attempt()
        except OSError:
            continue
        done.append(name)
    (folder / "0").write_text(json.dumps(done))
    os._exit(0)


def warm() -> None:
    """Put the hostile code where the examination was."""
    examiner.warm()
    examiner.examine_here = _taken_over  # type: ignore[assignment]


KINDS = examiner.KINDS
