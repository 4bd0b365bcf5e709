"""Entries of the record as a file to carry away: lines of JSON, or a Parquet table of a fixed schema."""

import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sandbox.audit.named import OWNERS
from sandbox.core.canonical import canonical
from sandbox.core.clock import day_of, instant_of
from sandbox.core.errors import Invalid
from sandbox.core.files import sync_folder

if TYPE_CHECKING:
    from sandbox.exchange.desk import Seen

Pages = Iterable[tuple["Seen", ...]]
_ROWS: Final = 16_384
"""In a row group, about."""


def write_entries(out: Path, pages: Pages, complete: Mapping[str, Any], *, reveal: bool) -> int:
    """Write entries to ``out``, by its ending; it is there whole or not at all. Answers how many.

    ``complete`` says up to where they are complete; it ends the lines, and stands in the table's metadata.

    Raises:
        Invalid: ``audit.format`` for another ending, ``file.unwritable``.
    """
    writers = {".ndjson": _lines, ".parquet": _table}
    if out.suffix not in writers:
        raise Invalid(
            "audit.format", f"No entries are written as {out.suffix!r}.", hint="Name it FILE.ndjson or FILE.parquet."
        )
    try:
        with _whole(out) as draft:
            return writers[out.suffix](draft, pages, complete, reveal=reveal)
    except OSError as error:
        raise Invalid(
            "file.unwritable", f"The file cannot be written: {error.strerror}.", hint="Name another --out."
        ) from None


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    draft = out.with_name(f".{out.name}.part-{secrets.token_hex(4)}")
    try:
        draft.touch(0o600, exist_ok=False)  # sealed values may stand in it: it is its owner's alone
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(out)
        sync_folder(out.parent)
    finally:
        draft.unlink(missing_ok=True)


def _lines(draft: Path, pages: Pages, complete: Mapping[str, Any], *, reveal: bool) -> int:
    count = 0
    with draft.open("w", encoding="utf-8") as file:
        for page in pages:
            for seen in page:
                line = {"index": seen.index, "entry": seen.entry} | ({"reveal": seen.reveal} if reveal else {})
                file.write(_text(line) + "\n")
            count += len(page)
        file.write(_text({"complete_to": complete}) + "\n")  # a cut-off file lacks it
    return count


def _table(draft: Path, pages: Pages, complete: Mapping[str, Any], *, reveal: bool) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    said = {"sandbox.complete_to": json.dumps(complete)}
    shape = _schema().with_metadata(said)
    count = 0
    with draft.open("wb") as file, pq.ParquetWriter(file, shape, compression="zstd") as writer:
        for rows in _groups(pages, reveal=reveal):
            writer.write_table(pa.Table.from_pylist(rows, schema=shape))
            count += len(rows)
    return count


def _groups(pages: Pages, *, reveal: bool) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for page in pages:
        rows += [_row(seen, reveal=reveal) for seen in page]
        if len(rows) >= _ROWS:
            yield rows
            rows = []
    yield rows


def _schema() -> Any:
    import pyarrow as pa

    text, texts, number = pa.string(), pa.list_(pa.string()), pa.int64()
    return pa.schema({
        "index": number, "id": text, "ts": pa.timestamp("us", "UTC"), "day": pa.date32(), "type": text, "query": text,
        "agreements": texts, "datasets": texts, "provider": text, "actor": text, "code": text, "reasons": texts,
        "vnd": number, "rows_out": number, "bytes_out": number, "policy": text, "isolation": text, "entry": text,
        "reveal": text,
    })  # fmt: skip


def _row(seen: "Seen", *, reveal: bool) -> dict[str, Any]:
    entry, kept = seen.entry, seen.reveal or {}
    at, meter = instant_of(entry["ts"]), entry.get("meter") or {}
    parts = entry.get("agreements") or [{"id": entry.get("agreement"), "dataset": entry.get("dataset")}]
    actor = next((kept[name]["value"] for name in OWNERS if name in kept), None)
    return {name: entry.get(name) for name in ("id", "type", "query", "provider", "code", "isolation")} | {
        "index": seen.index,
        "ts": at,
        "day": day_of(at),
        "agreements": [each["id"] for each in parts if each["id"]],
        "datasets": [each["dataset"] for each in parts if each["dataset"]],
        "actor": actor if isinstance(actor, str) else None,
        "reasons": entry.get("reasons") or [],
        "vnd": meter.get("vnd", entry.get("vnd")),
        "rows_out": meter.get("rows_out"),
        "bytes_out": meter.get("bytes_out"),
        "policy": (entry.get("policy") or {}).get("bundle"),
        "entry": canonical(entry).decode(),
        "reveal": _text(kept) if reveal else None,
    }


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
