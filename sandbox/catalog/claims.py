"""What a provider claims of a dataset, as the law asks a seller to; a claim that is not made is ``None``."""

from typing import Final

from sandbox.catalog import members as read
from sandbox.catalog.descriptor import FLAGS, FREQUENCIES, SELLERS, Assessment, Derivation
from sandbox.core.canonical import Json
from sandbox.core.terms import DIGEST

MOST_PERSONS: Final = 10_000_000_000


def flags(value: Json) -> tuple[str, ...] | None:
    """What forbids trade; an empty list says that nothing does."""
    if value is None:
        return None
    items = read.list_of(value, "flags", len(FLAGS))
    named = tuple(read.choice(item, f"flags[{index}]", FLAGS) for index, item in enumerate(items))
    if len({*named}) != len(named):
        read.expect("flags", value, "each flag once")
    return named


def subject_count(value: Json) -> int | None:
    """How many natural persons the rows are about, at most."""
    return None if value is None else read.whole(value, "subject_count", 0, MOST_PERSONS)


def subject_sensitive(value: Json) -> bool | None:
    """Whether the rows tell anything sensitive of those persons."""
    return None if value is None else read.flag(value, "subject_sensitive")


def assessment(value: Json) -> Assessment | None:
    """Who assessed the dataset, with the digest of the report if there is one."""
    if value is None:
        return None
    given = read.object_of(value, "assessment", Assessment.__slots__)
    report = given["report"]
    if report is not None and not (isinstance(report, str) and DIGEST.fullmatch(report)):
        read.expect("assessment.report", report, "null, or sha256: and 64 small hexadecimal digits")
    return Assessment(read.text(given["assessor"], "assessment.assessor", 200), report)


def derived(value: Json) -> Derivation | None:
    """How a product of added value was made; original data has nothing to say here."""
    if value is None:
        return None
    given = read.object_of(value, "derived", Derivation.__slots__)
    return Derivation(
        label=read.text(given["label"], "derived.label", 200),
        method=read.text(given["method"], "derived.method", 2_000),
        inputs=read.text(given["inputs"], "derived.inputs", 2_000),
        frequency=read.choice(given["frequency"], "derived.frequency", FREQUENCIES),
    )


def both_words(value: Json, where: str) -> dict[str, str] | None:
    """A sentence in every language of the exchange."""
    return None if value is None else read.words(value, where, 2_000)


def seller_status(value: Json) -> str | None:
    """What kind of organisation sells."""
    return None if value is None else read.choice(value, "seller_status", SELLERS)
