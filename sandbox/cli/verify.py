"""The regulator's verbs: check a log or a receipt without the exchange, with one key or policy file."""

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sandbox.cli import say
from sandbox.cli.lazy import LazyGroup
from sandbox.core.clock import text_of
from sandbox.core.errors import NotCovered, SandboxError, Tampered, Unavailable

if TYPE_CHECKING:  # each verb loads what it needs when it runs
    from sandbox.audit.quorum import TrustPolicy
    from sandbox.audit.verify import LogVerdict

_OUTCOMES: Final[Mapping[type[SandboxError], str]] = {
    Tampered: "MISMATCH",
    Unavailable: "could not check",
    NotCovered: "not covered yet",
}
_ELSEWHERE: Final = {"disclosure": "sandbox.cli.bodies:verify_disclosure", "pack": "sandbox.cli.pack:verify_pack"}
"""Loaded only by those who ask for one."""
_CLEAR: Final = ("ts", "query", "code", "reasons", "vnd", "meter", "agreements")
"""What a receipt's entry says to everybody, and people want to read."""
_file = click.Path(path_type=Path, dir_okay=False)


@click.group(cls=LazyGroup, elsewhere=_ELSEWHERE)
def verify() -> None:
    """Check a log, a receipt, a disclosure or an evidence pack, with one key or policy file and without the exchange.

    The answer is one of four: verified (exit 0); MISMATCH (7): something was changed, or two histories were signed;
    could not check (8): try again; not covered yet (9): nothing is wrong, and no checkpoint promises it yet.
    """


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom the verifier trusts, and the file that says so."""

    file: Path
    policy: "TrustPolicy"


def trust_options(command: Callable[..., None]) -> Callable[..., None]:
    """``--vkey`` or ``--policy``, of which one must be given: the command gets ``trust``."""

    @click.option("--vkey", "vkey_file", type=_file, help="The log's verifier key (log.vkey).")
    @click.option("--policy", "policy_file", type=_file, help="A trust policy: log, witnesses, quorum (tlog-policy).")
    @functools.wraps(command)
    def trusting(*args: Any, vkey_file: Path | None, policy_file: Path | None, **rest: Any) -> None:
        command(*args, trust=_trust(vkey_file, policy_file), **rest)

    return trusting


def quorum_option(command: Callable[..., None]) -> Callable[..., None]:
    """``--quorum``: another than the policy's; alone it is the policy's own, which must then name one."""
    words = "Demand this witness or group of the policy instead of its quorum; or: none."
    return click.option("--quorum", is_flag=False, flag_value="", metavar="[NAME]", help=words)(command)


def _trust(vkey_file: Path | None, policy_file: Path | None) -> Trust:
    from sandbox.audit.quorum import TrustPolicy, read_policy

    file = policy_file or vkey_file
    if file is None or (policy_file and vkey_file):
        raise click.UsageError("Give either --vkey FILE or --policy FILE.")
    content = say.read_file(file)
    if policy_file:
        return Trust(file, read_policy(content))
    return Trust(file, TrustPolicy.of_vkey(content.decode("utf-8", "replace").strip()))


@contextmanager
def worded(trust: Trust, *, alone: bool = False) -> Iterator[None]:
    """Say first which of the outcomes a failed check is, and keep the evidence of a fork beside the trust file.

    What is looked at ``alone``, without the log, may be older than any cosignature: then the log is asked for.
    """
    from sandbox.audit.verify import Forked

    try:
        yield
    except SandboxError as error:
        if isinstance(error, Forked):
            error.hint = _evidence(trust, error.old, error.new)
        if alone and isinstance(error, NotCovered):
            error.hint = "It may be older than any cosignature: compare it with the log, by --log URL_OR_FOLDER."
        for kind, word in _OUTCOMES.items():
            if isinstance(error, kind):
                error.message = f"{word}: {error.message}"
        raise


def _evidence(trust: Trust, *notes: bytes) -> str:
    from sandbox.audit.kept import Kept

    try:
        paths = Kept(trust.file).keep_fork(*notes)
    except SandboxError as error:
        return f"{error.message} Copy both checkpoints yourself: together they prove it."
    return f"Both checkpoints are kept as evidence: {' and '.join(map(str, paths))}. Tell the regulator."


@verify.command("log", short_help="Check the log in a folder or at an address.")
@click.argument("source", metavar="URL_OR_FOLDER")
@trust_options
@click.option("--old", type=_file, help="Another checkpoint you kept: the log must still contain what it promised.")
@quorum_option
@click.option("--replay", is_flag=True, help="Read the entries too, and count volume and money.")
@click.option("--books", type=_file, help="Compare with what `sandbox audit books` printed; implies --replay.")
@click.option("--keep/--no-keep", default=True, help="Keep the checkpoint beside the key or policy file for next time.")
@say.json_option
def verify_log(
    source: str,
    trust: Trust,
    old: Path | None,
    quorum: str | None,
    books: Path | None,
    *,
    replay: bool,
    keep: bool,
    as_json: bool,
) -> None:
    """Check every entry, tile and signature of the log in a folder or at an address.

    The checkpoint is kept as FILE.seen beside the key or policy FILE, and the next run demands that the log continues
    it. A log that does not has been rewritten: both checkpoints are then kept as FILE.fork-SIZE-DIGEST.
    """
    from sandbox.audit import verify as audit
    from sandbox.audit.books import read_books
    from sandbox.audit.kept import Kept

    kept, told = Kept(trust.file), read_books(say.read_file(books)) if books else None
    before = kept.read(trust.policy) if keep else None
    with worded(trust):
        verdict = audit.verify_log(
            source,
            trust.policy,
            say.read_file(old) if old else None,
            kept=before,
            quorum=quorum,
            replay=replay,
            books=told,
        )
    if not as_json:
        _tell(verdict)
    keeps = keep and trust.policy.is_met(verdict.note)  # what was believed on less is no ground to accuse a log by
    if keeps:
        kept.advance(before, verdict.note)
    if as_json:
        document = {"verified": True, "kept": str(kept.path) if keeps else None, "books": _equal_to(told)}
        click.echo(say.json_text(document | _document(verdict)))
        return
    if told:
        click.echo(f"books: equal to the log's, as of {told['size']} entries")
    if keep and not keeps:
        click.echo("Nothing was kept: the checkpoint lacks the cosignatures that the policy asks for.")
    else:
        _tell_kept(kept.path if keep else None, before)


def _equal_to(books: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if books is None else {"equal": True, "size": books["size"]}


def _document(verdict: "LogVerdict") -> dict[str, Any]:
    from sandbox.audit.note import b64

    document: dict[str, Any] = {
        "origin": verdict.origin,
        "size": verdict.size,
        "root": b64(verdict.root),
        "cosigned": {name: _instant(at) for name, at in verdict.cosigned.items()},
    }
    if verdict.books is not None:
        told = verdict.books.document()
        document["entries"] = dict(verdict.entries)
        document |= {name: told[name] for name in ("volume", "by_day", "by_agreement", "ledger")}
    return document


def _instant(at: int) -> str:
    try:
        return text_of(datetime.fromtimestamp(at, UTC))
    except (ValueError, OverflowError, OSError):  # a witness may state any time
        return str(at)


def _tell(verdict: "LogVerdict") -> None:
    document = _document(verdict)
    say.verdict(f"verified: {verdict.size} entries, root {document['root']}")
    for name, at in document["cosigned"].items():
        say.line(f"cosigned by {name} at {at}")
    if verdict.books is None:
        return
    say.table([[kind, str(count)] for kind, count in verdict.entries.items()], ["entry", "count"])
    totals, ledger = verdict.totals, document["ledger"]
    click.echo(f"settled: {totals.count} queries, {totals.vnd} VND, {totals.rows} rows, {totals.bytes} bytes")
    fees = "not told" if ledger["fees"] is None else ledger["fees"]
    click.echo(
        f"ledger: topped up {ledger['topped_up']}, in wallets {ledger['wallets']}, held {ledger['held']}, "
        f"paid {ledger['paid']}, of that fees {fees} VND"
    )
    if ledger["providers"]:
        say.table([[name, str(vnd)] for name, vnd in ledger["providers"].items()], ["provider", "owed VND"])


def _tell_kept(path: Path | None, before: bytes | None) -> None:
    from sandbox.audit.note import read_checkpoint, unverified

    if path is None:
        click.echo("Nothing was kept: a log that is rewritten as a whole will be noticed by who kept a checkpoint.")
    elif before is None:
        click.echo(f"The checkpoint is kept as {path}: from now on each visit proves that nothing was rewritten since.")
    else:
        size = read_checkpoint(unverified(before)[0]).size
        click.echo(f"It continues the {size} entries of your last visit ({path}).")


@verify.command("receipt", short_help="Check a receipt of a query.")
@click.argument("file", type=_file)
@trust_options
@click.option("--log", "source", metavar="URL_OR_FOLDER", help="Compare it with what is published now, too.")
@quorum_option
@click.option(
    "--signer", "signers", type=_file, multiple=True, help="Who must have signed it (a .pub.jwk); repeatable."
)
@say.json_option
def verify_receipt(
    file: Path, trust: Trust, source: str | None, quorum: str | None, signers: tuple[Path, ...], *, as_json: bool
) -> None:
    """Check that the receipt in FILE, of a completed, refused or failed query, is what the log recorded."""
    from sandbox.audit import verify as audit
    from sandbox.core.keys import read_public_key

    required = [read_public_key(each) for each in signers]
    with worded(trust, alone=source is None):
        verdict = audit.verify_receipt(say.read_file(file), trust.policy, signers=required, quorum=quorum, log=source)
    if as_json:
        click.echo(say.json_text({"verified": True} | asdict(verdict)))
        return
    say.verdict(f"verified: entry {verdict.index} of {verdict.size}, {verdict.entry['type']}")
    for kid in verdict.signers:
        say.line(f"  signed by {kid}")
    clear = {name: verdict.entry[name] for name in _CLEAR if name in verdict.entry}
    for name, value in [*clear.items(), *verdict.revealed.items()]:  # neither hides the other
        say.line(f"  {name}: {json.dumps(value, ensure_ascii=False)}")
