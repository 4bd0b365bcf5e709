"""What rests on signatures: an agreement opened, the charter and the orders looked at, an agreement admitted."""

import secrets
from collections.abc import Iterator
from datetime import datetime
from functools import partial

import sqlalchemy as sa

from sandbox.cli.parties import signed_offer
from sandbox.contracts import envelope, orders, registry
from sandbox.contracts.certificates import Trust, put_crl
from sandbox.contracts.keyring import Signers
from sandbox.core.canonical import digest
from sandbox.core.database import Transaction, metadata
from sandbox.core.keys import ES256, SigningKey, new_key
from sandbox.core.terms import KeyUse, ParticipantId, Role
from tests import authority
from tests.authority import Authority
from tests.bench.figures import FUNCTIONS, Act, Bench, Row, compared, medians
from tests.world import BUYER, OPERATOR, PROVIDER, TRIPS, World, terms

MST, CERTIFIED = "0101234567", "cong-ty-c"
FEW, MANY = 100, 10_000


def trust(bench: Bench) -> Iterator[Row]:
    """(f) An agreement verified, what each query looks at, and an agreement admitted beside few and many others."""
    yield from _verified(bench)
    yield from _looked_at(bench)
    yield from _admitted(bench)


# --- verified ---
def _verified(bench: Bench) -> Iterator[Row]:
    house, texts, root = bench.world.exchange.house, *_signed_ones(bench.world)
    key, message = bench.world.keys[BUYER], b"m" * 4_000
    signature = key.sign(message)
    with house.database.read() as connection:

        def opened(text: bytes) -> None:
            envelope.open_agreement(text, Signers(connection, house.now(), root), house.exchange_id)

        acts: dict[str, Act] = {name: partial(opened, text) for name, text in texts.items()}
        acts["bare"] = lambda: [key.verify_key.verifies(signature, message) for _ in range(3)]
        found = medians(bench, bench.sized(300, 40), acts)
    for name in texts:
        yield compared(f"agreement verified, {name}", found[name], "three Ed25519 verifications", found["bare"])


def _signed_ones(world: World) -> tuple[dict[str, bytes], Trust]:
    """The same terms under three kinds of keys, each with the exchange's own Ed25519 key, and the CA's root."""
    ca = authority.root()
    world.admit(CERTIFIED, Role.BUYER, 9, tax_code=MST)
    certified = SigningKey(f"{CERTIFIED}/token", new_key(CERTIFIED, ES256).private)
    chain, root = ca.issue(certified, MST), Trust((ca.certificate,))
    _keep(world, ca, root)
    provider, buyer = _curve_key(world, PROVIDER), _curve_key(world, BUYER)
    texts = {
        "three Ed25519 keys": _signed(world, world.keys[PROVIDER], world.keys[BUYER]),
        "two ES256 keys and one Ed25519": _signed(world, provider, buyer),
        "two Ed25519 keys and a certificate": _signed(world, world.keys[PROVIDER], certified, chain),
    }
    return texts, root


def _keep(world: World, ca: Authority, root: Trust) -> None:
    now = world.clock.now().replace(microsecond=0)  # lists know whole seconds
    world.exchange.house.database.write(lambda tx: put_crl(tx, ca.revocations(now), root, world.clock.now()))


def _curve_key(world: World, owner: str) -> SigningKey:
    key = new_key(owner, ES256)
    world.exchange.register_key(ParticipantId(owner), key.verify_key, KeyUse.CONTRACT)
    return key


def _signed(world: World, provider: SigningKey, buyer: SigningKey, chain: tuple[bytes, ...] = ()) -> bytes:
    offer = signed_offer(world.exchange, TRIPS, terms(TRIPS, scalar_functions=FUNCTIONS), provider)
    half = envelope.accept_offer(offer, buyer, secrets.token_bytes(32), world.clock.now(), chain)
    return envelope.add_signature(envelope.add_signature(half, provider), world.keys[OPERATOR])


# --- looked at by every query ---
def _looked_at(bench: Bench) -> Iterator[Row]:
    world = bench.world
    house, made = world.exchange.house, world.agreements[TRIPS, BUYER]
    with house.database.read() as connection:
        acts: dict[str, Act] = {
            "charter": lambda: house.charter(connection),
            "orders": lambda: orders.concerning(connection, [BUYER, PROVIDER], [TRIPS], [made], "qry_0"),
            "agreement": lambda: house.agreement(connection, made),
            "state": lambda: registry.agreement_state(connection, made),
        }
        found = medians(bench, bench.sized(500, 100), acts)
    for name, what in (
        ("charter", "the charter in force, looked up"),
        ("orders", "what is suspended, looked up"),
        ("agreement", "an agreement verified before, looked up"),
    ):
        yield compared(what, found[name], "one column of one row, read", found["state"])


# --- admitted ---
def _admitted(bench: Bench) -> Iterator[Row]:
    rounds = bench.sized(60, 5)
    acts = {number: _admission(bench.opened(f"beside {number}"), number, rounds + 1) for number in (FEW, MANY)}
    found = medians(bench, rounds, {str(number): act for number, act in acts.items()})
    yield compared(
        f"agreement admitted beside {MANY:,} of its dataset", found[str(MANY)], f"beside {FEW}", found[str(FEW)]
    )


def _admission(world: World, others: int, count: int) -> Act:
    """Admits the next of ``count`` agreements; ``others``, each with another buyer, are in the registry already."""
    offer = world.offered(TRIPS)
    waiting = iter([world.bought(offer) for _ in range(count)])
    world.exchange.house.database.write(lambda tx: _fill(tx, others, world.clock.now()))
    return lambda: world.exchange.agree(next(waiting))


def _fill(tx: Transaction, count: int, now: datetime) -> None:
    """Lines like the first agreement's, which none but their own buyers would open: what stands in the way is read."""
    member, agreement = metadata.tables["participant"], metadata.tables["agreement"]
    one = tx.connection.execute(sa.select(member).where(member.c.id == BUYER)).mappings().one()
    line = tx.connection.execute(sa.select(agreement).where(agreement.c.dataset == TRIPS).limit(1)).mappings().one()
    buyers = [f"ben-mua-{number}" for number in range(count)]
    tx.connection.execute(sa.insert(member), [{**one, "id": each, "tax_code": None} for each in buyers])
    rows = [{**line, "id": digest(each.encode()), "buyer": each, "signed_at": now} for each in buyers]
    tx.connection.execute(sa.insert(agreement), rows)
