"""Publishing as a use case: signed, examined, decided, stored by digest, recorded; or refused and nothing kept."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sandbox.cli.parties import signed_folder
from sandbox.core.errors import Conflict, Invalid, PolicyRefused, SandboxError
from sandbox.core.terms import Role
from tests.world import BUYER, INDEX, PROVIDER, TRIPS, World


def stored(world: World) -> list[Path]:
    return [path for path in (world.home / "datasets").rglob("*") if path.is_file()]


def test_a_published_version_stands_in_catalogue_shelf_and_log(world: World) -> None:
    version = world.publish(TRIPS)
    assert [each.digest for each in world.exchange.datasets()] == [version.digest]
    assert len(stored(world)) == 2  # what was signed, and the exchange's own copy
    assert world.entries()[-1]["version"] == version.digest


def test_files_that_differ_from_the_signed_manifest_are_refused(world: World) -> None:
    folder = world.folder_of(INDEX)
    descriptor, files, envelope = signed_folder(folder, world.keys[PROVIDER])
    pq.write_table(pa.table({"noi": ["Z"], "diem": pa.array([9], pa.int32())}), files[0])
    with pytest.raises(SandboxError) as refusal:
        world.exchange.publish(descriptor, files, envelope)
    assert "LIST-08" in refusal.value.reasons
    assert stored(world) == []


def test_a_manifest_signed_by_a_buyer_is_refused(world: World) -> None:
    with pytest.raises(PolicyRefused):
        world.publish(INDEX, signer=BUYER)
    assert world.exchange.datasets() == []


def test_a_truncated_file_is_refused_and_nothing_is_kept(world: World) -> None:
    folder = world.folder_of(INDEX)
    descriptor, files, envelope = signed_folder(folder, world.keys[PROVIDER])
    files[0].write_bytes(files[0].read_bytes()[:-20])
    with pytest.raises(Invalid) as refusal:
        world.exchange.publish(descriptor, files, envelope)
    assert refusal.value.code == "parquet.unreadable"
    assert (stored(world), world.exchange.datasets()) == ([], [])


def test_another_provider_cannot_take_a_dataset_over(world: World) -> None:
    world.publish(INDEX)
    world.admit("ke-gian", Role.PROVIDER, 9)
    with pytest.raises(Conflict):
        world.publish(INDEX, signer="ke-gian")


def test_the_same_version_is_listed_once(world: World) -> None:
    world.publish(INDEX)
    with pytest.raises(Conflict):
        world.publish(INDEX)


def test_data_of_personal_origin_that_is_only_pseudonymous_is_not_listed(world: World) -> None:
    with pytest.raises(SandboxError) as refusal:
        world.publish(TRIPS, deidentification=None)
    assert isinstance(refusal.value, PolicyRefused | Invalid)
    assert world.exchange.datasets() == []


def test_a_crash_between_shelf_and_entry_leaves_no_listing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from sandbox.catalog import listing

    def dies(*_: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(listing, "list_version", dies)
        with pytest.raises(RuntimeError):
            world.publish(INDEX)
    assert world.exchange.datasets() == []
    assert world.publish(INDEX).rows == 5  # the bytes on the shelf are found again
