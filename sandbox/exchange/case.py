"""One request on its way through the house: what is asked, and what is known of it so far."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.engine import Connection

from sandbox.contracts import orders
from sandbox.contracts.charter import Charter
from sandbox.contracts.orders import Standing
from sandbox.core.canonical import Json, check, digest
from sandbox.core.errors import Invalid
from sandbox.core.terms import Digest, Identity, Participant, QueryId
from sandbox.exchange.grants import Grant
from sandbox.exchange.handed import handed_in
from sandbox.market import price
from sandbox.policy.decision import Decision, Question
from sandbox.query.engine import Facts

MOST_TEXT: Final = 65_536


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """What a buyer asks: SQL, under which agreements (digests or unique prefixes), for which purpose."""

    sql: str
    agreements: tuple[str, ...]
    purpose: str
    max_price_vnd: int | None = None
    cancelled: Callable[[], bool] = lambda: False
    """Whether nobody waits for the answer any more; asked while the query runs."""


@dataclass(slots=True)
class Case:
    """One request on its way: what is known of it so far, for the record."""

    id: QueryId
    identity: Identity
    request: QueryRequest
    charter: Charter | None = None
    grants: list[Grant] = field(default_factory=list)
    free: frozenset[Digest] = frozenset()
    """The agreements whose free quota this query uses."""
    quote: price.Quote | None = None
    facts: Facts | None = None
    question: Question | None = None
    decision: Decision | None = None
    leaving: Question | None = None
    """What was asked about the result, once there was one."""
    left: Decision | None = None
    """Whether it might leave."""
    extracts: dict[str, Json] = field(default_factory=dict)
    """The digest of what stands behind each agreement's relation, by agreement."""

    @property
    def buyer(self) -> Participant:
        return self.identity.participant

    def standing(self, connection: Connection) -> tuple[Standing, ...]:
        """What stands now against it: against its buyer, its providers, datasets, agreements, itself, the market."""
        made = [grant.agreement for grant in self.grants]
        parties = [self.buyer.id, *(each.provider for each in made)]
        return orders.concerning(
            connection, parties, [each.dataset for each in made], [each.id for each in made], self.id
        )

    def clear(self) -> dict[str, Json]:
        """What the log says of it in clear."""
        shares = self.quote.shares if self.quote else {}
        agreements: list[Json] = [
            {
                "id": grant.agreement.id,
                "dataset": grant.agreement.dataset,
                "vnd": int(shares.get(grant.agreement.id, 0)),
            }
            for grant in self.grants
        ]
        return {"query": self.id, "agreements": agreements}

    def sealed(self) -> dict[str, Json]:
        """What the log commits to without showing it. Text that has no canonical form is named by its digest."""
        sql = self.facts.canonical if self.facts else self.request.sql
        return {"actor": self.buyer.id, "sql": _sealable(sql), "purpose": _sealable(self.request.purpose)}

    def asked(self) -> dict[str, Json]:
        """What the entry of the decision commits to beside: how the buyer was identified, and the question put.

        With the digest of the policies, which stands in clear, the decision can be made again from it.
        """
        asked = handed_in(self.identity)
        if self.question is not None:
            asked["question"] = self.question.as_input()
        return asked

    def asked_to_leave(self) -> dict[str, Json]:
        """The same of the second decision, on the result."""
        return {} if self.leaving is None else {"question": self.leaving.as_input()}

    def told_to_leave(self) -> dict[str, Json]:
        """What the log says in clear of the second decision."""
        if self.left is None:
            return {}
        return {"policy": {"bundle": self.left.policy, "decision": "allow" if self.left.allow else "deny"}}


def _sealable(text: str) -> str:
    try:
        check(text)
    except Invalid:
        return digest(text.encode("utf-8", "surrogatepass"))
    return text if len(text) <= MOST_TEXT else digest(text.encode())
