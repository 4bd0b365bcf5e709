"""What one agreement opens of one dataset version: for the jail a relation, for the policy facts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sandbox.catalog.dataset import Descriptor
from sandbox.catalog.descriptor import columns_in, describe
from sandbox.catalog.listing import DatasetVersion
from sandbox.contracts import drafting
from sandbox.contracts.agreement import Agreement
from sandbox.contracts.statement import Statement, read_statement
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

    def as_input(self, facts: Facts, calls: Sequence[str]) -> dict[str, Json]:
        """The dataset's part of a policy question, with what the query uses of it; ``calls`` are its functions."""
        descriptor = self.version.descriptor
        used = Used.of(self, facts)
        return {
            "id": self.relation.name,
            "version": self.version.digest,
            # whoever makes a grant of a later version has looked that it keeps its face, see below
            "version_kept": self.agreement.terms.follows or self.version.digest == self.agreement.version,
            "manifest_verified": True,  # a DatasetVersion is only read so
            "class": descriptor.data_class,
            "sector": descriptor.sector,
            "personal_origin": descriptor.personal_origin,
            "deidentification": descriptor.deidentification,
            "unit": descriptor.privacy_unit,  # the dataset's own, so that no contract can drop it
            "columns": [*used.columns],
            "dimensions": list(facts.dimensions.get(self.relation.name, ())),
            "outputs": [*used.outputs],
            "literals": [*used.literals],
            "matched": [*used.matched],
            "agreement": self._agreed(calls),
        }

    def _agreed(self, calls: Sequence[str]) -> dict[str, Json]:
        made, terms = self.agreement, self.agreement.terms
        return {
            "id": made.id,
            "verified": True,  # an Agreement exists only so
            "signed_by": [each.participant for each in made.signatures],
            "state": self.state,
            "provider": made.provider,
            "buyer": made.buyer,
            "version": made.version,
            "follows": terms.follows,
            "not_before_us": microseconds(made.not_before),
            "not_after_us": microseconds(made.not_after),
            "purposes": list(terms.purposes),
            "territories": list(terms.territories),
            "receivers": list(terms.receivers),
            "release": terms.release,
            "unit": terms.unit,
            "min_group": terms.min_group,
            "max_rows": terms.max_rows,
            "price_vnd": int(terms.price),
            "free_queries": terms.free_queries,
            "templates": list(terms.templates),
            "dp": _budgets(terms),
            **self._opened(calls),
        }

    def _opened(self, calls: Sequence[str]) -> dict[str, Json]:
        terms = self.agreement.terms
        measures: list[Json] = [
            [function.lower(), column]
            for measure in terms.measures
            for column in measure.columns
            for function in measure.functions
        ]
        shown = {*terms.columns, *(column for measure in terms.measures for column in measure.columns)}
        return {
            "columns": [column.name for column in self.relation.columns],
            "dimensions": list(terms.dimensions),
            "measures": measures,
            # of several hundred functions, those that the question is about
            "scalar_functions": [name for name in calls if name in terms.scalar_functions],
            "any_expression": terms.any_expression,
            "literals": [*self._sourced(terms.literal_columns)],
            "matched": [*sorted({*self._sourced(terms.compared_columns), *terms.join_columns})],
            "join_condition": terms.join_condition,
            "join_columns": list(terms.join_columns),
            # what opens only to be joined on is not to be read
            "hidden": [*sorted({*terms.hidden_columns, *(set(terms.join_columns) - shown)})],
        }

    def _sourced(self, names: Iterable[str]) -> list[str]:
        """Columns and dimensions, these by the columns that their expressions name: so the facts name them."""
        offered = {each.name: each.expression for each in self.relation.dimensions}
        found: dict[str, None] = {}
        for name in names:
            sources = _sources(offered[name], self.version.descriptor) if name in offered else [name]
            found |= dict.fromkeys(sources)
        return list(found)


@dataclass(frozen=True, slots=True)
class Used:
    """The columns of one relation in the parts that they have in a query."""

    columns: tuple[str, ...]
    outputs: tuple[str, ...]
    literals: tuple[str, ...]
    matched: tuple[str, ...]

    @classmethod
    def of(cls, grant: Grant, facts: Facts) -> "Used":
        """As the facts tell; a name that is no column of any relation may stand for any that the query touches."""
        name = grant.relation.name
        touched = facts.columns.get(name, ())
        known = {column.lower() for columns in facts.columns.values() for column in columns}
        compared = {column for each in facts.compared for column in each.columns}
        sources = {source for column in facts.lineage for source in column}
        return cls(
            columns=touched,
            outputs=tuple(column for column in touched if f"{name}.{column}" in sources),
            literals=tuple(column for column in touched if column.lower() in compared or not compared <= known),
            matched=tuple(column for column in touched if column.lower() in facts.matched),
        )


def _budgets(terms: Terms) -> Json:
    if terms.dp is None:
        return None
    return {"nano_rho_query": terms.dp.nano_rho_query, "nano_rho_total": terms.dp.nano_rho_total}


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
    missing |= (named | {*terms.join_columns} | {condition.column for condition in terms.rows}) - known
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
    opened |= {*terms.join_columns} | ({terms.unit} if terms.unit else set())
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


def statement_document(descriptor: Descriptor) -> dict[str, Json]:
    """What an offer of this dataset states of it, as JSON."""
    return drafting.statement_of(describe(descriptor))


def statement_of(descriptor: Descriptor) -> Statement:
    """What an offer of this dataset states of it."""
    return read_statement(statement_document(descriptor))


def keeps_its_face(pinned: DatasetVersion, version: DatasetVersion) -> bool:
    """Whether a version shows buyers what the agreed one showed: provider, columns, dimensions, class, protection.

    What an agreement that follows its dataset was signed for is this face, not the rows behind it.
    """
    return pinned.provider == version.provider and _face(pinned.descriptor) == _face(version.descriptor)


def _face(descriptor: Descriptor) -> tuple[object, ...]:
    columns = tuple(
        (each.name, each.type, each.sensitivity, each.nullable, each.exposed) for each in descriptor.columns
    )
    protection = (descriptor.data_class, descriptor.sector, descriptor.personal_origin, descriptor.privacy_unit)
    return (columns, descriptor.dimensions, protection, descriptor.min_group)
