"""What an evidence pack proves: its documents are those that the log's entries name, entry by entry."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.audit.disclosure import read_disclosure, require_erasures
from sandbox.audit.events import EventType
from sandbox.audit.outcomes import mismatch
from sandbox.audit.pack import unpacked
from sandbox.audit.published import Published
from sandbox.audit.quorum import TrustPolicy
from sandbox.audit.source import Source, Steady
from sandbox.audit.verify import ReceiptVerdict, verify_receipt
from sandbox.core.canonical import Json, canonical, digest, digest_of
from sandbox.core.signing import unverified

DECISION: Final = "decision"
OUTCOME: Final = "outcome"
QUESTION: Final = "question"
_DECIDED: Final = frozenset({EventType.QUERY_AUTHORIZED, EventType.QUERY_REFUSED})
_ENDED: Final = frozenset({EventType.QUERY_COMPLETED, EventType.QUERY_FAILED})


@dataclass(frozen=True, slots=True)
class Asked:
    """A decision on the record, and what it takes to make it again.

    ``question`` is None when it was erased; ``policies`` are the files that decided, None when they were never kept.
    ``reasons`` are the rules that it names; None when what refused the query was no policy.
    """

    entry: str
    kind: str
    bundle: str
    allow: bool
    reasons: tuple[str, ...] | None
    question: Mapping[str, Any] | None
    policies: Mapping[str, bytes] | None


@dataclass(frozen=True, slots=True)
class Named:
    """The documents of a query: each agreement with the dataset version asked, and the charter; None is unknown."""

    agreements: Mapping[str, str | None]
    charter: str | None


@dataclass(frozen=True, slots=True)
class PackVerdict:
    """A pack whose every document is the one that the log names.

    ``erased`` are entry and name of what is no more; only with a log at hand is it the log that tells so. ``absent``
    says in words what the pack does not hold: nothing can be told of it.
    """

    query: str
    receipts: Mapping[str, ReceiptVerdict]
    erased: tuple[tuple[str, str], ...]
    decisions: tuple[Asked, ...]
    absent: tuple[str, ...]


def verify_pack(
    content: bytes, trust: str | TrustPolicy, *, quorum: str | None = None, log: Source | None = None
) -> PackVerdict:
    """Check an evidence pack without the exchange.

    Whether the policies decide again as they did, :func:`sandbox.cli.pack.replayed` asks of them.

    Raises:
        Tampered: ``verify.mismatch`` when anything does not fit.
        NotCovered: ``verify.quorum``, ``verify.uncovered``.
        Unavailable: ``verify.missing``, ``verify.unreachable``.
        Invalid: ``pack.malformed``, or what is no receipt, proof or disclosure.
    """
    # (1) Does the archive hold what its manifest says?
    query, files = unpacked(content)
    log = None if log is None else Steady(log)  # a server may show each receipt the history that it is of
    left = dict(files)
    # (2) Does the log vouch for the decision and its outcome?
    receipts = dict(_receipts(query, left, lambda text: verify_receipt(text, trust, quorum=quorum, log=log)))
    _require_in_order(receipts)
    # (3) Is every sealed value shown, or said to be erased?
    told = [_erased(name, verdict, left) for name, verdict in receipts.items()]
    if log is not None:
        _require_told(Published(log, trust, quorum), told)
    # (4) Are charter, agreements and datasets those that the entries name?
    decision = receipts[DECISION]
    absent = [*_documents(named_by(decision.entry, decision.revealed.get(QUESTION)), left)]
    if OUTCOME not in receipts and decision.entry["type"] == EventType.QUERY_AUTHORIZED:
        absent.append("the outcome (it may have come since, or was left out)")
    # (5) Are the policies those that decided, and is nothing beside?
    decisions = tuple(_asked(verdict, left) for verdict in receipts.values() if "policy" in verdict.entry)
    for bundle in {each.bundle for each in decisions}:
        _taken(left, folder_of("policies", bundle))
    if left:
        mismatch(f"{min(left)} is not named by anything in the log.")
    absent += [f"the policies {each.bundle}" for each in decisions if each.policies is None]
    erased = tuple(each for gone in told for names in gone.values() for each in names)
    return PackVerdict(query, receipts, erased, decisions, tuple(dict.fromkeys(absent)))


def _receipts(
    query: str, left: dict[str, bytes], verify: Callable[[bytes], ReceiptVerdict]
) -> Iterator[tuple[str, ReceiptVerdict]]:
    wanted = {DECISION: _DECIDED, OUTCOME: _ENDED}
    for name, kinds in wanted.items():
        text = left.pop(f"receipts/{name}.json", None)
        if text is None and name == DECISION:
            mismatch("The pack has no receipt of the decision.")
        if text is not None:
            verdict = verify(text)
            if verdict.entry["type"] not in kinds or verdict.entry.get("query") != query:
                mismatch(f"The receipt of the {name} is not of {query[:40]}.")
            yield name, verdict


def _require_in_order(receipts: Mapping[str, ReceiptVerdict]) -> None:
    places = [each.index for each in receipts.values()]
    if places != sorted(set(places)):
        mismatch("The outcome stands in the log before the decision.")


def _erased(name: str, verdict: ReceiptVerdict, left: dict[str, bytes]) -> Mapping[int, list[tuple[str, str]]]:
    """What a disclosure of this one entry says was erased; all else it shows as the receipt does."""
    text = left.pop(f"disclosures/{name}.ndjson", b"")
    header, told = read_disclosure(text.splitlines(keepends=True))
    if (header.first, header.last, header.names) != (verdict.index, verdict.index, None):
        mismatch(f"The disclosure of the {name} is of other entries than its receipt.")
    told.check(verdict.index, canonical(verdict.entry))
    told.finish()
    erased = {each for gone in told.erased.values() for _, each in gone}
    if erased != verdict.entry["sealed"].keys() - verdict.revealed.keys():
        mismatch(f"The disclosure of the {name} shows other values than its receipt.")
    return told.erased


def _require_told(log: Published, told: Iterable[Mapping[int, list[tuple[str, str]]]]) -> None:
    """Make sure that the log tells of each erasure."""
    for gone in told:
        for by, names in gone.items():
            require_erasures(by, names, log.leaf(by))


def named_by(entry: Mapping[str, Any], question: Any) -> Named:
    """What an entry and the question sealed in it name; an agreement's version is that of its data, once known.

    Raises:
        Tampered: ``verify.mismatch`` when they have not the form in which the exchange writes them.
    """
    try:
        agreements: dict[str, str | None] = {str(each["id"]): None for each in entry.get("agreements", ())}
        if question is None:
            return Named(agreements, None)
        datasets = question["resource"]["properties"]["datasets"]
        agreements |= {str(each["agreement"]["id"]): str(each["version"]) for each in datasets}
        charter = question["context"]["charter"]
        return Named(agreements, None if charter is None else str(charter["digest"]))
    except (KeyError, TypeError):
        mismatch(f"Entry {entry['id']} or its question does not say what it is about.")


def _documents(named: Named, left: dict[str, bytes]) -> Iterator[str]:
    """Hold the signed documents against their digests; tells what the pack lacks."""
    versions: dict[str, None] = {}
    for agreement, version in named.agreements.items():
        contract = _taken_document(left, f"{folder_of('agreements', agreement)}contract.json", "contract", agreement)
        if contract is None:
            yield f"the agreement {agreement}"
            continue
        yield from _offer(agreement, str(contract.get("prev")), left)
        versions[version or str(contract.get("target")).rpartition("@")[2]] = None
    for version in versions:
        yield from _dataset(version, left)
    if named.charter and _taken_document(left, "charter.json", "charter", named.charter) is None:
        yield f"the charter {named.charter}"


def _offer(agreement: str, prev: str, left: dict[str, bytes]) -> Iterator[str]:
    folder = folder_of("agreements", agreement)
    found = [_taken_document(left, f"{folder}{member}.json", member, prev) for member in ("offer", "request")]
    if not any(found):
        yield f"the offer {prev}"


def _dataset(version: str, left: dict[str, bytes]) -> Iterator[str]:
    folder = folder_of("datasets", version)
    manifest = _taken_document(left, f"{folder}manifest.json", "manifest", version)
    descriptor = left.pop(f"{folder}descriptor.json", None) if manifest else None  # alone nothing vouches for it
    if manifest is None or descriptor is None:
        yield f"the dataset version {version}"
    elif manifest.get("descriptor") != digest(descriptor):
        mismatch(f"The descriptor is not the one that dataset version {version} names.")


def _taken_document(left: dict[str, bytes], path: str, member: str, expected: str) -> Mapping[str, Json] | None:
    """Take a signed document; None where it is not there.

    Raises:
        Tampered: ``verify.mismatch`` when it is another than the one that is named.
    """
    text = left.pop(path, None)
    if text is None:
        return None
    document, _ = unverified(text, member)
    if digest_of(document) != expected:
        mismatch(f"{path} is not the document that the log names.")
    return document


def folder_of(kind: str, name: str) -> str:
    """Where in a pack stands what is named by a digest."""
    return f"{kind}/{name.removeprefix('sha256:')}/"


def _taken(left: dict[str, bytes], folder: str) -> dict[str, bytes]:
    return {path.removeprefix(folder): left.pop(path) for path in [*left] if path.startswith(folder)}


def _asked(verdict: ReceiptVerdict, files: Mapping[str, bytes]) -> Asked:
    entry = verdict.entry
    match entry["policy"]:
        case {"bundle": str(bundle), "decision": "allow" | "deny" as decision}:
            allow = decision == "allow"
        case _:
            mismatch(f"Entry {entry['id']} does not say by which policies it was decided.")
    policies = _taken(dict(files), folder_of("policies", bundle))
    if policies and bundle_digest(policies) != bundle:
        mismatch(f"The policies are not those that decided in entry {entry['id']}.")
    reasons = None if allow else _reasons(entry)
    question = verdict.revealed.get(QUESTION)
    asked = question if isinstance(question, dict) else None
    return Asked(entry["id"], entry["type"], bundle, allow, reasons, asked, policies or None)


def _reasons(entry: Mapping[str, Any]) -> tuple[str, ...]:
    reasons = entry.get("reasons", [])
    if not isinstance(reasons, list) or not all(isinstance(each, str) for each in reasons):
        mismatch(f"Entry {entry['id']} does not name the rules that refused.")
    return tuple(reasons)


def bundle_digest(files: Mapping[str, bytes]) -> str:
    """The digest of policies by path, as ``policies/README.md`` defines it."""
    listing = (path.encode() + b"\0" + digest(files[path]).removeprefix("sha256:").encode() for path in sorted(files))
    return digest(b"".join(line + b"\n" for line in listing))
