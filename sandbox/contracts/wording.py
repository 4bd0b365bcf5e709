"""How numbers, money, times and known words are written for people, in Vietnamese and in English."""

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

from sandbox.core.clock import HO_CHI_MINH

Both: TypeAlias = tuple[str, str]
"""The same words in Vietnamese and in English."""
Sentence: TypeAlias = Callable[[Any], Both]
"""Says a clause of which the value was read before."""

PURPOSES: Final[Mapping[str, Both]] = {
    "thong_ke": ("thống kê", "statistics"),
    "nghien_cuu": ("nghiên cứu", "research"),
    "quy_hoach_tuyen": ("quy hoạch tuyến", "route planning"),
    "khai_thac_cang": ("khai thác cảng", "port operations"),
    "dinh_gia": ("định giá", "valuation"),
}
COUNTRIES: Final[Mapping[str, Both]] = {"VN": ("Việt Nam", "Viet Nam")}
FUNCTIONS: Final[Mapping[str, Both]] = {
    "SUM": ("tổng", "sum"),
    "AVG": ("trung bình", "mean"),
    "COUNT": ("số giá trị", "number of values"),
    "MIN": ("nhỏ nhất", "smallest"),
    "MAX": ("lớn nhất", "largest"),
}
SELLERS: Final[Mapping[str, Both]] = {
    "co_quan_nha_nuoc": ("cơ quan nhà nước", "a state agency"),
    "don_vi_su_nghiep": ("đơn vị sự nghiệp", "a public service unit"),
    "doanh_nghiep": ("doanh nghiệp", "a company"),
    "hiep_hoi": ("hiệp hội", "an association"),
    "khac": ("tổ chức khác", "another kind of organisation"),
}
ROLES: Final[Mapping[str, Both]] = {
    "pseudonym": ("khóa giả danh", "pseudonymous key"),
    "dimension": ("chiều", "dimension"),
    "sensitive_dimension": ("chiều nhạy cảm", "sensitive dimension"),
    "measure": ("đại lượng", "measure"),
    "open": ("mở", "open"),
    "withheld": ("không chào bán", "not offered"),
}
_NANO: Final = 10**9
_PICO: Final = 10**12


def number(value: int) -> str:
    """A whole number with its thousands set apart: ``1.234.567``."""
    return f"{value:,}".replace(",", ".")


def counted(value: int, one: str, many: str) -> str:
    """A number with its English noun: ``1 day``, ``1.234 days``; Vietnamese has one form."""
    return f"{number(value)} {one if value == 1 else many}"


def dong(vnd: int) -> str:
    """Money; no line may break before the sign: ``25.000 ₫``."""
    return f"{number(vnd)}\u00a0₫"


def rho(nano: int) -> str:
    """A privacy loss in zCDP from billionths, with a decimal comma: ``0,005``."""
    whole, rest = divmod(nano, _NANO)
    decimals = f"{rest:09}".rstrip("0")
    return f"{number(whole)},{decimals}" if decimals else number(whole)


def epsilon(nano_rho: int, delta_pico: int) -> str:
    """The epsilon that a rho means at most at this delta, rounded up to two decimals (Bun and Steinke 2016, 1.3)."""
    loss = nano_rho / _NANO
    hundredths = math.ceil(100 * (loss + 2 * math.sqrt(loss * math.log(_PICO / delta_pico))))
    return f"{hundredths // 100},{hundredths % 100:02}"


def moment(instant: datetime) -> str:
    """A date and, after it, the time of day in Viet Nam: ``22/11/2026 10:00``."""
    local = instant.astimezone(HO_CHI_MINH)
    return local.strftime("%d/%m/%Y %H:%M" + (":%S" if local.second or local.microsecond else ""))


def listed(names: Iterable[str]) -> str:
    """Names behind one another, in the order in which they were signed."""
    return ", ".join(names)


def known(codes: Iterable[str], words: Mapping[str, Both]) -> Both:
    """Codes with their words before them where they have some: ``thống kê (thong_ke)``."""
    codes = tuple(codes)

    def said(language: int) -> str:
        return listed(f"{words[code][language]} ({code})" if code in words else code for code in codes)

    return said(0), said(1)
