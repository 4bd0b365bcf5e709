"""Disclosure of sealed values: to a regulator alone, on the record before anything leaves, complete up to erasures."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from sandbox.app import create_app
from sandbox.audit.disclosure import DisclosureVerdict, verify_disclosure
from sandbox.audit.evidence import verify_pack
from sandbox.audit.published import Published
from sandbox.audit.source import open_source
from sandbox.audit.store import log_body
from sandbox.core.errors import Invalid, NotFound, Refused, Tampered
from sandbox.exchange import erase
from sandbox.exchange.disclose import Extent
from tests.world import BUYER, INDEX, OPERATOR, PROVIDER, REGULATOR, World

BASIS = "D314-5(2)(c)"


def disclosed(world: World, first: int, last: int, names: tuple[str, ...] | None = None) -> list[bytes]:
    return b"".join(world.exchange.disclose(Extent(first, last, names), REGULATOR, BASIS)).splitlines(keepends=True)


def verified(world: World, lines: list[bytes]) -> DisclosureVerdict:
    world.exchange.export_log()
    with open_source(world.home / "log") as source:
        return verify_disclosure(lines, Published(source, world.vkey))


def test_a_disclosure_of_the_whole_log_verifies(ready: World) -> None:
    ready.query()
    size = len(ready.entries())
    verdict = verified(ready, disclosed(ready, 0, size - 1))
    assert (verdict.entries, verdict.erased) == (size, 0)
    assert verdict.shown == sum(len(entry["sealed"]) for entry in ready.entries()[:size])


def test_it_is_on_the_record_before_the_first_value_leaves(ready: World) -> None:
    lines = ready.exchange.disclose(Extent(0, 3), REGULATOR, f"{BASIS}: thanh tra")
    told = ready.entries()[-1]
    assert (told["type"], told["from"], told["to"], told["basis"]) == ("body.disclosed", 0, 3, f"{BASIS}: thanh tra")
    with ready.exchange.house.database.read() as connection:
        assert ready.exchange.house.log.bodies(connection, told["id"])["to"][1] == REGULATOR
    assert json.loads(next(lines))["type"] == "sandbox.disclosure/v1"


def test_what_was_erased_is_said_to_be_and_where(ready: World) -> None:
    ready.query()
    at, entry = next((at, each["id"]) for at, each in enumerate(ready.entries()) if each["type"] == "query.completed")
    erase.erase(ready.exchange.house, entry, ["sql"], "PDPL-12(1)")
    erase.erase(ready.exchange.house, entry, ["actor"], "PDPL-12(1)")
    by = len(ready.entries()) - 1
    lines = disclosed(ready, at, at)
    erased = {told["name"]: told["by"] for told in map(json.loads, lines[1:]) if told.get("erased")}
    assert erased == {"sql": by - 1, "actor": by}
    assert verified(ready, lines).erased == 2


def test_a_value_that_went_without_a_word_is_missed_by_whoever_verifies(ready: World) -> None:
    ready.query()
    at, entry = next((at, each["id"]) for at, each in enumerate(ready.entries()) if each["type"] == "query.completed")
    with ready.exchange.house.database.engine.execution_options(writes=True).begin() as connection:
        connection.execute(log_body.delete().where(log_body.c.entry_id == entry, log_body.c.name == "sql"))
    with pytest.raises(Tampered, match="'sql' of entry"):
        verified(ready, disclosed(ready, at, at))


def test_a_value_that_was_altered_in_the_database_is_noticed(ready: World) -> None:
    ready.query()
    at, entry = next((at, each["id"]) for at, each in enumerate(ready.entries()) if each["type"] == "query.completed")
    altered = sa.update(log_body).where(log_body.c.entry_id == entry, log_body.c.name == "sql")
    with ready.exchange.house.database.engine.execution_options(writes=True).begin() as connection:
        connection.execute(altered.values(value=b'"SELECT 1"'))
    with pytest.raises(Tampered, match="not what the log sealed"):
        verified(ready, disclosed(ready, at, at))


def test_a_disclosure_of_some_names_holds_no_other(ready: World) -> None:
    ready.query()
    lines = disclosed(ready, 0, len(ready.entries()) - 1, ("actor",))
    assert {json.loads(line)["name"] for line in lines[1:]} == {"actor"}
    assert verified(ready, lines).header.names == ("actor",)


def test_only_a_regulator_is_shown_anything_and_a_refusal_leaves_no_entry(ready: World) -> None:
    size = len(ready.entries())
    for who in (BUYER, PROVIDER, OPERATOR):
        with pytest.raises(Refused) as refusal:
            ready.exchange.disclose(Extent(0, 1), who, BASIS)
        assert refusal.value.code == "disclosure.recipient"
    for nobody in ("nobody", "\0"):
        with pytest.raises(NotFound):
            ready.exchange.disclose(Extent(0, 1), nobody, BASIS)
    assert len(ready.entries()) == size


def test_entries_that_are_none_and_a_basis_that_is_none_are_refused(ready: World) -> None:
    size = len(ready.entries())
    for extent in (Extent(0, size), Extent(2, 1), Extent(-1, 1), Extent(0, 1, ())):
        with pytest.raises(Invalid) as refusal:
            ready.exchange.disclose(extent, REGULATOR, BASIS)
        assert refusal.value.code == "disclosure.range"
    for basis in ("", "D314-4(6)", "why not"):
        with pytest.raises(Invalid) as refusal:
            ready.exchange.disclose(Extent(0, 1), REGULATOR, basis)
        assert refusal.value.code == "basis.unknown"
    assert len(ready.entries()) == size


def test_values_erased_while_a_disclosure_leaves_are_told_as_erased(ready: World) -> None:
    for _ in range(2):
        ready.query()
    at, entry = next((at, each["id"]) for at, each in enumerate(ready.entries()) if each["type"] == "query.completed")
    lines = ready.exchange.disclose(Extent(at, at), REGULATOR, BASIS)
    head = next(lines)
    eraser = threading.Thread(target=erase.erase, args=(ready.exchange.house, entry, ["sql"], "PDPL-12(1)"))
    eraser.start()
    eraser.join()
    assert verified(ready, [head, *b"".join(lines).splitlines(keepends=True)]).erased == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_values_are_erased_disclosed_and_packed_on_postgresql_too(tmp_path: Path, database_url: str) -> None:
    world = World(tmp_path, overrides={"database_url": database_url})
    try:
        world.publish(INDEX)
        world.agree(INDEX)
        query = world.query("SELECT noi FROM chi_so", dataset=INDEX).id
        erasures = erase.erase_participant(world.exchange.house, BUYER, "D165-17(10)")
        assert not erase.scrub(world.exchange.house)
        verdict = verified(world, disclosed(world, 0, len(world.entries()) - 1))
        assert verdict.erased == sum(len(each.names) for each in erasures)
        with open_source(world.home / "log") as log:
            pack = world.exchange.evidence(world.who(REGULATOR).participant, query)
            assert verify_pack(pack, world.vkey, log=log).erased
        for entry in ("ent\0", "ent_none"):
            with pytest.raises(NotFound):
                erase.erase(world.exchange.house, entry, ["sql"], "D165-17(10)")
    finally:
        world.exchange.close()


# --- over HTTP ---
@pytest.fixture
def http(ready: World) -> Iterator[TestClient]:
    with TestClient(create_app(ready.exchange), raise_server_exceptions=False) as client:
        yield client


def asked(http: TestClient, world: World, who: str, **given: Any) -> Any:
    wanted = {"from": "0", "to": "3", "basis": BASIS} | given
    return http.get("/v1/audit/disclosures", params=wanted, headers={"Authorization": f"Bearer {world.tokens[who]}"})


def test_a_regulator_fetches_a_disclosure_that_verifies(ready: World, http: TestClient) -> None:
    answer = asked(http, ready, REGULATOR)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    assert answer.headers["cache-control"] == "no-store"
    assert verified(ready, answer.content.splitlines(keepends=True)).entries == 4
    with ready.exchange.house.database.read() as connection:
        told = ready.exchange.house.log.bodies(connection, ready.entries()[-1]["id"])
    assert told["identity"][1]["participant"] == told["to"][1] == REGULATOR


def test_nobody_else_fetches_one_and_wrong_parameters_are_refused(ready: World, http: TestClient) -> None:
    size = len(ready.entries())
    assert [asked(http, ready, who).status_code for who in (BUYER, PROVIDER)] == [403, 403]
    for given in ({"from": "x"}, {"to": ""}, {"from": "-1"}, {"basis": "x"}, {"to": "99999"}, {"from": "9", "to": "1"}):
        assert asked(http, ready, REGULATOR, **given).status_code == 422
    assert asked(http, ready, REGULATOR, names="sql").status_code == 400
    assert len(ready.entries()) == size


def test_the_overseers_fetch_evidence_and_nobody_else_learns_that_there_is_any(ready: World, http: TestClient) -> None:
    query = ready.query().id
    for who, status in ((REGULATOR, 200), (BUYER, 404), (PROVIDER, 404)):
        answer = http.get(f"/v1/queries/{query}/evidence", headers={"Authorization": f"Bearer {ready.tokens[who]}"})
        assert answer.status_code == status
        if status == 200:
            assert answer.headers["content-type"] == "application/zip"
            assert answer.content[:2] == b"PK"
