"""A dataset version as bytes: its files examined against the descriptor, and the manifest that its provider signs.

::

    {"dataset": "xe_buyt_luot_di", "descriptor": "sha256:…", "rows": 1200000, "bytes": 21471454,
     "files": [{"sha256": "sha256:…", "rows": 1200000, "bytes": 21471454}]}

The digest of the manifest is the name of the version.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sandbox.catalog import draft
from sandbox.catalog.descriptor import ColumnSpec, Descriptor, describe
from sandbox.catalog.examination import Examined, FileEntry, Statistics
from sandbox.catalog.intake import MEMORY_MB, MODULES, Intake
from sandbox.catalog.reading import read_descriptor
from sandbox.core.canonical import Json, digest_of
from sandbox.core.terms import DatasetId, Digest
from sandbox.jail.jail import Jail

__all__ = [
    "ColumnSpec",
    "Descriptor",
    "Examined",
    "FileEntry",
    "Statistics",
    "draft_descriptor",
    "examine",
    "manifest",
    "manifest_under",
    "read_descriptor",
]


@contextmanager
def _own_intake() -> Iterator[Intake]:
    """The intake of a provider, who has no exchange at hand: a jail for this once."""
    jail = Jail(MODULES, 2 * MEMORY_MB)
    try:
        yield Intake(jail)
    finally:
        jail.close()


def examine(descriptor: Descriptor, files: Sequence[Path]) -> Examined:
    """Read every row of one's own files against the descriptor, as the exchange will.

    Raises:
        Invalid, Unavailable: see :meth:`sandbox.catalog.intake.Intake.examine`.
    """
    with _own_intake() as intake:
        return intake.examine(descriptor, files)


def draft_descriptor(file: Path, dataset_id: str) -> dict[str, Json]:
    """See :func:`sandbox.catalog.draft.drafted`.

    Raises:
        Invalid: ``descriptor.invalid`` for the id, or ``parquet.*`` when the file cannot be listed.
        Unavailable: see :meth:`sandbox.catalog.intake.Intake.examine`.
    """
    with _own_intake() as intake:
        return draft.drafted(dataset_id, file.name, lambda: intake.columns(file))


def manifest(descriptor: Descriptor, examined: Examined) -> dict[str, Json]:
    """What the provider signs; list the files in the order of their names, for the order is part of it."""
    return manifest_under(descriptor.id, digest_of(describe(descriptor)), examined)


def manifest_under(dataset: DatasetId, descriptor: Digest, examined: Examined) -> dict[str, Json]:
    """The manifest of a descriptor whose digest is known."""
    return {
        "dataset": dataset,
        "descriptor": descriptor,
        "files": [{"sha256": file.digest, "rows": file.rows, "bytes": file.bytes} for file in examined.files],
        "rows": examined.rows,
        "bytes": examined.bytes,
    }
