"""Orders: what one signature stops, what two start again, and what nobody gives twice, late, or in another's name."""

import re
from dataclasses import replace
from datetime import timedelta
from itertools import combinations
from pathlib import Path

import pytest
import sqlalchemy as sa
from jsonschema import Draft202012Validator

from sandbox.contracts import keyring, orders, participants
from sandbox.contracts.order import ENDS, SCOPES
from sandbox.core.canonical import canonical, parse
from sandbox.core.errors import Conflict, Invalid, NotFound, PolicyRefused, Tampered
from sandbox.core.keys import key_from_seed, new_key
from sandbox.core.terms import KeyUse, Participant, Role

REGULATOR = "so-khcn"
AGREEMENT = "sha256:" + "0a" * 32
QUERY = "qry_01K0000000000000000000000A"
TARGETS = {
    "market": None,
    "participant": "cong-ty-fintech",
    "dataset": "chi_so_cds",
    "agreement": AGREEMENT,
    "query": QUERY,
}
ALL = (["cong-ty-fintech"], ["chi_so_cds"], [AGREEMENT], QUERY)


def refused(kind, code, act, *arguments):
    with pytest.raises(kind) as refusal:
        act(*arguments)
    assert refusal.value.code == code
    return refusal.value


class Office:
    """Regulator and operator at their desks, and the exchange that carries out what they sign."""

    def __init__(self, register, parties):
        self.register, self.parties, self.now = register, parties, parties.now
        self.keys = parties.keys | {REGULATOR: key_from_seed(REGULATOR, bytes([11]) * 32)}
        self.number = 0

        def unit(tx):
            participants.admit(tx, Participant(REGULATOR, "Sở KH&CN", frozenset({Role.REGULATOR})), self.now)
            keyring.register_key(tx, REGULATOR, self.keys[REGULATOR].verify_key, KeyUse.CONTRACT, self.now)

        register.database.write(unit)

    def document(self, act="suspend", kind="dataset", issuer=REGULATOR, **changed):
        self.number += 1
        wanted = {
            "act": act,
            "scope": {"kind": kind, "id": TARGETS.get(kind)},
            "issuer": issuer,
            "reason": "Nghi lộ dữ liệu cá nhân.",
            "legal_basis": "NĐ 314/2026 Điều 7(8)(d)",
        }
        return orders.order_document(wanted | changed, bytes([self.number]) * 32, self.now)

    def signed(self, document, *others):
        text = orders.sign_order(document, self.keys[document["issuer"]])
        for who in others:
            text = orders.add_signature(text, self.keys[who])
        return text

    def opened(self, text, after=timedelta(0)):
        at = self.now + after
        return self.register.read(lambda connection: orders.open_order(text, keyring.Signers(connection, at), at))

    def given(self, text, after=timedelta(0)):
        order = self.opened(text, after)
        self.register.write(orders.put_order, order, text, self.now + after)
        return order

    def gives(self, act="suspend", kind="dataset", *others, **changed):
        return self.given(self.signed(self.document(act, kind, **changed), *others))

    def standing(self, *about):
        return self.register.read(orders.concerning, *(about or ALL))


@pytest.fixture
def office(register, parties):
    return Office(register, parties)


# --- what stops ---
@pytest.mark.parametrize("kind", SCOPES["suspend"])
def test_a_suspension_stands_from_its_transaction_on(office, kind):
    assert office.standing() == ()
    order = office.gives(kind=kind)
    (standing,) = office.standing()
    assert (standing.id, standing.act, standing.kind) == (order.id, "suspend", kind)
    assert (standing.target, standing.reason) == (TARGETS[kind] or "", "Nghi lộ dữ liệu cá nhân.")


@pytest.mark.parametrize("kind", SCOPES["open_incident"])
def test_an_open_incident_stands_too(office, kind):
    office.gives("open_incident", kind)
    assert [(each.act, each.kind) for each in office.standing()] == [("open_incident", kind)]


@pytest.mark.parametrize("kind", ["participant", "dataset", "agreement", "query"])
def test_an_order_stops_nothing_but_what_it_names(office, kind):
    office.gives(kind=kind)
    assert office.standing(["cong-ty-khac"], ["hoa_don_dnnvv"], ["sha256:" + "1" * 64], None) == ()


def test_the_market_is_everyones(office):
    office.gives(kind="market")
    assert len(office.standing([], [], [])) == 1


def test_a_dataset_is_not_stopped_by_an_order_about_a_participant_of_its_name(office):
    office.gives(kind="participant", scope={"kind": "participant", "id": "chung-ten"})
    assert office.standing([], ["chung-ten"], [], None) == ()
    assert len(office.standing(["chung-ten"], ["chung-ten"], [], None)) == 1


def test_several_orders_stand_side_by_side_and_the_oldest_comes_first(office):
    first = office.gives(kind="dataset")
    office.now += timedelta(seconds=1)
    second, third = office.gives("open_incident", "dataset"), office.gives(kind="query")
    assert {each.id for each in office.standing()} == {first.id, second.id, third.id}
    listed = office.register.read(orders.listing)
    assert (len(listed), listed[0].id) == (3, first.id)
    about = office.register.read(orders.about, "dataset", "chi_so_cds")
    assert [each.act for each in about] == ["suspend", "open_incident"]
    assert office.register.read(orders.about, "market") == ()


@pytest.mark.parametrize("place", [0, 7, 8, 23])
def test_an_order_is_found_however_much_is_asked_about(office, place):
    names = [f"bo_du_lieu_{number:02}" for number in range(24)]
    office.gives(scope={"kind": "dataset", "id": names[place]})
    assert [each.target for each in office.standing([], names, [])] == [names[place]]


def test_an_agreement_that_was_terminated_is_the_registrys_affair(office):
    order = office.gives("terminate", "agreement")
    assert (office.standing(), office.register.read(orders.listing)) == ((), [])
    assert b'"terminate"' in office.register.read(orders.envelope_of, order.id)


def test_the_signed_bytes_of_an_order_are_kept(office):
    text = office.signed(office.document())
    order = office.given(text)
    assert office.register.read(orders.envelope_of, order.id) == text
    refused(NotFound, "order.unknown", office.register.read, orders.envelope_of, "sha256:" + "0" * 64)


# --- what starts again ---
BOTH = ["san-du-lieu"]
PAIRS = {"suspend": "resume", "open_incident": "close_incident"}


@pytest.mark.parametrize("act", PAIRS)
def test_what_two_offices_sign_is_over(office, act):
    stop = office.gives(act)
    office.gives(PAIRS[act], "dataset", *BOTH, ends=stop.id)
    assert (office.standing(), office.register.read(orders.listing)) == ((), [])


@pytest.mark.parametrize("act", PAIRS)
@pytest.mark.parametrize("signers", [(), ("cong-ty-fintech",), ("hiep-hoi-ban-le", "cong-ty-fintech")], ids=len)
def test_no_office_alone_starts_again_what_was_stopped(office, act, signers):
    stop = office.gives(act)
    for issuer in (REGULATOR, "san-du-lieu"):
        document = office.document(PAIRS[act], ends=stop.id, issuer=issuer)
        refusal = refused(PolicyRefused, "order.quorum", office.given, office.signed(document, *signers))
        assert refusal.reasons == ("CHARTER-06",)
    assert len(office.standing()) == 1


def test_two_suspensions_are_ended_one_by_one(office):
    first, second = office.gives(), office.gives()
    office.gives("resume", "dataset", *BOTH, ends=first.id)
    assert [each.id for each in office.standing()] == [second.id]


def test_what_is_over_does_not_end_twice(office):
    stop = office.gives()
    office.gives("resume", "dataset", *BOTH, ends=stop.id)
    again = office.signed(office.document("resume", ends=stop.id), *BOTH)
    refused(Conflict, "order.ended", office.given, again)
    ends = sa.text("SELECT count(*) FROM directive WHERE act = 'resume'")
    assert office.register.read(lambda connection: connection.scalar(ends)) == 1  # the refused one left no trace


def test_only_an_order_that_was_given_is_ended(office):
    text = office.signed(office.document("resume", ends="sha256:" + "0" * 64), *BOTH)
    refused(NotFound, "order.unknown", office.given, text)


@pytest.mark.parametrize(
    ("act", "kind"), [("close_incident", "dataset"), ("resume", "market"), ("resume", "participant")]
)
def test_an_order_ends_one_of_its_kind_and_scope(office, act, kind):
    stop = office.gives()
    refused(Invalid, "order.invalid", office.given, office.signed(office.document(act, kind, ends=stop.id), *BOTH))
    assert len(office.standing()) == 1


def test_a_termination_is_for_ever(office):
    stop = office.gives("terminate", "agreement")
    text = office.signed(office.document("resume", "agreement", ends=stop.id), *BOTH)
    refused(Invalid, "order.invalid", office.given, text)


def test_a_crash_leaves_neither_the_order_nor_its_effect(office):
    stop = office.gives()
    text = office.signed(office.document("resume", ends=stop.id), *BOTH)
    order = office.opened(text)

    def torn(tx):
        orders.put_order(tx, order, text, office.now)
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011  # whatever it is that a crash raises
        office.register.database.write(torn)
    assert len(office.standing()) == 1
    office.given(text)
    assert office.standing() == ()


# --- each once, and now ---
def test_an_order_is_given_once(office):
    text = office.signed(office.document())
    office.given(text)
    refused(Conflict, "order.exists", office.given, text)
    # another signature makes another envelope, and still the same order
    refused(Conflict, "order.exists", office.given, orders.add_signature(text, office.keys["san-du-lieu"]))


def test_a_suspension_that_was_ended_does_not_come_back_by_its_old_bytes(office):
    text = office.signed(office.document())
    stop = office.given(text)
    office.gives("resume", "dataset", *BOTH, ends=stop.id)
    refused(Conflict, "order.exists", office.given, text)
    assert office.standing() == ()


@pytest.mark.parametrize(
    ("others", "after", "good"),
    [
        ((), timedelta(minutes=10), True),
        ((), timedelta(minutes=10, microseconds=1), False),
        ((), timedelta(minutes=-10), True),
        ((), timedelta(minutes=-10, microseconds=-1), False),
        (BOTH, timedelta(days=7), True),
        (BOTH, timedelta(days=7, microseconds=1), False),
        (BOTH, timedelta(minutes=-10, microseconds=-1), False),
    ],
)
def test_an_order_is_of_this_hour_or_waited_for_its_second_signature(office, others, after, good):
    text = office.signed(office.document("terminate", "agreement") if others else office.document(), *others)
    office.now -= timedelta(days=8)  # so that the keys are older than every moment asked about
    office.register.sql(sa.text("UPDATE participant_key SET valid_from = :at"), at=0)
    office.now += timedelta(days=8)
    if good:
        assert office.opened(text, after)
    else:
        refused(Invalid, "order.stale", office.opened, text, after)


def test_a_stop_is_of_this_hour_whoever_signs_beside_it(office):
    text = office.signed(office.document(), *BOTH)
    assert office.opened(text, timedelta(minutes=10))
    refused(Invalid, "order.stale", office.opened, text, timedelta(minutes=10, microseconds=1))


# --- who ---
def test_an_order_names_those_who_signed_it(office):
    text = office.signed(office.document(), *BOTH)
    assert office.opened(text).signed_by == (REGULATOR, "san-du-lieu")


def test_nobody_orders_in_anothers_name(office):
    text = orders.sign_order(office.document(), office.keys["cong-ty-khac"])
    refused(Invalid, "signature.invalid", office.opened, text)


def test_two_keys_of_one_office_are_one_office(office):
    second = new_key(REGULATOR)
    office.register.write(keyring.register_key, REGULATOR, second.verify_key, KeyUse.CONTRACT, office.now)
    text = orders.add_signature(office.signed(office.document()), second)
    refused(Invalid, "signature.invalid", office.opened, text)


def test_a_key_for_requests_gives_no_orders(office):
    key = new_key(REGULATOR)
    office.register.write(keyring.register_key, REGULATOR, key.verify_key, KeyUse.REQUEST, office.now)
    refused(Invalid, "signature.invalid", office.opened, orders.sign_order(office.document(), key))


def test_a_revoked_key_gives_no_orders(office):
    office.register.write(keyring.revoke_key, office.keys[REGULATOR].kid, office.now)
    refused(Invalid, "signature.invalid", office.opened, office.signed(office.document()))


def test_an_order_without_a_signature_is_none(office):
    text = canonical(parse(office.signed(office.document())) | {"signatures": []})
    refused(Invalid, "signature.invalid", office.opened, text)


def test_what_was_signed_for_another_purpose_is_no_order(office, forge):
    for typ in ("contract+jws", "receipt+jws", "offer+jws"):
        text = canonical(forge(office.document(), office.keys[REGULATOR], member="order", typ=typ))
        refused(Invalid, "signature.invalid", office.opened, text)


@pytest.mark.parametrize(
    "change", [{"reason": "Khác."}, {"scope": {"kind": "market", "id": None}}, {"act": "open_incident"}]
)
def test_an_order_that_was_altered_is_none(office, change):
    parts = parse(office.signed(office.document()))
    refused(Invalid, "signature.invalid", office.opened, canonical(parts | {"order": parts["order"] | change}))


def test_an_envelope_of_another_order_is_not_recorded(office):
    order, other = office.opened(office.signed(office.document())), office.signed(office.document())
    refused(Invalid, "order.invalid", office.register.write, orders.put_order, order, other, office.now)


def test_an_order_is_of_bounded_size(office):
    refused(Invalid, "order.invalid", office.opened, office.signed(office.document()) + b" " * 65_536)


# --- the document ---
WRONG = {
    "type": ["Offer", None],
    "act": ["stop", None, 1],
    "scope": [
        None, {}, {"kind": "dataset"}, {"kind": "dataset", "id": None}, {"kind": "market", "id": "x"},
        {"kind": "city", "id": "x"}, {"kind": "agreement", "id": "chi_so_cds"}, {"kind": "query", "id": "x"},
        {"kind": "dataset", "id": "../x"}, {"kind": "dataset", "id": "chi_so_cds", "more": 1},
    ],
    "issuer": [None, "So KHCN", ""],
    "reason": [None, "", " ", "x" * 2_001, "\u202e"],
    "legal_basis": ["", 1, "x" * 2_001],
    "ends": ["sha256:" + "0" * 64, "x", 1],
    "nonce": [None, "", "AA", "A" * 44, "*" * 43],
    "timestamp": [None, "2026-12-01", "2026-12-01T03:00:00Z", "2026-12-01T10:00:00.000000+07:00"],
    "more": [1],
}  # fmt: skip
CASES = [(member, value) for member, values in WRONG.items() for value in values]


@pytest.fixture(scope="module")
def schema(contracts):
    document = parse((contracts / "order.schema.json").read_bytes())
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


@pytest.mark.parametrize(("member", "value"), CASES)
def test_an_order_with_a_wrong_member_is_refused(office, schema, forge, member, value):
    document = office.document() | {member: value}
    refused(Invalid, "order.invalid", orders.read_order, document)
    refused(Invalid, "order.invalid", orders.sign_order, document, office.keys[REGULATOR])
    if value != "\u202e":  # what is printable no schema can say
        assert not schema.is_valid(forge(document, office.keys[REGULATOR], member="order", typ="order+jws"))


@pytest.mark.parametrize(
    "member", ["type", "act", "scope", "issuer", "reason", "legal_basis", "ends", "nonce", "timestamp"]
)
def test_an_order_without_a_member_is_refused(office, schema, forge, member):
    document = office.document()
    del document[member]
    refused(Invalid, "order.invalid", orders.read_order, document)
    assert not schema.is_valid(forge(document, office.keys[REGULATOR], member="order", typ="order+jws"))


ACTS = {**SCOPES, **{act: SCOPES[ended] for act, ended in ENDS.items()}}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("kind", TARGETS)
def test_program_and_schema_agree_on_what_each_act_is_about(office, schema, forge, act, kind):
    document = office.document() | {"act": act, "scope": {"kind": kind, "id": TARGETS[kind]}}
    document["ends"] = "sha256:" + "0" * 64 if act in ENDS else None
    good = kind in ACTS[act]
    if good:
        assert orders.read_order(document).act == act
    else:
        refused(Invalid, "order.invalid", orders.read_order, document)
    assert schema.is_valid(forge(document, office.keys[REGULATOR], member="order", typ="order+jws")) is good


def test_the_same_order_given_twice_is_two(office):
    documents = [office.document() for _ in range(3)]
    ids = [orders.read_order(each).id for each in documents]
    assert all(first != second for first, second in combinations(ids, 2))


# --- what lies in the database ---
@pytest.mark.parametrize(
    ("column", "value"),
    [("act", "open_incident"), ("target", "hoa_don_dnnvv"), ("kind", "participant"), ("envelope", b"{}"), ("id", "x")],
)
def test_an_order_altered_in_the_database_is_seen(office, column, value):
    office.gives()
    office.register.sql(sa.text(f"UPDATE directive SET {column} = :value"), value=value)
    refused(Tampered, "tampered.order", office.register.read, orders.listing)


def test_standing_orders_are_found_by_an_index(office):
    if office.register.database.engine.dialect.name != "sqlite":
        pytest.skip("reads the plan of SQLite")
    asked = []
    sa.event.listen(office.register.database.engine, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
    office.standing()
    (question,) = [(text, values) for text, values in asked if "directive" in text]
    with office.register.database.read() as connection:
        plan = [step[3] for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {question[0]}", question[1])]
    assert any("directive_target" in step for step in plan)


def test_an_opened_order_is_a_value(office):
    order = office.opened(office.signed(office.document()))
    assert replace(order) == order


def test_the_page_says_what_each_act_is_about():
    page = (Path(__file__).parents[2] / "docs" / "formats" / "order.md").read_text()
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| `")]
    said = {act.strip().strip("`"): tuple(re.findall(r"`(\w+)`", scope)) for act, scope in rows}
    assert said == {**SCOPES, **dict.fromkeys(ENDS, ("ends",))}
