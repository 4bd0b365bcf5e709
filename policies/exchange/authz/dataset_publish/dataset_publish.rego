# What must hold before a dataset version is listed: who lists, and what class of data it is.
package exchange.authz.dataset_publish

import data.exchange.classification
import data.exchange.roles

rules := [data.exchange.authz.common.in_force, data.exchange.authz.common.membership, standing, sheet, origin]

# Each with its proof: empty, and it is why the dataset is not listed.
standing := {
	# CHARTER-03: the sector takes part in the pilot (Decree 314/2026, art. 8(1)).
	"CHARTER-03": [true |
		"" < input.resource.properties.sector
		input.resource.properties.sector in input.context.charter.sectors
	],
	# CHARTER-04: the class of data is one that the charter admits; core data never is (Law on Data 60/2024, art. 13(2)).
	"CHARTER-04": [true |
		"" < input.resource.properties.class
		input.resource.properties.class != "cot_loi"
		input.resource.properties.class in input.context.charter.data_classes
	],
	# CHARTER-07: supervisors offer nothing (Decree 314/2026, art. 5(2)(c)). That the offices are two, and the provider
	# none of them, is asked of every member besides.
	"CHARTER-07": [true |
		input.subject.properties.roles[0]
		every role in input.subject.properties.roles {
			role in roles.market
		}
	],
	# PART-01: a verified legal entity with eID and payment account, admitted as a provider (Decree 314/2026, art. 18).
	"PART-01": [true |
		input.subject.type == "participant"
		"provider" in input.subject.properties.roles
		input.subject.properties.entity_verified == true
		input.subject.properties.payment_account == true
		0 < input.context.charter.min_eid_level
		input.context.charter.min_eid_level <= input.subject.properties.eid_level
		input.subject.properties.eid_level < ""
	],
	# QRY-05: the privacy unit and its smallest group are declared wherever someone could be singled out
	# (disclosure control).
	"QRY-05": [true | unit_declared],
}

unit_declared if {
	input.resource.properties.unit == null
	input.resource.properties.class in classification.unit_optional
	input.resource.properties.columns[0]
	every column in input.resource.properties.columns {
		column.sensitivity in classification.sensitivities_without_unit
	}
} else if {
	column := input.resource.properties.columns[_]
	column.sensitivity == "P"
	column.name == input.resource.properties.unit
	floor := input.context.charter.privacy[classification.group_floor[input.resource.properties.class]]
	0 < floor
	floor <= input.resource.properties.min_group
	input.resource.properties.min_group < ""
}
