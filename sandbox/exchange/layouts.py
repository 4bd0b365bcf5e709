"""The exchange's own copies of a version's files, from which alone extracts are made."""

from pathlib import Path
from typing import Final

from sandbox.catalog.dataset import FileEntry
from sandbox.catalog.listing import DatasetVersion
from sandbox.core.errors import Invalid, Unavailable
from sandbox.core.files import Makers
from sandbox.exchange.house import House

_MAKERS: Final = Makers()


def layouts(house: House, version: DatasetVersion) -> tuple[Path, ...]:
    """Where they are, in the order of the version's files; what is missing is made again from what was signed.

    Raises:
        NotFound, Tampered: the signed file is gone, or is another.
        Busy, Unavailable: it cannot be made now.
    """
    return tuple(house.shelf.layout(file.digest) or _again(house, version, file) for file in version.files)


def known(house: House, version: DatasetVersion) -> tuple[Path, ...]:
    """Where they are, or nothing when one is missing."""
    found = [house.shelf.layout(file.digest) for file in version.files]
    return tuple(path for path in found if path) if all(found) else ()


def verify(house: House, version: DatasetVersion) -> None:
    """Be sure, before an extract is made, that the bytes are still those that were signed, and those that were made.

    Raises:
        NotFound, Tampered: a file is gone, or is another.
    """
    for file, layout in zip(version.files, layouts(house, version), strict=True):
        house.shelf.verify(file.digest)
        house.shelf.verify_layout(layout)


def _again(house: House, version: DatasetVersion, file: FileEntry) -> Path:
    with _MAKERS.lock(file.digest):  # those who need the same copy make it once
        return house.shelf.layout(file.digest) or _made(house, version, file)


def _made(house: House, version: DatasetVersion, file: FileEntry) -> Path:
    original = house.shelf.verify(file.digest)
    with house.shelf.workshop() as folder:
        try:
            taken = house.intake.rewrite(version.descriptor, [original], folder)
        except Invalid:  # it was listed when less was asked of files; its buyers can do nothing about it
            raise _unprepared() from None
        if taken.examined.files[0] != file:
            raise _unprepared()
        return house.shelf.keep(file.digest, taken.layouts[0])


def _unprepared() -> Unavailable:
    return Unavailable(
        "engine.extract",
        "What the contract grants could not be prepared.",
        hint="The provider publishes the dataset anew; nothing was charged.",
    )
