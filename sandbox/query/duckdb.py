"""DuckDB as the exchange's query engine: every question is a job for a jailed child, and its answer is not believed."""

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sandbox.core.clock import Clock, SystemClock, day_of
from sandbox.core.errors import Invalid, QueryRefused, SandboxError, Unavailable
from sandbox.core.terms import Column, Scope
from sandbox.jail.cell import Answer, Bounds, Cell, Ended
from sandbox.jail.jail import Jail
from sandbox.jail.turns import Turn, Turns, busy
from sandbox.query import extracts, views
from sandbox.query.analysis import LONGEST_SQL
from sandbox.query.answers import LONGEST_LINE, RULES, cancelled, facts_of, words_of
from sandbox.query.engine import Facts, Job, Relation
from sandbox.query.outcome import RunOutcome
from sandbox.query.sessions import Session, Sessions
from sandbox.query.spares import Spares

MODULES: Final = ("sandbox.query.worker",)
_LONGEST_ANSWER: Final = 4 << 20
_CHECKER_MB: Final = 512
_LAYERS: Final = {"uid": {"user"}, "landlock": {"read", "write"}, "seccomp": {"socket", "fork"}}
"""A layer counts when the probe was denied all this."""
_PROBE_SECONDS: Final = 20
_MOST_FACTS: Final = 4096
_TICK: Final = 0.05


class JailedEngine:
    """The engine behind a zygote; ``isolation`` says how its children are shut in.

    At most ``workers`` jobs run at once, by turns; a job waits, or is held up, at most ``patience`` seconds.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        clock: Clock | None = None,
        patience: float = 30,
        analyse_seconds: int = 2,
        extract_seconds: int = 600,
        extract_memory_mb: int = 2048,
        memory_mb: int = 0,
        most_waiting: int = 256,
        idle_seconds: float = 60,
    ) -> None:
        most = workers or 2 * (os.cpu_count() or 1)
        self._clock = clock or SystemClock()
        self._patience = patience
        self._analyse = {"seconds": analyse_seconds, "memory_mb": _CHECKER_MB}
        self._extract = {"seconds": extract_seconds, "memory_mb": extract_memory_mb, "file_mb": 1 << 16}
        self._turns = Turns(most, most_waiting)
        together = memory_mb or _half_of_the_machine()
        self._jail = Jail(MODULES, together)
        self._sessions = Sessions(2 * most, idle_seconds, together // 4)
        self._spares = Spares(most, self._checker)
        self._makers = extracts.Makers()
        self._seen = extracts.Seen()
        self._facts: OrderedDict[tuple[object, ...], Facts] = OrderedDict()
        self._probing = threading.Lock()
        self._isolation = ""

    @property
    def isolation(self) -> str:
        """How far the children are shut in, such as ``process+uid+landlock+seccomp``: tried once, by one of them.

        Raises:
            Unavailable: ``engine.unreachable`` when no child can be asked.
        """
        with self._probing:
            self._isolation = self._isolation or self._probe()
            return self._isolation

    def _probe(self) -> str:
        limits = {"seconds": _PROBE_SECONDS, "memory_mb": _CHECKER_MB}
        with Turns(1).join(
            ""
        ) as turn:  # not one of the queries' turns: the first of them may hold the last while it asks
            try:
                words = words_of(self._asked("probe", {"limits": limits}, turn, LONGEST_LINE))
            except Ended:
                words = {}
        if words.get("status") != "probed":
            raise Unavailable("engine.unreachable", "The query engine could not be shut in.", hint="See to the host.")
        denied = set(map(str, words.get("denied", ())))
        reached = ["process", *(name for name, tried in _LAYERS.items() if tried <= denied)]
        return "+".join([*reached, *(["cgroup"] if self._jail.grouped else [])])

    def close(self) -> None:
        """End the zygote and its children; a closed engine stays closed."""
        self._spares.close()
        self._sessions.close()
        self._jail.close()

    def analyse(self, sql: str, relations: Sequence[Relation], owner: str = "") -> Facts:
        """See :class:`sandbox.query.engine.Engine`. Answers are remembered for the owner and the day."""
        _readable(sql)
        today = day_of(self._clock.now()).isoformat()
        key = (owner, today, sql, *relations)
        if (known := self._facts.get(key)) is not None:
            return known
        job = {"sql": sql, "today": today, "relations": [_as_job(relation) for relation in relations]}
        facts = facts_of(self._checked(job, owner), {relation.name for relation in relations})
        self._facts[key] = facts
        if len(self._facts) > _MOST_FACTS:
            self._facts.popitem(last=False)
        return facts

    def _checked(self, job: Mapping[str, Any], owner: str) -> bytes:
        with self._turns.join(owner) as turn:
            self._wait(turn)
            cell = self._spares.take()
            try:
                cell.send(job)
                return _message(cell, turn, self._bounds(self._analyse, _LONGEST_ANSWER))
            except Ended as end:
                if end.why == "busy":
                    raise busy(self._turns.retry_after()) from None
                raise QueryRefused(  # killed, crashed, or met by a form of SQL that the gate does not know
                    "query.too_large",
                    "The query could not be read within the limits.",
                    hint="Write a smaller and plainer query.",
                    reasons=RULES["query.too_large"],
                ) from None
            finally:
                cell.close()

    def _checker(self) -> Cell:
        _ = self.isolation  # known, and so recorded, before the first job
        return self._begun("analyse", {"limits": self._analyse})

    def extract(
        self, scope: Scope, columns: tuple[Column, ...], sources: tuple[Path, ...], directory: Path, owner: str = ""
    ) -> Path:
        """See :class:`sandbox.query.engine.Engine`. A crash leaves at most a part folder, never a short extract."""
        name = views.extract_name(scope, columns, sources)
        if found := extracts.find(directory, name):
            return found
        with self._makers.lock(name):
            return extracts.find(directory, name) or self._made(name, scope, columns, sources, directory, owner)

    def _made(
        self,
        name: str,
        scope: Scope,
        columns: tuple[Column, ...],
        sources: tuple[Path, ...],
        directory: Path,
        owner: str,
    ) -> Path:
        real = tuple(_real(source) for source in sources)
        sql = views.extract_sql(scope, columns, real)
        with extracts.Workshop(directory) as shop, self._turns.join(owner) as turn:
            job = {
                "sql": sql,
                "sources": [str(source) for source in real],
                "folder": str(shop.folder),
                "target": str(shop.target),
                "limits": self._extract,
            }
            self._wait(turn)
            try:
                said = words_of(self._asked("extract", job, turn, LONGEST_LINE))
            except Ended as end:
                said = {"status": end.why}
            if said.get("status") == "busy":
                raise busy(self._turns.retry_after())
            if said.get("status") != "done" or not shop.target.is_file():
                raise _unprepared()
            return shop.keep(name)

    def run(self, job: Job) -> RunOutcome:
        """See :class:`sandbox.query.engine.Engine`."""
        limits = {"seconds": job.limits.seconds, "memory_mb": job.limits.memory_mb}
        files = {name: [str(_real(path)) for path in paths] for name, paths in job.files.items()}
        for paths in job.files.values():
            for path in paths:
                self._seen.require(path)
        key = (job.owner, job.policy, *limits.values(), *sorted((name, *paths) for name, paths in files.items()))
        max_rows = job.limits.max_rows + 1  # one more may say that groups were withheld
        turn = self._turns.join(job.owner)
        try:
            self._wait(turn, job)
            session = self._sessions.take(key, lambda: self._begun("run", {"limits": limits, "files": files}))
        except BaseException:
            turn.leave()
            raise
        answer = Answer(session.cell, turn, self._bounds(limits, job.limits.max_bytes + 2 * LONGEST_LINE, job))
        outcome = RunOutcome(answer, session.cell.how_it_ended, max_rows, self._done(session, turn))
        document = {"sql": job.sql, "min_group": job.min_group, "max_rows": max_rows}
        return outcome.asked(lambda: session.cell.send(document))

    def _done(self, session: Session, turn: Turn) -> Any:
        def done(reusable: bool) -> None:
            turn.leave()
            if reusable:
                self._sessions.give_back(session)
            else:
                session.cell.close()

        return done

    def retire(self, owner: str) -> None:
        """Kill the idle workers of a participant, whose agreements or rights have changed."""
        self._sessions.retire(lambda key: key[0] == owner)

    def _bounds(self, limits: Mapping[str, int], most_bytes: int, job: Job | None = None) -> Bounds:
        asked = job.cancelled if job else lambda: False
        return Bounds(limits["seconds"], self._patience, limits["memory_mb"], most_bytes, asked)

    def _wait(self, turn: Turn, job: Job | None = None) -> None:
        waited = 0.0
        while not turn.wait(_TICK):
            waited += _TICK
            if job and job.cancelled():
                raise cancelled()
            if waited > self._patience:
                raise busy(self._turns.retry_after())

    def _begun(self, kind: str, setup: Mapping[str, Any]) -> Cell:
        cell = self._jail.fork(kind)
        try:
            cell.send(setup)
        except Ended:
            cell.close()
            raise Unavailable("engine.unreachable", "The query engine does not answer.", hint="Try again.") from None
        return cell

    def _asked(self, kind: str, job: Mapping[str, Any], turn: Turn, most_bytes: int) -> bytes:
        with _closing(self._begun(kind, job)) as cell:
            return _message(cell, turn, self._bounds(job["limits"], most_bytes))


@contextmanager
def _closing(cell: Cell) -> Iterator[Cell]:
    try:
        yield cell
    finally:
        cell.close()


def _message(cell: Cell, turn: Turn, bounds: Bounds) -> bytes:
    return io.BufferedReader(Answer(cell, turn, bounds)).read()


def _half_of_the_machine() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 21


def _readable(sql: str) -> None:
    try:
        length = len(sql.encode())
    except UnicodeEncodeError:
        length = 0
    if not length or not sql.strip() or "\0" in sql:
        raise Invalid("sql.malformed", "The SQL is empty, or holds NUL or broken characters.", hint="Send one SELECT.")
    if length > LONGEST_SQL:
        raise QueryRefused(
            "query.too_large",
            f"The SQL has {length} bytes, at most {LONGEST_SQL} are read.",
            hint="Shorten it.",
            reasons=RULES["query.too_large"],
        )


def _real(path: Path) -> Path:
    """Where a file really lies, for the jail opens exact paths; one without symbolic links."""
    try:
        return path.resolve(strict=True)
    except OSError:
        raise _unprepared() from None


def _unprepared() -> SandboxError:
    return Unavailable(
        "engine.extract",
        "What the contract grants could not be prepared.",
        hint="The operator sees to it; nothing was charged.",
    )


def _as_job(relation: Relation) -> dict[str, Any]:
    return {
        "name": relation.name,
        "columns": views.checked(relation.columns),
        "dimensions": [[dimension.name, dimension.expression] for dimension in relation.dimensions],
        "unit": relation.unit,
        "nullable": list(relation.nullable),
    }
