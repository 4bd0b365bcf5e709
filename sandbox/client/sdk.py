"""Ask an exchange over HTTP: one call for a query, results as Arrow bytes that any library reads."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

import httpx2

from sandbox.core import errors
from sandbox.core.clock import Clock, SystemClock
from sandbox.core.errors import Invalid, SandboxError, Unavailable

if TYPE_CHECKING:  # whoever signs nothing does not wait for it
    from sandbox.core.keys import SigningKey

ARROW: Final = "application/vnd.apache.arrow.stream"
_KINDS: Final = {
    kind.__name__: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SandboxError)
}


@dataclass(frozen=True, slots=True)
class QueryResult:
    """A completed query: the bytes of an Arrow IPC stream, and what they cost in đồng.

    ``pyarrow.table(result)``, ``polars.DataFrame(result)`` and ``duckdb.sql("FROM result")`` read it directly.
    """

    id: str
    ipc: bytes
    rows: int
    price_vnd: int
    groups_withheld: bool
    _exchange: "Remote" = field(repr=False)

    def receipt(self) -> bytes:
        """The receipt, to be checked offline with ``sandbox verify receipt``."""
        return self._exchange.receipt(self.id)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The Arrow PyCapsule protocol."""
        import pyarrow as pa  # noqa: PLC0415

        table = pa.ipc.open_stream(self.ipc).read_all()
        return table.__arrow_c_stream__(requested_schema)


class Remote:
    """A connection to one exchange as one participant. Close it, or use it as a context manager."""

    def __init__(self, http: httpx2.Client) -> None:
        self._http = http

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def datasets(self) -> list[dict[str, Any]]:
        """The catalogue."""
        return list(self._get("/v1/datasets").json())

    def offers(self) -> list[dict[str, Any]]:
        """Every offer, with its signed document."""
        return list(self._get("/v1/offers").json())

    def agreements(self) -> list[dict[str, Any]]:
        """Your agreements."""
        return list(self._get("/v1/agreements").json())

    def charter(self) -> dict[str, Any]:
        """The charter in force, with its stage and caps."""
        return self._object("GET", "/v1/charter")

    def offer(self, envelope: bytes) -> dict[str, Any]:
        """Register an offer that you signed."""
        return self._object("POST", "/v1/offers", content=envelope)

    def agree(self, envelope: bytes) -> dict[str, Any]:
        """Hand in an agreement that its buyer and its provider signed."""
        return self._object("POST", "/v1/agreements", content=envelope)

    def negotiations(self) -> list[dict[str, Any]]:
        """Your negotiations, and whose turn it is in each."""
        return list(self._get("/v1/negotiations").json())

    def negotiation(self, name: str) -> dict[str, Any]:
        """One of your negotiations with its messages."""
        return self._object("GET", f"/v1/negotiations/{_plain(name)}")

    def negotiate(self, act: str, envelope: bytes | None = None, negotiation: str | None = None) -> dict[str, Any]:
        """Begin a negotiation by a signed request or directed offer, or take a step in one.

        ``act`` is ``request``, ``offer``, ``accept``, ``agree``, ``verify``, ``finalize`` or ``terminate``.
        """
        if negotiation is None:
            return self._object("POST", "/v1/negotiations", content=envelope or b"{}")
        path = f"/v1/negotiations/{_plain(negotiation)}/{_plain(act)}"
        return self._object("POST", path, content=envelope or b"{}")

    def order(self, envelope: bytes) -> dict[str, Any]:
        """Hand in a signed order."""
        return self._object("POST", "/v1/orders", content=envelope)

    def suspensions(self) -> list[dict[str, Any]]:
        """What is suspended or has an open incident, as far as it concerns you."""
        return list(self._get("/v1/suspensions").json())

    def decision(self, query_id: str) -> dict[str, Any]:
        """Why one of your queries was allowed or refused, rule by rule."""
        return self._object("GET", f"/v1/queries/{_plain(query_id)}/decision")

    def query(
        self, sql: str, *, agreements: Sequence[str], purpose: str, max_price_vnd: int | None = None
    ) -> QueryResult:
        """Run one SELECT and pay for it.

        Raises:
            SandboxError: the class and ``code`` that the exchange answered, with its hint and reasons.
            Unavailable: ``exchange.unreachable``.
        """
        body: dict[str, Any] = {"sql": sql, "agreements": list(agreements), "purpose": purpose}
        if max_price_vnd is not None:
            body["max_price_vnd"] = max_price_vnd
        answer = self._ask("POST", "/v1/queries", json=body, headers={"Accept": ARROW})
        told = answer.headers
        return QueryResult(
            id=told["sandbox-query"],
            ipc=answer.content,
            rows=int(told["sandbox-rows"]),
            price_vnd=int(told["sandbox-price-vnd"]),
            groups_withheld=told["sandbox-groups-withheld"] == "true",
            _exchange=self,
        )

    def receipt(self, query_id: str) -> bytes:
        """The receipt of one of your queries, refused and failed ones too."""
        return self._get(f"/v1/queries/{_plain(query_id)}/receipt").content

    def entries(self, *, reveal: bool = False, **filters: str | int) -> dict[str, Any]:
        """A page of the record: ``{"entries", "next", "complete_to"}``; go on with ``cursor=page["next"]``.

        ``filters`` are ``actor``, ``participant``, ``dataset``, ``agreement``, ``query``, ``code``, ``reason``,
        ``type``, ``entry``, ``digest``, ``to`` and ``from_`` (a word of Python's without the line), and ``order``,
        ``limit``, ``cursor``.
        """
        said = {name.rstrip("_"): str(value) for name, value in filters.items()}
        said["reveal"] = "true" if reveal else "false"
        return self._object("GET", "/v1/audit/entries", params=said)

    def entry(self, name: str) -> dict[str, Any]:
        """An entry of the record by its id or place, with what its seals stand for."""
        return self._object("GET", f"/v1/audit/entries/{_plain(name)}")

    def _object(self, method: str, path: str, **rest: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask(method, path, **rest).json()
        return answer

    def _get(self, path: str) -> httpx2.Response:
        return self._ask("GET", path)

    def _ask(self, method: str, path: str, **rest: Any) -> httpx2.Response:
        try:
            answer = self._http.request(method, path, **rest)
        except httpx2.HTTPError:
            raise Unavailable(
                "exchange.unreachable", "The exchange does not answer.", hint="Check the address."
            ) from None
        if answer.is_error:
            raise _error(answer)
        return answer


def _plain(name: str) -> str:
    """A name as one step of a path; none may lead elsewhere."""
    return quote(name, safe="")


def _error(answer: httpx2.Response) -> SandboxError:
    try:
        problem = json.loads(answer.content)
        kind = _KINDS.get(problem["title"], SandboxError)
        error = kind(
            problem["code"], problem["detail"], hint=problem.get("hint", ""), reasons=tuple(problem.get("reasons", ()))
        )
        error.query = problem.get("query")
    except (ValueError, KeyError, TypeError):
        return Unavailable(
            "exchange.unreachable", f"The address answered {answer.status_code}, not as an exchange does."
        )
    return error


def connect(
    url: str,
    token: str = "",
    *,
    key: "SigningKey | Path | str | None" = None,
    clock: Clock | None = None,
    transport: httpx2.BaseTransport | None = None,
) -> Remote:
    """Connect to an exchange.

    Args:
        url: its address as the operator made it known, such as ``https://san.example.vn``; signatures cover it.
        token: an API token.
        key: a request key that is registered for the token's owner, or its file: every request is signed with it.
        clock: tells the time of signatures; the machine's unless given.
        transport: something else than a network, for tests.

    Raises:
        NotFound, Invalid: the key's file is missing, exposed or malformed; a key without a token.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if key is not None and not token:
        raise Invalid("identity.missing", "A signed request needs an API token too.", hint="Give the token.")
    signer = None if key is None else _signer(key, clock or SystemClock())
    http = httpx2.Client(
        base_url=url, headers=headers, timeout=120.0, transport=transport, trust_env=False, auth=signer
    )
    return Remote(http)


def _signer(key: "SigningKey | Path | str", clock: Clock) -> httpx2.Auth:
    from sandbox.client.signing import RequestSigner  # noqa: PLC0415
    from sandbox.core.keys import read_key  # noqa: PLC0415

    return RequestSigner(read_key(Path(key)) if isinstance(key, str | Path) else key, clock)
