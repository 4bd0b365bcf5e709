"""Make the pilot's five sample datasets as Parquet, the same every time, from one fixed seed.

    python datasets/generate.py --out DIR [--scale 1.0] [DATASET ...]

writes DIR/<dataset-id>/v1.parquet. Every row is synthetic, except the rows of `chi_so_cds` whose `nguon` is not
`tong_hop`: those are published figures. Money is integer dong, areas are integer dm2, indices are integer
ten-thousandths, times are UTC; nothing is a float, so sums are exact and noise can be exact too.
`--scale` multiplies rows and privacy units together (0.02 is enough for tests). `chi_so_cds` keeps its size and
`cang_luot_tau` never shrinks: with fewer calls no cell of its cube would be safe.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

SEED = 20240530
ROW_GROUP = 122_880  # DuckDB's own vector-friendly size
LOCAL_OFFSET_S = 7 * 3600  # Asia/Ho_Chi_Minh has no daylight saving time
SYNTHETIC = "tong_hop"

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Rng = np.random.Generator


# --- small words ---------------------------------------------------------------------------------------------------
def scaled(count: int, scale: float) -> int:
    """How many rows or units a dataset of nominal size `count` has at this scale."""
    return max(1, round(count * scale))


def pseudonyms(count: int, salt: int) -> npt.NDArray[np.uint64]:
    """Distinct 64-bit keys that show no order: splitmix64, a bijection, of 0..count-1."""
    z = np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def pick(rng: Rng, count: int, weights: Sequence[float] | Floats) -> Ints:
    """`count` indices, drawn in proportion to `weights`."""
    p = np.asarray(weights, dtype=np.float64)
    return np.asarray(rng.choice(len(p), count, p=p / p.sum()), dtype=np.int64)


def words(vocabulary: Sequence[str], index: Ints) -> pa.DictionaryArray:
    """A dictionary-encoded text column."""
    return pa.DictionaryArray.from_arrays(pa.array(index.astype(np.int16)), pa.array(list(vocabulary)))


def instants(first_day: str, local_days: Floats) -> pa.Array:
    """UTC timestamps for moments given as local days (with fraction) since `first_day`."""
    seconds = (local_days * 86_400).astype(np.int64) - LOCAL_OFFSET_S
    stamps = np.datetime64(first_day, "s") + seconds.astype("timedelta64[s]")
    return pa.array(stamps.astype("datetime64[ms]"), pa.timestamp("ms")).cast(pa.timestamp("ms", tz="UTC"))


def days(first_day: str, offsets: Ints) -> pa.Array:
    """Calendar days, local."""
    return pa.array(np.datetime64(first_day, "D") + offsets.astype("timedelta64[D]"), pa.date32())


def thousands(values: Floats) -> Ints:
    """Dong amounts rounded down to 1.000."""
    return (values / 1000).astype(np.int64) * 1000


# --- 1. bus boardings (unit: rider) --------------------------------------------------------------------------------
BUS_NUMBERS = (
    1,
    3,
    4,
    8,
    14,
    19,
    20,
    27,
    32,
    33,
    36,
    39,
    45,
    50,
    53,
    56,
    65,
    69,
    72,
    93,
    99,
    102,
    103,
    104,
    109,
    150,
    151,
    152,
    604,
)
BUS_ROUTES = [*(str(number) for number in BUS_NUMBERS), "D4"]
BUS_ZONES = [f"KV{i:02d}" for i in range(1, 23)]
FARE_KINDS = ["pho_thong", "hoc_sinh_sinh_vien", "nguoi_cao_tuoi", "nguoi_khuyet_tat"]
BUS_CHANNELS = ["zalo", "the_thong_minh", "vi_dien_tu", "tien_mat"]
HOURLY = [0, 0, 0, 0, 1, 5, 10, 12, 8, 5, 4, 5, 6, 5, 4, 5, 9, 11, 7, 4, 2, 1, 0, 0]


def xe_buyt_luot_di(rng: Rng, scale: float) -> pa.Table:
    """Boardings over 91 days; a few riders travel daily, most rarely; a rider keeps one fare kind."""
    n, riders = scaled(1_200_000, scale), scaled(250_000, scale)
    habit = rng.zipf(2.2, riders).clip(1, 60).astype(np.float64)
    rider = pick(rng, n, habit)
    kind = pick(rng, riders, [0.58, 0.33, 0.07, 0.02])[rider]
    fare = np.select([kind == 0, kind == 1], [6_000 + 1_000 * rng.integers(0, 2, n), np.full(n, 3_000)], 0)
    moment = rng.integers(0, 91, n) + (pick(rng, n, HOURLY) + rng.random(n)) / 24
    return pa.table(
        {
            "hanh_khach_pid": pseudonyms(riders, 1)[rider],
            "len_xe_luc": instants("2026-04-01", moment),
            "tuyen": words(BUS_ROUTES, pick(rng, n, 1 / np.arange(1, len(BUS_ROUTES) + 1) ** 0.6)),
            "khu_vuc_len": words(BUS_ZONES, rng.integers(0, 22, n)),
            "khu_vuc_xuong": words(BUS_ZONES, rng.integers(0, 22, n)),
            "doi_tuong_ve": words(FARE_KINDS, kind),
            "kenh_mua_ve": words(BUS_CHANNELS, pick(rng, n, [0.34, 0.18, 0.16, 0.32])),
            "gia_ve_vnd": fare.astype(np.int32),
            "thoi_gian_cho_giay": rng.gamma(2.5, 150, n).astype(np.int32),
        }
    )


# --- 2. port calls (unit: carrier) ---------------------------------------------------------------------------------
PORTS = [
    "CAT_LAI",
    "HIEP_PHUOC",
    "TAN_THUAN",
    "CAI_MEP_TCIT",
    "CAI_MEP_GEMALINK",
    "THI_VAI",
    "DONG_NAI_PHUOC_AN",
    "BINH_DUONG_ICD",
    "CAN_GIO_DU_AN",
]
FLAGS = ["VN", "SG", "PA", "LR", "HK", "MH", "KR", "JP"]
PLATFORMS = ["nuoc_ngoai", "trong_nuoc"]
PLATFORM_FEE_VND = np.array([2_500_000, 500_000])  # the home platform costs 20 % of the foreign one


def cang_luot_tau(rng: Rng, scale: float) -> pa.Table:
    """Ship calls over two years; a few carriers dominate."""
    n, carriers = scaled(60_000, max(scale, 1.0)), 180
    teu = rng.lognormal(6.3, 0.9, n)
    unloaded, platform = rng.random(n), pick(rng, n, [0.45, 0.55])
    arrival, berth_minutes = rng.integers(0, 730, n) + rng.random(n), rng.gamma(4, 360, n).astype(np.int64) + 30
    return pa.table(
        {
            "luot_id": np.arange(1, n + 1, dtype=np.int64),
            "hang_tau_pid": pseudonyms(carriers, 2)[pick(rng, n, 1 / np.arange(1, carriers + 1) ** 1.1)],
            "cang": words(PORTS, pick(rng, n, [30, 9, 7, 14, 12, 9, 8, 10, 1])),
            "quoc_tich": words(FLAGS, rng.integers(0, len(FLAGS), n)),
            "cap_ben_luc": instants("2024-10-01", arrival),
            "roi_ben_luc": instants("2024-10-01", arrival + berth_minutes / 1440),
            "phut_nam_ben": berth_minutes.astype(np.int32),
            "teu_do": (teu * unloaded).astype(np.int32),
            "teu_xep": (teu * (1 - unloaded)).astype(np.int32),
            "teu_trung_chuyen": (teu * 0.25 * rng.random(n)).astype(np.int32),
            "tan_hang": (teu * 11.5).astype(np.int64),
            "nen_tang": words(PLATFORMS, platform),
            "phi_nen_tang_vnd": PLATFORM_FEE_VND[platform].astype(np.int64),
        }
    )


# --- 3. land transactions (unit: land user) ------------------------------------------------------------------------
WARDS = [f"P{i:05d}" for i in range(26_734, 26_734 + 168)]
LAND_KINDS = ["ODT", "ONT", "TMD", "SKC", "CLN", "LUC"]
LAND_BASE_VND_M2 = np.array([85e6, 28e6, 110e6, 22e6, 6e6, 2.5e6])
LAND_ONLINE_SHARE = 0.7  # the target for dossiers filed online
DEALS = ["chuyen_nhuong", "the_chap", "thua_ke", "tang_cho", "cho_thue"]


def dat_dai_giao_dich(rng: Rng, scale: float) -> pa.Table:
    """Registered dealings from 2023-01-01 to 2026-10-31; each ward has its own price level."""
    n, users = scaled(400_000, scale), scaled(260_000, scale)
    ward, kind = pick(rng, n, rng.gamma(2, 1, len(WARDS))), pick(rng, n, [52, 18, 8, 6, 12, 4])
    level = rng.lognormal(0, 0.25, len(WARDS))[ward]
    price = thousands(LAND_BASE_VND_M2[kind] * level * rng.lognormal(0, 0.45, n))
    area_dm2 = (rng.lognormal(4.6, 0.6, n) * 100).astype(np.int64)
    return pa.table(
        {
            "thua_dat_pid": pseudonyms(n, 3),
            "chu_su_dung_pid": pseudonyms(users, 4)[rng.integers(0, users, n)],
            "phuong_xa": words(WARDS, ward),
            "loai_dat": words(LAND_KINDS, kind),
            "dien_tich_dm2": area_dm2,
            "loai_giao_dich": words(DEALS, pick(rng, n, [55, 25, 8, 7, 5])),
            "ngay_giao_dich": days("2023-01-01", rng.integers(0, 1_400, n)),
            "don_gia_vnd_m2": price,
            "tri_gia_vnd": price * area_dm2 // 100,
            "ho_so_truc_tuyen": rng.random(n) < LAND_ONLINE_SHARE,
        }
    )


# --- 4. digital transformation indices (no unit, open) -------------------------------------------------------------
Index = tuple[str, str, int, str, int | None, int | None, int | None, str]
INDEX_COLUMNS = ("dia_phuong", "cap", "nam", "chi_so", "gia_tri_1e4", "hang", "muc_tieu_1e4", "nguon")
PARTS = [
    "nhan_thuc_so",
    "the_che_so",
    "ha_tang_so",
    "nhan_luc_so",
    "an_toan_thong_tin",
    "chinh_quyen_so",
    "kinh_te_so",
    "xa_hoi_so",
]
SOUTH_EAST = "Vùng Đông Nam Bộ"
DTI_2022 = {  # the eight parts, then the whole; places 1 to 5
    "Đà Nẵng": (10000, 9000, 8253, 8487, 7578, 8575, 7836, 5197, 8002),
    "TP.HCM": (8917, 9000, 8258, 6267, 5580, 8406, 7611, 3590, 7163),
    "Quảng Ninh": (9581, 9000, 7648, 6250, 5382, 8385, 5904, 4505, 7024),
    "Huế": (9500, 9000, 6823, 6794, 6423, 8262, 6787, 3001, 6975),
    "Cần Thơ": (9000, 8000, 7233, 7376, 7226, 7325, 7556, 2947, 6924),
}
DTI_2022_RANK_ONLY = {
    "Bình Phước": 12,
    "Hải Dương": 13,
    "Bình Dương": 19,
    "Bà Rịa - Vũng Tàu": 28,
    "Tây Ninh": 40,
    "Đồng Nai": 43,
}
DTI_LATER = [
    ("Cả nước", "quoc_gia", 2023, 7326),
    ("Cả nước", "quoc_gia", 2024, 7955),
    ("Hà Nội", "tinh", 2024, 8241),
    ("Huế", "tinh", 2024, 7951),
    ("Hải Phòng", "tinh", 2024, 7857),
    ("TP.HCM", "tinh", 2024, 7770),
]


def published_indices() -> list[Index]:
    """The real figures; a place whose value was not published gets its rank alone."""
    rows: list[Index] = [
        (SOUTH_EAST, "vung", 2022, "ha_tang_so", 7300, 1, 8500, "bo_tttt_2023"),
        (SOUTH_EAST, "vung", 2022, "dti", 6150, 2, 7500, "bo_tttt_2023"),
    ]
    for rank, (place, values) in enumerate(DTI_2022.items(), 1):
        rows += [
            (place, "tinh", 2022, name, value, rank if name == "dti" else None, None, "dti_2022")
            for name, value in zip([*PARTS, "dti"], values, strict=True)
        ]
    rows += [(place, "tinh", 2022, "dti", None, rank, None, "dti_2022") for place, rank in DTI_2022_RANK_ONLY.items()]
    rows += [(place, level, year, "dti", value, None, None, "bao_chi_2025") for place, level, year, value in DTI_LATER]
    return rows


def synthetic_indices(rng: Rng) -> list[Index]:
    """52 invented provinces, three years; their 2022 index stays below the real fifth place."""
    rows: list[Index] = []
    for number in range(1, 53):
        talent = int(rng.integers(4_200, 6_000))
        for year in (2022, 2023, 2024):
            parts = [talent + 450 * (year - 2022) + int(rng.integers(-700, 701)) for _ in PARTS]
            names = [*PARTS, "dti", *(f"tp_{k:02d}" for k in range(1, 48))]
            values = [*parts, sum(parts) // len(parts), *(talent + int(x) for x in rng.integers(-1_500, 1_501, 47))]
            rows += [
                (f"Tỉnh mẫu {number:02d}", "tinh", year, name, value, None, None, SYNTHETIC)
                for name, value in zip(names, values, strict=True)
            ]
    return rows


def chi_so_cds(rng: Rng, scale: float) -> pa.Table:
    """Long table of indices in ten-thousandths; `scale` changes nothing here."""
    columns = list(zip(*(published_indices() + synthetic_indices(rng)), strict=True))
    kinds = (pa.string(), pa.string(), pa.int16(), pa.string(), pa.int32(), pa.int16(), pa.int32(), pa.string())
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    return pa.table(dict(zip(INDEX_COLUMNS, arrays, strict=True)))


# --- 5. small-business invoices (unit: seller) ---------------------------------------------------------------------
PROVINCES = ["TP.HCM", "Đồng Nai", "Tây Ninh", "Lâm Đồng", "Hải Phòng", "Huế"]
TRADES = ["ban_le", "an_uong", "luu_tru", "lu_hanh", "nong_san", "dich_vu_so"]
ONLINE_SHARE = np.array([0.34, 0.41, 0.55, 0.48, 0.22, 0.71])
TOURIST_SHARE = np.array([0.14, 0.27, 0.62, 0.68, 0.06, 0.05])
PAYMENTS = ["tien_mat", "chuyen_khoan", "vi_dien_tu", "the_quoc_te"]


def hoa_don_dnnvv(rng: Rng, scale: float) -> pa.Table:
    """Invoices of a year; sellers differ widely in size and stay in one province and one trade."""
    n, sellers = scaled(2_000_000, scale), scaled(40_000, scale)
    seller = pick(rng, n, rng.pareto(1.3, sellers) + 0.3)
    trade = pick(rng, sellers, [28, 22, 14, 16, 12, 8])[seller]
    revenue = thousands(rng.lognormal(13.2, 1.3, n)) + 1_000
    return pa.table(
        {
            "nguoi_ban_pid": pseudonyms(sellers, 5)[seller],
            "ngay_lap": days("2025-10-01", rng.integers(0, 365, n)),
            "tinh": words(PROVINCES, pick(rng, sellers, [45, 18, 12, 10, 10, 5])[seller]),
            "nganh": words(TRADES, trade),
            "doanh_thu_vnd": revenue,
            "thue_gtgt_vnd": revenue * 8 // 100,
            "thanh_toan": words(PAYMENTS, pick(rng, n, [0.24, 0.31, 0.33, 0.12])),
            "ban_truc_tuyen": rng.random(n) < ONLINE_SHARE[trade],
            "khach_du_lich": rng.random(n) < TOURIST_SHARE[trade],
        }
    )


MAKERS: Mapping[str, Callable[[Rng, float], pa.Table]] = {
    "xe_buyt_luot_di": xe_buyt_luot_di,
    "cang_luot_tau": cang_luot_tau,
    "dat_dai_giao_dich": dat_dai_giao_dich,
    "chi_so_cds": chi_so_cds,
    "hoa_don_dnnvv": hoa_don_dnnvv,
}


def table(dataset_id: str, scale: float = 1.0) -> pa.Table:
    """One dataset's rows. Each has its own stream of chance, so changing one leaves the others as they were.

    Raises:
        ValueError: for a dataset that is none of the five, or a scale that is no number above 0.
    """
    if dataset_id not in MAKERS:
        raise ValueError(f"got dataset {dataset_id!r}, expected one of {', '.join(MAKERS)}")
    if not 0 < scale < float("inf"):
        raise ValueError(f"got scale {scale}, expected a number above 0")
    number = 1 + list(MAKERS).index(dataset_id)
    return MAKERS[dataset_id](np.random.default_rng([SEED, number]), scale)


def generate(dataset_id: str, path: Path, scale: float = 1.0) -> Path:
    """Write one dataset to `path`; the bytes depend on the scale and on the versions of pyarrow and numpy alone."""
    rows = table(dataset_id, scale)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")  # pyarrow leaves a truncated file under its name when it is stopped
    pq.write_table(rows, part, compression="zstd", row_group_size=ROW_GROUP)
    return part.replace(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the datasets that are named, or all."""
    parser = argparse.ArgumentParser(description="Make the five sample datasets.")
    parser.add_argument("datasets", nargs="*", metavar="DATASET", help=f"any of {', '.join(MAKERS)} (default: all)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rows and units, such as 0.02")
    options = parser.parse_args(arguments)
    try:
        for dataset_id in options.datasets or MAKERS:
            path = generate(dataset_id, options.out / dataset_id / "v1.parquet", options.scale)
            rows = pq.read_metadata(path)
            print(
                f"{dataset_id:18} {rows.num_rows:>9} rows {rows.num_columns:>3} columns {path.stat().st_size:>10} bytes"
            )
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
