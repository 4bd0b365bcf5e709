"""The decision point over HTTP: an OPA server that holds the same bundle."""

from typing import Any, Final
from urllib.parse import urlsplit

from sandbox.core.canonical import Json, check
from sandbox.core.errors import Invalid
from sandbox.core.terms import Digest
from sandbox.policy.bundle import Bundle
from sandbox.policy.decision import PACKAGE, RULE, Decision, Question, outage, read_decision, require_refusal

_SCHEMES: Final = ("http", "https")


class OpaServer:
    """Asks an OPA server; policies are never pushed, the server fetches its bundle itself.

    Args:
        url: ``http://opa:8181`` or ``https://…``, with the port and without a path.
        bundle: what the server is expected to decide by.
        token: a bearer token for the server.
        timeout: seconds to wait for a connection, and for an answer.
        authority: file of the CA certificates to believe instead of the usual ones.

    Raises:
        Invalid: ``settings.invalid`` when the address is not of that form.
    """

    def __init__(
        self, url: str, bundle: Bundle, token: str | None = None, *, timeout: float = 1.5, authority: str | None = None
    ) -> None:
        self._policy = bundle.digest
        self._client = _client(url, token, timeout, authority)

    @property
    def policy(self) -> Digest:
        return self._policy

    def decide(self, question: Question) -> Decision:
        """See :meth:`sandbox.policy.decision.DecisionPoint.decide`. Blocks: call it from a worker thread."""
        document = question.as_input()
        check(document)  # both decision points answer the same questions, or none
        return read_decision(self._ask(document), self.policy)

    def probe(self) -> None:
        """See :meth:`sandbox.policy.decision.DecisionPoint.probe`."""
        require_refusal(self._ask({}), self.policy)

    def close(self) -> None:
        """Close the connections to the server."""
        self._client.close_connection()

    def _ask(self, document: dict[str, Json]) -> object:
        try:
            body = self._client.query_rule(document, PACKAGE, RULE)
        except Exception as failure:  # requests, urllib3 and json each raise their own; all of it means: no answer
            raise outage("engine_unreachable") from failure
        return body.get("result") if isinstance(body, dict) else None


def _client(url: str, token: str | None, timeout: float, authority: str | None) -> Any:
    from opa_client.opa import OpaClient  # noqa: PLC0415  # 0.3 s of imports, only for those who run OPA

    scheme, host, port = _address(url)
    client = OpaClient(host=host, port=port, ssl=scheme == "https", token=token, timeout=timeout)
    session = client._session  # noqa: SLF001  # the client has no setting for what follows
    session.trust_env = (
        False  # else a .netrc entry replaces the token, and a proxy of the environment reads the questions
    )
    session.max_redirects = 0  # OPA sends no redirects; whoever does is not OPA
    if authority is not None:
        session.verify = authority
    return client


def _address(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        port = None
    if port is None or parts.scheme not in _SCHEMES or not parts.hostname or url.rstrip("/") != _plain(parts):
        raise Invalid(
            "settings.invalid",
            "The address of the OPA server is not of the form http://host:port.",
            hint="Set opa_url so.",
        )
    return parts.scheme, f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname, port


def _plain(parts: Any) -> str:
    """The address without name, password, path, query or fragment, none of which the client would use."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
