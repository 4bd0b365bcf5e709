"""How đồng and rates are written for people: the Vietnamese way, from whole numbers only."""

from typing import Final

_TY: Final = 1_000_000_000
_TRIEU: Final = 1_000_000
_NBSP: Final = "\u00a0"
"""No line may break between a number and its unit."""


def dong(vnd: int) -> str:
    """All digits, for anything that is paid: ``1.234.567.890 ₫``."""
    return f"{grouped(vnd)}{_NBSP}₫"


def short_dong(vnd: int) -> str:
    """For headlines, rounded to one decimal: ``3,5 tỷ ₫``, ``12 triệu ₫``; below a million all digits."""
    size = abs(vnd)
    if size < _TRIEU:
        return dong(vnd)
    unit, name = (_TRIEU, "triệu") if _tenths(size, _TRIEU) * _TRIEU < 10 * _TY else (_TY, "tỷ")  # never "1.000 triệu"
    whole, tenth = divmod(_tenths(size, unit), 10)
    decimal = f",{tenth}" if tenth else ""
    return f"{'-' if vnd < 0 else ''}{grouped(whole)}{decimal}{_NBSP}{name}{_NBSP}₫"


def percent(basis_points: int | None) -> str:
    """A rate: ``20,5%``; an undefined one is a dash, never 0."""
    if basis_points is None:
        return "—"
    whole, hundredths = divmod(abs(basis_points), 100)
    decimals = f"{hundredths:02}".rstrip("0")
    return f"{'-' if basis_points < 0 else ''}{grouped(whole)}{',' if decimals else ''}{decimals}%"


def grouped(number: int) -> str:
    """A whole number with its thousands set apart: ``1.234.567``."""
    return f"{number:,}".replace(",", ".")


def _tenths(size: int, unit: int) -> int:
    return (size * 20 + unit) // (2 * unit)  # to the nearest, halves up; no float comes near money
