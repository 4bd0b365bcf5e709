"""The verb ``contract``: explaining, drafting and comparing contracts, on files alone."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sandbox.cli.contract import contract
from sandbox.core.errors import Invalid, NotFound

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "contracts" / "samples"
INVOICES = str(ROOT / "datasets" / "hoa_don_dnnvv" / "descriptor.json")
BUSES = str(ROOT / "datasets" / "xe_buyt_luot_di" / "descriptor.json")


def run(*words: str, code: int = 0):
    done = CliRunner(env={"COLUMNS": "200"}).invoke(contract, words)
    assert done.exit_code == code, done.output
    return done


def refused(*words: str):
    done = run(*words, code=1)
    assert isinstance(done.exception, Invalid | NotFound)
    return done.exception


@pytest.mark.parametrize(("name", "signatures"), [("offer", 1), ("request", 1), ("agreement", 3)])
def test_a_signed_document_is_explained_and_its_signatures_are_only_counted(name: str, signatures: int) -> None:
    done = run("explain", str(SAMPLES / f"{name}.json"))
    assert "ít nhất 10 nguoi_ban_pid khác nhau" in done.stdout.replace("\n", " ")
    assert f"{signatures} signatures are present; whether they are good was not looked at" in done.stderr
    said = json.loads(run("explain", str(SAMPLES / f"{name}.json"), "--json").stdout)
    assert (said["signatures_present"], said["signatures_verified"]) == (signatures, False)
    assert said["id"].startswith("sha256:")
    assert {"member", "value", "vi", "en"} == said["clauses"][0].keys()


def test_a_terms_file_is_explained_in_english() -> None:
    done = run("explain", str(ROOT / "contracts" / "terms" / "chi_so_cds.json"), "--lang", "en")
    assert "Queries are free of charge" in done.stdout
    assert "signatures" not in done.stderr


def test_a_document_with_a_forged_signature_says_nothing_of_it(tmp_path: Path) -> None:
    document = json.loads((SAMPLES / "offer.json").read_text())
    document["signatures"] = [{"protected": "e30", "signature": "AA"}]
    (tmp_path / "offer.json").write_text(json.dumps(document))
    assert "whether they are good was not looked at" in run("explain", str(tmp_path / "offer.json")).stderr


def test_what_is_no_contract_is_not_explained(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"order": {}}')
    assert refused("explain", str(tmp_path / "x.json")).code == "contract.invalid"
    (tmp_path / "x.json").write_text("no JSON")
    assert refused("explain", str(tmp_path / "x.json")).code == "document.malformed"
    assert refused("explain", str(tmp_path / "missing.json")).code == "file.missing"


def test_a_draft_reads_as_terms(tmp_path: Path) -> None:
    out = str(tmp_path / "terms.json")
    run("draft", INVOICES, "--release", "threshold", "--out", out)
    assert "weaker" in run("explain", out, "--lang", "en").stdout
    bounds = ("--bounds", "gia_ve_vnd=0:7000", "--bounds", "thoi_gian_cho_giay=0:3600")
    run("draft", BUSES, "--release", "dp", *bounds, "--out", out)
    assert json.loads(Path(out).read_text())["dp"]["clipping"][0] == {"column": "gia_ve_vnd", "low": 0, "high": 7000}
    drafted = json.loads(run("draft", BUSES, "--release", "template", "--query", "sha256:" + "6b" * 32).stdout)
    assert drafted["templates"] == ["sha256:" + "6b" * 32]


def test_a_draft_that_cannot_be_made_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "terms.json"
    assert "thoi_gian_cho_giay" in refused("draft", BUSES, "--release", "dp", "--out", str(out)).message
    for bad in ("gia_ve_vnd", "gia_ve_vnd=1", "gia_ve_vnd=a:b", "gia_ve_vnd=1:2:3"):
        assert "COLUMN=LOW:HIGH" in run("draft", BUSES, "--release", "dp", "--bounds", bad, code=2).output
    assert refused("draft", str(SAMPLES / "offer.json"), "--release", "exact").code == "descriptor.invalid"
    run("draft", BUSES, "--release", "raw", code=2)
    assert not out.exists()


def test_a_request_is_compared_with_the_offer_that_it_answers() -> None:
    pair = (str(SAMPLES / "offer.json"), str(SAMPLES / "request.json"))
    done = run("diff", *pair)
    assert "25.000\u00a0₫" in done.stdout
    assert "20.000\u00a0₫" in done.stdout
    found = json.loads(run("diff", *pair, "--json").stdout)
    assert [each["member"] for each in found] == ["max_rows", "price_vnd", "price_plan", "retention_days"]
    assert (found[1]["first"]["value"], found[1]["second"]["value"]) == (25_000, 20_000)


def test_an_agreement_says_what_its_offer_says() -> None:
    assert "say the same" in run("diff", str(SAMPLES / "offer.json"), str(SAMPLES / "agreement.json")).stderr


def test_a_clause_that_one_of_two_lacks_is_a_dash() -> None:
    done = run("diff", str(ROOT / "contracts" / "terms" / "hoa_don_dnnvv.json"), str(SAMPLES / "offer.json"))
    assert "—" in done.stdout
