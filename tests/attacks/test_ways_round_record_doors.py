"""Ways round the record by those whom it meets: a server that shows a log, and a witness that is asked."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from pathlib import Path

import pytest

from sandbox.audit.cosignatures import cosignatures
from sandbox.audit.evidence import verify_pack
from sandbox.audit.note import cosign, cosignature, cosigner, signature_line, unverified, verifier_key
from sandbox.audit.quorum import read_policy
from sandbox.audit.source import LARGEST_TILE, Http
from sandbox.audit.store import newest_head
from sandbox.audit.verify import verify_log
from sandbox.audit.witness import Answer, read_submission
from sandbox.core.errors import Tampered, Unavailable
from sandbox.core.keys import key_from_seed
from sandbox.exchange.house import CHECKPOINT_FOLDER, House
from sandbox.exchange.witnessing import ask_witnesses
from tests import served
from tests.logs import LOG_KEY, ORIGIN, write_log
from tests.terminal import command, environment
from tests.trying import asked, refused
from tests.world import REGULATOR, START, World

Reply = Callable[[socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\n"


# --- a server that shows a log ---
@contextmanager
def answering(reply: Reply) -> Iterator[str]:
    """The address of a server that says anything at all to whoever connects."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(guest: socket.socket) -> None:
        with guest, suppress(OSError):
            guest.recv(65_536)
            reply(guest)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/log"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _for_ever(start: bytes, more: bytes, pause: float = 0.01) -> Reply:
    def reply(guest: socket.socket) -> None:
        guest.sendall(start)
        while True:
            guest.sendall(more)
            time.sleep(pause)

    return reply


def _once(content: bytes) -> Reply:
    return lambda guest: guest.sendall(content)


ENDLESS = {
    "a head that drips": _for_ever(OK + b"X: ", b"a"),
    "one hint after the other": _for_ever(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "a part announced for ever": _for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a"),
    "a body that drips": _for_ever(OK + b"Content-Length: 8000\r\n\r\n", b"a"),
    "silence": _for_ever(b"", b"", 0.5),
    "parts of nothing": _for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
}
LYING = {
    "less than it says": OK + b"Content-Length: 9\r\n\r\nabc",
    "two lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and parts": OK + b"Content-Length: -1\r\n\r\nab",
    "packed twice": OK + b"Content-Encoding: identity, gzip\r\nContent-Length: 2\r\n\r\nab",
    "packed on the way": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a part of it": b"HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\n\r\nab",
    "nothing new": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "elsewhere": b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
    "no answer": b"",
    "no protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
}


@pytest.mark.parametrize("reply", ENDLESS.values(), ids=ENDLESS.keys())
def test_a_server_that_never_comes_to_an_end_is_given_up(reply: Reply) -> None:
    begun = time.monotonic()
    with answering(reply) as url, Http(url, sleep=lambda _: None, seconds=0.1) as source, pytest.raises(Unavailable):
        source.read("tile/0/000")
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("reply", LYING.values(), ids=LYING.keys())
def test_an_answer_that_lies_about_itself_is_no_file(reply: bytes) -> None:
    with answering(_once(reply)) as url, Http(url, sleep=lambda _: None) as source, pytest.raises(Unavailable):
        source.read("tile/0/000")


def test_a_body_in_the_smallest_parts_is_cut_at_the_largest_file() -> None:
    reply = _for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 1_000, 0)
    with answering(reply) as url, Http(url, sleep=lambda _: None) as source, pytest.raises(Tampered):
        source.read("tile/0/000")
    longer = OK + b"Content-Length: %d\r\n\r\n" % (LARGEST_TILE + 1) + bytes(LARGEST_TILE + 1)
    with answering(_once(longer)) as url, Http(url) as source, pytest.raises(Tampered):
        source.read("tile/0/000")


def test_a_tile_in_the_place_of_another_is_noticed(tmp_path: Path) -> None:
    leaves = [str(number).encode() for number in range(600)]
    write_log(tmp_path / "log", leaves)
    vkey = verifier_key(ORIGIN, LOG_KEY.verify_key)
    with served.serving(tmp_path / "log") as server, Http(server.url, sleep=lambda _: None) as source:
        assert verify_log(source, vkey, replay=False).size == len(leaves)
        for name in ("tile/0/001", "tile/entries/001"):
            other = (tmp_path / "log" / name.replace("001", "000")).read_bytes()
            server.instead[name] = [served.Answer(body=other)]
            assert refused(lambda: verify_log(source, vkey, replay=False)).code == "verify.mismatch"


def test_a_server_does_not_show_each_receipt_of_a_pack_a_history_of_its_own(ready: World) -> None:
    content = ready.exchange.evidence(ready.who(REGULATOR).participant, asked(ready).id)
    ready.exchange.export_log()
    with served.serving(ready.home / CHECKPOINT_FOLDER) as server, Http(server.url) as source:
        verify_pack(content, ready.vkey, log=source)
    assert server.asked.count("checkpoint") == 1


# --- a witness that is asked ---
KEY, STRANGER = (key_from_seed(name, name.encode().ljust(32, b".")) for name in ("one", "two"))
WITNESS = cosigner("one.example/w", KEY.verify_key)
NAMESAKE = cosigner(WITNESS.name, STRANGER.verify_key)
NOW = int(START.timestamp())


def _stamped(time_: int, signature: bytes = bytes(64)) -> bytes:
    return signature_line(WITNESS, time_.to_bytes(8, "big") + signature)


def _below_an_empty_line(note: bytes) -> bytes:
    """A good signature of this witness, over all that the checkpoint's note is: text and the log's signature."""
    whole = note.decode()
    signed = KEY.sign(f"cosignature/v1\ntime {NOW}\n{whole}".encode())
    return b"\n" + _stamped(NOW, signed)


def _of_another_size(note: bytes) -> bytes:
    text, _ = unverified(note)
    origin, size, root = text.splitlines()
    return cosignature(f"{origin}\n{int(size) + 1}\n{root}\n\n".encode() + note.rpartition(b"\n\n")[2], WITNESS, KEY, 1)


HOSTILE: dict[str, Callable[[bytes], Answer]] = {
    "a signature over more": lambda note: Answer(200, _below_an_empty_line(note)),
    "a cosignature of a checkpoint that is not there": lambda note: Answer(200, _of_another_size(note)),
    "a time beyond all": lambda note: Answer(200, _stamped((1 << 64) - 1)),
    "a signature of nothing": lambda note: Answer(200, _stamped(NOW)),
    "the line of another": lambda note: Answer(200, cosignature(note, NAMESAKE, STRANGER, NOW)),
    "its own line and a bad one": lambda note: Answer(200, cosignature(note, WITNESS, KEY, NOW) + _stamped(NOW)),
    "the whole note": lambda note: Answer(200, cosign(note, WITNESS.name, KEY, NOW)),
    "more lines than a note has": lambda note: Answer(200, cosignature(note, WITNESS, KEY, NOW) * 64),
    "a page": lambda note: Answer(200, b"<html>\x1b[2J</html>"),
    "nothing": lambda note: Answer(200),
    "a megabyte": lambda note: Answer(200, b"a" * 1_000_000),
    "a conflict without end": lambda note: Answer(409, b"9" * 60_000),
    "a conflict below nothing": lambda note: Answer(409, b"-1\n"),
    "a conflict in other digits": lambda note: Answer(409, "٣\n".encode()),
    "a size of the future": lambda note: Answer(409, b"999999999999999999\n"),
    "a history of its own": lambda note: Answer(422),
}


@contextmanager
def witness(answers: Iterator[Callable[[bytes], Answer]]) -> Iterator[str]:
    """The address of a witness that answers one after the other of these."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = next(answers)(read_submission(body).note)
            self.send_response(answer.status)
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _under(world: World, url: str) -> tuple[str, House]:
    """A trust policy with that witness, and the exchange's house under it."""
    path = world.folder / "trust.policy"
    path.write_text(f"log {world.vkey}\nwitness one {WITNESS.vkey} {url}\nquorum none\n")
    return path.read_text(), replace(world.exchange.house, settings=replace(world.settings, witness_policy=path))


def test_nothing_that_a_hostile_witness_answers_is_stored_or_published(ready: World) -> None:
    for name, answer in HOSTILE.items():
        with witness(repeat(answer)) as url:
            policy, house = _under(ready, url)
            assert ask_witnesses(house) == 0, name
        with ready.exchange.house.database.read() as connection:
            assert cosignatures(connection, newest_head(connection).size) == [], name
        assert verify_log(ready.home / CHECKPOINT_FOLDER, read_policy(policy), quorum="none").cosigned == {}
    asked(ready)  # and nobody's trade was stopped
    ready.reopen()


def test_a_cosignature_given_before_is_not_taken_for_the_newest(ready: World) -> None:
    lines: list[bytes] = []

    def kept(note: bytes) -> Answer:
        lines.append(cosignature(note, WITNESS, KEY, NOW))
        return Answer(200, lines[0])

    with witness(repeat(kept)) as url:
        _, house = _under(ready, url)
        assert ask_witnesses(house) == 1
        asked(ready)
        assert ask_witnesses(house) == 0


@pytest.mark.parametrize("at", [0, 1, (1 << 63) - 1])
def test_a_witness_with_a_clock_of_its_own_harms_nobody(ready: World, at: int) -> None:
    """Its time is its word: it is shown as it was signed, and nothing is counted by it."""
    with witness(repeat(lambda note: Answer(200, cosignature(note, WITNESS, KEY, at)))) as url:
        policy, house = _under(ready, url)
        assert ask_witnesses(house) == 1
    folder = ready.home / CHECKPOINT_FOLDER
    assert verify_log(folder, read_policy(policy), quorum="one").cosigned == {"one": at}
    (ready.folder / "trust.policy").write_text(policy)
    words = ["verify", "log", str(folder), "--policy", "trust.policy", "--quorum", "one"]
    assert command(ready.folder, words, environment()).returncode == 0
