"""DuckDB as the exchange's query engine: every question is a job for a jailed child, and its answer is not believed."""

import os
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec
import pyarrow as pa

from sandbox.core.canonical import digest
from sandbox.core.clock import Clock, SystemClock, day_of
from sandbox.core.errors import Invalid, QueryRefused, Unavailable
from sandbox.core.terms import Column, Scope
from sandbox.query import views
from sandbox.query.analysis import LONGEST_SQL
from sandbox.query.engine import Facts, Job, Outcome, Relation
from sandbox.query.jail import Answer, Jail

_RULES: Final = {
    "sql.syntax": ("QRY-01",),
    "query.shape": ("QRY-01",),
    "query.type": ("QRY-01",),
    "query.relation": ("CONT-06",),
    "query.column": ("CONT-06",),
    "query.function": ("CONT-06",),
    "query.size": ("QRY-07",),
    "query.too_large": ("QRY-07",),
}
_LONGEST_ANSWER: Final = 4 << 20
_LONGEST_LINE: Final = 4096
_LONGEST_WORDS: Final = 300
_CHECKER_MB: Final = 512
_ROWS: Final = b'{"status": "rows"}'
_LAYERS: Final = {"landlock": {"read", "write"}, "seccomp": {"socket", "fork"}}
"""A layer counts when the probe was denied all this."""
_PROBE_SECONDS: Final = 20


class JailedEngine:
    """The engine behind a zygote; ``isolation`` says how its children are shut in.

    At most ``workers`` jobs of a kind run at once; others wait up to ``patience`` seconds.
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
    ) -> None:
        most = workers or 2 * (os.cpu_count() or 1)
        self._lanes = {kind: threading.BoundedSemaphore(most) for kind in ("analyse", "extract", "run")}
        self._clock = clock or SystemClock()
        self._patience = patience
        self._analyse = {"seconds": analyse_seconds, "memory_mb": _CHECKER_MB}
        self._extract = {"seconds": extract_seconds, "memory_mb": extract_memory_mb, "file_mb": 1 << 16}
        self._extracting = threading.Lock()
        self._jail = Jail()
        self._probing = threading.Lock()
        self._isolation = ""

    @property
    def isolation(self) -> str:
        """How far the children are shut in, such as ``process+landlock+seccomp``: tried once, by one of them.

        Raises:
            Unavailable: ``engine.unreachable`` when no child can be asked.
        """
        with self._probing:
            self._isolation = self._isolation or self._probe()
            return self._isolation

    def _probe(self) -> str:
        limits = {"seconds": _PROBE_SECONDS, "memory_mb": _CHECKER_MB}
        answer = self._jail.ask({"kind": "probe", "limits": limits}, _PROBE_SECONDS, _CHECKER_MB, _LONGEST_LINE)
        words = _words(answer.content)
        if not answer.complete or words.get("status") != "probed":
            raise Unavailable("engine.unreachable", "The query engine could not be shut in.", hint="See to the host.")
        denied = set(map(str, words.get("denied", ())))
        return "+".join(["process", *(name for name, tried in _LAYERS.items() if tried <= denied)])

    def close(self) -> None:
        """End the zygote and its children; a closed engine stays closed."""
        self._jail.close()

    def analyse(self, sql: str, relations: Sequence[Relation]) -> Facts:
        """See :class:`sandbox.query.engine.Engine`."""
        _readable(sql)
        job = {
            "kind": "analyse",
            "sql": sql,
            "today": day_of(self._clock.now()).isoformat(),
            "relations": [_as_job(relation) for relation in relations],
            "limits": self._analyse,
        }
        answer = self._ask(job, _LONGEST_ANSWER)
        if not answer.complete:  # killed, crashed, or met by a form of SQL that the gate does not know
            raise QueryRefused(
                "query.too_large",
                "The query could not be read within the limits.",
                hint="Write a smaller and plainer query.",
                reasons=_RULES["query.too_large"],
            )
        return _facts(answer.content, {relation.name for relation in relations})

    def extract(self, scope: Scope, columns: tuple[Column, ...], sources: tuple[Path, ...], directory: Path) -> Path:
        """See :class:`sandbox.query.engine.Engine`. A crash leaves at most a part file, never a short extract."""
        target = directory / views.extract_name(scope, columns, sources)
        if not target.exists():
            with self._extracting:  # two queries that need the same extract make it once
                if not target.exists():
                    self._make(scope, columns, tuple(_real(source) for source in sources), target)
        return target

    def _make(self, scope: Scope, columns: tuple[Column, ...], sources: tuple[Path, ...], target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.parent.resolve() / f"{secrets.token_hex(8)}.part"
        job = {
            "kind": "extract",
            "sql": views.extract_sql(scope, columns, sources, part),
            "sources": [str(source) for source in sources],
            "target": str(part),
            "limits": self._extract,
        }
        try:
            answer = self._ask(job, _LONGEST_LINE)
            if not answer.complete or _words(answer.content).get("status") != "done":
                _unprepared()
            _keep(part, target)
        finally:
            part.unlink(missing_ok=True)

    def run(self, job: Job) -> Outcome:
        """See :class:`sandbox.query.engine.Engine`."""
        limits = job.limits
        document = {
            "kind": "run",
            "sql": job.sql,
            "files": {name: [str(_real(path)) for path in paths] for name, paths in job.files.items()},
            "limits": {
                "seconds": limits.seconds,
                "memory_mb": limits.memory_mb,
                "max_rows": limits.max_rows + 1,  # one more may say that groups were withheld
                "min_group": job.min_group,
            },
        }
        answer = self._ask(document, limits.max_bytes + 2 * _LONGEST_LINE)
        if answer.ended in {"deadline", "memory", "too_much"}:
            _over_limit()
        if not answer.complete:
            _failed()
        return _outcome(answer.content, limits.max_rows + 1)

    def _ask(self, job: Mapping[str, Any], most_bytes: int) -> Answer:
        with self._lane(job["kind"]):
            _ = self.isolation  # known, and so recorded, before the first job
            return self._jail.ask(job, job["limits"]["seconds"], job["limits"]["memory_mb"], most_bytes)

    @contextmanager
    def _lane(self, kind: str) -> Iterator[None]:
        if not self._lanes[kind].acquire(timeout=self._patience):
            raise Unavailable("engine.busy", "Too many queries are running.", hint="Send the query again in a moment.")
        try:
            yield
        finally:
            self._lanes[kind].release()


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
            reasons=_RULES["query.too_large"],
        )


def _real(path: Path) -> Path:
    """Where a file really lies, for the jail opens exact paths; one without symbolic links."""
    try:
        return path.resolve(strict=True)
    except OSError:
        _unprepared()


def _unprepared() -> NoReturn:
    raise Unavailable(
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


def _words(line: bytes) -> dict[str, Any]:
    """One line of a child, which may say anything."""
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return {}


def _facts(content: bytes, names: set[str]) -> Facts:
    words = _words(content)
    if words.get("status") == "refused":
        _refused(words)
    try:
        found = dict(words["facts"])
        found["fingerprint"] = digest(found["canonical"].encode())  # not what the child says, what it is
        facts = msgspec.convert(found, Facts)
    except (msgspec.ValidationError, TypeError, ValueError, KeyError, AttributeError):
        raise Unavailable("engine.unreachable", "The query engine gave no answer that could be read.") from None
    if not names.issuperset(facts.tables):
        raise Unavailable("engine.unreachable", "The query engine named a relation that was not granted.")
    return facts


def _refused(words: Mapping[str, Any]) -> NoReturn:
    code = str(words.get("code"))
    if code not in _RULES:
        code = "query.shape"
    message, hint = (_printable(words.get(member)) for member in ("message", "hint"))
    raise QueryRefused(code, message or "The query is not allowed.", hint=hint, reasons=_RULES[code])


def _printable(words: object) -> str:
    return "".join(character for character in str(words or "")[:_LONGEST_WORDS] if character.isprintable())


def _keep(part: Path, target: Path) -> None:
    part.chmod(0o444)
    for path, replaced in ((part, True), (target.parent, False)):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if replaced:
            part.replace(target)


def _outcome(content: bytes, max_rows: int) -> Outcome:
    header, _, rest = content.partition(b"\n")
    stream, _, trailer = rest.removesuffix(b"\n").rpartition(b"\n")
    words = _words(trailer) if len(trailer) <= _LONGEST_LINE else {}
    if words.get("status") == "failed" and words.get("kind") == "limit":
        _over_limit()
    if header != _ROWS or words.get("status") != "done":
        _failed()
    rows = _counted(stream)
    if rows > max_rows:
        _over_limit()
    if rows != words.get("rows"):
        _failed()
    return Outcome(stream, rows)


def _counted(stream: bytes) -> int:
    rows = 0
    try:
        with pa.ipc.open_stream(stream) as reader:
            if any(pa.types.is_dictionary(field.type) for field in reader.schema):
                _failed()  # a dictionary may list values of rows that are withheld
            for batch in reader:
                batch.validate(full=True)  # the child may have been taken over
                rows += batch.num_rows
    except (pa.ArrowException, OSError, ValueError):
        _failed()
    return rows


def _over_limit() -> NoReturn:
    raise QueryRefused(
        "run.limit",
        "The query took more time, memory, rows or bytes than it may.",
        hint="Filter more, group more coarsely, or add LIMIT.",
        reasons=("QRY-07",),
    )


def _failed() -> NoReturn:
    raise QueryRefused(  # one sentence for all: the engine's words may hold values
        "run.failed",
        "The query failed while it ran: a value could not be computed or converted.",
        hint="Use TRY_CAST, and guard divisions and conversions.",
    )
