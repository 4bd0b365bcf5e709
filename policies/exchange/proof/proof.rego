# What an input must look like before a rule believes it.
#
# Every test of a type stands before the comparison that needs it: values of different types are ordered in Rego
# (`9 <= "1"` is true), `every` over nothing or over a number is true, and a built-in that is handed the wrong type
# raises. A value that is missing leaves the helper undefined, so the rule that called it proves nothing.
package exchange.proof

filled(list) if {
	is_array(list)
	count(list) > 0
}

text(value) if {
	is_string(value)
	value != ""
}

texts(list) if {
	filled(list)
	every value in list {
		text(value)
	}
}

numbers(list) if {
	filled(list)
	every value in list {
		is_number(value)
	}
}

# A value is among those granted. An empty list grants nothing, and there is no wildcard.
among(value, granted) if {
	text(value)
	is_array(granted)
	value in granted
}

# Everything used is granted. Using nothing is allowed; a grant of nothing is none.
within(used, granted) if {
	is_array(used)
	texts(granted)
	every value in used {
		value in granted
	}
}
