"""Where a published log is read: a folder that was copied, or the address that serves it.

Nothing here is believed: a source only says which bytes stand under a path, and refuses more of them than can stand
there. What they are worth, :mod:`sandbox.audit.replay` decides.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Protocol, Self

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
    if isinstance(where, str) and where.startswith(("http://", "https://")):
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


class Folder:
    """A log that was exported or copied to a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: str) -> bytes | None:
        """See :class:`Source`."""
        most = most_bytes(path)
        try:
            with (self._folder / path).open("rb") as file:
                # one byte more than it says: it may be written to, or be no plain file
                content = file.read(min(os.fstat(file.fileno()).st_size, most) + 1)
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
        transport: "httpx2.BaseTransport | None" = None,
        sleep: Callable[[float], object] = time.sleep,
        seconds: float = _SECONDS_PER_FILE,
    ) -> None:
        """Nothing is asked of the address yet.

        Args:
            url: where the log is served, such as ``https://san.example.vn/log``.
            transport: something else than a network, for tests.
            sleep: waits between tries.
            seconds: a file that takes longer is given up.

        Raises:
            Invalid: ``verify.address``.
        """
        import httpx2  # noqa: PLC0415

        self._base, self._sleep, self._seconds = url.rstrip("/"), sleep, seconds
        try:
            at = httpx2.URL(self._base)
        except httpx2.InvalidURL:
            at = httpx2.URL("")
        if not at.host or at.query or at.fragment or at.userinfo:
            raise Invalid("verify.address", "This is not the address of a log.", hint="Give https://HOST/log.")
        self._http = httpx2.Client(
            headers={"Accept-Encoding": "identity"},
            timeout=_SECONDS_BETWEEN_BYTES,
            transport=transport,
            trust_env=False,
            follow_redirects=False,
        )
        self._threads = ThreadPoolExecutor(_AHEAD, "log-reader")

    def read(self, path: str) -> bytes | None:
        """See :class:`Source`."""
        for pause in (*_PAUSES, None):
            content, why = self._fetched(path)
            if not why:
                return content
            if pause is None:
                break
            self._sleep(pause)
        raise Unavailable(
            "verify.unreachable", f"{path} could not be fetched: {why}.", hint="Check the address and try again later."
        )

    def read_all(self, paths: Iterable[str]) -> Iterator[bytes | None]:
        """See :class:`Source`."""
        under_way: deque[Future[bytes | None]] = deque()
        try:
            for path in paths:
                under_way.append(self._threads.submit(self.read, path))
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
        self._threads.shutdown(cancel_futures=True)
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fetched(self, path: str) -> tuple[bytes | None, str]:
        """The file, or why trying again may help."""
        import httpx2  # noqa: PLC0415

        try:
            with self._http.stream("GET", f"{self._base}/{path}") as answer:
                if answer.status_code in _GONE:
                    return None, ""
                if answer.status_code in _TRY_AGAIN:
                    return None, f"the address answered {answer.status_code}"
                self._require_plain(path, answer)
                return self._body(path, answer)
        except httpx2.TimeoutException:
            return None, "the address does not answer in time"
        except httpx2.HTTPError:
            return None, "the address does not answer"

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

    def _body(self, path: str, answer: "httpx2.Response") -> tuple[bytes | None, str]:
        most, end = most_bytes(path), time.monotonic() + self._seconds
        parts, size = [], 0
        for part in answer.iter_raw():
            parts.append(part)
            size += len(part)
            if size > most:
                _too_long(path)
            if time.monotonic() > end:
                return None, "the address does not answer in time"
        return b"".join(parts), ""
