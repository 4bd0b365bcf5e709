"""Who may do what over HTTP: one table of every operation, every role, and whose object it is about.

The objects are those of one provider and one buyer; for the other provider, the other buyer and the overseers they are
someone else's. ``suspended`` is a buyer whom the regulator has stopped, ``wrong_scope`` the buyer itself with a token
that is good for something else.
"""

import itertools
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from sandbox.api.routes import OPERATIONS
from sandbox.app import create_app
from sandbox.cli.parties import signed_offer
from sandbox.contracts import envelope
from sandbox.contracts.order import order_document, sign_order
from sandbox.contracts.terms import request_document
from sandbox.core.canonical import canonical, digest_of, parse
from sandbox.core.terms import ParticipantId, Role
from sandbox.exchange.wanted import wanted
from tests.world import BUYER, INDEX, OPERATOR, OTHER, PER_ROUTE, PROVIDER, REGULATOR, TRIPS, World, checked, terms

OTHER_PROVIDER, SUSPENDED = "so-khac", "don-vi-bi-dinh-chi"
ROLES = (
    "anonymous", "provider", "other_provider", "buyer", "other_buyer", "regulator", "operator", "suspended",
    "wrong_scope",
)  # fmt: skip
OPEN = (200,) * 9
MINE = (401, 200, 200, 200, 200, 200, 200, 401, 403)
"""Of lists, which hold only what is the caller's."""
_numbers = itertools.count(1)


@dataclass
class Scene:
    """The world, a door to it, a token for each role, and the objects of one provider and one buyer."""

    world: World
    http: TestClient
    tokens: dict[str, str]
    query: str
    scopes: dict[frozenset[str], str]

    def secret(self, role: str, scopes: tuple[str, ...]) -> str | None:
        return self.tokens.get(role) if role != "wrong_scope" else self.scopes[frozenset(scopes)]

    def admission(self) -> str:
        """The entry that admitted the buyer."""
        entries = self.world.exchange.audit_entries(None, wanted({"type": "participant.admitted", "actor": BUYER}))
        return str(entries.entries[0].entry["id"])


@dataclass(frozen=True)
class Row:
    """An operation's expected statuses in the order of ``ROLES``, and how its object is made, anew for each role."""

    statuses: tuple[int, ...]
    path: Callable[[Scene], str] | None = None
    body: Callable[[Scene], bytes] | None = None


# --- objects ---
def offer(scene: Scene) -> bytes:
    world = scene.world
    return signed_offer(world.exchange, INDEX, terms(INDEX, price_vnd=next(_numbers)), world.keys[PROVIDER])


def agreement(scene: Scene) -> bytes:
    public = offer(scene)
    scene.world.exchange.offer(public)
    return scene.world.bought(public, BUYER)


def request(scene: Scene) -> bytes:
    world, public = scene.world, offer(scene)
    world.exchange.offer(public)
    document = parse(public)["offer"]
    wanted = request_document(document, digest_of(document), {}, ParticipantId(BUYER), world.clock.now())
    return envelope.sign_request(wanted, world.keys[BUYER])


def negotiation(scene: Scene) -> str:
    return scene.world.exchange.negotiate(ParticipantId(BUYER), "request", request(scene)).id


def question(scene: Scene) -> bytes:
    asked = {"sql": PER_ROUTE, "agreements": [scene.world.agreements[TRIPS, BUYER]], "purpose": "nghien_cuu"}
    return canonical(asked)


def order(scene: Scene) -> bytes:
    world = scene.world
    wanted = {"act": "suspend", "scope": {"kind": "participant", "id": SUSPENDED}, "issuer": REGULATOR}
    wanted |= {"reason": "Thử nghiệm", "legal_basis": None, "ends": None}
    document = order_document(wanted, secrets.token_bytes(32), world.clock.now())
    return sign_order(document, world.keys[REGULATOR])


ROWS = {
    ("GET", "/healthz"): Row(OPEN),
    ("GET", "/readyz"): Row(OPEN),
    ("GET", "/v1/charter"): Row(OPEN),
    ("GET", "/v1/datasets"): Row(OPEN),
    ("GET", "/v1/offers"): Row(OPEN),
    ("GET", "/v1/agreements"): Row(MINE),
    ("GET", "/v1/negotiations"): Row(MINE),
    ("GET", "/v1/suspensions"): Row(MINE),
    ("GET", "/v1/volume"): Row(MINE),
    # role: anonymous, provider, other provider, buyer, other buyer, regulator, operator, suspended, wrong scope
    ("GET", "/v1/negotiations/{id}"): Row(
        (401, 200, 404, 200, 404, 404, 404, 401, 403), lambda scene: f"/v1/negotiations/{negotiation(scene)}"
    ),
    ("GET", "/v1/queries/{id}/receipt"): Row(
        (401, 404, 404, 200, 404, 200, 200, 401, 403), lambda scene: f"/v1/queries/{scene.query}/receipt"
    ),
    ("GET", "/v1/queries/{id}/decision"): Row(
        (401, 404, 404, 200, 404, 200, 200, 401, 403), lambda scene: f"/v1/queries/{scene.query}/decision"
    ),
    ("GET", "/v1/queries/{id}/evidence"): Row(
        (401, 404, 404, 404, 404, 200, 200, 401, 403), lambda scene: f"/v1/queries/{scene.query}/evidence"
    ),
    ("GET", "/v1/audit/disclosures"): Row(
        (401, 403, 403, 403, 403, 200, 404, 401, 403), lambda _: "/v1/audit/disclosures?from=0&to=1&basis=PDPL-23"
    ),
    ("GET", "/v1/audit/entries"): Row(MINE),
    ("GET", "/v1/audit/entries/{id}"): Row(
        (401, 404, 404, 200, 404, 200, 200, 401, 403), lambda scene: f"/v1/audit/entries/{scene.admission()}"
    ),
    ("POST", "/v1/offers"): Row((401, 201, 404, 404, 404, 404, 404, 401, 403), body=offer),
    ("POST", "/v1/agreements"): Row((401, 201, 404, 201, 404, 404, 404, 401, 403), body=agreement),
    ("POST", "/v1/negotiations"): Row((401, 422, 422, 201, 422, 422, 422, 401, 403), body=request),
    ("POST", "/v1/negotiations/{id}/{act}"): Row(
        (401, 200, 404, 200, 404, 404, 404, 401, 403), lambda scene: f"/v1/negotiations/{negotiation(scene)}/terminate"
    ),
    ("POST", "/v1/queries"): Row((401, 403, 404, 201, 404, 404, 404, 401, 403), body=question),
    ("POST", "/v1/orders"): Row((401, 404, 404, 404, 404, 201, 201, 401, 403), body=order),
}  # fmt: skip


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, ready_world: World) -> Iterator[Scene]:
    made = checked(ready_world.copy_to(tmp_path_factory.mktemp("tenancy")))
    world = next(made)
    world.admit(OTHER_PROVIDER, Role.PROVIDER, 11)
    world.admit(SUSPENDED, Role.BUYER, 12)
    world.exchange.top_up(ParticipantId(BUYER), 1_000_000, "UNC-2")
    until = world.clock.now() + timedelta(days=1)

    def token(slug: str, *scopes: str) -> str:
        return world.exchange.create_token(ParticipantId(slug), until, frozenset(scopes) or None)

    slugs = (PROVIDER, OTHER_PROVIDER, BUYER, OTHER, REGULATOR, OPERATOR, SUSPENDED)
    tokens = dict(zip(ROLES[1:8], map(token, slugs), strict=True))
    wrong = {
        frozenset(operation.scopes): token(BUYER, *{"read", "query", "contract", "publish"} - {*operation.scopes})
        for operation in OPERATIONS
    }
    world.order("suspend", "participant", SUSPENDED, REGULATOR)
    query = world.query().id
    with TestClient(create_app(world.exchange), raise_server_exceptions=False) as http:
        yield Scene(world, http, tokens, query, wrong)
    next(made, None)


def test_every_operation_stands_in_the_table() -> None:
    assert {*ROWS} == {(operation.method, operation.path) for operation in OPERATIONS}
    assert {len(row.statuses) for row in ROWS.values()} == {len(ROLES)}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
def test_an_operation_answers_each_role_as_the_table_says(scene: Scene, operation: Any, role: str) -> None:
    row = ROWS[operation.method, operation.path]
    secret = scene.secret(role, operation.scopes)
    answer = scene.http.request(
        operation.method,
        row.path(scene) if row.path else operation.path,
        content=row.body(scene) if row.body else None,
        headers={"Authorization": f"Bearer {secret}"} if secret else {},
    )
    assert answer.status_code == row.statuses[ROLES.index(role)], answer.text
    if answer.status_code >= 400:
        code = {"suspended": "identity.suspended", "wrong_scope": "identity.scope", "anonymous": "identity.missing"}
        assert answer.json()["code"] == code.get(role, answer.json()["code"])
        for other in (BUYER, OTHER, PROVIDER, OTHER_PROVIDER):
            assert other not in answer.json()["detail"]


def test_nothing_is_done_by_whom_the_table_refuses(scene: Scene) -> None:
    """Of every POST: a refused caller leaves the ledger, the agreements and the negotiations as they were."""
    exchange = scene.world.exchange

    def state() -> object:
        wallet = exchange.balance(ParticipantId(BUYER))
        return wallet, exchange.agreements(), exchange.offers(), exchange.negotiations(), exchange.suspensions()

    for operation in OPERATIONS:
        row = ROWS[operation.method, operation.path]
        if operation.method != "POST":
            continue
        path, body = row.path(scene) if row.path else operation.path, row.body(scene) if row.body else None
        before = state()
        for role, status in zip(ROLES, row.statuses, strict=True):
            if status < 400:
                continue
            secret = scene.secret(role, operation.scopes)
            headers = {"Authorization": f"Bearer {secret}"} if secret else {}
            assert scene.http.post(path, content=body, headers=headers).status_code == status
        assert state() == before, operation.path


@pytest.mark.parametrize("role", ["provider", "other_provider", "buyer", "other_buyer", "regulator", "operator"])
def test_a_list_holds_only_what_is_the_callers(scene: Scene, role: str) -> None:
    headers = {"Authorization": f"Bearer {scene.tokens[role]}"}
    negotiation(scene)
    own = {"provider": PROVIDER, "buyer": BUYER}.get(role)
    for path in ("/v1/agreements", "/v1/negotiations"):
        found = scene.http.get(path, headers=headers).json()
        assert bool(found) == (own is not None)
        assert all(own in {each["provider"], each["buyer"]} for each in found)


def test_who_was_stopped_is_known_to_the_overseers_alone(scene: Scene) -> None:
    for role, secret in scene.tokens.items():
        if role == "suspended":
            continue
        found = scene.http.get("/v1/suspensions", headers={"Authorization": f"Bearer {secret}"}).json()
        assert (SUSPENDED in json.dumps(found)) == (role in {"regulator", "operator"}), role


def test_the_volume_by_buyer_is_for_the_overseers_alone(scene: Scene) -> None:
    for role, secret in scene.tokens.items():
        status = {"regulator": 200, "operator": 200, "suspended": 401}.get(role, 404)
        answer = scene.http.get("/v1/volume?by=buyer", headers={"Authorization": f"Bearer {secret}"})
        assert answer.status_code == status, role
