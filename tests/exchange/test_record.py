"""The record as a whole: volume, recount, repair of files, restart, and a log that disagrees with itself."""

from pathlib import Path

import pytest

from sandbox import bootstrap
from sandbox.core.errors import Conflict, NotFound, SandboxError, Tampered
from sandbox.core.terms import Participant, ParticipantId, Role
from sandbox.settings import Settings
from tests import invariants
from tests.forging import forge
from tests.world import BUYER, INDEX, TRIPS, World


def test_every_step_keeps_the_invariants_and_every_checkpoint(world: World) -> None:
    kept: list[bytes] = []
    steps = [
        lambda: world.publish(TRIPS),
        lambda: world.publish(INDEX),
        lambda: world.agree(TRIPS),
        lambda: world.agree(INDEX),
        lambda: world.query(),
        lambda: world.query("SELECT noi FROM chi_so", dataset=INDEX),
        lambda: world.query(purpose="ban_lai"),
        lambda: world.query("DROP TABLE chuyen_di"),
        lambda: world.reopen(),
    ]
    for step in steps:
        try:
            step()
        except SandboxError as refusal:
            assert refusal.query
        invariants.check(world.exchange, world.vkey, kept)
    assert len(kept) == len(steps)


def test_the_volume_has_every_dimension_and_equals_the_log(ready: World) -> None:
    ready.query()
    ready.query()
    ready.query("SELECT noi FROM chi_so", dataset=INDEX)
    total = ready.exchange.volume()
    assert (total.count, total.value_vnd, total.count_open) == (3, 30_000, 1)
    assert total == ready.exchange.counted_volume()[0]
    assert {name: part.count for name, part in ready.exchange.volume_by("dataset").items()} == {TRIPS: 2, INDEX: 1}
    assert {*ready.exchange.volume_by("buyer")} == {BUYER}
    assert {*ready.exchange.volume_by("day")} == {"2026-12-01"}
    assert sum(part.value_vnd for part in ready.exchange.volume_by("sector").values()) == 30_000


@pytest.mark.parametrize(
    ("dimension", "change"),
    [
        ("provider", "UPDATE settlement_share SET provider = 'ke-gian'"),
        ("sector", "UPDATE settlement_share SET sector = 'du_lich'"),
        ("dataset", "UPDATE settlement_share SET dataset = 'khac'"),
        ("buyer", "UPDATE settlement SET buyer = 'cong-ty-b'"),
        ("buyer", "UPDATE log_body SET value = '\"cong-ty-b\"' WHERE name = 'actor'"),
        ("day", "UPDATE settlement SET day = '2026-12-02'"),
        (None, "UPDATE settlement SET rows_out = rows_out + 1"),
    ],
)
def test_a_volume_that_differs_from_the_log_is_not_told(
    tmp_path: Path, ready_world: World, dimension: str | None, change: str
) -> None:
    world = ready_world.copy_to(tmp_path)
    try:
        world.query()
        assert world.exchange.counted_volume(dimension)[0].count == 1
        forge(world.settings.database, change)
        with pytest.raises(Tampered) as refusal:
            world.exchange.counted_volume(dimension)
        assert refusal.value.code == "tampered.ledger"
    finally:
        world.exchange.close()


def test_a_deleted_export_is_made_again(ready: World) -> None:
    import shutil

    size = ready.exchange.export_log()
    shutil.rmtree(ready.home / "log")
    (ready.home / "log").mkdir()
    assert ready.exchange.export_log() == size


def test_policies_are_activated_once_and_noted_when_they_change(world: World) -> None:

    world.reopen()
    assert [entry["type"] for entry in world.entries()].count("policy.activated") == 1


def test_an_exchange_refuses_to_open_on_a_log_that_was_rewritten(world: World) -> None:
    world.exchange.close()
    forge(world.settings.database, "UPDATE log_entry SET leaf = X'00' WHERE idx = 0")
    with pytest.raises(Tampered):
        bootstrap.build(world.settings, world.clock)
    world.settings = Settings(home=world.folder / "fresh")
    bootstrap.init(world.settings, "Sàn thử", world.clock)
    world.exchange = bootstrap.build(world.settings, world.clock)


def test_operator_and_regulator_are_never_one(world: World) -> None:
    both = Participant(ParticipantId("hai-vai"), "Hai vai", frozenset({Role.OPERATOR, Role.REGULATOR}))
    with pytest.raises(Conflict):
        world.exchange.admit(both)


def test_money_goes_only_to_wallets_that_exist_and_with_evidence(world: World) -> None:
    with pytest.raises(NotFound):
        world.exchange.top_up(ParticipantId("khong-co"), 1_000, "UNC")
    with pytest.raises(NotFound):
        world.exchange.top_up(ParticipantId("so-mau"), 1_000, "UNC")
    for vnd, evidence in ((0, "UNC"), (-5, "UNC"), (10**16, "UNC"), (1_000, "  ")):
        with pytest.raises(SandboxError):
            world.exchange.top_up(ParticipantId(BUYER), vnd, evidence)
    assert world.exchange.balance(ParticipantId(BUYER)) == 100_000


def test_every_part_reports_its_readiness(world: World) -> None:
    status = world.exchange.status()
    assert {name: part.ready for name, part in status.items()} == dict.fromkeys(
        ("database", "log", "policy", "engine"), True
    )
