"""A witness: it cosigns a log's checkpoint when that continues what it cosigned before (C2SP tlog-witness).

::

    old 256                                          what the log believes this witness cosigned last
    Qq6Gp3ytEfJWXgXP+3NfRgJdQKN5pS66QgnCYnMTgAg=     consistency proof, one hash a line

    exchange.example.vn/log                          the checkpoint, verbatim
    257
    ...
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from sandbox.audit.merkle import HASH_BYTES, verify_consistency
from sandbox.audit.note import (
    Checkpoint,
    Verifier,
    b64,
    cosignature,
    cosigner,
    from_b64,
    judged,
    read_checkpoint,
    unverified,
)
from sandbox.audit.witness_state import State, StateFile
from sandbox.core.clock import Clock
from sandbox.core.errors import Invalid, Tampered
from sandbox.core.keys import SigningKey

SIZE_MEDIA: Final = "text/x.tlog.size"
_TEXT_MEDIA: Final = "text/plain; charset=utf-8"
_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,17})", re.ASCII)
_MOST_HASHES: Final = 63


@dataclass(frozen=True, slots=True)
class Submission:
    """A checkpoint handed to a witness, and the proof that it continues the tree of ``old`` leaves."""

    old: int
    proof: Sequence[bytes]
    note: bytes

    def as_bytes(self) -> bytes:
        """The body of the request."""
        lines = [f"old {self.old}", *map(b64, self.proof)]
        return "\n".join(lines).encode() + b"\n\n" + self.note


def _refuse(what: str) -> NoReturn:
    raise Invalid("witness.request", what, hint="See C2SP tlog-witness, add-checkpoint.")


def read_submission(body: bytes) -> Submission:
    """Read the body of a request.

    Raises:
        Invalid: ``witness.request``.
    """
    head, gap, note = body.partition(b"\n\n")
    first, *lines = head.decode("ascii", "replace").split("\n")
    old = _OLD.fullmatch(first)
    if not gap or old is None or len(lines) > _MOST_HASHES:
        _refuse("A submission is: old SIZE, at most 63 hashes, an empty line, a checkpoint.")
    proof = [from_b64(line, _refuse) for line in lines]
    if any(len(each) != HASH_BYTES for each in proof):
        _refuse("A hash of the proof is not 32 bytes.")
    return Submission(int(old[1]), proof, note)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a witness answers: an HTTP status, and a body of some media type.

    ``alarm`` is for the witness's own people: what the log has signed that is not known to continue what was cosigned.
    """

    status: int
    body: bytes = b""
    media: str = _TEXT_MEDIA
    alarm: str = ""


class Witness:
    """Under its ``name`` and key it cosigns checkpoints of ``logs``; a log may have several keys.

    Threads and processes may share a state file: each reads it anew, and holds it while it decides and stores.

    Raises:
        NotFound: ``witness.missing``; a witness whose memory is gone does not go on as if it had seen nothing.
        Tampered: ``tampered.witness``.
        Invalid: ``vkey.malformed`` for a name that can name no key, ``key.unsupported``.
        Unavailable: ``witness.stopped`` when the state cannot be written.
    """

    def __init__(self, name: str, key: SigningKey, logs: Iterable[Verifier], state: StateFile, clock: Clock) -> None:
        self.verifier: Final = cosigner(name, key.verify_key)
        self._key = key
        self._logs = tuple(logs)
        self._state = state
        self._clock = clock
        with state.alone():
            state.store(state.read())  # what a crash may have left in memory alone is on disk before it counts

    def add_checkpoint(self, body: bytes) -> Answer:
        """Judge a submission; cosigns only what continues what this witness cosigned before, once that is durable.

        Raises:
            NotFound, Tampered, Unavailable: as the class, when the state went wrong meanwhile. Nothing is cosigned.
        """
        # (1) Is it a checkpoint?
        try:
            submission = read_submission(body)
            checkpoint = read_checkpoint(unverified(submission.note)[0], extended=True)
        except Invalid as error:
            return Answer(400, error.message.encode() + b"\n")
        # (2) Of a log known here, and signed by it?
        known = [log for log in self._logs if log.name == checkpoint.origin]
        if not known:
            return Answer(404, b"This witness does not know that log.\n")
        if not _is_signed(submission.note, known):
            return Answer(403, b"The log has not signed that checkpoint.\n")
        if submission.old > checkpoint.size:
            return Answer(400, b"The old size is larger than the checkpoint's.\n")
        # (3) Does it continue what was cosigned last? From here to the stored state nobody else is at it.
        with self._state.alone():
            return self._continued(submission, checkpoint)

    def _continued(self, submission: Submission, checkpoint: Checkpoint) -> Answer:
        state = self._state.read()
        newest = state.newest(checkpoint.origin)
        if submission.old != newest.size:
            return _at(newest)
        forked = newest.size == checkpoint.size and newest.root != checkpoint.root
        if forked and not submission.proof:  # two histories under one signature: the log itself is at fault
            self._state.keep_evidence(submission.note, state.logs.get(checkpoint.origin, b""))
            what = f"ALARM: {newest.origin} has signed two histories of {newest.size} entries; both are kept"
            return replace(_at(newest), alarm=what)
        if not verify_consistency(newest.size, checkpoint.size, submission.proof, newest.root, checkpoint.root):
            # no proof of a fork: anyone can hand in a checkpoint that is published, and a proof that is none
            sizes = f"{checkpoint.size} entries, not shown to continue the {newest.size} cosigned"
            answer = b"The proof does not show that the checkpoint continues the one cosigned last.\n"
            return Answer(422, answer, alarm=f"look at {newest.origin}: a checkpoint of {sizes}, was handed in")
        # (4) Remembered, then said. Time never goes back, whatever the clock does.
        time = max(state.time, int(self._clock.now().timestamp()))
        logs = {**state.logs, checkpoint.origin: submission.note}
        self._state.store(State(logs, time))
        return Answer(200, cosignature(submission.note, self.verifier, self._key, time))


def _is_signed(note: bytes, known: Sequence[Verifier]) -> bool:
    try:
        _, good = judged(note, known)
    except Tampered:
        return False
    return any(good.values())


def _at(newest: Checkpoint) -> Answer:
    return Answer(409, f"{newest.size}\n".encode(), SIZE_MEDIA)
