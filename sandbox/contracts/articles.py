"""How a charter's JSON is read: every member, strictly, with a sentence that says what is wrong.

``contracts/charter.json`` is a whole one, ``docs/formats/charter.md`` explains it.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, NoReturn, TypeAlias

from sandbox.contracts import members
from sandbox.contracts.charter import (
    STATES,
    Caps,
    CharterDraft,
    Criterion,
    Privacy,
    Reporting,
    Stage,
    Window,
    months_after,
)
from sandbox.contracts.members import choice, flag, list_of, whole, word
from sandbox.core.canonical import Json, digest_of
from sandbox.core.errors import Invalid
from sandbox.core.terms import Digest, ParticipantId, ReleaseMode, Role

Object: TypeAlias = dict[str, Json]

SHAPE: Final[Mapping[str, frozenset[str]]] = {
    "The charter": frozenset(
        {
            *("charter_id", "version", "state", "prev", "parties", "authority", "objectives", "window", "stages"),
            *("participants", "caps", "sectors", "data_classes", "release_modes", "privacy", "cross_border"),
            *("signed_requests", "suspension", "exit", "reporting"),
        }
    ),
    "parties": frozenset({"regulator", "operator"}),
    "authority": frozenset({"name", "legal_basis"}),
    "window": frozenset({"start", "end", "max_extensions", "max_extension_months"}),
    "stages": frozenset({"name", "months", "scale_percent"}),
    "participants": frozenset({"providers_max", "buyers_max", "min_eid_level", "territories"}),
    "caps": frozenset(Caps.__slots__),
    "privacy": frozenset(
        {
            *("k_min", "k_min_business", "p_percent", "dominance", "delta_pico"),
            *("nano_rho_dataset", "nano_rho_contract", "nano_rho_query_default"),
        }
    ),
    "privacy.dominance": frozenset({"n", "k_percent"}),
    "signed_requests": frozenset({"query", "contract", "order"}),
    "suspension": frozenset({"triggers", "who_may", "effect"}),
    "exit": frozenset({"success", "fail", "early_exit_plan", "wind_down_days", "exit_report"}),
    "reporting": frozenset({"period", "due_days", "recipients", "ranking"}),
    "a criterion": frozenset({"metric", "op", "value"}),
}
"""The members of each object of a charter; all are mandatory."""
CLASSES: Final = ("mo", "dung_chung", "thuong_mai", "khu_nhan_dang", "quan_trong")
"""What a charter may admit; ``cot_loi`` is never tradeable."""
OPERATORS: Final = ("<", "<=", "==", ">=", ">")
EFFECT: Final = "deny_new_keep_evidence"
PERIODS: Final = ("month", "quarter", "year")
MOST_VND: Final = 10**15
MOST_COUNT: Final = 10**9
MOST_BYTES: Final = 2**40
MOST_NANO: Final = 10**12
MOST_VALUE: Final = 10**12
MOST_TEXT: Final = 400
MOST_VERSIONS: Final = 10_000
MOST_STAGES: Final = 24
MOST_MONTHS: Final = 120
MOST_EID_LEVEL: Final = 3
_PLAN: Final = "exit.early_exit_plan"
_SPELLING: Final = "%Y-%m-%dT%H:%M:%SZ"
_CAPS: Final = {"vnd": MOST_VND, "queries": MOST_VALUE, "out": MOST_BYTES}

_charter_id = word(re.compile(r"[A-Z0-9]+(?:-[A-Z0-9]+)*", re.ASCII), "a charter's id, such as TPHCM-SGDDL-2026-01")
_name = word(re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII), "a word of a-z, 0-9 and _, such as giao_thong")


def read_charter(document: Mapping[str, Json]) -> CharterDraft:
    """Read a charter, signed or not.

    Raises:
        Invalid: ``charter.invalid`` (CHARTER-01), naming the member and what was expected of it.
    """
    try:
        return _read(dict(document))
    except Invalid as error:
        if error.code != "contract.invalid":
            raise
        refuse(error.message)


_START_FROM: Final = "Start from sandbox charter draft; docs/formats/charter.md names every member."


def refuse(sentence: str, hint: str = _START_FROM) -> NoReturn:
    """Refuse a charter.

    Raises:
        Invalid: ``charter.invalid``.
    """
    raise Invalid("charter.invalid", sentence, hint=hint, reasons=("CHARTER-01",))


def _read(document: Object) -> CharterDraft:
    said = _object(document, "The charter")
    parties = _object(said["parties"], "parties")
    authority = _object(said["authority"], "authority")
    cohort = _object(said["participants"], "participants")
    suspension, ending = _object(said["suspension"], "suspension"), _object(said["exit"], "exit")
    window = _window(said["window"])
    choice([EFFECT])(suspension["effect"], "suspension.effect")
    draft = CharterDraft(
        digest=digest_of(said),
        id=_charter_id(said["charter_id"], "charter_id"),
        version=whole(said["version"], "version", 1, MOST_VERSIONS),
        state=choice(STATES)(said["state"], "state"),
        prev=None if said["prev"] is None else Digest(members.digest(said["prev"], "prev")),
        regulator=ParticipantId(members.participant(parties["regulator"], "parties.regulator")),
        operator=ParticipantId(members.participant(parties["operator"], "parties.operator")),
        authority=_words(authority["name"], "authority.name"),
        legal_basis=list_of(authority["legal_basis"], "authority.legal_basis", _words, least=1),
        objectives=list_of(said["objectives"], "objectives", _words, least=1),
        window=window,
        stages=_stages(said["stages"], window),
        providers_max=whole(cohort["providers_max"], "participants.providers_max", 0, MOST_COUNT),
        buyers_max=whole(cohort["buyers_max"], "participants.buyers_max", 0, MOST_COUNT),
        min_eid_level=whole(cohort["min_eid_level"], "participants.min_eid_level", 1, MOST_EID_LEVEL),
        territories=list_of(cohort["territories"], "participants.territories", members.territory, least=1),
        caps=_caps(said["caps"]),
        sectors=list_of(said["sectors"], "sectors", _name),
        data_classes=list_of(said["data_classes"], "data_classes", choice(CLASSES)),
        release_modes=tuple(map(ReleaseMode, list_of(said["release_modes"], "release_modes", choice([*ReleaseMode])))),
        privacy=_privacy(said["privacy"]),
        cross_border=flag(said["cross_border"], "cross_border"),
        signed_requests=_signed_requests(said["signed_requests"]),
        triggers=_criteria(suspension["triggers"], "suspension.triggers"),
        who_may_suspend=tuple(map(Role, _who_may(suspension["who_may"]))),
        success=_criteria(ending["success"], "exit.success"),
        failure=_criteria(ending["fail"], "exit.fail"),
        early_exit_plan=choice(["required", "not_required"])(ending["early_exit_plan"], _PLAN) == "required",
        wind_down_days=whole(ending["wind_down_days"], "exit.wind_down_days", 0, 366),
        exit_report=_words(ending["exit_report"], "exit.exit_report"),
        reporting=_reporting(said["reporting"]),
        document=said,
    )
    _check_parties(draft)
    return draft


def _object(value: Json, where: str, shape: str | None = None) -> Object:
    """An object of exactly the members that :data:`SHAPE` names: an unknown limit would be taken for none."""
    names = SHAPE[shape or where]
    if not isinstance(value, dict):
        members.expect(where, value, "an object")
    for name in sorted(names - value.keys()):
        refuse(f"{where} has no member {name!r}.")
    for name in sorted(value.keys() - names):
        refuse(f"{where} has a member {name[:60]!r}, which charters do not know.")
    return value


def _words(value: Json, where: str) -> str:
    return members.text(value, where, MOST_TEXT)


def _check_parties(draft: CharterDraft) -> None:
    if draft.regulator == draft.operator:
        refuse(
            f"{draft.regulator} is regulator and operator; who supervises is another than who operates (CHARTER-07)."
        )
    if (draft.prev is None) != (draft.version == 1):
        refuse("prev is null in version 1, and the digest of the version before in every other.")


# --- time ---
def _window(value: Json) -> Window:
    said = _object(value, "window")
    start, end = (_instant(said[name], f"window.{name}") for name in ("start", "end"))
    if start >= end:
        refuse(f"window.end is {end:{_SPELLING}}, which is not later than window.start.")
    return Window(
        start=start,
        end=end,
        max_extensions=whole(said["max_extensions"], "window.max_extensions", 0, MOST_STAGES),
        max_extension_months=whole(said["max_extension_months"], "window.max_extension_months", 0, MOST_MONTHS),
    )


def _instant(value: Json, where: str) -> datetime:
    found = members.any_instant(value, where).astimezone(UTC)
    spelt = found.strftime(_SPELLING)
    if spelt != value or found.microsecond:
        members.expect(where, value, f"whole seconds in UTC with Z, such as {spelt}")
    return found


def _stages(value: Json, window: Window) -> tuple[Stage, ...]:
    """The stages with their instants. They follow each other from the window's start and fill it to its end."""
    named = list_of(value, "stages", _stage, least=1, most=MOST_STAGES)
    names = [name for name, _, _ in named]
    if len({*names}) != len(names):
        refuse("stages gives two stages one name.")
    stages = tuple(_following(named, window.start))
    if stages[-1].end != window.end:
        total = sum(stage.months for stage in stages)
        refuse(
            f"The stages last {total} months, to {stages[-1].end:{_SPELLING}}, and the window to "
            f"{window.end:{_SPELLING}}; they fill the window."
        )
    return stages


def _stage(value: Json, where: str) -> tuple[str, int, int]:
    said = _object(value, where, "stages")
    months = whole(said["months"], f"{where}.months", 1, MOST_MONTHS)
    return _name(said["name"], f"{where}.name"), months, whole(said["scale_percent"], f"{where}.scale_percent", 0, 100)


def _following(named: Collection[tuple[str, int, int]], start: datetime) -> Iterator[Stage]:
    past = 0
    for name, months, scale in named:  # counted from the start: month by month a 31st would become a 28th for ever
        yield Stage(name, months, scale, months_after(start, past), months_after(start, past + months))
        past += months


# --- limits ---
def _caps(value: Json) -> Caps:
    said = _object(value, "caps")
    most = {name: _CAPS[name.rpartition("_")[2]] for name in Caps.__slots__}
    return Caps(**{name: whole(said[name], f"caps.{name}", 0, most[name]) for name in most})


def _privacy(value: Json) -> Privacy:
    said = _object(value, "privacy")
    dominance = _object(said["dominance"], "privacy.dominance")
    rho = {name: whole(said[name], f"privacy.{name}", 0, MOST_NANO) for name in said if name.startswith("nano_rho")}
    if not rho["nano_rho_query_default"] <= rho["nano_rho_contract"] <= rho["nano_rho_dataset"]:
        refuse("privacy: nano_rho_query_default, nano_rho_contract and nano_rho_dataset do not rise in this order.")
    return Privacy(
        k_min=whole(said["k_min"], "privacy.k_min", 2, 100_000),
        k_min_business=whole(said["k_min_business"], "privacy.k_min_business", 2, 100_000),
        p_percent=whole(said["p_percent"], "privacy.p_percent", 0, 100),
        dominance_n=whole(dominance["n"], "privacy.dominance.n", 1, 10),
        dominance_k_percent=whole(dominance["k_percent"], "privacy.dominance.k_percent", 1, 100),
        delta_pico=whole(said["delta_pico"], "privacy.delta_pico", 0, 10**9),
        **rho,
    )


def _signed_requests(value: Json) -> frozenset[str]:
    said = _object(value, "signed_requests")
    return frozenset(kind for kind, must in said.items() if flag(must, f"signed_requests.{kind}"))


# --- suspension, exit, reporting ---
def _criteria(value: Json, where: str) -> tuple[Criterion, ...]:
    return list_of(value, where, _criterion, least=1)


def _criterion(value: Json, where: str) -> Criterion:
    said = _object(value, where, "a criterion")
    figure = whole(said["value"], f"{where}.value", -MOST_VALUE, MOST_VALUE)
    return Criterion(_name(said["metric"], f"{where}.metric"), choice(OPERATORS)(said["op"], f"{where}.op"), figure)


def _who_may(value: Json) -> tuple[str, ...]:
    who = list_of(value, "suspension.who_may", choice(["regulator", "operator"]), least=1)
    if "regulator" not in who:
        refuse("suspension.who_may does not name the regulator, who may always suspend.")
    return who


def _reporting(value: Json) -> Reporting:
    said = _object(value, "reporting")
    return Reporting(
        period=choice(PERIODS)(said["period"], "reporting.period"),
        due_days=whole(said["due_days"], "reporting.due_days", 1, 366),
        recipients=list_of(said["recipients"], "reporting.recipients", _name, least=1),
        ranking=flag(said["ranking"], "reporting.ranking"),
    )
