"""The last checkpoint that a verifier saw, kept beside its key or policy, so that the next visit catches a rewriting.

::

    log.policy                    the trust policy (or the key, log.vkey)
    log.policy.seen               the newest checkpoint that was verified under it, as it was signed
    log.policy.fork-257-1ed3849a  evidence, one file for each of two checkpoints that contradict each other
"""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

from sandbox.audit.note import Checkpoint, read_checkpoint, unverified
from sandbox.audit.quorum import NONE, TrustPolicy
from sandbox.core.errors import Invalid, SandboxError, Unavailable
from sandbox.core.files import sync_folder

_LARGEST: Final = 1_000_000


class Kept:
    """The checkpoint kept beside the file ``trust``, which must be there."""

    def __init__(self, trust: Path) -> None:
        self._trust = trust
        self.path: Final = trust.with_name(trust.name + ".seen")

    def read(self, policy: TrustPolicy) -> bytes | None:
        """The checkpoint of the last visit; None at the first.

        Raises:
            Invalid: ``verify.kept`` when it is not one that the policy's log has signed.
        """
        note = self._note()
        if note is None:
            return None
        try:
            policy.open(note, NONE)
        except SandboxError:
            self._refuse("is no checkpoint that this log has signed")
        return note

    def advance(self, before: bytes | None, note: bytes) -> bool:
        """Keep ``note``, verified as a continuation of ``before``, from now on; False where it says nothing more.

        Raises:
            Unavailable: ``verify.concurrent`` when another run has kept another one meanwhile, which was not compared
                with this one; ``verify.unkept`` when the disk does not take it.
        """
        with self._alone():
            if self._note() != before:
                raise Unavailable(
                    "verify.concurrent",
                    f"Another run has replaced {self.path.name} since this one read it.",
                    hint="Verify again.",
                )
            if before is not None and not _says_more(note, before):
                return False
            _put(self.path, note)
            return True

    def keep_fork(self, *notes: bytes) -> list[Path]:
        """Keep checkpoints that contradict each other, each in a file of its own; answers where."""
        paths = []
        for note in notes:
            digest = hashlib.sha256(note).hexdigest()[:8]  # of the note, so that no evidence replaces other evidence
            path = self._trust.with_name(f"{self._trust.name}.fork-{_checkpoint(note).size}-{digest}")
            _put(path, note)
            paths.append(path)
        return paths

    def _note(self) -> bytes | None:
        try:
            with self.path.open("rb") as file:
                return file.read(_LARGEST)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._refuse(f"cannot be read: {error.strerror}")

    def _refuse(self, why: str) -> NoReturn:
        # never taken for none: whoever rewrites the log would only have to damage this file
        raise Invalid(
            "verify.kept",
            f"{self.path.name} {why}.",
            hint="Put back your copy of it, or move it away to begin anew: then only the next visit compares.",
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # the lock is on the trust file itself: it ends with the process and leaves no file
        descriptor = os.open(self._trust, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _checkpoint(note: bytes) -> Checkpoint:
    return read_checkpoint(unverified(note)[0])


def _says_more(note: bytes, before: bytes) -> bool:
    """Whether it is of more entries, or has signatures beside all of the old: one once seen is not given up."""
    (new, signatures), (old, already) = (unverified(each) for each in (note, before))
    grown = read_checkpoint(new).size - read_checkpoint(old).size
    return grown > 0 or (grown == 0 and {*signatures} > {*already})


def _put(path: Path, content: bytes) -> None:
    try:
        _write(path, content)
    except OSError as error:
        raise Unavailable(
            "verify.unkept",
            f"The checkpoint could not be kept as {path.name}: {error.strerror}.",
            hint="Put key or policy into a folder that you may write to, or keep the checkpoint yourself (--no-keep).",
        ) from None


def _write(path: Path, content: bytes) -> None:
    """A durable file, whole or not there."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
