"""What a query takes of its contracts' budgets and of the charter's caps, and how much of those is used up.

A day, a week (ISO: from Monday) and a month are Asia/Ho_Chi_Minh's. Day budgets belong to the exchange, not to a
version of its charter: a version adopted at noon counts on.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy.engine import Connection

from sandbox.contracts.agreement import Agreement
from sandbox.contracts.charter import Charter
from sandbox.core.canonical import Json
from sandbox.core.clock import day_of
from sandbox.core.terms import Digest, ParticipantId
from sandbox.market import budget
from sandbox.market.budget import Limit, Use

_CAP: Final = {
    "per_transaction_vnd": "What one query may cost, in VND,",
    "per_buyer_day_vnd": "What one buyer may spend in a day, in VND,",
    "per_buyer_day_queries": "The number of queries of one buyer in a day",
    "per_provider_day_vnd": "What one provider may sell in a day, in VND,",
    "exchange_day_vnd": "What the exchange may trade in a day, in VND,",
}
"""What each counted cap of a charter limits."""
_SHARED: Final = frozenset({"per_provider_day_vnd", "exchange_day_vnd"})
"""Those that other buyers use up as well."""


# --- the charter's caps ---
def uses_of(
    charter: Charter, now: datetime, buyer: ParticipantId, vnd: int, providers: Mapping[ParticipantId, int]
) -> list[Use]:
    """What a query of ``vnd`` đồng, shared among ``providers``, takes of the caps at ``now``.

    Raises:
        Insufficient: ``charter.cap_reached`` (CHARTER-05) when it alone costs more than one query may.
    """
    caps, day = charter.caps_at(now), day_of(now)
    limit = partial(_limit, day)
    one = Use("", vnd, caps.per_transaction_vnd, limit("per_transaction_vnd"))
    if vnd > one.cap:
        raise budget.above(one, 0)
    sold = [
        Use(_provider(each, day), share, caps.per_provider_day_vnd, limit("per_provider_day_vnd"))
        for each, share in providers.items()
    ]
    return [
        Use(_buyer_queries(buyer, day), 1, caps.per_buyer_day_queries, limit("per_buyer_day_queries")),
        Use(_buyer_vnd(buyer, day), vnd, caps.per_buyer_day_vnd, limit("per_buyer_day_vnd")),
        *sold,
        Use(_exchange(day), vnd, caps.exchange_day_vnd, limit("exchange_day_vnd")),
    ]


def _limit(day: date, cap: str) -> Limit:
    hint = f"The charter's {cap} at this stage. The day ends on {_day_after(day)} at 00:00, Asia/Ho_Chi_Minh."
    if cap == "per_transaction_vnd":
        hint = f"The charter's {cap} at this stage; ask under fewer agreements at once."
    return Limit("charter.cap_reached", "CHARTER-05", _CAP[cap], hint, own=cap not in _SHARED)


def _day_after(day: date) -> str:
    return f"{day + timedelta(days=1):%d/%m/%Y}"


def _buyer_vnd(buyer: str, day: date) -> str:
    return f"cap/buyer/{buyer}/vnd/{day.isoformat()}"


def _buyer_queries(buyer: str, day: date) -> str:
    return f"cap/buyer/{buyer}/queries/{day.isoformat()}"


def _provider(provider: str, day: date) -> str:
    return f"cap/provider/{provider}/vnd/{day.isoformat()}"


def _exchange(day: date) -> str:
    return f"cap/exchange/vnd/{day.isoformat()}"


def usage(
    connection: Connection, now: datetime, buyer: ParticipantId, providers: Collection[ParticipantId]
) -> dict[str, Json]:
    """How much of the day's caps is used by now, as the policies read it; one statement."""
    day = day_of(now)
    mine, queries, all_of_it = _buyer_vnd(buyer, day), _buyer_queries(buyer, day), _exchange(day)
    theirs = {each: _provider(each, day) for each in providers}
    spent = budget.used(connection, [mine, queries, all_of_it, *theirs.values()])
    sold: list[Json] = [{"id": each, "day_vnd": spent[name]} for each, name in theirs.items()]
    return {
        "buyer_day_vnd": spent[mine],
        "buyer_day_queries": spent[queries],
        "exchange_day_vnd": spent[all_of_it],
        "providers": sold,
    }


# --- contracts ---
def contract_uses(agreement: Agreement, now: datetime) -> list[Use]:
    """One use of each budget that the contract has: of the day, the week, the month, its lifetime."""
    terms, day = agreement.terms, day_of(now)
    budgets = {
        "day": (terms.day_budget, day.isoformat()),
        "week": (terms.week_budget, f"{day:%G-W%V}"),
        "month": (terms.month_budget, f"{day:%Y-%m}"),
        "lifetime": (terms.lifetime_budget, "life"),
    }
    return [
        Use(f"{agreement.id}/{when}", 1, cap, _contract_limit(period, day))
        for period, (cap, when) in budgets.items()
        if cap is not None
    ]


_NEXT: Final[Mapping[str, Callable[[date], date]]] = {
    "day": lambda day: day + timedelta(days=1),
    "week": lambda day: day + timedelta(days=7 - day.weekday()),
    "month": lambda day: (day.replace(day=1) + timedelta(days=31)).replace(day=1),
}


def _contract_limit(period: str, day: date) -> Limit:
    if period == "lifetime":
        name, hint = "The number of queries that the contract allows in all", "Agree on a new contract."
    else:
        name = f"The number of queries that the contract allows in a {period}"
        hint = f"The {period} ends on {_NEXT[period](day):%d/%m/%Y} at 00:00, Asia/Ho_Chi_Minh."
    return Limit("budget.exhausted", "QRY-07", name, hint)


def free_use(agreement: Agreement) -> Use:
    """One of an agreement's free queries; a quote that counted on one which is taken meanwhile is refused."""
    limit = Limit(
        "price.changed", "PAY-01", "The number of free queries of the contract", "Ask again: the query has a price now."
    )
    return Use(_free(agreement), 1, agreement.terms.free_queries, limit)


def free_of_charge(connection: Connection, agreements: Collection[Agreement]) -> frozenset[Digest]:
    """Those of them that have a free query left."""
    spent = budget.used(connection, [_free(each) for each in agreements if each.terms.free_queries])
    return frozenset(
        each.id for each in agreements if spent.get(_free(each), each.terms.free_queries) < each.terms.free_queries
    )


def _free(agreement: Agreement) -> str:
    return f"free/{agreement.id}"
