# What must hold before a query runs, and what the exchange must then see to.
package exchange.authz.query_run

import data.exchange.charter

# A name lost here would open something: a test holds this set against the documented one.
checks := {
	"CHARTER-04", "CHARTER-05",
	"CONT-01", "CONT-02", "CONT-03", "CONT-04", "CONT-05", "CONT-06",
	"LOG-01",
	"PART-01",
	"PAY-01",
	"QRY-01", "QRY-02", "QRY-03", "QRY-04", "QRY-05", "QRY-07", "QRY-09",
	"REG-01",
	"XBR-01",
}

query := input.resource.properties

# Always walked as the array that came in: a set built from it would silently drop a dataset that lacks a member.
datasets := query.datasets

# Several contracts, the house and the charter combine to the strictest. Read only once QRY-05 and QRY-07 have proved
# every number, so that no dataset is left out of a minimum.
obligations := {
	"min_group": max([dataset.agreement.min_group | some dataset in datasets]),
	"max_rows": min([input.context.limits.max_rows, charter.caps.per_query_rows_out, granted_rows]),
	"max_bytes": min([input.context.limits.max_bytes, charter.caps.per_query_bytes_out]),
}

granted_rows := min([dataset.agreement.max_rows | some dataset in datasets])
