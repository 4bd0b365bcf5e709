"""The listing: which versions of which datasets are on offer, whose they are, under which signed manifest."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from sandbox.catalog.dataset import Descriptor, Examined, FileEntry, Statistics, manifest_under, read_descriptor
from sandbox.catalog.descriptor import describe
from sandbox.core.canonical import canonical, digest_of
from sandbox.core.canonical import digest as digest_of_bytes
from sandbox.core.database import Instant, Transaction, metadata
from sandbox.core.errors import Conflict, Invalid, NotFound, Tampered
from sandbox.core.signing import unverified
from sandbox.core.terms import DatasetId, Digest, ParticipantId

DATASET: Final = sa.Table(
    "dataset",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
)
VERSION: Final = sa.Table(
    "dataset_version",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("dataset", sa.Text, sa.ForeignKey("dataset.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),  # 1, 2, 3: two versions of one instant still have an order
    sa.Column("descriptor", sa.LargeBinary, nullable=False),
    sa.Column("files", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("statistics", sa.Text, nullable=False),
    sa.Column("envelope", sa.LargeBinary, nullable=False),
    sa.Column("published_at", Instant, nullable=False),
    sa.UniqueConstraint("dataset", "number"),
)
_VERSIONS: Final = sa.select(VERSION, DATASET.c.provider).join(DATASET)
_BY_DIGEST: Final = _VERSIONS.where(VERSION.c.digest == sa.bindparam("wanted"))


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """One immutable version of a dataset. ``digest`` is that of the manifest, which binds descriptor and files."""

    digest: Digest
    dataset: DatasetId
    provider: ParticipantId
    descriptor: Descriptor
    files: tuple[FileEntry, ...]
    rows: int
    bytes: int
    statistics: Statistics
    published_at: datetime


def _digest(version: DatasetVersion, descriptor: bytes) -> Digest:
    examined = Examined(version.rows, version.bytes, version.files, version.statistics)
    return digest_of(manifest_under(version.descriptor.id, digest_of_bytes(descriptor), examined))


def list_version(tx: Transaction, version: DatasetVersion, envelope: bytes) -> None:
    """Put a version on offer, with the signed manifest that names it (its signature is the caller's to verify).

    Raises:
        Conflict: ``dataset.owned`` when another provider has the name, ``dataset.version_exists``.
        Invalid: ``manifest.mismatch`` when manifest, digest and version do not belong together.
    """
    document, _ = unverified(envelope, "manifest")
    descriptor = canonical(describe(version.descriptor))
    if (
        not version.digest == digest_of(document) == _digest(version, descriptor)
        or version.dataset != document["dataset"]
    ):
        hint = "Sign the manifest of these files and this descriptor."
        raise Invalid("manifest.mismatch", "The manifest is not this version's.", hint=hint, reasons=("LIST-08",))
    _claim(tx, version)
    connection = tx.connection
    if connection.scalar(sa.select(VERSION.c.digest).where(VERSION.c.digest == version.digest)) is not None:
        sentence = f"This version of {version.dataset} is listed already, expected a changed file or descriptor."
        raise Conflict("dataset.version_exists", sentence, hint="Nothing to do: offer the version that is listed.")
    of_dataset = VERSION.c.dataset == version.dataset
    number = connection.scalar(sa.select(sa.func.coalesce(sa.func.max(VERSION.c.number), 0) + 1).where(of_dataset))
    row = _row(version) | {"number": number, "descriptor": descriptor, "envelope": envelope}
    connection.execute(sa.insert(VERSION).values(row))


def _claim(tx: Transaction, version: DatasetVersion) -> None:
    owner = tx.connection.scalar(sa.select(DATASET.c.provider).where(DATASET.c.id == version.dataset))
    if owner is None:
        tx.connection.execute(sa.insert(DATASET).values(id=version.dataset, provider=version.provider))
    elif owner != version.provider:
        sentence = f"The name {version.dataset} is another provider's."
        raise Conflict("dataset.owned", sentence, hint="List the dataset under another id.")


def _row(version: DatasetVersion) -> dict[str, object]:
    files = [{"sha256": file.digest, "rows": file.rows, "bytes": file.bytes} for file in version.files]
    return {
        "digest": version.digest,
        "dataset": version.dataset,
        "files": json.dumps(files),
        "rows": version.rows,
        "bytes": version.bytes,
        "statistics": json.dumps(version.statistics, ensure_ascii=False),
        "published_at": version.published_at,
    }


def version(connection: Connection, digest: Digest) -> DatasetVersion:
    """The version of a digest.

    Raises:
        NotFound: ``dataset.unknown``.
        Tampered: ``tampered.dataset`` when the stored row is no longer what was signed.
    """
    return _one(connection, _BY_DIGEST, {"wanted": digest})


def latest(connection: Connection, dataset: DatasetId) -> DatasetVersion:
    """The newest version of a dataset.

    Raises:
        NotFound: ``dataset.unknown``.
        Tampered: ``tampered.dataset``.
    """
    return _one(connection, _VERSIONS.where(VERSION.c.dataset == dataset).order_by(VERSION.c.number.desc()).limit(1))


def datasets(connection: Connection) -> list[DatasetVersion]:
    """The newest version of each dataset, by id."""
    newest = sa.select(VERSION.c.dataset, sa.func.max(VERSION.c.number)).group_by(VERSION.c.dataset)
    chosen = sa.tuple_(VERSION.c.dataset, VERSION.c.number).in_(newest)
    return [_version(row) for row in connection.execute(_VERSIONS.where(chosen).order_by(VERSION.c.dataset))]


def signed_manifest(connection: Connection, digest: Digest) -> bytes:
    """The envelope as it was listed, for anyone to verify.

    Raises:
        NotFound: ``dataset.unknown``.
    """
    envelope = connection.scalar(sa.select(VERSION.c.envelope).where(VERSION.c.digest == digest))
    if envelope is None:
        raise _unknown()
    return bytes(envelope)


def _one(connection: Connection, query: sa.Select[Any], given: Mapping[str, object] | None = None) -> DatasetVersion:
    row = connection.execute(query, given).one_or_none()
    if row is None:
        raise _unknown()
    return _version(row)


def _unknown() -> NotFound:
    return NotFound("dataset.unknown", "No such dataset or version is listed.", hint="See the list of datasets.")


@lru_cache(maxsize=256)
def _version(row: Row[Any]) -> DatasetVersion:
    # each query asks for its version; a row that was altered is another row, and is checked
    try:
        descriptor = read_descriptor(bytes(row.descriptor))
    except Invalid:
        raise _tampered(row.digest) from None
    found = DatasetVersion(
        digest=row.digest,
        dataset=row.dataset,
        provider=row.provider,
        descriptor=descriptor,
        files=tuple(FileEntry(file["sha256"], file["rows"], file["bytes"]) for file in json.loads(row.files)),
        rows=row.rows,
        bytes=row.bytes,
        statistics=json.loads(row.statistics),
        published_at=row.published_at,
    )
    if (
        _digest(found, bytes(row.descriptor)) != found.digest or found.dataset != descriptor.id
    ):  # a descriptor altered in place could expose
        raise _tampered(found.digest)
    return found


def _tampered(name: str) -> Tampered:
    hint = "Restore the database from a copy whose log verifies."
    return Tampered("tampered.dataset", f"The listing of {name} is not what was signed.", hint=hint)
