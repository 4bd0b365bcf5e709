"""The fault table: every statement of a batch fails, once and again, lost or carried out, on either database."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future

import pytest

from sandbox.audit.log import Log
from sandbox.core.database import Database, Transaction
from sandbox.core.errors import Conflict, Invalid, SandboxError, Unavailable
from tests.deeds import Deeds, deed
from tests.unsteady import Fault, Line

Opened = tuple[Database, Log]
BATCH = 4
REFUSED = 2
"""The third unit of a batch is refused, so that all are redone apart."""
CLEAN = {"database.unreachable", "database.full", "database.stopped"}
"""Said of what was not written; of ``database.outcome_unknown`` nobody knows."""
STEPS = ["deed_count", "INTO deed", "SAVEPOINT", "log_body", "log_entry", "log_tile", "log_head", "COMMIT"]


class Tally:
    """What callers were told."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.in_doubt: list[str] = []
        self.failures = 0

    def hear(self, name: str, answer: "Future[str]") -> None:
        try:
            self.done.append(answer.result(20))
        except Invalid as error:
            assert error.code == "test.refused"
        except Conflict as error:  # tried again after a doubt, and it was there
            assert (error.code, name in self.in_doubt) == ("entry.exists", True)
            self.done.append(name)
        except Exception as error:
            self.failures += 1
            self._failed(name, error)

    def _failed(self, name: str, error: Exception) -> None:
        if isinstance(error, Unavailable) and error.code not in CLEAN:
            assert error.code == "database.outcome_unknown"
            self.in_doubt.append(name)
        elif not isinstance(error, SandboxError):  # the driver's own, of this unit's own statement: nothing of it stays
            assert "lost" in str(error)


def one_batch(database: Database, mine: Log, line: Line, names: Sequence[str]) -> "list[Future[str]]":
    """Units that share a commit: they queue while an earlier one holds the writer, and then the line is watched."""
    held, go = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        held.set()
        go.wait(10)

    first = database.submit(hold)
    held.wait(10)
    answers = [database.submit(deed(mine, name, refuse=at == REFUSED)) for at, name in enumerate(names)]
    line.armed = True
    go.set()
    first.result(10)
    return answers


def attempt(opened: Opened, line: Line, turn: int, tally: Tally) -> Sequence[str]:
    """A batch over a failing line, then what failed again over a steady one; answers what passed."""
    database, mine = opened
    names = [f"ent_{turn}_{number}" for number in range(BATCH)]
    line.passed.clear()
    for name, answer in zip(names, one_batch(database, mine, line, names), strict=True):
        tally.hear(name, answer)
    line.armed = line.watched = False
    for at, name in enumerate(names):
        if name not in tally.done and at != REFUSED:
            tally.hear(name, database.submit(deed(mine, name)))
    return [*line.passed]


def first_and_last(statements: Sequence[str]) -> list[int]:
    """Where each kind of statement stands first, and where last."""
    kinds = [statement.rstrip("0123456789") for statement in statements]
    places = {kind: (kinds.index(kind), len(kinds) - 1 - kinds[::-1].index(kind)) for kind in kinds}
    return sorted({place for both in places.values() for place in both})


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("times", [1, 2, 1000], ids=["once", "twice", "from then on"])
def test_whatever_statement_fails_each_caller_hears_what_became_of_its_deed(
    deeds_anywhere: Deeds, fault: Fault, times: int
) -> None:
    line, tally = Line(fault), Tally()
    tally.done += [f"ent_{number}" for number in range(254)]
    deeds_anywhere.do(*tally.done)
    with deeds_anywhere.opened(line.prepare) as opened:
        calm = attempt(opened, line, 0, tally)  # fills a tile
        assert [step for step in STEPS if not any(step in each for each in calm)] == []
        quick = deeds_anywhere.url.startswith("sqlite")  # there a new connection costs nothing
        turns = [*enumerate(range(len(calm)) if quick else first_and_last(calm)[:: min(times, 2)], 1)]
        for turn, number in turns:
            line.breaks = range(number, number + times)
            attempt(opened, line, turn, tally)
    wanted = {f"ent_{turn}_{at}" for turn in range(len(turns) + 1) for at in range(BATCH) if at != REFUSED}
    assert wanted <= {*tally.done}, "a deed that was tried again over a steady line was not done"
    assert tally.failures > (0 if times == 1 else len(turns) // 2)
    deeds_anywhere.judge(tally.done)
