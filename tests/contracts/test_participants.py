"""Who takes part: admission, what the operator verified, and who is turned away."""

import pytest

from sandbox.contracts import participants
from sandbox.core.errors import Conflict, Invalid, NotFound
from sandbox.core.terms import Participant, Role


def refused(kind, code, act, *arguments):
    with pytest.raises(kind) as refusal:
        act(*arguments)
    assert refusal.value.code == code
    return refusal.value


def member(slug="so-khoa-hoc", name="Sở Khoa học và Công nghệ", roles=(Role.PROVIDER,), territory="VN", **verified):
    return Participant(slug, name, frozenset(roles), territory, **verified)


def test_who_is_admitted_is_known(empty, parties):
    both = member("cong-ty-hai-vai", roles=(Role.BUYER, Role.PROVIDER), territory="LA")
    for each in (member(), both):
        empty.write(participants.admit, each, parties.now)
    assert empty.read(participants.participants) == [both, member()]
    assert empty.read(participants.participant, "cong-ty-hai-vai") == both


def test_nobody_else_is_known(empty):
    refused(NotFound, "participant.unknown", empty.read, participants.participant, "so-khoa-hoc")


def test_an_id_is_given_once(empty, parties):
    empty.write(participants.admit, member(), parties.now)
    refused(Conflict, "participant.exists", empty.write, participants.admit, member(name="Khác"), parties.now)
    assert empty.read(participants.participant, "so-khoa-hoc").name == "Sở Khoa học và Công nghệ"


def test_nobody_supervises_itself(empty, parties):
    both = member(roles=(Role.OPERATOR, Role.REGULATOR))
    assert refused(Conflict, "participant.roles", empty.write, participants.admit, both, parties.now).reasons == (
        "CHARTER-07",
    )
    assert empty.read(participants.participants) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"slug": "Sở"},
        {"slug": "odrl:assignee"},
        {"slug": "a/b"},
        {"slug": "a" * 64},
        {"slug": ""},
        {"name": " "},
        {"name": "Sở\u202e"},
        {"name": "Sơ\u0309"},
        {"name": "a" * 201},
        {"roles": ()},
        {"territory": "vn"},
        {"territory": "VNM"},
        {"tax_code": ""},
        {"tax_code": "010123"},
        {"tax_code": "0101234567 "},
        {"tax_code": "MST:0101234567"},
        {"tax_code": "0101234567--001"},
        {"tax_code": "0" * 41},
        {"tax_code": "０101234567"},
        {"eid_level": -1},
        {"eid_level": 5},
    ],
    ids=repr,
)
def test_no_one_is_admitted_with(empty, parties, wrong):
    refused(Invalid, "participant.invalid", empty.write, participants.admit, member(**wrong), parties.now)


# --- what was verified of them ---
FACTS = {"tax_code": "0101234567-001", "entity_verified": True, "eid_level": 2, "payment_account": True}


def test_what_was_verified_is_known_and_nothing_is_when_nothing_was(empty, parties):
    empty.write(participants.admit, member(**FACTS), parties.now)
    empty.write(participants.admit, member("cong-ty-moi"), parties.now)
    known = empty.read(participants.participant, "so-khoa-hoc")
    assert (known.tax_code, known.entity_verified, known.eid_level, known.payment_account) == (*FACTS.values(),)
    new = empty.read(participants.participant, "cong-ty-moi")
    assert (new.tax_code, new.entity_verified, new.eid_level, new.payment_account) == (None, False, 0, False)


def test_a_tax_code_is_one_participants(empty, parties):
    """Else one CA certificate would sign for two."""
    empty.write(participants.admit, member(**FACTS), parties.now)
    other = member("cong-ty-khac-nua", tax_code=FACTS["tax_code"])
    refused(Conflict, "participant.exists", empty.write, participants.admit, other, parties.now)
    assert empty.read(participants.by_tax_code, FACTS["tax_code"]) == "so-khoa-hoc"
    assert [each.id for each in empty.read(participants.participants)] == ["so-khoa-hoc"]


def test_many_may_have_no_tax_code(empty, parties):
    for slug in ("mot", "hai"):
        empty.write(participants.admit, member(slug), parties.now)
    assert empty.read(participants.by_tax_code, "0101234567") is None


def test_providers_and_buyers_are_counted(empty, parties):
    assert empty.read(participants.counts) == {"providers": 0, "buyers": 0}
    for number, roles in enumerate(
        [{Role.PROVIDER}, {Role.BUYER}, {Role.BUYER}, {Role.BUYER, Role.PROVIDER}, {Role.OPERATOR}, {Role.REGULATOR}]
    ):
        empty.write(participants.admit, member(f"ben-{number}", roles=roles), parties.now)
    assert empty.read(participants.counts) == {"providers": 2, "buyers": 3}


def test_an_admission_that_fails_later_leaves_nobody(empty, parties):
    def unit(tx):
        participants.admit(tx, member(**FACTS), parties.now)
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        empty.database.write(unit)
    assert empty.read(participants.participants) == []
