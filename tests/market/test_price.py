"""Prices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.core.errors import Invalid
from sandbox.market.price import quote

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def test_a_query_costs_the_sum_of_its_agreements_prices():
    quoted = quote({B: 40_000, A: 15_000})
    assert quoted.total == 55_000
    assert list(quoted.shares.items()) == [(A, 15_000), (B, 40_000)]


def test_open_data_costs_nothing_and_is_quoted_all_the_same():
    assert (quote({A: 0}).total, quote({A: 0}).shares[A]) == (0, 0)


def test_a_quote_does_not_change_with_what_it_was_made_from():
    prices = {A: 1}
    quoted = quote(prices)
    prices[A] = 9
    assert quoted.shares[A] == 1
    with pytest.raises(TypeError):
        quoted.shares[A] = 9


@pytest.mark.parametrize("prices", [{}, {A: -1}, {A: 10, B: -1}, {A: 2**53}, {A: 2**53 - 1, B: 1}])
def test_no_agreement_a_negative_price_or_too_much_money_has_no_quote(prices):
    with pytest.raises(Invalid) as refused:
        quote(prices)
    assert refused.value.code == "price.invalid"


@given(st.dictionaries(st.text("abcdef", min_size=3), st.integers(0, 10**9), min_size=1))
def test_the_shares_always_add_up_to_the_total(prices):
    assert sum(quote(prices).shares.values()) == quote(prices).total == sum(prices.values())
