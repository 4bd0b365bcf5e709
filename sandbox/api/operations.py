"""One table of operations routes, says who may ask, and writes the OpenAPI 3.1 document, so these cannot drift."""

import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox import __version__
from sandbox.api.crowd import Crowd
from sandbox.api.problems import MEDIA, Problem
from sandbox.api.signed import is_signed, signature_of
from sandbox.core.errors import Invalid, NotIdentified, Refused
from sandbox.core.requests import SignedRequest
from sandbox.core.terms import Identity
from sandbox.exchange.exchange import Exchange

MAX_BODY: Final = 1 << 20
SIGNATURE: Final = ("Signature-Input", "Signature", "Content-Digest")
"""The headers of a signed request; see docs/formats/request.md."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as a handler sees it: nothing of HTTP but what it needs."""

    exchange: Exchange
    path: dict[str, str]
    query: dict[str, str]
    accept: str
    body: bytes
    who: Identity | None
    gone: Callable[[], bool] = lambda: False
    """Whether the client went away meanwhile; told to ``slow`` operations only."""

    @property
    def identity(self) -> Identity:
        """Who asks.

        Raises:
            NotIdentified: nobody.
        """
        if self.who is None:
            raise _nobody()
        return self.who


Handler = Callable[[Asked], Response]


@dataclass(frozen=True, slots=True)
class Operation:
    """A method and path, what it takes and gives, and whether it needs a token.

    The token must be good for one of ``scopes``. Where the charter has requests of this ``kind`` signed (``query``,
    ``contract``, ``order``), this one must be. A ``slow`` one has threads of its own, so that a crowd of queries keeps
    nobody from the rest of the API.
    """

    method: str
    path: str
    handler: Handler
    out: Any
    body: Any = None
    status: int = 200
    token: bool = True
    scopes: tuple[str, ...] = ()
    kind: str | None = None
    media: tuple[str, ...] = ("application/json",)
    parameters: tuple[str, ...] = ()
    bare: bool = False
    """Whether the body may be left out."""
    slow: bool = False
    refusals: tuple[int, ...] = field(default=())


def secret_of(request: Request) -> str | None:
    """The bearer token of a request; None without one.

    Raises:
        NotIdentified: ``identity.missing`` when Authorization holds something else.
    """
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, secret = header.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise NotIdentified(
            "identity.missing", "Authorization is no bearer token.", hint="Send Authorization: Bearer TOKEN."
        )
    return secret.strip()


async def body_of(request: Request) -> bytes:
    """The whole body, never more than ``MAX_BODY`` bytes of memory.

    Raises:
        Invalid: ``request.too_large``; ``request.malformed`` when the sender goes before its end.
    """
    parts, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > MAX_BODY:
                raise Invalid("request.too_large", f"The body is over {MAX_BODY} bytes.", hint="Send less.")
            parts.append(chunk)
    except ClientDisconnect:  # else each would leave a stack trace in the program's log
        raise Invalid("request.malformed", "The body ended early.", hint="Send as much as announced.") from None
    return b"".join(parts)


def route(operation: Operation, exchange: Exchange) -> Route:
    """The Starlette route of an operation; the handler runs on a thread, for the exchange blocks."""
    settings = exchange.house.settings
    crowd = Crowd(settings.concurrent_queries + settings.waiting_queries)

    async def endpoint(request: Request) -> Response:
        unknown = request.query_params.keys() - {*operation.parameters}
        if unknown:
            raise Invalid("request.malformed", f"No parameter {min(unknown)[:40]!r} here.", hint="See /openapi.json.")
        secret = secret_of(request) if operation.token or is_signed(request) else None
        if operation.token and secret is None:
            raise _nobody()
        body = await body_of(request) if operation.body is not None else b""
        gone = threading.Event()

        def answer() -> Response:
            who = _identified(operation, exchange, secret, signature_of(request, settings.address, body))
            accept = request.headers.get("accept", "*/*")
            return operation.handler(
                Asked(exchange, dict(request.path_params), dict(request.query_params), accept, body, who, gone.is_set)
            )

        return await (crowd.run(request, answer, gone) if operation.slow else run_in_threadpool(answer))

    return Route(operation.path, endpoint, methods=[operation.method])


def _identified(
    operation: Operation, exchange: Exchange, secret: str | None, signed: SignedRequest | None
) -> Identity | None:
    """Who asks, with a token that is good for it and a signature where the charter wants one.

    A signature that is there must be good, even where none is needed: else a broken signer would notice too late.
    """
    if secret is None:
        if signed is not None:
            raise _nobody()
        return None
    who = exchange.identify(secret, signed)
    if operation.scopes and not who.scopes & {*operation.scopes}:
        wanted = " or ".join(operation.scopes)
        raise Refused(
            "identity.scope", f"The API token is not good for {wanted}.",
            hint=f"Ask the operator for a token with the scope {wanted}.",
        )  # fmt: skip
    if who.signature is None and _must_be_signed(operation, exchange):
        raise NotIdentified(
            "identity.signature_missing", f"The charter asks for a signature on every {operation.kind} request.",
            hint="Register a request key and sign with it: sandbox.client.connect(url, token, key=FILE).",
        )  # fmt: skip
    return who


def _must_be_signed(operation: Operation, exchange: Exchange) -> bool:
    charter = exchange.charter() if operation.kind is not None else None
    return charter is not None and operation.kind in charter.signed_requests


def _nobody() -> NotIdentified:
    return NotIdentified("identity.missing", "This needs an API token.", hint="Send Authorization: Bearer TOKEN.")


def answered(answer: Any, status: int = 200) -> Response:
    """One of our shapes as JSON."""
    return Response(msgspec.json.encode(answer), status, media_type="application/json")


def decode(body: bytes, shape: Any) -> Any:
    """A JSON body as one of our shapes.

    Raises:
        Invalid: ``request.malformed`` when it is no JSON, ``request.invalid`` when it has another shape.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        raise Invalid("request.invalid", f"{what} ({where.strip('`') or '$'}).", hint="See /openapi.json.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Invalid("request.malformed", "The body is not JSON.", hint="Send application/json in UTF-8.") from None


def _answers(operation: Operation, schema: dict[str, Any]) -> dict[str, Any]:
    content = {media: {"schema": schema} if media == "application/json" else {} for media in operation.media}
    statuses = {*operation.refusals, 400, 401, 405, 500, 503} | ({403} if operation.token else set())
    refused = {"description": "refused", "content": {MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    return {str(operation.status): {"description": "done", "content": content}} | {
        str(status): refused for status in sorted(statuses)
    }


def _described(operation: Operation, schema: dict[str, Any], taken: dict[str, Any] | None) -> dict[str, Any]:
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    text = {"type": "string"}
    described: dict[str, Any] = {
        "operationId": operation.handler.__name__,
        "summary": (inspect.getdoc(operation.handler) or "").partition("\n")[0],
        "parameters": [{"name": name, "in": "path", "required": True, "schema": text} for name in names]
        + [{"name": name, "in": "query", "required": False, "schema": text} for name in operation.parameters],
        "responses": _answers(operation, schema),
        "security": _security(operation),
    }
    if operation.kind is not None:
        described["parameters"] += [{"name": name, "in": "header", "schema": text} for name in SIGNATURE]
    if taken is not None:
        content = {"application/json": {"schema": taken}}
        described["requestBody"] = {"required": not operation.bare, "content": content}
    return described


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    """The token, good for one of the scopes: OpenAPI reads a list as alternatives."""
    if not operation.token:
        return []
    return [{"token": [scope]} for scope in operation.scopes] or [{"token": []}]


def openapi(operations: tuple[Operation, ...]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the table."""
    outs = [operation.out for operation in operations]
    bodies = [operation.body for operation in operations if operation.body is not None]
    schemas, components = msgspec.json.schema_components(
        [*outs, *bodies, Problem], ref_template="#/components/schemas/{name}"
    )
    out_schemas, taken = iter(schemas[: len(outs)]), iter(schemas[len(outs) :])
    paths: dict[str, Any] = {}
    for operation, schema in zip(operations, out_schemas, strict=True):
        body = next(taken) if operation.body is not None else None
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, schema, body)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Data-exchange sandbox", "version": __version__},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }
