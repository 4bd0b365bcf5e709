"""Terms drafted from a descriptor read as terms, open what it exposes, and no more."""

import pytest

from sandbox.catalog.descriptor import describe
from sandbox.catalog.reading import read_descriptor
from sandbox.contracts.clauses import MEMBERS
from sandbox.contracts.drafting import draft, statement_of
from sandbox.contracts.statement import ROLES, SELLERS
from sandbox.contracts.terms import offer_document, read_offer
from sandbox.contracts.wording import ROLES as ROLE_WORDS
from sandbox.contracts.wording import SELLERS as SELLER_WORDS
from sandbox.core.canonical import parse
from sandbox.core.errors import Invalid
from sandbox.core.terms import ReleaseMode
from sandbox.query import functions

DATASETS = ["xe_buyt_luot_di", "cang_luot_tau", "dat_dai_giao_dich", "chi_so_cds", "hoa_don_dnnvv"]
DIGEST = "sha256:" + "6b" * 32
MODES = [*ReleaseMode]


@pytest.fixture
def descriptor(contracts):
    def read(dataset):
        return describe(read_descriptor((contracts.parent / "datasets" / dataset / "descriptor.json").read_bytes()))

    return read


@pytest.fixture
def template(contracts):
    return lambda mode: parse((contracts / "templates" / f"{mode}.json").read_bytes())


def measures_of(descriptor):
    return [each["name"] for each in descriptor["columns"] if each["sensitivity"] == "M" and each["exposed"]]


def drafted(descriptor, template):
    mode = template["release"]
    bounds = dict.fromkeys(measures_of(descriptor), (0, 100)) if mode == "dp" else None
    return draft(descriptor, template, [DIGEST] if mode == "template" else [], bounds)


def refused(*arguments):
    with pytest.raises(Invalid) as refusal:
        draft(*arguments)
    assert refusal.value.code == "contract.invalid"
    return refusal.value.message


@pytest.mark.parametrize("mode", MODES)
def test_a_template_has_every_clause_and_names_only_functions_that_were_reviewed(template, mode):
    said = template(mode)
    assert said.keys() == MEMBERS - {"not_after"} | {"term_days"}
    assert said["release"] == mode
    assert {*said["scalar_functions"]} <= functions.CALLS - functions.AGGREGATES


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_pilots_contracts_name_only_functions_that_were_reviewed(terms, dataset):
    reviewed = (functions.CALLS | functions.WINDOW_CALLS) - functions.AGGREGATES
    assert {*terms(dataset)["scalar_functions"]} <= reviewed


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dataset", DATASETS)
def test_a_draft_makes_an_offer_in_each_mode_that_fits_the_dataset(parties, descriptor, template, dataset, mode):
    facts = descriptor(dataset)
    if dataset == "chi_so_cds" and mode not in {"exact", "template"}:
        assert "names no privacy_unit" in refused(facts, template(mode))
        return
    terms = drafted(facts, template(mode))
    document = offer_document(terms, dataset, DIGEST, parties.provider, parties.now, statement_of(facts))
    read = read_offer(document).terms
    assert (read.release, read.unit, read.min_group) == (mode, facts["privacy_unit"], facts["min_group"] or 1)
    assert {*read.measured} == ({*measures_of(facts)} if read.unit else set())
    assert not {each["name"] for each in facts["columns"] if not each["exposed"]} & read.opened
    assert (read.price == 0) == (facts["data_class"] == "mo")
    if read.unit:
        assert {*read.dimensions} == {each["name"] for each in facts["dimensions"]}
        assert (read.columns, read.join_columns, read.compared_columns) == ((), (), ())


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_pilots_contracts_open_what_a_draft_opens(terms, descriptor, template, dataset):
    said, made = terms(dataset), draft(descriptor(dataset), template("exact"))
    opening = {"privacy_unit", "dimensions", "columns", "aggregate_columns", "output_constraints", "join_columns"}
    opening |= {"comparison_controls", "join_condition", "aggregate_expressions"}
    assert {name: said[name] for name in opening} == {name: made[name] for name in opening}


def test_a_dimension_over_a_column_is_drafted_where_no_unit_is_protected_and_a_bare_column_is_not(descriptor, template):
    facts = descriptor("chi_so_cds")
    facts["dimensions"] = [{"name": "nam", "expression": "nam"}, {"name": "thap_ky", "expression": "nam // 10"}]
    terms = draft(facts, template("exact"))
    assert terms["dimensions"] == ["thap_ky"]
    assert "nam" in terms["columns"]


def test_a_dataset_without_measures_is_drafted_for_counting(descriptor, template):
    facts = descriptor("hoa_don_dnnvv")
    facts["columns"] = [each for each in facts["columns"] if each["sensitivity"] != "M"]
    assert draft(facts, template("exact"))["aggregate_columns"] == []


def test_noise_asks_for_the_bounds_of_each_measure_and_of_nothing_else(descriptor, template):
    facts = descriptor("xe_buyt_luot_di")
    assert "thoi_gian_cho_giay has none" in refused(facts, template("dp"), (), {"gia_ve_vnd": (0, 7_000)})
    bounds = dict.fromkeys(measures_of(facts), (0, 7_000))
    assert "tuyen is no measure" in refused(facts, template("dp"), (), bounds | {"tuyen": (0, 1)})
    assert "low below high" in refused(facts, template("dp"), (), bounds | {"gia_ve_vnd": (7, 7)})


def test_a_draft_of_approved_queries_asks_for_their_digests(descriptor, template):
    facts = descriptor("hoa_don_dnnvv")
    assert "templates holds 0" in refused(facts, template("template"))
    assert "templates[0]" in refused(facts, template("template"), ["SELECT 1"])


def test_a_template_that_misses_a_clause_makes_no_draft(descriptor, template):
    said = template("exact")
    del said["retention_days"]
    assert "retention_days" in refused(descriptor("hoa_don_dnnvv"), said)


# --- the statement ---
def test_the_statement_names_each_field_with_its_role(descriptor):
    facts = descriptor("cang_luot_tau")
    said = statement_of(facts)
    roles = {field["name"]: field["role"] for field in said["fields"]}
    assert roles["hang_tau_pid"] == "pseudonym"
    assert roles["cang"] == "dimension"
    assert roles["teu_do"] == "measure"
    assert roles["luot_id"] == "withheld"
    assert [*roles] == [column["name"] for column in facts["columns"]]
    assert said["origin"] == facts["lawful_origin"]["vi"]
    assert said["seller_status"] == facts["seller_status"]


@pytest.mark.parametrize(
    "change", [{"seller_status": None}, {"lawful_origin": None}, {"lawful_origin": "x"}, {"seller_status": "ca_nhan"}]
)
def test_a_descriptor_that_claims_too_little_makes_no_statement(descriptor, change):
    with pytest.raises(Invalid) as refusal:
        statement_of(descriptor("hoa_don_dnnvv") | change)
    assert refusal.value.code == "contract.invalid"


def test_a_direct_identifier_is_never_offered(descriptor):
    facts = descriptor("hoa_don_dnnvv")
    facts["columns"][2]["sensitivity"] = "D"
    with pytest.raises(Invalid, match="never offered"):
        statement_of(facts)


def test_every_word_of_a_statement_can_be_said_to_people():
    assert {*SELLERS} == SELLER_WORDS.keys()
    assert {*ROLES.values(), "withheld"} == ROLE_WORDS.keys()
