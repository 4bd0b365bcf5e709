"""The bundle: one digest over what decides, and nothing else in it."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from sandbox.core.errors import Invalid
from sandbox.policy.bundle import Bundle

FILES = {
    "exchange/authz/decision.rego": b"package exchange.authz\n\ndecision := {}\n",
    "exchange/charter/data.json": b'{"k_min": 10}\n',
}
DIGEST = "sha256:20d88d24128065aadd0ec0b76f4f6a0f0f4b86c9cd40f0de3efc49b243f9dc30"


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return folder


def test_the_digest_is_over_path_and_content_of_each_file() -> None:
    assert Bundle.of(FILES).digest == DIGEST
    assert Bundle.of(dict(reversed(FILES.items()))).digest == DIGEST


def test_tests_and_other_files_are_no_part_of_it(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    write(tmp_path, {"exchange/authz/decision_test.rego": b"package x", "README.md": b"#", "exchange/notes.json": b"{"})
    loaded = Bundle.load(tmp_path)
    assert loaded.digest == DIGEST
    assert sorted(loaded.files) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_every_byte_counts(name: str) -> None:
    assert Bundle.of({**FILES, name: FILES[name] + b"\n"}).digest != DIGEST


def test_a_moved_file_counts(tmp_path: Path) -> None:
    moved = {name.replace("charter", "rules"): content for name, content in FILES.items()}
    assert Bundle.of(moved).digest != DIGEST


def test_the_policies_see_tables_and_digest() -> None:
    assert Bundle.of(FILES).data == {"exchange": {"charter": {"k_min": 10}, "policy": DIGEST}}


def test_the_archive_is_what_an_opa_server_loads() -> None:
    loaded = Bundle.of(FILES)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(loaded.archive()))) as archive:
        members = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        contents = {name: stream.read() for name, stream in members.items() if stream}
    assert list(members) == [".manifest", "data.json", "exchange/authz/decision.rego"]
    assert json.loads(contents[".manifest"]) == {"revision": DIGEST, "roots": ["exchange"], "rego_version": 1}
    assert json.loads(contents["data.json"]) == loaded.data
    assert contents["exchange/authz/decision.rego"] == FILES["exchange/authz/decision.rego"]


def test_the_archive_is_the_same_each_time(bundle: Bundle, policies: Path) -> None:
    assert bundle.archive() == Bundle.load(policies).archive()


def test_the_policies_of_the_house_load(bundle: Bundle) -> None:
    assert "exchange/authz/decision.rego" in bundle.files
    assert not [name for name in bundle.files if "_test" in name]


WRONG = {
    "no policy at all": {"exchange/authz/decision.rego": None},
    "package and folder differ": {"exchange/authz/decision.rego": b"package exchange.other\n"},
    "no package": {"exchange/authz/decision.rego": b"decision := {}\n"},
    "two packages": {"exchange/authz/decision.rego": b"package exchange.authz\npackage exchange.authz\n"},
    "outside the root": {"system/authz/authz.rego": b"package system.authz\n"},
    "at the root itself": {"exchange/all.rego": b"package exchange\n"},
    "a package in place of the digest": {"exchange/policy/p.rego": b"package exchange.policy\n"},
    "not text": {"exchange/authz/decision.rego": b"package exchange.authz\n\xff"},
    "a table in place of the digest": {"exchange/policy/data.json": b"{}"},
    "a table that holds the digest": {"exchange/data.json": b'{"policy": "sha256:00"}'},
    "a table where a package is": {"exchange/authz/data.json": b"{}"},
    "a table below a package": {"exchange/authz/roles/data.json": b"{}"},
    "a table outside the root": {"system/data.json": b"{}"},
    "a table at the top": {"data.json": b'{"exchange": {"policy": "sha256:00"}}'},
    "a table that is no object": {"exchange/charter/data.json": b"[10]"},
    "a key twice": {"exchange/charter/data.json": b'{"k_min": 10, "k_min": 1}'},
    "a fraction": {"exchange/charter/data.json": b'{"k_min": 9.5}'},
    "no JSON": {"exchange/charter/data.json": b"k_min: 10"},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_is_not_what_it_should_be_is_refused(name: str, tmp_path: Path) -> None:
    files = {path: content for path, content in {**FILES, **WRONG[name]}.items() if content is not None}
    write(tmp_path, files)
    with pytest.raises(Invalid) as caught:
        Bundle.load(tmp_path)
    assert caught.value.code == "policy.invalid"
    assert str(tmp_path) not in caught.value.message


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no policy"):
        Bundle.load(tmp_path / "none")


def test_a_link_is_refused(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    elsewhere = tmp_path / "decision.txt"
    (tmp_path / "exchange/authz/decision.rego").rename(elsewhere)
    (tmp_path / "exchange/authz/decision.rego").symlink_to(elsewhere)
    with pytest.raises(Invalid, match="not a plain file"):
        Bundle.load(tmp_path)
