"""A log verified at the address that serves it, by whom and however it is served."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from sandbox.audit.layout import WIDTH
from sandbox.audit.log import Log
from sandbox.audit.source import LARGEST_BUNDLE, LARGEST_TILE, Http, open_source
from sandbox.audit.tiles import export
from sandbox.audit.verify import Forked, verify_log
from sandbox.core.database import Database
from sandbox.core.errors import Invalid, SandboxError, Tampered, Unavailable
from tests.logs import checkpoint
from tests.served import Answer, Served, serving

Opened = tuple[Database, Log]
OpenLog = Callable[..., Opened]
Sell = Callable[..., None]


@pytest.fixture
def opened(open_log: OpenLog, sell: Sell, engine: Engine, tmp_path: Path) -> Opened:
    mine = open_log()
    sell(mine, 0, 520)
    export(engine, tmp_path / "log")
    return mine


@pytest.fixture
def served(opened: Opened, tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path / "log") as each:
        yield each


@pytest.fixture
def http(served: Served) -> Iterator[Http]:
    """Reads what is served, and waits for nothing."""
    with Http(served.url, sleep=lambda _: None) as each:
        yield each


def test_a_served_log_verifies_as_its_folder_does(served: Served, vkey: str) -> None:
    over_http, of_folder = verify_log(served.url, vkey), verify_log(served.folder, vkey)
    assert (over_http.size, over_http.root, over_http.totals) == (520, of_folder.root, of_folder.totals)
    assert len(served.asked) == len(set(served.asked))  # each file is fetched once


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda old: old[:-1], id="truncated"),
        pytest.param(lambda old: old + b"\0", id="extended"),
        pytest.param(lambda old: bytes([old[0] ^ 1]) + old[1:], id="bit flipped"),
        pytest.param(lambda old: b"", id="emptied"),
        pytest.param(lambda old: None, id="withheld"),
    ],
)
def test_every_damaged_file_is_detected_over_http(
    served: Served, http: Http, vkey: str, damage: Callable[[bytes], bytes | None]
) -> None:
    for file in [each for each in served.folder.rglob("*") if each.is_file()]:
        path, content = str(file.relative_to(served.folder)), file.read_bytes()
        changed = damage(content)
        served.instead[path] = [Answer(404) if changed is None else Answer(body=changed)]
        with pytest.raises((Tampered, Invalid, Unavailable)):
            verify_log(http, vkey, replay=False)
        assert verify_log(http, vkey, replay=False).size == 520  # the next answer is the file


def test_a_log_that_grows_while_it_is_verified_is_verified_as_it_was(
    served: Served, opened: Opened, sell: Sell, engine: Engine, http: Http, vkey: str
) -> None:
    """The checkpoint is fetched; then the partial tiles become full ones, and the partial ones are gone."""
    checkpoint = served.folder / "checkpoint"
    before = checkpoint.read_bytes()
    sell(opened, 520, 800)
    export(engine, served.folder)
    assert not (served.folder / "tile/0/002.p").exists()
    served.instead["checkpoint"] = [Answer(body=before)]
    assert verify_log(http, vkey).size == 520
    assert verify_log(http, vkey, before).size == 800


def test_a_server_that_tells_two_visitors_two_histories_is_caught_by_what_one_kept(
    served: Served, http: Http, vkey: str
) -> None:
    other = checkpoint(520, bytes(32))
    with pytest.raises(Forked, match="another root"):
        verify_log(http, vkey, other)
    grown = checkpoint(521, bytes(32))
    with pytest.raises(Forked, match="had 521 entries at your older checkpoint and has 520 now"):
        verify_log(http, vkey, kept=grown)


# --- what a server may not do ---


@pytest.mark.parametrize("failing", [503, 429, 500])
def test_a_server_that_is_busy_is_asked_again(served: Served, http: Http, vkey: str, failing: int) -> None:
    served.instead["tile/0/000"] = [Answer(failing)] * 3
    assert verify_log(http, vkey).size == 520
    served.instead["tile/0/000"] = [Answer(failing)] * 4
    with pytest.raises(
        Unavailable, match=f"tile/0/000 could not be fetched: the address answered {failing}"
    ) as refusal:
        verify_log(http, vkey)
    assert refusal.value.code == "verify.unreachable"


def test_a_connection_that_breaks_is_tried_again(served: Served, http: Http, vkey: str) -> None:
    content = (served.folder / "tile/entries/000").read_bytes()
    served.instead["tile/entries/000"] = [Answer(body=content, cut=True)]
    assert verify_log(http, vkey).size == 520


def test_it_waits_longer_from_try_to_try(served: Served, vkey: str) -> None:
    waited: list[float] = []
    served.instead["checkpoint"] = [Answer(503)] * 9
    with Http(served.url, sleep=waited.append) as reader, pytest.raises(Unavailable):
        verify_log(reader, vkey)
    assert waited == sorted(waited)
    assert len(waited) == 3


def test_where_nobody_listens_nothing_was_found_wrong(tmp_path: Path, vkey: str) -> None:
    with serving(tmp_path) as gone:
        url = gone.url
    with Http(url, sleep=lambda _: None) as reader, pytest.raises(Unavailable) as refusal:
        verify_log(reader, vkey)
    assert refusal.value.code == "verify.unreachable"
    assert refusal.value.exit_code == 8


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(served: Served, http: Http, vkey: str, status: int) -> None:
    served.instead["checkpoint"] = [Answer(status, headers={"Location": f"{served.url}/tile/0/000"})]
    with pytest.raises(Unavailable, match="a redirect"):
        verify_log(http, vkey)
    assert served.asked == ["checkpoint"]


def test_packed_answers_are_not_unpacked(served: Served, http: Http, vkey: str) -> None:
    body = gzip.compress(b"\0" * 1_000_000)
    served.instead["tile/0/000"] = [Answer(body=body, headers={"Content-Encoding": "gzip"})]
    with pytest.raises(Unavailable, match="packed bytes"):
        verify_log(http, vkey)


@pytest.mark.parametrize(
    ("path", "most"), [("tile/0/000", LARGEST_TILE), ("tile/entries/000", LARGEST_BUNDLE), ("checkpoint", 1_000_000)]
)
def test_more_bytes_than_a_file_can_have_are_not_read(
    served: Served, http: Http, vkey: str, path: str, most: int
) -> None:
    served.instead[path] = [Answer(body=b"\0" * (most + 1))]
    with pytest.raises(Tampered, match="longer than"):
        verify_log(http, vkey)


def test_a_server_that_drips_is_given_up(served: Served, vkey: str) -> None:
    served.instead["checkpoint"] = [Answer(body=b"x", pause=1)] * 4
    with Http(served.url, sleep=lambda _: None, seconds=0.2) as reader, pytest.raises(Unavailable, match="in time"):
        verify_log(reader, vkey)
    assert served.asked == ["checkpoint"] * 4


def test_a_folder_is_not_read_beyond_that_either(served: Served, vkey: str) -> None:
    (served.folder / "tile/0/000").write_bytes(b"\0" * (LARGEST_TILE + 1))
    with pytest.raises(Tampered, match="longer than 8192 bytes"):
        verify_log(served.folder, vkey)


@pytest.mark.parametrize(
    "address", ["http://", "https:///log", "http://u:p@h.vn/log", "https://h.vn/log?x=1", "http://h.vn:p/log"]
)
def test_what_is_no_address_of_a_log_is_refused(address: str) -> None:
    with pytest.raises(Invalid) as refusal:
        open_source(address)
    assert refusal.value.code == "verify.address"


def test_a_page_that_is_no_checkpoint_is_said_to_be_none(served: Served, http: Http, vkey: str) -> None:
    served.instead["checkpoint"] = [Answer(body=b"<html>welcome</html>")]
    with pytest.raises(Invalid) as refusal:
        verify_log(http, vkey)
    assert refusal.value.code == "note.malformed"


def test_many_files_are_read_in_their_order(tmp_path: Path) -> None:
    for name in range(40):
        (tmp_path / str(name)).write_bytes(str(name).encode())
    with serving(tmp_path) as each, Http(each.url) as reader:
        paths = [str(name) for name in range(41)]
        assert [*reader.read_all(paths)] == [*(path.encode() for path in paths[:-1]), None]


def test_who_stops_reading_leaves_no_reading_behind(served: Served, http: Http) -> None:
    some = http.read_all(f"tile/{level}/000" for level in range(WIDTH))
    assert next(some) is not None
    some.close()  # type: ignore[attr-defined]
    with pytest.raises(SandboxError):
        verify_log(http, "")
    assert len(served.asked) < WIDTH
