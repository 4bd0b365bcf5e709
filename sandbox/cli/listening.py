"""Serving an application on an address of this machine, which is had before anybody is told so."""

import socket
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import uvicorn

from sandbox.core.errors import Unavailable


def serve(app: Callable[..., Any], host: str, port: int, told: Callable[[str], None], **options: Any) -> None:
    """Serve until Ctrl-C; ``told`` is called with the URL as soon as callers may come.

    ``options`` are uvicorn's. Its access log stays off, which would print query strings.

    Raises:
        Unavailable: ``address.taken``.
    """
    with closing(_listening(host, port)) as door:
        shown = f"[{host}]" if ":" in host else host
        told(f"http://{shown}:{door.getsockname()[1]}")
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, **options))
        with suppress(KeyboardInterrupt):
            server.run(sockets=[door])


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        why = (getattr(error, "strerror", None) or "there is no such port").partition(" (while")[0]
        raise Unavailable(
            "address.taken",
            f"{host}, port {port}, cannot be listened on: {why}.",
            hint="End what listens there, or name another --host or --port.",
        ) from None
