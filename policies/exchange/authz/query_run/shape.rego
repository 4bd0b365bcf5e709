# Is the SQL of a shape that cannot single anyone out? QRY-01, 03, 04, 09.
#
# A dataset without a privacy unit holds nobody's secrets and may be read row by row. One with a unit answers only
# aggregates over groups.
package exchange.authz.query_run

import data.exchange.classification
import data.exchange.proof

# Both sides say so, and the class allows it: a class of personal origin cannot lose its unit in a contract.
without_unit(dataset) if {
	dataset.unit == null
	dataset.agreement.unit == null
	dataset.class in classification.unit_optional
}

with_unit(dataset) if {
	proof.text(dataset.unit)
	dataset.agreement.unit == dataset.unit
}

# QRY-01: one SELECT of the allowed shape (zero extraction; Decree 314/2026).
proved contains "QRY-01" if {
	input.resource.type == "query"
	query.statement == "select"
	is_array(query.functions)
	proof.filled(datasets)
	every dataset in datasets {
		shaped(dataset)
	}
}

shaped(dataset) if {
	query.shape in ["aggregate", "free"]
	without_unit(dataset)
}

# Alone: facts on aggregates name columns, not datasets, and a join could multiply a unit's rows.
shaped(dataset) if {
	query.shape == "aggregate"
	count(datasets) == 1
	with_unit(dataset)
}

# QRY-03: over a unit, only the aggregates that do not return one row's value (privacy).
proved contains "QRY-03" if {
	proof.filled(datasets)
	every dataset in datasets {
		aggregates_allowed(dataset)
	}
}

aggregates_allowed(dataset) if without_unit(dataset)

aggregates_allowed(dataset) if {
	with_unit(dataset)
	is_array(query.aggregates)
	every aggregate in query.aggregates {
		aggregate_allowed(aggregate, dataset.agreement)
	}
}

# count(*)
aggregate_allowed(aggregate, _) if {
	aggregate.function == "count"
	aggregate.column == null
	aggregate.distinct == false
}

# count(DISTINCT unit)
aggregate_allowed(aggregate, agreement) if {
	aggregate.function == "count"
	aggregate.column == agreement.unit
	aggregate.distinct == true
}

# A measure of the contract, by a function that the contract names and the class of data bears.
aggregate_allowed(aggregate, agreement) if {
	aggregate.distinct == false
	aggregate.function in classification.aggregates_over_units
	proof.text(aggregate.column)
	aggregate.column != agreement.unit
	proof.filled(agreement.measures)
	some measure in agreement.measures
	measure.column == aggregate.column
	proof.among(aggregate.function, measure.functions)
}

# QRY-04: over a unit, groups and filters stand on declared dimensions only (privacy).
proved contains "QRY-04" if {
	proof.filled(datasets)
	every dataset in datasets {
		declared(dataset)
	}
}

declared(dataset) if without_unit(dataset)

declared(dataset) if {
	with_unit(dataset)
	query.undeclared == []
}

# QRY-09: the unit column is seen inside COUNT(DISTINCT …) only (PDPL 91/2025, art. 14(6)).
proved contains "QRY-09" if {
	proof.filled(datasets)
	every dataset in datasets {
		unit_hidden(dataset)
	}
}

unit_hidden(dataset) if without_unit(dataset)

unit_hidden(dataset) if {
	with_unit(dataset)
	query.unit_exposed == false
}
