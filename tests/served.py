"""A folder served over HTTP by a server that can be told to misbehave."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer other than the file's; ``cut`` closes it before all of it was sent, ``pause`` holds up its body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    pause: float = 0


@dataclass(slots=True)
class Served:
    """What is served at ``url``, what was asked for, and the answers to give instead, one after the other."""

    folder: Path
    url: str = ""
    asked: list[str] = field(default_factory=list)
    instead: dict[str, list[Answer]] = field(default_factory=dict)

    def answer(self, path: str) -> Answer:
        """The next answer for a path."""
        self.asked.append(path)
        if self.instead.get(path):
            return self.instead[path].pop(0)
        file = self.folder / path
        return Answer(body=file.read_bytes()) if file.is_file() else Answer(404)


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """Serve a folder under ``/log`` until the end of the block."""
    served = Served(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            answer = served.answer(self.path.removeprefix("/log/"))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            time.sleep(answer.pause)
            self.wfile.write(answer.body[: len(answer.body) // 2] if answer.cut else answer.body)
            self.close_connection = answer.cut

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}/log"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
