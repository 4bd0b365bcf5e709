"""A charter comes into force by the hands of an admitted regulator and this exchange's operator, on the record."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sandbox.audit.events import read_entry
from sandbox.audit.log import Log
from sandbox.contracts import keyring, participants
from sandbox.contracts.articles import read_charter
from sandbox.core.clock import ManualClock
from sandbox.core.database import Database, metadata, open_engine
from sandbox.core.errors import Conflict, Invalid, PolicyRefused
from sandbox.core.keys import key_from_seed
from sandbox.core.terms import KeyUse, Participant, ParticipantId, Role
from sandbox.exchange import charter as use_case
from sandbox.exchange.house import House
from sandbox.settings import Settings
from tests.chartering import document, following, signed
from tests.tables import furnish

START = read_charter(document()).window.start
REGULATOR, OPERATOR = "co-quan-giam-sat", "san-du-lieu"
ROLES = {
    REGULATOR: Role.REGULATOR,
    OPERATOR: Role.OPERATOR,
    "san-khac": Role.OPERATOR,
    "cong-ty-a": Role.BUYER,
}
KEYS = {who: key_from_seed(who, bytes([number]) * 32) for number, who in enumerate(ROLES, 1)}
BOTH = KEYS[REGULATOR], KEYS[OPERATOR]


class FailingLog(Log):
    """A log that can be told to fail, just before it is written."""

    fails = False

    def before_commit(self, connection: Any, leaves: Any) -> Any:
        if self.fails and leaves:
            raise RuntimeError("the disk is full")
        return super().before_commit(connection, leaves)


@pytest.fixture
def house(database_url: str, tmp_path: Any) -> Iterator[House]:
    """The parts of an exchange that a charter passes, with everyone admitted; nothing else is built."""
    engine = open_engine(database_url)
    furnish(engine)
    log = FailingLog("exchange.example.vn/log", key_from_seed("log", bytes(32)))
    log.load(engine)
    with Database(engine, log) as database:
        absent: Any = None
        made = House(
            settings=Settings(home=tmp_path, exchange=OPERATOR),
            clock=ManualClock(START),
            database=database,
            log=log,
            shelf=absent,
            intake=absent,
            policy=absent,
            engine=absent,
            exchange_key=KEYS[OPERATOR],
        )

        def admit(tx: Any) -> None:
            for who, role in ROLES.items():
                participants.admit(tx, Participant(ParticipantId(who), f"Tổ chức {who}", frozenset({role})), START)
                keyring.register_key(tx, ParticipantId(who), KEYS[who].verify_key, KeyUse.CONTRACT, START)

        database.write(admit)
        yield made


def entries(house: House) -> list[tuple[str, Any]]:
    """Type of each log entry, with its version or code."""
    with house.database.read() as connection:
        rows = connection.execute(metadata.tables["log_entry"].select().order_by(metadata.tables["log_entry"].c.idx))
        said = [read_entry(row.leaf) for row in rows]
    return [(entry["type"], entry.get("version", entry.get("code"))) for entry in said]


def in_force(house: House) -> Any:
    with house.database.read() as connection:
        return house.charter(connection)


def test_a_charter_of_both_is_in_force_and_on_the_record(house):
    adopted = use_case.adopt(house, signed(document(), *BOTH))
    assert in_force(house) == adopted
    assert entries(house) == [("charter.adopted", 1)]
    assert [each.digest for each in use_case.history(house)] == [adopted.digest]


def parties(regulator=REGULATOR, operator=OPERATOR):
    said = document(parties={"regulator": regulator, "operator": operator})
    return signed(said, KEYS[regulator], KEYS[operator])


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ({"regulator": "cong-ty-a"}, "cong-ty-a signed as regulator, and is not admitted as one."),
        ({"regulator": "san-khac"}, "san-khac signed as regulator"),
        ({"operator": "san-khac"}, "this exchange is run by san-du-lieu"),
        ({"operator": "cong-ty-a"}, "this exchange is run by san-du-lieu"),
    ],
    ids=["a buyer as regulator", "an operator as regulator", "another exchange's", "a buyer as operator"],
)
def test_who_does_not_hold_the_office_cannot_adopt_a_charter(house, who, why):
    with pytest.raises(PolicyRefused) as refusal:
        use_case.adopt(house, parties(**who))
    assert (refusal.value.code, refusal.value.reasons) == ("charter.roles", ("CHARTER-07",))
    assert why in refusal.value.message
    assert in_force(house) is None
    assert entries(house) == [("charter.refused", "charter.roles")]


@pytest.mark.parametrize("keys", [(), BOTH[:1], BOTH[1:], (*BOTH, KEYS["cong-ty-a"])])
def test_a_charter_without_its_two_signatures_is_refused_on_the_record(house, keys):
    with pytest.raises(Invalid):
        use_case.adopt(house, signed(document(), *keys))
    assert in_force(house) is None
    assert entries(house) == [("charter.refused", "charter.invalid")]


def test_what_is_no_json_is_refused_on_the_record_without_its_text(house):
    with pytest.raises(Invalid):
        use_case.adopt(house, b"\xff\x00")
    assert entries(house) == [("charter.refused", "document.malformed")]


def test_a_version_that_is_not_the_next_changes_nothing(house):
    first = use_case.adopt(house, signed(document(), *BOTH))
    with pytest.raises(Conflict):
        use_case.adopt(house, signed(following(document(), first.digest, version=3), *BOTH))
    assert in_force(house) == first
    assert entries(house) == [("charter.adopted", 1), ("charter.refused", "charter.not_next")]


def test_a_log_that_cannot_be_written_leaves_the_old_charter_in_force(house):
    first = use_case.adopt(house, signed(document(), *BOTH))
    text = signed(following(document(), first.digest, state="paused"), *BOTH)
    house.log.fails = True
    with pytest.raises(RuntimeError, match="the disk is full"):
        use_case.adopt(house, text)
    house.log.fails = False
    assert (in_force(house), entries(house)) == (first, [("charter.adopted", 1)])
    assert use_case.adopt(house, text).state == "paused"
    assert entries(house) == [("charter.adopted", 1), ("charter.adopted", 2)]


def test_of_two_second_versions_at_once_one_wins_and_the_other_is_refused(house):
    first = use_case.adopt(house, signed(document(), *BOTH))
    texts = [signed(following(document(), first.digest, objectives=[name]), *BOTH) for name in ("một", "hai")]

    def attempt(text):
        try:
            return use_case.adopt(house, text)
        except Conflict as refusal:
            return refusal.code

    with ThreadPoolExecutor(2) as threads:
        ends = list(threads.map(attempt, texts))
    assert ends.count("charter.not_next") == 1
    assert in_force(house) in ends
    assert [version for kind, version in entries(house) if kind == "charter.adopted"] == [1, 2]
