"""The one place that chooses adapters: settings in, exchange out."""

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy.engine import Engine, make_url

from sandbox.audit import start
from sandbox.audit.log import Log
from sandbox.audit.note import verifier_key
from sandbox.catalog import intake
from sandbox.catalog.intake import Intake
from sandbox.catalog.shelf import Shelf
from sandbox.contracts.certificates import Trust
from sandbox.core import migrate
from sandbox.core.clock import Clock, SystemClock
from sandbox.core.database import Database, open_engine
from sandbox.core.errors import Conflict, Invalid, NotFound
from sandbox.core.keys import SigningKey, new_key, read_key, write_key
from sandbox.core.terms import KeyUse, Participant, ParticipantId, Role
from sandbox.exchange import consistency
from sandbox.exchange.exchange import Exchange
from sandbox.exchange.house import CHECKPOINT_FOLDER, House
from sandbox.jail.jail import Jail
from sandbox.policy.bundle import Bundle
from sandbox.policy.decision import DecisionPoint
from sandbox.query import duckdb
from sandbox.query.duckdb import JailedEngine
from sandbox.settings import FILE, Settings

VKEY_FILE: Final = "log.vkey"
MOST_FEE_BP: Final = 10_000
EXCHANGE_KEY: Final = Path("keys/exchange.jwk")
LOG_KEY: Final = Path("keys/log.jwk")
_OF_INIT: Final = ("database_url", "database_password_file", "opa_url", "opa_token", "policies", "trust_store")
_FOLDERS: Final = ("datasets", "extracts", "keys", CHECKPOINT_FOLDER, "receipts", "spool")


def init(settings: Settings, name: str, clock: Clock | None = None) -> None:
    """Make a new exchange in ``settings.home``: folders, keys, database, the operator's admission.

    It is built beside its place and moved there last, so a crash leaves no half exchange under the name.

    Raises:
        Conflict: ``home.exists``.
        Invalid: what :func:`build` and the rooms refuse of the settings; nothing is left.
    """
    home = settings.home
    if not settings.origin.isprintable():  # it stands in lines of checkpoints, and in the settings' file
        raise Invalid("settings.invalid", "The log's name holds a control character.", hint="Choose another --origin.")
    if home.exists():
        raise Conflict(
            "home.exists",
            f"{str(home)!r} is there already.",
            hint="Choose another --home, or remove that folder yourself.",
        )
    home.parent.mkdir(parents=True, exist_ok=True)
    draft = home.with_name(f"{home.name}.part-{secrets.token_hex(4)}")
    try:
        _furnish(settings, draft, name, clock or SystemClock())
        draft.rename(home)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _furnish(settings: Settings, draft: Path, name: str, clock: Clock) -> None:
    draft.mkdir(mode=0o700)
    for folder in _FOLDERS:
        (draft / folder).mkdir(mode=0o700)
    exchange_key, log_key = new_key(settings.exchange), new_key(settings.exchange)
    write_key(exchange_key, draft / EXCHANGE_KEY)
    write_key(log_key, draft / LOG_KEY)
    (draft / VKEY_FILE).write_text(verifier_key(settings.origin, log_key.verify_key) + "\n")
    kept = {"exchange": settings.exchange, "origin": settings.origin, "fee_bp": settings.fee_bp}
    (draft / FILE).write_text("".join(f"{key} = {_toml(value)}\n" for key, value in kept.items()), "utf-8")
    place = Settings(home=draft, **{key: getattr(settings, key) for key in (*kept, *_OF_INIT)})
    engine = open_engine(database_url(place))
    migrate.upgrade(engine)
    engine.dispose()
    with build(place, clock) as exchange:
        exchange.admit(_operator(settings, name), exchange_key.verify_key)
        exchange.register_key(ParticipantId(settings.exchange), log_key.verify_key, KeyUse.LOG)


def _operator(settings: Settings, name: str) -> Participant:
    """Whoever sets an exchange up answers for its operator; all others are admitted by that operator."""
    return Participant(
        id=ParticipantId(settings.exchange),
        name=name,
        roles=frozenset({Role.OPERATOR}),
        entity_verified=True,
        eid_level=2,
        payment_account=True,
    )


def _toml(value: object) -> str:
    """A text or number as TOML writes it; a quote in a name must neither end it nor begin another setting."""
    return json.dumps(value, ensure_ascii=False)


def build(settings: Settings, clock: Clock | None = None) -> Exchange:
    """Open the exchange of a home.

    Raises:
        Unavailable: the database or the decision point does not answer, or has another revision.
        Tampered: the log in the database does not agree with itself, with what was published of it, or with the
            charter and the orders.
        Invalid: ``home.exposed`` when others may look into the home, ``settings.invalid`` for a fee above the price.
    """
    home = settings.home
    if settings.fee_bp > MOST_FEE_BP:  # it would fail each query after it ran
        raise Invalid("settings.invalid", f"fee_bp is {settings.fee_bp}, expected 0 to {MOST_FEE_BP}.")
    _require_closed(home)
    exchange_key, log_key = read_key(home / EXCHANGE_KEY), read_key(home / LOG_KEY)
    engine = open_engine(database_url(settings))
    clock = clock or SystemClock()
    database = _opened(engine, settings, log_key, clock)
    try:
        return Exchange(_house(settings, clock, database, exchange_key))
    except BaseException:
        database[0].close()
        raise


def _require_closed(home: Path) -> None:
    if home.is_dir() and home.stat().st_mode & 0o077:  # the database holds SQL, buyers and the salts of every seal
        raise Invalid("home.exposed", "Others may look into the exchange's home.", hint="Run: chmod 700 HOME.")


@dataclass(frozen=True, slots=True)
class Record:
    """The log of a home and its published files, apart from the exchange that writes it."""

    engine: Engine
    log: Log
    folder: Path


@contextmanager
def open_record(settings: Settings, clock: Clock | None = None) -> Iterator[Record]:
    """The record of a home, not held against what was published of it: to look at it, and to mend it.

    Raises:
        Unavailable, Invalid: as :func:`build`.
    """
    home = settings.home
    _require_closed(home)
    log = Log(settings.origin, read_key(home / LOG_KEY), clock)
    engine = open_engine(database_url(settings))
    try:
        migrate.require_current(engine)
        yield Record(engine, log, home / CHECKPOINT_FOLDER)
    finally:
        engine.dispose()


def _opened(engine: Engine, settings: Settings, log_key: SigningKey, clock: Clock) -> tuple[Database, Log]:
    try:
        migrate.require_current(engine)
        log = Log(settings.origin, log_key, clock)
        start.require_sound(engine, settings.home / CHECKPOINT_FOLDER, log.verifier)
        log.load(engine)
        with start.snapshot(engine) as connection:
            consistency.require_recorded(connection)
    except BaseException:
        engine.dispose()
        raise
    return Database(engine, log), log


def _house(settings: Settings, clock: Clock, opened: tuple[Database, Log], exchange_key: SigningKey) -> House:
    database, log = opened
    jail = Jail((*duckdb.MODULES, *intake.MODULES), settings.jail_memory_mb or duckdb.half_of_the_machine())
    return House(
        settings=settings,
        clock=clock,
        database=database,
        log=log,
        shelf=Shelf(settings.home / "datasets"),
        intake=Intake(jail),
        policy=_decision_point(settings),
        engine=JailedEngine(
            workers=settings.concurrent_queries,
            clock=clock,
            memory_mb=settings.jail_memory_mb,
            most_waiting=settings.waiting_queries,
            jail=jail,
            required=settings.required_layers,
        ),
        exchange_key=exchange_key,
        trust=Trust.load(settings.trust_store) if settings.trust_store else None,
    )


def database_url(settings: Settings) -> str:
    """The database's URL, with the password that stands in a file of its own (a container's secret).

    Raises:
        NotFound: ``settings.password_missing``.
    """
    if settings.database_password_file is None:
        return settings.database
    try:
        password = settings.database_password_file.read_text().strip()
    except OSError:
        raise NotFound("settings.password_missing", "The database password's file cannot be read.") from None
    return make_url(settings.database).set(password=password).render_as_string(hide_password=False)


def _decision_point(settings: Settings) -> DecisionPoint:
    bundle = Bundle.load(settings.policy_folder)
    if settings.opa_url:
        from sandbox.policy.opa import OpaServer  # noqa: PLC0415  # 0.3 s of imports, only for those who run OPA

        server = OpaServer(settings.opa_url, bundle, token=settings.opa_token or None)
        server.probe()  # another server's policies, or none, are noticed before the first question
        return server
    from sandbox.policy.embedded import Embedded  # noqa: PLC0415

    return Embedded(bundle)


def destroy(home: Path) -> None:
    """Remove a home, if and only if it is one.

    Raises:
        Conflict: ``home.foreign`` when the folder holds no exchange.
    """
    if home.exists():
        if not (home / FILE).is_file():
            raise Conflict("home.foreign", f"{str(home)!r} is not an exchange's home.", hint="Choose another --home.")
        aside = home.with_name(f"{home.name}.old-{secrets.token_hex(4)}")
        Path(home).rename(aside)
        shutil.rmtree(aside)
