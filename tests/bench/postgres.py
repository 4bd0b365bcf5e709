"""A PostgreSQL of the bench's own, as durable as its packages leave it, where there are binaries to start."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def _account() -> dict[str, Any]:
    """Whom to run it as, in arguments of subprocess: it refuses to be run by root."""
    if os.geteuid() != 0:
        return {}
    found = pwd.getpwnam("nobody")
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


@contextmanager
def cluster(folder: Path) -> Iterator[str | None]:
    """The connection string of a fresh cluster in this folder; None where no server is installed."""
    if not BINARIES:
        yield None
        return
    where: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **_account()}
    for each in (folder, *folder.parents)[:2]:
        each.chmod(0o755)
    if "user" in where:
        os.chown(folder, where["user"], where["group"])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    made, binaries = folder / "cluster", BINARIES[-1].parent
    subprocess.run(
        [binaries / "initdb", "-D", made, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C"],
        check=True,
        **where,
    )
    options = ["--listen_addresses=127.0.0.1", f"--port={port}", "--unix_socket_directories="]
    server = subprocess.Popen([binaries / "postgres", "-D", made, *options], **where)
    try:
        yield _answering(f"host=127.0.0.1 port={port} user=postgres dbname=postgres")
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(made)


def _answering(conninfo: str) -> str:
    for _ in range(300):
        try:
            psycopg.connect(conninfo).close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return conninfo
    raise TimeoutError("PostgreSQL did not answer")


def url_of(conninfo: str) -> str:
    """The same as the URL of an exchange's database."""
    parts = psycopg.conninfo.conninfo_to_dict(conninfo)
    return f"postgresql+psycopg://{parts['user']}@{parts['host']}:{parts['port']}/{parts['dbname']}"
