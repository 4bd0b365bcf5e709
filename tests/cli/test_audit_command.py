"""The desk from a terminal: search, show, tail, and files to carry away."""

import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sandbox.core.clock import ManualClock, SystemClock
from sandbox.core.errors import SandboxError
from tests.terminal import SANDBOX, Terminal, Today, environment
from tests.world import BUYER, INDEX, OTHER, TRIPS


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a closed exchange that has sold one query and refused another."""
    folder = tmp_path_factory.mktemp("traded")
    world = Today(folder, ManualClock(SystemClock().now())).ready()
    (folder / "query").write_text(world.query("SELECT noi FROM chi_so", dataset=INDEX).id)
    with pytest.raises(SandboxError) as refusal:
        world.query("SELECT bi_mat FROM chuyen_di", dataset=TRIPS)
    (folder / "refused").write_text(str(refusal.value.query))
    world.exchange.close()
    return folder


@pytest.fixture
def terminal(traded: Path, tmp_path: Path) -> Terminal:
    shutil.copytree(traded, tmp_path, dirs_exist_ok=True)
    return Terminal(tmp_path)


def searched(terminal: Terminal, *words: str) -> dict[str, Any]:
    page: dict[str, Any] = json.loads(terminal.run("audit", "search", "--json", *words).stdout)
    return page


def test_a_search_shows_who_did_what_and_up_to_where_it_is_complete(terminal: Terminal) -> None:
    query = (terminal.folder / "refused").read_text()
    done = terminal.run("audit", "search", "--actor", BUYER, "--type", "query.refused")
    assert done.stdout.split()[2:5] == ["query.refused", BUYER, query]
    size = searched(terminal)["complete_to"]["entries"]
    assert f"complete up to entry {size - 1}, checkpoint of size {size} at 20" in done.stderr
    assert "not witnessed" in done.stderr
    (found,) = searched(terminal, "--query", query)["entries"]
    assert found["entry"]["type"] == "query.refused"
    assert "reveal" not in found
    (opened,) = searched(terminal, "--query", query, "--reveal")["entries"]
    assert opened["reveal"]["actor"]["value"] == BUYER


def test_nothing_found_is_said_with_the_place_up_to_which_nothing_is(terminal: Terminal) -> None:
    done = terminal.run("audit", "search", "--actor", OTHER, "--type", "query.completed")
    assert done.stdout == ""
    assert "complete up to entry" in done.stderr


def test_a_long_answer_says_how_to_go_on(terminal: Terminal) -> None:
    done = terminal.run("audit", "search", "--limit", "2", "--oldest")
    assert "--cursor o1" in done.stderr
    page = searched(terminal, "--limit", "2", "--oldest", "--cursor", "o1")
    assert [each["index"] for each in page["entries"]] == [2, 3]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--type", "query.sold"), "audit.filter"),
        (("--from", "yesterday"), "audit.filter"),
        (("--limit", "1001"), "audit.filter"),
        (("--cursor", "x"), "audit.cursor"),
    ],
)
def test_what_cannot_be_searched_for_is_refused(terminal: Terminal, words: tuple[str, ...], code: str) -> None:
    assert code in terminal.run("audit", "search", *words, code=2).stderr


def test_a_query_is_shown_with_its_seals_and_the_checkpoint_that_promises_it(terminal: Terminal) -> None:
    query = (terminal.folder / "query").read_text()
    told = terminal.run("audit", "show", query).stdout
    assert f'actor: "{BUYER}"' in told
    assert told.count("promised first by the checkpoint of size") == 2
    shown = json.loads(terminal.run("audit", "show", query, "--json").stdout)
    assert [each["entry"]["type"] for each in shown] == ["query.authorized", "query.completed"]
    (one,) = json.loads(terminal.run("audit", "show", str(shown[1]["index"]), "--json").stdout)
    assert one == shown[1]
    assert "entry.unknown" in terminal.run("audit", "show", "ent_none", code=5).stderr


def test_the_newest_entries_are_printed_line_by_line(terminal: Terminal) -> None:
    lines = terminal.run("audit", "tail", "-n", "3").stdout.splitlines()
    assert [line.split()[2] for line in lines] == ["query.authorized", "query.completed", "query.refused"]
    said = [json.loads(line) for line in terminal.run("audit", "tail", "-n", "2", "--json").stdout.splitlines()]
    assert [each["entry"]["type"] for each in said] == ["query.completed", "query.refused"]


def test_what_is_recorded_meanwhile_follows_until_it_is_stopped(terminal: Terminal) -> None:
    environ = environment(SANDBOX_HOME=str(terminal.folder / "home"), PYTHONUNBUFFERED="1")
    command = [*SANDBOX, "audit", "tail", "-n", "1", "-f"]
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as follower:
        assert follower.stdout
        assert "query.refused" in follower.stdout.readline()
        terminal.run("wallet", "top-up", OTHER, "5000", "--evidence", "UNC-7")
        assert "wallet.topped_up" in follower.stdout.readline()
        follower.send_signal(signal.SIGINT)
        assert follower.wait(20) == 130


def test_lines_of_the_record_are_carried_away_whole(terminal: Terminal) -> None:
    done = terminal.run("audit", "export", "--out", "all.ndjson", "--reveal")
    *lines, last = (terminal.folder / "all.ndjson").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [each["index"] for each in entries] == [*range(len(entries))]
    assert json.loads(last)["complete_to"]["entries"] == len(entries)
    assert f"wrote {len(entries)} entries" in done.stderr
    assert entries[-1]["reveal"]["actor"]["value"] == BUYER
    terminal.run("audit", "export", "--out", "bare.ndjson", "--type", "query.completed")
    (one, _) = (terminal.folder / "bare.ndjson").read_text().splitlines()
    assert "reveal" not in json.loads(one)


def test_a_table_of_the_record_has_its_columns_and_its_leaves(terminal: Terminal) -> None:
    terminal.run("audit", "export", "--out", "all.parquet")
    table = pq.read_table(terminal.folder / "all.parquet")
    assert table.schema.names == [
        "index", "id", "ts", "day", "type", "query", "agreements", "datasets", "provider", "actor", "code", "reasons",
        "vnd", "rows_out", "bytes_out", "policy", "isolation", "entry", "reveal",
    ]  # fmt: skip
    rows = table.to_pylist()
    assert [row["index"] for row in rows] == [*range(len(rows))]
    sold = next(row for row in rows if row["type"] == "query.completed")
    assert (sold["actor"], sold["datasets"], sold["rows_out"]) == (BUYER, [INDEX], 5)
    assert json.loads(sold["entry"])["id"] == sold["id"]
    assert sold["reveal"] is None
    said = json.loads(table.schema.metadata[b"sandbox.complete_to"])
    assert said["entries"] == len(rows)
    terminal.run("audit", "export", "--out", "none.parquet", "--actor", "nobody")
    assert pq.read_table(terminal.folder / "none.parquet").schema == table.schema


def test_a_file_that_cannot_be_written_leaves_nothing(terminal: Terminal) -> None:
    assert "audit.format" in terminal.run("audit", "export", "--out", "all.csv", code=2).stderr
    assert "file.unwritable" in terminal.run("audit", "export", "--out", "none/all.ndjson", code=2).stderr
    assert not [each for each in terminal.folder.iterdir() if "part-" in each.name or each.suffix == ".csv"]


def test_the_index_is_made_anew(terminal: Terminal) -> None:
    before = searched(terminal, "--actor", BUYER)
    size = before["complete_to"]["entries"]
    assert f"the index covers {size} entries" in terminal.run("audit", "reindex").stderr
    assert searched(terminal, "--actor", BUYER) == before


def test_the_books_are_printed(terminal: Terminal) -> None:
    books = json.loads(terminal.run("audit", "books").stdout)
    assert (books["type"], books["volume"]["count"]) == ("sandbox.books/v1", 1)


def test_every_verb_of_the_desk_is_described(terminal: Terminal) -> None:
    told = terminal.run("audit", "--help").stdout
    assert all(verb in told for verb in ("books", "export", "reindex", "search", "show", "tail"))
