"""A charter is in force once its regulator and its operator signed it, one version after the other."""

from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from sandbox.contracts import charters, keyring, participants
from sandbox.contracts.articles import read_charter
from sandbox.contracts.charters import CHARTER, in_force, open_charter, sign_charter
from sandbox.contracts.keyring import Signers
from sandbox.core.canonical import canonical, digest_of, parse
from sandbox.core.database import Database, open_engine
from sandbox.core.errors import Conflict, Invalid, Tampered
from sandbox.core.keys import key_from_seed
from sandbox.core.signing import envelope, sign
from sandbox.core.terms import KeyUse, Participant, ParticipantId, Role
from tests.chartering import document, following, signed
from tests.tables import furnish

START = read_charter(document()).window.start
REGULATOR, OPERATOR, BUYER = "co-quan-giam-sat", "san-du-lieu", "cong-ty-fintech"
ROLES = {REGULATOR: Role.REGULATOR, OPERATOR: Role.OPERATOR, BUYER: Role.BUYER}
KEYS = {who: key_from_seed(who, bytes([number]) * 32) for number, who in enumerate(ROLES, 1)}
SECOND = key_from_seed(REGULATOR, bytes([77]) * 32)
BOTH = KEYS[REGULATOR], KEYS[OPERATOR]
TICK = timedelta(microseconds=1)


class Charters:
    """The register of charters over a database in which everyone is admitted."""

    def __init__(self, database):
        self.database = database

    def write(self, act, *arguments):
        return self.database.write(lambda tx: act(tx, *arguments))

    def open(self, text, at=START):
        with self.database.read() as connection:
            return open_charter(text, Signers(connection, at))

    def adopt(self, text, at=START):
        charter = self.open(text, at)
        self.write(charters.adopt, charter, text, at)
        return charter

    def in_force(self, now=START):
        with self.database.read() as connection:
            return in_force(connection, partial(Signers, connection), now)

    def versions(self):
        with self.database.read() as connection:
            return [(each.charter, each.version) for each in charters.history(connection)]

    def sql(self, statement, **values):
        self.write(lambda tx: tx.connection.execute(sa.text(statement), values))


@pytest.fixture
def register(database_url):
    engine = open_engine(database_url)
    furnish(engine)
    with Database(engine) as database:
        made = Charters(database)

        def admit(tx):
            for who, role in ROLES.items():
                member = Participant(ParticipantId(who), f"Tổ chức {who}", frozenset({role}))
                participants.admit(tx, member, START - timedelta(days=9))
                keyring.register_key(tx, who, KEYS[who].verify_key, KeyUse.CONTRACT, START - timedelta(days=9))

        made.database.write(admit)
        yield made


def refused(act, *arguments):
    with pytest.raises((Invalid, Conflict)) as refusal:
        act(*arguments)
    return refusal.value


# --- signatures ---
def test_a_charter_signed_by_both_opens_in_whichever_order_they_signed(register):
    for keys in (BOTH, BOTH[::-1]):
        charter = register.open(signed(document(), *keys))
        assert (charter.id, charter.digest) == ("TPHCM-SGDDL-2026-01", digest_of(document()))


@pytest.mark.parametrize(
    "keys",
    [
        (),
        (KEYS[REGULATOR],),
        (KEYS[OPERATOR],),
        (KEYS[REGULATOR], KEYS[BUYER]),
        (*BOTH, KEYS[BUYER]),
        (KEYS[BUYER], KEYS[OPERATOR]),
    ],
    ids=["nobody", "regulator alone", "operator alone", "a buyer as operator", "a buyer too", "a buyer as regulator"],
)
def test_a_charter_is_signed_by_its_two_parties_and_nobody_else(register, keys):
    refusal = refused(register.open, signed(document(), *keys))
    assert refusal.code == "charter.invalid"
    assert "signed by its regulator co-quan-giam-sat and its operator san-du-lieu" in refusal.message


def test_two_keys_of_the_regulator_are_not_two_parties(register):
    register.write(keyring.register_key, REGULATOR, SECOND.verify_key, KeyUse.CONTRACT, START - TICK)
    assert refused(register.open, signed(document(), KEYS[REGULATOR], SECOND)).code == "charter.invalid"
    assert refused(register.open, signed(document(), *BOTH, SECOND)).code == "charter.invalid"


def test_an_altered_charter_does_not_open(register):
    said = parse(signed(document(), *BOTH))
    said[CHARTER]["caps"]["exchange_day_vnd"] += 1
    assert refused(register.open, canonical(said)).code == "signature.invalid"


def test_a_signature_made_for_a_contract_signs_no_charter(register):
    said = document()
    text = envelope(
        CHARTER, said, [sign(said, KEYS[REGULATOR], "contract+jws"), sign(said, KEYS[OPERATOR], "charter+jws")]
    )
    assert refused(register.open, text).code == "signature.invalid"


def test_a_request_key_signs_no_charter(register):
    register.write(keyring.register_key, REGULATOR, SECOND.verify_key, KeyUse.REQUEST, START - TICK)
    assert refused(register.open, signed(document(), SECOND, KEYS[OPERATOR])).code == "signature.invalid"


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b'{"charter": {}, "signatures": []}', b" " * 70_000])
def test_what_is_no_charter_is_refused(register, text):
    assert refused(register.open, text).code in {"document.malformed", "signature.invalid", "charter.invalid"}


def test_nobody_signs_what_does_not_read_well():
    text = canonical(document(state="open"))
    assert refused(sign_charter, text, KEYS[REGULATOR]).code == "charter.invalid"


# --- adoption ---
def test_before_any_charter_none_is_in_force(register):
    assert register.in_force() is None


def test_the_version_adopted_last_is_in_force_and_the_old_ones_stay(register):
    first = register.adopt(signed(document(), *BOTH))
    paused = following(document(), first.digest, state="paused")
    second = register.adopt(signed(paused, *BOTH), START + timedelta(days=1))
    assert register.in_force(START + timedelta(days=1) - TICK) == first
    assert register.in_force(START + timedelta(days=1)) == second
    assert (second.state, second.version) == ("paused", 2)
    assert register.versions() == [(first.id, 1), (first.id, 2)]


def test_a_charter_governs_from_its_adoption_on(register):
    register.adopt(signed(document(), *BOTH), START)
    assert register.in_force(START - TICK) is None


def next_of(first, **members):
    return signed(following(document(), first.digest, **members), *BOTH)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"version": 3}, "charter.not_next"),
        ({"prev": "sha256:" + "0" * 64}, "charter.not_next"),
        ({"charter_id": "TPHCM-SGDDL-2026-02"}, "charter.not_next"),
        ({"charter_id": "TPHCM-SGDDL-2026-02", "version": 1, "prev": None}, "charter.not_next"),
        ({"objectives": ["khác"], "version": 1, "prev": None}, "charter.not_next"),
    ],
    ids=["a version skipped", "another predecessor", "another charter's", "a second charter", "version 1 again"],
)
def test_only_the_next_version_is_adopted(register, members, code):
    first = register.adopt(signed(document(), *BOTH))
    assert refused(register.adopt, next_of(first, **members)).code == code
    assert register.in_force() == first


def test_the_same_charter_is_adopted_once(register):
    register.adopt(signed(document(), *BOTH))
    assert refused(register.adopt, signed(document(), *BOTH[::-1])).code == "charter.exists"


def test_the_first_charter_is_a_version_1(register):
    text = signed(following(document(), "sha256:" + "0" * 64), *BOTH)
    assert refused(register.adopt, text).code == "charter.not_next"


def test_the_regulator_stays_the_regulator(register):
    register.write(keyring.register_key, BUYER, (other := key_from_seed(BUYER, bytes([9]) * 32)).verify_key,
                   KeyUse.CONTRACT, START)  # fmt: skip
    first = register.adopt(signed(document(), *BOTH))
    said = following(document(), first.digest, parties={"regulator": BUYER, "operator": OPERATOR})
    refusal = refused(register.adopt, signed(said, other, KEYS[OPERATOR]))
    assert "stays it" in refusal.message


def test_what_has_ended_has_no_next_version_and_a_new_charter_may_begin(register):
    first = register.adopt(signed(document(), *BOTH))
    ended = register.adopt(next_of(first, state="ended"))
    again = following(ended.document, ended.digest, state="active")
    assert refused(register.adopt, signed(again, *BOTH)).code == "charter.ended"
    assert refused(register.adopt, signed(document(objectives=["khác"]), *BOTH)).code == "charter.not_next"
    second = register.adopt(signed(document(charter_id="TPHCM-SGDDL-2027-01"), *BOTH))
    assert register.in_force() == second


# --- time ---
def lengthened(months, *, ends, **members):
    """Members of a charter whose last stage is so many months longer."""
    window = document()["window"] | {"end": ends, **members}
    stages = document()["stages"]
    return {"window": window, "stages": [*stages[:2], stages[2] | {"months": 6 + months}]}


def test_a_window_is_extended_as_often_and_as_long_as_the_charter_says(register):
    year, more = lengthened(12, ends="2028-11-30T17:00:00Z"), lengthened(13, ends="2028-12-31T17:00:00Z")
    first = register.adopt(signed(document(), *BOTH))
    assert refused(register.adopt, next_of(first, **more)).code == "charter.extension"
    second = register.adopt(next_of(first, **year))
    third = register.adopt(signed(following(second.document, second.digest, **more), *BOTH))
    last = lengthened(14, ends="2029-01-31T17:00:00Z")
    refusal = refused(register.adopt, signed(following(third.document, third.digest, **last), *BOTH))
    assert (refusal.code, refusal.message) == ("charter.extension", "2 of 2 extensions are used.")


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        ("2026-10-31T17:00:00Z", "2027-10-31T17:00:00Z", 40),
        ("2026-12-31T17:00:00Z", "2027-12-31T17:00:00Z", 40),
        ("2026-11-30T17:00:00Z", "2026-12-31T17:00:00Z", 40),
        ("2026-11-30T17:00:00Z", "2028-02-29T17:00:00Z", 400),
    ],
    ids=["begun earlier", "begun later", "ended in the past", "extended after its end"],
)
def test_the_time_that_has_passed_cannot_be_altered(register, start, end, days):
    first = register.adopt(signed(document(), *BOTH))
    window = document()["window"] | {"start": start, "end": end}
    months = {"2026-12-31T17:00:00Z": 1, "2028-02-29T17:00:00Z": 15}.get(end, 12)
    changed = {"window": window, "stages": [{"name": "mot", "months": months, "scale_percent": 100}]}
    text = signed(following(document(), first.digest, **changed), *BOTH)
    assert refused(register.adopt, text, START + timedelta(days=days)).code == "charter.past"


def test_a_window_can_be_shortened_to_a_time_to_come(register):
    first = register.adopt(signed(document(), *BOTH))
    window = document()["window"] | {"end": "2027-02-28T17:00:00Z"}
    text = next_of(first, window=window, stages=document()["stages"][:1])
    assert register.adopt(text, START + timedelta(days=9)).window.end < first.window.end


# --- crashes, races, tampering ---
def test_a_unit_that_fails_after_it_leaves_no_charter(register):
    text = signed(document(), *BOTH)
    charter = register.open(text)

    def unit(tx):
        charters.adopt(tx, charter, text, START)
        raise RuntimeError("the log does not answer")

    with pytest.raises(RuntimeError):
        register.database.write(unit)
    assert (register.in_force(), register.versions()) == (None, [])


def test_an_envelope_of_another_charter_is_not_adopted_for_it(register):
    charter = register.open(signed(document(), *BOTH))
    refusal = refused(register.write, charters.adopt, charter, signed(document(objectives=["khác"]), *BOTH), START)
    assert refusal.code == "charter.invalid"


def test_of_two_versions_2_one_is_adopted(register):
    first = register.adopt(signed(document(), *BOTH))
    texts = [next_of(first, objectives=[name]) for name in ("một", "hai")]
    opened = [register.open(text) for text in texts]
    futures = [
        register.database.submit(lambda tx, pair=pair: charters.adopt(tx, *pair, START))
        for pair in zip(opened, texts, strict=True)
    ]
    failures = [future.exception() for future in futures]
    assert [type(each) for each in failures] == [type(None), Conflict]
    assert failures[1].code == "charter.not_next"
    assert register.in_force() == opened[0]


def test_a_stolen_key_takes_its_charter_out_of_force_and_no_older_one_comes_back(register):
    register.write(keyring.register_key, REGULATOR, SECOND.verify_key, KeyUse.CONTRACT, START - TICK)
    first = register.adopt(signed(document(), *BOTH))
    second = register.adopt(signed(following(document(), first.digest, state="paused"), SECOND, KEYS[OPERATOR]))
    assert register.in_force() == second
    register.write(keyring.revoke_key, SECOND.kid, START)
    assert register.in_force() is None
    third = register.adopt(signed(following(second.document, second.digest, state="active"), *BOTH))
    assert register.in_force() == third


def test_a_key_revoked_from_later_on_leaves_its_charter_in_force(register):
    first = register.adopt(signed(document(), *BOTH))
    later = START + timedelta(days=30)
    register.write(keyring.revoke_key, KEYS[REGULATOR].kid, later, later)
    assert register.in_force(later) == first


def test_altered_bytes_are_noticed_also_when_the_charter_was_remembered(register):
    register.adopt(signed(document(), *BOTH))
    assert register.in_force() is not None
    other = signed(document(objectives=["khác"]), *BOTH)
    register.sql("UPDATE charter SET envelope = :text", text=other)
    with pytest.raises(Tampered) as noticed:
        register.in_force()
    assert noticed.value.code == "tampered.charter"
    said = parse(other)
    said["charter"]["caps"]["exchange_day_vnd"] *= 2
    register.sql("UPDATE charter SET envelope = :text, digest = :digest", text=canonical(said),
                 digest=digest_of(said["charter"]))  # fmt: skip
    with pytest.raises(Tampered):
        register.in_force()


def test_asking_again_costs_two_statements(register):
    register.adopt(signed(document(), *BOTH))
    register.in_force()
    statements = []
    sa.event.listen(register.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    assert register.in_force() is register.in_force()
    assert sum(statement.startswith("SELECT") for statement in statements) == 4
