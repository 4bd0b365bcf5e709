"""The shapes of what the HTTP API takes and gives."""

from typing import Annotated, Any

import msgspec

from sandbox.catalog.listing import DatasetVersion
from sandbox.contracts.terms import Offer
from sandbox.core.clock import text_of
from sandbox.market.volume import Volume


class QueryBody(msgspec.Struct, forbid_unknown_fields=True):
    """A query: SQL under agreements (digests or unique prefixes) for one purpose of theirs."""

    sql: Annotated[str, msgspec.Meta(max_length=65_536)]
    agreements: Annotated[list[str], msgspec.Meta(min_length=1, max_length=8)]
    purpose: Annotated[str, msgspec.Meta(max_length=100)]
    max_price_vnd: Annotated[int, msgspec.Meta(ge=0)] | None = None


class QueryAnswer(msgspec.Struct):
    """A completed query with its rows. Whole numbers beyond 2^53 and fractions of decimals stand as text."""

    id: str
    status: str
    rows_out: int
    bytes_out: int
    groups_withheld: bool
    price_vnd: int
    receipt: str
    columns: list[str]
    rows: list[list[Any]]


class ColumnView(msgspec.Struct):
    """A column of a dataset as the catalogue shows it."""

    name: str
    type: str
    sensitivity: str
    meaning: dict[str, str]


class DatasetView(msgspec.Struct):
    """A dataset's newest version as the catalogue shows it. Sizes of protected datasets are for their provider.

    ``quality`` and ``lawful_origin`` are what the seller says of it, in each language.
    """

    id: str
    version: str
    provider: str
    title: dict[str, str]
    description: dict[str, str]
    sector: str
    data_class: str
    origin: str
    update_frequency: str
    published_at: str
    columns: list[ColumnView]
    dimensions: list[str]
    seller_status: str | None
    quality: dict[str, str] | None
    lawful_origin: dict[str, str] | None


class OfferView(msgspec.Struct):
    """An offer: who sells the use of what, for which purposes, until when, at which price."""

    id: str
    provider: str
    dataset: str
    version: str
    purposes: list[str]
    territories: list[str]
    price_vnd: int
    not_after: str
    release: str
    min_group: int
    document: dict[str, Any]


class AgreementView(msgspec.Struct):
    """An agreement in the registry."""

    id: str
    dataset: str
    provider: str
    buyer: str
    state: str


class NegotiationView(msgspec.Struct):
    """A negotiation: where it stands in the Dataspace Protocol's states, and whose turn it is."""

    id: str
    state: str
    dataset: str
    provider: str
    buyer: str
    due: str | None


class MessageView(msgspec.Struct):
    """One message of a negotiation: who (``C`` the buyer, ``P`` the provider) led it where, with which document."""

    party: str
    state: str
    document: str | None
    envelope: dict[str, Any] | None
    at: str


class HistoryView(msgspec.Struct):
    """A negotiation with its messages in order."""

    negotiation: NegotiationView
    messages: list[MessageView]


class CharterView(msgspec.Struct):
    """The charter in force: its document, its stage, and the caps of that stage."""

    digest: str
    id: str
    version: int
    state: str
    stage: str | None
    caps: dict[str, Any]
    document: dict[str, Any]


class OrderView(msgspec.Struct):
    """An order that was carried out."""

    id: str
    act: str
    kind: str
    target: str
    ends: str | None


class SuspensionView(msgspec.Struct):
    """A suspension, or an open incident, that stands now; the market has no ``target``."""

    id: str
    act: str
    kind: str
    target: str
    reason: str


class VolumeView(msgspec.Struct):
    """Settled transactions: count, value in đồng, rows and bytes released, and the count of free ones."""

    count: int
    value_vnd: int
    rows: int
    bytes: int
    count_open: int


class VolumeAnswer(msgspec.Struct, omit_defaults=True):
    """The volume, whole or by one dimension."""

    total: VolumeView
    by: dict[str, VolumeView] = {}


class Alive(msgspec.Struct):
    """The process answers."""

    status: str


class PartView(msgspec.Struct):
    """One part's readiness."""

    ready: bool
    says: str


class Ready(msgspec.Struct):
    """Whether each part is ready."""

    ready: bool
    parts: dict[str, PartView]


def dataset_view(version: DatasetVersion) -> DatasetView:
    """What buyers may know of a dataset before they have an agreement: never sizes or statistics."""
    descriptor = version.descriptor
    exposed = [column for column in descriptor.columns if column.exposed]
    return DatasetView(
        id=descriptor.id,
        version=version.digest,
        provider=version.provider,
        title=dict(descriptor.title),
        description=dict(descriptor.description),
        sector=descriptor.sector,
        data_class=descriptor.data_class,
        origin=descriptor.origin,
        update_frequency=descriptor.update_frequency,
        published_at=text_of(version.published_at),
        columns=[ColumnView(each.name, each.type, each.sensitivity, dict(each.meaning)) for each in exposed],
        dimensions=[dimension.name for dimension in descriptor.dimensions],
        seller_status=descriptor.seller_status,
        quality=dict(descriptor.quality) if descriptor.quality else None,
        lawful_origin=dict(descriptor.lawful_origin) if descriptor.lawful_origin else None,
    )


def offer_view(offer: Offer, document: dict[str, Any]) -> OfferView:
    """An offer with its signed document, from which a buyer makes the agreement."""
    terms = offer.terms
    return OfferView(
        id=offer.id,
        provider=offer.provider,
        dataset=offer.dataset,
        version=offer.version,
        purposes=list(terms.purposes),
        territories=list(terms.territories),
        price_vnd=int(terms.price),
        not_after=text_of(terms.not_after),
        release=terms.release,
        min_group=terms.min_group,
        document=document,
    )


def volume_view(volume: Volume) -> VolumeView:
    """A volume as the API shows it."""
    return VolumeView(volume.count, int(volume.value_vnd), volume.rows, volume.bytes, volume.count_open)
