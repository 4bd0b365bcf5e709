"""The published JSON Schema says what the program reads, and the samples are good contracts."""

import copy
import re
from datetime import timedelta

import pytest
from jsonschema import Draft202012Validator

from sandbox.contracts import clauses, envelope, odrl
from sandbox.contracts.reading import AGREEMENT, ANSWER, OFFER
from sandbox.contracts.terms import agreement_document, read_agreement, read_offer, read_request, request_document
from sandbox.core.canonical import canonical, digest_of, parse
from sandbox.core.errors import Invalid
from sandbox.core.keys import public_key

DATASETS = ["xe_buyt_luot_di", "cang_luot_tau", "dat_dai_giao_dich", "chi_so_cds", "hoa_don_dnnvv"]
DIGEST = "sha256:" + "6b" * 32
SIGNATURE = {"protected": "e30", "signature": "A" * 86}
RELATIONS = re.compile(
    r"the terms do not open|statement.fields (?!is|has)|dp.clipping bounds each|expected low below high|"
    r"aggregate_columns names a column twice|above dp.nano_rho_total"
)
"""How refusals begin or end that speak of several members at once: these a schema cannot say."""
WRONG = [None, "", "x y", -1, 0, 7, 10**15, True, [], ["x y"], [[]], {}]


@pytest.fixture(scope="module")
def schema(contracts):
    document = parse((contracts / "contract.schema.json").read_bytes())
    Draft202012Validator.check_schema(document)
    return document


def places(node, path=()):
    """Every member of a document, and the first and last item of each list, by its path."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, child in children:
        if isinstance(node, list) and 0 < name < len(node) - 1:
            continue
        yield (*path, name)
        yield from places(child, (*path, name))


def parent_of(document, path):
    for step in path[:-1]:
        document = document[step]
    return document


def variants(document, within):
    """The document with each place removed, given each wrong value, and with a member too many."""
    for path in places(document):
        if path[0] not in within:
            continue
        removed = copy.deepcopy(document)
        del parent_of(removed, path)[path[-1]]
        yield f"{path} removed", removed
        for value in WRONG:
            changed = copy.deepcopy(document)
            parent_of(changed, path)[path[-1]] = value
            yield f"{path} = {value!r}", changed
        added = copy.deepcopy(document)
        place = parent_of(added, (*path, ""))
        if isinstance(place, dict):
            place["more"] = 1
            yield f"{path} with more", added


def complaint(read, document):
    try:
        read(document)
    except Invalid as refusal:
        return refusal.message
    return None


def compare(schema, kind, read, whole, within):
    """The schema and the program agree on every variant of a document, but for relations between its members."""
    accepts = Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": schema["$defs"]}).is_valid
    assert accepts(whole)
    for name, document in variants(whole, within):
        said, fits = complaint(read, document), accepts(document)
        assert (said is None) == fits or (fits and RELATIONS.search(said)), f"{name}: {said}"


NOISE = {"nano_rho_query": 5, "nano_rho_total": 5, "delta_pico": 7, "groups_per_unit": 3}
CLIPPING = [{"column": "doanh_thu_vnd", "low": -5, "high": 9}, {"column": "thue_gtgt_vnd", "low": 0, "high": 9}]
BRIEF = {"scalar_functions": ["+", "date_trunc"], "row_filter": [{"column": "nam", "values": [2022, 2023]}]}
TERMS = {
    "rows": ("chi_so_cds", BRIEF | {"disallowed_output_columns": ["hang"]}),
    "units": ("hoa_don_dnnvv", BRIEF | {"row_filter": [{"column": "tinh", "values": ["Huế"]}], "version": "follows"}),
    "noise": ("hoa_don_dnnvv", BRIEF | {"row_filter": [], "release": "dp", "dp": NOISE | {"clipping": CLIPPING}}),
    "templates": ("hoa_don_dnnvv", BRIEF | {"row_filter": [], "release": "template", "templates": [DIGEST]}),
    "joins": (
        "hoa_don_dnnvv",
        BRIEF | {"row_filter": [], "release": "threshold", "join_columns": ["ngay_lap"], "join_condition": "any"},
    ),
}


@pytest.mark.parametrize(("dataset", "changed"), TERMS.values(), ids=TERMS.keys())
def test_the_schema_and_the_program_refuse_the_same_agreements(parties, schema, dataset, changed):
    offer = parties.offer_document(dataset, **changed)
    whole = agreement_document(offer, digest_of(offer), parties.buyer, bytes(32), parties.now)
    compare(schema, "agreement", read_agreement, whole, AGREEMENT if dataset == "chi_so_cds" else {"terms"})


def test_the_schema_and_the_program_refuse_the_same_offers_and_requests(parties, schema):
    offer = parties.offer_document(scalar_functions=["+"])
    request = request_document(offer, digest_of(offer), {}, parties.buyer, parties.now)
    compare(schema, "offer", read_offer, offer, OFFER - {"permission", "statement", "terms"})
    compare(schema, "request", read_request, request, (OFFER | ANSWER) - {"permission", "statement", "terms"})


def test_a_counter_offer_fits_the_schema_and_one_to_nobody_does_not(parties, schema):
    accepts = Draft202012Validator(schema).is_valid
    answer = parties.offer_document() | {"prev": DIGEST}
    assert accepts({"offer": answer | {"assignee": parties.buyer}, "signatures": [SIGNATURE]})
    assert not accepts({"offer": answer, "signatures": [SIGNATURE]})


@pytest.mark.parametrize("dataset", DATASETS)
def test_an_agreement_on_each_pilot_dataset_fits_the_schema(parties, schema, dataset):
    Draft202012Validator(schema).validate(parse(parties.agreed(parties.offer(dataset))))


def test_the_schema_names_every_member_and_no_other(schema):
    assert schema["$defs"]["agreement"]["properties"].keys() == AGREEMENT
    assert schema["$defs"]["offer"]["properties"].keys() == OFFER | ANSWER
    assert schema["$defs"]["request"]["properties"].keys() == OFFER | ANSWER
    assert schema["$defs"]["terms"]["properties"].keys() == clauses.MEMBERS - odrl.MEMBERS


@pytest.mark.parametrize("count", [0, 2, 4])
def test_the_schema_wants_three_signatures(parties, schema, count):
    document = parse(parties.agreed())
    document["signatures"] = (document["signatures"] * 2)[:count]
    assert not Draft202012Validator(schema).is_valid(document)


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_member_stands_in_every_terms_file(contracts, dataset):
    said = parse((contracts / "terms" / f"{dataset}.json").read_bytes())
    assert said.keys() == clauses.MEMBERS - {"not_after"} | {"term_days"}


# --- the samples ---
ASKED = {"price_vnd": 20_000, "price_plan": {"free_queries": 0}, "max_rows": 1_000, "retention_days": 90}


def sample(contracts, name):
    return (contracts / "samples" / name).read_bytes()


def requested(parties):
    offer = parties.offer_document()
    asked = request_document(offer, digest_of(offer), ASKED, parties.buyer, parties.now + timedelta(minutes=2))
    return envelope.sign_request(asked, parties.keys[parties.buyer])


def test_the_samples_verify_with_the_public_keys_beside_them(contracts, parties, schema):
    keys = {key.kid: key for key in map(public_key, parse(sample(contracts, "keys.json"))["keys"])}
    parties.by_kid = keys.get
    parties.owner_of = lambda kid: kid.partition("/")[0]
    offer = parties.open_offer(sample(contracts, "offer.json"))
    request = envelope.open_request(sample(contracts, "request.json"), parties)
    agreement = parties.open(sample(contracts, "agreement.json"))
    assert (agreement.offer, agreement.provider, agreement.dataset) == (offer.id, offer.provider, offer.dataset)
    assert (request.prev, request.buyer, request.terms.price) == (offer.id, agreement.buyer, 20_000)
    for name in ("offer.json", "request.json", "agreement.json"):
        Draft202012Validator(schema).validate(parse(sample(contracts, name)))


def test_the_samples_are_what_the_program_signs_today(contracts, parties):
    assert canonical(parse(sample(contracts, "offer.json"))) == parties.offer()
    assert canonical(parse(sample(contracts, "request.json"))) == requested(parties)
    assert canonical(parse(sample(contracts, "agreement.json"))) == parties.agreed()


def test_the_page_on_contracts_shows_a_whole_one_and_explains_every_member_of_the_terms(contracts, parties):
    page = (contracts.parent / "docs" / "formats" / "contract.md").read_text()
    shown = re.search(r"```json\n(.*?)```", page, re.DOTALL)[1]
    for placeholder, value in (
        ("urn:uuid:…", "urn:uuid:43548b2a-924b-8ac6-8159-52284a1fabf2"),
        ("sha256:<the offer or request>", DIGEST),
        ("sha256:<the dataset version>", DIGEST),
        ("<32 bytes, base64url>", "A" * 43),
        (", …]}", "]}"),
    ):
        assert placeholder in shown
        shown = shown.replace(placeholder, value)
    assert read_agreement(parse(shown.encode())["contract"]).buyer == parties.buyer
    heads = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    rows = {name for head in heads for name in re.findall(r"`(\w+)`", head)}
    assert rows >= clauses.MEMBERS - odrl.MEMBERS
