"""The ASGI application: the API and the log's static files over one exchange."""

import itertools
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from sandbox.api.operations import openapi, route
from sandbox.api.problems import on_crash, on_method, on_not_found, on_sandbox_error
from sandbox.api.routes import OPERATIONS
from sandbox.bootstrap import VKEY_FILE
from sandbox.core.errors import SandboxError
from sandbox.exchange.exchange import Exchange
from sandbox.exchange.house import CHECKPOINT_FOLDER

EXPORT_SECONDS: Final = 1.0
SWEEP_ROUNDS: Final = 600
_IMMUTABLE: Final = "public, max-age=31536000, immutable"


class LogFiles(StaticFiles):
    """The log's tiles, as C2SP tlog-tiles asks: tiles never change, the checkpoint always may."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        if path.endswith("checkpoint"):
            answer.headers["Cache-Control"] = "no-cache"
            answer.headers["Content-Type"] = "text/plain; charset=utf-8"
        else:
            answer.headers["Cache-Control"] = _IMMUTABLE
            answer.headers["Content-Type"] = "application/octet-stream"
        return answer


def create_app(exchange: Exchange) -> Starlette:
    """The application over an open exchange, which it does not close.

    While it runs, a thread exports the log every second, closes runs that a crash left without an outcome, and every
    ten minutes removes the extracts of agreements that have ended.
    """
    home = exchange.house.settings.home
    document = openapi(OPERATIONS)

    async def describe(request: Request) -> Response:
        return JSONResponse(document)

    async def vkey(request: Request) -> Response:
        return PlainTextResponse((home / VKEY_FILE).read_text())

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        stop = threading.Event()
        chores = threading.Thread(target=_chores, args=(exchange, stop.wait), name="chores", daemon=True)
        chores.start()
        yield
        stop.set()
        chores.join()

    app = Starlette(
        routes=[
            *(route(operation, exchange) for operation in OPERATIONS),
            Route("/openapi.json", describe),
            Route("/log.vkey", vkey),
            Mount("/log", LogFiles(directory=home / CHECKPOINT_FOLDER)),
        ],
        exception_handlers={SandboxError: on_sandbox_error, 404: on_not_found, 405: on_method, Exception: on_crash},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a redirect would carry a signed or paid request to another address
    return app


def _chores(exchange: Exchange, wait: Callable[[float], Any]) -> None:
    """Export, repair and sweep until told to stop; a failure is left to the next round and shows in ``/readyz``."""
    rounds = itertools.count()
    while not wait(EXPORT_SECONDS):
        try:
            exchange.repair()
            exchange.export_log()
            if next(rounds) % SWEEP_ROUNDS == 0:
                exchange.sweep()
        except Exception:  # noqa: S112  # the next round tries again; a log that disagrees with itself fails there too
            continue
