"""Ask an exchange over HTTP: one call for a query, results as Arrow bytes that any library reads."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import httpx2

from sandbox.core import errors
from sandbox.core.errors import SandboxError, Unavailable

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
        return self._get(f"/v1/queries/{query_id}/receipt").content

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


def connect(url: str, token: str = "", *, transport: httpx2.BaseTransport | None = None) -> Remote:
    """Connect to an exchange, such as ``http://127.0.0.1:8080``, with an API token."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return Remote(httpx2.Client(base_url=url, headers=headers, timeout=120.0, transport=transport, trust_env=False))
