"""A charter in plain sentences, member by member, in Vietnamese and in English."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from sandbox.contracts.charter import CharterDraft, Criterion
from sandbox.contracts.explain import Clause
from sandbox.contracts.wording import COUNTRIES, Both, dong, known, listed, moment, number, rho
from sandbox.core.terms import Role

Said: TypeAlias = Callable[[CharterDraft], Both]

STATES: Final[Mapping[str, Both]] = {
    "active": ("Điều lệ đang có hiệu lực.", "The charter is active."),
    "paused": ("Điều lệ tạm dừng: không giao dịch nào được phép.", "The charter is paused: nothing may be traded."),
    "ended": (
        "Điều lệ đã chấm dứt, không mở lại được.",
        "The charter has ended and cannot be opened again.",
    ),
}
SECTORS: Final[Mapping[str, Both]] = {
    "giao_thong": ("giao thông", "transport"),
    "cang_bien": ("cảng biển", "seaports"),
    "dat_dai": ("đất đai", "land"),
    "chi_so_cds": ("chỉ số chuyển đổi số", "digital transformation indices"),
    "dnnvv": ("doanh nghiệp nhỏ và vừa", "small and medium-sized firms"),
    "du_lich": ("du lịch", "tourism"),
}
CLASSES: Final[Mapping[str, Both]] = {
    "mo": ("dữ liệu mở", "open data"),
    "dung_chung": ("dữ liệu dùng chung", "shared data"),
    "thuong_mai": ("dữ liệu thương mại", "commercial data"),
    "khu_nhan_dang": ("dữ liệu đã khử nhận dạng", "de-identified data"),
    "quan_trong": ("dữ liệu quan trọng", "important data"),
}
MODES: Final[Mapping[str, Both]] = {
    "exact": ("kết quả chính xác", "exact results"),
    "safe_cube": ("khối số liệu an toàn", "a safe cube"),
    "dp": ("riêng tư vi phân", "differential privacy"),
    "template": ("truy vấn được phê duyệt", "approved queries"),
    "threshold": ("ngưỡng nhóm tối thiểu, là cách yếu hơn", "a minimum group size, which is weaker"),
}
REQUESTS: Final[Mapping[str, Both]] = {
    "query": ("truy vấn", "queries"),
    "contract": ("hợp đồng", "contracts"),
    "order": ("lệnh", "orders"),
}
PERIODS: Final[Mapping[str, Both]] = {
    "month": ("tháng", "month"),
    "quarter": ("quý", "quarter"),
    "year": ("năm", "year"),
}
OFFICES: Final[Mapping[Role, Both]] = {
    Role.REGULATOR: ("cơ quan quản lý", "the regulator"),
    Role.OPERATOR: ("đơn vị vận hành", "the operator"),
}


def explain_charter(charter: CharterDraft) -> list[Clause]:
    """Every member of a charter with what it means, in the order in which people read it."""
    return [Clause(member, charter.document[member], *said(charter)) for member, said in SENTENCES.items()]


# --- what it is ---
def _id(charter: CharterDraft) -> Both:
    return f"Điều lệ thí điểm {charter.id}.", f"Pilot charter {charter.id}."


def _version(charter: CharterDraft) -> Both:
    return (
        f"Phiên bản {charter.version}; các phiên bản trước được lưu giữ.",
        f"Version {charter.version}; the versions before it are kept.",
    )


def _prev(charter: CharterDraft) -> Both:
    if charter.prev is None:
        return "Không có phiên bản trước.", "There is no version before it."
    return f"Tiếp theo phiên bản {charter.prev}.", f"It follows the version {charter.prev}."


def _parties(charter: CharterDraft) -> Both:
    return (
        f"Cơ quan quản lý là {charter.regulator}, đơn vị vận hành là {charter.operator}; cả hai cùng ký.",
        f"The regulator is {charter.regulator}, the operator is {charter.operator}; both sign.",
    )


def _authority(charter: CharterDraft) -> Both:
    basis = listed(charter.legal_basis)
    return (
        f"Thẩm quyền: {charter.authority}. Căn cứ tham chiếu: {basis}.",
        f"Authority: {charter.authority}. Legal reference: {basis}.",
    )


def _objectives(charter: CharterDraft) -> Both:
    goals = "; ".join(charter.objectives)
    return f"Mục tiêu: {goals}.", f"Objectives: {goals}."


# --- time and place ---
def _window(charter: CharterDraft) -> Both:
    window = charter.window
    start, end, times, months = (
        moment(window.start), moment(window.end), window.max_extensions, window.max_extension_months,
    )  # fmt: skip
    return (
        f"Chỉ giao dịch từ {start} đến trước {end}, giờ Việt Nam. Gia hạn nhiều nhất {times} lần, mỗi lần không quá "
        f"{months} tháng.",
        f"Trade is allowed only from {start} until before {end}, Viet Nam time. It may be extended {times} times at "
        f"most, each time by {months} months at most.",
    )


def _stages(charter: CharterDraft) -> Both:
    def told(until: str, share: str) -> str:
        return "; ".join(
            f"{each.name} {until} {moment(each.end)} {share} {each.scale_percent}%" for each in charter.stages
        )

    return (
        f"Hạn mức theo giai đoạn: {told('đến trước', 'bằng')} của hạn mức đầy đủ.",
        f"Caps by stage: {told('until before', 'at')} of the full caps.",
    )


def _participants(charter: CharterDraft) -> Both:
    providers, buyers, level = number(charter.providers_max), number(charter.buyers_max), charter.min_eid_level
    vi, en = known(charter.territories, COUNTRIES)
    return (
        f"Nhiều nhất {providers} bên bán và {buyers} bên mua, định danh điện tử từ mức {level}, thuộc: {vi}.",
        f"At most {providers} providers and {buyers} buyers, with an electronic identity of level {level} or higher, "
        f"from: {en}.",
    )


# --- limits ---
def _caps(charter: CharterDraft) -> Both:
    caps = charter.caps
    one, buyer, provider, market = map(
        dong, (caps.per_transaction_vnd, caps.per_buyer_day_vnd, caps.per_provider_day_vnd, caps.exchange_day_vnd)
    )
    queries, rows = number(caps.per_buyer_day_queries), number(caps.per_query_rows_out)
    size = number(caps.per_query_bytes_out)
    return (
        f"Hạn mức đầy đủ: một giao dịch {one}; trong một ngày, một bên mua {buyer} và {queries} truy vấn, một bên bán "
        f"{provider}, toàn sàn {market}; một kết quả {rows} dòng và {size} byte. Ngày tính theo giờ Việt Nam.",
        f"Full caps: one transaction {one}; in a day one buyer {buyer} and {queries} queries, one provider {provider}, "
        f"the whole exchange {market}; one result {rows} rows and {size} bytes. Days are those of Viet Nam.",
    )


def _sectors(charter: CharterDraft) -> Both:
    return _only("Lĩnh vực được phép", "Sectors allowed", charter.sectors, SECTORS)


def _classes(charter: CharterDraft) -> Both:
    return _only("Loại dữ liệu được niêm yết", "Classes of data that may be listed", charter.data_classes, CLASSES)


def _modes(charter: CharterDraft) -> Both:
    return _only("Cách công bố kết quả được phép", "How results may leave", charter.release_modes, MODES)


def _only(vi: str, en: str, codes: Iterable[str], words: Mapping[str, Both]) -> Both:
    codes = tuple(codes)
    named = known(codes, words) if codes else ("không có", "none")
    return f"{vi}: {named[0]}.", f"{en}: {named[1]}."


def _privacy(charter: CharterDraft) -> Both:
    limits = charter.privacy
    few, firms, share = limits.k_min, limits.k_min_business, limits.p_percent
    most, percent = limits.dominance_n, limits.dominance_k_percent
    whole, contract, query = map(
        rho, (limits.nano_rho_dataset, limits.nano_rho_contract, limits.nano_rho_query_default)
    )
    delta = f"{number(limits.delta_pico)}×10⁻¹²"
    return (
        f"Mỗi nhóm được công bố có ít nhất {few} người, hoặc {firms} doanh nghiệp; quy tắc p là {share}%; {most} đơn "
        f"vị lớn nhất không vượt {percent}%. Ngân sách riêng tư ρ: bộ dữ liệu {whole}, hợp đồng {contract}, truy vấn "
        f"{query} nếu không nói khác; δ là {delta}. Hợp đồng chỉ được chặt hơn.",
        f"Each group that is released has at least {few} persons, or {firms} firms; the p rule is {share}%; the {most} "
        f"largest units hold no more than {percent}%. Privacy budget ρ: dataset {whole}, contract {contract}, query "
        f"{query} unless said otherwise; δ is {delta}. Contracts may only be stricter.",
    )


def _cross_border(charter: CharterDraft) -> Both:
    if charter.cross_border:
        return (
            "Kết quả được chuyển ra nước ngoài khi có hồ sơ chuyển dữ liệu.",
            "Results may leave the country with a transfer dossier.",
        )
    return "Không kết quả nào được chuyển ra nước ngoài.", "No result may leave the country."


def _signed_requests(charter: CharterDraft) -> Both:
    kinds = tuple(kind for kind in REQUESTS if kind in charter.signed_requests)
    if not kinds:
        return (
            "Yêu cầu gửi qua API không bắt buộc ký (RFC 9421).",
            "Requests to the API need not be signed (RFC 9421).",
        )
    vi, en = known(kinds, REQUESTS)
    return f"Yêu cầu phải ký (RFC 9421): {vi}.", f"Requests that must be signed (RFC 9421): {en}."


# --- suspension, exit, reporting ---
def _suspension(charter: CharterDraft) -> Both:
    vi, en = ([OFFICES[role][language] for role in charter.who_may_suspend] for language in (0, 1))
    when = _criteria(charter.triggers)
    return (
        f"Đình chỉ khi có một trong: {when}. Người có quyền: {listed(vi)}. Khi đình chỉ, việc mới bị từ chối và chứng "
        "cứ được giữ lại.",
        f"Suspension when one of these holds: {when}. Who may: {listed(en)}. Under suspension new work is denied and "
        "evidence is kept.",
    )


def _criteria(criteria: Iterable[Criterion]) -> str:
    return "; ".join(f"{each.metric} {each.op} {number(each.value)}" for each in criteria)


def _exit(charter: CharterDraft) -> Both:
    good, bad, days = _criteria(charter.success), _criteria(charter.failure), charter.wind_down_days
    vi, en = ("có", "required") if charter.early_exit_plan else ("không bắt buộc", "not required")
    return (
        f"Thành công khi: {good}. Thất bại, chấm dứt ngay, khi: {bad}. Kế hoạch kết thúc sớm: {vi}. Thu dọn trong "
        f"{days} ngày. Báo cáo kết thúc: {charter.exit_report}.",
        f"Success when: {good}. Failure, which ends it at once, when: {bad}. Plan for an early exit: {en}. Wound down "
        f"in {days} days. Exit report: {charter.exit_report}.",
    )


def _reporting(charter: CharterDraft) -> Both:
    report = charter.reporting
    vi, en = PERIODS[report.period]
    who = listed(report.recipients)
    ranks = ("có", "with") if report.ranking else ("không", "without")
    return (
        f"Báo cáo mỗi {vi}, trong {report.due_days} ngày sau kỳ, gửi: {who}; {ranks[0]} xếp hạng.",
        f"A report each {en}, within {report.due_days} days after it, to: {who}; {ranks[1]} ranking.",
    )


SENTENCES: Final[Mapping[str, Said]] = {
    "charter_id": _id,
    "version": _version,
    "state": lambda charter: STATES[charter.state],
    "prev": _prev,
    "parties": _parties,
    "authority": _authority,
    "objectives": _objectives,
    "window": _window,
    "stages": _stages,
    "participants": _participants,
    "caps": _caps,
    "sectors": _sectors,
    "data_classes": _classes,
    "release_modes": _modes,
    "privacy": _privacy,
    "cross_border": _cross_border,
    "signed_requests": _signed_requests,
    "suspension": _suspension,
    "exit": _exit,
    "reporting": _reporting,
}
