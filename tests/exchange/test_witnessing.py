"""Asking witnesses: honest, slow, gone and hostile ones, and what is stored, published and said of them."""

import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import sqlalchemy as sa

from sandbox import bootstrap
from sandbox.audit import witness_client
from sandbox.audit.cosignatures import cosignatures, keep_cosignature, last_cosigned, witnessed_head
from sandbox.audit.note import Verifier, cosigner, read_vkey
from sandbox.audit.quorum import TrustPolicy, read_policy
from sandbox.audit.store import log_cosignature
from sandbox.audit.witness import SIZE_MEDIA, Answer, Witness
from sandbox.audit.witness_state import StateFile
from sandbox.core.database import Transaction
from sandbox.core.errors import Invalid, NotFound
from sandbox.core.keys import key_from_seed
from sandbox.core.terms import ParticipantId
from sandbox.exchange.house import CHECKPOINT_FOLDER, House
from sandbox.exchange.witnessing import ask_witnesses, standing
from tests.world import BUYER, World

Answering = Callable[[bytes], Answer]
KEYS = {name: key_from_seed(name, name.encode().ljust(32, b".")) for name in ("one", "two")}
COSIGNERS: dict[str, Verifier] = {name: cosigner(f"{name}.example/w", key.verify_key) for name, key in KEYS.items()}


@contextmanager
def served(answer: Answering) -> Iterator[str]:
    """The address of a witness that answers like this."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(said.status)
            self.send_header("Content-Type", said.media)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(said.body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


NOWHERE = f"http://127.0.0.1:{_free_port()}"


@pytest.fixture
def honest(world: World, tmp_path: Path) -> Callable[[str], Witness]:
    def honest_(name: str) -> Witness:
        state = StateFile(tmp_path / f"{name}.state")
        if not state.path.exists():
            state.create()
        return Witness(f"{name}.example/w", KEYS[name], [read_vkey(world.vkey)], state, world.clock)

    return honest_


@pytest.fixture
def house(world: World, tmp_path: Path) -> Callable[..., House]:
    """The exchange's house under a policy with these witnesses' addresses."""

    def house_(**urls: str) -> House:
        path = tmp_path / "trust.policy"
        lines = [f"witness {name} {COSIGNERS[name].vkey} {url}\n" for name, url in urls.items()]
        path.write_text(f"log {world.vkey}\n" + "".join(lines) + f"quorum {next(iter(urls))}\n")
        return replace(world.exchange.house, settings=replace(world.settings, witness_policy=path))

    return house_


def published(house: House) -> bytes:
    return (house.settings.home / CHECKPOINT_FOLDER / "checkpoint").read_bytes()


def grow(world: World) -> None:
    world.exchange.top_up(ParticipantId(BUYER), 1_000, "UNC")


def newest(house: House) -> int:
    with house.database.read() as connection:
        return house.log.head(connection).size


def test_a_head_that_two_witnesses_cosigned_is_stored_published_and_opens_under_the_policy(
    house: Callable[..., House], honest: Callable[[str], Witness]
) -> None:
    with served(honest("one").add_checkpoint) as one, served(honest("two").add_checkpoint) as two:
        mine = house(one=one, two=two)
        assert ask_witnesses(mine) == 2
    opened = read_policy((mine.settings.witness_policy or Path()).read_bytes()).open(published(mine))
    assert (opened.checkpoint.size, list(opened.cosigned)) == (newest(mine), ["one", "two"])
    assert standing(mine.settings) == "2 of 2"
    with mine.database.read() as connection:
        head = witnessed_head(connection, newest(mine) - 1)
        assert head
        assert TrustPolicy((mine.log.verifier,)).open(head.note).checkpoint == opened.checkpoint
        assert len(cosignatures(connection, head.size)) == 2
        assert witnessed_head(connection, head.size) is None


def test_a_growing_log_is_cosigned_again_and_again_with_proofs(
    world: World, house: Callable[..., House], honest: Callable[[str], Witness]
) -> None:
    with served(honest("one").add_checkpoint) as one:
        mine = house(one=one)
        for _ in range(3):
            assert ask_witnesses(mine) == 1
            assert ask_witnesses(mine) == 1  # nothing new: it is not asked again
            grow(world)
    with mine.database.read() as connection:
        assert last_cosigned(connection, COSIGNERS["one"]) == newest(mine) - 1


def test_a_cosignature_that_was_not_heard_of_is_asked_for_once_more(
    world: World, house: Callable[..., House], honest: Callable[[str], Witness]
) -> None:
    witness, lost = honest("one"), []

    def losing(body: bytes) -> Answer:
        answer = witness.add_checkpoint(body)
        lost.append(answer)
        return Answer(500) if len(lost) == 1 else answer

    with served(losing) as one:
        mine = house(one=one)
        assert ask_witnesses(mine) == 0
        assert standing(mine.settings) == "0 of 1; one: status 500"
        grow(world)
        assert ask_witnesses(mine) == 1
    assert [answer.status for answer in lost] == [200, 409, 200]


def test_a_cosignature_is_stored_once_and_stays(house: Callable[..., House], honest: Callable[[str], Witness]) -> None:
    with served(honest("one").add_checkpoint) as one:
        mine = house(one=one)
        ask_witnesses(mine)
    size = newest(mine)

    def again(tx: Transaction) -> bool:
        return keep_cosignature(tx, size, COSIGNERS["one"], b"forged\n", mine.now())

    assert not mine.database.write(again)
    for statement in (log_cosignature.update().values(line=b"forged\n"), log_cosignature.delete()):
        with pytest.raises(sa.exc.DatabaseError):
            mine.database.write(lambda tx, statement=statement: tx.connection.execute(statement).rowcount)
    with mine.database.read() as connection:
        assert last_cosigned(connection, COSIGNERS["one"]) == size


def test_witnesses_that_are_gone_or_answer_nonsense_delay_nobody_and_store_nothing(
    house: Callable[..., House], honest: Callable[[str], Witness]
) -> None:
    with served(honest("two").add_checkpoint) as two:
        mine = house(one=NOWHERE, two=two)
        assert ask_witnesses(mine) == 1
    assert standing(mine.settings) == "1 of 2; one: witness.unreachable"


LINE = "— one.example/w AAAAAAAA\n".encode()
HOSTILE = {
    "nothing": (Answer(200), "witness.answer"),
    "no signature": (Answer(200, b"<html>\n"), "note.malformed"),
    "too much": (Answer(200, b"x" * 100_000), "witness.answer"),
    "a bad signature": (
        Answer(
            200,
            f"— one.example/w {b64encode(COSIGNERS['one'].id + bytes(72)).decode()}\n".encode(),
        ),
        "verify.mismatch",
    ),
    "another's signature": (Answer(200, LINE), "witness.answer"),
    "a text of its own": (Answer(200, b"\nforged\n1\n\n" + LINE), "witness.answer"),
    "a conflict without a size": (Answer(409, b"none\n", SIZE_MEDIA), "witness.answer"),
    "a conflict with a negative size": (Answer(409, b"-1\n", SIZE_MEDIA), "witness.answer"),
    "a conflict with an endless size": (Answer(409, b"9" * 5000, SIZE_MEDIA), "witness.answer"),
    "a redirect": (Answer(307), "status 307"),
    "an unknown log": (Answer(404), "status 404"),
    "a signature not believed": (Answer(403), "status 403"),
    "the same conflict again": (Answer(409, b"0\n", SIZE_MEDIA), "status 409"),
}


@pytest.mark.parametrize(("answer", "said"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_witness_is_not_believed(house: Callable[..., House], answer: Answer, said: str) -> None:
    with served(lambda body: answer) as one:
        mine = house(one=one)
        assert ask_witnesses(mine) == 0
    assert standing(mine.settings) == f"0 of 1; one: {said}"
    with mine.database.read() as connection:
        assert cosignatures(connection, newest(mine)) == []
    assert published(mine).count("—".encode()) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda size: Answer(422), "ALARM one: it holds another history than this database; 0 of 1"),
        (lambda size: Answer(409, b"%d\n" % size), "ALARM one: it holds another history than this database; 0 of 1"),
        (
            lambda size: Answer(409, b"%d\n" % (size + 1)),
            "ALARM one: it has seen more entries than this database holds; 0 of 1",
        ),
    ],
    ids=["a proof that fails", "the same size again", "a larger size"],
)
def test_a_witness_that_saw_another_history_raises_an_alarm_and_stops_no_trade(
    world: World, house: Callable[..., House], answer: Callable[[int], Answer], words: str
) -> None:
    size = newest(house(one=NOWHERE))
    with served(lambda body: answer(size)) as one:
        mine = house(one=one)
        assert ask_witnesses(mine) == 0
    world.exchange.house = mine
    part = world.exchange.status()["witnesses"]
    assert (part.ready, part.says) == (True, words)
    grow(world)


def test_a_restored_older_database_raises_an_alarm(
    world: World, tmp_path: Path, house: Callable[..., House], honest: Callable[[str], Witness]
) -> None:
    with served(honest("one").add_checkpoint) as one:
        mine = house(one=one)
        world.exchange.close()
        before = world.copy_to(tmp_path / "backup")
        settings = replace(before.settings, witness_policy=mine.settings.witness_policy)
        old = replace(before.exchange.house, settings=settings)
        world.exchange = bootstrap.build(world.settings, world.clock)
        for _ in range(2):
            grow(world)
        assert ask_witnesses(house(one=one)) == 1
        assert ask_witnesses(old) == 0
        assert standing(old.settings).startswith("ALARM one: it has seen more entries")
        for _ in range(3):
            before.exchange.top_up(ParticipantId(BUYER), 2_000, "UNC")
        assert ask_witnesses(old) == 0
        assert standing(old.settings).startswith("ALARM one: it holds another history")
        before.exchange.close()


def test_a_witness_that_drips_is_given_up(
    house: Callable[..., House], honest: Callable[[str], Witness], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness_client, "MOST_SECONDS", 0.5)
    go = threading.Event()

    def slow(body: bytes) -> Answer:
        go.wait(5)
        return Answer(200)

    with served(slow) as one, served(honest("two").add_checkpoint) as two:
        mine, began = house(one=one, two=two), time.monotonic()
        assert ask_witnesses(mine) == 1
        assert time.monotonic() - began < 3
        go.set()
    assert standing(mine.settings) == "1 of 2; one: witness.slow"


def test_without_a_policy_or_an_address_nobody_is_asked(world: World, house: Callable[..., House]) -> None:
    assert ask_witnesses(world.exchange.house) == 0
    assert "witnesses" not in world.exchange.status()
    assert ask_witnesses(house(one="")) == 0
    assert standing(house(one="").settings) == "0 of 0"


def test_a_policy_that_is_missing_or_malformed_is_said(world: World, house: Callable[..., House]) -> None:
    mine = house(one=NOWHERE)
    path = mine.settings.witness_policy or Path()
    assert standing(mine.settings) == "0 of 1; one: not asked yet"
    path.write_text("quorum\n")
    with pytest.raises(Invalid):
        ask_witnesses(mine)
    names = [f"w{number}" for number in range(64)]
    vkeys = [cosigner(name, key_from_seed(name, name.zfill(32).encode()).verify_key).vkey for name in names]
    many = [f"witness {name} {vkey} {NOWHERE}" for name, vkey in zip(names, vkeys, strict=True)]
    path.write_text("\n".join([f"log {world.vkey}", *many, "quorum none", ""]))
    with pytest.raises(Invalid, match="names 64 witnesses"):
        ask_witnesses(mine)
    path.unlink()
    with pytest.raises(NotFound) as refusal:
        ask_witnesses(mine)
    assert refusal.value.code == "witness.policy"
    world.exchange.house = mine
    assert not world.exchange.status()["witnesses"].ready
