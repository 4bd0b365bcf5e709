"""The clauses on purposes, term, price, amounts and rights, each in a plain sentence or two, in two languages.

They say what the exchange does, so that a party who reads only them knows what was signed. The terms were read before.
"""

from collections.abc import Mapping
from typing import Any, Final

from sandbox.contracts import wording
from sandbox.contracts.record import ASSIGNEE
from sandbox.contracts.wording import Both, Sentence, counted, dong, known, listed, number
from sandbox.core.clock import instant_of


def _purposes(value: Any) -> Both:
    vi, en = known(value, wording.PURPOSES)
    return (
        f"Bên mua chỉ được truy vấn cho các mục đích sau: {vi}.",
        f"The buyer may query for these purposes only: {en}.",
    )


def _territories(value: Any) -> Both:
    vi, en = known(value, wording.COUNTRIES)
    return (
        f"Chỉ được truy vấn và nhận kết quả trong lãnh thổ: {vi}.",
        f"Queries may be asked, and results received, only in: {en}.",
    )


def _term_days(value: Any) -> Both:
    days = number(value)
    return (
        f"Thời hạn kết thúc {days} ngày sau khi bản chào được lập; ai ký muộn hơn thì thời hạn còn lại ngắn hơn.",
        f"The term ends {counted(value, 'day', 'days')} after the offer was made; whoever signs later has less of it.",
    )


def _not_after(value: Any) -> Both:
    end = wording.moment(instant_of(value))
    return (
        f"Hợp đồng có hiệu lực đến {end} (giờ Việt Nam); từ thời điểm đó không truy vấn được nữa.",
        f"The contract holds until {end} (time of Viet Nam); from that instant on nothing can be queried.",
    )


def _price(value: Any) -> Both:
    if value == 0:
        return f"Truy vấn không mất tiền ({dong(0)}).", f"Queries are free of charge ({dong(0)})."
    return (
        f"Mỗi truy vấn giá {dong(value)}, trừ vào ví trả trước của bên mua.",
        f"Each query costs {dong(value)}, taken from the buyer's prepaid wallet.",
    )


def _price_plan(value: Any) -> Both:
    free = value["free_queries"]
    if free == 0:
        return "Không có truy vấn dùng thử miễn phí.", "There are no free trial queries."
    return (
        f"Bên mua được miễn phí {number(free)} truy vấn đầu tiên theo hợp đồng này.",
        f"Free of charge under this contract: the first {counted(free, 'query', 'queries')}.",
    )


def _version(value: Any) -> Both:
    if value == "pinned":
        return (
            "Hợp đồng chỉ áp dụng cho đúng phiên bản dữ liệu đã nêu; phiên bản mới cần hợp đồng mới.",
            "The contract holds for the named version of the dataset alone; a new version needs a new contract.",
        )
    return (
        "Hợp đồng áp dụng cả cho các phiên bản sau của bộ dữ liệu, chừng nào bên cung cấp, cấu trúc, phân loại, "
        "đơn vị riêng tư và ngưỡng tối thiểu không đổi.",
        "The contract carries over to later versions of the dataset, as long as provider, schema, class, privacy unit "
        "and minimum stay the same.",
    )


def _max_rows(value: Any) -> Both:
    return (
        f"Một kết quả có nhiều nhất {number(value)} dòng.",
        f"A result has at most {counted(value, 'row', 'rows')}.",
    )


_PERIODS: Final[Mapping[str, Both]] = {
    "day": ("mỗi ngày", "a day"),
    "week": ("mỗi tuần", "a week"),
    "month": ("mỗi tháng", "a month"),
    "lifetime": ("trong cả thời hạn", "in the whole term"),
}


def _budget(value: Any) -> Both:
    limits = [(value[period], words) for period, words in _PERIODS.items() if value[period] is not None]
    if not limits:
        return "Số truy vấn không bị giới hạn.", "The number of queries is not limited."
    vi = listed(f"{number(most)} truy vấn {words[0]}" for most, words in limits)
    en = listed(f"{counted(most, 'query', 'queries')} {words[1]}" for most, words in limits)
    return (
        f"Bên mua được chạy nhiều nhất {vi} (giờ Việt Nam).",
        f"The buyer may run at most {en} (time of Viet Nam).",
    )


def _retention(value: Any) -> Both:
    if value is None:
        return (
            "Bên mua được giữ kết quả không thời hạn.",
            "The buyer may keep results without limit of time.",
        )
    return (
        f"Bên mua phải xóa mỗi kết quả chậm nhất {number(value)} ngày sau khi nhận.",
        f"The buyer must delete each result at most {counted(value, 'day', 'days')} after receiving it.",
    )


def _exclusive(value: Any) -> Both:
    if value:
        return (
            "Quyền sử dụng là độc quyền: chừng nào hợp đồng còn hiệu lực, bộ dữ liệu không có bên mua nào khác.",
            "The right of use is exclusive: as long as the contract holds, the dataset has no other buyer.",
        )
    return (
        "Quyền sử dụng không độc quyền: bên cung cấp có thể bán cho người khác.",
        "The right of use is not exclusive: the provider may sell to others.",
    )


def _sublicence(value: Any) -> Both:
    if value:
        return (
            "Bên mua được chuyển giao lại quyền sử dụng kết quả.",
            "The buyer may pass the right to use results on.",
        )
    return (
        "Bên mua không được chuyển giao lại quyền sử dụng cho người khác.",
        "The buyer may not pass the right of use on to others.",
    )


def _property(value: Any) -> Both:
    return f"Về sở hữu trí tuệ, các bên thỏa thuận: “{value}”", f"On intellectual property the parties say: “{value}”"


def _receivers(value: Any) -> Both:
    vi, en = known(value, {ASSIGNEE: ("bên mua", "the buyer")})
    return f"Chỉ những bên sau được nhận kết quả: {vi}.", f"Only these may receive results: {en}."


BEFORE: Final[Mapping[str, Sentence]] = {
    "purposes": _purposes,
    "territories": _territories,
    "term_days": _term_days,
    "not_after": _not_after,
    "version": _version,
}
AFTER: Final[Mapping[str, Sentence]] = {
    "max_rows": _max_rows,
    "access_budget": _budget,
    "price_vnd": _price,
    "price_plan": _price_plan,
    "retention_days": _retention,
    "allowed_result_receivers": _receivers,
    "exclusive": _exclusive,
    "sublicence": _sublicence,
    "intellectual_property": _property,
}
