"""The evidence pack as an archive: the same bytes for the same files, and nothing in it that does not show."""

import io
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.audit.pack import MANIFEST, MOST_FILES, packed, unpacked
from sandbox.core.canonical import canonical, digest
from sandbox.core.errors import Invalid, SandboxError, Tampered

FILES = {"charter.json": b"{}", "policies/abc/exchange/a.rego": b"package exchange\n", "receipts/decision.json": b"[]"}


def archive(files: dict[str, bytes], **changes: Any) -> bytes:
    """A zip of these files with a good manifest; ``changes`` are members to set on each."""
    listed = {path: digest(content) for path, content in files.items()}
    manifest = canonical({"type": "sandbox.evidence/v1", "query": "qry_1", "files": listed})
    return zipped({**files, MANIFEST: manifest}, **changes)


def zipped(files: dict[str, bytes], **changes: Any) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as out:
        for path, content in files.items():
            member = zipfile.ZipInfo(path)
            for name, value in changes.items():
                setattr(member, name, value)
            out.writestr(member, content)
    return made.getvalue()


def test_the_files_come_back_and_the_bytes_are_the_same_each_time() -> None:
    assert unpacked(packed("qry_1", FILES)) == ("qry_1", FILES)
    assert packed("qry_1", FILES) == packed("qry_1", dict(reversed(FILES.items())))


@pytest.mark.parametrize("path", sorted(FILES))
def test_a_file_that_was_changed_left_out_or_added_is_named(path: str) -> None:
    with zipfile.ZipFile(io.BytesIO(packed("qry_1", FILES))) as made:
        found = {name: made.read(name) for name in made.namelist()}
    for changed in ({**found, path: b"other"}, {name: text for name, text in found.items() if name != path}):
        with pytest.raises(Tampered, match=path):
            unpacked(zipped(changed))
    with pytest.raises(Tampered, match="not in the manifest"):
        unpacked(zipped({**found, "more.json": b"{}"}))


@pytest.mark.parametrize(
    "path",
    ["../x", "a/../x", "/etc/passwd", "a//b", "a/", "./a", "..", "a\\b", "C:x", "a\nb", "a\x1bb", "x" * 201],
)
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(Invalid) as refusal:
        unpacked(archive({path: b"{}"}))
    assert refusal.value.code == "pack.malformed"


def test_what_could_unfold_is_refused() -> None:
    bomb = archive({"zeros": bytes(1 << 20)}, compress_type=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 10_000
    with pytest.raises(Invalid, match="compressed"):
        unpacked(bomb)


def test_a_file_that_stands_there_twice_is_refused() -> None:
    made = io.BytesIO(packed("qry_1", FILES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(made, "a") as out:
            out.writestr("charter.json", b"[]")
    with pytest.raises(Invalid, match="twice"):
        unpacked(made.getvalue())


def test_too_many_files_are_refused_on_both_sides() -> None:
    many = {f"f{number}": b"" for number in range(MOST_FILES)}
    with pytest.raises(Invalid):
        packed("qry_1", many)
    with pytest.raises(Invalid):
        unpacked(archive(many))


def _overlapping(content: bytes) -> bytes:
    """Every entry of the directory claims a size that the archive does not have."""
    at = content.index(b"PK\x01\x02")
    return content[: at + 20] + (1 << 31).to_bytes(4, "little") * 2 + content[at + 28 :]


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut off": lambda content: content[:-30],
    "no zip": lambda content: b"PK" + content[:100],
    "another manifest": lambda content: zipped({MANIFEST: b'{"type":"sandbox.evidence/v2","query":"q","files":{}}'}),
    "a manifest with more": lambda content: zipped(
        {MANIFEST: b'{"type":"sandbox.evidence/v1","query":"q","files":{},"more":1}'}
    ),
    "a manifest twice the key": lambda content: zipped(
        {MANIFEST: b'{"type":"sandbox.evidence/v1","query":"q","query":"r","files":{}}'}
    ),
    "no manifest": lambda content: zipped(FILES),
    "a size that is not there": _overlapping,
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_pack_is_said_to_be_none(name: str) -> None:
    with pytest.raises(Invalid) as refusal:
        unpacked(BROKEN[name](packed("qry_1", FILES)))
    assert refusal.value.code == "pack.malformed"


def test_every_flipped_byte_is_noticed_or_changes_nothing() -> None:
    content = packed("qry_1", FILES)
    for at in range(len(content)):
        flipped = content[:at] + bytes([content[at] ^ 0x20]) + content[at + 1 :]
        try:
            query, files = unpacked(flipped)
        except SandboxError:
            continue
        assert (query, files) == ("qry_1", FILES), at


@given(st.binary(max_size=300), st.integers(0, 600))
def test_no_bytes_crash_it(noise: bytes, at: int) -> None:
    content = packed("qry_1", FILES)
    for hostile in (noise, content[:at] + noise + content[at + len(noise) :]):
        try:
            unpacked(hostile)
        except SandboxError as refusal:
            assert refusal.code in {"pack.malformed", "verify.mismatch"}
