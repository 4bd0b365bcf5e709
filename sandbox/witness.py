"""The door of a witness: it cosigns what it has seen to continue, and nothing else (C2SP tlog-witness)."""

from collections.abc import Callable
from typing import Final

import anyio
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sandbox.audit.witness import Answer, Witness
from sandbox.core.errors import SandboxError

MOST_BYTES: Final = 131_072
"""Of a submission: 63 hashes, and a checkpoint under sixteen ML-DSA signatures, have half of that."""
BODY_SECONDS: Final = 10.0


async def _whole(request: Request) -> bytes | None:
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > MOST_BYTES:
            return None
    return content


async def _body(request: Request) -> bytes | None:
    """The request's body; None when it is too large, too slow or breaks off."""
    try:
        with anyio.fail_after(BODY_SECONDS):
            return await _whole(request)
    except (TimeoutError, ClientDisconnect):
        return None


def create_witness(witness: Witness, alarm: Callable[[str], object] = lambda _: None) -> Starlette:
    """The application: ``POST /add-checkpoint``, and ``GET /vkey`` for the key to put into trust policies.

    ``alarm`` is told what a log has signed that is not known to continue what was cosigned.
    """

    async def add_checkpoint(request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return PlainTextResponse("The submission is too large, or came too slowly.\n", 400)
        answer = await run_in_threadpool(_answer, witness, body)
        if answer.alarm:
            alarm(answer.alarm)
        # as a header, for a text's media_type would get a charset, and the page has none for sizes
        return Response(answer.body, answer.status, {"Content-Type": answer.media})

    async def vkey(request: Request) -> Response:
        return PlainTextResponse(witness.verifier.vkey + "\n")

    return Starlette(routes=[Route("/add-checkpoint", add_checkpoint, methods=["POST"]), Route("/vkey", vkey)])


def _answer(witness: Witness, body: bytes) -> Answer:
    try:
        return witness.add_checkpoint(body)
    except (SandboxError, OSError) as error:  # its own memory fails it: say nothing rather than something wrong
        code = error.code if isinstance(error, SandboxError) else "witness.stopped"
        return Answer(503, f"This witness cannot check anything at present: {code}\n".encode())
