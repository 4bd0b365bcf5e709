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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from sandbox.audit.merkle import HASH_BYTES
from sandbox.audit.outcomes import unsigned
from sandbox.core.errors import Invalid
from sandbox.core.keys import ED25519, ML_DSA_44, SigningKey, VerifyKey

ED25519_NOTE: Final = 1
ED25519_COSIGNATURE: Final = 4
MLDSA44_COSIGNATURE: Final = 6
_PUBLIC_BYTES: Final[Mapping[int, int]] = {ED25519_NOTE: 32, ED25519_COSIGNATURE: 32, MLDSA44_COSIGNATURE: 1312}
_KINDS: Final[Mapping[str, int]] = {ED25519: ED25519_COSIGNATURE, ML_DSA_44: MLDSA44_COSIGNATURE}
_TIME: Final = 8
_LATEST: Final = (1 << 63) - 1
_NAME: Final = re.compile(r"[^\s+\x00-\x1f\ud800-\udfff]+")
_VKEY: Final = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+(\S+)")
_LINE: Final = re.compile(r"— ([^\s+]+) (\S+)")
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_LONGEST_NAME: Final = 255
MOST_SIGNATURES: Final = 64
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


def _refuse_vkey(what: str, hint: str = "Copy the whole line: NAME+8 HEXADECIMAL DIGITS+BASE64.") -> NoReturn:
    raise Invalid("vkey.malformed", what, hint=hint)


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

    @property
    def identity(self) -> str:
        """Name and id, by which a note tells whose a signature is."""
        return f"{self.name}+{self.id.hex()}"

    @property
    def vkey(self) -> str:
        """The text by which others know the key: name, id and key."""
        return f"{self.identity}+{b64(bytes([self.kind]) + self.key.raw())}"

    def verifies(self, signature: bytes, text: str) -> bool:
        """Whether ``signature`` (what follows the id) is this key's over the note's text."""
        if self.kind == ED25519_NOTE:
            return self.key.verifies(signature, text.encode())
        time = time_of(signature)
        if time > _LATEST:
            return False
        try:
            message = _cosigned(self.kind, self.name, text, time)
        except Invalid:  # a cosignature of kind 06 is of a checkpoint, and of no other text
            return False
        return self.key.verifies(signature[_TIME:], message)


def time_of(signature: bytes) -> int:
    """The Unix time that a cosignature (what follows the id) states."""
    return int.from_bytes(signature[:_TIME], "big")


def verifier_key(name: str, key: VerifyKey, kind: int = ED25519_NOTE) -> str:
    """The text by which others know a key: ``name+id+key``.

    Raises:
        Invalid: ``vkey.malformed`` for a name with a space or a plus.
    """
    if not _NAME.fullmatch(name):
        _refuse_vkey(f"{name[:40]!r} cannot name a key.")
    return Verifier(name, kind, key).vkey


def read_vkey(text: str) -> Verifier:
    """Read a vkey of an Ed25519 note key (01), or of an Ed25519 (04) or ML-DSA-44 (06) cosignature key.

    Raises:
        Invalid: ``vkey.malformed``.
    """
    match = _VKEY.fullmatch(text.strip())
    if match is None or not _NAME.fullmatch(match[1]):
        _refuse_vkey("This is not a vkey.")
    content = from_b64(match[3], _refuse_vkey)
    if not content or _PUBLIC_BYTES.get(content[0]) != len(content) - 1:
        _refuse_vkey("The vkey's key is of no kind known here (01, 04, 06), or not of its kind's length.")
    kind, raw = content[0], content[1:]
    public = MLDSA44PublicKey if kind == MLDSA44_COSIGNATURE else Ed25519PublicKey
    verifier = Verifier(match[1], kind, VerifyKey(match[1], public.from_public_bytes(raw)))
    if verifier.id.hex() != match[2]:  # a copying mistake in name or key
        _refuse_vkey("The vkey's id does not fit its name and key.")
    return verifier


def _cosigned(kind: int, name: str, text: str, time: int) -> bytes:
    """What a cosignature signs: for Ed25519 the note's text, for ML-DSA-44 what the checkpoint says."""
    if kind == ED25519_COSIGNATURE:
        return f"cosignature/v1\ntime {time}\n{text}".encode()
    checkpoint = read_checkpoint(text, extended=True)
    tree = bytes(8) + checkpoint.size.to_bytes(8, "big") + checkpoint.root
    return b"subtree/v1\n\0" + _short(name) + time.to_bytes(_TIME, "big") + _short(checkpoint.origin) + tree


def _short(name: str) -> bytes:
    content = name.encode()
    if not 1 <= len(content) <= _LONGEST_NAME:
        _refuse(f"A name has {len(content)} bytes, expected at most {_LONGEST_NAME}.")
    return bytes([len(content)]) + content


def _line(name: str, blob: bytes) -> str:
    return f"— {name} {b64(blob)}\n"


def sign_note(text: str, name: str, key: SigningKey) -> bytes:
    """A note with one signature."""
    verifier = Verifier(name, ED25519_NOTE, key.verify_key)
    return f"{text}\n{_line(name, verifier.id + key.sign(text.encode()))}".encode()


def cosignature(note: bytes, witness: Verifier, key: SigningKey, time: int) -> bytes:
    """A witness's signature line for a note: "at this Unix time I had seen no other history"."""
    text, _ = unverified(note)
    signed = key.sign(_cosigned(witness.kind, witness.name, text, time))
    return _line(witness.name, witness.id + time.to_bytes(_TIME, "big") + signed).encode()


def signature_line(verifier: Verifier, signature: bytes) -> bytes:
    """The line of a note for a signature (what follows the id) found in another."""
    return _line(verifier.name, verifier.id + signature).encode()


def cosign(note: bytes, name: str, key: SigningKey, time: int) -> bytes:
    """The note with the cosignature of the witness ``name`` added; the key says of which kind."""
    return note + cosignature(note, cosigner(name, key.verify_key), key, time)


def cosigner(name: str, key: VerifyKey) -> Verifier:
    """A witness, by its name and key.

    Raises:
        Invalid: ``vkey.malformed`` for a name that can name no key, ``key.unsupported``.
    """
    if not _NAME.fullmatch(name) or len(name.encode()) > _LONGEST_NAME:
        hint = f"A name has no space and no plus, and at most {_LONGEST_NAME} bytes, such as regulator.example.vn/w1."
        _refuse_vkey(f"{name[:40]!r} cannot name a witness's key.", hint)
    return Verifier(name, _KINDS.get(key.alg, ED25519_COSIGNATURE), key)


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
    if len(lines) > MOST_SIGNATURES:
        _refuse(f"The note has more than {MOST_SIGNATURES} signatures.")
    return head + "\n", [_signature(line) for line in lines]


def _signature(line: str) -> tuple[str, bytes]:
    match = _LINE.fullmatch(line)
    if match is None:
        _refuse("A signature line is malformed.")
    return match[1], from_b64(match[2], _refuse)


def judged(note: bytes, known: Iterable[Verifier]) -> tuple[str, dict[str, list[bytes]]]:
    """The text of a note, and by identity the good signatures (what follows the id) of the keys known.

    Signatures of other keys are ignored; those of one known key under several kinds or names are apart.

    Raises:
        Invalid: ``note.malformed``.
        Tampered: ``verify.mismatch`` when a known key's signature is bad: one spoils the note.
    """
    text, signatures = unverified(note)
    good: dict[str, list[bytes]] = {}
    for verifier in known:
        ours = [blob[4:] for name, blob in signatures if name == verifier.name and blob[:4] == verifier.id]
        if not all(verifier.verifies(signature, text) for signature in ours):
            unsigned(f"A signature of {verifier.name} does not match the checkpoint.")
        good[verifier.identity] = ours
    return text, good


def open_note(note: bytes, *required: Verifier) -> str:
    """The text of a note that every one of ``required`` has signed; signatures of other keys are ignored.

    Raises:
        Invalid: ``note.malformed``.
        Tampered: ``verify.mismatch`` when one of them has not signed, or has a signature that is bad.
    """
    text, good = judged(note, required)
    for verifier in required:
        if not good[verifier.identity]:
            unsigned(f"The checkpoint is not signed by {verifier.name} with the key given.")
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


def read_checkpoint(text: str, *, extended: bool = False) -> Checkpoint:
    """Read a note's text as a checkpoint.

    Other logs' may go on with extension lines, which say nothing of the tree; ``extended`` takes and ignores them.

    Raises:
        Invalid: ``note.malformed``.
    """
    match text[:-1].split("\n"):
        case [origin, size, root64, *more] if origin and _DECIMAL.fullmatch(size) and (not more or extended):
            root = from_b64(root64, _refuse)
        case _:
            _refuse("A checkpoint has an origin, a size and a root, and no more.")
    if not all(more):
        _refuse("A checkpoint's extension line is empty.")
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
        unsigned(f"The checkpoint is of another log than {log.name}.")
    return checkpoint
