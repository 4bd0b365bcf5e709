"""How a descriptor's JSON becomes a :class:`Descriptor`."""

import re
from typing import Final

from sandbox.catalog import claims
from sandbox.catalog import members as read
from sandbox.catalog.descriptor import (
    CLAIMS,
    DATA_CLASSES,
    FREQUENCIES,
    MOST_COLUMNS,
    MOST_DIGITS,
    ORIGINS,
    SENSITIVITIES,
    TYPES,
    ColumnSpec,
    Descriptor,
    columns_in,
    quoted,
    with_own_dimensions,
)
from sandbox.core.canonical import Json, parse
from sandbox.core.errors import Invalid
from sandbox.core.terms import Dimension

MOST_BYTES: Final = 1 << 20
MOST_SORT: Final = 8
LARGEST_GROUP: Final = 100_000
_DECIMAL: Final = re.compile(r"DECIMAL\(([1-9]\d?),(0|[1-9]\d?)\)", re.ASCII)


def read_descriptor(content: bytes) -> Descriptor:
    """Read ``descriptor.json``.

    Raises:
        Invalid: ``descriptor.invalid``, with a sentence that names the member.
    """
    if len(content) > MOST_BYTES:
        read.refuse(f"The descriptor has {len(content)} bytes, expected at most {MOST_BYTES}.")
    try:
        document = parse(content)
    except Invalid as error:
        read.refuse(f"The descriptor is malformed: {error.message} {error.hint}")
    return _descriptor(document)


def _descriptor(document: dict[str, Json]) -> Descriptor:
    given = read.object_of(document, "The descriptor", Descriptor.__slots__, optional=("sort", *CLAIMS))
    method = given["deidentification"]
    columns = _columns(given["columns"])
    unit = _unit(given["privacy_unit"], columns)
    return Descriptor(
        id=read.dataset_id(given["id"]),
        title=read.words(given["title"], "title", 200),
        description=read.words(given["description"], "description", 2_000),
        sector=read.slug(given["sector"], "sector", "giao_thong"),
        data_class=read.choice(given["data_class"], "data_class", DATA_CLASSES),
        origin=read.choice(given["origin"], "origin", ORIGINS),
        personal_origin=read.flag(given["personal_origin"], "personal_origin"),
        deidentification=None if method is None else read.slug(method, "deidentification", "du_lieu_tong_hop"),
        privacy_unit=unit,
        min_group=_min_group(given["min_group"], unit),
        update_frequency=read.choice(given["update_frequency"], "update_frequency", FREQUENCIES),
        columns=columns,
        dimensions=_dimensions(given["dimensions"], columns),
        sort=_sort(given.get("sort", []), columns),
        flags=claims.flags(given.get("flags")),
        subject_count=claims.subject_count(given.get("subject_count")),
        subject_sensitive=claims.subject_sensitive(given.get("subject_sensitive")),
        assessment=claims.assessment(given.get("assessment")),
        derived=claims.derived(given.get("derived")),
        quality=claims.both_words(given.get("quality"), "quality"),
        lawful_origin=claims.both_words(given.get("lawful_origin"), "lawful_origin"),
        seller_status=claims.seller_status(given.get("seller_status")),
    )


def _columns(value: Json) -> tuple[ColumnSpec, ...]:
    items = read.list_of(value, "columns", MOST_COLUMNS)
    columns = tuple(_column(item, f"columns[{index}]") for index, item in enumerate(items))
    if not columns:
        read.refuse("columns is empty, expected at least one column.")
    seen: set[str] = set()
    for column in columns:
        if column.name.casefold() in seen:  # DuckDB takes Tinh and tinh for one column
            read.refuse(f"columns names {column.name!r} twice (upper and lower case count as one).")
        seen.add(column.name.casefold())
    return columns


def _column(value: Json, where: str) -> ColumnSpec:
    given = read.object_of(value, where, ColumnSpec.__slots__, optional=("unit", "exposed"))
    unit = given.get("unit")
    return ColumnSpec(
        name=read.name(given["name"], f"{where}.name"),
        type=_type(given["type"], f"{where}.type"),
        sensitivity=read.choice(given["sensitivity"], f"{where}.sensitivity", SENSITIVITIES),
        nullable=read.flag(given["nullable"], f"{where}.nullable"),
        meaning=read.words(given["meaning"], f"{where}.meaning", 500),
        unit=None if unit is None else read.text(unit, f"{where}.unit", 40),
        exposed=read.flag(given.get("exposed", True), f"{where}.exposed"),
    )


def _type(value: Json, where: str) -> str:
    decimal = _DECIMAL.fullmatch(value) if isinstance(value, str) else None
    if decimal is not None and int(decimal[2]) <= int(decimal[1]) <= MOST_DIGITS:
        return decimal[0]
    if not isinstance(value, str) or value not in TYPES:
        read.expect(where, value, f"one of {', '.join(TYPES)}, or DECIMAL(p,s) with at most {MOST_DIGITS} digits")
    return value


def _unit(value: Json, columns: tuple[ColumnSpec, ...]) -> str | None:
    if value is None:
        return None
    fit = [column.name for column in columns if column.sensitivity == "P" and column.exposed and not column.nullable]
    if not isinstance(value, str) or value not in fit:  # the rows of no unit would slip past the count of units
        read.expect("privacy_unit", value, "null, or a column of sensitivity P that is exposed and not nullable")
    return value


def _min_group(value: Json, unit: str | None) -> int | None:
    if unit is not None:
        return read.whole(value, "min_group", 2, LARGEST_GROUP)
    if value is not None:
        read.expect("min_group", value, "null, because there is no privacy_unit")
    return None


def _sort(value: Json, columns: tuple[ColumnSpec, ...]) -> tuple[str, ...]:
    open_ = [column.name for column in columns if column.exposed]  # an order tells of the column that made it
    names = [name for name in read.list_of(value, "sort", MOST_SORT) if isinstance(name, str) and name in open_]
    if names != value or len({*names}) != len(names):
        read.expect("sort", value, f"at most {MOST_SORT} names of exposed columns, each once")
    return tuple(names)


def _dimensions(value: Json, columns: tuple[ColumnSpec, ...]) -> tuple[Dimension, ...]:
    items = read.list_of(value, "dimensions", MOST_COLUMNS)
    declared = tuple(_dimension(item, f"dimensions[{index}]", columns) for index, item in enumerate(items))
    names = [dimension.name.casefold() for dimension in declared]
    if len(set(names)) != len(names):
        read.refuse("dimensions uses one name twice (upper and lower case count as one).")
    return with_own_dimensions(declared, columns)


def _dimension(value: Json, where: str, columns: tuple[ColumnSpec, ...]) -> Dimension:
    given = read.object_of(value, where, Dimension.__slots__)
    name = read.name(given["name"], f"{where}.name")
    expression = read.text(given["expression"], f"{where}.expression", 500)
    if any(mark in expression for mark in (";", "--", "/*", "\n")):
        read.expect(f"{where}.expression", expression, "one SQL expression without comments")
    used = columns_in(expression, columns)
    if not used:
        read.expect(f"{where}.expression", expression, "an expression over a column of this dataset")
    for column in used:  # grouping by a key or by a measure would show single rows
        if column.sensitivity not in {"Q", "S", "O"} or not column.exposed:
            read.refuse(
                f"{where}.expression uses {column.name}, expected only exposed columns of sensitivity Q, S or O."
            )
    if name.casefold() in {column.name.casefold() for column in columns} and expression not in {name, quoted(name)}:
        read.refuse(f"{where}.name is {name!r}, the name of a column; expected a new name for an expression.")
    return Dimension(name, expression)
