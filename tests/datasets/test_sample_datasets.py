"""The pilot's five datasets: descriptors that fit, files from one seed, and twenty queries that stay within them."""

import hashlib
import importlib.util
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import duckdb
import pyarrow.parquet as pq
import pytest

from sandbox.catalog.dataset import Descriptor, draft_descriptor, read_descriptor
from sandbox.catalog.examination import Examined, examine_here

DATASETS = Path(__file__).parents[2] / "datasets"
IDS = ("xe_buyt_luot_di", "cang_luot_tau", "dat_dai_giao_dich", "chi_so_cds", "hoa_don_dnnvv")
QUERIES = re.findall(r"^-- (\w+) (\d): .+\n((?:[^-\n].*\n?)+)", (DATASETS / "queries.sql").read_text(), re.MULTILINE)
SCALE = 0.02


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sample_datasets", DATASETS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def files(maker: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("datasets")
    return {name: maker.generate(name, root / name / "v1.parquet", SCALE) for name in IDS}


@pytest.fixture(scope="module")
def views(files: dict[str, Path]) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone='Asia/Ho_Chi_Minh'")
        for name, path in files.items():
            connection.execute(f"CREATE VIEW {name} AS FROM read_parquet('{path}')")
        yield connection


def descriptor_of(name: str) -> Descriptor:
    return read_descriptor((DATASETS / name / "descriptor.json").read_bytes())


def examined_of(name: str, files: dict[str, Path]) -> Examined:
    return examine_here(descriptor_of(name), [files[name]])


def test_there_are_five_descriptors_each_under_its_own_name() -> None:
    assert sorted(path.parent.name for path in DATASETS.glob("*/descriptor.json")) == sorted(IDS)
    assert all(descriptor_of(name).id == name for name in IDS)


@pytest.mark.parametrize("name", IDS)
def test_each_file_is_what_its_descriptor_says(name: str, files: dict[str, Path]) -> None:
    examined = examined_of(name, files)
    assert examined.rows == pq.read_metadata(files[name]).num_rows
    types = {column.name: column.type for column in descriptor_of(name).columns}
    assert types == {column["name"]: column["type"] for column in draft_descriptor(files[name], name)["columns"]}


@pytest.mark.parametrize(
    ("name", "rows", "unit", "units"),
    [
        ("xe_buyt_luot_di", 24_000, "hanh_khach_pid", 4_533),
        ("cang_luot_tau", 60_000, "hang_tau_pid", 180),
        ("dat_dai_giao_dich", 8_000, "chu_su_dung_pid", 4_112),
        ("chi_so_cds", 8_795, None, None),
        ("hoa_don_dnnvv", 40_000, "nguoi_ban_pid", 799),
    ],
)
def test_rows_and_units_are_those_of_the_seed(
    name: str, rows: int, unit: str | None, units: int | None, files: dict[str, Path]
) -> None:
    """Counts are pinned and digests are not: the bytes also depend on the versions of pyarrow and numpy."""
    examined = examined_of(name, files)
    assert descriptor_of(name).privacy_unit == unit
    assert examined.rows == rows
    if unit is not None:
        assert examined.statistics[unit]["distinct"] == units


@pytest.mark.parametrize("name", IDS)
def test_one_seed_gives_the_same_bytes_again(
    name: str, maker: ModuleType, files: dict[str, Path], tmp_path: Path
) -> None:
    again = maker.generate(name, tmp_path / "again.parquet", SCALE)
    digests = [hashlib.sha256(path.read_bytes()).digest() for path in (again, files[name])]
    assert digests[0] == digests[1]
    assert [path.name for path in tmp_path.iterdir()] == ["again.parquet"]


def test_the_kept_indices_are_those_that_are_generated(maker: ModuleType) -> None:
    kept = DATASETS / "chi_so_cds" / "v1.parquet"
    assert pq.read_table(kept).equals(maker.table("chi_so_cds"))
    assert examine_here(descriptor_of("chi_so_cds"), [kept]).rows == 8_795


def test_no_figure_is_invented_for_a_real_place(maker: ModuleType) -> None:
    rows = maker.table("chi_so_cds").to_pylist()
    assert sum(row["nguon"] != "tong_hop" for row in rows) == 59
    assert {row["nguon"] for row in rows if not row["dia_phuong"].startswith("Tỉnh mẫu ")} == {
        "bo_tttt_2023", "dti_2022", "bao_chi_2025"
    }  # fmt: skip


@pytest.mark.parametrize(("name", "scale"), [("khong_co", 1.0), ("chi_so_cds", 0.0), ("chi_so_cds", float("nan"))])
def test_an_unknown_dataset_or_scale_is_refused_and_nothing_is_written(
    name: str, scale: float, maker: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="expected"):
        maker.generate(name, tmp_path / "x.parquet", scale)
    assert list(tmp_path.iterdir()) == []


def test_the_command_makes_what_it_is_asked_for(
    maker: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maker.main(["--out", str(tmp_path), "--scale", "0.01", "chi_so_cds", "hoa_don_dnnvv"])
    assert sorted(path.parent.name for path in tmp_path.rglob("*.parquet")) == ["chi_so_cds", "hoa_don_dnnvv"]
    assert "chi_so_cds" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        maker.main(["--out", str(tmp_path), "khong_co"])


@pytest.mark.parametrize("name", IDS)
def test_texts_are_composed_and_say_something_in_both_languages(name: str) -> None:
    text = (DATASETS / name / "descriptor.json").read_text()
    assert unicodedata.is_normalized("NFC", text)
    document = json.loads(text)
    for words in (document["title"], document["description"], *(column["meaning"] for column in document["columns"])):
        assert words["vi"] != words["en"]


def test_the_columns_that_single_out_are_withheld() -> None:
    withheld = {f"{name}.{column.name}" for name in IDS for column in descriptor_of(name).columns if not column.exposed}
    assert withheld == {
        "cang_luot_tau.luot_id", "cang_luot_tau.roi_ben_luc",
        "dat_dai_giao_dich.thua_dat_pid", "dat_dai_giao_dich.don_gia_vnd_m2",
    }  # fmt: skip


def test_there_are_four_queries_to_each_dataset() -> None:
    assert [(name, number) for name, number, _ in QUERIES] == [(name, str(i)) for name in IDS for i in range(1, 5)]


@pytest.mark.parametrize(("name", "number", "sql"), QUERIES, ids=lambda value: value if len(value) < 20 else "")
def test_each_query_runs(name: str, number: str, sql: str, views: duckdb.DuckDBPyConnection) -> None:
    assert views.sql(sql).to_arrow_table().num_rows > 0


@pytest.mark.parametrize(("name", "number", "sql"), QUERIES, ids=lambda value: value if len(value) < 20 else "")
def test_each_query_touches_only_what_is_exposed_and_groups_by_declared_dimensions(
    name: str, number: str, sql: str, views: duckdb.DuckDBPyConnection
) -> None:
    descriptor = descriptor_of(name)
    words = set(re.findall(r"\w+", sql))
    assert words & {column.name for column in descriptor.columns} <= {column.name for column in descriptor.exposed}
    if descriptor.privacy_unit is None:
        return
    dimensions = {dimension.name: dimension.expression for dimension in descriptor.dimensions}
    for expression in re.findall(r"\b(?:extract|date_trunc)\([^)]*\)", sql):
        assert expression in dimensions.values()
    grouped = re.search(r"GROUP BY ([\w, ]+);", sql)
    assert grouped is not None
    assert {key.strip() for key in grouped[1].split(",")} <= set(dimensions)


@pytest.mark.parametrize("name", IDS)
def test_each_dimension_is_an_expression_of_the_engine(name: str, views: duckdb.DuckDBPyConnection) -> None:
    for dimension in descriptor_of(name).dimensions:
        groups = views.sql(f"SELECT {dimension.expression}, count(*) FROM {name} GROUP BY 1").to_arrow_table()
        assert 2 <= groups.num_rows <= 200


def test_the_answers_hold_what_the_pilot_is_about(views: duckdb.DuckDBPyConnection) -> None:
    """The home platform costs a fifth of the foreign one; the region is 0,12 and 0,135 from its targets."""
    fees = "SELECT nen_tang, sum(phi_nen_tang_vnd) / count(*) FROM cang_luot_tau GROUP BY nen_tang"
    assert dict(views.execute(fees).fetchall()) == {"trong_nuoc": 500_000, "nuoc_ngoai": 2_500_000}
    gaps = "SELECT muc_tieu_1e4 - gia_tri_1e4 FROM chi_so_cds WHERE muc_tieu_1e4 IS NOT NULL ORDER BY 1"
    assert views.execute(gaps).fetchall() == [(1_200,), (1_350,)]
