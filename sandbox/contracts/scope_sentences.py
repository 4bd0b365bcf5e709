"""The clauses on what queries may see and do, each in a plain sentence or two, in two languages.

They say what the exchange does, so that a party who reads only them knows what was signed. The terms were read before.
"""

from collections.abc import Mapping
from typing import Any, Final

from sandbox.contracts import wording
from sandbox.contracts.wording import Both, Sentence, counted, known, listed, number

_RELEASES: Final[Mapping[str, Both]] = {
    "exact": (
        "Kết quả rời sàn là con số chính xác, không làm tròn và không thêm nhiễu.",
        "Results leave the exchange as exact figures, neither rounded nor with noise.",
    ),
    "safe_cube": (
        "Kết quả rời sàn lấy từ một bảng tổng hợp dựng sẵn, trong đó các ô quá nhỏ hoặc bị một vài đơn vị chi phối đã "
        "được ẩn cho mọi bên mua như nhau.",
        "Results come from a cube built beforehand, in which cells that are too small or dominated by a few units are "
        "hidden, for every buyer alike.",
    ),
    "dp": (
        "Kết quả rời sàn được thêm nhiễu theo riêng tư vi phân, nên không cho biết một đơn vị riêng lẻ có trong dữ "
        "liệu hay không; mỗi truy vấn tiêu một phần ngân sách riêng tư, không được hoàn lại.",
        "Results leave with noise under differential privacy, so that they do not tell whether any one unit is in the "
        "data; each query spends privacy budget, which is never refunded.",
    ),
    "template": (
        "Chỉ những câu truy vấn đã được phê duyệt từng câu một mới được chạy; mọi câu khác bị từ chối.",
        "Only queries that were approved one by one can run; any other text is refused.",
    ),
    "threshold": (
        "Kết quả rời sàn là con số chính xác của các nhóm đủ lớn, mỗi câu trả lời được xét riêng. Chế độ này yếu hơn "
        "safe_cube và dp: ai so sánh nhiều câu trả lời với nhau có thể suy ra con số của một nhóm nhỏ.",
        "Results leave as exact figures of groups that are large enough, each answer judged by itself. This mode is "
        "weaker than safe_cube and dp: whoever compares several answers may work out the figure of a small group.",
    ),
}


def _release(value: Any) -> Both:
    return _RELEASES[value]


def _unit(value: Any) -> Both:
    if value is None:
        return (
            "Không đơn vị riêng tư nào được bảo vệ: những gì được mở có thể đọc từng dòng.",
            "No privacy unit is protected: what is opened can be read row by row.",
        )
    return (
        f"Đơn vị được bảo vệ là {value}: chỉ được đếm có bao nhiêu đơn vị khác nhau, không bao giờ được xem, nhóm, "
        "lọc, nối hay so sánh.",
        f"The protected unit is {value}: one may count how many different ones there are, and never see, group by, "
        "filter, join or compare them.",
    )


def _minimum(value: Any) -> Both:
    if not value:
        return (
            "Không có ngưỡng tối thiểu nào cho một dòng kết quả.",
            "There is no minimum for a row of a result.",
        )
    column, least = value[0]["column"], number(value[0]["minimum"])
    return (
        f"Mỗi dòng kết quả phải dựa trên ít nhất {least} {column} khác nhau, để không dòng nào nói riêng về một đơn "
        "vị hay một nhóm nhỏ. Dòng nào ít hơn thì bị bỏ đi; truy vấn vẫn chạy và kết quả chỉ cho biết là có nhóm bị "
        "giữ lại.",
        f"Each row of a result rests on at least {least} different {column}, so that no row speaks of one unit or of "
        "a small group. A row with fewer is left out; the query still runs, and its result says only that groups were "
        "withheld.",
    )


def _dimensions(value: Any) -> Both:
    if not value:
        return "Không có chiều nào để nhóm và lọc.", "There is no dimension to group by or filter on."
    return (
        f"Được nhóm và lọc theo các chiều: {listed(value)}.",
        f"One may group by and filter on these dimensions: {listed(value)}.",
    )


def _columns(value: Any) -> Both:
    if not value:
        return "Không cột nào được đọc từng dòng.", "No column can be read row by row."
    return (
        f"Được đọc từng dòng các cột: {listed(value)}.",
        f"These columns can be read row by row: {listed(value)}.",
    )


def _aggregates(value: Any) -> Both:
    if not value:
        return "Không cột nào được mở riêng cho phép tổng hợp.", "No column is opened to aggregation by itself."
    parts = [(listed(each["columns"]), known(each["functions"], wording.FUNCTIONS)) for each in value]
    return (
        "Được tổng hợp: " + "; ".join(f"{columns} bằng {functions[0]}" for columns, functions in parts) + ".",
        "One may aggregate: " + "; ".join(f"{columns} by {functions[1]}" for columns, functions in parts) + ".",
    )


def _expressions(value: Any) -> Both:
    if value == "columns_only":
        return (
            "Hàm tổng hợp chỉ nhận một cột nguyên vẹn, không nhận biểu thức: biểu thức có thể được viết để hỏi riêng "
            "một dòng.",
            "An aggregate takes one bare column and no expression: an expression could be written to ask for one row.",
        )
    return (
        "Hàm tổng hợp được nhận biểu thức bất kỳ trên các cột được mở.",
        "An aggregate may take any expression over the columns that are opened.",
    )


def _functions(value: Any) -> Both:
    if not value:
        return (
            "Ngoài các hàm tổng hợp, không được gọi hàm nào.",
            "Besides aggregates no function may be called.",
        )
    return (
        f"Ngoài các hàm tổng hợp, chỉ được gọi các hàm và toán tử sau: {listed(value)}.",
        f"Besides aggregates only these functions and operators may be called: {listed(value)}.",
    )


def _join_columns(value: Any) -> Both:
    if not value:
        return "Không cột nào được dùng để nối bảng.", "No column may be used in a join."
    return (
        f"Chỉ được nối bảng theo các cột: {listed(value)}.",
        f"Joins may use these columns only: {listed(value)}.",
    )


_JOINS: Final[Mapping[str, Both]] = {
    "not_required": (
        "Truy vấn không bắt buộc phải nối bảng.",
        "A query need not join anything.",
    ),
    "any": (
        "Mọi truy vấn phải nối bảng theo ít nhất một trong các cột nối.",
        "Every query must join on at least one of the join columns.",
    ),
    "all": (
        "Mọi truy vấn phải nối bảng theo tất cả các cột nối.",
        "Every query must join on all of the join columns.",
    ),
    "blocked": (
        "Không được nối bộ dữ liệu này với bất cứ bảng nào.",
        "This dataset may not be joined with anything.",
    ),
}


def _join_condition(value: Any) -> Both:
    return _JOINS[value]


def _row_filter(value: Any) -> Both:
    if not value:
        return "Mọi dòng của bộ dữ liệu đều được tính.", "Every row of the dataset counts."
    parts = [(each["column"], listed(map(_literal, each["values"]))) for each in value]
    vi = " và ".join(f"{column} là một trong {values}" for column, values in parts)
    en = " and ".join(f"{column} is one of {values}" for column, values in parts)
    return f"Chỉ tính các dòng có {vi}.", f"Only rows count in which {en}."


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else f"“{value}”"  # a year is no amount


def _comparisons(value: Any) -> Both:
    literals, columns = listed(value["literals"]), listed(value["columns"])
    vi = f"Được so sánh với hằng số: {literals}." if literals else "Không cột nào được so sánh với hằng số."
    en = f"These may be compared with constants: {literals}." if literals else "Nothing may be compared with constants."
    return (
        f"{vi} "
        + (f"Được so sánh với cột khác: {columns}." if columns else "Không cột nào được so sánh với cột khác."),
        f"{en} " + (f"These with other columns: {columns}." if columns else "No column with another column."),
    )


def _hidden(value: Any) -> Both:
    if not value:
        return "Không có thêm cột nào bị cấm trong kết quả.", "No further column is barred from results."
    return (
        f"Được dùng khi tính nhưng không bao giờ xuất hiện trong kết quả: {listed(value)}.",
        f"These may be used in computing, and never stand in a result: {listed(value)}.",
    )


def _dp(value: Any) -> Both:
    if value is None:
        return "Không áp dụng riêng tư vi phân.", "Differential privacy is not applied."
    one, total = wording.rho(value["nano_rho_query"]), wording.rho(value["nano_rho_total"])
    delta = value["delta_pico"]
    eps = wording.epsilon(value["nano_rho_total"], delta)
    most, clips = value["groups_per_unit"], _clips(value["clipping"])
    groups = number(most), counted(most, "group", "groups")
    return (
        f"Mỗi truy vấn tiêu nhiều nhất ρ = {one}, tất cả truy vấn cộng lại nhiều nhất ρ = {total}, tức ε ≤ {eps} với "
        f"δ = {number(delta)} · 10⁻¹². Mỗi đơn vị được tính trong nhiều nhất {groups[0]} nhóm. {clips[0]}",
        f"A query spends at most ρ = {one}, all queries together at most ρ = {total}, that is ε ≤ {eps} at "
        f"δ = {number(delta)} · 10⁻¹². A unit counts in at most {groups[1]}. {clips[1]}",
    )


def _clips(clipping: Any) -> Both:
    if not clipping:
        return "Không có cột nào được cộng.", "No column is summed."
    bounds = "; ".join(f"{each['column']} {number(each['low'])} … {number(each['high'])}" for each in clipping)
    return (
        f"Giá trị nằm ngoài giới hạn được tính bằng giới hạn: {bounds}.",
        f"A value beyond its bounds counts as the bound: {bounds}.",
    )


def _templates(value: Any) -> Both:
    if not value:
        return "Không có danh sách câu truy vấn được phê duyệt.", "There is no list of approved queries."
    return (
        f"Các câu truy vấn được phê duyệt, gọi bằng mã băm: {listed(value)}.",
        f"The approved queries, named by their digests: {listed(value)}.",
    )


SCOPE: Final[Mapping[str, Sentence]] = {
    "release": _release,
    "privacy_unit": _unit,
    "output_constraints": _minimum,
    "dp": _dp,
    "templates": _templates,
    "dimensions": _dimensions,
    "aggregate_columns": _aggregates,
    "aggregate_expressions": _expressions,
    "columns": _columns,
    "row_filter": _row_filter,
    "scalar_functions": _functions,
    "join_columns": _join_columns,
    "join_condition": _join_condition,
    "comparison_controls": _comparisons,
    "disallowed_output_columns": _hidden,
}
