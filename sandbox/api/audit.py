"""The record over HTTP: searching its entries, and reading one with what its seals stand for."""

from typing import Any, Final

import msgspec
from starlette.responses import Response

from sandbox.api.operations import Asked, answered
from sandbox.core.errors import Invalid, NotFound
from sandbox.exchange import desk
from sandbox.exchange.wanted import FILTERS, wanted

PARAMETERS: Final = (*FILTERS, "order", "reveal", "limit", "cursor")
_ORDERS: Final = ("newest", "oldest")
_YES: Final = ("true", "false")


class CheckpointView(msgspec.Struct):
    """A checkpoint by its size, and when it was signed."""

    size: int
    at: str | None


class CompleteView(msgspec.Struct):
    """Up to where an answer is complete: the first ``entries``, whose root the checkpoint of that size signed."""

    entries: int
    root: str
    checkpoint: CheckpointView
    witnessed: int | None


class EntryView(msgspec.Struct, omit_defaults=True):
    """An entry at its place; with ``reveal``, salt and value behind its seals, as far as the caller may know them."""

    index: int
    entry: dict[str, Any]
    reveal: dict[str, Any] | None = None


class EntriesView(msgspec.Struct):
    """A page of entries; ``next`` is the cursor of the one that follows, null at the end."""

    entries: list[EntryView]
    next: str | None
    complete_to: CompleteView


class ShownView(msgspec.Struct):
    """An entry with its sealed values, those erased on the record, those missing, and the first checkpoint over it."""

    index: int
    entry: dict[str, Any]
    reveal: dict[str, Any]
    erased: list[str]
    missing: list[str]
    checkpoint: CheckpointView
    witnessed: int | None


def list_entries(asked: Asked) -> Response:
    """Search the record: for regulator and operator all of it, for others the entries that they are part of."""
    said = dict(asked.query)
    order, reveal = said.pop("order", "newest"), said.pop("reveal", "false")
    limit, cursor = said.pop("limit", "100"), said.pop("cursor", None)
    _one_of("order", order, _ORDERS)
    _one_of("reveal", reveal, _YES)
    if not (limit.isascii() and limit.isdigit() and len(limit) <= len("1000")):
        _refuse(f"limit is {limit[:40]!r}, expected a number.")
    searched = wanted(said, oldest_first=order == "oldest", limit=int(limit), cursor=cursor)
    page = asked.exchange.audit_entries(asked.identity.participant, searched, reveal=reveal == "true")
    return answered(desk.page_document(page))


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        _refuse(f"{name} is {value[:40]!r}, expected {' or '.join(choices)}.")


def _refuse(what: str) -> None:
    raise Invalid("audit.filter", what, hint="Parameters: " + ", ".join(PARAMETERS) + ".")


def get_entry(asked: Asked) -> Response:
    """One entry, by its id or its place in the log, with what its seals stand for."""
    name = asked.path["id"]
    found = asked.exchange.audit_entry(asked.identity.participant, name)
    shown = [each for each in found if name in {each.seen.entry["id"], str(each.seen.index)}]
    if not shown:
        raise NotFound("entry.unknown", f"No entry {name[:40]!r}.", hint="Search by query=ID for those of a query.")
    return answered(desk.shown_document(shown[0]))
