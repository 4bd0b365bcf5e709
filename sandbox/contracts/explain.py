"""A contract in plain sentences, clause by clause, and what two of them say differently."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sandbox.contracts import members, wording
from sandbox.contracts.bargain_sentences import AFTER, BEFORE
from sandbox.contracts.clauses import read_terms
from sandbox.contracts.reading import clauses_of, read_agreement, read_offer, read_request
from sandbox.contracts.scope_sentences import SCOPE
from sandbox.contracts.terms import dated
from sandbox.contracts.wording import Both, Sentence, listed
from sandbox.core.canonical import Json
from sandbox.core.clock import instant_of

SENTENCES: Final[Mapping[str, Sentence]] = {**BEFORE, **SCOPE, **AFTER}
"""Of the terms, in the order in which people read them: for what, how protected, what is open, what it costs."""
_READ: Final[Mapping[str, Callable[[Mapping[str, Json]], object]]] = {
    "Offer": read_offer,
    "Request": read_request,
    "Agreement": read_agreement,
}
_KINDS: Final[Mapping[str, Both]] = {
    "Offer": ("Đây là một bản chào bán.", "This is an offer."),
    "Request": ("Đây là một đề nghị của bên mua, sửa bản chào bán.", "This is a buyer's request to change an offer."),
    "Agreement": ("Đây là một hợp đồng sử dụng dữ liệu.", "This is a data usage contract."),
}
_ANYONE: Final = (
    "Bất kỳ bên mua nào của sàn cũng có thể chấp nhận bản chào này.",
    "Any buyer of the exchange may accept this offer.",
)
_SOME_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Terms without a document have no beginning yet; read from any instant they read the same."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One member of a contract and what it says; ``value`` is what was signed."""

    member: str
    value: Json
    vi: str
    en: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A clause that two contracts do not share; None where one of them has no such clause."""

    member: str
    first: Clause | None
    second: Clause | None


def explain(document: Mapping[str, Json]) -> list[Clause]:
    """Say an offer, a request, an agreement, or terms as in ``contracts/terms``.

    Raises:
        Invalid: ``contract.invalid``: what does not read well is not explained.
    """
    if "type" not in document:
        read_terms(dated(document, _SOME_TIME))
        return _terms(document)
    _READ[members.choice([*_READ])(document["type"], "type")](document)
    return [*_frame(document), *_terms(clauses_of(document))]


def differences(first: Mapping[str, Json], second: Mapping[str, Json]) -> list[Difference]:
    """The clauses in which two documents differ, in the order of :func:`explain`; who wrote them when is none.

    Raises:
        Invalid: ``contract.invalid``.
    """
    one, other = ({clause.member: clause for clause in explain(each)} for each in (first, second))
    own = {"type", "timestamp", "prev", "assignee"}
    names = [name for name in dict.fromkeys([*one, *other]) if name not in own]
    found = (Difference(name, one.get(name), other.get(name)) for name in names)
    return [each for each in found if _value(each.first) != _value(each.second)]


def _value(clause: Clause | None) -> Json:
    return None if clause is None else [clause.value]


def _terms(clauses: Mapping[str, Json]) -> list[Clause]:
    return [Clause(name, clauses[name], *said(clauses[name])) for name, said in SENTENCES.items() if name in clauses]


def _frame(document: Mapping[str, Any]) -> list[Clause]:
    said = {name: sentence(document[name]) for name, sentence in _FRAME.items() if name in document}
    if document["type"] != "Agreement" and "prev" in document:
        said["prev"] = _answers(document["prev"])
    if "assignee" not in document:
        said["assignee"] = _ANYONE
    return [Clause(name, document.get(name), *said[name]) for name in _FRAME if name in said]


def _kind(value: Any) -> Both:
    return _KINDS[value]


def _provider(value: Any) -> Both:
    return f"Bên cung cấp: {value}.", f"The provider: {value}."


def _buyer(value: Any) -> Both:
    return f"Bên mua: {value}.", f"The buyer: {value}."


def _made_of(value: Any) -> Both:
    return f"Lập từ văn bản {value}, không sửa gì.", f"Made of the document {value}, unaltered."


def _answers(value: Any) -> Both:
    return f"Trả lời văn bản {value}.", f"It answers the document {value}."


def _made_at(value: Any) -> Both:
    at = wording.moment(instant_of(value))
    return f"Lập lúc {at} (giờ Việt Nam).", f"Made at {at} (time of Viet Nam)."


def _target(value: Any) -> Both:
    dataset, _, version = value.partition("@")
    return f"Bộ dữ liệu {dataset}, phiên bản {version}.", f"The dataset {dataset}, version {version}."


def _statement(value: Any) -> Both:
    seller = wording.SELLERS[value["seller_status"]]
    fields = [(f"{each['name']} {each['type']}", wording.ROLES[each["role"]]) for each in value["fields"]]
    return (
        f"Bên cung cấp là {seller[0]} và cam kết nguồn gốc dữ liệu như sau: “{value['origin']}” Dữ liệu ở định dạng "
        f"Parquet, gồm các trường: {listed(f'{field} ({role[0]})' for field, role in fields)}.",
        f"The provider is {seller[1]} and states where the data is from: “{value['origin']}” The data is in Parquet "
        f"format, with these fields: {listed(f'{field} ({role[1]})' for field, role in fields)}.",
    )


_FRAME: Final[Mapping[str, Sentence]] = {
    "type": _kind,
    "assigner": _provider,
    "assignee": _buyer,
    "target": _target,
    "prev": _made_of,
    "timestamp": _made_at,
    "statement": _statement,
}
