"""Offers and agreements as use cases: who may make them, what is refused, and that refusals stand in the log."""

import pytest

from sandbox.contracts import envelope
from sandbox.core.canonical import canonical, parse
from sandbox.core.errors import Conflict, Invalid, NotFound, PolicyRefused, SandboxError
from sandbox.core.terms import Role
from tests.world import BUYER, INDEX, OTHER, PROVIDER, TRIPS, World


def altered(text: bytes, **terms: object) -> bytes:
    document = parse(text)
    document["contract"]["terms"] |= terms  # type: ignore[index,call-overload,operator]
    return canonical(document)


def test_three_signatures_make_an_agreement(ready: World) -> None:
    assert {row.state for row in ready.exchange.agreements()} == {"in_force"}
    assert [entry["type"] for entry in ready.entries()].count("agreement.signed") == 2


def test_one_altered_term_refuses_the_whole_and_stands_in_the_log(ready: World) -> None:
    text = altered(ready.bought(ready.offered(TRIPS, price_vnd=20_000)), max_rows=9_999)
    with pytest.raises(Invalid) as refusal:
        ready.exchange.agree(text)
    assert (refusal.value.code, refusal.value.reasons) == ("signature.invalid", ("CONT-01",))
    last = ready.entries()[-1]
    assert (last["type"], last["code"]) == ("contract.refused", "signature.invalid")


def test_an_agreement_without_the_buyers_signature_is_refused(ready: World) -> None:
    document = parse(ready.bought(ready.offered(TRIPS, price_vnd=20_000)))
    document["signatures"] = document["signatures"][1:]  # type: ignore[index]
    with pytest.raises(Invalid) as refusal:
        ready.exchange.agree(canonical(document))
    assert refusal.value.code == "signature.invalid"
    assert len(ready.exchange.agreements()) == 2


def test_an_offer_nobody_registered_cannot_be_agreed_on(ready: World) -> None:
    from sandbox.cli.parties import signed_offer
    from tests.world import terms

    offer = signed_offer(ready.exchange, TRIPS, terms(TRIPS, price_vnd=1), ready.keys[PROVIDER])
    with pytest.raises(SandboxError) as refusal:
        ready.exchange.agree(ready.bought(offer))
    assert isinstance(refusal.value, NotFound | Invalid)


def test_the_same_agreement_is_recorded_once(ready: World) -> None:
    text = ready.bought(ready.offered(TRIPS, price_vnd=20_000))
    ready.exchange.agree(text)
    with pytest.raises(Conflict):
        ready.exchange.agree(text)


def test_only_the_datasets_provider_offers_it(world: World) -> None:
    from sandbox.cli.parties import signed_offer
    from tests.world import terms

    world.publish(TRIPS)
    world.admit("nha-cung-cap-khac", Role.PROVIDER, 9)
    offer = parse(signed_offer(world.exchange, TRIPS, terms(TRIPS), world.keys[PROVIDER]))["offer"]
    forged = dict(offer) | {"assigner": "nha-cung-cap-khac"}  # type: ignore[call-overload]
    with pytest.raises(Invalid):
        world.exchange.offer(envelope.sign_offer(forged, world.keys["nha-cung-cap-khac"]))


@pytest.mark.parametrize(
    "changes",
    [
        {"privacy_unit": None, "output_constraints": [], "dimensions": ["tuyen"], "columns": ["khach"]},
        {"output_constraints": [{"column": "khach", "minimum": 9, "type": "COUNT_DISTINCT"}]},
        {"dimensions": ["tuyen", "khong_co"]},
        {"aggregate_columns": [{"columns": ["bi_mat"], "functions": ["SUM"]}]},
    ],
)
def test_terms_that_do_not_fit_the_dataset_are_refused(world: World, changes: dict[str, object]) -> None:
    world.publish(TRIPS)
    with pytest.raises(Invalid):
        world.offered(TRIPS, **changes)
    assert world.exchange.offers() == []


def test_a_regulator_or_a_provider_cannot_buy(ready: World) -> None:
    with pytest.raises(SandboxError) as refusal:
        ready.exchange.agree(ready.bought(ready.offered(INDEX, price_vnd=1), buyer="co-quan-giam-sat"))
    assert isinstance(refusal.value, PolicyRefused)


def test_a_second_buyer_needs_its_own_agreement(ready: World) -> None:
    ready.agree(TRIPS, OTHER)
    names = [ready.agreements[TRIPS, OTHER]]
    assert ready.query(buyer=OTHER, agreements=names).rows == 2
    with pytest.raises(NotFound):
        ready.query(buyer=BUYER, agreements=names)
