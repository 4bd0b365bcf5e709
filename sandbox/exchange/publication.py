"""The record as others get to see it: exported, witnessed, looked through; and what stops the exchange when it is not.

When database and published files contradict each other, or charter or orders are not those on record, trading stops
until someone has looked: a result that is sold meanwhile would stand in a log that nobody can be shown any more.
Reading goes on, so that one can look. A disk that does not take the files is none of that: it is late, and catches up.
"""

from collections.abc import Callable
from typing import TypeVar

from sandbox.core.errors import Tampered, Unavailable
from sandbox.exchange import report
from sandbox.exchange.consistency import Survey
from sandbox.exchange.house import House
from sandbox.exchange.witnessing import ask_witnesses

_T = TypeVar("_T")


class Publication:
    """The chores of publishing, for any thread; it remembers what it found wrong until the exchange is started anew."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._survey = Survey()
        self._found: Tampered | None = None

    def export(self) -> int:
        """See :func:`sandbox.exchange.report.export_log`."""
        return self._watched(lambda: report.export_log(self._house))

    def ask_witnesses(self) -> int:
        """See :func:`sandbox.exchange.witnessing.ask_witnesses`."""
        return self._watched(lambda: ask_witnesses(self._house))

    def survey(self) -> None:
        """Look through a further part of the log for charters and orders that are gone, until all of it was seen.

        Raises:
            Tampered: ``tampered.charter``, ``tampered.order``.
        """
        if self._survey.left != 0:
            with self._house.database.read() as connection:
                self._watched(lambda: self._survey.go_on(connection))

    def require_sound(self) -> None:
        """Refuse to trade once something was found wrong.

        Raises:
            Unavailable: ``log.unpublishable``.
        """
        if self._found is not None:
            raise Unavailable(
                "log.unpublishable",
                f"The record contradicts itself ({self._found.code}); nothing is traded until that is cleared up.",
                hint="Stop the exchange and run: sandbox log status --home HOME",
            )

    def _watched(self, chore: Callable[[], _T]) -> _T:
        try:
            return chore()
        except Tampered as error:
            self._found = error
            raise
