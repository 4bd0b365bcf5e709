"""The port through which the exchange asks a query engine what SQL touches, prepares what is granted, and runs it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from sandbox.core.terms import Column, Digest, Dimension, Scope


@dataclass(frozen=True, slots=True)
class Relation:
    """What one agreement lets a buyer query, by name.

    With a privacy ``unit`` only aggregates over declared ``dimensions`` can run. A column among ``nullable`` may be
    null in some rows, so that an aggregate over it may rest on fewer units than its group has: it gets its own guard.
    """

    name: str
    columns: tuple[Column, ...]
    dimensions: tuple[Dimension, ...] = ()
    unit: str | None = None
    measures: tuple[str, ...] = ()
    nullable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One aggregate call; ``column`` is the bare column in it, ``None`` for ``count(*)`` and for an ``expression``."""

    function: str
    column: str | None
    distinct: bool
    expression: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison with constants, such as ``equal`` or ``between``; ``columns`` are all those named in it."""

    comparison: str
    columns: tuple[str, ...]
    constants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a query touches, as the policy needs to know it.

    ``canonical`` is the checked SQL and ``fingerprint`` its digest; ``runs`` is what a :class:`Job` executes, and its
    last ``guards`` columns count the privacy units behind each row. ``shape`` is ``aggregate`` when it was proved that
    every value is computed from groups. ``undeclared`` columns group or filter outside a declared dimension.
    ``lineage`` says for each output column which ``relation.column`` its expression may depend on; where that cannot be
    said exactly it names all that are touched. ``matched`` are the columns compared with other columns, in a join's
    condition or anywhere else.
    """

    canonical: str
    runs: str
    fingerprint: Digest
    statement: str
    shape: Literal["aggregate", "free"]
    tables: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    dimensions: Mapping[str, tuple[str, ...]]
    functions: tuple[str, ...]
    aggregates: tuple[Aggregate, ...]
    undeclared: tuple[str, ...]
    unit_exposed: bool
    guards: int
    output: tuple[Column, ...]
    lineage: tuple[tuple[str, ...], ...] = ()
    joins: tuple[str, ...] = ()
    compared: tuple[Comparison, ...] = ()
    matched: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may cost; beyond it the run is killed."""

    max_rows: int
    max_bytes: int
    seconds: int
    memory_mb: int


@dataclass(frozen=True, slots=True)
class Job:
    """One run: checked SQL, and the extracts that stand behind each relation's name.

    Groups of fewer than ``min_group`` units are removed before arithmetic, ORDER BY and LIMIT see them. Runs of the
    same ``owner`` under the same ``policy`` may share a process, and share the owner's turns. ``cancelled`` is asked
    while it runs; once it says yes, the run is killed.
    """

    id: str
    sql: str
    files: Mapping[str, tuple[Path, ...]]
    limits: Limits
    min_group: int = 1
    owner: str = ""
    policy: str = ""
    cancelled: Callable[[], bool] = lambda: False


class Outcome(Protocol):
    """What a run produces, before release and guard columns included, read once and while it runs; close it."""

    @property
    def schema(self) -> Any:
        """The ``pyarrow.Schema``.

        Raises:
            QueryRefused: ``run.limit`` or ``run.failed``.
            Unavailable: ``engine.unreachable``.
        """
        ...

    def batches(self) -> Iterator[Any]:
        """Each ``pyarrow.RecordBatch``; the end comes only when the run has ended well, else errors as ``schema``."""
        ...

    def read(self) -> Any:
        """All of it as a ``pyarrow.Table``."""
        ...

    def close(self) -> None:
        """No more is wanted."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Engine(Protocol):
    """Answers questions about SQL and runs it, at arm's length."""

    @property
    def isolation(self) -> str:
        """How far the engine is shut in, such as ``process``; it stands in the log."""
        ...

    @property
    def reached(self) -> str:
        """The isolation that was found, or ``untried`` when nothing has run yet; asks nobody."""
        ...

    def require_isolation(self) -> str:
        """The isolation, if it is as far as it must be.

        Raises:
            Unavailable: ``engine.isolation`` when it is not, and then nothing runs; ``engine.unreachable``.
        """
        ...

    def analyse(self, sql: str, relations: Sequence[Relation], owner: str = "") -> Facts:
        """What a query touches; ``owner`` asks, whose turn it takes.

        Raises:
            QueryRefused: ``sql.syntax``, ``query.shape|relation|column|function|type|size|too_large``.
            Invalid: ``sql.malformed`` for text that is no SQL text at all.
            Unavailable: ``engine.unreachable``.
            Busy: ``engine.busy``.
        """
        ...

    def extract(
        self, scope: Scope, columns: tuple[Column, ...], sources: tuple[Path, ...], directory: Path, owner: str = ""
    ) -> Path:
        """The file that holds exactly what a scope grants; made once, found again by its name, which holds its digest.

        Raises:
            Invalid: ``contract.mismatch`` when the scope does not fit the sources.
            Unavailable: ``engine.unreachable`` or ``engine.extract``.
            Busy: ``engine.busy``.
        """
        ...

    def run(self, job: Job) -> Outcome:
        """Run checked SQL over extracts; what goes wrong with it is raised where its outcome is read.

        Raises:
            Tampered: ``tampered.extract``, an extract is not what it was when it was made.
            Unavailable: ``engine.unreachable``.
            Busy: ``engine.busy``.
        """
        ...

    def close(self) -> None:
        """End every process of the engine."""
        ...
