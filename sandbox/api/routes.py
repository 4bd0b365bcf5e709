"""The handlers of the HTTP API: each translates one request to one use case and decides nothing."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from starlette.responses import Response, StreamingResponse

from sandbox.api import audit, evidence, oversight, render, trade
from sandbox.api.operations import Asked, Operation, answered, decode
from sandbox.api.shapes import (
    AgreementView,
    Alive,
    CharterView,
    DatasetView,
    HistoryView,
    NegotiationView,
    OfferView,
    OrderView,
    PartView,
    QueryAnswer,
    QueryBody,
    Ready,
    SuspensionView,
    VolumeAnswer,
    dataset_view,
    volume_view,
)
from sandbox.core.errors import Invalid, NotFound
from sandbox.core.terms import OVERSEERS
from sandbox.exchange.case import QueryRequest
from sandbox.exchange.query import Result

DIMENSIONS: Final = ("day", "provider", "buyer", "dataset", "sector")
_AT_ONCE: Final = 1 << 20
_RESULT_MEDIA: Final = (render.JSON, render.CSV, render.ARROW)


def healthz(asked: Asked) -> Response:
    """Whether the process answers."""
    return answered(Alive("ok"))


def readyz(asked: Asked) -> Response:
    """Whether database, log, decision point and jail are ready."""
    parts = {name: PartView(part.ready, part.says) for name, part in asked.exchange.status().items()}
    ready = all(part.ready for part in parts.values())
    return answered(Ready(ready, parts), 200 if ready else 503)


def list_datasets(asked: Asked) -> Response:
    """The catalogue: the newest version of each dataset."""
    return answered([dataset_view(version) for version in asked.exchange.datasets()])


def negotiated(accept: str) -> str:
    """The result's media type: what Accept asks for, before anything runs or is charged.

    Raises:
        Invalid: ``request.not_acceptable``.
    """
    wanted: list[tuple[float, str]] = []
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        said = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        wanted.append((_quality(said), media))
    for quality, media in sorted(wanted, key=lambda pair: -pair[0]):
        for offered in _RESULT_MEDIA:
            if quality > 0 and media in {offered, "*/*", offered.partition("/")[0] + "/*"}:
                return offered
    raise Invalid(
        "request.not_acceptable", "No such rendering of a result.", hint="Accept one of: " + ", ".join(_RESULT_MEDIA)
    )


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def create_query(asked: Asked) -> Response:
    """Run a query and pay for it; the answer is JSON, CSV or an Arrow IPC stream by Accept."""
    media = negotiated(asked.accept)
    body: QueryBody = decode(asked.body, QueryBody)
    request = QueryRequest(body.sql, tuple(body.agreements), body.purpose, body.max_price_vnd, asked.gone)
    result = asked.exchange.query(asked.identity, request)
    receipt = f"/v1/queries/{result.id}/receipt"
    headers = {
        "Location": receipt,
        "Vary": "Accept",
        "Sandbox-Query": result.id,
        "Sandbox-Rows": str(result.rows),
        "Sandbox-Price-Vnd": str(result.price_vnd),
        "Sandbox-Groups-Withheld": "true" if result.groups_withheld else "false",
    }
    if media == render.ARROW and result.spool.bytes > _AT_ONCE:
        headers["Content-Length"] = str(result.spool.bytes)
        return StreamingResponse(_leaving(result), 201, headers, media)
    return Response(_rendered(result, media, receipt), 201, headers, media)


def _leaving(result: Result) -> Iterator[bytes]:
    """The stream, which ends short of its Content-Length when what it is of is stopped meanwhile."""
    try:
        for chunk in result.spool.chunks():
            if result.frozen():
                return
            yield chunk
    finally:
        result.spool.close()


def _rendered(result: Result, media: str, receipt: str) -> bytes:
    if media == render.ARROW:
        return result.ipc
    if media == render.CSV:
        return render.csv_bytes(result.ipc)
    answer = QueryAnswer(
        id=result.id,
        status="completed",
        rows_out=result.rows,
        bytes_out=result.spool.bytes,
        groups_withheld=result.groups_withheld,
        price_vnd=int(result.price_vnd),
        receipt=receipt,
        columns=render.columns(result.ipc),
        rows=list(render.rows(result.ipc)),
    )
    return msgspec.json.encode(answer)


def get_receipt(asked: Asked) -> Response:
    """The receipt of a query's outcome, checkable offline."""
    return Response(asked.exchange.receipt(asked.identity.participant, asked.path["id"]), media_type=render.JSON)


def get_volume(asked: Asked) -> Response:
    """The transaction volume, whole or by day, provider, dataset, sector; by buyer for regulator and operator."""
    by = asked.query.get("by")
    if by is None:
        return answered(VolumeAnswer(volume_view(asked.exchange.volume())))
    if by not in DIMENSIONS:
        raise Invalid("request.malformed", f"No volume by {by[:40]!r}.", hint="By: " + ", ".join(DIMENSIONS))
    if by == "buyer" and not asked.identity.roles & OVERSEERS:
        raise NotFound("not_found", "The volume by buyer is for the regulator and the operator.")
    parts = {name: volume_view(part) for name, part in asked.exchange.volume_by(by).items()}
    return answered(VolumeAnswer(volume_view(asked.exchange.volume()), parts))


def get_decision(asked: Asked) -> Response:
    """The decision on a query of the caller's, refused ones too: the question, and each rule with its sentence."""
    return answered(asked.exchange.explain(asked.identity.participant, asked.path["id"]))


_SIGNED: Final = (403, 404, 409, 413, 422)
OPERATIONS: Final = (
    Operation("GET", "/healthz", healthz, Alive, token=False),
    Operation("GET", "/readyz", readyz, Ready, token=False),
    Operation("GET", "/v1/charter", oversight.get_charter, CharterView, token=False, refusals=(404,)),
    Operation("GET", "/v1/datasets", list_datasets, list[DatasetView], token=False),
    Operation("GET", "/v1/offers", trade.list_offers, list[OfferView], token=False),
    Operation(
        "POST", "/v1/offers", trade.create_offer, OfferView, body=dict[str, Any], status=201, refusals=_SIGNED,
        scopes=("publish",), kind="contract",
    ),
    Operation("GET", "/v1/negotiations", trade.list_negotiations, list[NegotiationView], scopes=("read",)),
    Operation(
        "POST", "/v1/negotiations", trade.start_negotiation, NegotiationView, body=dict[str, Any], status=201,
        refusals=_SIGNED, scopes=("contract",), kind="contract",
    ),
    Operation(
        "GET", "/v1/negotiations/{id}", trade.get_negotiation, HistoryView, refusals=(404,), scopes=("read",)
    ),
    Operation(
        "POST", "/v1/negotiations/{id}/{act}", trade.move_negotiation, NegotiationView, body=dict[str, Any],
        refusals=_SIGNED, scopes=("contract",), kind="contract", bare=True,
    ),
    Operation("GET", "/v1/agreements", trade.list_agreements, list[AgreementView], scopes=("read",)),
    Operation(
        "POST", "/v1/agreements", trade.create_agreement, AgreementView, body=dict[str, Any], status=201,
        refusals=_SIGNED, scopes=("contract",), kind="contract",
    ),
    Operation(
        "POST", "/v1/queries", create_query, QueryAnswer, body=QueryBody, status=201, media=_RESULT_MEDIA,
        refusals=(402, 403, 404, 406, 413, 422, 429), slow=True, scopes=("query",), kind="query",
    ),
    Operation(
        "GET", "/v1/queries/{id}/receipt", get_receipt, dict[str, Any], refusals=(404,), scopes=("read",)
    ),
    Operation(
        "GET", "/v1/queries/{id}/decision", get_decision, dict[str, Any], refusals=(404,), scopes=("read",)
    ),
    Operation(
        "POST", "/v1/orders", oversight.give_order, OrderView, body=dict[str, Any], status=201, refusals=_SIGNED,
        scopes=("supervise", "contract"), kind="order",
    ),
    Operation(
        "GET", "/v1/suspensions", oversight.list_suspensions, list[SuspensionView], scopes=("read",)
    ),
    Operation(
        "GET", "/v1/volume", get_volume, VolumeAnswer, parameters=("by",), refusals=(404,), scopes=("read",)
    ),
    Operation(
        "GET", "/v1/queries/{id}/evidence", evidence.get_evidence, bytes, media=(evidence.ZIP,), refusals=(404,),
        scopes=("supervise", "read"),
    ),
    Operation(
        "GET", "/v1/audit/disclosures", evidence.get_disclosures, bytes, media=(evidence.LINES,),
        parameters=("from", "to", "basis"), refusals=(403, 404, 422), scopes=("supervise",),
    ),
    Operation(
        "GET", "/v1/audit/entries", audit.list_entries, audit.EntriesView, parameters=audit.PARAMETERS,
        refusals=(422,), scopes=("supervise", "read"),
    ),
    Operation(
        "GET", "/v1/audit/entries/{id}", audit.get_entry, audit.ShownView, refusals=(404,), scopes=("supervise", "read")
    ),
)  # fmt: skip
"""Every operation of the API but the OpenAPI document and the log's static files."""
