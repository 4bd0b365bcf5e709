"""The descriptor: what is read, what is refused, and which member the refusal names."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.catalog.dataset import Descriptor, read_descriptor
from sandbox.catalog.descriptor import (
    CLAIMS,
    FLAGS,
    RESERVED,
    SELLERS,
    Assessment,
    Derivation,
    columns_in,
    describe,
    quoted,
)
from sandbox.core.canonical import Json, digest_of
from sandbox.core.errors import Invalid
from sandbox.core.terms import Column, Dimension

Document = dict[str, Any]
Read = Callable[[Document], Descriptor]


def fault(read: Read, document: Document) -> str:
    with pytest.raises(Invalid) as caught:
        read(document)
    assert (caught.value.code, caught.value.reasons) == ("descriptor.invalid", ("LIST-05",))
    assert caught.value.hint
    return caught.value.message


def test_a_descriptor_is_read_with_its_defaults(descriptor: Descriptor) -> None:
    assert (descriptor.id, descriptor.privacy_unit, descriptor.min_group) == ("luot_kham", "nguoi", 10)
    assert descriptor.title == {"vi": "Lượt khám", "en": "Visits"}
    assert (descriptor.columns[5].unit, descriptor.columns[4].unit) == ("đồng", None)
    assert [item.name for item in descriptor.columns if not item.exposed] == ["so_phong"]
    assert descriptor.measures == ("chi_phi", "nhiet_do")
    assert Column("chi_phi", "DECIMAL(12,2)") in descriptor.exposed
    assert "so_phong" not in {item.name for item in descriptor.exposed}


def test_dimensions_are_the_declared_ones_and_then_each_q_or_s_column(descriptor: Descriptor) -> None:
    """Not the dates and instants, the unit, measures, nor what is not exposed."""
    declared = Dimension("thang", "date_trunc('month', luc)")
    assert descriptor.dimensions == (declared, Dimension("khoa", "khoa"), Dimension("benh", "benh"))


def test_a_column_offered_only_through_an_expression_is_no_dimension_by_itself(document: Document, read: Read) -> None:
    document["dimensions"] = [{"name": "nhom_benh", "expression": "left(benh, 1)"}]
    assert [item.name for item in read(document).dimensions] == ["nhom_benh", "khoa"]
    document["dimensions"].append({"name": "benh", "expression": "benh"})
    assert [item.name for item in read(document).dimensions] == ["nhom_benh", "benh", "khoa"]


def test_the_full_document_reads_back_as_the_same_descriptor_and_digest(document: Document, read: Read) -> None:
    descriptor = read(document)
    again = read(describe(descriptor))
    assert again == descriptor
    assert digest_of(describe(again)) == digest_of(describe(descriptor))
    document["columns"][5]["unit"] = "USD"
    assert digest_of(describe(read(document))) != digest_of(describe(descriptor))


@pytest.mark.parametrize(
    ("member", "value", "sentence"),
    [
        ("id", "Lượt khám", "id is \"Lượt khám\", expected a table name"),
        ("id", "luot-kham", "expected a table name"),
        ("id", "select", "expected a table name"),
        ("title", {"vi": "Lượt khám"}, "title has no member 'en'"),
        ("title", {"vi": "Lượt khám", "en": "  "}, "title.en is \"  \", expected a text of 1 to 200"),
        ("title", {"vi": "Lượt khám", "en": "Vis\u202e"}, "expected a text without control characters"),
        ("description", "Lượt khám", "description is \"Lượt khám\", expected an object"),
        ("sector", "Y tế", "sector is \"Y tế\", expected a word"),
        ("data_class", "secret", "data_class is \"secret\", expected one of mo, dung_chung"),
        ("origin", None, "origin is null, expected one of tong_hop, thuc_te"),
        ("personal_origin", "yes", "personal_origin is \"yes\", expected true or false"),
        ("deidentification", True, "deidentification is true, expected a word"),
        ("privacy_unit", "khoa", "privacy_unit is \"khoa\", expected null, or a column of sensitivity P"),
        ("privacy_unit", ["nguoi"], "privacy_unit is a list"),
        ("privacy_unit", None, "min_group is 10, expected null, because there is no privacy_unit"),
        ("min_group", None, "min_group is null, expected a whole number from 2"),
        ("min_group", 1, "min_group is 1"),
        ("min_group", True, "min_group is true"),
        ("update_frequency", "often", "update_frequency is \"often\", expected one of mot_lan"),
        ("columns", [], "columns is empty"),
        ("columns", {}, "columns is an object, expected a list"),
        ("dimensions", None, "dimensions is null, expected a list"),
        ("dimensions", [{"name": "x"}], "dimensions[0] has no member 'expression'"),
    ],
)  # fmt: skip
def test_a_wrong_member_is_named(document: Document, read: Read, member: str, value: Json, sentence: str) -> None:
    assert sentence in fault(read, document | {member: value})


@pytest.mark.parametrize(
    ("member", "value", "sentence"),
    [
        ("name", "chi phí", "columns[5].name is \"chi phí\", expected one word"),
        ("name", 'x" FROM y --', "columns[5].name"),
        ("name", "x" * 64, "columns[5].name"),
        ("name", "KHOA", "columns names 'KHOA' twice"),
        ("type", "STRUCT(a INTEGER)", "columns[5].type is \"STRUCT(a INTEGER)\", expected one of BOOLEAN"),
        ("type", "decimal(12,2)", "columns[5].type"),
        ("type", "DECIMAL(39,2)", "columns[5].type"),
        ("type", "DECIMAL(2,3)", "columns[5].type"),
        ("sensitivity", "X", "columns[5].sensitivity is \"X\", expected one of D, P, Q, S, M, O"),
        ("nullable", 0, "columns[5].nullable is 0, expected true or false"),
        ("exposed", None, "columns[5].exposed is null"),
        ("unit", 5, "columns[5].unit is 5"),
        ("exposd", False, "columns[5] has a member 'exposd', which descriptors do not know"),
    ],
)  # fmt: skip
def test_a_wrong_column_is_named(document: Document, read: Read, member: str, value: Json, sentence: str) -> None:
    document["columns"][5][member] = value
    assert sentence in fault(read, document)


@pytest.mark.parametrize(
    ("name", "expression", "sentence"),
    [
        ("nhom", "nguoi % 10", "uses nguoi, expected only exposed columns of sensitivity Q, S or O"),
        ("nhom", "NGUOI % 10", "uses nguoi"),
        ("nhom", "case when \"nguoi\" = 1 then khoa end", "uses nguoi"),
        ("nhom", "chi_phi > 5", "uses chi_phi"),
        ("nhom", "so_phong + 1", "uses so_phong"),
        ("nhom", "1 + 1", "expected an expression over a column"),
        ("nhom", "khoa || $$'$$ || nguoi || $$'$$", "uses nguoi"),
        ("nhom", "khoa; DROP TABLE x", "expected one SQL expression"),
        ("nhom", "khoa -- x", "expected one SQL expression"),
        ("khoa", "left(benh, 1)", "dimensions[0].name is 'khoa', the name of a column"),
    ],
)  # fmt: skip
def test_a_wrong_dimension_is_named(document: Document, read: Read, name: str, expression: str, sentence: str) -> None:
    document["dimensions"] = [{"name": name, "expression": expression}]
    assert sentence in fault(read, document)


def test_two_dimensions_of_one_name_are_refused(document: Document, read: Read) -> None:
    document["dimensions"].append({"name": "THANG", "expression": "month(ngay)"})
    assert "one name twice" in fault(read, document)


def test_the_unit_must_be_there_in_every_row_and_open_to_counting(document: Document, read: Read) -> None:
    document["columns"][0]["nullable"] = True
    assert "privacy_unit" in fault(read, document)
    document["columns"][0] |= {"nullable": False, "exposed": False}
    assert "privacy_unit" in fault(read, document)


@pytest.mark.parametrize("missing", ["id", "title", "sector", "privacy_unit", "columns", "dimensions"])
def test_a_missing_member_is_named(document: Document, read: Read, missing: str) -> None:
    del document[missing]
    assert f"has no member '{missing}'" in fault(read, document)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"id": "a", "id": "b"}', "twice"),
        (b'{"min_group": 1.5}', "float"),
        ('{"title": "Hải"}'.encode("utf-16"), "not JSON in UTF-8"),
        ('{"title": "Ha\u0309i"}'.encode(), "NFC"),
        (b" " * (1 << 20) + b"{}", "bytes, expected at most"),
    ],
)
def test_what_is_no_strict_json_is_refused(content: bytes, sentence: str) -> None:
    with pytest.raises(Invalid, match=r"descriptor") as caught:
        read_descriptor(content)
    assert caught.value.code == "descriptor.invalid"
    assert sentence in caught.value.message


REPORT = "sha256:" + "ab" * 32
DERIVED: Document = {"label": "sản phẩm có giá trị gia tăng", "method": "gộp theo tháng", "inputs": "hồ sơ khám"}
CLAIMED: Document = {
    "flags": ["an_ninh"],
    "subject_count": 250_000,
    "subject_sensitive": True,
    "assessment": {"assessor": "to-chuc-danh-gia", "report": REPORT},
    "derived": DERIVED | {"frequency": "hang_thang"},
    "quality": {"vi": "Đủ", "en": "Complete"},
    "lawful_origin": {"vi": "Thu tại quầy", "en": "Taken at the counter"},
    "seller_status": "don_vi_su_nghiep",
}


def test_claims_are_read_and_read_back(document: Document, read: Read) -> None:
    claiming = read(document | CLAIMED)
    assert (claiming.flags, claiming.subject_count, claiming.subject_sensitive) == (("an_ninh",), 250_000, True)
    assert claiming.assessment == Assessment("to-chuc-danh-gia", REPORT)
    assert claiming.derived == Derivation(**DERIVED, frequency="hang_thang")
    assert claiming.seller_status == "don_vi_su_nghiep"
    assert read(describe(claiming)) == claiming
    assert {*CLAIMED} == {*CLAIMS} <= describe(claiming).keys()


def test_what_is_not_claimed_is_unknown_and_leaves_the_digest_as_it_was(document: Document, read: Read) -> None:
    silent = read(document)
    assert [getattr(silent, name) for name in CLAIMS] == [None] * len(CLAIMS)
    assert not {*CLAIMS} & describe(silent).keys()
    assert read(document | dict.fromkeys(CLAIMS)) == silent
    nothing = read(document | {"flags": [], "subject_count": 0, "subject_sensitive": False})
    assert (nothing.flags, nothing.subject_count, nothing.subject_sensitive) == ((), 0, False)
    assert describe(nothing).keys() - describe(silent).keys() == {"flags", "subject_count", "subject_sensitive"}


@pytest.mark.parametrize(
    ("member", "value", "sentence"),
    [
        ("flags", "an_ninh", "flags is \"an_ninh\", expected a list"),
        ("flags", ["bi_mat"], "flags[0] is \"bi_mat\", expected one of bi_mat_nha_nuoc"),
        ("flags", ["an_ninh", "an_ninh"], "flags is a list, expected each flag once"),
        ("subject_count", -1, "subject_count is -1, expected a whole number from 0"),
        ("subject_count", True, "subject_count is true"),
        ("subject_sensitive", 0, "subject_sensitive is 0, expected true or false"),
        ("assessment", "to-chuc", "assessment is \"to-chuc\", expected an object"),
        ("assessment", {"assessor": "to-chuc"}, "assessment has no member 'report'"),
        ("assessment", {"assessor": " ", "report": None}, "assessment.assessor is \" \""),
        ("assessment", {"assessor": "a", "report": "sha256:AB"}, "assessment.report is \"sha256:AB\", expected null"),
        ("derived", DERIVED, "derived has no member 'frequency'"),
        ("derived", DERIVED | {"frequency": "often"}, "derived.frequency is \"often\", expected one of mot_lan"),
        ("quality", {"vi": "Đủ"}, "quality has no member 'en'"),
        ("lawful_origin", "mua", "lawful_origin is \"mua\", expected an object"),
        ("seller_status", "cong_ty", "seller_status is \"cong_ty\", expected one of co_quan_nha_nuoc"),
    ],
)  # fmt: skip
def test_a_wrong_claim_is_named(document: Document, read: Read, member: str, value: Json, sentence: str) -> None:
    assert sentence in fault(read, document | {member: value})


def test_the_page_names_every_claim_and_word() -> None:
    page = (Path(__file__).parents[2] / "docs/formats/descriptor.md").read_text()
    assert [word for word in (*CLAIMS, *FLAGS, *SELLERS) if f"`{word}`" not in page] == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(member=st.sampled_from(Descriptor.__slots__), value=JSON, column=st.booleans())
def test_no_json_at_all_breaks_the_reader(member: str, value: Json, column: bool) -> None:
    words = {"vi": "a", "en": "a"}
    one: Document = {"name": "a", "type": "DATE", "sensitivity": "Q", "nullable": False, "meaning": words}
    whole: Document = {
        "id": "a", "title": words, "description": words, "sector": "a", "data_class": "mo", "origin": "tong_hop",
        "personal_origin": False, "deidentification": None, "privacy_unit": None, "min_group": None,
        "update_frequency": "mot_lan", "columns": [one, *([value] if column else [])], "dimensions": [],
    }  # fmt: skip
    with contextlib.suppress(Invalid):
        read_descriptor(json.dumps(whole | ({} if column else {member: value})).encode())


def test_reserved_words_are_those_that_the_engine_does_not_take_bare() -> None:
    with duckdb.connect() as engine:
        words = {word for (word,) in engine.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall()}
        refused = {word for word in words if not takes_bare(engine, word)}
    assert refused == RESERVED


def takes_bare(engine: duckdb.DuckDBPyConnection, word: str) -> bool:
    try:
        engine.execute(f'SELECT "{word}" AS x FROM (SELECT 1 AS "{word}") GROUP BY {word}')
        engine.execute(f'WITH "{word}" AS (SELECT 1) FROM {word}')
    except duckdb.Error:
        return False
    return True


def test_names_are_quoted_only_when_they_must_be() -> None:
    assert [quoted(name) for name in ("tuyen", "table", "Tinh", "tỉnh")] == ["tuyen", '"table"', '"Tinh"', '"tỉnh"']


def test_the_columns_of_an_expression_are_found_in_any_spelling(descriptor: Descriptor) -> None:
    def used(expression: str) -> list[str]:
        return [item.name for item in columns_in(expression, descriptor.columns)]

    assert used("date_trunc('month', \"LUC\")") == ["luc"]
    assert used("khoa || benh") == ["khoa", "benh"]
