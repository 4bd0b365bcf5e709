# What must hold before a query runs, and what the exchange must then see to.
package exchange.authz.query_run

# Every rule of the action with its proof; what has none is why the query is refused.
rules := [
	data.exchange.authz.common.in_force,
	data.exchange.authz.common.membership,
	data.exchange.authz.common.operation,
	standing,
	contract,
	shape,
	release,
	money,
]

# Several contracts, the house and the charter combine to the strictest. Read only once QRY-05, QRY-07 and CHARTER-05
# have proved every number, so that no dataset is left out of a minimum.
obligations := {
	"min_group": max([dataset.agreement.min_group | some dataset in input.resource.properties.datasets]),
	"max_rows": min({input.context.limits.max_rows, input.context.charter.caps.per_query_rows_out} | granted_rows),
	"max_bytes": min([input.context.limits.max_bytes, input.context.charter.caps.per_query_bytes_out]),
}

granted_rows := {dataset.agreement.max_rows | some dataset in input.resource.properties.datasets}
