"""Every published file and every receipt, damaged in every way a disk, a proxy or a forger would, read over HTTP."""

from collections.abc import Iterator

import httpx2
import pytest

from sandbox.audit.layout import bundle, unbundle
from sandbox.audit.receipt import receipt
from sandbox.audit.source import Http
from sandbox.audit.verify import ReceiptVerdict, verify_log, verify_receipt
from sandbox.core.engines import sqlite_url
from sandbox.core.errors import Invalid, NotCovered, SandboxError, Tampered, Unavailable
from tests.deeds import KEY, VKEY, Deeds

Files = dict[str, bytes]
FLIPS = 37
"""Places in each file where one bit is flipped."""


class Served(httpx2.AsyncBaseTransport):
    """A server of files that stand in memory, so that a thousand damaged logs cost nothing; it says what was asked."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.asked: set[str] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        name = request.url.path.removeprefix("/log/")
        self.asked.add(name)
        content = self.files.get(name)
        return httpx2.Response(404) if content is None else httpx2.Response(200, stream=httpx2.ByteStream(content))


def served(files: Files) -> Http:
    return Http("http://exchange.example.vn/log", Served(files), lambda seconds: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Deeds:
    """520 entries: two full bundles, an open one, and the level above."""
    folder = tmp_path_factory.mktemp("whole")
    deeds = Deeds(sqlite_url(folder / "exchange.db"), folder / "log").found()
    deeds.do(*[f"ent_{number}" for number in range(520)])
    deeds.publish()
    return deeds


@pytest.fixture(scope="module")
def files(whole: Deeds) -> Files:
    return {
        str(path.relative_to(whole.folder)): path.read_bytes() for path in whole.folder.rglob("*") if path.is_file()
    }


def damaged(name: str, content: bytes) -> Iterator[bytes | None]:
    """The file missing, emptied, cut, extended, doubled, with single bits flipped, and with its parts exchanged."""
    yield from (None, b"", content[:-1], content[: len(content) // 2], content[1:], content + b"\0", content * 2)
    for turn in range(FLIPS):
        place = len(content) * turn // FLIPS
        yield content[:place] + bytes([content[place] ^ 1 << turn % 8]) + content[place + 1 :]
    if name.startswith("tile/entries/"):
        leaves = unbundle(content)
        yield from map(bundle, ([leaves[1], leaves[0], *leaves[2:]], leaves[1:], leaves[:-1], [*leaves, leaves[0]]))
    elif name.startswith("tile/"):
        yield content[32:64] + content[:32] + content[64:]


def mutations(files: Files) -> Iterator[tuple[str, Files]]:
    for name, content in files.items():
        others = [other for other in files if other != name]
        for change in damaged(name, content):
            if change == content:
                continue
            kept = {other: files[other] for other in others}
            yield name, kept if change is None else kept | {name: change}
        for other in others:  # one file in the place of another
            yield name, files | {name: files[other]}


def test_no_damage_to_any_published_file_goes_unnoticed_over_http(files: Files) -> None:
    with served(files) as source:
        assert verify_log(source, VKEY, replay=False).size == 520
    missed, found = [], 0
    for name, others in mutations(files):
        with served(others) as source:
            try:
                verify_log(source, VKEY, replay=False)
            except (Tampered, Unavailable, Invalid):
                found += 1
            else:
                missed.append(name)
    assert missed == []
    assert found >= 376


def test_what_is_missing_could_not_be_checked_and_what_is_changed_is_a_mismatch(files: Files) -> None:
    """A retry may help with the first. It never helps with the second, and who reads must not take it for that."""
    for name in files:
        with served({other: files[other] for other in files if other != name}) as source:
            with pytest.raises(Unavailable) as refusal:
                verify_log(source, VKEY)
            assert refusal.value.code == "verify.missing"
        if name != "checkpoint":
            middle = len(files[name]) // 2
            changed = files[name][:middle] + bytes([files[name][middle] ^ 1]) + files[name][middle + 1 :]
            with served(files | {name: changed}) as source, pytest.raises(Tampered) as tampering:
                verify_log(source, VKEY)
            assert tampering.value.code == "verify.mismatch"


# --- receipts ---


@pytest.fixture(scope="module")
def given(whole: Deeds) -> bytes:
    with whole.opened() as (database, mine), database.read() as connection:
        return receipt(connection, mine, "ent_300", KEY)


def judged(content: bytes, files: Files) -> ReceiptVerdict | None:
    with served(files) as source:
        try:
            return verify_receipt(content, VKEY, signers=[KEY.verify_key], log=source)
        except (Tampered, Unavailable, Invalid, NotCovered):
            return None


def test_no_damage_to_a_receipt_goes_unnoticed_against_the_published_log(given: bytes, files: Files) -> None:
    assert judged(given, files) is not None
    changes = [
        given[:place] + bytes([given[place] ^ 1 << place % 8]) + given[place + 1 :] for place in range(len(given))
    ]
    changes += [b"", given[:-1], given[1:], given[: len(given) // 2], given * 2, given + b"}"]
    assert [place for place, change in enumerate(changes) if judged(change, files)] == []


def test_no_damage_to_the_published_log_turns_one_receipt_into_another(given: bytes, files: Files) -> None:
    """Only the tiles on the way to the entry are read: what else is damaged is not a receipt's to find."""
    genuine = judged(given, files)
    transport = Served(files)
    with Http("http://exchange.example.vn/log", transport) as source:
        verify_receipt(given, VKEY, log=source)
    refused: set[str] = set()
    for name, others in mutations(files):
        verdict = judged(given, others)
        assert verdict in (None, genuine)
        if verdict is None:
            refused.add(name)
    assert refused <= transport.asked
    assert "checkpoint" in refused


def test_an_error_of_verification_is_one_that_people_can_read(files: Files) -> None:
    for _, others in mutations(dict([*files.items()][:2])):
        with served(others) as source, pytest.raises(SandboxError) as refusal:
            verify_log(source, VKEY)
        assert refusal.value.message
        assert refusal.value.hint
