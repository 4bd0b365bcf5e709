"""How a parent and its child speak over two pipes: messages in frames, and an empty frame where a message ends.

A child hears jobs, each one frame of JSON, until the pipe closes. It answers each with a message of any length::

    ← {"sql": "SELECT 1"}      → {"status":"rows"} ⏎ <Arrow IPC stream> {"status":"done","rows":1} ⏎ (empty frame)
"""

import io
import json
import os
import struct
from collections.abc import Iterator
from typing import Any, Final

HEADER: Final = struct.Struct("<I")
LONGEST_FRAME: Final = 1 << 30
_BUFFER: Final = 1 << 16


def framed(document: Any) -> bytes:
    """A job as the child reads it."""
    body = json.dumps(document).encode()
    return HEADER.pack(len(body)) + body


def jobs(descriptor: int) -> Iterator[dict[str, Any]]:
    """The jobs that come over a pipe, until it closes."""
    with open(descriptor, "rb", buffering=0, closefd=False) as pipe:
        while len(head := _exactly(pipe, HEADER.size)) == HEADER.size:
            yield json.loads(_exactly(pipe, *HEADER.unpack(head)))


def _exactly(pipe: io.FileIO, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = pipe.read(size)
        if not part:
            return b""
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class _Frames(io.RawIOBase):
    """Each write is a frame, so that none is empty but the last."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        body = memoryview(content).cast("B")[:LONGEST_FRAME]
        if body:
            self._send([HEADER.pack(len(body)), body])
        return len(body)

    def end(self) -> None:
        self._send([HEADER.pack(0)])

    def _send(self, parts: list[Any]) -> None:
        while parts:
            sent = os.writev(self._descriptor, parts)
            while parts and sent >= len(parts[0]):
                sent -= len(parts.pop(0))
            if parts:
                parts[0] = memoryview(parts[0])[sent:]


class Out(io.BufferedWriter):
    """What a child answers with."""

    def __init__(self, descriptor: int) -> None:
        self._frames = _Frames(descriptor)
        super().__init__(self._frames, _BUFFER)

    def say(self, **words: Any) -> None:
        """One line of JSON."""
        self.write(json.dumps(words).encode() + b"\n")

    def end(self) -> None:
        """The message is complete."""
        self.flush()
        self._frames.end()
