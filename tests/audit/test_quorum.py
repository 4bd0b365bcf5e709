"""Trust policies: what the file says, what it may not say, and when a checkpoint counts under it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.audit.note import Checkpoint, cosign, cosigner, sign_note, verifier_key
from sandbox.audit.quorum import TrustPolicy, read_policy
from sandbox.core.algorithms import new_witness_key
from sandbox.core.errors import Invalid, NotCovered, Tampered
from sandbox.core.keys import SigningKey, key_from_seed

ORIGIN = "exchange.example.vn/log"
LOG = key_from_seed("log", b"\1" * 32)
OTHER_LOG = key_from_seed("log", b"\x21" * 32)
LOG_VKEY = verifier_key(ORIGIN, LOG.verify_key)
NAMES = ("X1", "X2", "X3", "Y1", "Y2", "Y3")
KEYS = {name: key_from_seed(name, bytes([9 + at]) * 32) for at, name in enumerate(NAMES)}
VKEYS = {name: cosigner(f"{name}.example", key.verify_key).vkey for name, key in KEYS.items()}
CHECKPOINT = Checkpoint(ORIGIN, 7, bytes(range(32)))
NOTE = sign_note(CHECKPOINT.text, ORIGIN, LOG)
X1, X2, X3, Y1 = (VKEYS[name] for name in NAMES[:4])
# the page's own example: two levels of groups
EXAMPLE = "\n".join(
    [
        f"log {LOG_VKEY}",
        "",
        *(f"witness {name} {VKEYS[name]}" for name in NAMES[:3]),
        "group X-witnesses 2 X1 X2 X3",
        "",
        *(f"witness {name} {VKEYS[name]}" for name in NAMES[3:]),
        "group Y-witnesses any Y1 Y2 Y3",
        "",
        "group X-and-Y all X-witnesses Y-witnesses",
        "quorum X-and-Y",
        "",
    ]
)


def cosigned(names: Sequence[str], note: bytes = NOTE) -> bytes:
    for at, name in enumerate(names):
        note = cosign(note, f"{name}.example", KEYS[name], 1_795_341_600 + at)
    return note


@pytest.mark.parametrize("names", ["X1 X2 Y1", "X2 X3 Y3", "X1 X2 X3 Y1 Y2 Y3", "X1 X3 Y2"])
def test_the_example_of_the_page_is_met_by_two_of_one_group_and_any_of_the_other(names: str) -> None:
    opened = read_policy(EXAMPLE).open(cosigned(names.split()))
    assert opened.checkpoint == CHECKPOINT
    assert list(opened.cosigned) == names.split()
    assert min(opened.cosigned.values()) == 1_795_341_600


@pytest.mark.parametrize("names", ["", "X1", "X1 Y1 Y2 Y3", "X1 X2 X3", "Y1"])
def test_the_example_of_the_page_is_not_met_by_fewer(names: str) -> None:
    with pytest.raises(NotCovered) as refusal:
        read_policy(EXAMPLE).open(cosigned(names.split()))
    assert (refusal.value.code, refusal.value.exit_code) == ("verify.quorum", 9)


def test_another_quorum_of_the_same_policy_may_be_asked_for() -> None:
    policy, note = read_policy(EXAMPLE), cosigned(["X1", "X2"])
    for quorum in ("X1", "X-witnesses", "none"):
        assert policy.open(note, quorum).checkpoint == CHECKPOINT
    for quorum in ("Y-witnesses", "X3"):
        with pytest.raises(NotCovered):
            policy.open(note, quorum)
    with pytest.raises(Invalid) as refusal:
        policy.open(note, "X4")
    assert refusal.value.code == "quorum.unknown"


def test_a_key_alone_asks_for_no_cosignature() -> None:
    policy = TrustPolicy.of_vkey(LOG_VKEY)
    assert (policy.open(NOTE).checkpoint, policy.quorum, policy.log.name) == (CHECKPOINT, None, ORIGIN)
    assert policy.open(cosigned(["X1"])).cosigned == {}


def test_a_witness_key_is_no_log_key() -> None:
    with pytest.raises(Invalid, match="expected 01 or 06"):
        TrustPolicy.of_vkey(X1)


def test_a_quorum_of_none_needs_no_witness() -> None:
    assert read_policy(f"log {LOG_VKEY}\nquorum none").open(NOTE).checkpoint == CHECKPOINT


def test_any_one_of_several_logs_may_have_signed() -> None:
    other = verifier_key("other.example/log", OTHER_LOG.verify_key)
    policy = read_policy(f"log {other} https://other.example\nlog {LOG_VKEY}\nquorum none\n")
    assert policy.open(NOTE).checkpoint == CHECKPOINT
    with pytest.raises(Invalid) as refusal:
        _ = policy.log
    assert refusal.value.code == "quorum.log"


def test_a_log_signs_no_checkpoint_under_the_name_of_another() -> None:
    other = verifier_key("other.example/log", OTHER_LOG.verify_key)
    policy = read_policy(f"log {other}\nlog {LOG_VKEY}\nquorum none\n")
    with pytest.raises(Tampered, match="another log"):
        policy.open(sign_note(CHECKPOINT.text, "other.example/log", OTHER_LOG))


def test_a_policy_without_a_log_serves_for_one_known_from_elsewhere() -> None:
    policy = read_policy(f"witness X1 {X1}\nquorum X1\n")
    with pytest.raises(Invalid) as refusal:
        policy.open(cosigned(["X1"]))
    assert refusal.value.code == "quorum.log"
    known = replace(policy, logs=(TrustPolicy.of_vkey(LOG_VKEY).log,))
    assert known.open(cosigned(["X1"])).cosigned == {"X1": 1_795_341_600}


def test_a_log_that_has_not_signed_is_a_mismatch() -> None:
    foreign = sign_note(CHECKPOINT.text, ORIGIN, OTHER_LOG)
    for note in (foreign, cosigned(["X1", "X2", "Y1"], foreign)):
        with pytest.raises(Tampered, match="is not signed by"):
            read_policy(EXAMPLE).open(note)


@pytest.mark.parametrize("name", ["X3", "Y2"])
def test_one_bad_cosignature_of_a_known_witness_spoils_the_note_even_if_enough_others_are_good(name: str) -> None:
    other = sign_note(Checkpoint(ORIGIN, 8, bytes(32)).text, ORIGIN, LOG)
    bad = cosigned([name], other).splitlines(keepends=True)[-1]
    with pytest.raises(Tampered, match=f"{name}.example does not match"):
        read_policy(EXAMPLE).open(cosigned(["X1", "X2", "Y1"]) + bad)


def test_cosignatures_of_witnesses_that_are_not_in_the_policy_do_not_count() -> None:
    policy = read_policy(f"log {LOG_VKEY}\nwitness X1 {X1}\nquorum X1\n")
    with pytest.raises(NotCovered):
        policy.open(cosigned(["X2", "X3", "Y1"]))


def test_the_newest_of_a_witness_s_cosignatures_tells_its_time() -> None:
    note = cosign(cosign(NOTE, "X1.example", KEYS["X1"], 9), "X1.example", KEYS["X1"], 5)
    assert read_policy(f"log {LOG_VKEY}\nwitness X1 {X1}\nquorum X1").open(note).cosigned == {"X1": 9}


def test_an_ml_dsa_witness_and_an_ml_dsa_log_count() -> None:
    quantum = new_witness_key("q")
    witness, log = cosigner("q.example/w", quantum.verify_key), new_witness_key("log")
    note = cosign(cosign(NOTE, "q.example/w", quantum, 7), ORIGIN, log, 8)
    assert read_policy(f"log {LOG_VKEY}\nwitness q {witness.vkey}\nquorum q").open(note).cosigned == {"q": 7}
    policy = read_policy(f"log {cosigner(ORIGIN, log.verify_key).vkey}\nquorum none")
    assert policy.open(note).checkpoint == CHECKPOINT


def test_spaces_tabs_comments_and_urls_are_read_as_the_page_says() -> None:
    policy = read_policy(
        f"#a\n \t# log nothing\n\tlog\t{LOG_VKEY}   https://log.example \n\n"
        f"  witness \t X1 {X1} https://w.example/a \nquorum X1"
    )
    assert policy.witnesses["X1"].url == "https://w.example/a"
    assert (policy.log.name, policy.quorum) == (ORIGIN, "X1")


def test_names_are_bytes_whatever_letters_they_make() -> None:
    text = (
        f"witness K {X1}\nwitness \u212a {X2}\nwitness n\u00a0b {X3}\ngroup none2 all K \u212a n\u00a0b\nquorum none2\n"
    )
    assert read_policy(text).groups["none2"].members == ("K", "\u212a", "n\u00a0b")
    assert read_policy(text.encode()) == read_policy(text)
    latin = f"witness caf\u00e9 {X1}\nquorum caf\u00e9\n".encode("latin-1")
    assert len(read_policy(latin).witnesses) == 1
    with pytest.raises(Invalid, match="not defined"):
        read_policy(f"witness K {X1}\nquorum \u212a\n")


def test_thirty_two_of_each_are_read() -> None:
    keys = [key_from_seed("k", bytes([at]) * 32).verify_key for at in range(64)]
    lines = [f"log {verifier_key(f'log{at}.example', key)}" for at, key in enumerate(keys[:32])]
    lines += [f"witness w{at} {cosigner(f'w{at}.example', key).vkey}" for at, key in enumerate(keys[32:])]
    lines += ["group g0 1 w0", *(f"group g{at} 2 w{at} g{at - 1}" for at in range(1, 32)), "quorum g31"]
    policy = read_policy("\n".join(lines))
    assert (len(policy.logs), len(policy.witnesses), len(policy.groups)) == (32, 32, 32)


MALFORMED = {
    "nothing at all": "",
    "no quorum": f"log {LOG_VKEY}\n",
    "two quorums": "quorum none\nquorum none\n",
    "an unknown word": "quorum none\nwitnesses X1\n",
    "a word in capitals": "Quorum none\n",
    "a quorum without a name": "quorum\n",
    "a quorum of two names": f"witness X1 {X1}\nwitness X2 {X2}\nquorum X1 X2\n",
    "a quorum that is not defined": "quorum X1\n",
    "a quorum that is defined below": f"quorum X1\nwitness X1 {X1}\n",
    "a log without a key": "log\nquorum none\n",
    "a log with too many words": f"log {LOG_VKEY} https://a b\nquorum none\n",
    "a log under a witness's key": f"log {X1}\nquorum none\n",
    "a log twice": f"log {LOG_VKEY}\nlog {verifier_key('another.name', LOG.verify_key)}\nquorum none\n",
    "a witness without a name": f"witness {X1}\nquorum none\n",
    "a witness with too many words": f"witness X1 {X1} https://a b\nquorum none\n",
    "a witness under a log's key": f"witness X1 {LOG_VKEY}\nquorum none\n",
    "a witness's key twice": f"witness X1 {X1}\nwitness X9 {X1}\nquorum none\n",
    "a witness's key under another name": (
        f"witness X1 {X1}\nwitness X9 {cosigner('other.example', KEYS['X1'].verify_key).vkey}\nquorum none\n"
    ),
    "a witness's name twice": f"witness X1 {X1}\nwitness X1 {X2}\nquorum none\n",
    "a witness named none": f"witness none {X1}\nquorum none\n",
    "a group named none": f"witness X1 {X1}\ngroup none any X1\nquorum none\n",
    "a group named as a witness": f"witness X1 {X1}\ngroup X1 any X1\nquorum none\n",
    "a group without members": f"witness X1 {X1}\ngroup G any\nquorum none\n",
    "a group of none": "group G any none\nquorum none\n",
    "a group of itself": f"witness X1 {X1}\ngroup G any X1 G\nquorum none\n",
    "a group of what stands below": f"group G any X1\nwitness X1 {X1}\nquorum none\n",
    "a group that asks for nobody": f"witness X1 {X1}\ngroup G 0 X1\nquorum G\n",
    "a group that asks for more than it has": f"witness X1 {X1}\ngroup G 2 X1\nquorum G\n",
    "a group that asks for less than one": f"witness X1 {X1}\ngroup G -1 X1\nquorum G\n",
    "a group that asks for 01": f"witness X1 {X1}\ngroup G 01 X1\nquorum G\n",
    "a group that asks in Arabic digits": f"witness X1 {X1}\ngroup G \u0661 X1\nquorum G\n",
    "a group that asks for some": f"witness X1 {X1}\ngroup G some X1\nquorum G\n",
    "a member twice in a group": f"witness X1 {X1}\ngroup G any X1 X1\nquorum G\n",
    "a member of two groups": f"witness X1 {X1}\ngroup G any X1\ngroup H any X1\nquorum G\n",
    "a carriage return": "quorum none\r\n",
    "a zero byte": "quorum none\0\n",
    "a form feed": "quorum\x0cnone\n",
    "a delete": "quorum none\x7f\n",
    "a no-break space between words": "quorum\u00a0none\n",
    "too much": "#" * 1_000_001,
    "too many names": "".join(
        f"witness w{at} {cosigner('w', key_from_seed('k', at.to_bytes(32, 'big')).verify_key).vkey}\n"
        for at in range(257)
    ) + "quorum none\n",
}  # fmt: skip


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_a_policy_is_refused_that_has(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        read_policy(text)
    assert refusal.value.code == "quorum.malformed"


def test_a_policy_with_a_miscopied_key_is_refused() -> None:
    with pytest.raises(Invalid) as refusal:
        read_policy(f"log {LOG_VKEY.replace('AYq', 'AYr')}\nquorum none\n")
    assert refusal.value.code == "vkey.malformed"


_WORDS = st.sampled_from([
    "log", "witness", "group", "quorum", "none", "any", "all", "1", "2", "0", "#", "X1", "G", "\t", " ", "\n", "https://a",
    LOG_VKEY, X1, X2,
])  # fmt: skip


@given(st.one_of(st.text(), st.binary(), st.lists(_WORDS).map(" ".join)))
def test_no_text_makes_the_reader_fail_otherwise_than_by_refusing(text: str | bytes) -> None:
    try:
        policy = read_policy(text)
    except Invalid as refusal:
        assert refusal.code in {"quorum.malformed", "vkey.malformed"}
    else:
        assert policy.quorum is None or policy.quorum in {*policy.witnesses, *policy.groups}


@given(st.sets(st.sampled_from(NAMES)))
def test_a_quorum_is_met_exactly_when_enough_have_cosigned(names: set[str]) -> None:
    enough = len(names & {"X1", "X2", "X3"}) >= 2 and bool(names & {"Y1", "Y2", "Y3"})
    try:
        read_policy(EXAMPLE).open(cosigned(sorted(names)))
    except NotCovered:
        assert not enough
    else:
        assert enough


def test_a_key_that_is_in_the_policy_as_log_and_as_witness_signs_each_in_its_own_way() -> None:
    own: SigningKey = LOG
    policy = read_policy(f"log {LOG_VKEY}\nwitness self {cosigner(ORIGIN, own.verify_key).vkey}\nquorum self")
    with pytest.raises(NotCovered):  # the log's own signature is no cosignature
        policy.open(NOTE)
