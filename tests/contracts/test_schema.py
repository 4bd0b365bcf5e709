"""The published JSON Schema says what the program reads, and the samples are good contracts."""

import copy

import pytest
from jsonschema import Draft202012Validator

from sandbox.contracts import clauses, odrl
from sandbox.contracts.terms import _AGREEMENT, read_agreement
from sandbox.core.canonical import canonical, parse
from sandbox.core.errors import Invalid
from sandbox.core.keys import public_key

DATASETS = ["xe_buyt_luot_di", "cang_luot_tau", "dat_dai_giao_dich", "chi_so_cds", "hoa_don_dnnvv"]
WRONG = [None, "", "x y", -1, 0, 7, 10**15, True, [], ["x y"], [[]], {}]


@pytest.fixture
def schema(contracts):
    document = parse((contracts / "contract.schema.json").read_bytes())
    Draft202012Validator.check_schema(document)
    return document


def places(node, path=()):
    """Every member and item of a document, by its path."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, child in children:
        yield (*path, name)
        yield from places(child, (*path, name))


def parent_of(document, path):
    for step in path[:-1]:
        document = document[step]
    return document


def variants(document):
    """The document with each place removed, given each wrong value, and with a member too many."""
    for path in places(document):
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


def reads(document):
    try:
        read_agreement(document)
    except Invalid:
        return False
    return True


@pytest.mark.parametrize("dataset", ["hoa_don_dnnvv", "chi_so_cds"])
def test_the_schema_and_the_program_refuse_the_same_documents(parties, schema, dataset):
    accepts = Draft202012Validator(schema).is_valid
    filtered = {"row_filter": [{"column": "nam", "values": [2022, 2023]}]}
    whole = parse(parties.agreed(parties.offer(dataset, **filtered)))
    assert accepts(whole)
    for name, document in variants(whole["contract"]):
        assert reads(document) == accepts(whole | {"contract": document}), name


@pytest.mark.parametrize("dataset", DATASETS)
def test_an_agreement_on_each_pilot_dataset_fits_the_schema(parties, schema, dataset):
    Draft202012Validator(schema).validate(parse(parties.agreed(parties.offer(dataset))))


def test_the_schema_names_every_member_and_no_other(schema):
    assert schema["$defs"]["agreement"]["properties"].keys() == _AGREEMENT
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
def sample(contracts, name):
    return (contracts / "samples" / name).read_bytes()


def test_the_samples_verify_with_the_public_keys_beside_them(contracts, parties, schema):
    keys = {key.kid: key for key in map(public_key, parse(sample(contracts, "keys.json"))["keys"])}
    parties.key_of = keys.get
    parties.owner_of = lambda kid: kid.partition("/")[0]
    offer = parties.open_offer(sample(contracts, "offer.json"))
    agreement = parties.open(sample(contracts, "agreement.json"))
    assert (agreement.offer, agreement.provider, agreement.dataset) == (offer.id, offer.provider, offer.dataset)
    Draft202012Validator(schema).validate(parse(sample(contracts, "agreement.json")))


def test_the_samples_are_what_the_program_signs_today(contracts, parties):
    assert canonical(parse(sample(contracts, "offer.json"))) == parties.offer()
    assert canonical(parse(sample(contracts, "agreement.json"))) == parties.agreed()
