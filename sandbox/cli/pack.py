"""The verbs of evidence: pack all that a query was decided by, and judge such a pack without the exchange."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from sandbox.cli import say
from sandbox.cli.bodies import new_file
from sandbox.cli.verify import Trust, quorum_option, trust_options, worded
from sandbox.core.errors import Tampered

if TYPE_CHECKING:
    from sandbox.audit.evidence import Asked, PackVerdict

EQUAL: Final = "equal"
NOT_EQUAL: Final = "NOT EQUAL"
UNKNOWN: Final = "not made again"
_file = click.Path(path_type=Path, dir_okay=False)


@dataclass(frozen=True, slots=True)
class Replayed:
    """A decision beside the one that the same policies make of the same question: ``outcome`` tells whether they agree.

    ``reasons`` are those that stand in the log, ``again`` those given now; each is None where there is none to compare.
    """

    entry: str
    kind: str
    allow: bool
    reasons: tuple[str, ...] | None
    again: tuple[str, ...] | None
    outcome: str
    why: str = ""


@click.command(short_help="Pack what a query was decided by.")
@click.argument("query_id", metavar="QUERY")
@click.option("--out", type=_file, required=True, help="The file to write (.zip); one that is there is not replaced.")
@say.home_option
def pack(query_id: str, out: Path, home: Path | None) -> None:
    """Pack what QUERY was decided by, with all that its seals stand for: it is judged without the exchange."""
    from sandbox.bootstrap import build
    from sandbox.core.terms import Participant, Role

    with build(say.settings_of(home)) as exchange, new_file(out) as file:
        operator = Participant(exchange.house.exchange_id, "", frozenset({Role.OPERATOR}))
        file.write(exchange.evidence(operator, query_id))
    say.done(f"wrote {out}. Check it: sandbox verify pack {out} --vkey FILE")


@click.command("pack", short_help="Check an evidence pack, and decide again.")
@click.argument("file", type=_file)
@click.option("--log", "where", metavar="URL_OR_FOLDER", help="Compare it with what is published now, too.")
@quorum_option
@trust_options
@say.json_option
def verify_pack(file: Path, trust: Trust, where: str | None, quorum: str | None, *, as_json: bool) -> None:
    """Check the evidence pack in FILE, and make its decisions again by the policies in it."""
    from sandbox.audit.evidence import verify_pack as verify
    from sandbox.audit.source import open_source

    content = say.read_file(file)
    with worded(trust, alone=not where), open_source(where) if where else nullcontext() as source:
        verdict = verify(content, trust.policy, quorum=quorum, log=source)
        decisions = [replayed(each) for each in verdict.decisions]
    teller = "the log" if where else "the exchange"
    _tell_as_json(verdict, decisions) if as_json else _tell(verdict, decisions, content, teller)
    with worded(trust):
        _require_equal(decisions)


def _require_equal(decisions: Sequence["Replayed"]) -> None:
    differing = [each.entry for each in decisions if each.outcome == NOT_EQUAL]
    if differing:
        raise Tampered(
            "verify.mismatch",
            f"The same policies decide otherwise on the same question than the log says in {', '.join(differing)}.",
            hint="Keep the pack, and tell the regulator.",
        )


def replayed(asked: "Asked") -> Replayed:
    """Make a decision of the log again, by the policies and the question that it names.

    Raises:
        Invalid, Unavailable: as :func:`sandbox.cli.replaying.decided`.
    """
    if asked.question is None or asked.policies is None:
        why = "the question was erased or never put" if asked.question is None else "its policies are not in the pack"
        return _compared(asked, None, UNKNOWN, why)
    from sandbox.cli.replaying import decided

    decision = decided(asked.policies, asked.question)
    same = decision.allow == asked.allow and asked.reasons in {None, decision.reasons}
    return _compared(asked, decision.reasons, EQUAL if same and decision.policy == asked.bundle else NOT_EQUAL)


def _compared(asked: "Asked", again: tuple[str, ...] | None, outcome: str, why: str = "") -> Replayed:
    return Replayed(asked.entry, asked.kind, asked.allow, asked.reasons, again, outcome, why)


def _tell(verdict: "PackVerdict", decisions: list[Replayed], content: bytes, teller: str) -> None:
    for name, receipt in verdict.receipts.items():
        place = f"entry {receipt.index} of {receipt.size}"
        say.verdict(f"verified: {name} of {verdict.query}, {place}, {receipt.entry['type']}")
    click.echo(f"with it, as the log names them: {_held(content)}")
    for entry, name in verdict.erased:
        say.line(f"erased, as {teller} tells: {name} of {entry}")
    for absent in verdict.absent:
        say.line(f"not in the pack: {absent}")
    for each in decisions:
        say.line(f"{each.outcome}: {each.entry} {each.kind} {_said(each)}{f' ({each.why})' if each.why else ''}")
    if not decisions:
        click.echo("no policy decided this query: it was refused before any was asked")


def _held(content: bytes) -> str:
    """What is in a verified pack besides receipts: nothing that the log does not name."""
    from sandbox.audit.pack import unpacked

    _, files = unpacked(content)
    found = ["charter"] if "charter.json" in files else []
    for kind in ("agreements", "datasets", "policies"):
        count = len({path.split("/")[1] for path in files if path.startswith(f"{kind}/")})
        found += [f"{kind} {count}"] if count else []
    return ", ".join(found) or "nothing"


def _said(each: Replayed) -> str:
    if each.allow:
        return "allow"
    told = f"deny {', '.join(each.reasons or ())}"
    return told if each.outcome != NOT_EQUAL else f"{told}; again: {', '.join(each.again or ()) or 'allow'}"


def _tell_as_json(verdict: "PackVerdict", decisions: list[Replayed]) -> None:
    document = {
        "verified": all(each.outcome != NOT_EQUAL for each in decisions),
        "query": verdict.query,
        "entries": {
            name: {"index": each.index, "size": each.size, "type": each.entry["type"]}
            for name, each in verdict.receipts.items()
        },
        "erased": [{"entry": entry, "name": name} for entry, name in verdict.erased],
        "absent": list(verdict.absent),
        "decisions": [asdict(each) for each in decisions],
    }
    click.echo(say.json_text(document))
