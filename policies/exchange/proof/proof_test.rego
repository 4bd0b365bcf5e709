package exchange.proof_test

import data.exchange.proof

# Changes to a question, for json.patch.
set(path, value) := {"op": "replace", "path": path, "value": value}

gone(path) := {"op": "remove", "path": path}

test_filled_is_an_array_with_something if proof.filled([null])

test_filled_is_nothing_else if {
	every value in [[], {}, {"a": 1}, "text", 5, null, true] {
		not proof.filled(value)
	}
}

test_text_is_some_characters if proof.text("a")

test_text_is_nothing_else if {
	every value in ["", [], ["a"], {}, 5, null, true] {
		not proof.text(value)
	}
}

test_texts_are_texts_only if proof.texts(["a", "b"])

test_texts_are_nothing_else if {
	every value in [[], [""], ["a", 5], ["a", null], "a", {"a": "b"}] {
		not proof.texts(value)
	}
}

test_numbers_are_numbers_only if proof.numbers([0, 9007199254740991])

test_numbers_are_nothing_else if {
	every value in [[], ["1"], [1, null], [1, true], 5, {"a": 1}] {
		not proof.numbers(value)
	}
}

test_among_finds_a_text if proof.among("b", ["a", "b"])

test_among_knows_no_wildcard_and_no_other_type if {
	not proof.among("b", [])
	not proof.among("b", ["*"])
	not proof.among("", [""])
	not proof.among(5, [5])
	not proof.among(null, [null])
	not proof.among("b", "abc")
	not proof.among("b", {"a": "b"})
	not proof.among("b", null)
}

test_within_holds_for_a_part_and_for_nothing if {
	proof.within(["a"], ["a", "b"])
	proof.within([], ["a"])
}

test_within_refuses_more_and_an_empty_grant if {
	not proof.within(["a", "c"], ["a", "b"])
	not proof.within([], [])
	not proof.within(["a"], [])
	not proof.within("a", ["a"])
	not proof.within(5, ["a"])
	not proof.within(["a"], "a")
	not proof.within([null], ["a", null])
}
