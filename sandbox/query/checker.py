"""Reading SQL in processes that die of it, and remembering what was read."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sandbox.core.errors import QueryRefused, Unavailable
from sandbox.jail.cell import Bounds, Cell, Ended, message
from sandbox.jail.turns import Turns, busy
from sandbox.query import views
from sandbox.query.answers import RULES, facts_of
from sandbox.query.engine import Facts, Relation
from sandbox.query.spares import Spares

_LONGEST_ANSWER: Final = 4 << 20
_SPARES: Final = 4
_MOST_FACTS: Final = 1024
_LONGEST_KNOWN: Final = 8192
"""Bytes of an answer that is remembered; a thousand that are longer would fill the memory, and short SQL can unfold."""


class Checkers:
    """Facts by checkers that ``begin`` makes, each for one query, under ``limits``."""

    def __init__(self, turns: Turns, patience: float, limits: Mapping[str, int], begin: Callable[[], Cell]) -> None:
        self._turns = turns
        self._bounds = Bounds(limits["seconds"], patience, limits["memory_mb"], _LONGEST_ANSWER)
        self._begin = begin
        self._spares = Spares(_SPARES, begin)
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[object, ...], Facts] = OrderedDict()

    def facts(self, sql: str, relations: Sequence[Relation], today: str, owner: str) -> Facts:
        """What a query touches; remembered for its owner alone, whom it would tell what others ask.

        Raises:
            QueryRefused, Busy, Unavailable: see :class:`sandbox.query.engine.Engine`.
        """
        key = (owner, today, sql, *relations)
        with self._lock:
            known = self._known.get(key)
        if known is not None:
            return known
        job = {"sql": sql, "today": today, "relations": [_as_job(relation) for relation in relations]}
        answer = self._asked(job, owner)
        facts = facts_of(answer, {relation.name for relation in relations})
        if len(answer) <= _LONGEST_KNOWN:
            with self._lock:
                self._known[key] = facts
                if len(self._known) > _MOST_FACTS:
                    self._known.popitem(last=False)
        return facts

    def close(self) -> None:
        """End the spares."""
        self._spares.close()

    def _asked(self, job: Mapping[str, Any], owner: str) -> bytes:
        with self._turns.join(owner) as turn:
            turn.begin_within(self._bounds.patience)
            for make in (self._spares.take, self._begin):  # a spare may have died while it waited: ask a fresh one too
                cell = make()
                try:
                    cell.send(job)
                    return message(cell, turn, self._bounds)
                except Ended as end:
                    why = end.why
                    ended = cell.how_it_ended() if why == "crash" else why
                finally:
                    cell.close()
                    self._spares.refill()
                if why != "crash":
                    break
        raise self._meaning(ended)

    def _meaning(self, ended: str) -> Exception:
        if ended == "busy":
            return busy(self._turns.retry_after())
        if not ended:
            return Unavailable("engine.unreachable", "The query engine does not answer.", hint="Send the query again.")
        return QueryRefused(  # killed, crashed, or met by a form of SQL that the gate does not know
            "query.too_large",
            "The query could not be read within the limits.",
            hint="Write a smaller and plainer query.",
            reasons=RULES["query.too_large"],
        )


def _as_job(relation: Relation) -> dict[str, Any]:
    return {
        "name": relation.name,
        "columns": views.checked(relation.columns),
        "dimensions": [[dimension.name, dimension.expression] for dimension in relation.dimensions],
        "unit": relation.unit,
        "nullable": list(relation.nullable),
    }
