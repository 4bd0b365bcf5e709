"""The charter: what the authority allows the pilot, for how long, and how much of it at each stage.

A :class:`CharterDraft` reads well; a :class:`Charter` is signed by its regulator and its operator besides, and only
:func:`sandbox.contracts.charters.open_charter` makes one.
"""

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from typing import Final

from sandbox.core.canonical import Json
from sandbox.core.clock import HO_CHI_MINH, microseconds
from sandbox.core.terms import Digest, ParticipantId, ReleaseMode, Role

VERIFIED: Final = object()
"""What ``open_charter``, and nothing else, hands in to make a Charter."""
ACTIVE: Final = "active"
ENDED: Final = "ended"
STATES: Final[Mapping[str, frozenset[str]]] = {
    ACTIVE: frozenset({ACTIVE, "paused", ENDED}),
    "paused": frozenset({ACTIVE, "paused", ENDED}),
    ENDED: frozenset(),
}
"""The states of a charter, each with those that its next version may have."""
WHOLE: Final = 100


@dataclass(frozen=True, slots=True)
class Window:
    """The only time in which the exchange trades; the end is not in it."""

    start: datetime
    end: datetime
    max_extensions: int
    max_extension_months: int


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the window, in which every cap is multiplied by ``scale_percent``."""

    name: str
    months: int
    scale_percent: int
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that may be traded: whole đồng, queries, rows and bytes; a day is Asia/Ho_Chi_Minh's."""

    per_transaction_vnd: int
    per_buyer_day_vnd: int
    per_provider_day_vnd: int
    exchange_day_vnd: int
    per_buyer_day_queries: int
    per_query_rows_out: int
    per_query_bytes_out: int

    def scaled(self, percent: int) -> "Caps":
        """These caps at so many per cent, rounded down."""
        return Caps(**{cap: getattr(self, cap) * percent // WHOLE for cap in self.__slots__})

    def as_input(self) -> dict[str, Json]:
        """By name, as the policies read them."""
        return {cap: getattr(self, cap) for cap in self.__slots__}


RULED: Final = ("k_min", "k_min_business", "nano_rho_dataset", "nano_rho_contract")
"""The limits of disclosure that rules read."""
QUERY: Final = "query"


@dataclass(frozen=True, slots=True)
class Privacy:
    """Floors and ceilings of disclosure; contracts may only be stricter.

    ``nano_rho_*`` are billionths of zero-concentrated privacy loss, ``delta_pico`` millionths of a millionth.
    """

    k_min: int
    k_min_business: int
    p_percent: int
    dominance_n: int
    dominance_k_percent: int
    nano_rho_dataset: int
    nano_rho_contract: int
    nano_rho_query_default: int
    delta_pico: int

    def as_input(self) -> dict[str, Json]:
        """By name, those that the policies read; the others bind modes of release that are not performed yet."""
        return {limit: getattr(self, limit) for limit in RULED}


@dataclass(frozen=True, slots=True)
class Criterion:
    """A figure of the report beside a number: when to suspend, when the pilot succeeded or failed."""

    metric: str
    op: str
    value: int


@dataclass(frozen=True, slots=True)
class Reporting:
    """How often the operator reports, within how many days, to whom, and whether localities are ranked."""

    period: str
    due_days: int
    recipients: tuple[str, ...]
    ranking: bool


@dataclass(frozen=True, slots=True)
class CharterDraft:
    """A charter that reads well; whether anyone signed it is another question."""

    digest: Digest
    id: str
    version: int
    state: str
    prev: Digest | None
    regulator: ParticipantId
    operator: ParticipantId
    authority: str
    legal_basis: tuple[str, ...]
    objectives: tuple[str, ...]
    window: Window
    stages: tuple[Stage, ...]
    providers_max: int
    buyers_max: int
    min_eid_level: int
    territories: tuple[str, ...]
    caps: Caps
    sectors: tuple[str, ...]
    data_classes: tuple[str, ...]
    privacy: Privacy
    cross_border: bool
    release_modes: tuple[ReleaseMode, ...]
    signed_requests: frozenset[str]
    triggers: tuple[Criterion, ...]
    who_may_suspend: tuple[Role, ...]
    success: tuple[Criterion, ...]
    failure: tuple[Criterion, ...]
    early_exit_plan: bool
    wind_down_days: int
    exit_report: str
    reporting: Reporting
    document: Mapping[str, Json] = field(repr=False, compare=False)

    def stage_at(self, now: datetime) -> Stage | None:
        """The stage that runs at ``now``; None outside the window."""
        return next((stage for stage in self.stages if stage.start <= now < stage.end), None)

    def caps_at(self, now: datetime) -> Caps:
        """The caps of the stage at ``now``; outside the window all are 0."""
        stage = self.stage_at(now)
        return self.caps.scaled(stage.scale_percent if stage else 0)

    def active_at(self, now: datetime) -> bool:
        """Whether it allows trade at ``now``: neither paused nor ended, and in its window."""
        return self.state == ACTIVE and self.window.start <= now < self.window.end

    def over_at(self, now: datetime) -> bool:
        """Whether it allows no trade any more."""
        return self.state == ENDED or now >= self.window.end


@dataclass(frozen=True, slots=True)
class Charter(CharterDraft):
    """A charter signed by its regulator and its operator, and by nobody else."""

    proof: InitVar[object] = None

    def __post_init__(self, proof: object) -> None:
        if proof is not VERIFIED:  # also stops dataclasses.replace from altering one that was verified
            raise TypeError("A Charter is made by open_charter only.")

    def as_input(self, now: datetime, kind: str = "query") -> dict[str, Json]:
        """The charter in a policy question: times in microseconds, caps of the stage at ``now``.

        ``kind`` is what is asked for (``query``, ``contract``, ``order``): ``signed_requests`` says whether the caller
        must have signed such a request. A query is not told how many may take part: it is asked often, and every
        member costs time.
        """
        said: dict[str, Json] = {
            "id": self.id,
            "version": self.version,
            "digest": self.digest,
            "signed": True,
            "regulator": self.regulator,
            "operator": self.operator,
            "state": self.state,
            "start_us": microseconds(self.window.start),
            "end_us": microseconds(self.window.end),
            "sectors": list(self.sectors),
            "data_classes": list(self.data_classes),
            "territories": list(self.territories),
            "release_modes": list[Json](self.release_modes),
            "min_eid_level": self.min_eid_level,
            "cross_border": self.cross_border,
            "caps": self.caps_at(now).as_input(),
            "privacy": self.privacy.as_input(),
            "signed_requests": kind in self.signed_requests,
        }
        if kind != QUERY:
            said |= {"providers_max": self.providers_max, "buyers_max": self.buyers_max}
        return said


def months_after(instant: datetime, months: int) -> datetime:
    """So many calendar months later in Asia/Ho_Chi_Minh; on a shorter month's last day when it has no such day.

    In UTC the month from 1 December, 00:00 in Ho Chi Minh City, would end on "31 February".
    """
    local = instant.astimezone(HO_CHI_MINH)
    years, month = divmod(local.month - 1 + months, 12)
    year = local.year + years
    day = min(local.day, monthrange(year, month + 1)[1])
    return local.replace(year=year, month=month + 1, day=day).astimezone(instant.tzinfo)
