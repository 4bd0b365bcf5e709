"""Every error as problem details (RFC 9457), with the rule's sentence in the reader's language."""

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sandbox.core.errors import Busy, Invalid, NotFound, NotIdentified, SandboxError, Unavailable
from sandbox.policy.reasons import sentence

MEDIA: Final = "application/problem+json"
STATUS: Final[Mapping[str, int]] = {
    "request.malformed": 400,
    "request.method": 405,
    "request.not_acceptable": 406,
    "request.too_large": 413,
    "request.media_type": 415,
}
"""Where a code's HTTP status is finer than its class's."""


class Problem(msgspec.Struct, omit_defaults=True):
    """One refusal or failure. ``reasons`` are rule ids, ``explanations`` say them in the language asked for."""

    type: str
    code: str
    status: int
    title: str
    detail: str
    hint: str = ""
    reasons: list[str] = []
    explanations: dict[str, str] = {}
    query: str | None = None


def language(request: Request) -> str:
    """``vi`` or ``en``: whichever Accept-Language names first, English without it."""
    wanted = request.headers.get("accept-language", "").lower()
    places = {name: wanted.find(name) for name in ("vi", "en")}
    named = {name: place for name, place in places.items() if place >= 0}
    return min(named, key=lambda name: named[name]) if named else "en"


def status_of(error: SandboxError) -> int:
    """The HTTP status of an error."""
    return STATUS.get(error.code, error.status)


def problem(request: Request, error: SandboxError) -> Response:
    """The answer that tells of an error."""
    status, spoken = status_of(error), language(request)
    body = Problem(
        type=f"urn:sandbox:problem:{error.code}",
        code=error.code,
        status=status,
        title=type(error).__name__,
        detail=error.message,
        hint=error.hint,
        reasons=list(error.reasons),
        explanations={rule: sentence(rule, spoken) for rule in error.reasons},
        query=error.query,
    )
    headers = {"Content-Language": "en", "Vary": "Accept-Language"}
    if isinstance(error, NotIdentified):
        headers["WWW-Authenticate"] = 'Bearer realm="sandbox"'
    if isinstance(error, Unavailable):
        headers["Retry-After"] = "5"
    if isinstance(error, Busy):
        headers["Retry-After"] = str(error.retry_after)
    return Response(msgspec.json.encode(body), status, headers, MEDIA)


async def on_sandbox_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for our own errors."""
    if not isinstance(error, SandboxError):
        return await on_crash(request, error)
    return problem(request, error)


async def on_not_found(request: Request, error: Exception) -> Response:
    """No such route."""
    return problem(request, NotFound("not_found", "No such address.", hint="See /openapi.json."))


async def on_method(request: Request, error: Exception) -> Response:
    """A route that does not know this method."""
    answer = problem(request, Invalid("request.method", f"This address does not take {request.method}."))
    allowed = getattr(error, "headers", None) or {}
    answer.headers.update(allowed)
    return answer


async def on_crash(request: Request, error: Exception) -> Response:
    """What nobody foresaw: the cause goes to the program's log, never into the answer."""
    return problem(request, SandboxError("internal", "The exchange failed.", hint="Tell the operator the time."))
