"""The shelf: a file is there whole, or not at all."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sandbox.catalog.shelf import Shelf
from sandbox.core.canonical import digest
from sandbox.core.errors import Invalid, NotFound, Tampered, Unavailable
from sandbox.core.terms import Digest

CONTENT = bytes(range(256)) * 12_000  # three chunks of a copy


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "nguồn.parquet"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf" / "datasets")


def held(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "shelf").rglob("*") if path.is_file()]


def test_a_file_is_put_under_its_digest_and_cannot_be_written(shelf: Shelf, source: Path, tmp_path: Path) -> None:
    place = shelf.put(source, digest(CONTENT))
    assert place == tmp_path / "shelf" / "datasets" / "sha256" / f"{digest(CONTENT)[7:]}.parquet"
    assert (place.read_bytes(), shelf.path(digest(CONTENT))) == (CONTENT, place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o444
    assert held(tmp_path) == [place]
    assert shelf.verify(digest(CONTENT)) == place


def test_a_file_that_is_there_is_not_written_again(shelf: Shelf, source: Path) -> None:
    before = shelf.put(source, digest(CONTENT)).stat()
    after = shelf.put(source, digest(CONTENT)).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_another_file_of_the_same_size_is_not_taken_for_the_one_that_is_there(
    shelf: Shelf, source: Path, tmp_path: Path
) -> None:
    shelf.put(source, digest(CONTENT))
    (tmp_path / "other").write_bytes(CONTENT[::-1])
    with pytest.raises(Tampered):
        shelf.put(tmp_path / "other", digest(CONTENT))
    assert shelf.verify(digest(CONTENT)).read_bytes() == CONTENT


def test_a_cut_off_file_under_a_digests_name_is_replaced(shelf: Shelf, source: Path, tmp_path: Path) -> None:
    (tmp_path / "shelf" / "datasets" / "sha256" / f"{digest(CONTENT)[7:]}.parquet").write_bytes(CONTENT[:100])
    assert shelf.put(source, digest(CONTENT)).read_bytes() == CONTENT


def test_other_bytes_than_promised_are_refused_and_nothing_is_left(shelf: Shelf, source: Path, tmp_path: Path) -> None:
    with pytest.raises(Tampered) as caught:
        shelf.put(source, digest(b"something else"))
    assert caught.value.code == "tampered.dataset"
    assert str(tmp_path) not in caught.value.message
    assert held(tmp_path) == []
    with pytest.raises(NotFound):
        shelf.path(digest(CONTENT))


@pytest.mark.parametrize(
    "name", ["sha256:../../etc/passwd", "", "sha256:" + "A" * 64, "sha256:" + "0" * 63, "md5:" + "0" * 64]
)
def test_nothing_but_a_digest_names_a_place(shelf: Shelf, source: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound):
        shelf.path(Digest(name))
    with pytest.raises(NotFound):
        shelf.put(source, Digest(name))
    assert held(tmp_path) == []


def test_an_unknown_digest_is_not_found(shelf: Shelf) -> None:
    with pytest.raises(NotFound) as caught:
        shelf.path(digest(b""))
    assert caught.value.code == "dataset.file_missing"


def test_a_source_that_cannot_be_opened_is_named_without_its_folder(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"^khong_co\.parquet: "):
        shelf.put(tmp_path / "khong_co.parquet", digest(b""))
    with pytest.raises(Invalid):
        shelf.put(tmp_path, digest(b""))


def test_a_bit_that_the_disk_turns_is_noticed(shelf: Shelf, source: Path) -> None:
    place = shelf.put(source, digest(CONTENT))
    place.chmod(0o644)
    place.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(Tampered) as caught:
        shelf.verify(digest(CONTENT))
    assert caught.value.code == "tampered.dataset"


PUT = """
import resource, signal, sys
from pathlib import Path
from sandbox.catalog.shelf import Shelf
from sandbox.core.errors import Unavailable
where, root, source, expected = sys.argv[1:]
shelf = Shelf(Path(root))
if where == "midway":  # the kernel kills at the first byte beyond the limit
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
if where in {"midway", "full"}:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
if where == "last":  # all bytes are written and synced, the rename is not done
    import os
    sys.addaudithook(lambda event, _: os.kill(os.getpid(), signal.SIGKILL) if event == "os.rename" else None)
try:
    shelf.put(Path(source), expected)
except Unavailable as error:
    sys.exit(error.code)
"""


def put_in_a_child(where: str, tmp_path: Path, source: Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", PUT, where, tmp_path / "shelf" / "datasets", source, digest(CONTENT)]
    return subprocess.run(command, capture_output=True, check=False)


@pytest.mark.parametrize(("where", "ended"), [("midway", signal.SIGXFSZ), ("last", signal.SIGKILL)])
def test_a_copy_killed_at_any_point_leaves_nothing_that_reads_as_present(
    where: str, ended: signal.Signals, shelf: Shelf, source: Path, tmp_path: Path
) -> None:
    assert put_in_a_child(where, tmp_path, source).returncode == -ended
    assert [path.name[:5] for path in held(tmp_path)] == ["part-"]
    with pytest.raises(NotFound):
        shelf.path(digest(CONTENT))
    assert shelf.sweep() == 1
    assert held(tmp_path) == []
    assert shelf.put(source, digest(CONTENT)).read_bytes() == CONTENT


def test_a_full_disk_is_said_and_leaves_nothing(shelf: Shelf, source: Path, tmp_path: Path) -> None:
    ended = put_in_a_child("full", tmp_path, source)
    assert (ended.returncode, ended.stderr.strip()) == (1, b"shelf.unwritable")
    assert held(tmp_path) == []


def test_sweeping_leaves_what_is_whole(shelf: Shelf, source: Path, tmp_path: Path) -> None:
    place = shelf.put(source, digest(CONTENT))
    (tmp_path / "shelf" / "datasets" / "part-abc").write_bytes(b"half")
    assert Shelf(tmp_path / "shelf" / "datasets").sweep() == 1
    assert held(tmp_path) == [place]


# --- the exchange's own layout of an original ---
MADE = b"rows written anew" * 1_000


def made(shelf: Shelf, content: bytes = MADE) -> Path:
    """A finished layout in a workshop of its own."""
    folder = Path(tempfile.mkdtemp(prefix="part-", dir=shelf._root))
    (folder / "0").write_bytes(content)
    return folder / "0"


def test_a_layout_is_kept_beside_its_original_under_both_digests(shelf: Shelf, source: Path, tmp_path: Path) -> None:
    original = digest(CONTENT)
    place = shelf.put(source, original)
    assert shelf.layout(original) is None
    with shelf.workshop() as folder:
        (folder / "0").write_bytes(MADE)
        kept = shelf.keep(original, folder / "0")
    assert kept == place.with_name(f"{original[7:]}-{digest(MADE)[7:]}.parquet")
    assert (kept.read_bytes(), stat.S_IMODE(kept.stat().st_mode)) == (MADE, 0o444)
    assert kept.stat().st_uid == os.geteuid()
    assert sorted(held(tmp_path)) == sorted([place, kept])
    assert list((tmp_path / "shelf" / "datasets").glob("part-*")) == []
    for opened in (shelf, Shelf(tmp_path / "shelf" / "datasets")):
        assert opened.layout(original) == kept
        opened.verify_layout(kept)
    assert shelf.layout(digest(b"another")) is None


def test_a_layout_that_is_removed_is_missed_and_a_newer_one_takes_its_place(shelf: Shelf) -> None:
    original = digest(CONTENT)
    first = shelf.keep(original, made(shelf))
    inode = first.stat().st_ino
    again = shelf.keep(original, made(shelf))
    assert (again, again.read_bytes(), again.stat().st_ino) == (first, MADE, inode), "somebody may be reading it"
    again.chmod(0o644)
    again.write_bytes(b"damaged")
    assert shelf.keep(original, made(shelf)).read_bytes() == MADE
    second = shelf.keep(original, made(shelf, b"sorted"))
    assert (shelf.layout(original), first.exists()) == (second, False)
    second.unlink()
    assert shelf.layout(original) is None


def test_a_bit_that_turns_in_a_layout_is_noticed(shelf: Shelf) -> None:
    kept = shelf.keep(digest(CONTENT), made(shelf))
    kept.chmod(0o644)
    kept.write_bytes(MADE[:-1] + b"!")
    with pytest.raises(Tampered) as caught:
        shelf.verify_layout(kept)
    assert caught.value.code == "tampered.dataset"


def test_what_a_child_left_in_place_of_a_layout_is_kept_only_if_it_is_a_plain_file(
    shelf: Shelf, source: Path, tmp_path: Path
) -> None:
    with shelf.workshop() as folder:
        (folder / "link").symlink_to(source)
        (folder / "folder").mkdir()
        os.mkfifo(folder / "pipe")
        for name in ("link", "folder", "pipe", "none"):
            with pytest.raises(Unavailable):
                shelf.keep(digest(CONTENT), folder / name)
    assert held(tmp_path) == []


KEEP = """
import os, signal, sys
from pathlib import Path
from sandbox.catalog.shelf import Shelf
root, original = sys.argv[1:]
sys.addaudithook(lambda event, _: os.kill(os.getpid(), signal.SIGKILL) if event == "os.rename" else None)
shelf = Shelf(Path(root))
with shelf.workshop() as folder:
    (folder / "0").write_bytes(b"made")
    shelf.keep(original, folder / "0")
"""


def test_a_layout_killed_before_its_last_step_is_not_there_and_is_swept(shelf: Shelf, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KEEP, tmp_path / "shelf" / "datasets", digest(CONTENT)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
    assert shelf.layout(digest(CONTENT)) is None
    assert [path.parent.name[:5] for path in held(tmp_path)] == ["part-"]
    assert shelf.sweep() == 1
    assert held(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes where no one may")
def test_a_folder_that_may_not_be_written_is_unavailable(shelf: Shelf, source: Path, tmp_path: Path) -> None:
    (tmp_path / "shelf" / "datasets").chmod(0o555)
    with pytest.raises(Unavailable):
        shelf.put(source, digest(CONTENT))
