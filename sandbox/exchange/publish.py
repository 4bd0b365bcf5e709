"""Publishing a dataset version: signed manifest, files examined and written anew, policy, the shelf, entry."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy.engine import Connection

from sandbox.audit.events import EventType
from sandbox.catalog import dataset, listing
from sandbox.catalog.dataset import Descriptor, Examined, FileEntry
from sandbox.catalog.intake import Taken
from sandbox.catalog.listing import DatasetVersion
from sandbox.contracts import orders, participants
from sandbox.contracts.verified import Verified
from sandbox.core.canonical import Json, digest
from sandbox.core.database import Transaction
from sandbox.core.errors import AgreementRefused, Invalid, PolicyRefused, Tampered
from sandbox.core.signing import Signed, open_signed
from sandbox.core.terms import Digest, Participant
from sandbox.exchange import questions
from sandbox.exchange.decide import in_words
from sandbox.exchange.house import House
from sandbox.exchange.refused import recorded

MANIFEST = "manifest"
MANIFEST_TYPE = "dataset+jws"
_SIGNED: Final = Verified[Digest]()


def publish(house: House, descriptor_bytes: bytes, files: Sequence[Path], envelope: bytes) -> DatasetVersion:
    """List one version of a dataset.

    Args:
        house: the exchange.
        descriptor_bytes: the dataset's ``descriptor.json``.
        files: its Parquet files, in the manifest's order.
        envelope: the manifest of descriptor and files, signed by the provider.

    Raises:
        Invalid: descriptor, Parquet or signature is not as it should be; nothing was kept.
        PolicyRefused: a listing rule does not hold.
        Conflict: the dataset is another provider's, or this version is listed already.
    """
    with recorded(house, EventType.DATASET_REFUSED, {"manifest": digest(envelope)}):
        return _published(house, descriptor_bytes, files, envelope)


def _published(house: House, descriptor_bytes: bytes, files: Sequence[Path], envelope: bytes) -> DatasetVersion:
    # (1) Who signs?
    signed, provider = _signed_by(house, envelope)
    # (2) Are the files what the descriptor and the manifest say?
    descriptor = dataset.read_descriptor(descriptor_bytes)
    isolation = house.engine.require_isolation()  # the intake's children come from the same jail
    with _taken(house, files) as copies, house.shelf.workshop() as folder:
        taken = house.intake.rewrite(descriptor, copies, folder)
        examined = taken.examined
        # (3) May it be listed?
        _decide(house, provider, descriptor, examined, signed)
        if signed.document != dataset.manifest(descriptor, examined):
            raise Invalid(
                "manifest.mismatch",
                "The signed manifest differs from the files and descriptor.",
                hint="Run sandbox publish again on the folder as it is now.",
                reasons=("LIST-08",),
            )
        # (4) Bytes first: a crash after this leaves files that no row names, never a row without its files.
        _shelve(house, descriptor, copies, taken)
    version = DatasetVersion(
        digest=signed.digest,
        dataset=descriptor.id,
        provider=provider.id,
        descriptor=descriptor,
        files=examined.files,
        rows=examined.rows,
        bytes=examined.bytes,
        statistics=examined.statistics,
        published_at=house.now(),
    )
    # (5) On the record.
    _list(house, version, envelope, isolation)
    return version


def _signed_by(house: House, envelope: bytes) -> tuple[Signed, Participant]:
    with house.database.read() as connection:
        signers = house.signers(connection)
        signed = open_signed(envelope, MANIFEST, MANIFEST_TYPE, signers, "LIST-08")
        owners = {signers.owner_of(kid) for kid in signed.kids}
        if len(owners) != 1 or None in owners:
            raise Invalid("signature.invalid", "A manifest is signed by its provider alone.", reasons=("LIST-08",))
        return signed, participants.participant(connection, next(owner for owner in owners if owner))


def require_signed(house: House, connection: Connection, version: DatasetVersion) -> None:
    """That a listed version stands under its provider's signature: a row that is consistent could be anyone's.

    Raises:
        AgreementRefused: ``dataset.key_revoked`` when the key that signed it is revoked with effect on it.
        Tampered: ``tampered.dataset``.
    """
    text = listing.signed_manifest(connection, version.digest)
    signers = house.signers(connection, version.published_at)

    def verify() -> Digest:
        signed = open_signed(text, MANIFEST, MANIFEST_TYPE, signers, "LIST-08")
        if (signed.digest, {*map(signers.owner_of, signed.kids)}) != (version.digest, {version.provider}):
            raise Invalid("signature.invalid", "The manifest is not its provider's.", reasons=("LIST-08",))
        return signed.digest

    try:
        _SIGNED.opened(signers, (f"{version.provider}/{version.digest}", text), verify)
    except Invalid:
        if any(map(signers.is_revoked, signers.asked)):
            raise AgreementRefused(
                "dataset.key_revoked", "The key that signed this version is revoked since before it signed.",
                hint="Wait for a version that its provider signs anew.", reasons=("LIST-08",),
            ) from None  # fmt: skip
        raise Tampered(
            "tampered.dataset", f"The listing of {version.digest} is not what was signed.",
            hint="Restore the database from a copy whose log verifies.",
        ) from None  # fmt: skip


def _shelve(house: House, descriptor: Descriptor, copies: Sequence[Path], taken: Taken) -> None:
    for path, layout, entry in zip(copies, taken.layouts, taken.examined.files, strict=True):
        house.shelf.put(path, entry.digest)
        if len(copies) > 1 and house.shelf.layout(entry.digest):
            _shelve_alone(house, descriptor, path, entry)
        else:
            house.shelf.keep(entry.digest, layout)


def _shelve_alone(house: House, descriptor: Descriptor, path: Path, entry: FileEntry) -> None:
    """Of a file that another version has too: a file beside it could have taken over the child that wrote for both."""
    with house.shelf.workshop() as folder:
        house.shelf.keep(entry.digest, house.intake.rewrite(descriptor, [path], folder).layouts[0])


@contextmanager
def _taken(house: House, files: Sequence[Path]) -> Iterator[list[Path]]:
    """Copies that the provider cannot write any more, so that what is examined is what is shelved."""
    with house.shelf.workshop() as folder:
        copies = [folder / str(number) / path.name for number, path in enumerate(files)]
        for path, copy in zip(files, copies, strict=True):
            if path.is_file():  # whatever else it is, the examination says so
                copy.parent.mkdir()
                shutil.copyfile(path, copy)
        yield copies


def _decide(house: House, provider: Participant, descriptor: Descriptor, examined: Examined, signed: Signed) -> None:
    declared = signed.document.get("files")
    names = (
        [file.get("sha256") if isinstance(file, dict) else None for file in declared]
        if isinstance(declared, list)
        else []
    )
    names += [None] * (len(examined.files) - len(names))
    files: list[Json] = [
        {"declared": name, "actual": file.digest} for name, file in zip(names, examined.files, strict=False)
    ]
    with house.database.read() as connection:
        around = questions.Around(
            house.now(), house.charter(connection), orders.concerning(connection, [provider.id], [descriptor.id], [])
        )
    decision = house.policy.decide(questions.publication(descriptor, files, provider, around))
    if not decision.allow:
        raise PolicyRefused(
            "policy.refused",
            f"{descriptor.id} may not be listed. {in_words(decision)}",
            hint=questions.way_in(decision.reasons),
            reasons=decision.reasons,
        )


def _list(house: House, version: DatasetVersion, envelope: bytes, isolation: str) -> None:
    entry = house.new_entry()
    descriptor = version.descriptor
    clear: dict[str, Json] = {
        "dataset": version.dataset,
        "version": version.digest,
        "provider": version.provider,
        "sector": descriptor.sector,
        "class": descriptor.data_class,
        "isolation": isolation,
    }

    def write(tx: Transaction) -> None:
        listing.list_version(tx, version, envelope)
        house.record(tx, EventType.DATASET_PUBLISHED, entry, clear)

    house.database.write(write)
