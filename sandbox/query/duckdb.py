"""DuckDB as the exchange's query engine: every question is a job for a jailed child, and its answer is not believed."""

import os
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sandbox.core import files
from sandbox.core.clock import Clock, SystemClock, day_of
from sandbox.core.errors import Invalid, QueryRefused, SandboxError, Unavailable
from sandbox.core.terms import Column, Scope
from sandbox.jail.cell import Answer, Bounds, Cell, Ended, message
from sandbox.jail.jail import Jail
from sandbox.jail.turns import Stopped, Turn, Turns, busy
from sandbox.query import extracts, views
from sandbox.query.analysis import LONGEST_SQL
from sandbox.query.answers import LONGEST_LINE, RULES, cancelled, words_of
from sandbox.query.checker import Checkers
from sandbox.query.engine import Facts, Job, Relation
from sandbox.query.outcome import RunOutcome
from sandbox.query.sessions import Session, Sessions

MODULES: Final = ("sandbox.query.worker",)
_CHECKER_MB: Final = 512
_LAYERS: Final = {"uid": {"user"}, "landlock": {"read", "write"}, "seccomp": {"socket", "fork"}}
"""A layer counts when the probe was denied all this."""
_AT_ONCE: Final = 0.25
"""Seconds in which it shows that a worker was dead already."""
_PROBE_SECONDS: Final = 20


class JailedEngine:
    """The engine behind a zygote; ``isolation`` says how its children are shut in.

    At most ``workers`` jobs run at once, by turns; a job waits, or is held up, at most ``patience`` seconds. A ``jail``
    that is given knows :data:`MODULES`, and ends with the engine. Without the layers ``required`` nothing runs.
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
        jail: Jail | None = None,
        required: Collection[str] = (),
    ) -> None:
        most = workers or 2 * (os.cpu_count() or 1)
        self._clock = clock or SystemClock()
        self._patience = patience
        self._extract = {"seconds": extract_seconds, "memory_mb": extract_memory_mb, "file_mb": 1 << 16}
        self._turns = Turns(most, most_waiting)
        together = memory_mb or half_of_the_machine()
        self._jail = jail or Jail(MODULES, together)
        self._sessions = Sessions(2 * most, idle_seconds, together // 4)
        check = {"seconds": analyse_seconds, "memory_mb": _CHECKER_MB}
        self._checkers = Checkers(self._turns, patience, check, lambda: self._begun("analyse", {"limits": check}))
        self._makers = files.Makers()
        self._seen = extracts.Seen()
        self._probing = threading.Lock()
        self._isolation = ""
        self._required = frozenset(required)

    @property
    def isolation(self) -> str:
        """How far the children are shut in, such as ``process+uid+landlock+seccomp``: tried once, by one of them.

        Raises:
            Unavailable: ``engine.unreachable`` when no child can be asked.
        """
        with self._probing:
            self._isolation = self._isolation or self._probe()
            return self._isolation

    @property
    def reached(self) -> str:
        """See :class:`sandbox.query.engine.Engine`."""
        return self._isolation or "untried"

    def require_isolation(self) -> str:
        """See :class:`sandbox.query.engine.Engine`."""
        reached = self.isolation
        if not self._required <= set(reached.split("+")):
            raise Unavailable(
                "engine.isolation",
                f"The jail reaches {reached}, and {'+'.join(sorted(self._required))} is required; nothing runs.",
                hint="The operator runs sandbox doctor, and does what it advises or sets require_isolation.",
            )
        return reached

    def _probe(self) -> str:
        limits = {"seconds": _PROBE_SECONDS, "memory_mb": _CHECKER_MB}
        with Turns(1).join("") as turn:  # not a turn of the queries: the first of them may hold the last, and ask
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
        self._checkers.close()
        self._sessions.close()
        self._jail.close()

    def analyse(self, sql: str, relations: Sequence[Relation], owner: str = "") -> Facts:
        """See :class:`sandbox.query.engine.Engine`. Answers are remembered for the owner and the day."""
        _readable(sql)
        return self._checkers.facts(sql, relations, day_of(self._clock.now()).isoformat(), owner)

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
        with files.workshop(directory) as folder, self._turns.join(owner) as turn:
            granted, target = folder / "granted.parquet", folder / f"made{extracts.SUFFIX}"
            taken = {
                "sql": views.granted_sql(scope, columns, real, granted),
                "sources": [str(source) for source in real],
                "target": str(granted),
            }
            made = {"sql": views.extract_sql(columns, granted), "granted": str(granted), "target": str(target)}
            turn.begin_within(self._patience)
            for kind, job in (("grant", taken), ("extract", made)):
                self._done_in(folder, kind, job, turn)
            try:
                return files.keep(target, directory.resolve(), name, extracts.SUFFIX)
            except OSError:
                raise _unprepared() from None

    def _done_in(self, folder: Path, kind: str, job: Mapping[str, Any], turn: Turn) -> None:
        try:
            document = {**job, "folder": str(folder), "limits": self._extract}
            said = words_of(self._asked(kind, document, turn, LONGEST_LINE))
        except Ended as end:
            said = {"status": end.why}
        if said.get("status") == "busy":
            raise busy(self._turns.retry_after())
        if said.get("status") != "done" or not Path(job["target"]).is_file():
            raise _unprepared()

    def run(self, job: Job) -> RunOutcome:
        """See :class:`sandbox.query.engine.Engine`."""
        limits = {"seconds": job.limits.seconds, "memory_mb": job.limits.memory_mb}
        opened = {name: [str(_real(path)) for path in paths] for name, paths in job.files.items()}
        for paths in job.files.values():
            for path in paths:
                self._seen.require(path)
        key = (job.owner, job.policy, *limits.values(), *sorted((name, *paths) for name, paths in opened.items()))
        turn = self._turns.join(job.owner)
        try:
            turn.begin_within(self._patience, job.cancelled)
            session = self._sessions.take(key, lambda: self._begun("run", {"limits": limits, "files": opened}))
            outcome, sent = self._outcome(job, session, turn), time.monotonic()
            if not outcome.began() and time.monotonic() - sent < _AT_ONCE and _innocent(session):
                session.cell.close()
                session = Session(key, self._begun("run", {"limits": limits, "files": opened}))
                outcome = self._outcome(job, session, turn)
        except Stopped:
            turn.leave()
            raise cancelled() from None
        except BaseException:
            turn.leave()
            raise
        return outcome

    def _outcome(self, job: Job, session: Session, turn: Turn) -> RunOutcome:
        limits = job.limits
        max_rows = limits.max_rows + 1  # one more may say that groups were withheld
        bounds = Bounds(
            limits.seconds, self._patience, limits.memory_mb, limits.max_bytes + 2 * LONGEST_LINE, job.cancelled
        )
        answer = Answer(session.cell, turn, bounds)
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

    def _begun(self, kind: str, setup: Mapping[str, Any]) -> Cell:
        if kind != "probe":  # every child of the engine comes by here
            self.require_isolation()
        cell = self._jail.fork(kind)
        try:
            cell.send(setup)
        except Ended:
            cell.close()
            raise Unavailable("engine.unreachable", "The query engine does not answer.", hint="Try again.") from None
        return cell

    def _asked(self, kind: str, job: Mapping[str, Any], turn: Turn, most_bytes: int) -> bytes:
        with _closing(self._begun(kind, job)) as cell:
            limits = job["limits"]
            return message(cell, turn, Bounds(limits["seconds"], self._patience, limits["memory_mb"], most_bytes))


def _innocent(session: Session) -> bool:
    """Whether a worker that died at once did not die of its query: it had idled, or died with the zygote."""
    return session.jobs > 0 or not session.cell.how_it_ended()


@contextmanager
def _closing(cell: Cell) -> Iterator[Cell]:
    try:
        yield cell
    finally:
        cell.close()


def half_of_the_machine() -> int:
    """Megabytes: what all children together may take unless it is said otherwise."""
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
