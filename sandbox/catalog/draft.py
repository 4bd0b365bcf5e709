"""A descriptor to fill in, drafted from what a Parquet file says of itself."""

from pathlib import Path

from sandbox.catalog import members, parquet
from sandbox.core.canonical import Json


def draft_descriptor(parquet_file: Path, dataset_id: str) -> dict[str, Json]:
    """Names and types from the file; everything a person must decide is left empty, and refused until it is filled.

    Raises:
        Invalid: ``descriptor.invalid`` for the id, or ``parquet.*`` when the file cannot be listed.
    """
    name = members.dataset_id(dataset_id)
    with parquet.opened(parquet_file) as content:
        fields = parquet.fields(parquet.open_parquet(content), parquet_file.name)
    for field in fields:
        if not members.is_name(field.name):
            sentence = f"{parquet_file.name}: column {field.name[:63]!r} has a name that contracts cannot use"
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
