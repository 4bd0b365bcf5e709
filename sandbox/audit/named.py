"""What an entry names, as terms under which it is found: from its members in clear, from sealed ones that are kept."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from sandbox.core.terms import DIGEST

Term: TypeAlias = tuple[str, str]
"""Kind and value."""

OWNER: Final = "owner"
ACTOR: Final = "actor"
PARTY: Final = "party"
DIGEST_TERM: Final = "digest"
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "actor": (OWNER, ACTOR),
    "participant": (OWNER, ACTOR, PARTY),
    "dataset": ("dataset",),
    "agreement": ("agreement",),
    "query": ("query",),
    "code": ("code",),
    "reason": ("reason",),
    "type": ("type",),
    "entry": ("entry",),
    "digest": (DIGEST_TERM, "agreement"),
}
"""What can be searched for, and the kinds of terms that answer. Whoever an entry names is a term in one kind only:
its ``owner`` (the one organisation whose act or affair it is), a further ``actor``, or a ``party`` to it."""

OWNERS: Final = ("actor", "participant", "buyer")
"""The sealed members that say whose an entry is; the first that is there does."""
_DIGESTS: Final = ("document", "manifest")
SEALED: Final = (*OWNERS, "signed_by", "to", "identity", "signers", "target", *_DIGESTS, "result")
"""The sealed members that are looked into; what was asked, paid with or delivered is not searched for."""
_DIGEST: Final = re.compile(rb'"(sha256:[0-9a-f]{64})"')
_NAMES: Final = frozenset({"type", "code", "dataset", "agreement", "query", "entry"})
_LONGEST: Final = 200
_SCOPES: Final = frozenset({"agreement", "dataset", "query"})


def terms_of(entry: Mapping[str, Any], leaf: bytes, revealed: Mapping[str, Any]) -> dict[Term, bool]:
    """Each term of an entry, and whether only a sealed value says it.

    ``leaf`` are its bytes; ``revealed`` holds the kept values among :data:`SEALED`.
    """
    found: dict[Term, bool] = {}
    for terms, sealed in ((_sealed_terms(entry, revealed), True), (_clear_terms(entry, leaf), False)):
        for term in terms:
            # what was refused may be any text: PostgreSQL takes no U+0000, and a page of text is no name
            if (value := term[1]) and isinstance(value, str) and len(value) <= _LONGEST and value.isprintable():
                found[term] = sealed
    for kind, value in [*found]:
        if kind == "agreement":  # whoever asks for a digest is shown agreements too
            found.pop((DIGEST_TERM, value), None)
    return found


def _clear_terms(entry: Mapping[str, Any], leaf: bytes) -> Iterator[tuple[str, Any]]:
    for name in _NAMES & entry.keys():
        yield name, entry[name]
    yield ACTOR, entry.get("provider")
    for reason in _list(entry.get("reasons")):
        yield "reason", reason
    for agreement in map(_members, _list(entry.get("agreements"))):
        yield "agreement", agreement.get("id")
        yield "dataset", agreement.get("dataset")
    scope = _members(entry.get("scope"))
    if scope.get("kind") in _SCOPES:
        yield scope["kind"], scope.get("id")
    for digest in _DIGEST.findall(leaf):  # a seal never looks like one
        yield DIGEST_TERM, digest.decode()


def _sealed_terms(entry: Mapping[str, Any], revealed: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for who, kind in _people(entry, revealed).items():
        yield kind, who
    for digest in (*map(revealed.get, _DIGESTS), _members(revealed.get("result")).get("sha256")):
        if isinstance(digest, str) and DIGEST.fullmatch(digest):
            yield DIGEST_TERM, digest


def _people(entry: Mapping[str, Any], revealed: Mapping[str, Any]) -> dict[object, str]:
    """Who is named behind seals, each in the strongest kind."""
    owners = [revealed[each] for each in OWNERS if each in revealed]
    signers = [_members(each).get("participant") for each in _list(revealed.get("signers"))]
    named = [(OWNER, owners[:1]), (ACTOR, [*owners, revealed.get("to"), *_list(revealed.get("signed_by"))])]
    named += [(PARTY, [*signers, _members(revealed.get("identity")).get("participant")])]
    if _members(entry.get("scope")).get("kind") == "participant":
        named += [(PARTY, [revealed.get("target")])]
    people: dict[object, str] = {}
    for kind, each in named:
        for who in each:
            if isinstance(who, str):
                people.setdefault(who, kind)
    return people


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _members(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
