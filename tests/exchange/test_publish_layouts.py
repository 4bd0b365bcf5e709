"""Extracts are made of the exchange's own copies alone; what is signed stays beside them as evidence."""

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sandbox.catalog import dataset
from sandbox.catalog.dataset import Examined
from sandbox.catalog.intake import Intake, Taken
from sandbox.catalog.shelf import Shelf
from sandbox.cli.parties import signed_folder
from sandbox.core import signing
from sandbox.core.errors import Invalid, NotFound, Tampered, Unavailable
from sandbox.core.terms import Role
from sandbox.exchange import publish
from sandbox.exchange.house import House
from tests.world import INDEX, PROVIDER, TRIPS, World


def shelved(world: World) -> tuple[list[Path], list[Path]]:
    """The signed files, and the exchange's own copies."""
    files = sorted((world.home / "datasets" / "sha256").iterdir())
    return [path for path in files if "-" not in path.name], [path for path in files if "-" in path.name]


def test_a_copy_stands_beside_the_signed_file_under_both_digests(world: World) -> None:
    version = world.publish(TRIPS)
    ((signed,), (copy,)) = shelved(world)
    assert f"sha256:{signed.stem}" == version.files[0].digest
    assert copy.stem == f"{signed.stem}-{hashlib.sha256(copy.read_bytes()).hexdigest()}"
    assert [each.stat().st_mode & 0o777 for each in (signed, copy)] == [0o444, 0o444]
    original = pq.read_table(signed)
    assert pq.read_table(copy).cast(original.schema).equals(original)
    assert pq.read_metadata(copy).metadata is None


def test_rows_are_served_from_the_copy_and_the_signed_file_is_not_opened_by_the_engine(
    ready: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources: list[Path] = []
    engine: Any = ready.exchange.house.engine
    extract = engine.extract

    def watched(scope: object, columns: object, paths: tuple[Path, ...], *rest: Any) -> Path:
        sources.extend(paths)
        made: Path = extract(scope, columns, paths, *rest)
        return made

    monkeypatch.setattr(engine, "extract", watched)
    for path in (ready.home / "extracts").iterdir():
        path.unlink()
    assert ready.rows(ready.query())[0][0] == "R1"
    assert sources == [copy for copy in shelved(ready)[1] if copy in sources]
    assert len(sources) == 1


def test_a_copy_that_is_gone_is_made_again_from_what_was_signed(ready: World) -> None:
    expected = ready.rows(ready.query())
    copies = {path.name: path.read_bytes() for path in shelved(ready)[1]}
    for copy in shelved(ready)[1]:
        copy.unlink()
    ready.forget_extracts()
    assert ready.rows(ready.query()) == expected
    (made,) = shelved(ready)[1]
    assert made.read_bytes() == copies[made.name]


def test_many_who_need_a_copy_that_is_gone_all_get_their_rows(ready: World) -> None:
    expected = ready.rows(ready.query())
    for copy in shelved(ready)[1]:
        copy.unlink()
    ready.forget_extracts()
    results: list[list[tuple[Any, ...]]] = []
    threads = [threading.Thread(target=lambda: results.append(ready.rows(ready.query()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4
    assert len(shelved(ready)[1]) == 1
    assert list((ready.home / "datasets").glob("part-*")) == []


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


@pytest.mark.parametrize("which", [0, 1], ids=["signed", "copy"])
def test_a_bit_that_turns_in_either_file_is_noticed_before_an_extract_is_made(ready: World, which: int) -> None:
    ready.forget_extracts()
    for path in shelved(ready)[which]:
        damage(path)
    with pytest.raises(Tampered) as refusal:
        ready.query()
    assert refusal.value.code == "tampered.dataset"
    assert ready.entries()[-1]["type"] == "query.refused"


def test_without_copy_and_signed_file_nothing_can_be_served(ready: World) -> None:
    ready.forget_extracts()
    for paths in shelved(ready):
        for path in paths:
            path.unlink()
    with pytest.raises(NotFound) as refusal:
        ready.query()
    assert refusal.value.code == "dataset.file_missing"


def test_a_file_listed_when_less_was_asked_of_files_is_not_its_buyers_fault(
    ready: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for copy in shelved(ready)[1]:
        copy.unlink()

    def refuse(*_: object) -> Taken:
        raise Invalid("parquet.mismatch", "v1.parquet: column tuyen holds text in another Unicode form, expected NFC.")

    monkeypatch.setattr(ready.exchange.house.intake.__class__, "rewrite", refuse)
    with pytest.raises(Unavailable) as refusal:
        ready.query()
    assert refusal.value.code == "engine.extract"
    assert "Unicode" not in refusal.value.message


def test_a_wish_to_sort_orders_the_copy_and_leaves_the_signed_file(world: World) -> None:
    descriptor, files, envelope = signed_folder(world.folder_of(INDEX, sort=["diem"]), world.keys[PROVIDER])
    assert world.exchange.publish(descriptor, files, envelope).descriptor.sort == ("diem",)
    ((signed,), (copy,)) = shelved(world)
    assert pq.read_table(signed)["diem"].to_pylist() == [5, 4, 3, 2, 1]
    assert pq.read_table(copy)["diem"].to_pylist() == [1, 2, 3, 4, 5]


def test_of_two_versions_with_one_file_the_newer_orders_the_copy_and_both_are_served(world: World) -> None:
    world.publish(INDEX)
    first = world.agree(INDEX)
    world.publish(INDEX, sort=["diem"])
    second = world.agree(INDEX, max_rows=999)
    assert [len(part) for part in shelved(world)] == [1, 1]
    sql = "SELECT noi, diem FROM chi_so"
    old, new = (world.query(sql, dataset=INDEX, agreements=[agreement]) for agreement in (first, second))
    assert world.rows(old) == world.rows(new) == [("A", 5), ("B", 4), ("C", 3), ("D", 2), ("E", 1)]


@pytest.mark.parametrize("step", ["rewrite", "put", "keep", "list"])
def test_a_crash_at_any_step_leaves_no_listing_and_nothing_half_made(
    world: World, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sandbox.catalog import listing
    from sandbox.core import files

    places: dict[str, tuple[object, str]] = {
        "rewrite": (Intake, "rewrite"),
        "put": (Shelf, "put"),
        "keep": (files, "keep"),
        "list": (listing, "list_version"),
    }

    def dies(*_: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(*places[step], dies)
        with pytest.raises(RuntimeError):
            world.publish(INDEX)
    assert world.exchange.datasets() == []
    for path in shelved(world)[1]:
        world.exchange.house.shelf.verify_layout(path)
    assert world.publish(INDEX).rows == 5
    assert [len(part) for part in shelved(world)] == [1, 1]


def test_what_the_provider_does_to_its_files_after_they_were_taken_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptor, files, envelope = signed_folder(world.folder_of(INDEX), world.keys[PROVIDER])
    before = files[0].read_bytes()
    rewrite = Intake.rewrite

    def swapped(intake: Intake, *given: Any) -> Taken:
        pq.write_table(pa.table({"noi": ["Z"], "diem": pa.array([9], pa.int32())}), files[0])
        return rewrite(intake, *given)

    monkeypatch.setattr(Intake, "rewrite", swapped)
    world.exchange.publish(descriptor, files, envelope)
    ((signed,), (copy,)) = shelved(world)
    assert signed.read_bytes() == before
    assert pq.read_table(copy)["noi"].to_pylist() == [*"ABCDE"]


def test_no_words_of_a_child_bring_other_bytes_under_a_signed_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child taken over says of its file what the manifest says, and the file is another."""
    descriptor, files, envelope = signed_folder(world.folder_of(INDEX), world.keys[PROVIDER])
    house: House = world.exchange.house
    said = house.intake.examine
    truth = said(dataset.read_descriptor(descriptor), files)
    pq.write_table(pa.table({"noi": [*"ABCDE"], "diem": pa.array([5, 4, 3, 2, 9], pa.int32())}), files[0])

    def lying(_: object, given: object, copies: list[Path], folder: Path) -> Taken:
        (folder / "0").write_bytes(b"anything")
        return Taken(truth, (folder / "0",))

    monkeypatch.setattr(Intake, "rewrite", lying)
    with pytest.raises(Tampered):
        world.exchange.publish(descriptor, files, envelope)
    assert shelved(world) == ([], [])
    assert world.exchange.datasets() == []


def test_no_words_of_a_child_replace_the_copy_of_another_providers_file(
    ready: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second provider signs for the first one's file, hands in another of the same size, and takes the child over."""
    ready.admit("ke-gian", Role.PROVIDER, 9)
    (version,) = (each for each in ready.exchange.datasets() if each.dataset == INDEX)
    before = [path.read_bytes() for path in shelved(ready)[1]]
    folder = ready.folder_of(INDEX, id="chi_so_gia")
    descriptor = dataset.read_descriptor((folder / "descriptor.json").read_bytes())
    truth = Examined(version.rows, version.bytes, version.files, version.statistics)
    document = dataset.manifest(descriptor, truth)
    signatures = [signing.sign(document, ready.keys["ke-gian"], publish.MANIFEST_TYPE)]
    envelope = signing.envelope(publish.MANIFEST, document, signatures)
    (folder / "v1.parquet").write_bytes(b"x" * version.bytes)

    def lying(_: object, given: object, copies: list[Path], work: Path) -> Taken:
        (work / "0").write_bytes(b"forged rows")
        return Taken(truth, (work / "0",))

    monkeypatch.setattr(Intake, "rewrite", lying)
    with pytest.raises(Tampered):
        ready.exchange.publish((folder / "descriptor.json").read_bytes(), [folder / "v1.parquet"], envelope)
    assert [path.read_bytes() for path in shelved(ready)[1]] == before


def test_a_file_that_is_shared_is_written_by_a_child_that_reads_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a file of another provider's a hostile one takes the child over, which forges the copies of both."""
    world.publish(INDEX)
    (honest,) = shelved(world)[1]
    folder = world.folder_of(INDEX, description={"vi": "Hai tệp.", "en": "Two files."})
    pq.write_table(pa.table({"noi": ["Z"], "diem": pa.array([9], pa.int32())}), folder / "a.parquet")
    signed = signed_folder(folder, world.keys[PROVIDER])
    rewrite = Intake.rewrite

    def forging(intake: Intake, given: Any, copies: list[Path], work: Path) -> Taken:
        taken = rewrite(intake, given, copies, work)
        for layout in taken.layouts if len(copies) > 1 else ():
            layout.write_bytes(b"forged rows")
        return taken

    monkeypatch.setattr(Intake, "rewrite", forging)
    world.exchange.publish(*signed)
    forged, kept = sorted(shelved(world)[1], key=lambda path: path == honest)
    assert kept == honest
    assert forged.read_bytes() == b"forged rows"


def test_sweeping_keeps_extracts_in_use_and_removes_what_crashes_left_when_it_is_old(ready: World) -> None:
    ready.query()
    extracts = sorted((ready.home / "extracts").iterdir())
    for number, path in enumerate(
        (*extracts, ready.home / "datasets" / "part-old", ready.home / "datasets" / "part-new")
    ):
        if number >= len(extracts):
            path.mkdir()
            (path / "0").write_bytes(b"half")
        if path.name != "part-new":
            os.utime(path, (0, 0))
    assert ready.exchange.sweep() == 1
    assert sorted((ready.home / "extracts").iterdir()) == extracts
    assert [path.name for path in (ready.home / "datasets").glob("part-*")] == ["part-new"]


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) // 2],
    "noise": lambda content: b"PAR1" + b"\x5a" * len(content) + content[-8:],
    "huge footer": lambda content: content[:-8] + b"\xff\xff\xff\x7fPAR1",
    "encrypted": lambda content: content[:-4] + b"PARE",
}


@pytest.mark.parametrize("how", HOSTILE)
def test_hostile_bytes_are_refused_while_the_exchange_goes_on(ready: World, how: str) -> None:
    folder = ready.folder_of(INDEX, description={"vi": "Bản khác.", "en": "Another one."})
    descriptor, files, envelope = signed_folder(folder, ready.keys[PROVIDER])
    files[0].write_bytes(HOSTILE[how](files[0].read_bytes()))
    before = shelved(ready)
    with pytest.raises(Invalid) as refusal:
        ready.exchange.publish(descriptor, files, envelope)
    assert refusal.value.code == "parquet.unreadable"
    assert shelved(ready) == before
    assert list((ready.home / "datasets").glob("part-*")) == []
    assert ready.rows(ready.query())
