"""Negotiations and orders from a terminal, each step in a process of its own with files and keys alone."""

import json
import shutil
from pathlib import Path

import pytest

from sandbox.core.clock import ManualClock, SystemClock
from sandbox.core.keys import write_key
from tests.terminal import Terminal, Today
from tests.world import BUYER, INDEX, OPERATOR, OTHER, PROVIDER, REGULATOR, terms


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a closed exchange, where one dataset is offered, and everyone's keys."""
    folder = tmp_path_factory.mktemp("market")
    world = Today(folder, ManualClock(SystemClock().now()))
    world.publish(INDEX)
    world.offered(INDEX)
    (offer,) = world.exchange.offers()
    (folder / "offer").write_text(offer.id)
    world.exchange.close()
    for who, key in world.keys.items():
        if who != OPERATOR:
            write_key(key, folder / f"{who}.jwk")
    return folder


@pytest.fixture
def terminal(market: Path, tmp_path: Path) -> Terminal:
    shutil.copytree(market, tmp_path, dirs_exist_ok=True)
    return Terminal(tmp_path)


# --- negotiations ---
def test_a_request_becomes_an_agreement_in_five_commands(terminal: Terminal) -> None:
    wishes = terminal.write("wishes.json", {"price_vnd": 500})
    asked = terminal.negotiate("request", "--offer", terminal.offer[7:19], "--terms", wishes, who=BUYER)
    name = asked.stdout.strip()
    assert "the provider goes on" in asked.stderr
    answer = terminal.write("answer.json", {"price_vnd": 900})
    assert "the buyer goes on" in terminal.negotiate("offer", name, "--terms", answer, who=PROVIDER).stderr
    terminal.negotiate("accept", name, who=BUYER)
    terminal.negotiate("agree", name, who=PROVIDER)
    terminal.negotiate("verify", name, who=BUYER)
    assert terminal.listed("agreements") == []  # only what is finalised opens data
    assert "FINALIZED" in terminal.run("negotiate", "finalize", name, "--as", PROVIDER).stderr
    (agreement,) = terminal.listed("agreements")
    assert (agreement["buyer"], agreement["state"]) == (BUYER, "in_force")
    (listed,) = terminal.listed("negotiate", "list", "--as", BUYER)
    assert (listed["state"], listed["waits_for"]) == ("FINALIZED", "")
    assert terminal.listed("negotiate", "list", "--as", OTHER) == []
    said = terminal.listed("negotiate", "show", name, "--out", "last.json")
    assert [each["state"] for each in said][:3] == ["REQUESTED", "OFFERED", "ACCEPTED"]
    explained = json.loads((terminal.folder / "last.json").read_text())
    assert explained["contract"]["permission"][0]["duty"][0]["constraint"][0]["rightOperand"] == "900"


def test_a_provider_begins_with_an_offer_and_either_side_may_give_up(terminal: Terminal) -> None:
    (terminal.folder / "terms.json").write_bytes(terms(INDEX, price_vnd=700))
    begin = ("--to", BUYER, "--dataset", INDEX, "--terms", "terms.json")
    name = terminal.negotiate("offer", *begin, who=PROVIDER).stdout.strip()
    terminal.negotiate("request", name, "--terms", terminal.write("less.json", {"price_vnd": 1}), who=BUYER)
    terminal.run("negotiate", "terminate", name, "--as", PROVIDER)
    refused = terminal.negotiate("agree", name, who=PROVIDER, code=6)
    assert "negotiation.state" in refused.stderr


def test_a_provider_takes_a_request_as_it_is(terminal: Terminal) -> None:
    name = terminal.negotiate("request", "--offer", terminal.offer, who=BUYER).stdout.strip()
    terminal.negotiate("agree", name, who=PROVIDER)
    terminal.negotiate("verify", name, who=BUYER)
    terminal.run("negotiate", "finalize", name, "--as", PROVIDER)
    assert len(terminal.listed("agreements")) == 1


def test_nobody_moves_in_a_negotiation_of_others_or_out_of_turn(terminal: Terminal) -> None:
    name = terminal.negotiate("request", "--offer", terminal.offer, who=BUYER).stdout.strip()
    assert "negotiation.unknown" in terminal.negotiate("accept", name, who=OTHER, code=5).stderr
    assert "negotiation.unknown" in terminal.run("negotiate", "show", name, "--as", OTHER, code=5).stderr
    assert "not answered so" in terminal.negotiate("request", name, who=BUYER, code=6).stderr
    assert "not answered so" in terminal.negotiate("accept", name, who=BUYER, code=6).stderr
    assert "negotiation.state" in terminal.run("negotiate", "finalize", name, "--as", PROVIDER, code=6).stderr


def test_a_negotiation_is_either_begun_or_gone_on_with(terminal: Terminal) -> None:
    assert "negotiation.missing" in terminal.negotiate("request", who=BUYER, code=2).stderr
    assert "negotiation.missing" in terminal.negotiate("offer", "--to", BUYER, who=PROVIDER, code=2).stderr
    assert "offer.unknown" in terminal.negotiate("request", "--offer", "0" * 12, who=BUYER, code=5).stderr
    assert "negotiation.unknown" in terminal.negotiate("accept", "neg_x", who=BUYER, code=5).stderr


# --- orders ---
WHY = ("--reason", "Nghi lộ dữ liệu.")


def test_one_office_stops_a_dataset_and_two_let_it_go_on(terminal: Terminal) -> None:
    stop = ("suspend", "dataset", INDEX, *WHY, "--legal-basis", "NĐ 314/2026 Điều 7(8)(d)", "--issuer", REGULATOR)
    order = terminal.run(*stop, "--key", terminal.keys[REGULATOR]).stdout.strip()
    (standing,) = terminal.listed("suspensions")
    assert (standing["order"], standing["kind"], standing["id"]) == (order, "dataset", INDEX)
    first = (
        "resume",
        order[7:19],
        *WHY,
        "--issuer",
        REGULATOR,
        "--key",
        terminal.keys[REGULATOR],
        "--out",
        "half.json",
    )
    terminal.run(*first)
    assert len(terminal.listed("suspensions")) == 1
    terminal.run("resume", "--add", "half.json", "--key", terminal.keys[OPERATOR])
    assert terminal.listed("suspensions") == []
    again = terminal.run("resume", "--add", "half.json", "--key", terminal.keys[OPERATOR], code=6)
    assert "order.exists" in again.stderr


def test_no_office_lets_go_on_alone(terminal: Terminal) -> None:
    stop = ("suspend", "market", *WHY, "--issuer", REGULATOR, "--key", terminal.keys[REGULATOR])
    order = terminal.run(*stop).stdout.strip()
    half = ("resume", order, *WHY, "--issuer", REGULATOR, "--key", terminal.keys[REGULATOR], "--out", "half.json")
    terminal.run(*half)
    assert "CHARTER-06" in terminal.run("resume", "--add", "half.json", "--key", terminal.keys[PROVIDER], code=4).stderr
    assert len(terminal.listed("suspensions")) == 1


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (
            ("suspend", "dataset", INDEX, *WHY, "--issuer", PROVIDER, "--key", f"{REGULATOR}.jwk"),
            2,
            "signature.invalid",
        ),
        (("suspend", "dataset", *WHY, "--issuer", REGULATOR, "--key", f"{REGULATOR}.jwk"), 2, "order.invalid"),
        (("suspend", "market", "x", *WHY, "--issuer", REGULATOR, "--key", f"{REGULATOR}.jwk"), 2, "order.invalid"),
        (("resume", "--key", f"{REGULATOR}.jwk"), 2, "order.missing"),
        (("resume", "0" * 12, *WHY, "--issuer", REGULATOR, "--key", f"{REGULATOR}.jwk"), 5, "order.unknown"),
    ],
)
def test_a_wrong_order_ends_in_a_sentence(terminal: Terminal, words: tuple[str, ...], code: int, says: str) -> None:
    assert says in terminal.run(*words, code=code).stderr
    assert terminal.listed("suspensions") == []
