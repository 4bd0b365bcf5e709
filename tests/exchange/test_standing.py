"""Who may take part and trade, and when: standing, sign-in, territory, offices, the charter's states and window."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.core.clock import ManualClock
from sandbox.core.errors import Conflict, Invalid, PolicyRefused, SandboxError
from sandbox.core.terms import Identity, Participant, ParticipantId, Role
from sandbox.exchange.case import QueryRequest
from tests.world import BUYER, INDEX, OPERATOR, OTHER, PROVIDER, REGULATOR, START, TRIPS, World, charter, checked

OPEN = "SELECT noi FROM chi_so"
FOREIGN = "cong-ty-sg"
TICK = timedelta(microseconds=1)


def ask(world: World, who: Identity, *agreements: str) -> Any:
    names = agreements or (world.agreements[INDEX, BUYER],)
    return world.exchange.query(who, QueryRequest(OPEN, names, "nghien_cuu"))


def refused(world: World, kind: str, act: Any, *arguments: Any, **named: Any) -> tuple[str, ...]:
    with pytest.raises(SandboxError) as caught:
        act(*arguments, **named)
    assert world.entries()[-1]["type"] == kind, caught.value
    assert caught.value.hint or caught.value.code == "policy.refused"
    return caught.value.reasons


# --- PART-01 ---
@pytest.mark.parametrize("role", [Role.PROVIDER, Role.BUYER])
@pytest.mark.parametrize("lacking", [{"entity_verified": False}, {"eid_level": 1}, {"payment_account": False}])
def test_nobody_is_admitted_without_standing(world: World, role: Role, lacking: dict[str, Any]) -> None:
    before = world.exchange.participants()
    assert refused(world, "participant.refused", world.admit, "cong-ty-c", role, 40, **lacking) == ("PART-01",)
    assert world.exchange.participants() == before
    world.admit("cong-ty-c", role, 40)


def test_standing_that_no_longer_meets_the_charter_stops_publishing_agreeing_and_asking(ready: World) -> None:
    ready.adopt(participants=charter()["participants"] | {"min_eid_level": 3})
    assert refused(ready, "query.refused", ready.query, OPEN, dataset=INDEX) == ("PART-01",)
    assert "PART-01" in refused(ready, "contract.refused", ready.agree, INDEX, buyer=OTHER)
    assert "PART-01" in refused(ready, "dataset.refused", ready.publish, INDEX, update_frequency="hang_nam")
    ready.admit("cong-ty-c", Role.BUYER, 40, eid_level=3)


# --- PART-02 ---
@pytest.mark.parametrize("amr", [("pwd",), (), ("otp",)])
def test_a_token_of_one_factor_reads_but_does_not_trade(ready: World, amr: tuple[str, ...]) -> None:
    secret = ready.exchange.create_token(ParticipantId(BUYER), ready.clock.now() + timedelta(days=1), amr=amr)
    who = ready.exchange.identify(secret)
    assert who.amr == amr
    assert refused(ready, "query.refused", ask, ready, who) == ("PART-02",)
    refusal = str(ready.entries()[-1]["query"])
    assert ready.exchange.receipt(who.participant, refusal)
    assert ask(ready, ready.who(BUYER)).rows == 5


def test_a_token_never_lends_its_holder_another_role(ready: World) -> None:
    """What a provider or the regulator asks of a buyer's agreement is refused, whoever signed in how strongly."""
    for slug in (PROVIDER, REGULATOR, OTHER):
        with pytest.raises(SandboxError) as caught:
            ask(ready, ready.who(slug))
        assert caught.value.code in {"policy.refused", "agreement.unknown"}
        if slug == PROVIDER:
            assert {"CONT-05", "PART-01"} <= {*caught.value.reasons}


# --- territories ---
def test_an_organisation_of_another_country_is_not_admitted_where_the_charter_has_no_place_for_it(world: World) -> None:
    reasons = refused(world, "participant.refused", world.admit, FOREIGN, Role.BUYER, 41, territory="SG")
    assert reasons == ("CHARTER-02",)


def abroad(world: World, **members: Any) -> World:
    """A charter that admits buyers of another country, and one that has come."""
    participants = charter()["participants"] | {"territories": ["VN", "SG"]}
    world.adopt(participants=participants, **members)
    world.admit(FOREIGN, Role.BUYER, 41, territory="SG")
    return world


def test_nothing_crosses_the_border_whatever_the_contract_says(ready: World) -> None:
    """One who is admitted from abroad reaches no data: neither by a contract for home alone nor by a wider one."""
    abroad(ready)
    home = ready.agree(INDEX, buyer=FOREIGN)
    assert refused(ready, "query.refused", ask, ready, ready.who(FOREIGN), home) == ("CONT-04", "XBR-01")
    wide = ready.agree(INDEX, buyer=FOREIGN, territories=["VN", "SG"])
    assert refused(ready, "query.refused", ask, ready, ready.who(FOREIGN), wide) == ("XBR-01",)


def test_a_contract_reaches_no_further_than_the_charter(ready: World) -> None:
    wide = ready.bought(ready.offered(INDEX, territories=["VN", "SG"]), OTHER)
    assert refused(ready, "contract.refused", ready.exchange.agree, wide) == ("XBR-01",)


def test_a_charter_that_allows_crossing_still_asks_for_a_dossier(ready: World) -> None:
    abroad(ready, cross_border=True)
    wide = ready.agree(INDEX, buyer=FOREIGN, territories=["VN", "SG"])
    assert refused(ready, "query.refused", ask, ready, ready.who(FOREIGN), wide) == ("XBR-01",)
    assert ask(ready, ready.who(BUYER)).rows == 5


def test_a_charter_that_takes_a_country_back_stops_those_who_came_from_there(ready: World) -> None:
    abroad(ready)
    home = ready.agree(INDEX, buyer=FOREIGN)
    ready.adopt(participants=charter()["participants"])
    assert "CHARTER-02" in refused(ready, "query.refused", ask, ready, ready.who(FOREIGN), home)


# --- CHARTER-02: places ---
def test_the_cohort_is_full_when_the_charter_says_so(world: World) -> None:
    world.adopt(participants=charter()["participants"] | {"buyers_max": 2, "providers_max": 1})
    for role in (Role.BUYER, Role.PROVIDER):
        assert refused(world, "participant.refused", world.admit, "cong-ty-c", role, 40) == ("CHARTER-02",)
    world.adopt(participants=charter()["participants"] | {"buyers_max": 3, "providers_max": 1})
    world.admit("cong-ty-c", Role.BUYER, 40)


# --- CHARTER-07 ---
@pytest.mark.parametrize(
    "roles", [{Role.OPERATOR, Role.REGULATOR}, {Role.REGULATOR, Role.BUYER}, {Role.REGULATOR, Role.PROVIDER}]
)
def test_no_one_supervises_and_does_something_else(world: World, roles: set[Role]) -> None:
    both = Participant(
        ParticipantId("hai-vai"), "Hai vai", frozenset(roles), entity_verified=True, eid_level=2, payment_account=True
    )
    with pytest.raises((Conflict, PolicyRefused)) as caught:
        world.exchange.admit(both)
    assert "CHARTER-07" in caught.value.reasons
    assert world.entries()[-1]["type"] == "participant.refused"
    assert "hai-vai" not in [each.id for each in world.exchange.participants()]


def test_a_charter_whose_two_offices_are_one_is_none(world: World) -> None:
    before = world.exchange.charter()
    for office in (REGULATOR, OPERATOR):
        with pytest.raises(Invalid):
            world.adopt(parties={"regulator": office, "operator": office})
    with pytest.raises(SandboxError):
        world.adopt(parties={"regulator": OPERATOR, "operator": REGULATOR})
    assert world.exchange.charter() == before
    assert world.entries()[-1]["type"] == "charter.refused"


# --- the charter's states and its window ---
def nothing_goes(world: World) -> None:
    """No query, no agreement, no publication; what is recorded can still be read."""
    assert "CHARTER-01" in refused(world, "query.refused", world.query, OPEN, dataset=INDEX)
    bought = world.bought(world.offered(INDEX), OTHER)
    assert "CHARTER-01" in refused(world, "contract.refused", world.exchange.agree, bought)
    changed = {"description": {"vi": "Khác.", "en": "Other."}}
    assert "CHARTER-01" in refused(world, "dataset.refused", world.publish, INDEX, **changed)


def test_while_the_charter_is_paused_nothing_is_traded_and_then_it_goes_on(ready: World) -> None:
    result = ready.query(OPEN, dataset=INDEX)
    ready.adopt(state="paused")
    nothing_goes(ready)
    assert ready.exchange.receipt(ready.who(BUYER).participant, result.id)
    assert "CHARTER-01" in refused(ready, "participant.refused", ready.admit, "cong-ty-c", Role.BUYER, 40)
    ready.adopt(state="active")
    assert ready.query(OPEN, dataset=INDEX).rows == 5
    ready.admit("cong-ty-c", Role.BUYER, 40)


def test_a_charter_that_has_ended_never_comes_back(ready: World) -> None:
    ready.adopt(state="ended")
    nothing_goes(ready)
    with pytest.raises(Conflict):
        ready.adopt(state="active")
    nothing_goes(ready)
    ready.reopen()
    nothing_goes(ready)


def test_a_query_that_runs_when_the_charter_is_paused_gives_nothing_away(
    ready: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version is adopted after the run has ended well, before the result is decided on."""
    from sandbox.exchange import query as module

    decide = module.decide_release

    def paused(*asked: Any) -> None:
        ready.adopt(state="paused")
        decide(*asked)

    monkeypatch.setattr(module, "decide_release", paused)
    assert "CHARTER-01" in refused(ready, "query.failed", ready.query)
    assert ready.exchange.balance(ParticipantId(BUYER)) == 100_000
    assert ready.exchange.volume().count == 0


def test_trade_begins_with_the_windows_first_instant_and_ends_before_its_last(world: World) -> None:
    found = world.exchange.charter()
    assert found
    world.publish(INDEX)
    agreement = world.agree(INDEX, term_days=1_000)
    world.clock.advance(found.window.end - world.clock.now() - TICK)
    world.tokens[BUYER] = world.exchange.create_token(ParticipantId(BUYER), found.window.end + timedelta(days=9))
    assert world.query(OPEN, agreements=(agreement,)).rows == 5
    world.clock.advance(TICK)
    assert "CHARTER-01" in refused(world, "query.refused", world.query, OPEN, agreements=(agreement,))


def test_before_its_window_a_charter_lets_come_who_is_to_take_part_and_trades_nothing(tmp_path: Path) -> None:
    for world in checked(World(tmp_path, ManualClock(START - timedelta(days=9)))):
        found = world.exchange.charter()
        assert found
        world.admit("cong-ty-c", Role.BUYER, 40)
        assert "CHARTER-01" in refused(world, "dataset.refused", world.publish, INDEX)
        world.clock.advance(found.window.start - world.clock.now() - TICK)
        assert "CHARTER-01" in refused(world, "dataset.refused", world.publish, INDEX)
        world.clock.advance(TICK)
        world.publish(INDEX)


def test_a_sector_or_a_class_that_the_charter_drops_is_no_longer_traded(ready: World) -> None:
    ready.adopt(sectors=["giao_thong"])
    assert refused(ready, "query.refused", ready.query, OPEN, dataset=INDEX) == ("CHARTER-03",)
    ready.query()
    ready.adopt(data_classes=["mo"])
    assert refused(ready, "query.refused", ready.query) == ("CHARTER-04",)
    ready.query(OPEN, dataset=INDEX)


def test_a_contract_below_the_charters_floor_is_no_longer_asked_under(ready: World) -> None:
    ready.adopt(privacy=charter()["privacy"] | {"k_min": 11})
    assert refused(ready, "query.refused", ready.query) == ("QRY-05",)
    assert "QRY-05" in refused(ready, "contract.refused", ready.agree, TRIPS, buyer=OTHER)


def test_a_release_mode_that_the_charter_does_not_admit_is_not_performed(ready: World) -> None:
    ready.adopt(release_modes=["safe_cube"])
    assert refused(ready, "query.refused", ready.query, OPEN, dataset=INDEX) == ("QRY-02",)
