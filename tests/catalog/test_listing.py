"""The listing: versions by digest, one provider a name, and rows that cannot be altered unseen."""

import dataclasses
import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from sandbox.catalog import listing
from sandbox.catalog.dataset import Descriptor, Examined, FileEntry, manifest
from sandbox.catalog.listing import DatasetVersion, list_version
from sandbox.core.canonical import digest, digest_of
from sandbox.core.database import Database, metadata, open_engine, sqlite_url
from sandbox.core.errors import Conflict, Invalid, NotFound, Tampered
from sandbox.core.keys import SigningKey, key_from_seed
from sandbox.core.signing import KnownKeys, envelope, open_signed, sign
from sandbox.core.terms import DatasetId, ParticipantId

AT = dt.datetime(2026, 12, 1, 3, tzinfo=dt.UTC)
KEY: SigningKey = key_from_seed("so-giao-thong", bytes(32))
Make = Callable[..., DatasetVersion]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(open_engine(sqlite_url(tmp_path / "db.sqlite"))) as database:
        metadata.create_all(database.engine, tables=[listing.DATASET, listing.VERSION])
        yield database


@pytest.fixture
def make(descriptor: Descriptor) -> Make:
    def made(content: bytes = b"one", provider: str = "so-giao-thong", dataset: str = "luot_kham") -> DatasetVersion:
        own = dataclasses.replace(descriptor, id=DatasetId(dataset))
        files = (FileEntry(digest(content), 3, len(content)), FileEntry(digest(content * 2), 4, 2 * len(content)))
        examined = Examined(7, 3 * len(content), files, {"khoa": {"nulls": 0, "distinct": 2, "min": None, "max": None}})
        name = digest_of(manifest(own, examined))
        rows = (examined.rows, examined.bytes, examined.statistics)
        return DatasetVersion(name, own.id, ParticipantId(provider), own, files, *rows, published_at=AT)

    return made


def signed(version: DatasetVersion) -> bytes:
    document = manifest(version.descriptor, Examined(version.rows, version.bytes, version.files, version.statistics))
    return envelope("manifest", document, [sign(document, KEY, "dataset+jws")])


def put(database: Database, *versions: DatasetVersion) -> None:
    for version in versions:
        database.write(lambda tx, version=version: list_version(tx, version, signed(version)))


def test_a_version_reads_back_as_it_was_listed(database: Database, make: Make) -> None:
    version = make()
    put(database, version)
    with database.read() as connection:
        assert listing.version(connection, version.digest) == version
        opened = open_signed(
            listing.signed_manifest(connection, version.digest),
            "manifest",
            "dataset+jws",
            KnownKeys({KEY.kid: KEY.verify_key}),
        )
    assert opened.digest == version.digest


def test_the_latest_version_is_the_one_listed_last_even_within_one_instant(database: Database, make: Make) -> None:
    first, second, other = make(b"one"), make(b"two"), make(b"one", dataset="cang")
    put(database, second, other, first)
    with database.read() as connection:
        assert listing.latest(connection, first.dataset) == first
        assert listing.version(connection, second.digest) == second
        assert listing.datasets(connection) == [other, first]


def test_an_empty_exchange_lists_nothing(database: Database, make: Make) -> None:
    with database.read() as connection:
        assert listing.datasets(connection) == []
        for ask in (
            lambda: listing.version(connection, make().digest),
            lambda: listing.latest(connection, DatasetId("luot_kham")),
            lambda: listing.signed_manifest(connection, make().digest),
        ):
            with pytest.raises(NotFound) as caught:
                ask()
            assert caught.value.code == "dataset.unknown"


def test_a_name_belongs_to_the_provider_who_listed_it_first(database: Database, make: Make) -> None:
    put(database, make())
    with pytest.raises(Conflict) as caught:
        put(database, make(b"two", provider="ke-mao-danh"))
    assert caught.value.code == "dataset.owned"
    with database.read() as connection:
        assert listing.latest(connection, DatasetId("luot_kham")) == make()


def test_the_same_version_is_listed_once(database: Database, make: Make) -> None:
    put(database, make())
    with pytest.raises(Conflict) as caught:
        put(database, make())
    assert caught.value.code == "dataset.version_exists"


def test_a_unit_that_fails_afterwards_leaves_no_version_and_no_name(database: Database, make: Make) -> None:
    def interrupted(tx: listing.Transaction) -> None:
        list_version(tx, make(), signed(make()))
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - its own
        database.write(interrupted)
    put(database, make(provider="nguoi-khac"))


@pytest.mark.parametrize("change", ["digest", "rows", "files", "dataset", "descriptor"])
def test_a_manifest_of_another_version_is_refused(database: Database, make: Make, change: str) -> None:
    version = make()
    changes = {
        "digest": digest(b""),
        "rows": 8,
        "files": version.files[:1],
        "dataset": "cang",
        "descriptor": dataclasses.replace(version.descriptor, min_group=2),
    }
    changed = dataclasses.replace(version, **{change: changes[change]})
    with pytest.raises(Invalid) as caught:
        database.write(lambda tx: list_version(tx, changed, signed(version)))
    assert (caught.value.code, caught.value.reasons) == ("manifest.mismatch", ("LIST-08",))


def test_what_is_no_envelope_is_refused(database: Database, make: Make) -> None:
    with pytest.raises(Invalid):
        database.write(lambda tx: list_version(tx, make(), b"{}"))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("rows", 8),
        ("files", json.dumps([{"sha256": digest(b"mine"), "rows": 7, "bytes": 9}])),
        ("descriptor", b"{}"),
    ],
)
def test_a_row_altered_in_the_database_is_noticed(database: Database, make: Make, column: str, value: object) -> None:
    put(database, make())
    database.write(lambda tx: tx.connection.execute(sa.update(listing.VERSION).values({column: value})))
    with database.read() as connection, pytest.raises(Tampered) as caught:
        listing.latest(connection, DatasetId("luot_kham"))
    assert caught.value.code == "tampered.dataset"


def test_a_withheld_column_cannot_be_exposed_in_the_database(database: Database, make: Make) -> None:
    put(database, make())

    def expose(tx: listing.Transaction) -> None:
        content = tx.connection.scalar(sa.select(listing.VERSION.c.descriptor))
        tx.connection.execute(
            sa.update(listing.VERSION).values(descriptor=content.replace(b'"exposed":false', b'"exposed":true'))
        )

    database.write(expose)
    with database.read() as connection, pytest.raises(Tampered):
        listing.version(connection, make().digest)
