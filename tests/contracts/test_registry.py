"""The registry: what it records, what it refuses, and that it believes no byte it has not verified again."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.contracts import envelope, keyring, offers, registry
from sandbox.contracts.terms import request_document
from sandbox.core.canonical import canonical, parse
from sandbox.core.errors import AgreementRefused, Conflict, Invalid, NotFound, Tampered
from sandbox.core.keys import SigningKey, b64url, from_b64url, new_key
from sandbox.core.terms import KeyUse

N_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
FORGET = sa.text("UPDATE agreement SET envelope = :envelope WHERE id = :id")
FORGET_OFFER = sa.text("UPDATE offer SET envelope = :envelope WHERE id = :id")


def refused(kind, code, act, *arguments):
    with pytest.raises(kind) as refusal:
        act(*arguments)
    assert refusal.value.code == code
    return refusal.value


def public_offers(register):
    return register.read(lambda connection: offers.offers(connection, register.signers_at(connection)))


@pytest.fixture
def standing(register, parties):
    """An offer, and an agreement made from it, on the record."""
    register.offered(parties.offer())
    return register.recorded(parties.agreed())


# --- offers ---
def test_an_offer_is_listed_as_it_was_signed(register, parties):
    offer = register.offered(parties.offer())
    assert public_offers(register) == [offer]
    assert register.read(offers.offer_envelope, offer.id) == parties.offer()


def test_the_same_offer_is_registered_once(register, parties):
    register.offered(parties.offer())
    refused(Conflict, "offer.exists", register.offered, parties.offer())
    assert len(public_offers(register)) == 1


def test_offers_of_one_dataset_stand_side_by_side(register, parties):
    first, second = register.offered(parties.offer()), register.offered(parties.offer(price_vnd=10_000))
    assert {offer.id for offer in public_offers(register)} == {first.id, second.id}


def test_an_envelope_of_another_offer_is_not_registered(register, parties):
    offer = parties.open_offer(parties.offer())
    other = parties.offer(price_vnd=10_000)
    refused(Invalid, "contract.invalid", register.write, offers.put_offer, offer, other, parties.now)


def test_an_unknown_offer_has_no_envelope(register):
    refused(NotFound, "offer.unknown", register.read, offers.offer_envelope, "sha256:" + "0" * 64)


@pytest.mark.parametrize("change", [b'"max_rows":9999', b'"max_rows":'])
def test_an_offer_altered_in_the_database_is_seen(register, parties, change):
    offer = register.offered(parties.offer())
    register.sql(FORGET_OFFER, envelope=parties.offer().replace(b'"max_rows":5000', change), id=offer.id)
    refused(Tampered, "tampered.offer", public_offers, register)


def test_an_offer_put_in_anothers_place_is_seen(register, parties):
    offer = register.offered(parties.offer())
    register.sql(FORGET_OFFER, envelope=parties.offer(price_vnd=1), id=offer.id)
    refused(Tampered, "tampered.offer", public_offers, register)
    refused(Tampered, "tampered.offer", register.recorded, parties.agreed())


def test_an_offer_ends_with_the_key_that_signed_it(register, parties):
    register.offered(parties.offer())
    register.write(keyring.revoke_key, parties.keys[parties.provider].kid, parties.now)
    assert public_offers(register) == []
    refused(AgreementRefused, "offer.key_revoked", register.recorded, parties.agreed())


# --- recording agreements ---
def test_an_agreement_comes_back_as_it_was_signed(register, standing):
    assert register.agreement(standing.id) == standing
    assert register.read(registry.agreement_state, standing.id) == "in_force"


def test_an_agreement_is_found_by_a_prefix_of_its_digits(register, standing):
    assert register.agreement(standing.id[7:19]) == standing
    assert register.agreement(standing.id[:19]) == standing


@pytest.mark.parametrize(
    "name", ["", "sha256:", "%", "sha256:______", "0" * 12, "../x", "A" * 64, "0" * 65, "sha256:\n"]
)
def test_what_names_no_agreement_is_unknown(register, standing, name):
    refused(NotFound, "agreement.unknown", register.agreement, name)


def test_a_prefix_of_two_agreements_names_neither(register, parties, standing):
    twin = standing.id[:-6] + "000000"
    copy = sa.text(
        "INSERT INTO agreement SELECT :twin, offer, provider, buyer, dataset, version, exclusive, not_after, state,"
        " envelope, signed_at FROM agreement"
    )
    register.sql(copy, twin=twin)
    refused(NotFound, "agreement.unknown", register.agreement, standing.id[:40])
    assert register.agreement(standing.id) == standing
    refused(Tampered, "tampered.agreement", register.agreement, twin)


def test_the_same_agreement_is_recorded_once(register, parties, standing):
    refused(Conflict, "agreement.exists", register.recorded, parties.agreed())


def test_a_signature_respelled_by_its_mathematics_makes_no_second_agreement(register, parties):
    """(r, n - s) verifies whenever (r, s) does, so neither signature nor envelope may be a contract's identity."""
    key = new_key(parties.buyer, "ES256")
    parties.keys[parties.buyer] = SigningKey(key.kid, key.private)
    assert isinstance(key.private, ec.EllipticCurvePrivateKey)
    register.write(keyring.register_key, parties.buyer, key.verify_key, KeyUse.CONTRACT, parties.now)
    register.offered(parties.offer())
    text = parties.agreed()
    document = parse(text)
    raw = from_b64url(document["signatures"][0]["signature"])
    s = N_P256 - int.from_bytes(raw[32:], "big")
    document["signatures"][0]["signature"] = b64url(raw[:32] + s.to_bytes(32, "big"))
    assert canonical(document) != text
    assert parties.open(canonical(document)).id == parties.open(text).id
    register.recorded(text)
    refused(Conflict, "agreement.exists", register.recorded, canonical(document))


def test_an_agreement_on_an_offer_that_nobody_registered_is_not_recorded(register, parties):
    refused(NotFound, "offer.unknown", register.recorded, parties.agreed())


def test_an_old_offer_in_prev_does_not_lend_its_name_to_new_terms(register, parties, forge):
    """All three signed it; still the old offer's digest must not stand under the new offer's terms."""
    old = register.offered(parties.offer(price_vnd=10_000))
    register.offered(parties.offer())
    document = parse(parties.agreed())["contract"] | {"prev": old.id}
    signers = (parties.keys[who] for who in (parties.provider, parties.buyer, parties.exchange))
    refusal = refused(Invalid, "contract.invalid", register.recorded, canonical(forge(document, *signers)))
    assert "permission" in refusal.message


def terms(**changes):
    return lambda document: document["terms"].update(changes)


def constraint(index, operand):
    return lambda document: document["permission"][0]["constraint"][index].update(rightOperand=operand)


def price(amount):
    return lambda document: document["permission"][0]["duty"][0]["constraint"][0].update(rightOperand=amount)


WIDENED = {
    "more purposes": constraint(0, ["thong_ke", "nghien_cuu", "ban_lai"]),
    "fewer purposes": constraint(0, ["thong_ke"]),
    "purposes in another order": constraint(0, ["nghien_cuu", "thong_ke"]),
    "more countries": constraint(1, ["VN", "LA"]),
    "a longer term": constraint(2, "2036-12-01T03:00:00.000000Z"),
    "a lower price": price("0"),
    "a higher price": price("25001"),
    "more rows": terms(max_rows=5_001),
    "more functions": terms(aggregate_columns=[{"columns": ["doanh_thu_vnd"], "functions": ["SUM", "AVG", "COUNT"]}]),
    "more dimensions": lambda document: document["terms"]["dimensions"].append("ngay_lap"),
    "a lower threshold": terms(
        output_constraints=[{"column": "nguoi_ban_pid", "minimum": 5, "type": "COUNT_DISTINCT"}]
    ),
    "no unit": terms(privacy_unit=None, output_constraints=[], columns=["nguoi_ban_pid"]),
    "no budget": terms(access_budget={"day": None, "week": None, "month": None, "lifetime": None}),
    "more receivers": terms(allowed_result_receivers=["odrl:assignee", "cong-ty-khac"]),
    "exclusivity": terms(exclusive=True),
    "resale": terms(sublicence=True),
    "others' property": terms(intellectual_property="Thuộc bên mua."),
    "another version": lambda document: document.update(target="hoa_don_dnnvv@sha256:" + "6b" * 32),
    "another dataset": lambda document: document.update(target="dat_dai_giao_dich@sha256:" + "5a" * 32),
}


@pytest.mark.parametrize("change", WIDENED.values(), ids=WIDENED.keys())
def test_no_agreement_is_recorded_that_changes_its_offer_by(register, parties, forge, change):
    register.offered(parties.offer())
    document = parse(parties.agreed())["contract"]
    change(document)
    signers = (parties.keys[who] for who in (parties.provider, parties.buyer, parties.exchange))
    text = canonical(forge(document, *signers))
    assert parties.open(text)  # well signed and well said: only the offer tells that it is not what was offered
    refused(Invalid, "contract.invalid", register.recorded, text)
    assert register.read(registry.agreements) == []


def test_an_agreement_is_not_older_than_its_offer(register, parties):
    register.offered(parties.offer())
    early = parties.agreed(at=parties.now - timedelta(seconds=1))
    assert "dated before" in refused(Invalid, "contract.invalid", register.recorded, early).message


def test_an_envelope_of_another_agreement_is_not_recorded(register, parties):
    register.offered(parties.offer())
    agreement = parties.open(parties.agreed(number=1))
    other = parties.agreed(number=2)
    refused(Invalid, "contract.invalid", register.put, agreement, other)


def test_a_refused_agreement_leaves_its_neighbours_in_the_batch_alone(register, parties):
    register.offered(parties.offer())
    agreement, text = parties.open(parties.agreed()), parties.agreed()
    later = parties.now + timedelta(minutes=6)

    def unit(tx):
        registry.put_agreement(tx, agreement, text, later, register.signers_at(tx.connection))

    futures = [register.database.submit(unit) for _ in range(3)]
    outcomes = [future.exception() for future in futures]
    assert [getattr(outcome, "code", None) for outcome in outcomes].count("agreement.exists") == 2
    assert len(register.read(registry.agreements)) == 1


# --- offers to one buyer, requests, and what is over ---
def directed(parties, **changed):
    terms = parse(parties.offer(**changed))["offer"]
    return envelope.sign_offer(for_one(terms, parties.buyer), parties.keys[parties.provider])


def for_one(document, buyer):
    return document | {"assignee": buyer}


def requested(parties, offer, **changed):
    document = request_document(
        parse(offer)["offer"], parties.open_offer(offer).id, changed, parties.buyer, parties.now
    )
    return envelope.sign_request(document, parties.keys[parties.buyer])


def put_request(register, parties, text):
    opened = envelope.open_request(text, parties)
    register.write(offers.put_offer, opened, text, parties.now)
    return opened


def agreed_from_request(parties, text):
    """The provider takes a buyer's request; the buyer and the exchange sign beside."""
    agreement = envelope.accept_offer(text, parties.keys[parties.provider], b"9" * 32, parties.now)
    for who in (parties.buyer, parties.exchange):
        agreement = envelope.add_signature(agreement, parties.keys[who])
    return agreement


def test_an_agreement_is_made_of_a_request_too(register, parties):
    offer = parties.offer()
    register.offered(offer)
    request = requested(parties, offer, price_vnd=20_000)
    asked = put_request(register, parties, request)
    standing = register.recorded(agreed_from_request(parties, request))
    assert (standing.offer, int(standing.terms.price)) == (asked.id, 20_000)
    assert register.agreement(standing.id) == standing


def test_an_agreement_that_differs_from_its_request_is_not_recorded(register, parties, forge):
    offer = parties.offer()
    register.offered(offer)
    request = requested(parties, offer, price_vnd=20_000)
    put_request(register, parties, request)
    document = parse(agreed_from_request(parties, request))["contract"]
    document["terms"]["max_rows"] = 5_001
    signers = (parties.keys[who] for who in (parties.provider, parties.buyer, parties.exchange))
    refused(Invalid, "contract.invalid", register.recorded, canonical(forge(document, *signers)))


def test_the_public_list_holds_neither_requests_nor_offers_to_one_buyer(register, parties):
    public = register.offered(parties.offer())
    register.offered(directed(parties, price_vnd=10_000))
    put_request(register, parties, requested(parties, parties.offer()))
    assert public_offers(register) == [public]


def test_an_offer_to_one_buyer_is_unknown_to_another(register, parties, forge):
    register.offered(directed(parties))
    document = parse(parties.agreed(directed(parties)))["contract"] | {"assignee": parties.stranger}
    signers = (parties.keys[who] for who in (parties.provider, parties.stranger, parties.exchange))
    refused(NotFound, "offer.unknown", register.recorded, canonical(forge(document, *signers)))
    assert register.recorded(parties.agreed(directed(parties)))


@pytest.mark.parametrize(("column", "value"), [("buyer", None), ("kind", "request"), ("prev", "sha256:" + "0" * 64)])
def test_an_offer_whose_columns_contradict_its_bytes_is_seen(register, parties, column, value):
    register.offered(directed(parties))
    register.sql(sa.text(f"UPDATE offer SET {column} = :value"), value=value)
    with pytest.raises(Tampered):
        register.recorded(parties.agreed(directed(parties)))


def test_no_agreement_is_made_of_an_offer_that_was_withdrawn(register, parties, standing):
    offer = standing.offer
    register.write(offers.withdraw_offer, offer, parties.provider, parties.now)
    register.write(offers.withdraw_offer, offer, parties.provider, parties.now + timedelta(days=1))
    assert public_offers(register) == []
    assert refused(AgreementRefused, "offer.superseded", register.recorded, parties.agreed(number=2)).reasons == (
        "CONT-01",
    )
    assert register.agreement(standing.id) == standing  # what was agreed stays


def test_only_its_provider_withdraws_an_offer(register, parties, standing):
    refused(
        NotFound, "offer.unknown", register.write, offers.withdraw_offer, standing.offer, parties.buyer, parties.now
    )
    refused(NotFound, "offer.unknown", register.write, offers.withdraw_offer, "sha256:0", parties.provider, parties.now)
    assert len(public_offers(register)) == 1


def test_an_offer_that_was_replaced_for_one_buyer_stays_open_to_others(register, parties):
    """An old offer in `prev`: its buyer has moved on, and must not be held to it."""
    offer = register.offered(parties.offer())
    for _ in range(2):
        register.write(offers.replace_offers, [offer.id], parties.buyer, parties.now)
    refused(AgreementRefused, "offer.superseded", register.recorded, parties.agreed())
    assert register.recorded(parties.agreed(buyer=parties.stranger))
    assert public_offers(register) == [offer]


# --- exclusivity ---
@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)])
def test_an_exclusive_right_stands_alone(register, parties, first, second):
    early, late = parties.offer(exclusive=first), parties.offer(exclusive=second, price_vnd=1)
    register.offered(early)
    register.offered(late)
    held = register.recorded(parties.agreed(early))
    other = parties.agreed(late, buyer=parties.stranger)
    refused(Conflict, "agreement.exclusive", register.recorded, other)
    register.write(registry.change_state, held.id, "terminated")
    assert register.recorded(other)


def test_an_exclusive_right_ends_with_its_term(register, parties):
    offer = parties.offer(exclusive=True, term_days=1)
    register.offered(offer)
    register.recorded(parties.agreed(offer))
    later = parties.offer()
    register.offered(later)
    other = parties.agreed(later, buyer=parties.stranger)
    assert register.recorded(other, parties.now + timedelta(days=1))


@pytest.mark.parametrize("buyers", [("cong-ty-fintech", "cong-ty-khac"), ("cong-ty-khac", "cong-ty-fintech")])
def test_an_exclusive_right_is_refused_whichever_buyer_came_first(register, parties, buyers):
    plain, exclusive = parties.offer(), parties.offer(exclusive=True)
    for offer in (plain, exclusive):
        register.offered(offer)
    register.recorded(parties.agreed(plain, buyer=buyers[0]))
    refused(Conflict, "agreement.exclusive", register.recorded, parties.agreed(exclusive, buyer=buyers[1]))
    assert register.recorded(parties.agreed(exclusive, buyer=buyers[0]))  # one's own rights are in nobody's way


def test_of_two_exclusive_rights_at_once_one_is_admitted(register, parties):
    """Two nodes over one database: each alone would find nothing that stands against its own."""
    offer = parties.offer(exclusive=True)
    register.offered(offer)
    texts = [parties.agreed(offer, buyer=buyer) for buyer in (parties.buyer, parties.stranger)]
    with register.second_node() as other, ThreadPoolExecutor(2) as threads:
        nodes = (register, other)
        futures = [threads.submit(node.recorded, text) for node, text in zip(nodes, texts, strict=True)]
        outcomes = [future.exception() for future in futures]
    assert sorted(getattr(outcome, "code", "") for outcome in outcomes) == ["", "agreement.exclusive"]
    assert len(register.read(registry.agreements)) == 1


def test_admission_looks_into_indexes_and_never_through_a_table(register, parties):
    """What an admission asks must not grow with the number of agreements: 10.000 are no slower than ten."""
    if register.database.engine.dialect.name != "sqlite":
        pytest.skip("reads the plans of SQLite")
    offer = parties.offer(exclusive=True)
    register.offered(offer)
    asked = []
    sa.event.listen(register.database.engine, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
    register.recorded(parties.agreed(offer))
    questions = [(text, values) for text, values in asked if text.startswith("SELECT")]
    with register.database.read() as connection:
        plans = [
            step[3]
            for text, values in questions
            for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)
        ]
    assert plans
    assert [plan for plan in plans if "SCAN" in plan and "CONSTANT" not in plan] == []


def test_rights_that_are_not_exclusive_stand_side_by_side(register, parties, standing):
    assert register.recorded(parties.agreed(buyer=parties.stranger))


# --- reading agreements ---
ALTERED = {
    "more rows": lambda text: text.replace(b'"max_rows":5000', b'"max_rows":9999'),
    "a lower price": lambda text: text.replace(b'"rightOperand":"25000"', b'"rightOperand":"1"'),
    "a signature removed": lambda text: canonical(parse(text) | {"signatures": parse(text)["signatures"][:2]}),
    "its last byte lost": lambda text: text[:-1],
    "nothing left": lambda text: b"",
}


@pytest.mark.parametrize("change", ALTERED.values(), ids=ALTERED.keys())
def test_an_agreement_altered_in_the_database_is_seen(register, parties, standing, change):
    register.agreement(standing.id)
    register.sql(FORGET, envelope=change(parties.agreed()), id=standing.id)
    refused(Tampered, "tampered.agreement", register.agreement, standing.id)


def test_a_good_agreement_put_in_anothers_place_is_seen(register, parties, standing):
    register.sql(FORGET, envelope=parties.agreed(number=2), id=standing.id)
    refused(Tampered, "tampered.agreement", register.agreement, standing.id)


@pytest.mark.parametrize(
    ("column", "value"), [("version", "sha256:" + "0" * 64), ("dataset", "chi_so_cds"), ("buyer", "cong-ty-khac")]
)
def test_a_column_that_contradicts_the_signed_bytes_is_seen(register, standing, column, value):
    register.sql(sa.text(f"UPDATE agreement SET {column} = :value"), value=value)
    refused(Tampered, "tampered.agreement", register.agreement, standing.id)


def test_a_key_exchanged_in_the_database_verifies_nothing(register, parties, standing):
    public = new_key("x").verify_key.jwk()
    jwk = canonical({name: public[name] for name in ("crv", "kty", "x")}).decode()
    kid = parties.keys[parties.buyer].kid
    register.sql(sa.text("UPDATE participant_key SET jwk = :jwk WHERE kid = :kid"), jwk=jwk, kid=kid)
    refused(Tampered, "tampered.agreement", register.agreement, standing.id)


@pytest.mark.parametrize("party", ["provider", "buyer", "exchange"])
def test_an_agreement_falls_with_any_key_that_signed_it(register, parties, standing, party):
    kid = parties.keys[getattr(parties, party)].kid
    register.write(keyring.revoke_key, kid, parties.now)
    refusal = refused(AgreementRefused, "agreement.key_revoked", register.agreement, standing.id)
    assert refusal.reasons == ("CONT-01",)


def test_an_agreement_signed_before_a_key_was_stolen_stays(register, parties, standing):
    kid = parties.keys[parties.buyer].kid
    stolen = parties.now + timedelta(days=1)
    register.write(keyring.revoke_key, kid, stolen, stolen)
    assert register.agreement(standing.id) == standing
    register.write(keyring.revoke_key, kid, stolen, parties.now)
    refused(AgreementRefused, "agreement.key_revoked", register.agreement, standing.id)


def test_one_line_of_the_registry_is_found_by_its_whole_digest(register, standing):
    assert register.read(registry.agreement_row, standing.id) == register.read(registry.agreements)[0]
    refused(NotFound, "agreement.unknown", register.read, registry.agreement_row, standing.id[:-1])


def test_each_party_sees_its_own_agreements(register, parties, standing):
    other = register.recorded(parties.agreed(buyer=parties.stranger), parties.now + timedelta(hours=1))
    seen = {who: [row.id for row in register.read(registry.agreements, who)] for who in parties.keys}
    assert seen[parties.provider] == [standing.id, other.id]
    assert seen[parties.buyer] == [standing.id]
    assert seen[parties.stranger] == [other.id]
    assert seen[parties.exchange] == []
    row = register.read(registry.agreements)[0]
    assert (row.buyer, row.dataset, row.state) == (parties.buyer, "hoa_don_dnnvv", "in_force")
    assert (row.not_after, row.signed_at) == (standing.not_after, parties.now + timedelta(minutes=6))


# --- the life of an agreement ---
@pytest.mark.parametrize("source", registry.STATES)
@pytest.mark.parametrize("target", [*registry.STATES, "asleep"])
def test_an_agreement_goes_only_where_its_states_lead(register, standing, source, target):
    if source != "in_force":
        register.write(registry.change_state, standing.id, source)
    if target in registry.STATES[source]:
        register.write(registry.change_state, standing.id, target)
        assert register.read(registry.agreement_state, standing.id) == target
    else:
        refused(Conflict, "agreement.state", register.write, registry.change_state, standing.id, target)
        assert register.read(registry.agreement_state, standing.id) == source


def test_an_unknown_agreement_has_no_state(register):
    refused(NotFound, "agreement.unknown", register.read, registry.agreement_state, "sha256:" + "0" * 64)
    refused(NotFound, "agreement.unknown", register.write, registry.change_state, "sha256:" + "0" * 64, "suspended")


def test_an_agreement_is_in_force_from_its_first_instant_to_before_its_last(standing):
    registry.require_in_force(standing, standing.not_before, "in_force")
    registry.require_in_force(standing, standing.not_after - timedelta(microseconds=1), "in_force")


TICK = timedelta(microseconds=1)
STANDSTILL = {
    "before it begins": ("not_before", -TICK, "in_force", "CONT-02"),
    "when it has ended": ("not_after", TICK * 0, "in_force", "CONT-02"),
    "terminated": ("not_before", TICK, "terminated", "CONT-02"),
    "suspended": ("not_before", TICK, "suspended", "CHARTER-06"),
    "in a state nobody knows": ("not_before", TICK, "asleep", "CHARTER-06"),
}


@pytest.mark.parametrize(("member", "step", "state", "rule"), STANDSTILL.values(), ids=STANDSTILL.keys())
def test_nobody_acts_under_an_agreement(standing, member, step, state, rule):
    moment = getattr(standing, member) + step
    refusal = refused(AgreementRefused, "agreement.not_in_force", registry.require_in_force, standing, moment, state)
    assert refusal.reasons == (rule,)
