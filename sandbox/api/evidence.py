"""The evidence of a query, and the values behind seals, over HTTP: for the overseers."""

import re
from typing import Final

from starlette.responses import Response, StreamingResponse

from sandbox.api.operations import Asked
from sandbox.core.errors import Invalid, NotFound
from sandbox.core.terms import Role
from sandbox.exchange.disclose import Extent

LINES: Final = "application/x-ndjson"
ZIP: Final = "application/zip"
_PLACE: Final = re.compile(r"\d{1,15}", re.ASCII)


def get_evidence(asked: Asked) -> Response:
    """All that a query was decided by, in one archive that is judged without the exchange."""
    name = asked.path["id"]
    content = asked.exchange.evidence(asked.identity.participant, name)
    headers = {"Content-Disposition": f'attachment; filename="{name}.zip"', "Cache-Control": "no-store"}
    return Response(content, 200, headers, ZIP)


def get_disclosures(asked: Asked) -> Response:
    """The values behind the seals of the entries ``from`` to ``to``, for a regulator; the log tells of it first."""
    if Role.REGULATOR not in asked.identity.roles:
        raise NotFound("not_found", "Disclosures are for the regulator.")
    extent = Extent(_place(asked, "from"), _place(asked, "to"))
    shown = asked.exchange.disclose(extent, asked.identity.id, asked.query.get("basis", ""), asked.identity)
    return StreamingResponse(shown, 200, {"Cache-Control": "no-store"}, LINES)


def _place(asked: Asked, name: str) -> int:
    text = asked.query.get(name, "")
    if not _PLACE.fullmatch(text):
        hint = "Give the places of the first and the last entry: ?from=812&to=815&basis=CODE"
        raise Invalid("request.invalid", f"{name}={text[:20]!r} is no place in the log.", hint=hint)
    return int(text)
