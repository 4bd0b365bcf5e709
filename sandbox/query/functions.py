"""The reviewed list of the engine's functions: each name of each kind is in one class, allowed or refused.

``functions.json`` is written by hand from ``duckdb_functions()``; a test compares the two, so that a new engine version
fails until somebody has read its new names.
"""

import json
from pathlib import Path
from typing import Final

_LISTS: Final = json.loads(Path(__file__).with_name("functions.json").read_text(encoding="utf-8"))

_IN_EXPRESSIONS: Final = ("scalar", "aggregate", "macro", "syntax")
_WHY: Final = {
    "array": "fixed-size arrays are not supported",
    "catalogue": "it shows the engine's catalogue",
    "changes_or_waits": "it changes state, waits or raises errors",
    "file": "it opens files",
    "memory_of_the_process": "it reads the process's memory",
    "not_repeatable": "its answer differs from run to run",
    "session": "it shows the session or its settings",
    "size_unbounded": "the size of its answer has no bound",
    "sql_in_text": "it takes SQL as text",
    "type_in_text": "it takes a type as text",
}


def _names(verdict: str, *kinds: str) -> frozenset[str]:
    lists = (names for kind in kinds for names in _LISTS[verdict].get(kind, {}).values())
    return frozenset(name.lower() for names in lists for name in names)


AGGREGATES: Final = _names("allowed", "aggregate")
CALLS: Final = _names("allowed", *_IN_EXPRESSIONS) - _names("refused", *_IN_EXPRESSIONS)
"""What may be called in an expression; a name refused as any kind of expression is refused."""
WINDOW_CALLS: Final = _names("allowed", "aggregate", "window")
TABLE_CALLS: Final = _names("allowed", "table")

SIZES: Final = {"repeat": 10_000, "lpad": 10_000, "rpad": 10_000, "list_resize": 100_000, "array_resize": 100_000}
"""Functions whose second argument is the size of the answer: it must be a constant up to this, for a scalar's memory
is not accounted by the engine."""
BY_NAME: Final = frozenset({"list_aggregate", "list_aggr", "array_aggregate", "array_aggr", "aggregate"})
"""Functions whose second argument names an aggregate: it must be a constant from :data:`AGGREGATES`."""


def why_refused(name: str) -> str:
    """The class of a refused name in words, for the buyer."""
    for kinds in _LISTS["refused"].values():
        for group, names in kinds.items():
            if name in names and group in _WHY:
                return _WHY[group]
    return "it is not on the list of reviewed functions"
