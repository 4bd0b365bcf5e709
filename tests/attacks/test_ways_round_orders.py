"""Ways round orders, the charter and its caps: power, time or volume that they do not give."""

import dataclasses
import json
import secrets
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from sandbox.contracts import charters, orders
from sandbox.core.clock import HO_CHI_MINH
from sandbox.core.keys import key_from_seed
from sandbox.core.terms import KeyUse, ParticipantId, Role
from tests.trying import ASKER, STRANGER, asked, balance, refused
from tests.world import BUYER, INDEX, OPERATOR, OTHER, PROVIDER, REGULATOR, TRIPS, World, charter


# --- orders ---
def signed_order(world: World, act: str, kind: str, target: str | None, *signers: str, **rest: Any) -> bytes:
    wanted = {"act": act, "scope": {"kind": kind, "id": target}, "issuer": signers[0], "reason": "Thử nghiệm"} | rest
    document = orders.order_document(wanted, secrets.token_bytes(32), world.clock.now())
    text = orders.sign_order(document, world.keys[signers[0]])
    for signer in signers[1:]:
        text = orders.add_signature(text, world.keys[signer])
    return text


def test_neither_a_stop_nor_its_end_is_given_a_second_time(ready: World) -> None:
    stop = signed_order(ready, "suspend", "dataset", INDEX, REGULATOR)
    first = ready.exchange.order(stop)
    end = signed_order(ready, "resume", "dataset", INDEX, REGULATOR, OPERATOR, ends=first.id)
    ready.exchange.order(end)
    assert refused(lambda: ready.exchange.order(stop)).code == "order.exists"
    ready.order("suspend", "dataset", INDEX, REGULATOR)
    assert refused(lambda: ready.exchange.order(end)).code == "order.exists"
    assert "CHARTER-06" in refused(lambda: asked(ready)).reasons


def test_an_operator_who_admits_a_supervisor_of_its_own_does_not_undo_the_supervisors_stop(ready: World) -> None:
    """The charter names the supervisor; an office that the operator hands out is not that one."""
    ready.admit("co-quan-gia", Role.REGULATOR, 31)
    given = ready.order("suspend", "market", None, REGULATOR)
    error = refused(lambda: ready.order("resume", "market", None, "co-quan-gia", OPERATOR, ends=given.id))
    assert (error.code, error.reasons) == ("order.quorum", ("CHARTER-07",))
    assert "CHARTER-06" in refused(lambda: asked(ready)).reasons
    ready.order("resume", "market", None, REGULATOR, OPERATOR, ends=given.id)
    asked(ready)


def test_a_second_operator_does_not_undo_a_stop_with_the_supervisor_either(ready: World) -> None:
    ready.admit("van-hanh-gia", Role.OPERATOR, 32)
    given = ready.order("open_incident", "dataset", INDEX, OPERATOR)
    error = refused(lambda: ready.order("close_incident", "dataset", INDEX, REGULATOR, "van-hanh-gia", ends=given.id))
    assert error.code == "order.quorum"
    assert "INC-01" in refused(lambda: asked(ready)).reasons


def test_one_organisation_never_holds_both_offices_nor_signs_for_both(ready: World) -> None:
    roles = [{Role.OPERATOR, Role.REGULATOR}, {Role.REGULATOR, Role.BUYER}, {Role.REGULATOR, Role.PROVIDER}]
    member = ready.who(BUYER).participant
    for both in roles:
        candidate = dataclasses.replace(member, id=ParticipantId("hai-vai"), roles=frozenset(both), tax_code=None)
        error = refused(lambda candidate=candidate: ready.exchange.admit(candidate))
        assert "CHARTER-07" in error.reasons
    second = key_from_seed(f"{REGULATOR}/2", b"\x66" * 32)
    ready.exchange.register_key(ParticipantId(REGULATOR), second.verify_key, KeyUse.CONTRACT)
    given = ready.order("suspend", "market", None, REGULATOR)
    twice = signed_order(ready, "resume", "market", None, REGULATOR, ends=given.id)
    error = refused(lambda: ready.exchange.order(orders.add_signature(twice, second)))
    assert error.code == "signature.invalid"
    assert len(ready.exchange.suspensions()) == 1


def test_the_operator_cannot_blind_the_supervisor_by_suspending_it(ready: World) -> None:
    ready.order("suspend", "participant", REGULATOR, OPERATOR)
    assert ready.who(REGULATOR).id == REGULATOR
    stop = ready.order("suspend", "market", None, REGULATOR)
    assert stop.id in {each.id for each in ready.exchange.suspensions()}


def test_a_stop_that_was_never_given_is_not_kept_for_later_by_signing_beside_it(ready: World) -> None:
    """One signature holds for ten minutes; a stranger's beside it must not make a week of them."""
    text = signed_order(ready, "suspend", "dataset", INDEX, REGULATOR)
    ready.clock.advance(timedelta(days=2))
    for other in (BUYER, OPERATOR):
        late = orders.add_signature(text, ready.keys[other])
        assert refused(lambda late=late: ready.exchange.order(late)).code == "order.stale"
    asked(ready)


def test_nobody_ends_a_contract_of_others_by_signing_beside_an_old_order(ready: World) -> None:
    text = signed_order(ready, "terminate", "agreement", ready.agreements[INDEX, BUYER], PROVIDER, OTHER)
    assert "CHARTER-06" in refused(lambda: ready.exchange.order(text)).reasons
    asked(ready)


@pytest.mark.parametrize("other", ["dataset", "participant"])
def test_an_end_of_one_stop_ends_no_other(ready: World, other: str) -> None:
    given = ready.order("suspend", "dataset", INDEX, REGULATOR)
    target = {"dataset": TRIPS, "participant": PROVIDER}[other]
    assert refused(lambda: ready.order("resume", other, target, REGULATOR, OPERATOR, ends=given.id))
    assert "CHARTER-06" in refused(lambda: asked(ready)).reasons


# --- charters ---
def test_a_charter_of_another_exchange_is_not_in_force_here(ready: World) -> None:
    ready.admit("san-khac", Role.OPERATOR, 33)
    last = ready.exchange.charter()
    assert last is not None
    said = charter() | {"version": 2, "prev": last.digest, "parties": {"regulator": REGULATOR, "operator": "san-khac"}}
    text = json.dumps(said, ensure_ascii=False).encode()
    for signer in (REGULATOR, "san-khac"):
        text = charters.sign_charter(text, ready.keys[signer])
    assert refused(lambda: ready.exchange.adopt_charter(text)).code == "charter.roles"
    assert ready.exchange.charter() == last


def test_no_old_version_of_the_charter_comes_back(ready: World) -> None:
    with ready.exchange.house.database.read() as connection:
        first = charters.history(connection)[0].envelope
    old = ready.exchange.charter()
    assert old is not None
    ready.adopt(state="paused")
    again = {"version": 3, "prev": old.digest}
    assert refused(lambda: ready.exchange.adopt_charter(first)).code == "charter.exists"
    assert refused(lambda: ready.adopt(**again)).code == "charter.not_next"
    assert "CHARTER-01" in refused(lambda: asked(ready)).reasons


def test_a_supervisor_of_the_operators_own_adopts_no_charter(ready: World) -> None:
    ready.admit("co-quan-gia", Role.REGULATOR, 31)
    last = ready.exchange.charter()
    assert last is not None
    said = charter() | {
        "version": 2,
        "prev": last.digest,
        "parties": {"regulator": "co-quan-gia", "operator": OPERATOR},
    }
    text = json.dumps(said, ensure_ascii=False).encode()
    for signer in ("co-quan-gia", OPERATOR):
        text = charters.sign_charter(text, ready.keys[signer])
    assert refused(lambda: ready.exchange.adopt_charter(text)).code == "charter.not_next"
    anew = json.dumps(said | {"charter_id": "MOI-01", "version": 1, "prev": None}, ensure_ascii=False).encode()
    for signer in ("co-quan-gia", OPERATOR):
        anew = charters.sign_charter(anew, ready.keys[signer])
    assert refused(lambda: ready.exchange.adopt_charter(anew)).code == "charter.not_next"
    assert ready.exchange.charter() == last


def test_a_charter_whose_signer_lost_its_key_is_not_replaced_by_the_one_before(ready: World) -> None:
    ready.adopt(objectives=["đo khối lượng giao dịch"])
    ready.exchange.revoke_key(ready.keys[REGULATOR].kid)
    assert ready.exchange.charter() is None
    assert "CHARTER-01" in refused(lambda: asked(ready)).reasons


# --- caps ---
def test_a_buyer_does_not_get_round_a_cap_by_spreading_queries_over_agreements(ready: World) -> None:
    first, second = ready.agreements[TRIPS, BUYER], ready.agree(TRIPS, price_vnd=15_001)
    ready.adopt(caps=charter()["caps"] | {"per_buyer_day_vnd": 30_000})
    ready.query(agreements=(first,))
    error = refused(lambda: ready.query(agreements=(second,)))
    assert error.reasons == ("CHARTER-05",)
    assert balance(ready) == 85_000


def test_what_costs_nothing_counts_against_the_days_queries_all_the_same(ready: World) -> None:
    ready.adopt(caps=charter()["caps"] | {"per_buyer_day_queries": 2})
    trial = ready.agree(TRIPS, price_plan={"free_queries": 5})
    ready.query(agreements=(trial,))
    asked(ready)
    for act in (lambda: asked(ready), lambda: ready.query(agreements=(trial,))):
        assert "CHARTER-05" in refused(act).reasons


def test_the_day_and_the_stage_turn_at_midnight_in_ho_chi_minh_city_and_at_no_other_instant(ready: World) -> None:
    stages = [
        {"name": "nho", "months": 1, "scale_percent": 10},
        {"name": "day_du", "months": 11, "scale_percent": 100},
    ]
    ready.adopt(stages=stages, caps=charter()["caps"] | {"per_buyer_day_queries": 20})
    midnight = ready.clock.now().astimezone(HO_CHI_MINH).replace(year=2027, month=1, day=1, hour=0)
    ready.agree(INDEX, term_days=300, price_vnd=1)
    ready.clock.instant = (midnight - timedelta(microseconds=1)).astimezone(ready.clock.now().tzinfo)
    ready.tokens[BUYER] = ready.exchange.create_token(ASKER, ready.clock.now() + timedelta(days=9))
    asked(ready), asked(ready)
    assert "CHARTER-05" in refused(lambda: asked(ready)).reasons
    ready.clock.advance(timedelta(microseconds=1))
    for _ in range(3):
        asked(ready)


def test_a_charter_adopted_while_a_query_is_read_counts_it(ready: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the contracts and the decision; a tighter cap than the query was begun under holds."""
    engine = ready.exchange.house.engine
    analyse = type(engine).analyse

    def adopting(self: Any, *given: Any, **named: Any) -> Any:
        monkeypatch.setattr(type(engine), "analyse", analyse)
        ready.adopt(caps=charter()["caps"] | {"per_buyer_day_queries": 1})
        return analyse(self, *given, **named)

    monkeypatch.setattr(type(engine), "analyse", adopting)
    asked(ready)
    assert "CHARTER-05" in refused(lambda: asked(ready)).reasons
    with ready.exchange.house.database.read() as connection:
        budget = sa.table("budget", sa.column("id"), sa.column("cap"))
        caps = dict(connection.execute(sa.select(budget.c.id, budget.c.cap)).all())
    assert [cap for name, cap in caps.items() if "/queries/" in name] == [1]


def test_a_refusal_of_others_caps_does_not_say_what_others_traded(ready: World) -> None:
    ready.exchange.top_up(STRANGER, 100_000, "UNC-9")
    theirs = ready.agree(TRIPS, OTHER, price_vnd=15_002)
    ready.query(buyer=OTHER, agreements=(theirs,))
    for cap in ("per_provider_day_vnd", "exchange_day_vnd"):
        ready.adopt(caps=charter()["caps"] | {cap: 20_002})
        error = refused(ready.query)
        assert error.reasons == ("CHARTER-05",)
        told = f"{error.message} {error.hint}"
        assert not {"15002", "5000", "20002"} & {*told.replace(".", " ").replace(",", " ").replace(";", " ").split()}
