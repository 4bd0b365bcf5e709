"""Databases for the tests: a fresh SQLite file, or a fresh database in a PostgreSQL cluster that this run starts."""

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import sqlalchemy as sa

from sandbox import bootstrap
from sandbox.jail.jail import Jail
from tests.world import INDEX, World

# a busy machine, or the first run of all, is no failure
hypothesis.settings.register_profile(
    "sandbox", hypothesis.settings(), deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("sandbox")

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
_numbers = itertools.count()


def _unprivileged() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: the account that it gets then, as arguments of subprocess."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")


def _roomy_memory() -> Path | None:
    """Memory to hold the cluster, where making a database takes 20 ms, on disk 250; None where there is little."""
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**30
    return memory if roomy else None


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _await_answer(url: str, server: "subprocess.Popen[bytes]") -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    for _ in range(300):
        try:
            engine.connect().close()
        except sa.exc.OperationalError:
            assert server.poll() is None, "PostgreSQL stopped while it started"
            time.sleep(0.1)
        else:
            return
    pytest.fail("PostgreSQL did not answer in 30 s")


def _run_cluster(binaries: Path, folder: Path, account: Mapping[str, Any]) -> Iterator[str]:
    where = {"cwd": folder, **account}
    cluster = folder / "cluster"
    options = ("-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync")
    subprocess.run([binaries / "initdb", "-D", cluster, *options], check=True, **QUIET, **where)
    port = _free_port()
    # fsync=off: the tests kill clients, never the machine
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off"}
    command = [binaries / "postgres", "-D", cluster, *(f"--{name}={value}" for name, value in settings.items())]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **where)
    try:
        url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
        _await_answer(url, server)
        yield url
    finally:
        stop = [binaries / "pg_ctl", "-D", cluster, "-m", "immediate", "-w", "stop"]
        subprocess.run(stop, check=False, **QUIET, **where)
        server.kill()
        server.wait(10)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The administrator's URL of a PostgreSQL cluster of this run's own, listening on 127.0.0.1 alone."""
    if not BINARIES:
        pytest.skip("no PostgreSQL server in /usr/lib/postgresql/*/bin (Debian: apt-get install postgresql)")
    account = _unprivileged()
    # not tmp_path_factory: its folders are closed to the account, and a socket's path must be short
    folder = Path(tempfile.mkdtemp(prefix="sandbox-pg-", dir=_roomy_memory()))
    try:
        if account:
            os.chown(folder, account["user"], account["group"])
        yield from _run_cluster(BINARIES[-1].parent, folder, account)
    finally:
        shutil.rmtree(folder)


def _connected(engine: sa.Engine) -> sa.Connection:
    """A connection, soon: a server that is busy with the last test may refuse one for a moment."""
    for _ in range(100):
        try:
            return engine.connect()
        except sa.exc.OperationalError:
            time.sleep(0.1)
    return engine.connect()


def _fresh_database(postgres_url: str) -> Iterator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    admin = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with _connected(admin) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield sa.make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'exchange.db'}"
    else:
        yield from _fresh_database(request.getfixturevalue("postgres_url"))


class _Kept(Jail):
    """A jail that outlives the exchanges that use it: starting a zygote takes ten times as long as a query."""

    def close(self) -> None:
        """Stay: the next test forks from it."""

    def end(self) -> None:
        """End it after all."""
        super().close()


@pytest.fixture(scope="session", autouse=True)
def _kept_jails() -> Iterator[None]:
    """Exchanges of one test run share a zygote; each child is forked anew, for one exchange, and ends with it."""
    made: dict[tuple[tuple[str, ...], int], _Kept] = {}

    def kept(modules: tuple[str, ...], memory_mb: int) -> _Kept:
        return made.setdefault((modules, memory_mb), _Kept(modules, memory_mb))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "Jail", kept)
        patch.setattr("sandbox.query.checker._SPARES", 1)  # most tests ask a query or two
        yield
    for jail in made.values():
        jail.end()


@pytest.fixture
def own_jail(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that look at a zygote's end: each exchange has its own, as outside of tests."""
    monkeypatch.setattr(bootstrap, "Jail", Jail)


@pytest.fixture(scope="session")
def bare_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A closed exchange with its participants, to be copied by tests."""
    world = World(tmp_path_factory.mktemp("bare"))
    world.exchange.close()
    return world


@pytest.fixture(scope="session")
def ready_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A closed exchange with datasets and agreements too, to be copied by tests."""
    world = World(tmp_path_factory.mktemp("ready")).ready()
    world.exchange.close()
    asked = world.copy_to(tmp_path_factory.mktemp("asked"))  # so that its extracts need not be made by each test
    asked.query()
    asked.query("SELECT noi FROM chi_so", dataset=INDEX)
    asked.exchange.close()
    shutil.copytree(asked.home / "extracts", world.home / "extracts", dirs_exist_ok=True)
    return world
