"""Agreements that follow their dataset, those that do not, and queries that cost nothing for a while."""

import pytest

from sandbox.core.errors import AgreementRefused, Insufficient, SandboxError
from tests.world import INDEX, PROVIDER, TRIPS, World

OPEN = "SELECT noi FROM chi_so"


def newer(world: World, **changes: object) -> str:
    """A further version of the index, with one word of its description changed, or more."""
    described = {"description": {"vi": "Bản mới.", "en": "A new version."}} | changes
    return str(world.publish(INDEX, **described).digest)


def used(world: World) -> str:
    """The version that the last question was about."""
    with world.exchange.house.database.read() as connection:
        entry = next(each for each in reversed(world.entries()) if each["type"] == "query.authorized")
        _, question = world.exchange.house.log.bodies(connection, entry["id"])["question"]
    return str(question["resource"]["properties"]["datasets"][0]["version"])  # type: ignore[index,call-overload]


def test_what_follows_reads_the_newest_version_and_what_is_pinned_its_own(world: World) -> None:
    first = world.publish(INDEX).digest
    follows = world.agree(INDEX, version="follows")
    pinned = world.agree(INDEX)
    second = newer(world)
    world.query(OPEN, dataset=INDEX, agreements=(follows,))
    assert used(world) == second
    world.query(OPEN, dataset=INDEX, agreements=(pinned,))
    assert used(world) == first


@pytest.mark.parametrize(
    "changes",
    [
        {"data_class": "dung_chung"},
        {"sector": "giao_thong"},
        {"dimensions": [{"name": "ten", "expression": "noi"}]},
    ],
)
def test_a_version_with_another_face_stops_the_agreement_until_it_is_renewed(
    world: World, changes: dict[str, object]
) -> None:
    world.publish(INDEX)
    follows = world.agree(INDEX, version="follows")
    world.query(OPEN, dataset=INDEX, agreements=(follows,))
    newer(world, **changes)
    with pytest.raises(AgreementRefused) as caught:
        world.query(OPEN, dataset=INDEX, agreements=(follows,))
    assert (caught.value.code, caught.value.reasons) == ("agreement.version_changed", ("CONT-02",))
    assert world.entries()[-1]["type"] == "query.refused"
    renewed = world.agree(INDEX, version="follows")
    world.query(OPEN, dataset=INDEX, agreements=(renewed,))


def test_a_version_that_another_signs_is_never_followed(world: World) -> None:
    world.publish(INDEX)
    world.agree(INDEX, version="follows")
    with pytest.raises(SandboxError):
        world.publish(INDEX, signer="cong-ty-b", update_frequency="hang_nam")
    assert {each.provider for each in world.exchange.datasets()} == {PROVIDER}


def test_free_queries_cost_nothing_and_then_the_price(ready: World) -> None:
    trial = ready.agree(TRIPS, price_plan={"free_queries": 2})
    paid = [ready.query(agreements=(trial,)).price_vnd for _ in range(3)]
    assert paid == [0, 0, 15_000]


def test_a_free_query_that_fails_is_given_back(ready: World) -> None:
    trial = ready.agree(INDEX, price_plan={"free_queries": 1}, price_vnd=5_000, max_rows=3)
    with pytest.raises(SandboxError):
        ready.query(OPEN, dataset=INDEX, agreements=(trial,))
    assert ready.query(OPEN + " LIMIT 3", dataset=INDEX, agreements=(trial,)).price_vnd == 0


def test_a_free_query_taken_meanwhile_is_not_charged_without_asking(ready: World) -> None:
    """Two that were quoted nothing for the last free one: the second is refused, not charged."""
    from concurrent.futures import ThreadPoolExecutor

    trial = ready.agree(INDEX, price_plan={"free_queries": 1}, price_vnd=5_000)

    def ask(_: int) -> int | str:
        try:
            return int(ready.query(OPEN, dataset=INDEX, agreements=(trial,)).price_vnd)
        except Insufficient as refusal:
            return refusal.code

    with ThreadPoolExecutor(4) as pool:
        ends = [*pool.map(ask, range(4))]
    assert ends.count(0) == 1
    assert {*ends} <= {0, 5_000, "price.changed"}
