"""A descriptor to fill in, drafted from what a Parquet file says of itself."""

from collections.abc import Callable, Sequence
from pathlib import Path

from sandbox.catalog import members, parquet, structure
from sandbox.core.canonical import Json


def fields_here(file: Path) -> tuple[parquet.Field, ...]:
    """A file's columns, read in this process.

    Raises:
        Invalid: ``parquet.*`` when the file cannot be listed.
    """
    with parquet.opened(file) as content:
        structure.require_ends(content, file.name)
        content.seek(0)
        return parquet.fields(parquet.open_parquet(content), file.name)


def drafted(dataset_id: str, file: str, columns: Callable[[], Sequence[parquet.Field]]) -> dict[str, Json]:
    """Names and types from the file; everything a person must decide is left empty, and refused until it is filled.

    Raises:
        Invalid: ``descriptor.invalid`` for the id, ``parquet.mismatch`` for a name that contracts cannot use.
    """
    name = members.dataset_id(dataset_id)
    fields = columns()
    for field in fields:
        if not members.is_name(field.name):
            sentence = f"{file}: column {field.name[:63]!r} has a name that contracts cannot use"
            hint = "Rename the column in the file."
            parquet.refuse("parquet.mismatch", f"{sentence}, expected letters, digits and underscores.", hint)
    return {
        "id": name,
        "title": {"vi": "", "en": ""},
        "description": {"vi": "", "en": ""},
        "sector": "",
        "data_class": "",
        "origin": "",
        "personal_origin": None,
        "deidentification": None,
        "privacy_unit": None,
        "min_group": None,
        "update_frequency": "",
        "columns": [_column(field) for field in fields],
        "dimensions": [],
        "sort": [],
        "seller_status": "",
        "lawful_origin": {"vi": "", "en": ""},
        "quality": {"vi": "", "en": ""},
        "flags": [""],
        "subject_count": None,
        "subject_sensitive": None,
        "assessment": {"assessor": "", "report": None},
        "derived": None,
    }


def _column(field: parquet.Field) -> Json:
    return {
        "name": field.name,
        "type": field.type,
        "sensitivity": "",
        "nullable": field.nullable,
        "meaning": {"vi": "", "en": ""},
        "unit": None,
        "exposed": True,
    }
