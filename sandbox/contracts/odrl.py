"""The permission of a contract as ODRL says it: for which purposes, where, until when, at which price.

::

    [{"action": "use",
      "constraint": [{"leftOperand": "purpose", "operator": "isAnyOf", "rightOperand": ["thong_ke"]},
                     {"leftOperand": "spatial", "operator": "isAnyOf", "rightOperand": ["VN"]},
                     {"leftOperand": "dateTime", "operator": "lt", "rightOperand": "2027-11-22T00:00:00.000000Z"}],
      "duty": [{"action": "compensate", "constraint": [
                   {"leftOperand": "payAmount", "operator": "eq", "rightOperand": "25000", "unit": "VND"}]}]}]

ODRL could say each of these in many ways; contracts say them in this one, so that nobody reads more than was signed.
"""

import re
from collections.abc import Mapping
from typing import Final

from sandbox.contracts.members import refuse
from sandbox.core.canonical import Json, canonical

MEMBERS: Final = frozenset({"purposes", "territories", "not_after", "price_vnd"})
"""The terms that stand in the permission and nowhere else."""
_AMOUNT: Final = re.compile(r"0|[1-9][0-9]{0,14}", re.ASCII)


def permission(terms: Mapping[str, Json]) -> Json:
    """Say the four terms in ODRL. Its schema forbids a number as right operand, so the price stands as text."""
    return [
        {
            "action": "use",
            "constraint": [
                {"leftOperand": "purpose", "operator": "isAnyOf", "rightOperand": terms["purposes"]},
                {"leftOperand": "spatial", "operator": "isAnyOf", "rightOperand": terms["territories"]},
                {"leftOperand": "dateTime", "operator": "lt", "rightOperand": terms["not_after"]},
            ],
            "duty": [
                {
                    "action": "compensate",
                    "constraint": [
                        {
                            "leftOperand": "payAmount",
                            "operator": "eq",
                            "rightOperand": str(terms["price_vnd"]),
                            "unit": "VND",
                        }
                    ],
                }
            ],
        }
    ]


def read_permission(said: Json) -> dict[str, Json]:
    """The four terms of a permission.

    Raises:
        Invalid: ``contract.invalid`` when it is anything but what :func:`permission` writes.
    """
    terms = _found(said)
    if terms is None or canonical(permission(terms)) != canonical(said):  # no operand, operator or duty goes unread
        refuse(
            "permission is not one use for some purposes (isAnyOf), territories (isAnyOf), until an instant (lt), "
            "against a price (eq, VND), in this order and with nothing else."
        )
    return terms


def _found(said: Json) -> dict[str, Json] | None:
    match said:
        case [
            {
                "constraint": [{"rightOperand": purposes}, {"rightOperand": territories}, {"rightOperand": not_after}],
                "duty": [{"constraint": [{"rightOperand": str(price)}]}],
            }
        ] if _AMOUNT.fullmatch(price):
            return {
                "purposes": purposes,
                "territories": territories,
                "not_after": not_after,
                "price_vnd": int(price),
            }
    return None
