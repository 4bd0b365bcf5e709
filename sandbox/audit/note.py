"""Signed notes and the checkpoints written in them (C2SP signed-note, tlog-checkpoint, tlog-cosignature).

::

    exchange.example.vn/log                          origin: the log's name, also its key's
    257                                              size of the tree
    HtoEmkNR2G92JSvX7At3Rq11t/oDFq1fVB29pFijEsQ=     its root

    — exchange.example.vn/log snHBUtHw...            the log's signature
    — regulator.example.vn/w1 v3dpEwAA...            a witness's cosignature, with its time
"""

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sandbox.audit.merkle import HASH_BYTES
from sandbox.core.errors import Invalid, Tampered
from sandbox.core.keys import SigningKey, VerifyKey

ED25519_NOTE: Final = 1
ED25519_COSIGNATURE: Final = 4
_NAME: Final = re.compile(r"[^\s+]+")
_VKEY: Final = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+(\S+)")
_LINE: Final = re.compile(r"— ([^\s+]+) (\S+)")
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_MOST_SIGNATURES: Final = 64
_MOST_BYTES: Final = 1_000_000


def b64(content: bytes) -> str:
    """base64 with padding, as all C2SP formats write it."""
    return base64.b64encode(content).decode()


def from_b64(text: str, refuse: Callable[[str], NoReturn]) -> bytes:
    """Decode base64, accepting exactly one spelling of each byte string; else ``refuse`` with a sentence."""
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        content = None
    if content is None or b64(content) != text:
        refuse("A value is not canonical base64.")
    return content


def _refuse(what: str) -> NoReturn:
    raise Invalid("note.malformed", what, hint="Fetch the checkpoint again, unaltered.")


def _refuse_vkey(what: str) -> NoReturn:
    raise Invalid("vkey.malformed", what, hint="Copy the whole line: NAME+8 HEXADECIMAL DIGITS+BASE64.")


@dataclass(frozen=True, slots=True)
class Verifier:
    """Who may sign a note: a name, a kind of signature, a public key."""

    name: str
    kind: int
    key: VerifyKey

    @property
    def id(self) -> bytes:
        """The four bytes with which this key's signatures begin."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.key.raw()).digest()[:4]

    def verifies(self, signature: bytes, text: str) -> bool:
        """Whether ``signature`` (what follows the id) is this key's over the note's text."""
        if self.kind == ED25519_NOTE:
            return self.key.verifies(signature, text.encode())
        time = int.from_bytes(signature[:8], "big")
        return self.key.verifies(signature[8:], _cosigned(text, time))


def verifier_key(name: str, key: VerifyKey, kind: int = ED25519_NOTE) -> str:
    """The text by which others know a key: ``name+id+key``.

    Raises:
        Invalid: ``vkey.malformed`` for a name with a space or a plus.
    """
    if not _NAME.fullmatch(name):
        _refuse_vkey(f"{name[:40]!r} cannot name a key.")
    verifier = Verifier(name, kind, key)
    return f"{name}+{verifier.id.hex()}+{b64(bytes([kind]) + key.raw())}"


def read_vkey(text: str) -> Verifier:
    """Read a vkey of an Ed25519 note or cosignature key.

    Raises:
        Invalid: ``vkey.malformed``.
    """
    match = _VKEY.fullmatch(text.strip())
    if match is None:
        _refuse_vkey("This is not a vkey.")
    content = from_b64(match[3], _refuse_vkey)
    if len(content) != 1 + HASH_BYTES or content[0] not in {ED25519_NOTE, ED25519_COSIGNATURE}:
        _refuse_vkey("The vkey is not one of Ed25519.")
    verifier = Verifier(match[1], content[0], VerifyKey(match[1], Ed25519PublicKey.from_public_bytes(content[1:])))
    if verifier.id.hex() != match[2]:  # a copying mistake in name or key
        _refuse_vkey("The vkey's id does not fit its name and key.")
    return verifier


def _cosigned(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def _line(name: str, blob: bytes) -> str:
    return f"— {name} {b64(blob)}\n"


def sign_note(text: str, name: str, key: SigningKey) -> bytes:
    """A note with one signature."""
    verifier = Verifier(name, ED25519_NOTE, key.verify_key)
    return f"{text}\n{_line(name, verifier.id + key.sign(text.encode()))}".encode()


def cosign(note: bytes, name: str, key: SigningKey, time: int) -> bytes:
    """The note with a witness's cosignature added: "at this Unix time I had seen no other history"."""
    text, _ = unverified(note)
    verifier = Verifier(name, ED25519_COSIGNATURE, key.verify_key)
    blob = verifier.id + time.to_bytes(8, "big") + key.sign(_cosigned(text, time))
    return note + _line(name, blob).encode()


def unverified(note: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    """Take a note apart without believing it: its text, and name and blob of each signature.

    Raises:
        Invalid: ``note.malformed``.
    """
    try:
        content = note.decode("utf-8") if len(note) <= _MOST_BYTES else ""
    except UnicodeDecodeError:
        content = ""
    head, gap, tail = content.rpartition("\n\n")
    if not gap or not tail.endswith("\n") or _CONTROL.search(content):
        _refuse("This is not a signed note.")
    lines = tail[:-1].split("\n")
    if len(lines) > _MOST_SIGNATURES:
        _refuse(f"The note has more than {_MOST_SIGNATURES} signatures.")
    return head + "\n", [_signature(line) for line in lines]


def _signature(line: str) -> tuple[str, bytes]:
    match = _LINE.fullmatch(line)
    if match is None:
        _refuse("A signature line is malformed.")
    return match[1], from_b64(match[2], _refuse)


def open_note(note: bytes, *required: Verifier) -> str:
    """The text of a note that every one of ``required`` has signed; signatures of other keys are ignored.

    Raises:
        Invalid: ``note.malformed``.
        Tampered: ``verify.mismatch`` when one of them has not signed, or has a signature that is bad.
    """
    text, signatures = unverified(note)
    for verifier in required:
        blobs = [blob for name, blob in signatures if name == verifier.name and blob[:4] == verifier.id]
        if not blobs:
            raise Tampered("verify.mismatch", f"The checkpoint is not signed by {verifier.name} with the key given.")
        if not all(verifier.verifies(blob[4:], text) for blob in blobs):  # one bad signature spoils the note
            raise Tampered("verify.mismatch", f"A signature of {verifier.name} does not match the checkpoint.")
    return text


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The promise of a log: its first ``size`` entries have this root, for ever."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{b64(self.root)}\n"


def read_checkpoint(text: str) -> Checkpoint:
    """Read a note's text as a checkpoint without extension lines.

    Raises:
        Invalid: ``note.malformed``.
    """
    match text[:-1].split("\n"):
        case [origin, size, root64] if origin and _DECIMAL.fullmatch(size):
            root = from_b64(root64, _refuse)
        case _:
            _refuse("A checkpoint has an origin, a size and a root, and no more.")
    if len(root) != HASH_BYTES:
        _refuse("A checkpoint's root is not 32 bytes.")
    return Checkpoint(origin, int(size), root)


def open_checkpoint(note: bytes, log: Verifier, *witnesses: Verifier) -> Checkpoint:
    """The checkpoint that ``log``, and every one of ``witnesses``, has signed.

    Raises:
        Invalid: ``note.malformed``.
        Tampered: ``verify.mismatch``; also when it is another log's.
    """
    checkpoint = read_checkpoint(open_note(note, log, *witnesses))
    if checkpoint.origin != log.name:
        raise Tampered("verify.mismatch", f"The checkpoint is of another log than {log.name}.")
    return checkpoint
