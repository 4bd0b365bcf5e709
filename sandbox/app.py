"""The ASGI application: the API and the log's static files over one exchange."""

import hashlib
import itertools
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from sandbox.api.operations import openapi, route
from sandbox.api.problems import on_crash, on_method, on_not_found, on_sandbox_error, problem
from sandbox.api.routes import OPERATIONS
from sandbox.audit.layout import CHECKPOINT
from sandbox.bootstrap import VKEY_FILE
from sandbox.core.errors import NotFound, SandboxError
from sandbox.exchange.exchange import Exchange
from sandbox.exchange.house import CHECKPOINT_FOLDER

EXPORT_SECONDS: Final = 1.0
INDEX_ROUNDS: Final = 60
SWEEP_ROUNDS: Final = 600
_TILE: Final = re.compile(r"tile/(?:entries|[0-9])/(?:x[0-9]{3}/)*[0-9]{3}(?:\.p/[1-9][0-9]{0,2})?", re.ASCII)
_IMMUTABLE: Final = "public, max-age=31536000, immutable"


class LogFiles(StaticFiles):
    """The log's files, as C2SP tlog-tiles asks: tiles never change, the checkpoint always may.

    Nothing else that lies in the folder is given out, such as the half of a file that a crash left.
    """

    async def get_response(self, path: str, scope: Scope) -> Response:
        # asked for by another spelling, it would be cached under that
        named = path if scope["path"].endswith(f"/{path}") else ""
        try:
            if named == CHECKPOINT and scope["method"] in {"GET", "HEAD"}:
                return await self._checkpoint(Request(scope))
            answer = await super().get_response(named if _TILE.fullmatch(named) else "", scope)
        except HTTPException as error:
            if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
                raise
            return _no_file(Request(scope))
        answer.headers["Cache-Control"] = _IMMUTABLE
        answer.headers["Content-Type"] = "application/octet-stream"
        answer.headers["X-Content-Type-Options"] = "nosniff"  # entries hold text of strangers
        return answer

    async def _checkpoint(self, request: Request) -> Response:
        """Read whole, for its file is replaced every second: a length of the old one before the bytes of the new."""
        try:
            content = await run_in_threadpool((Path(str(self.directory)) / CHECKPOINT).read_bytes)
        except OSError:
            raise HTTPException(404) from None
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        headers = {"Cache-Control": "no-cache", "ETag": tag, "X-Content-Type-Options": "nosniff"}
        wanted = request.headers.get("if-none-match", "")
        if wanted == "*" or tag in [each.strip().removeprefix("W/") for each in wanted.split(",")]:
            return Response(status_code=304, headers=headers)
        headers |= {"Content-Length": str(len(content)), "Content-Type": "text/plain; charset=utf-8"}
        return Response(b"" if request.method == "HEAD" else content, headers=headers)


def _no_file(request: Request) -> Response:
    hint = "A partial tile goes once its full tile is there: ask for that."
    answer = problem(request, NotFound("not_found", "The log has no such file.", hint=hint))
    answer.headers["Cache-Control"] = "no-store"  # it may be there in a second
    return answer


def create_app(exchange: Exchange) -> Starlette:
    """The application over an open exchange, which it does not close.

    While it runs, two threads do the chores: see :func:`_publishing` and :func:`_keeping`.
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
        chores = [  # apart, for a slow witness must not keep money held that a crash left
            threading.Thread(target=_chores, args=(exchange, due, stop.wait), name=due.__name__, daemon=True)
            for due in (_publishing, _keeping)
        ]
        for each in chores:
            each.start()
        yield
        stop.set()
        for each in chores:
            each.join()

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


Due = Callable[[Exchange, int], Iterator[Callable[[], Any]]]


def _chores(exchange: Exchange, due: Due, wait: Callable[[float], Any]) -> None:
    """Do what is due, every second until told to stop; one chore that fails holds up no other, and is tried again.

    What is found wrong with the record stops trading, and shows in ``/readyz``.
    """
    for number in itertools.count():
        if wait(EXPORT_SECONDS):
            return
        for chore in due(exchange, number):
            with suppress(Exception):
                chore()


def _publishing(exchange: Exchange, number: int) -> Iterator[Callable[[], Any]]:
    """Every second export the log; where there are witnesses, every ``witness_seconds``, and ask them then.

    What they cosigned is what the checkpoint shows until they are asked again. Exported each second, it would hardly
    ever show a cosignature, and whoever demands one would wait in vain.
    """
    settings = exchange.house.settings
    if settings.witness_policy is None:
        yield exchange.export_log
    elif number % max(1, settings.witness_seconds) == 0:
        yield exchange.export_log
        yield exchange.ask_witnesses


def _keeping(exchange: Exchange, number: int) -> Iterator[Callable[[], Any]]:
    """Every second close runs that a crash left without an outcome, and look through a part of the log.

    Every minute the index of the log is caught up, so that a search has little left to do. Every ten minutes the
    extracts of agreements that have ended are removed.
    """
    yield exchange.repair
    yield exchange.survey
    if number % INDEX_ROUNDS == 0:
        yield exchange.index_log
    if number % SWEEP_ROUNDS == 0:
        yield exchange.sweep
