"""Where a published log is read: a folder that was copied, or the address that serves it.

Nothing here is believed: a source only says which bytes stand under a path, and refuses more of them than can stand
there. What they are worth, :mod:`sandbox.audit.replay` decides.
"""

import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Protocol, Self

from anyio import fail_after, to_thread
from anyio.from_thread import start_blocking_portal

from sandbox.audit.layout import CHECKPOINT, LARGEST_LEAF, WIDTH
from sandbox.audit.merkle import HASH_BYTES
from sandbox.core.errors import Invalid, Tampered, Unavailable

if TYPE_CHECKING:  # whoever reads a folder does not wait for it
    import httpx2

LARGEST_CHECKPOINT: Final = 1_000_000
LARGEST_TILE: Final = WIDTH * HASH_BYTES
LARGEST_BUNDLE: Final = WIDTH * (2 + LARGEST_LEAF)
_AHEAD: Final = 8
_PAUSES: Final = (0.25, 1.0, 4.0)
_SECONDS_BETWEEN_BYTES: Final = 10.0
_SECONDS_PER_FILE: Final = 300.0
_TRY_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_GONE: Final = frozenset({404, 410})
_OK: Final = 200
_COPY: Final = "Copy the log again, its files alone."


class Source(Protocol):
    """The files of a published log by their path, such as ``tile/0/000``. Close it, or use it as a context manager."""

    def read(self, path: str) -> bytes | None:
        """The bytes of a file; None where there is no such file.

        Raises:
            Tampered: ``verify.mismatch`` when it is longer than a file of its kind can be.
            Unavailable: ``verify.unreachable``.
        """

    def read_all(self, paths: Iterable[str]) -> Iterator[bytes | None]:
        """The same for many, in their order, some of them fetched ahead."""

    def names(self, folder: str) -> frozenset[str]:
        """The names that are known to stand in a folder: none where the source cannot list it."""

    def close(self) -> None:
        """Let go of the source."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def open_source(where: Path | str) -> "Folder | Http":
    """The log in a folder, or at an address that begins with ``http://`` or ``https://``.

    Raises:
        Invalid: ``verify.address`` for an address that is none.
    """
    if isinstance(where, str) and "://" in where:
        return Http(where)
    return Folder(Path(where))


def most_bytes(path: str) -> int:
    """How long the file under a path can be."""
    if path == CHECKPOINT:
        return LARGEST_CHECKPOINT
    return LARGEST_BUNDLE if path.startswith("tile/entries/") else LARGEST_TILE


def _too_long(path: str) -> NoReturn:
    raise Tampered(
        "verify.mismatch", f"{path} is longer than {most_bytes(path)} bytes.", hint="Fetch the log from its operator."
    )


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


class Folder:
    """A log that was exported or copied to a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: str) -> bytes | None:
        """See :class:`Source`."""
        most = most_bytes(path)
        try:
            # whoever made the folder may have put a pipe there, which nobody would ever write to
            with open(self._folder / path, "rb", opener=_at_once) as file:
                said = os.fstat(file.fileno())
                if not stat.S_ISREG(said.st_mode):
                    raise Unavailable("verify.unreachable", f"{path} is no plain file.", hint=_COPY)
                content = file.read(min(said.st_size, most) + 1)  # one byte more: it may grow meanwhile
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise Unavailable("verify.unreachable", f"{path} cannot be read: {error.strerror}.") from None
        return content if len(content) <= most else _too_long(path)

    def read_all(self, paths: Iterable[str]) -> Iterator[bytes | None]:
        """See :class:`Source`."""
        return map(self.read, paths)

    def names(self, folder: str) -> frozenset[str]:
        """See :class:`Source`."""
        with suppress(OSError):
            return frozenset(each.name for each in (self._folder / folder).iterdir())
        return frozenset()

    def close(self) -> None:
        """There is nothing to let go of."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Http:
    """A log that is served over HTTP, under the address that ``checkpoint`` is appended to.

    The server is not trusted: it may neither lead elsewhere, nor pack its answers, nor drip them for ever.
    """

    def __init__(
        self,
        url: str,
        transport: "httpx2.AsyncBaseTransport | None" = None,
        sleep: Callable[[float], object] = time.sleep,
        seconds: float = _SECONDS_PER_FILE,
    ) -> None:
        """Nothing is asked of the address yet.

        Args:
            url: where the log is served, such as ``https://san.example.vn/log``.
            transport: something else than a network, for tests.
            sleep: waits between tries.
            seconds: a file that takes longer, head and body together, is given up.

        Raises:
            Invalid: ``verify.address``.
        """
        import httpx2  # noqa: PLC0415

        self._base, self._sleep, self._seconds = url.rstrip("/"), sleep, seconds
        try:
            at = httpx2.URL(self._base)
        except httpx2.InvalidURL:
            at = httpx2.URL("")
        if at.scheme not in {"http", "https"} or not at.host or at.query or at.fragment or at.userinfo:
            raise Invalid("verify.address", "This is not the address of a log.", hint="Give https://HOST/log.")
        self._http = httpx2.AsyncClient(
            headers={"Accept-Encoding": "identity"},
            timeout=_SECONDS_BETWEEN_BYTES,
            transport=transport,
            trust_env=False,
            follow_redirects=False,
        )
        self._loop = start_blocking_portal()  # only what waits in a loop can be given up wherever it stands
        self._portal = self._loop.__enter__()

    def read(self, path: str) -> bytes | None:
        """See :class:`Source`."""
        return self._portal.call(self._read, path)

    async def _read(self, path: str) -> bytes | None:
        for pause in (*_PAUSES, None):
            content, why = await self._fetched(path)
            if not why:
                return content
            if pause is None:
                break
            await to_thread.run_sync(self._sleep, pause)
        raise Unavailable(
            "verify.unreachable", f"{path} could not be fetched: {why}.", hint="Check the address and try again later."
        )

    def read_all(self, paths: Iterable[str]) -> Iterator[bytes | None]:
        """See :class:`Source`."""
        under_way: deque[Future[bytes | None]] = deque()
        try:
            for path in paths:
                under_way.append(self._portal.start_task_soon(self._read, path))
                if len(under_way) >= _AHEAD:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()

    def names(self, folder: str) -> frozenset[str]:
        """A server does not list its folders."""
        return frozenset()

    def close(self) -> None:
        """Let go of the connections."""
        self._portal.call(self._http.aclose)
        self._portal.call(self._portal.stop, True)  # what is under way is given up
        self._loop.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _fetched(self, path: str) -> tuple[bytes | None, str]:
        """The file, or why trying again may help."""
        import httpx2  # noqa: PLC0415

        try:
            # from the first byte on: a head that drips, or is announced for ever, would never end else
            with fail_after(self._seconds):
                return await self._answered(path)
        except (TimeoutError, httpx2.TimeoutException):
            return None, "the address does not answer in time"
        except httpx2.HTTPError:
            return None, "the address does not answer"

    async def _answered(self, path: str) -> tuple[bytes | None, str]:
        async with self._http.stream("GET", f"{self._base}/{path}") as answer:
            if answer.status_code in _GONE:
                return None, ""
            if answer.status_code in _TRY_AGAIN:
                return None, f"the address answered {answer.status_code}"
            self._require_plain(path, answer)
            return await _body(path, answer), ""

    @staticmethod
    def _require_plain(path: str, answer: "httpx2.Response") -> None:
        packed = answer.headers.get("Content-Encoding", "identity") != "identity"
        if answer.status_code == _OK and not packed:
            return
        what = "packed bytes" if packed else str(answer.status_code)
        if answer.is_redirect:  # it would decide by itself whose log is read
            what = "a redirect"
        raise Unavailable(
            "verify.unreachable",
            f"{path} could not be fetched: the address answered {what}.",
            hint="Give the address at which the log itself is served.",
        )


async def _body(path: str, answer: "httpx2.Response") -> bytes:
    most, content = most_bytes(path), bytearray()
    async for part in answer.aiter_raw():
        content += part
        if len(content) > most:
            _too_long(path)
    return bytes(content)


class Steady:
    """Another source, whose checkpoint is read once: all that is held against it is held against one history."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._checkpoint = lru_cache(maxsize=1)(source.read)

    def read(self, path: str) -> bytes | None:
        """See :class:`Source`."""
        return self._checkpoint(path) if path == CHECKPOINT else self._source.read(path)

    def read_all(self, paths: Iterable[str]) -> Iterator[bytes | None]:
        """See :class:`Source`."""
        return self._source.read_all(paths)

    def names(self, folder: str) -> frozenset[str]:
        """See :class:`Source`."""
        return self._source.names(folder)

    def close(self) -> None:
        """See :class:`Source`."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
