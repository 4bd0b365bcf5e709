"""The intake: providers' files read, checked and written anew in jailed children; their answers are not believed."""

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec

from sandbox.catalog import parquet
from sandbox.catalog.descriptor import Descriptor, describe
from sandbox.catalog.examination import Examined, FileEntry, require_count
from sandbox.catalog.parquet import Field
from sandbox.core.errors import Busy, Unavailable
from sandbox.core.terms import DIGEST, Digest
from sandbox.jail.cell import Answer, Bounds, Cell, Ended
from sandbox.jail.jail import Jail
from sandbox.jail.turns import Turn, Turns

MODULES: Final = ("sandbox.catalog.examiner",)
SECONDS: Final = 900
MEMORY_MB: Final = 2048
_FILE_MB: Final = 1 << 16
_SLOTS: Final = 2
_PATIENCE: Final = 3600.0
_LONGEST_ANSWER: Final = 4 << 20
_LONGEST_WORDS: Final = 4096
_CODES: Final = ("parquet.unreadable", "parquet.mismatch", "parquet.refused_codec")
_NOTHING: Final = {"vi": "-", "en": "-"}


@dataclass(frozen=True, slots=True)
class Taken:
    """Files that are what their descriptor says, and where each was written anew."""

    examined: Examined
    layouts: tuple[Path, ...]


class _FoundFile(msgspec.Struct):
    digest: str
    rows: int
    bytes: int


class _Found(msgspec.Struct):
    rows: int
    bytes: int
    files: list[_FoundFile]
    statistics: dict[str, dict[str, int | str | None]]


class _Words(msgspec.Struct):
    """A line that a child says."""

    reading: int | None = None
    examined: _Found | None = None
    columns: list[Field] | None = None
    refused: dict[str, str] | None = None
    unwritten: bool = False


class Intake:
    """Forks a child of ``jail`` for each lot of files; used by many threads, two children at a time."""

    def __init__(self, jail: Jail, *, seconds: float = SECONDS, memory_mb: int = MEMORY_MB) -> None:
        self._jail = jail
        self._turns = Turns(_SLOTS)
        self._seconds = seconds
        self._limits = {"seconds": max(1, int(seconds)), "memory_mb": memory_mb, "file_mb": _FILE_MB}

    def examine(self, descriptor: Descriptor, files: Sequence[Path]) -> Examined:
        """Read every row of a provider's files against the descriptor.

        Raises:
            Invalid: ``parquet.unreadable``, ``parquet.refused_codec`` or ``parquet.mismatch``; the sentence names file
                and column, and holds no value.
            Busy: too many files are being examined.
            Unavailable: ``examiner.unavailable`` when no child can be had.
        """
        return self._examined(descriptor, files, None)

    def rewrite(self, descriptor: Descriptor, files: Sequence[Path], folder: Path) -> Taken:
        """Examine files, and write their rows anew in a folder of the exchange's.

        Raises:
            Invalid, Busy, Unavailable: as :meth:`examine`; ``shelf.unwritable`` when the disk does not take it.
        """
        examined = self._examined(descriptor, files, folder.resolve())
        return Taken(examined, tuple(folder / str(number) for number in range(len(files))))

    def columns(self, file: Path) -> tuple[Field, ...]:
        """What columns a file has.

        Raises:
            Invalid, Busy, Unavailable: as :meth:`examine`.
        """
        words = self._heard("columns", {}, [file])
        if words.columns is None:
            _unavailable()
        return tuple(words.columns)

    def _examined(self, descriptor: Descriptor, files: Sequence[Path], folder: Path | None) -> Examined:
        require_count(descriptor, files)
        job = {"descriptor": _essential(descriptor), "folder": str(folder) if folder else None}
        found = self._heard("intake", job, files).examined
        if found is None or len(found.files) != len(files):
            _unavailable()
        if {*found.statistics} != {column.name for column in descriptor.columns}:
            _unavailable()
        entries = tuple(FileEntry(Digest(file.digest), file.rows, file.bytes) for file in found.files)
        if not all(DIGEST.fullmatch(entry.digest) for entry in entries):
            _unavailable()
        return Examined(found.rows, found.bytes, entries, found.statistics)

    def _heard(self, kind: str, job: Mapping[str, Any], files: Sequence[Path]) -> _Words:
        for file in files:
            parquet.require_file(file)
        whole = {**job, "files": [str(file.absolute()) for file in files], "limits": self._limits}
        listener = _Listener(files, self._limits["memory_mb"], self._seconds)
        with self._turns.join("") as turn:
            _begin(turn)
            cell = self._jail.fork(kind)
            try:
                cell.send(whole)
                words = listener.listen(cell, turn)
            except Ended as end:
                listener.refuse(end.why, cell)
            finally:
                cell.close()
        if words.refused is not None:
            _refuse(words.refused)
        if words.unwritten:
            hint = "Look at the exchange's disk: space, rights. Nothing was kept; try again."
            raise Unavailable("shelf.unwritable", "The shelf does not take the file.", hint=hint)
        return words


class _Listener:
    """Who hears a child out, and knows which file it reads."""

    def __init__(self, files: Sequence[Path], memory_mb: int, seconds: float) -> None:
        self._files = files
        self._bounds = Bounds(seconds, _PATIENCE, memory_mb, _LONGEST_ANSWER)
        self._reading: int | None = None

    def listen(self, cell: Cell, turn: Turn) -> _Words:
        """The last words of a child that ended by itself, so that nothing it wrote changes any more.

        Raises:
            Ended: it did not come to its own end.
        """
        words = _Words()
        for line in io.BufferedReader(Answer(cell, turn, self._bounds)):
            try:
                words = msgspec.json.decode(line, type=_Words)
            except (msgspec.DecodeError, RecursionError):  # the words of a child that a file has taken over
                raise Ended("crash") from None
            self._reading = self._reading if words.reading is None else words.reading
        if cell.how_it_ended() != "exit":
            raise Ended("crash")
        return words

    def refuse(self, why: str, cell: Cell) -> NoReturn:
        """Say what became of the file that was being read.

        Raises:
            Invalid: ``parquet.unreadable``.
            Busy: it was held up too long.
            Unavailable: ``examiner.unavailable``, the child did not come to reading a file.
        """
        if why == "busy":
            _busy()
        if self._reading is None or not 0 <= self._reading < len(self._files):
            _unavailable()
        if why == "crash":
            with suppress(OSError):
                why = cell.how_it_ended()
        faults = {
            "deadline": f"takes longer than {self._bounds.seconds:g} seconds to read",
            "memory": f"takes more than {self._bounds.memory_mb} MB of memory to read",
        }
        parquet.refuse_unreadable(self._files[self._reading].name, faults.get(why, "cannot be read to its end"))


def _begin(turn: Turn) -> None:
    try:
        turn.begin_within(_PATIENCE)
    except Busy:
        _busy()


def _essential(descriptor: Descriptor) -> dict[str, Any]:
    """The descriptor without the words for people, which no reader of files needs."""
    document: dict[str, Any] = describe(descriptor)
    plain = [{**column, "meaning": _NOTHING, "unit": None} for column in document["columns"]]
    return {**document, "title": _NOTHING, "description": _NOTHING, "columns": plain, "dimensions": []}


def _refuse(said: Mapping[str, str]) -> NoReturn:
    code, message, hint = (said.get(member, "") for member in ("code", "message", "hint"))
    shown = ("".join(each for each in text[:_LONGEST_WORDS] if each.isprintable()) for text in (message, hint))
    parquet.refuse(code if code in _CODES else _CODES[0], *shown)


def _busy() -> NoReturn:
    raise Busy("engine.busy", "Too many files are being examined.", hint="Nothing was kept; try again.", retry_after=30)


def _unavailable() -> NoReturn:
    raise Unavailable("examiner.unavailable", "Files cannot be examined now.", hint="Nothing was kept; try again.")
