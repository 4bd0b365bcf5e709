"""Whom a verifier trusts: the log, its witnesses, and how many of them must have cosigned (C2SP tlog-policy).

::

    log exchange.example.vn/log+b271c152+AYqI4910...
    witness regulator regulator.example.vn/w1+bf776913+BIE5dw6o... https://w1.regulator.example.vn
    witness auditor auditor.example.vn/w1+...
    group supervisors any regulator auditor
    quorum supervisors
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NoReturn, Self

from sandbox.audit.note import (
    ED25519_COSIGNATURE,
    ED25519_NOTE,
    MLDSA44_COSIGNATURE,
    Checkpoint,
    Verifier,
    judged,
    read_checkpoint,
    read_vkey,
    time_of,
)
from sandbox.audit.outcomes import unsigned
from sandbox.core.errors import Invalid, NotCovered

NONE: Final = "none"
OWN: Final = ""
_LOG_KINDS: Final = frozenset({ED25519_NOTE, MLDSA44_COSIGNATURE})
_WITNESS_KINDS: Final = frozenset({ED25519_COSIGNATURE, MLDSA44_COSIGNATURE})
_FOREIGN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_COUNT: Final = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)
_MOST_CHARACTERS: Final = 1_000_000
_MOST_NAMES: Final = 256
"""Of logs, of witnesses and groups together; the page asks for 32 of each at least."""


@dataclass(frozen=True, slots=True)
class Witness:
    """Who may cosign: its name in the policy, its key, and where checkpoints are sent for it."""

    name: str
    verifier: Verifier
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Has witnessed a checkpoint as soon as ``least`` of its members (witnesses or groups) have."""

    least: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """A checkpoint that may be trusted, and the Unix time at which each witness, by its name here, cosigned it."""

    checkpoint: Checkpoint
    cosigned: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """Under what signatures a checkpoint counts: of any one of ``logs``, and of the witnesses ``quorum`` asks for.

    ``quorum`` is the name of a witness or group, None when no cosignature is asked for. ``groups`` stand in the order
    of their definition, so that each comes after its members.
    """

    logs: tuple[Verifier, ...]
    witnesses: Mapping[str, Witness] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    quorum: str | None = None

    @classmethod
    def of_vkey(cls, vkey: str) -> Self:
        """Trust in one log's key alone, without witnesses.

        Raises:
            Invalid: ``vkey.malformed``; ``quorum.malformed`` when it is a witness's key.
        """
        return cls((_fit(read_vkey(vkey), _LOG_KINDS, "The log's key"),))

    @property
    def log(self) -> Verifier:
        """The one log that the policy names.

        Raises:
            Invalid: ``quorum.log`` when it names none, or several.
        """
        if len(self.logs) != 1:
            raise Invalid(
                "quorum.log",
                f"The trust policy names {len(self.logs)} logs, expected one.",
                hint="Leave one line of it: log VKEY.",
            )
        return self.logs[0]

    def open(self, note: bytes, quorum: str | None = None) -> Opened:
        """The checkpoint in a note, once log and witnesses have signed it as the policy asks.

        ``quorum`` names another witness or group than the policy's own, or ``none``; the empty name is the policy's
        own, which must then be there.

        Raises:
            Invalid: ``note.malformed``, ``quorum.unknown`` for a quorum the policy does not define, ``quorum.log`` when
                it names no log.
            Tampered: ``verify.mismatch`` when no log of the policy has signed, when the checkpoint is another log's, or
                when any signature by a known key is bad.
            NotCovered: ``verify.quorum`` when all that is signed is good, and it is not enough.
        """
        asked = self._named(quorum)
        if not self.logs:
            raise Invalid("quorum.log", "The trust policy names no log.", hint="Add a line to it: log VKEY.")
        known = [*self.logs, *(witness.verifier for witness in self.witnesses.values())]
        text, good = judged(note, known)
        checkpoint = self._of_a_log(read_checkpoint(text), good)
        signed = {name: good[witness.verifier.identity] for name, witness in self.witnesses.items()}
        cosigned = {name: max(map(time_of, signatures)) for name, signatures in signed.items() if signatures}
        if asked is not None and asked not in self._satisfied(cosigned):
            raise NotCovered(
                "verify.quorum",
                f"The checkpoint of size {checkpoint.size} is signed by the log, and cosigned by "
                f"{', '.join(sorted(cosigned)) or 'no witness'}: quorum {asked!r} is not met.",
                hint="Fetch a newer checkpoint in a minute; if it stays so, ask the witnesses and the operator why.",
            )
        return Opened(checkpoint, MappingProxyType(cosigned))

    def is_met(self, note: bytes) -> bool:
        """Whether a note that :meth:`open` takes under some quorum meets the policy's own too."""
        try:
            self.open(note)
        except NotCovered:
            return False
        return True

    def _named(self, quorum: str | None) -> str | None:
        if quorum is None or (quorum == OWN and self.quorum):
            return self.quorum
        if quorum == OWN:
            hint = "Give a trust policy whose quorum line names a witness or group."
            raise Invalid("quorum.unknown", "A quorum is demanded, and nothing says of whom.", hint=hint)
        if quorum == NONE:
            return None
        if quorum not in self.witnesses and quorum not in self.groups:
            raise Invalid(
                "quorum.unknown",
                f"The trust policy defines no witness or group {quorum[:40]!r}.",
                hint="Use a name that the policy defines, or none.",
            )
        return quorum

    def _of_a_log(self, checkpoint: Checkpoint, good: Mapping[str, list[bytes]]) -> Checkpoint:
        signers = [log for log in self.logs if good[log.identity]]
        if not signers:
            names = " or ".join(log.name for log in self.logs)
            unsigned(f"The checkpoint is not signed by {names} with the key given.")
        if checkpoint.origin not in {log.name for log in signers}:
            unsigned(f"The checkpoint is of another log than {signers[0].name}.")
        return checkpoint

    def _satisfied(self, cosigned: Iterable[str]) -> set[str]:
        """The names of witnesses and groups that have witnessed, when these witnesses have cosigned."""
        names = set(cosigned)
        for name, group in self.groups.items():
            if sum(member in names for member in group.members) >= group.least:
                names.add(name)
        return names


def _refuse(what: str) -> NoReturn:
    raise Invalid("quorum.malformed", what, hint="See C2SP tlog-policy: lines log, witness, group and one quorum.")


def _fit(verifier: Verifier, kinds: frozenset[int], whose: str) -> Verifier:
    if verifier.kind not in kinds:
        expected = " or ".join(f"{kind:02x}" for kind in sorted(kinds))
        _refuse(f"{whose} is of kind {verifier.kind:02x}, expected {expected}.")
    return verifier


def trusted(trust: str | TrustPolicy) -> TrustPolicy:
    """A vkey as a policy that trusts this one log, without witnesses."""
    return TrustPolicy.of_vkey(trust) if isinstance(trust, str) else trust


class _Draft:
    """A policy while its lines are read, each of which may refer to what stands above it alone."""

    def __init__(self) -> None:
        self.logs: list[Verifier] = []
        self.witnesses: dict[str, Witness] = {}
        self.groups: dict[str, Group] = {}
        self.quorums: list[str] = []
        self.members: set[str] = set()

    def read(self, words: list[str]) -> None:
        reader = _READERS.get(words[0])
        if reader is None:
            _refuse(f"A line begins with {words[0][:40]!r}, which is no word of a trust policy.")
        reader(self, words[1:])

    def log(self, words: list[str]) -> None:
        match words:
            case [vkey] | [vkey, _]:
                verifier = _fit(read_vkey(vkey), _LOG_KINDS, "A log's key")
            case _:
                _refuse("A log's line is: log VKEY [URL].")
        if verifier.key.raw() in {each.key.raw() for each in self.logs}:
            _refuse(f"The key of {verifier.name} is listed as a log's twice.")
        if len(self.logs) == _MOST_NAMES:
            _refuse(f"There are more than {_MOST_NAMES} logs.")
        self.logs.append(verifier)

    def witness(self, words: list[str]) -> None:
        match words:
            case [name, vkey, *url] if len(url) <= 1:
                verifier = _fit(read_vkey(vkey), _WITNESS_KINDS, "A witness's key")
            case _:
                _refuse("A witness's line is: witness NAME VKEY [URL].")
        self._require_new(name)
        if verifier.key.raw() in {each.verifier.key.raw() for each in self.witnesses.values()}:
            _refuse(f"The key of witness {name[:40]!r} is listed twice.")  # it would count for two
        self.witnesses[name] = Witness(name, verifier, url[0] if url else None)

    def group(self, words: list[str]) -> None:
        match words:
            case [name, least, *members] if members:
                self._require_new(name)
            case _:
                _refuse("A group's line is: group NAME any|all|COUNT MEMBER….")
        count = {"any": 1, "all": len(members)}.get(least) or (int(least) if _COUNT.fullmatch(least) else 0)
        if not 1 <= count <= len(members):
            _refuse(f"Group {name[:40]!r} asks for {least[:20]!r} of {len(members)} members.")
        for member in members:
            self._require_defined(member)
            if member in self.members:  # one witness would count in two ways
                _refuse(f"{member[:40]!r} is listed as a member twice.")
            self.members.add(member)
        self.groups[name] = Group(count, tuple(members))

    def quorum(self, words: list[str]) -> None:
        if len(words) != 1:
            _refuse("The quorum's line is: quorum NAME.")
        if words[0] != NONE:
            self._require_defined(words[0])
        self.quorums.append(words[0])

    def _require_new(self, name: str) -> None:
        if name == NONE or name in self.witnesses or name in self.groups:
            _refuse(f"The name {name[:40]!r} is taken.")
        if len(self.witnesses) + len(self.groups) == _MOST_NAMES:
            _refuse(f"There are more than {_MOST_NAMES} witnesses and groups.")

    def _require_defined(self, name: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            _refuse(f"{name[:40]!r} is not defined on a line above.")


_READERS: Final[Mapping[str, Callable[[_Draft, list[str]], None]]] = {
    "log": _Draft.log,
    "witness": _Draft.witness,
    "group": _Draft.group,
    "quorum": _Draft.quorum,
}


def read_policy(text: str | bytes) -> TrustPolicy:
    """Read a trust policy. Names are compared byte by byte, whatever they mean as text.

    Raises:
        Invalid: ``quorum.malformed``, ``vkey.malformed``.
    """
    content = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text
    if len(content) > _MOST_CHARACTERS or _FOREIGN.search(content):
        _refuse("A trust policy is text of at most a million characters, without control characters.")
    draft = _Draft()
    for line in content.split("\n"):
        words = line.replace("\t", " ").split(" ")  # split() alone would also take spaces that are letters here
        found = [word for word in words if word]
        if found and not found[0].startswith("#"):
            draft.read(found)
    if len(draft.quorums) != 1:
        _refuse(f"There are {len(draft.quorums)} quorum lines, expected one.")
    quorum = None if draft.quorums[0] == NONE else draft.quorums[0]
    return TrustPolicy(tuple(draft.logs), MappingProxyType(draft.witnesses), MappingProxyType(draft.groups), quorum)
