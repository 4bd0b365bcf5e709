# What does it cost, is that the listed price, and do purse and caps bear it? PAY-01, CHARTER-05.
package exchange.authz.query_run

# Each with its proof: empty, and it is why the query is refused.
money := {
	# PAY-01: the price is the listed tariff, or one of the contract's free queries, and the prepaid balance covers it
	# (Decree 314/2026, art. 6).
	"PAY-01": [true |
		0 <= input.resource.properties.price_vnd
		input.resource.properties.price_vnd <= input.context.balance_vnd
		input.context.balance_vnd < ""
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			0 <= dataset.price_vnd
			dataset.price_vnd < ""
			as_listed(dataset)
		}
		input.resource.properties.price_vnd == sum([dataset.price_vnd | dataset := input.resource.properties.datasets[_]])
	],
	# CHARTER-05: the caps on one transaction and on the day of buyer, providers and exchange are kept, this query included
	# (model: FCA). Rows and bytes keep theirs by the obligations.
	"CHARTER-05": [true |
		0 <= input.resource.properties.price_vnd
		input.resource.properties.price_vnd <= input.context.charter.caps.per_transaction_vnd
		input.context.charter.caps.per_transaction_vnd < ""
		0 <= input.context.usage.buyer_day_vnd
		input.context.usage.buyer_day_vnd < ""
		input.context.usage.buyer_day_vnd + input.resource.properties.price_vnd <= input.context.charter.caps.per_buyer_day_vnd
		input.context.charter.caps.per_buyer_day_vnd < ""
		0 <= input.context.usage.buyer_day_queries
		input.context.usage.buyer_day_queries < input.context.charter.caps.per_buyer_day_queries
		input.context.charter.caps.per_buyer_day_queries < ""
		0 <= input.context.usage.exchange_day_vnd
		input.context.usage.exchange_day_vnd < ""
		input.context.usage.exchange_day_vnd + input.resource.properties.price_vnd <= input.context.charter.caps.exchange_day_vnd
		input.context.charter.caps.exchange_day_vnd < ""
		0 < input.context.charter.caps.per_query_rows_out
		input.context.charter.caps.per_query_rows_out < ""
		0 < input.context.charter.caps.per_query_bytes_out
		input.context.charter.caps.per_query_bytes_out < ""
		input.context.charter.caps.per_provider_day_vnd < ""
		input.resource.properties.datasets[0]
		every dataset in input.resource.properties.datasets {
			0 <= dataset.price_vnd
			dataset.price_vnd < ""
			0 <= input.context.usage.providers[dataset.agreement.provider]
			input.context.usage.providers[dataset.agreement.provider] < ""
		}
		every provider, earned in input.context.usage.providers {
			earned + sum([dataset.price_vnd |
				dataset := input.resource.properties.datasets[_]
				dataset.agreement.provider == provider
			]) <= input.context.charter.caps.per_provider_day_vnd
		}
	],
}

as_listed(dataset) if {
	dataset.free == false
	dataset.price_vnd == dataset.agreement.price_vnd
} else if {
	dataset.free == true
	dataset.price_vnd == 0
	0 < dataset.agreement.free_queries
	dataset.agreement.free_queries < ""
	is_number(dataset.agreement.price_vnd)
}
