"""The cast of the demo: who sells what to whom, what they ask, and what must be refused."""

from dataclasses import dataclass
from typing import Final

from sandbox.core.terms import Participant, ParticipantId, Role


@dataclass(frozen=True, slots=True)
class Deal:
    """One dataset's provider and buyer, and the purpose the buyer states."""

    dataset: str
    provider: str
    buyer: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that must be refused, and the rule or code that must refuse it."""

    tries: str
    dataset: str
    sql: str
    expected: str
    purpose: str | None = None


def member(slug: str, name: str, role: Role, tax_code: str | None = None) -> Participant:
    """An invented organisation in good standing."""
    standing = {"tax_code": tax_code, "entity_verified": True, "eid_level": 2, "payment_account": True}
    return Participant(ParticipantId(slug), name, frozenset({role}), **standing)  # type: ignore[arg-type]


MEMBERS: Final = (
    member("so-giao-thong", "Sở Giao thông vận tải", Role.PROVIDER),
    member("cang-vu", "Cảng vụ hàng hải", Role.PROVIDER),
    member("so-tai-nguyen", "Sở Tài nguyên và Môi trường", Role.PROVIDER),
    member("so-khoa-hoc", "Sở Khoa học và Công nghệ", Role.PROVIDER),
    member("hiep-hoi-ban-le", "Hiệp hội bán lẻ", Role.PROVIDER, tax_code="0312345678"),
    member("khoi-nghiep-xe-buyt", "Công ty khởi nghiệp xe buýt", Role.BUYER),
    member("cong-ty-logistics", "Công ty logistics", Role.BUYER),
    member("ngan-hang", "Ngân hàng", Role.BUYER),
    member("truong-dai-hoc", "Trường đại học", Role.BUYER),
    member("cong-ty-fintech", "Công ty fintech", Role.BUYER),
)
"""Everyone who trades in the pilot. All of them are invented."""
REGULATOR: Final = member("co-quan-giam-sat", "Cơ quan giám sát", Role.REGULATOR)
NEGOTIATED: Final = "cang_luot_tau"
"""The dataset whose price is bargained over."""
BARGAIN: Final = (30_000, 36_000)
"""What its buyer asks for and what its provider meets, in đồng a query; the offer says 40.000."""
CERTIFIED: Final = "hoa_don_dnnvv"
"""The dataset whose provider signs with a certificate of an authority."""

DEALS: Final = (
    Deal("xe_buyt_luot_di", "so-giao-thong", "khoi-nghiep-xe-buyt", "quy_hoach_tuyen"),
    Deal("cang_luot_tau", "cang-vu", "cong-ty-logistics", "khai_thac_cang"),
    Deal("dat_dai_giao_dich", "so-tai-nguyen", "ngan-hang", "thong_ke"),
    Deal("chi_so_cds", "so-khoa-hoc", "truong-dai-hoc", "nghien_cuu"),
    Deal("hoa_don_dnnvv", "hiep-hoi-ban-le", "cong-ty-fintech", "thong_ke"),
)

TOP_UP_VND: Final = 300_000
"""What each buyer prepays: enough for its own queries, not for many more."""

REFUSALS: Final = (
    Refusal(
        "a purpose that the contract does not name",
        "xe_buyt_luot_di",
        "SELECT tuyen, count(*) AS luot FROM xe_buyt_luot_di GROUP BY tuyen",
        "CONT-03",
        "ban_lai",
    ),
    Refusal(
        "a dataset that was not bought",
        "xe_buyt_luot_di",
        "SELECT count(*) FROM hoa_don_dnnvv",
        "CONT-06",
    ),
    Refusal(
        "a column that the contract withholds",
        "dat_dai_giao_dich",
        "SELECT loai_dat, avg(don_gia_vnd_m2) FROM dat_dai_giao_dich GROUP BY loai_dat",
        "CONT-06",
    ),
    Refusal(
        "one rider's own trips",
        "xe_buyt_luot_di",
        "SELECT tuyen, count(*) FROM xe_buyt_luot_di WHERE hanh_khach_pid = 42 GROUP BY tuyen",
        "QRY-09",
    ),
    Refusal(
        "a file of the server",
        "chi_so_cds",
        "SELECT * FROM read_csv('/etc/passwd')",
        "CONT-06",
    ),
    Refusal(
        "writing the data out from inside a SELECT",
        "chi_so_cds",
        "WITH x AS (COPY (SELECT * FROM chi_so_cds) TO 'out.csv') SELECT 1",
        "QRY-01",
    ),
    Refusal(
        "two statements in one",
        "chi_so_cds",
        "SELECT 1; DROP VIEW chi_so_cds",
        "QRY-01",
    ),
)
"""Requests that no buyer may make; the demo fails if one of them is answered."""
