"""A charter is read strictly; what it allows follows from the clock alone."""

import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sandbox.contracts import articles
from sandbox.contracts.articles import read_charter
from sandbox.contracts.charter import VERIFIED, Caps, Charter, months_after
from sandbox.core.canonical import canonical, parse
from sandbox.core.errors import Invalid
from sandbox.core.terms import ReleaseMode, Role
from tests.chartering import SAMPLE, document

START = datetime(2026, 11, 30, 17, tzinfo=UTC)
WRONG = [None, "", "x y", -1, 0, 1, 2**53 - 1, True, [], ["x y"], [[]], {}]


@pytest.fixture(scope="module")
def schema():
    said = parse(SAMPLE.with_name("charter.schema.json").read_bytes())
    Draft202012Validator.check_schema(said)
    return said


def refused(**changes):
    with pytest.raises(Invalid) as refusal:
        read_charter(document(**changes))
    assert (refusal.value.code, refusal.value.reasons) == ("charter.invalid", ("CHARTER-01",))
    return refusal.value.message


def verified(draft):
    return Charter(**{name: getattr(draft, name) for name in type(draft).__slots__}, proof=VERIFIED)


# --- reading ---
def test_the_sample_charter_reads_as_the_pilot_has_it():
    charter = read_charter(parse(SAMPLE.read_bytes()))
    assert (charter.id, charter.version, charter.prev, charter.state) == ("TPHCM-SGDDL-2026-01", 1, None, "active")
    assert (charter.regulator, charter.operator) == ("co-quan-giam-sat", "san-du-lieu")
    assert (charter.window.start, charter.window.end) == (START, datetime(2027, 11, 30, 17, tzinfo=UTC))
    assert [(stage.name, stage.scale_percent) for stage in charter.stages] == [
        ("nho", 10),
        ("vua", 50),
        ("day_du", 100),
    ]
    assert (charter.providers_max, charter.buyers_max, charter.min_eid_level) == (10, 40, 2)
    assert (charter.privacy.k_min, charter.privacy.k_min_business, charter.privacy.dominance_k_percent) == (10, 5, 85)
    assert charter.who_may_suspend == (Role.REGULATOR, Role.OPERATOR)
    assert ReleaseMode.THRESHOLD not in charter.release_modes
    assert charter.signed_requests == frozenset()


def places(node, path=()):
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, child in children:
        yield (*path, name)
        yield from places(child, (*path, name))


def parent_of(said, path):
    for step in path[:-1]:
        said = said[step]
    return said


def variants(said):
    """The document with each place removed, given each wrong value, and with a member too many."""
    for path in places(said):
        removed = copy.deepcopy(said)
        del parent_of(removed, path)[path[-1]]
        yield f"{path} removed", removed
        for value in WRONG:
            changed = copy.deepcopy(said)
            parent_of(changed, path)[path[-1]] = value
            yield f"{path} = {value!r}", changed
        if isinstance(parent_of(said, path), dict):
            added = copy.deepcopy(said)
            parent_of(added, path)["more"] = 1
            yield f"{path} with more", added


def reads(said):
    try:
        read_charter(said)
    except Invalid as refusal:
        assert refusal.code == "charter.invalid"
        assert refusal.message.endswith(".")
        return False
    return True


BETWEEN_MEMBERS = ("months", "version", "prev", "nano_rho", "stages", "who_may")
"""Where members bind each other, which a schema cannot say."""


def test_the_schema_and_the_program_refuse_the_same_charters(schema):
    accepts = Draft202012Validator(schema).is_valid
    said = parse(SAMPLE.read_bytes())
    assert accepts(said)
    for name, changed in variants(said):
        if any(word in name for word in BETWEEN_MEMBERS):
            assert accepts(changed) or not reads(changed), name
        else:
            assert reads(changed) == accepts(changed), name


def test_the_schema_names_every_member_and_no_other(schema):
    assert schema["properties"].keys() == articles.SHAPE["The charter"]
    for name in ("parties", "window", "caps", "participants", "privacy", "suspension", "exit", "reporting"):
        assert schema["properties"][name]["properties"].keys() == articles.SHAPE[name]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"changes": {"parties.operator": "co-quan-giam-sat"}}, "regulator and operator"),
        ({"prev": "sha256:" + "0" * 64}, "prev is null in version 1"),
        ({"version": 2}, "the digest of the version before"),
        ({"state": "open"}, "state is \"open\", expected one of active, paused, ended"),
        ({"data_classes": ["mo", "cot_loi"]}, "data_classes[1]"),
        ({"sectors": ["mo", "mo"]}, "sectors names something twice"),
        ({"release_modes": ["raw"]}, "release_modes[0]"),
        ({"changes": {"caps.exchange_day_vnd": -1}}, "caps.exchange_day_vnd is -1"),
        ({"changes": {"caps.exchange_day_vnd": True}}, "caps.exchange_day_vnd is true"),
        ({"changes": {"privacy.k_min": 1}}, "privacy.k_min is 1"),
        ({"changes": {"privacy.nano_rho_query_default": 10**9}}, "do not rise in this order"),
        ({"changes": {"suspension.who_may": ["operator"]}}, "who may always suspend"),
        ({"changes": {"suspension.effect": "delete"}}, "suspension.effect"),
        ({"changes": {"exit.success": []}}, "exit.success is a list of 0"),
        ({"changes": {"reporting.period": "day"}}, "reporting.period"),
        ({"changes": {"authority.name": "a\u202eb"}}, "authority.name"),
    ],
)  # fmt: skip
def test_a_wrong_member_is_named_with_what_was_expected(changes, said):
    assert said in refused(**changes)


# --- time ---
def stages(*months):
    return [{"name": f"s{place}", "months": each, "scale_percent": 10 * place} for place, each in enumerate(months, 1)]


def test_stages_that_do_not_fill_the_window_are_refused_with_both_ends():
    message = refused(stages=stages(3, 3, 5))
    assert "The stages last 11 months, to 2027-10-31T17:00:00Z, and the window to 2027-11-30T17:00:00Z" in message


def test_two_stages_have_two_names():
    assert "one name" in refused(stages=[*stages(6), *stages(3), *stages(3)[:1]][:2])


@pytest.mark.parametrize(
    ("instant", "said"),
    [
        ("2026-11-30T17:00:00.000000Z", "2026-11-30T17:00:00Z"),
        ("2026-12-01T00:00:00+07:00", "2026-11-30T17:00:00Z"),
        ("2026-12-01", "an instant"),
        ("2026-11-30T17:00:00.5Z", "whole seconds in UTC"),
        ("2027-11-30T17:00:00Z", "not later than window.start"),
    ],
)
def test_an_instant_has_one_spelling(instant, said):
    assert said in refused(changes={"window.start": instant})


def test_months_are_counted_in_ho_chi_minh_city():
    december = datetime(2026, 11, 30, 17, tzinfo=UTC)  # 1 December, 00:00 there
    assert months_after(december, 3) == datetime(2027, 2, 28, 17, tzinfo=UTC)  # 1 March there
    assert months_after(december, 12) == datetime(2027, 11, 30, 17, tzinfo=UTC)


def test_a_31st_becomes_the_last_day_of_a_shorter_month_and_comes_back():
    january = datetime(2027, 1, 30, 17, tzinfo=UTC)  # 31 January there
    assert [months_after(january, months).day for months in (1, 2, 13)] == [27, 30, 28]  # 28 Feb, 31 March, 29 Feb 2028


def test_half_open_stages_follow_each_other_without_a_gap():
    charter = read_charter(document())
    ends = [stage.end for stage in charter.stages]
    tick = timedelta(microseconds=1)
    assert charter.stage_at(START - tick) is None
    assert [charter.stage_at(at).name for at in (START, ends[0] - tick, ends[0], ends[1])] == [
        "nho", "nho", "vua", "day_du",
    ]  # fmt: skip
    assert charter.stage_at(ends[2]) is None
    assert [charter.active_at(at) for at in (START - tick, START, ends[2] - tick, ends[2])] == [
        False,
        True,
        True,
        False,
    ]


@given(
    st.integers(0, 300_000).map(lambda hours: START + timedelta(hours=hours)),
    st.lists(st.integers(1, 30), min_size=1, max_size=6),
)
def test_any_stages_fill_the_window_from_any_start(start, lasting):
    end = months_after(start, sum(lasting))
    window = {name: at.strftime("%Y-%m-%dT%H:%M:%SZ") for name, at in (("start", start), ("end", end))}
    charter = read_charter(document(window=document()["window"] | window, stages=stages(*lasting)))
    edges = [charter.stages[0].start, *(stage.end for stage in charter.stages)]
    assert (edges[0], edges[-1]) == (start, end)
    assert edges[1:-1] == [stage.start for stage in charter.stages[1:]]
    assert edges == sorted({*edges})


@pytest.mark.parametrize("state", ["paused", "ended"])
def test_a_charter_that_is_paused_or_ended_is_not_active(state):
    charter = read_charter(document(state=state))
    assert not charter.active_at(START)
    assert charter.over_at(START) == (state == "ended")


def test_caps_are_scaled_by_the_stage_and_rounded_down():
    charter = read_charter(document(changes={"caps.per_buyer_day_queries": 19}))
    at_first, later = charter.caps_at(START), charter.caps_at(charter.stages[1].start)
    assert (at_first.per_transaction_vnd, at_first.per_buyer_day_queries) == (2_000_000, 1)
    assert (later.per_transaction_vnd, later.per_buyer_day_queries) == (10_000_000, 9)
    assert charter.caps_at(charter.window.end) == Caps(*[0] * 7)


# --- as the policies read it ---
def test_a_charter_is_made_by_opening_one_only():
    draft = read_charter(document())
    members = {name: getattr(draft, name) for name in type(draft).__slots__}
    with pytest.raises(TypeError, match="open_charter"):
        Charter(**members)
    with pytest.raises(TypeError):
        replace(verified(draft), state="active")


def test_the_policies_read_a_charter_with_the_caps_of_the_stage():
    charter = verified(read_charter(document(changes={"signed_requests.order": True})))
    said = charter.as_input(START)
    assert said["signed"] is True
    assert (said["start_us"], said["end_us"]) == (1_796_058_000_000_000, 1_827_594_000_000_000)
    assert said["caps"]["per_transaction_vnd"] == 2_000_000
    assert said["privacy"]["k_min"] == 10
    assert [charter.as_input(START, kind)["signed_requests"] for kind in ("query", "order")] == [False, True]
    assert charter.as_input(charter.window.end)["caps"]["per_buyer_day_queries"] == 0
    assert parse(canonical(said)) == said
