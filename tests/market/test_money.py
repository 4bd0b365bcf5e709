"""Money as Vietnamese readers expect it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.market.money import dong, percent, short_dong


@pytest.mark.parametrize(
    ("vnd", "text"),
    [(0, "0 ₫"), (500, "500 ₫"), (25_000, "25.000 ₫"), (1_234_567_890, "1.234.567.890 ₫"), (-15_000, "-15.000 ₫")],
)
def test_money_has_points_between_thousands_and_an_unbreakable_space_before_its_sign(vnd, text):
    assert dong(vnd) == text.replace(" ", "\u00a0")


@pytest.mark.parametrize(
    ("vnd", "text"),
    [
        (999_999, "999.999 ₫"), (1_000_000, "1 triệu ₫"), (12_000_000, "12 triệu ₫"), (1_250_000, "1,3 triệu ₫"),
        (999_949_999, "999,9 triệu ₫"), (999_950_000, "1 tỷ ₫"), (3_500_000_000, "3,5 tỷ ₫"),
        (-3_500_000_000, "-3,5 tỷ ₫"), (3_000_000_000_000_000, "3.000.000 tỷ ₫"),
    ],
)  # fmt: skip
def test_short_forms_say_trieu_and_ty(vnd, text):
    assert short_dong(vnd) == text.replace(" ", "\u00a0")


@pytest.mark.parametrize(
    ("basis_points", "text"),
    [(2_050, "20,5%"), (2_000, "20%"), (153, "1,53%"), (5, "0,05%"), (-3_333, "-33,33%"), (0, "0%"),
     (1_234_500, "12.345%"), (None, "—")],
)  # fmt: skip
def test_rates_have_a_comma_and_an_undefined_one_is_a_dash(basis_points, text):
    assert percent(basis_points) == text


@given(st.integers(-(2**63), 2**63))
def test_no_digit_of_an_amount_is_lost(vnd):
    assert int(dong(vnd).removesuffix("\u00a0₫").replace(".", "")) == vnd
