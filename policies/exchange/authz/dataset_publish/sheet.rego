# What does the provider say of the dataset, and is it enough? LIST-05 to 08.
package exchange.authz.dataset_publish

import data.exchange.classification

# Each with its proof: empty, and it is why the dataset is not listed.
sheet := {
	# LIST-05: it says what it is, of what quality, from where and from whom, in both languages, and how often it is
	# renewed (Decree 314/2026, art. 8(2), 17).
	"LIST-05": [true |
		input.resource.type == "dataset"
		"" < input.resource.id
		input.resource.id < []
		every texts in [input.resource.properties.titles, input.resource.properties.quality, input.resource.properties.lawful_origin] {
			"vi" in texts
			"en" in texts
		}
		"" < input.resource.properties.update_frequency
		input.resource.properties.update_frequency < []
		input.resource.properties.seller_status in classification.sellers
	],
	# LIST-06: a derived product bears the law's own label, its method, its inputs and its frequency
	# (Decree 314/2026, art. 7(6), 7(7)(a)).
	"LIST-06": [true | labelled],
	# LIST-07: it was assessed, and not by its seller (Decree 314/2026, art. 7(3)(b), 7(5)).
	"LIST-07": [true |
		"" < input.resource.properties.assessment.assessor
		input.resource.properties.assessment.assessor < []
		"" < input.subject.id
		input.subject.id < []
		input.resource.properties.assessment.assessor != input.subject.id
	],
	# LIST-08: every file is the one that the provider signed for (Decree 314/2026, art. 4(5), 17).
	"LIST-08": [true |
		input.resource.properties.signed_by_provider == true
		is_array(input.resource.properties.files)
		input.resource.properties.files[0]
		every file in input.resource.properties.files {
			"" < file.declared
			file.declared < []
			file.declared == file.actual
		}
	],
}

labelled if {
	input.resource.properties.derived == null
} else if {
	input.resource.properties.derived.label == classification.derived_label
	every text in [
		input.resource.properties.derived.method,
		input.resource.properties.derived.inputs,
		input.resource.properties.derived.frequency,
	] {
		"" < text
		text < []
	}
}
