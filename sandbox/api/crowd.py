"""Requests that take long: so many at a time, on threads of their own, given up when their client goes away."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import Response

from sandbox.core.errors import Busy


class Crowd:
    """At most ``most`` at a time; who comes after them is told to come again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limiter: anyio.CapacityLimiter | None = None

    async def run(self, request: Request, answer: Callable[[], Response], gone: threading.Event) -> Response:
        """Answer a request whose body was read.

        Raises:
            Busy: ``engine.busy``.
        """
        if self._limiter is None:  # it belongs to the loop that first asks
            self._limiter = anyio.CapacityLimiter(self._most)
        if self._limiter.available_tokens < 1:
            raise Busy("engine.busy", "Too many queries are waiting.", hint="Send it again in 5 s.", retry_after=5)
        limiter = self._limiter

        async def answered() -> Any:
            return await anyio.to_thread.run_sync(answer, limiter=limiter)

        return await _while_it_waits(request, answered, gone)


async def _while_it_waits(request: Request, answered: Callable[[], Any], gone: threading.Event) -> Response:
    async def watch() -> None:
        with suppress(Exception):  # whatever else goes wrong with the line, the answer will tell
            while (await request.receive())["type"] != "http.disconnect":
                pass
            gone.set()

    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        try:
            response: Response = await answered()
        except Exception as error:  # not out of the group, which would wrap it
            failure = error
        group.cancel_scope.cancel()
    if failure:
        raise failure
    return response
