"""What a witness has cosigned last: one file, replaced whole, that is never begun anew by itself.

::

    {"sha256": "…", "state": {"logs": {"exchange.example.vn/log": "<the newest checkpoint, verbatim>"},
     "time": 1795341600, "type": "sandbox.witness/v1"}}
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from sandbox.audit.merkle import EMPTY_ROOT
from sandbox.audit.note import Checkpoint, read_checkpoint, unverified
from sandbox.core.canonical import Json, canonical, parse
from sandbox.core.errors import Conflict, Invalid, NotFound, Tampered, Unavailable
from sandbox.core.files import sync_folder

_TYPE: Final = "sandbox.witness/v1"
_MOST_EVIDENCE: Final = 32


@dataclass(frozen=True, slots=True)
class State:
    """The newest checkpoint cosigned of each log, as a note, and the latest Unix time that a cosignature stated."""

    logs: Mapping[str, bytes] = field(default_factory=dict)
    time: int = 0

    def newest(self, origin: str) -> Checkpoint:
        """The checkpoint cosigned last; that of an empty tree when there is none."""
        note = self.logs.get(origin)
        if note is None:
            return Checkpoint(origin, 0, EMPTY_ROOT)
        return read_checkpoint(unverified(note)[0], extended=True)


def _written(state: State) -> bytes:
    logs: dict[str, Json] = {origin: note.decode() for origin, note in state.logs.items()}
    document: dict[str, Json] = {"type": _TYPE, "logs": logs, "time": state.time}
    return canonical({"state": document, "sha256": sha256(canonical(document)).hexdigest()}) + b"\n"


def _read(content: bytes) -> State:
    document: dict[str, Any] = parse(content)
    match document:
        case {
            "sha256": digest,
            "state": {"type": "sandbox.witness/v1", "logs": dict(logs), "time": int(time)} as state,
        }:
            if sha256(canonical(state)).hexdigest() == digest:
                found = State({origin: note.encode() for origin, note in logs.items()}, time)
                for origin in logs:
                    found.newest(origin)
                return found
    raise Invalid("witness.malformed", "This is not a witness's state.")


class StateFile:
    """The file of a witness's state; several processes may have it open, one at a time works on it."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self._stopped = False

    def create(self) -> None:
        """Make the file of a witness that has cosigned nothing yet.

        Raises:
            Conflict: ``witness.exists``; a witness's memory is never begun anew over an old one.
            Invalid: ``file.unwritable``.
        """
        try:
            self._create()
        except OSError as error:
            why = f"The state file {self.path.name} cannot be written: {error.strerror}."
            raise Invalid("file.unwritable", why, hint="Name another --state.") from None

    def _create(self) -> None:
        with self.alone():  # a witness at work must not find its draft emptied before it puts it in place
            draft = self._draft(_written(State()))
            try:
                os.link(draft, self.path)
            except FileExistsError:
                raise Conflict(
                    "witness.exists",
                    f"A state file {self.path.name} is there already.",
                    hint="Serve with it as it is, without --new; a witness that forgets would let a log fork.",
                ) from None
            finally:
                draft.unlink()
            sync_folder(self.path.parent)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else, of whatever thread or process, is in here meanwhile."""
        descriptor = os.open(self._beside("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def read(self) -> State:
        """What the file says.

        Raises:
            NotFound: ``witness.missing``.
            Tampered: ``tampered.witness`` when it is not as a witness wrote it.
            Unavailable: ``witness.stopped`` after the disk failed once.
        """
        if self._stopped:
            raise Unavailable("witness.stopped", "The state could not be kept.", hint="Mend the disk, then restart.")
        try:
            return _read(self.path.read_bytes())
        except FileNotFoundError:
            hint = "Restore it. Only a witness that never cosigned anything is made anew: sandbox witness init."
            raise NotFound("witness.missing", f"There is no state file {self.path.name}.", hint=hint) from None
        except (Invalid, AttributeError):  # AttributeError: a note that is no text
            raise Tampered(
                "tampered.witness",
                "The witness's state is damaged.",
                hint="Restore its newest copy; if there is none, retire this witness's key and make another.",
            ) from None

    def store(self, state: State) -> None:
        """Replace the state, durably.

        Raises:
            Unavailable: ``witness.stopped``: it is not known whether the disk has it, so nothing more is cosigned.
        """
        try:
            self._draft(_written(state)).replace(self.path)
            sync_folder(self.path.parent)
        except OSError:
            self._stopped = True
            raise Unavailable("witness.stopped", "The state could not be kept.", hint="Mend the disk.") from None

    def keep_evidence(self, *notes: bytes) -> None:
        """Keep signed checkpoints that contradict each other, beside the state, for whoever must judge the log."""
        with suppress(OSError):  # the witness's refusal does not hang on it
            for note in filter(None, notes):
                if len([*self.path.parent.glob(f"{self.path.name}.fork-*")]) < _MOST_EVIDENCE:
                    self._beside(f"fork-{sha256(note).hexdigest()[:16]}").write_bytes(note)

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{suffix}")

    def _draft(self, content: bytes) -> Path:
        draft = self._beside("tmp")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return draft
