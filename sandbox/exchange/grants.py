"""What one agreement opens of one dataset version: for the jail a relation, for the policy facts."""

from dataclasses import dataclass

from sandbox.catalog.dataset import Descriptor
from sandbox.catalog.descriptor import columns_in
from sandbox.catalog.listing import DatasetVersion
from sandbox.contracts.agreement import Agreement
from sandbox.contracts.terms import Terms
from sandbox.core.canonical import Json
from sandbox.core.clock import microseconds
from sandbox.core.errors import Invalid
from sandbox.core.terms import Column, Dimension, Scope
from sandbox.query.engine import Facts, Relation


@dataclass(frozen=True, slots=True)
class Grant:
    """An agreement, the version it pins, and the relation that its buyer may query."""

    agreement: Agreement
    version: DatasetVersion
    state: str
    relation: Relation
    scope: Scope

    def as_input(self, facts: Facts) -> Json:
        """The dataset's part of a policy question, with what the query uses of it."""
        name, agreement, terms = self.relation.name, self.agreement, self.agreement.terms
        measures: list[Json] = [
            {"column": column, "functions": [function.lower() for function in measure.functions]}
            for measure in terms.measures
            for column in measure.columns
        ]
        return {
            "id": name,
            "version": self.version.digest,
            "class": self.version.descriptor.data_class,
            "columns": list(facts.columns.get(name, ())),
            "dimensions": list(facts.dimensions.get(name, ())),
            "unit": self.version.descriptor.privacy_unit,  # the dataset's own, so that no contract can drop it
            "agreement": {
                "id": agreement.id,
                "verified": True,
                "state": self.state,
                "provider": agreement.provider,
                "buyer": agreement.buyer,
                "version": agreement.version,
                "not_before_us": microseconds(agreement.not_before),
                "not_after_us": microseconds(agreement.not_after),
                "purposes": list(terms.purposes),
                "territories": list(terms.territories),
                "release": terms.release,
                "columns": [column.name for column in self.relation.columns],
                "dimensions": list(terms.dimensions),
                "measures": measures,
                "unit": terms.unit,
                "min_group": terms.min_group,
                "max_rows": terms.max_rows,
                "receivers": list(terms.receivers),
            },
        }


def _sources(expression: str, descriptor: Descriptor) -> list[str]:
    return [column.name for column in columns_in(expression, descriptor.columns)]


def granted_columns(terms: Terms, descriptor: Descriptor) -> tuple[str, ...]:
    """The source columns that terms open, in the dataset's order: listed, under a dimension, measured, and the unit.

    Raises:
        Invalid: ``contract.mismatch`` when the terms name what the dataset does not offer, or open without a unit
            what ``columns`` does not list.
    """
    offered = {dimension.name: dimension.expression for dimension in descriptor.dimensions}
    known = {column.name for column in descriptor.columns if column.exposed}
    missing = set(terms.dimensions) - offered.keys()
    named = {*terms.columns, *(name for measure in terms.measures for name in measure.columns)}
    missing |= (named | {condition.column for condition in terms.rows}) - known
    if terms.unit not in {None, descriptor.privacy_unit}:
        missing.add(str(terms.unit))
    if missing:
        raise Invalid(
            "contract.mismatch",
            f"The terms name {', '.join(sorted(missing))}, which {descriptor.id} does not offer.",
            hint="Use the columns and dimensions of its descriptor.",
        )
    opened = {*named, *(name for item in terms.dimensions for name in _sources(offered[item], descriptor))}
    if terms.unit is None and (whole := opened - {*terms.columns}):
        # nothing holds buyers to aggregates here: a measure or a month would open its column row by row
        raise Invalid(
            "contract.mismatch",
            f"Without a privacy unit the terms open {', '.join(sorted(whole))} row by row, and do not say so.",
            hint="List in columns what buyers may read, or name the privacy unit.",
        )
    opened |= {terms.unit} if terms.unit else set()
    return tuple(column.name for column in descriptor.columns if column.name in opened)


def grant_of(agreement: Agreement, version: DatasetVersion, state: str) -> Grant:
    """Join an agreement with its dataset version.

    Raises:
        Invalid: ``contract.mismatch``, see :func:`granted_columns`.
    """
    terms, descriptor = agreement.terms, version.descriptor
    names = granted_columns(terms, descriptor)
    types = {column.name: column.type for column in descriptor.columns}
    offered = {dimension.name: dimension for dimension in descriptor.dimensions}
    dimensions: tuple[Dimension, ...] = tuple(offered[name] for name in terms.dimensions)
    relation = Relation(
        name=descriptor.id,
        columns=tuple(Column(name, types[name]) for name in names),
        dimensions=dimensions,
        unit=terms.unit,
        measures=tuple(column for measure in terms.measures for column in measure.columns),
        nullable=tuple(column.name for column in descriptor.columns if column.nullable and column.name in names),
    )
    return Grant(agreement, version, state, relation, Scope(descriptor.id, version.digest, names, terms.rows))
