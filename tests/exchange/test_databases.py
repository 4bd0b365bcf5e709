"""The same life of an exchange on SQLite and on PostgreSQL."""

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.contracts import envelope
from sandbox.contracts.terms import request_document
from sandbox.core.canonical import digest_of
from sandbox.core.errors import Conflict, Insufficient, NotFound, PolicyRefused, SandboxError
from sandbox.core.signing import unverified
from sandbox.core.terms import ParticipantId, Role
from tests import invariants
from tests.world import BUYER, INDEX, OPERATOR, OTHER, PROVIDER, REGULATOR, World, charter

OPEN = "SELECT noi FROM chi_so"
SELLER, ASKER = ParticipantId(PROVIDER), ParticipantId(BUYER)


@pytest.fixture
def anywhere(tmp_path: Path, database_url: str) -> Iterator[World]:
    world = World(tmp_path, overrides={"database_url": database_url})
    try:
        yield world.ready()
        invariants.check(world.exchange, world.vkey)
    finally:
        world.exchange.close()


def test_a_pilot_lives_on_either_database(anywhere: World) -> None:
    def ask(_: int) -> bool:
        try:
            anywhere.query()
        except Insufficient:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(8))).count(True) == 6
    assert anywhere.query("SELECT noi FROM chi_so", dataset=INDEX).rows == 5
    with pytest.raises(PolicyRefused):
        anywhere.query(purpose="ban_lai")
    for unknown in ("qry_\0", "qry_" + "0" * 26, "'", ""):
        with pytest.raises(NotFound):
            anywhere.exchange.receipt(anywhere.who(BUYER), unknown)
    anywhere.reopen()
    assert anywhere.exchange.balance(ParticipantId(BUYER)) == 10_000
    total, by_buyer = anywhere.exchange.counted_volume("buyer")
    assert (total.count, {*by_buyer}) == (7, {BUYER})


def at_once(*acts: Callable[[], object]) -> list[str]:
    """How each of several acts at the same time ended: ``done``, or the code of its refusal."""

    def end(act: Callable[[], object]) -> str:
        try:
            act()
        except SandboxError as refusal:
            return refusal.code
        return "done"

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(end, acts))


def test_an_agreement_is_negotiated_once_however_often_it_is_finalised(anywhere: World) -> None:
    exchange, keys = anywhere.exchange, anywhere.keys
    offer = unverified(anywhere.offered(INDEX), envelope.OFFER)[0]
    now = anywhere.clock.now()
    asked = envelope.sign_request(
        request_document(offer, digest_of(offer), {"price_vnd": 3_000}, ASKER, now), keys[BUYER]
    )
    ends = at_once(*(lambda: exchange.negotiate(ASKER, "request", asked) for _ in range(3)))
    assert ends == ["done"] * 3
    (talk,) = exchange.negotiations(ASKER)
    half = envelope.accept_offer(asked, keys[PROVIDER], secrets.token_bytes(32), now)
    exchange.negotiate(SELLER, "agree", half, talk.id)
    exchange.negotiate(ASKER, "verify", envelope.add_signature(half, keys[BUYER]), talk.id)
    ends = at_once(
        *(lambda: exchange.negotiate(SELLER, "finalize", None, talk.id) for _ in range(3)),
        lambda: exchange.negotiate(ASKER, "terminate", None, talk.id),
    )
    state = exchange.negotiation(ASKER, talk.id)[0]
    kinds = [entry["type"] for entry in anywhere.entries()]
    made = 3 if state.state == "FINALIZED" else 2  # two stood before
    assert state.state in {"FINALIZED", "TERMINATED"}
    assert kinds.count("agreement.signed") == len(exchange.agreements()) == made
    assert ends.count("done") >= 1
    if made == 3:
        assert anywhere.query(OPEN, agreements=(state.document,)).price_vnd == 3_000


def test_orders_stop_and_start_trade_and_each_is_given_once(anywhere: World) -> None:
    agreement = anywhere.agreements[INDEX, BUYER]
    given = anywhere.order("suspend", "agreement", agreement, BUYER)
    with pytest.raises(SandboxError) as refusal:
        anywhere.query(OPEN, dataset=INDEX)
    assert "CHARTER-06" in refusal.value.reasons
    resume = [
        lambda: anywhere.order("resume", "agreement", agreement, REGULATOR, OPERATOR, ends=given.id) for _ in range(3)
    ]
    assert at_once(*resume).count("done") == 1
    assert anywhere.exchange.suspensions() == []
    anywhere.query(OPEN, dataset=INDEX)
    anywhere.reopen()
    anywhere.query(OPEN, dataset=INDEX)


def test_of_two_next_charters_one_is_adopted_and_a_caps_last_query_is_asked_once(anywhere: World) -> None:
    caps = charter()["caps"] | {"per_buyer_day_queries": 3}
    ends = at_once(
        lambda: anywhere.adopt(caps=caps, objectives=["một"]), lambda: anywhere.adopt(caps=caps, objectives=["hai"])
    )
    assert sorted(ends) == ["charter.not_next", "done"] or ends == ["done", "done"]  # the second may follow the first
    ends = at_once(*(lambda: anywhere.query(OPEN, dataset=INDEX) for _ in range(8)))
    assert ends.count("done") == 3
    assert {*ends} <= {"done", "policy.refused", "charter.cap_reached"}
    found = anywhere.exchange.charter()
    anywhere.reopen()
    assert anywhere.exchange.charter() == found


def test_the_last_place_of_the_cohort_is_taken_once(anywhere: World) -> None:
    anywhere.adopt(participants=charter()["participants"] | {"buyers_max": 3})
    ends = at_once(
        *(lambda number=number: anywhere.admit(f"cong-ty-{number}", Role.BUYER, number) for number in (33, 34, 35))
    )
    assert ends.count("done") == 1
    assert ends.count("policy.refused") == 2


def test_an_agreement_is_recorded_once(anywhere: World) -> None:
    bought = anywhere.bought(anywhere.offered(INDEX), OTHER)
    ends = at_once(*(lambda: anywhere.exchange.agree(bought) for _ in range(3)))
    assert ends.count("done") == 1
    with pytest.raises(Conflict):
        anywhere.exchange.agree(bought)
