"""Ways round contracts: data or money that three signatures do not give."""

import json
import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sandbox.contracts import envelope
from sandbox.core.canonical import canonical, parse
from sandbox.core.errors import AgreementRefused, Conflict, Insufficient, Invalid, PolicyRefused, SandboxError, Tampered
from sandbox.core.keys import SigningKey, key_from_seed, new_key
from sandbox.core.signing import sign
from sandbox.core.terms import KeyUse, ParticipantId, Role
from tests import authority
from tests.trying import ASKER, OPEN, SELLER, STRANGER, Act, asked, balance, refused
from tests.world import BUYER, INDEX, OTHER, PROVIDER, REGULATOR, TRIPS, World, checked, terms


# --- keys ---
def test_an_agreement_whose_key_was_stolen_is_not_revived_by_registering_it_again(ready: World) -> None:
    key = ready.keys[BUYER]
    ready.exchange.revoke_key(key.kid)
    renamed = SigningKey(f"{BUYER}/anew", key.private)
    for again in (key, renamed):
        error = refused(lambda again=again: ready.exchange.register_key(ASKER, again.verify_key, KeyUse.CONTRACT))
        assert error.code == "key.registered"
    assert refused(lambda: asked(ready)).code == "agreement.key_revoked"
    ready.exchange.register_key(ASKER, key_from_seed(f"{BUYER}/2", b"\x61" * 32).verify_key, KeyUse.CONTRACT)
    assert refused(lambda: asked(ready)).code == "agreement.key_revoked"


def test_a_key_that_is_revoked_signs_no_agreement_however_it_is_dated(ready: World) -> None:
    offer = ready.offered(INDEX, price_vnd=3)
    dated = ready.clock.now()
    ready.clock.advance(timedelta(hours=2))
    ready.exchange.revoke_key(ready.keys[BUYER].kid, ready.clock.now() - timedelta(hours=1))
    half = envelope.accept_offer(offer, ready.keys[BUYER], secrets.token_bytes(32), dated)
    whole = envelope.add_signature(half, ready.keys[PROVIDER])
    assert refused(lambda: ready.exchange.agree(whole)).code == "signature.invalid"
    asked(ready)  # what it signed before stands


@pytest.mark.parametrize("use", [KeyUse.REQUEST, KeyUse.LOG, KeyUse.WITNESS])
def test_a_key_of_another_use_signs_no_contract_no_order_and_no_charter(ready: World, use: KeyUse) -> None:
    keys = {}
    for number, who in enumerate((BUYER, PROVIDER, REGULATOR), 0x62):
        keys[who] = key_from_seed(f"{who}/{use}", bytes([number]) * 32)
        ready.exchange.register_key(ParticipantId(who), keys[who].verify_key, use)
    offer = ready.offered(INDEX, price_vnd=3)
    half = envelope.accept_offer(offer, ready.keys[BUYER], secrets.token_bytes(32), ready.clock.now())
    ready.keys |= keys
    last = ready.exchange.charter()
    before = len(ready.exchange.agreements())
    for act in (
        lambda: ready.exchange.agree(envelope.add_signature(half, keys[PROVIDER])),
        lambda: ready.order("suspend", "market", None, REGULATOR),
        lambda: ready.adopt(state="paused"),
    ):
        assert refused(act).code == "signature.invalid"
    assert (ready.exchange.charter(), ready.exchange.suspensions()) == (last, [])
    assert len(ready.exchange.agreements()) == before


# --- certificates ---
@pytest.fixture
def certified(tmp_path: Path) -> Iterator[tuple[World, Any]]:
    """An exchange that trusts one CA, and a buyer whom the CA knows by tax code."""
    root = authority.root()
    store = tmp_path / "roots.pem"
    store.write_bytes(root.pem)
    world = World(tmp_path, overrides={"trust_store": store})
    world.publish(INDEX)
    world.admit("cong-ty-x", Role.BUYER, 21, tax_code="0101234567")
    world.admit("cong-ty-y", Role.BUYER, 22, tax_code="0107654321")
    world.exchange.store_crl(root.revocations(world.clock.now() - timedelta(hours=1)))
    yield from ((each, root) for each in checked(world))


def certified_agreement(world: World, root: Any, named: str, tax_code: str) -> bytes:
    """Both signatures, the buyer's under a certificate of some tax code."""
    key = SigningKey(f"{named}/token", new_key("x", "ES256").private)
    offer = world.offered(INDEX)
    chain = root.issue(key, tax_code)
    half = envelope.accept_offer(offer, key, secrets.token_bytes(32), world.clock.now(), chain)
    return envelope.add_signature(half, world.keys[PROVIDER])


def test_a_certificate_of_another_tax_code_signs_for_nobody_but_its_owner(certified: tuple[World, Any]) -> None:
    world, root = certified
    for tax_code in ("0107654321", "0109999999"):
        text = certified_agreement(world, root, "cong-ty-x", tax_code)
        assert refused(lambda text=text: world.exchange.agree(text)).code == "signature.invalid"
    made = world.exchange.agree(certified_agreement(world, root, "cong-ty-x", "0101234567"))
    assert made.buyer == "cong-ty-x"


def test_a_suspended_buyers_certificate_makes_no_agreement(certified: tuple[World, Any]) -> None:
    world, root = certified
    world.order("suspend", "participant", "cong-ty-x", REGULATOR)
    text = certified_agreement(world, root, "cong-ty-x", "0101234567")
    assert "CHARTER-06" in refused(lambda: world.exchange.agree(text)).reasons
    assert world.exchange.agreements() == []


# --- money ---
@pytest.mark.parametrize("price", [-1, "15000", True, 1.0, 2**60, None, [], "0"])
def test_a_price_is_a_whole_number_or_there_is_no_offer(ready: World, price: Any) -> None:
    assert refused(lambda: ready.offered(INDEX, price_vnd=price))


def test_a_failing_query_neither_costs_nor_earns_a_free_one(ready: World) -> None:
    trial = ready.agree(INDEX, price_plan={"free_queries": 1}, price_vnd=5_000, max_rows=3)
    for _ in range(3):
        refused(lambda: asked(ready, trial))
    paid = [int(ready.query(OPEN + " LIMIT 3", dataset=INDEX, agreements=(trial,)).price_vnd) for _ in range(2)]
    assert paid == [0, 5_000]


# --- versions ---
def test_a_version_that_its_provider_did_not_sign_is_followed_by_nobody(world: World) -> None:
    """Whoever writes to the database can list a version whose digest fits; no one but the provider can sign it."""
    world.publish(INDEX)
    follows = world.agree(INDEX, version="follows")
    later = world.publish(INDEX, update_frequency="hang_nam")
    asked(world, follows)
    table = sa.table("dataset_version", sa.column("digest"), sa.column("envelope"))
    row = sa.select(table.c.envelope).where(table.c.digest == later.digest)
    with world.exchange.house.database.read() as connection:
        text = bytes(connection.scalar(row) or b"")
    said = parse(text)
    manifest = said["manifest"]
    assert isinstance(manifest, dict)
    forged = [
        canonical({"manifest": manifest, "signatures": []}),
        canonical({"manifest": manifest, "signatures": [sign(manifest, world.keys[BUYER], "dataset+jws")]}),
    ]
    for envelope_ in forged:
        change = sa.update(table).where(table.c.digest == later.digest).values(envelope=envelope_)
        world.exchange.house.database.write(lambda tx, change=change: tx.connection.execute(change))
        with pytest.raises(Tampered) as caught:
            asked(world, follows)
        assert caught.value.code == "tampered.dataset"


def test_a_version_signed_by_a_key_that_was_stolen_is_followed_no_more(world: World) -> None:
    world.publish(INDEX)
    second = key_from_seed(f"{PROVIDER}/2", b"\x67" * 32)
    world.exchange.register_key(SELLER, second.verify_key, KeyUse.CONTRACT)
    follows = world.agree(INDEX, version="follows")
    world.keys[PROVIDER] = second
    world.publish(INDEX, update_frequency="hang_nam")
    asked(world, follows)
    world.exchange.revoke_key(second.kid)
    with pytest.raises(AgreementRefused) as caught:
        asked(world, follows)
    assert (caught.value.code, caught.value.reasons) == ("dataset.key_revoked", ("LIST-08",))


def test_a_version_that_comes_while_a_query_runs_is_not_half_of_its_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.publish(INDEX).digest
    follows = world.agree(INDEX, version="follows")
    engine = world.exchange.house.engine
    run = type(engine).run

    def publishing(self: Any, *given: Any, **named: Any) -> Any:
        monkeypatch.setattr(type(engine), "run", run)
        world.publish(INDEX, update_frequency="hang_nam")
        return run(self, *given, **named)

    monkeypatch.setattr(type(engine), "run", publishing)
    assert len(world.rows(asked(world, follows))) == 5
    with world.exchange.house.database.read() as connection:
        entry = next(each for each in world.entries() if each["type"] == "query.authorized")
        _, question = world.exchange.house.log.bodies(connection, entry["id"])["question"]
    assert question["resource"]["properties"]["datasets"][0]["version"] == first  # type: ignore[index,call-overload]


# --- facts ---
TERMS: list[dict[str, Any]] = [
    {"max_rows": "1000"},
    {"max_rows": 2**63},
    {"max_rows": True},
    {"purposes": []},
    {"purposes": "nghien_cuu"},
    {"territories": []},
    {"territories": [None]},
    {"output_constraints": [{"column": "khach", "minimum": "10", "type": "COUNT_DISTINCT"}]},
    {"output_constraints": [{"column": "khach", "minimum": 2**53, "type": "COUNT_DISTINCT"}]},
    {"output_constraints": []},
    {"privacy_unit": None},
    {"privacy_unit": ""},
    {"release": "safe_cube"},
    {"allowed_result_receivers": []},
    {"comparison_controls": {"literals": ["khach"], "columns": []}},
    {"term_days": 10**9},
    {"price_plan": {"free_queries": -1}},
    {"access_budget": {"day": "1", "week": None, "month": None, "lifetime": None}},
    {"version": "latest"},
]


@pytest.mark.parametrize("changes", TERMS, ids=lambda each: json.dumps(each))
def test_terms_of_odd_types_open_no_data(ready: World, changes: dict[str, Any]) -> None:
    def trade() -> object:
        made = ready.agree(TRIPS, **changes)
        return ready.query(agreements=(made,))

    assert not isinstance(refused(trade), Tampered)
    assert balance(ready) == 100_000


DESCRIPTORS: list[dict[str, Any]] = [
    {"min_group": "10"},
    {"min_group": 1},
    {"min_group": True},
    {"min_group": 2**70},
    {"subject_count": "30"},
    {"subject_count": None},
    {"subject_count": -1},
    {"flags": ["quoc_phong"]},
    {"flags": None},
    {"flags": "quoc_phong"},
    {"assessment": {"assessor": PROVIDER, "report": None}},
    {"assessment": None},
    {"personal_origin": True, "deidentification": None},
    {"personal_origin": 0},
    {"privacy_unit": None},
    {"data_class": "quan_trong"},
    {"sector": "khac"},
    {"deidentification": "ma_hoa"},
    {"columns": []},
    {"derived": {"label": "dữ liệu gốc", "method": "x", "inputs": "y", "frequency": "mot_lan"}},
]


@pytest.mark.parametrize("changes", DESCRIPTORS, ids=lambda each: json.dumps(each))
def test_descriptors_of_odd_facts_are_not_listed(world: World, changes: dict[str, Any]) -> None:
    assert refused(lambda: world.publish(TRIPS, **changes))
    assert world.exchange.datasets() == []


# --- what is told ---
def test_the_receipt_of_a_refused_query_does_not_tell_its_buyer_what_others_traded(ready: World) -> None:
    ready.exchange.top_up(STRANGER, 100_000, "UNC-9")
    theirs = ready.agree(TRIPS, OTHER, price_vnd=15_002)
    ready.query(buyer=OTHER, agreements=(theirs,))
    error = refused(lambda: ready.query(purpose="quang_cao"))
    own, office = ready.who(BUYER).participant, ready.who(REGULATOR).participant
    assert b"15002" not in ready.exchange.receipt(own, str(error.query))
    assert "15002" not in json.dumps(ready.exchange.explain(own, str(error.query)))
    assert b"15002" in ready.exchange.receipt(office, str(error.query))


@pytest.mark.parametrize("kind", [Conflict, Invalid, Insufficient, PolicyRefused])
def test_no_refusal_of_a_contract_names_a_third_party(ready: World, kind: type[SandboxError]) -> None:
    acts: dict[type[SandboxError], Act] = {
        Conflict: lambda: ready.agree(TRIPS, OTHER, exclusive=True, price_vnd=2),
        Invalid: lambda: ready.agree(TRIPS, OTHER, columns=["bi_mat"], price_vnd=3),
        Insufficient: lambda: ready.query(agreements=(ready.agree(TRIPS, price_vnd=100_001),)),
        PolicyRefused: lambda: ready.query(purpose="quang_cao"),
    }
    with pytest.raises(kind) as caught:
        acts[kind]()
    others = {BUYER, OTHER} - ({BUYER} if kind in {Insufficient, PolicyRefused} else {OTHER})
    assert not any(each in f"{caught.value.message} {caught.value.hint}" for each in others)


def test_the_terms_of_this_file_are_good_but_for_what_each_attack_changes(ready: World) -> None:
    assert parse(terms(TRIPS))["output_constraints"]
    ready.query(agreements=(ready.agree(TRIPS, price_vnd=7),))
