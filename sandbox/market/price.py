"""The price of a query: the sum of what each of its agreements asks, known before anything runs.

It follows from signed terms alone, never from the data: a price that moved with the rows would be an answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sandbox.core.canonical import LARGEST
from sandbox.core.errors import Invalid
from sandbox.core.terms import Digest, Vnd


@dataclass(frozen=True, slots=True)
class Quote:
    """What a query costs, and the share of each agreement in it, by agreement id."""

    total: Vnd
    shares: Mapping[Digest, Vnd]


def quote(prices: Mapping[Digest, Vnd]) -> Quote:
    """Price one query under the agreements that it needs.

    Raises:
        Invalid: ``price.invalid`` without any agreement (nothing is free for want of a contract), for a price below 0,
            or for a total that would not fit in a signed text.
    """
    total = sum(prices.values())
    if not prices or min(prices.values()) < 0 or total > LARGEST:
        raise Invalid(
            "price.invalid", f"{len(prices)} prices with a total of {total} đồng; expected one or more, none below 0.",
            hint="Name the agreements of the query; their prices are whole đồng from 0 up.",
        )  # fmt: skip
    return Quote(Vnd(total), MappingProxyType(dict(sorted(prices.items()))))
