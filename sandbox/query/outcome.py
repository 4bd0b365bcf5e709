"""The outcome of a run, read from the child batch by batch while it works, and not believed before its last word."""

import io
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn, Self

import pyarrow as pa

from sandbox.core.errors import SandboxError, Unavailable
from sandbox.jail.cell import Answer, Ended
from sandbox.jail.turns import busy
from sandbox.query.answers import LONGEST_LINE, cancelled, failed, over_limit, words_of
from sandbox.query.stream import GARBLED, Stream, TooLongError

_BUFFER: Final = 1 << 16
_ROWS: Final = b'{"status": "rows"}\n'


class RunOutcome:
    """See :class:`sandbox.query.engine.Outcome`. ``done`` is told, once, whether the child may have another job."""

    def __init__(self, answer: Answer, how: Callable[[], str], max_rows: int, done: Callable[[bool], None]) -> None:
        self._answer = answer
        self._content = io.BufferedReader(answer, _BUFFER)
        self._how = how
        self._max_rows = max_rows
        self._done = done
        self._reader: Stream | None = None
        self._open = True
        self._unsent: Ended | None = None

    def asked(self, send: Callable[[], None]) -> "RunOutcome":
        """Once the child has its job; one that died before is told of where the outcome is read."""
        try:
            send()
        except Ended as failure:
            self._unsent = failure
        return self

    def began(self) -> bool:
        """Wait for its first word; false when the child died before it could say one."""
        try:
            if self._unsent is None:
                self._content.peek(1)
        except Ended as failure:
            self._unsent = failure
        return not (self._unsent and self._unsent.why == "crash")

    @property
    def schema(self) -> Any:
        """See the port."""
        return self._ready().schema

    def _ready(self) -> Stream:
        if self._unsent:
            self._broken(self._unsent)
        if self._reader is None:
            try:
                if (header := self._content.readline(LONGEST_LINE)) != _ROWS:
                    self._refuse(header)
                self._reader = Stream(self._content, self._answer.most_bytes)
            except (Ended, *GARBLED, StopIteration) as failure:
                self._broken(failure)
        return self._reader

    def batches(self) -> Iterator[Any]:
        """See the port."""
        stream, rows = self._ready(), 0
        while (batch := self._next(stream)) is not None:
            rows += batch.num_rows
            if rows > self._max_rows:
                self.close()
                raise over_limit()
            yield batch
        self._end(rows)

    def read(self) -> Any:
        """See the port."""
        return pa.Table.from_batches(list(self.batches()), self.schema)

    def close(self) -> None:
        """See the port."""
        self._close(reusable=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self, stream: Stream) -> Any:
        try:
            return stream.next_batch()
        except (Ended, *GARBLED) as failure:
            self._broken(failure)

    def _end(self, rows: int) -> None:
        try:
            trailer, rest = self._content.readline(LONGEST_LINE), self._content.read(1)
        except Ended as failure:
            self._broken(failure)
        words = words_of(trailer)
        if rest or words.get("status") != "done" or words.get("rows") != rows:
            self._refuse(trailer)
        self._close(reusable=True)

    def _refuse(self, line: bytes) -> NoReturn:
        words = words_of(line)
        self.close()
        raise over_limit() if (words.get("status"), words.get("kind")) == ("failed", "limit") else failed()

    def _broken(self, failure: BaseException) -> NoReturn:
        refusal = self._meaning(failure)
        self.close()
        raise refusal from None

    def _meaning(self, failure: BaseException) -> SandboxError:
        why = failure.why if isinstance(failure, Ended) else "malformed"
        if why == "crash":
            why = self._how() or "gone"
        if why == "gone":  # with all that were there: the zygote died
            return Unavailable("engine.unreachable", "The query engine broke off.", hint="Send the query again.")
        if isinstance(failure, TooLongError):
            why = "too_much"
        if why in {"deadline", "memory", "too_much"}:
            return over_limit()
        if why == "busy":
            return busy(1)
        return cancelled() if why == "cancelled" else failed()

    def _close(self, *, reusable: bool) -> None:
        if self._open:
            self._open = False
            self._done(reusable)
