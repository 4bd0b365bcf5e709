"""The five sample datasets examined and put on the shelf, beside reading and copying alone."""

import os
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pyarrow.parquet as pq

from sandbox.catalog import dataset
from sandbox.catalog.dataset import Descriptor, Examined
from sandbox.catalog.shelf import Shelf
from sandbox.cli.market import DEALS
from sandbox.cli.pilot import generate
from sandbox.settings import share
from tests.bench.figures import Bench, Row, compared, medians

Source = tuple[Descriptor, Path]


def publish(bench: Bench) -> Iterator[Row]:
    """(f) What publishing costs beyond the bytes themselves."""
    scale = 0.01 if bench.quick else 0.1
    sources = [_made(bench.folder, deal.dataset, scale) for deal in DEALS]
    known: list[tuple[Path, Examined]] = []
    folders = count()

    def examined() -> None:
        known[:] = [(path, dataset.examine(descriptor, [path])) for descriptor, path in sources]

    def shelved() -> None:
        shelf = Shelf(bench.fresh(f"shelf-{next(folders)}"))
        for path, found in known:
            shelf.put(path, found.files[0].digest)

    acts = {
        "examine": examined,  # first, for the shelf takes what it found
        "read": lambda: [pq.read_table(path) for _, path in sources],
        "shelf": shelved,
        "copy": lambda: _copied([path for _, path in sources], bench.fresh(f"copy-{next(folders)}")),
    }
    found = medians(bench, bench.sized(3, 1), acts)
    what = f"five datasets at scale {scale} ({_size(known)})"
    yield compared(f"{what} examined", found["examine"], "read by pyarrow", found["read"])
    yield compared("… put on the shelf", found["shelf"], "copied, each durable", found["copy"])


def _made(folder: Path, name: str, scale: float) -> Source:
    path = folder / f"{name}.parquet"
    generate(name, path, scale)
    return dataset.read_descriptor((share("datasets") / name / "descriptor.json").read_bytes()), path


def _size(known: list[tuple[Path, Examined]]) -> str:
    rows, size = (sum(getattr(examined, part) for _, examined in known) for part in ("rows", "bytes"))
    return f"{rows:,} rows, {size / 1e6:.1f} MB"


def _copied(paths: list[Path], folder: Path) -> None:
    for path in paths:
        with path.open("rb") as source, (folder / path.name).open("wb") as target:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())
