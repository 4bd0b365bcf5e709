"""A crash in the middle of any act leaves neither half of it: no state without its entry, no entry on its own."""

import secrets
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from sandbox.contracts import envelope
from sandbox.contracts.terms import request_document
from sandbox.core.canonical import digest_of
from sandbox.core.database import metadata
from sandbox.core.errors import SandboxError
from sandbox.core.keys import key_from_seed
from sandbox.core.signing import unverified
from sandbox.core.terms import KeyUse, ParticipantId, Role
from tests.world import BUYER, INDEX, OPERATOR, OTHER, PROVIDER, REGULATOR, TRIPS, World

COUNTED = ("directive", "negotiation", "negotiation_message", "offer", "agreement", "participant", "participant_key")
COUNTED += ("token", "charter", "log_entry", "budget", "dataset_version")


def rows(world: World) -> dict[str, int]:
    with world.exchange.house.database.read() as connection:
        return {
            name: connection.scalar(sa.select(sa.func.count()).select_from(metadata.tables[name])) or 0
            for name in COUNTED
        }


def suspend(world: World) -> None:
    world.order("suspend", "dataset", INDEX, REGULATOR)


def stop_agreement(world: World) -> None:
    world.order("suspend", "agreement", world.agreements[INDEX, BUYER], BUYER)


def terminate(world: World) -> None:
    world.order("terminate", "agreement", world.agreements[INDEX, BUYER], OPERATOR)


def negotiate(world: World) -> None:
    offer = unverified(world.offered(TRIPS), envelope.OFFER)[0]
    asker = ParticipantId(BUYER)
    wanted = request_document(offer, digest_of(offer), {"price_vnd": 1}, asker, world.clock.now())
    world.exchange.negotiate(asker, "request", envelope.sign_request(wanted, world.keys[BUYER]))


def offer(world: World) -> None:
    world.offered(TRIPS, price_vnd=17_000)


def agree(world: World) -> None:
    world.exchange.agree(world.bought(envelope.sign_offer(_registered(world), world.keys[PROVIDER]), OTHER))


def _registered(world: World) -> Any:
    stored = world.exchange.offers()[0]
    return unverified(world.exchange.offer_envelope(stored.id), envelope.OFFER)[0]


def admit(world: World) -> None:
    world.admit("cong-ty-moi", Role.BUYER, 77)


def register(world: World) -> None:
    key = key_from_seed(BUYER, b"7" * 32).verify_key
    world.exchange.register_key(ParticipantId(BUYER), key, KeyUse.REQUEST)


def revoke(world: World) -> None:
    world.exchange.revoke_key(world.keys[BUYER].kid)


def adopt(world: World) -> None:
    world.adopt(objectives=["khác"])


def publish(world: World) -> None:
    world.publish(INDEX, update_frequency="hang_nam")


ACTS = [suspend, stop_agreement, terminate, negotiate, offer, agree, admit, register, revoke, adopt, publish]


@pytest.mark.parametrize("act", ACTS)
def test_what_a_crash_interrupts_was_never_begun_and_can_be_done_again(
    ready: World, monkeypatch: pytest.MonkeyPatch, act: Callable[[World], None]
) -> None:
    before, states = rows(ready), ready.exchange.agreements()
    log = ready.exchange.house.log

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(log), "before_commit", full)
        with pytest.raises((OSError, SandboxError)):  # whatever it is called, nothing of it stays
            act(ready)
    ready.reopen()
    assert (rows(ready), ready.exchange.agreements()) == (before, states)
    act(ready)
    assert rows(ready) != before


def test_admissions_at_the_same_time_do_not_overfill_the_cohort(ready: World) -> None:
    from concurrent.futures import ThreadPoolExecutor

    there = len([each for each in ready.exchange.participants() if Role.BUYER in each.roles])
    sizes = {"providers_max": 5, "buyers_max": there + 1, "min_eid_level": 2, "territories": ["VN"]}
    ready.adopt(participants=sizes)

    def enter(number: int) -> bool:
        try:
            ready.admit(f"nguoi-mua-{number}-{secrets.token_hex(2)}", Role.BUYER, 100 + number)
        except Exception:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        entered = [*pool.map(enter, range(4))]
    assert entered.count(True) == 1
