"""Who works next: whoever has had least, a few at a time, and never more waiting than there is room for."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.core.errors import Busy
from sandbox.jail.turns import Turns


def test_a_free_place_is_given_at_once() -> None:
    turns = Turns(2)
    with turns.join("a") as first, turns.join("b") as second:
        assert first.wait(0)
        assert second.wait(0)
        with turns.join("c") as third:
            assert not third.wait(0)


def test_who_leaves_makes_room() -> None:
    turns = Turns(1)
    with turns.join("a") as first:
        waits = turns.join("b")
        assert not waits.wait(0)
        assert first.working
    assert waits.wait(0)
    waits.leave()
    assert turns.waiting == 0


def test_whoever_has_had_least_is_next_whenever_they_came() -> None:
    turns = Turns(1)
    with turns.join("greedy"):
        time.sleep(0.05)
        again = turns.join("greedy")
        modest = turns.join("modest")
    assert modest.wait(0)
    assert not again.wait(0)
    modest.leave()
    assert again.wait(0)


def test_many_requests_of_one_do_not_keep_another_waiting() -> None:
    turns = Turns(1, most_waiting=100)
    with turns.join("many"):
        crowd = [turns.join("many") for _ in range(20)]
        one = turns.join("one")
        time.sleep(0.002)
    assert one.wait(0)
    assert not any(each.working for each in crowd)


def test_a_slice_that_is_over_is_due_only_when_somebody_waits() -> None:
    turns = Turns(1, slice_seconds=0.03)
    with turns.join("a") as long:
        time.sleep(0.04)
        assert not long.due
        with turns.join("b") as other:
            assert long.due
            long.requeue()
            assert other.wait(0)
            assert not long.working
        assert long.wait(0)


def test_idling_earns_nothing() -> None:
    turns = Turns(1)
    with turns.join("busy"):
        time.sleep(0.05)
    with turns.join("busy"):
        idle, busy = turns.join("idle"), turns.join("busy")
    assert idle.wait(0)
    idle.leave()
    assert busy.wait(0), "who was away starts where the others are, not far behind them"


def test_a_full_queue_says_when_to_come_again() -> None:
    turns = Turns(1, most_waiting=4)
    with turns.join("a"):
        for who in ("b", "c", "d", "e"):
            turns.join(who)
        with pytest.raises(Busy) as busy:
            turns.join("f")
    assert busy.value.code == "engine.busy"
    assert 1 <= busy.value.retry_after <= 30


def test_one_alone_cannot_fill_the_queue() -> None:
    turns = Turns(1, most_waiting=8)
    with turns.join("a"):
        turns.join("a")
        turns.join("a")
        with pytest.raises(Busy):
            turns.join("a")
        turns.join("b")


@settings(max_examples=30, deadline=None)
@given(slots=st.integers(1, 3), work=st.lists(st.sampled_from("abcd"), min_size=1, max_size=24))
def test_never_more_work_than_places_and_everyone_gets_a_turn(slots: int, work: list[str]) -> None:
    turns, lock, now, most, done = Turns(slots, 1000), threading.Lock(), 0, 0, 0

    def one(who: str) -> None:
        nonlocal now, most, done
        with turns.join(who) as turn:
            assert turn.wait(5)
            with lock:
                now += 1
                most = max(most, now)
            with lock:
                now -= 1
                done += 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, work))
    assert most <= slots
    assert done == len(work)
    assert turns.waiting == 0
    assert turns._free == slots
    assert not turns._present
