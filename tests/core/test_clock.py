"""Instants, the exchange's day, and ids that sort by time."""

import re
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.core.clock import HO_CHI_MINH, ManualClock, SystemClock, day_of, instant_of, microseconds, new_id, text_of
from sandbox.core.errors import Invalid, SandboxError

NOON = datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
INSTANTS = st.builds(
    lambda micro, zone: datetime.fromtimestamp(0, zone) + timedelta(microseconds=micro),
    st.integers(-(2**51), 2**53),
    st.sampled_from([UTC, HO_CHI_MINH]),
)


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        (datetime(2026, 11, 22, 16, 59, 59, 999999, tzinfo=UTC), date(2026, 11, 22)),
        (datetime(2026, 11, 22, 17, 0, tzinfo=UTC), date(2026, 11, 23)),
        (datetime(2026, 12, 31, 17, 0, tzinfo=UTC), date(2027, 1, 1)),
        (datetime(2026, 11, 23, 0, 0, tzinfo=HO_CHI_MINH), date(2026, 11, 23)),
        (datetime(2026, 11, 22, 23, 0, tzinfo=timezone(timedelta(hours=-5))), date(2026, 11, 23)),
    ],
)
def test_the_day_changes_at_17_hours_utc(instant: datetime, day: date) -> None:
    assert day_of(instant) == day


@given(INSTANTS)
def test_an_instant_survives_being_written(instant: datetime) -> None:
    again = instant_of(text_of(instant))
    assert again == instant
    assert again.tzinfo is UTC


@given(INSTANTS)
def test_microseconds_count_from_1970(instant: datetime) -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds(instant)) == instant


def test_an_instant_is_written_in_utc_with_microseconds() -> None:
    assert text_of(NOON.astimezone(HO_CHI_MINH)) == "2026-11-22T10:00:00.123456Z"
    assert microseconds(NOON) == 1_795_341_600_123_456


@pytest.mark.parametrize("text", ["2026-11-22T10:00:00Z", "2026-11-22T17:00:00+07:00", "2026-11-22T10:00:00.0+00:00"])
def test_any_zone_is_read(text: str) -> None:
    assert instant_of(text) == datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T10:00:00",  # no zone: it could be any of 24 hours
        "2026-11-22",
        "2026-W47-7T10:00:00Z",
        "20261122T100000Z",
        "2026-11-22 10:00:00Z",
        "2026-02-30T10:00:00Z",
        "2026-11-22T25:00:00Z",
        "2026-11-22T10:00:00+25:00",
        "0001-01-01T00:00:00+07:00",
        "9999-12-31T23:59:59-07:00",
        "٢٠٢٦-11-22T10:00:00Z",
        "2026-11-22T10:00:00Z\n",
        "",
        "\ud800",
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        instant_of(text)
    assert refused.value.code == "time.malformed"


@given(st.text(max_size=40))
def test_reading_arbitrary_text_never_fails_otherwise(text: str) -> None:
    try:
        outcome: object = instant_of(text).tzinfo
    except SandboxError as error:
        outcome = error.code
    assert outcome in {UTC, "time.malformed"}


def test_an_id_is_a_ulid_behind_its_prefix() -> None:
    made = new_id("qry", ManualClock(datetime(2016, 7, 30, 23, 54, 10, 259000, tzinfo=UTC)))
    assert re.fullmatch(r"qry_[0-7][0-9A-HJKMNP-TV-Z]{25}", made)
    assert made[4:14] == "01ARZ3NDEK"  # the time of the example in the ULID specification


def test_ids_sort_by_time() -> None:
    clock = ManualClock(NOON)
    made = []
    for _ in range(200):
        made.append(new_id("ent", clock))
        clock.advance(timedelta(milliseconds=1))
    assert made == sorted(made)


def test_ids_of_one_instant_differ() -> None:
    clock = ManualClock(NOON)
    assert len({new_id("ent", clock) for _ in range(1_000)}) == 1_000


def test_a_manual_clock_stands_until_it_is_moved() -> None:
    clock = ManualClock(NOON)
    assert clock.now() == clock.now() == NOON
    clock.advance(timedelta(days=-1))
    assert clock.now() == NOON - timedelta(days=1)


def test_the_systems_clock_is_aware_and_in_utc() -> None:
    assert SystemClock().now().tzinfo is UTC
