"""The same query over HTTP: the server is a process of its own, as `sandbox serve` starts it."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2

from sandbox.client import sdk
from tests.bench.figures import Act, Bench, Row, compared, medians, per_second, rate
from tests.world import BUYER, PER_ROUTE, TRIPS, World

PATIENCE_SECONDS = 30
CLIENTS = (1, 4, 16)


def serve(bench: Bench) -> Iterator[Row]:
    """(b) What HTTP adds, and what several callers get."""
    world = bench.world
    with _served(_copied(world, bench.fresh("served") / "home")) as url:
        with httpx2.Client(base_url=url, trust_env=False) as http, sdk.connect(url, world.tokens[BUYER]) as remote:
            over = _asked(world, remote)
            acts: dict[str, Act] = {"http": over, "inside": world.query, "nothing": lambda: http.get("/healthz")}
            found = medians(bench, bench.sized(30, 5), acts)
        yield compared("governed query over HTTP", found["http"], "in process", found["inside"])
        yield compared("request that does nothing (/healthz)", found["nothing"], "query over HTTP", found["http"])
        for threads in CLIENTS:
            yield _throughput(bench, url, threads)


def _throughput(bench: Bench, url: str, threads: int) -> Row:
    world = bench.world
    with ExitStack() as open_:
        callers = [open_.enter_context(sdk.connect(url, world.tokens[BUYER])) for _ in range(threads)]
        mine = per_second(lambda: _asked(world, callers.pop()), threads, bench.window)
    inside = per_second(lambda: world.query, threads, bench.window)
    crowd = f"{threads} client{'s' * (threads > 1)}"
    return Row(f"queries over HTTP, {crowd}", rate(mine), f"in process, {rate(inside)}", mine / inside)


def _asked(world: World, remote: sdk.Remote) -> Act:
    agreement = world.agreements[TRIPS, BUYER]
    return lambda: remote.query(PER_ROUTE, agreements=[agreement], purpose="nghien_cuu")


def _copied(world: World, home: Path) -> Path:
    """A second exchange with the same parties, so that both can be asked in turns."""
    world.exchange.close()
    shutil.copytree(world.home, home)
    world.reopen()
    return home


@contextmanager
def _served(home: Path) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    environ = {key: value for key, value in os.environ.items() if not key.startswith("SANDBOX_")}
    words = [sys.executable, "-m", "sandbox.cli", "serve", "--home", str(home), "--port", str(port)]
    server = subprocess.Popen(words, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _await_answer(url, server)
        yield url
    finally:
        server.terminate()
        server.wait(PATIENCE_SECONDS)


def _await_answer(url: str, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            httpx2.get(f"{url}/healthz", trust_env=False)
        except httpx2.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the server did not answer")
