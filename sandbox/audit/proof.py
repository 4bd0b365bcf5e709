"""Inclusion proofs as text that can be checked offline (C2SP tlog-proof).

::

    c2sp.org/tlog-proof@v1
    extra eA==                                       what the log's users agreed on; may be missing
    index 256
    goUV0DPBnYyQHzfsy4rtkZZncDSG+NL/8c9wQDIcXbE=     one hash a line, from the leaf's sibling up

    exchange.example.vn/log                          the checkpoint, verbatim
    257
    ...
"""

import re
from dataclasses import dataclass, field
from typing import Final, NoReturn

from sandbox.audit.merkle import HASH_BYTES
from sandbox.audit.note import b64, from_b64
from sandbox.core.errors import Invalid

_HEADER: Final = "c2sp.org/tlog-proof@v1"
_EXTRA: Final = "extra "
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,17})", re.ASCII)
_MOST_HASHES: Final = 63


@dataclass(frozen=True, slots=True)
class Proof:
    """That an entry stands at ``index`` under the checkpoint.

    Nothing authenticates ``extra``, so it makes no difference between two proofs; None when there is no such line.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = field(default=None, compare=False)

    def as_text(self) -> str:
        """The proof file."""
        extra = [] if self.extra is None else [f"{_EXTRA}{b64(self.extra)}"]
        lines = [_HEADER, *extra, f"index {self.index}", *map(b64, self.hashes)]
        return "\n".join(lines) + "\n\n" + self.checkpoint.decode()


def _refuse(what: str) -> NoReturn:
    raise Invalid("proof.malformed", what, hint="Fetch the receipt again, unaltered.")


def read_proof(text: str) -> Proof:
    """Read a proof file.

    Raises:
        Invalid: ``proof.malformed``.
    """
    head, gap, checkpoint = text.partition("\n\n")
    header, *lines = head.split("\n")
    extra = None
    if lines and lines[0].startswith(_EXTRA):
        extra, lines = from_b64(lines[0].removeprefix(_EXTRA), _refuse), lines[1:]
    index = _INDEX.fullmatch(lines[0]) if lines else None
    if header != _HEADER or not gap or index is None or len(lines) > 1 + _MOST_HASHES:
        _refuse("This is not a log proof.")
    hashes = tuple(from_b64(line, _refuse) for line in lines[1:])
    if any(len(each) != HASH_BYTES for each in hashes):
        _refuse("A hash of the proof is not 32 bytes.")
    return Proof(int(index[1]), hashes, checkpoint.encode("utf-8", "surrogatepass"), extra)
