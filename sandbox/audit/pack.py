"""The evidence pack of one query: all that it takes to judge it again without the exchange, in one plain archive.

::

    manifest.json                        {"type":"sandbox.evidence/v1","query":…,"files":{"charter.json":"sha256:…",…}}
    charter.json                         the charter that was asked under, as it was signed
    agreements/<digest>/contract.json    each agreement as its parties signed it, and the offer that it was made of
    datasets/<digest>/manifest.json      each dataset version: its signed manifest (digests of the files), descriptor
    policies/<digest>/<path>             the policies that decided
    receipts/decision.json, outcome.json the log's entries, with what their seals stand for
    disclosures/decision.ndjson, …       the same values, and of the erased ones where the log says so

A ``<digest>`` is 64 hexadecimal digits. The archive is a zip whose files are stored as they are, so equal contents are
equal bytes, and no archive unfolds to more than it is.
"""

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from sandbox.core.canonical import Json, canonical, digest, parse
from sandbox.core.errors import Invalid, Tampered

EVIDENCE: Final = "sandbox.evidence/v1"
MANIFEST: Final = "manifest.json"
MOST_BYTES: Final = 1 << 26
MOST_FILES: Final = 1_000
_TIME: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
_PLAIN: Final = 0o100_644 << 16
_ENCRYPTED: Final = 0x1
_SIZE_BEHIND: Final = 0x8
_HEADER: Final = 30
_LISTED: Final = 46
_END: Final = 22
"""Bytes of a zip's records beside names and contents: before each file, for each in the listing, at the end."""
_FOREIGN: Final = re.compile(r"[\\:]|(?:^|/)\.{0,2}(?:/|$)")
"""What no path of a pack has: a backslash, a drive, a part that is empty or leads upwards."""
_LONGEST_PATH: Final = 200
_HINT: Final = "Ask the exchange for the pack again, and keep this one."


def packed(query: str, files: Mapping[str, bytes]) -> bytes:
    """The pack of these files, with its manifest: the same bytes for the same files.

    Raises:
        Invalid: ``pack.malformed`` when they are more than a pack may hold.
    """
    listed: dict[str, Json] = {path: digest(files[path]) for path in sorted(files)}
    manifest = canonical({"type": EVIDENCE, "query": query, "files": listed})
    if len(files) >= MOST_FILES or sum(map(len, files.values())) + len(manifest) > MOST_BYTES:
        _refuse(f"it would hold {len(files)} files, at most {MOST_FILES} and {MOST_BYTES} bytes are expected")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as made:
        for path, content in sorted({**files, MANIFEST: manifest}.items()):
            member = zipfile.ZipInfo(path, _TIME)
            member.create_system, member.external_attr = _UNIX, _PLAIN
            made.writestr(member, content)
    return archive.getvalue()


def unpacked(content: bytes) -> tuple[str, dict[str, bytes]]:
    """The query that a pack is of, and its files as the manifest names them.

    Nothing is written anywhere. An archive that could unfold, hides a file, or names one twice is refused.

    Raises:
        Invalid: ``pack.malformed``.
        Tampered: ``verify.mismatch`` when files and manifest differ.
    """
    if len(content) > MOST_BYTES + MOST_FILES * 1_000:
        _refuse(f"it has {len(content)} bytes, at most {MOST_BYTES} are expected")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = _files(archive)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, OverflowError):
        _refuse("it is no zip archive, or a damaged one")
    query, listed = _manifest(files.pop(MANIFEST, b""))
    _require_equal(listed, {path: digest(each) for path, each in files.items()})
    return query, files


def _files(archive: zipfile.ZipFile) -> dict[str, bytes]:
    members = archive.infolist()
    if len(members) > MOST_FILES or sum(member.file_size for member in members) > MOST_BYTES:
        _refuse(f"it holds {len(members)} files, at most {MOST_FILES} and {MOST_BYTES} bytes are expected")
    files: dict[str, bytes] = {}
    for member in members:
        _require_plain(member)
        if member.filename in files:  # two readers would see two files
            _refuse(f"it holds {member.filename} twice")
        files[member.filename] = archive.read(member)
    _require_nothing_else(archive, members)
    return files


def _require_nothing_else(archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo]) -> None:
    """That all bytes belong to the files: before, between or behind them another reader might find other ones."""
    end = 0
    for member in sorted(members, key=lambda each: each.header_offset):
        at, end = end, end + _HEADER + len(member.filename.encode()) + member.file_size
        if member.header_offset != at or member.flag_bits & _SIZE_BEHIND or member.extra or member.comment:
            _refuse(f"something else stands before or in {member.filename}")
    listing = sum(_LISTED + len(member.filename.encode()) for member in members)
    stream = archive.fp
    if archive.comment or archive.start_dir != end or stream is None or stream.seek(0, 2) != end + listing + _END:
        _refuse("something else stands behind its files")


def _require_plain(member: zipfile.ZipInfo) -> None:
    name = member.filename
    plain = name.isprintable() and not _FOREIGN.search(name) and name == member.orig_filename
    if not plain or len(name) > _LONGEST_PATH:
        _refuse(f"{name[:60]!r} is no path of a pack")
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & _ENCRYPTED:
        _refuse(f"{name} is compressed or encrypted; the files of a pack are stored as they are")


def _manifest(content: bytes) -> tuple[str, dict[str, Json]]:
    try:
        document = parse(content)
    except Invalid:
        document = {}
    match document:
        case {"type": "sandbox.evidence/v1", "query": str(query), "files": dict(files), **rest} if not rest:
            found = query, files
        case _:
            _refuse(f"it has no {MANIFEST} that says {EVIDENCE}")
    return found


def _require_equal(listed: Mapping[str, Json], found: Mapping[str, Json]) -> None:
    for path in sorted({*listed} | {*found}):
        if listed.get(path) != found.get(path):
            was = "was changed" if path in listed and path in found else "is missing"
            what = f"{path} {was}." if path in listed else f"{path} is not in the manifest."
            raise Tampered("verify.mismatch", what, hint=_HINT)


def _refuse(why: str) -> NoReturn:
    raise Invalid("pack.malformed", f"This is no evidence pack: {why}.", hint=_HINT)
