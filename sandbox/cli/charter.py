"""The verb ``charter``: what the pilot is allowed, read, signed by regulator and operator, put in force."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from sandbox.cli import say

_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_SECONDS: Final = "%Y-%m-%dT%H:%M:%SZ"


@click.group()
def charter() -> None:
    """Show, sign and adopt the pilot's charter."""


@charter.command()
@say.home_option
@say.json_option
@click.option("--history", is_flag=True, help="List every version that was adopted.")
def show(home: Path | None, *, as_json: bool, history: bool) -> None:
    """The charter in force, its stage and the caps of this stage."""
    from sandbox.bootstrap import build
    from sandbox.exchange import charter as use_case

    with build(say.settings_of(home)) as exchange:
        if history:
            rows = [_adoption(each) for each in use_case.history(exchange.house)]
            say.show(rows, as_json=as_json)
            return
        said = _standing(_in_force(exchange), exchange.house.now())
    if as_json:
        click.echo(json.dumps(said, ensure_ascii=False, indent=1))
    else:
        say.table([[name, _word(value)] for name, value in said.items() if name != "document"], ["charter", ""])


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "—" if value is None else str(value)


def _adoption(each: Any) -> dict[str, Any]:
    from sandbox.core.clock import text_of

    row = {"charter": each.charter, "version": each.version, "adopted_at": text_of(each.adopted_at)}
    return row | {"digest": each.digest}


def _in_force(exchange: Any) -> Any:
    from sandbox.core.errors import NotFound

    found = exchange.charter()
    if found is None:
        raise NotFound(
            "charter.none", "No charter is in force, so nothing may be traded.",
            hint="Sign one (sandbox charter sign) and adopt it (sandbox charter adopt).",
        )  # fmt: skip
    return found


def _standing(found: Any, now: Any) -> dict[str, Any]:
    stage = found.stage_at(now)
    said: dict[str, Any] = {"id": found.id, "version": found.version, "digest": found.digest, "state": found.state}
    said |= {"regulator": found.regulator, "operator": found.operator, "trade_allowed_now": found.active_at(now)}
    said |= {"start": found.document["window"]["start"], "end": found.document["window"]["end"]}
    said |= {"stage": stage.name if stage else None, "scale_percent": stage.scale_percent if stage else 0}
    said |= found.caps_at(now).as_input()
    said["document"] = dict(found.document)
    return said


@charter.command()
@click.option("--regulator", default="co-quan-giam-sat", show_default=True, help="Participant id of the regulator.")
@click.option("--operator", default="san-du-lieu", show_default=True, help="Participant id of the exchange.")
@click.option("--start", help="First day of the window, such as 2026-12-01; without: today.")
@say.out_option
def draft(regulator: str, operator: str, start: str | None, out: Path | None) -> None:
    """Write a charter to start from, the sample with your parties and window; change it before you sign."""
    from sandbox.contracts.articles import read_charter
    from sandbox.contracts.charter import months_after
    from sandbox.core.canonical import parse
    from sandbox.core.clock import SystemClock, day_of, instant_of
    from sandbox.settings import share

    document: dict[str, Any] = parse(say.read_file(share("contracts") / "charter.json"))
    begin = instant_of(f"{start or day_of(SystemClock().now())}T00:00:00+07:00")
    end = months_after(begin, sum(stage["months"] for stage in document["stages"]))
    document["parties"] = {"regulator": regulator, "operator": operator}
    document["window"] |= {"start": f"{begin:{_SECONDS}}", "end": f"{end:{_SECONDS}}"}
    read_charter(document)
    say.write(json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n", out)
    say.done("a draft: read it (sandbox charter explain FILE), then both parties sign it")


@charter.command()
@say.key_option
@click.argument("file", type=_FILE)
@click.option("--certificates", type=_FILE, help="Certificates of the key (PEM), its own first, in place of its id.")
@say.out_option
def sign(key_file: Path, file: Path, certificates: Path | None, out: Path | None) -> None:
    """Sign FILE, a charter or one that the other party has signed, beside its signatures."""
    from sandbox.contracts.charters import sign_charter
    from sandbox.core.keys import read_key

    chain = _chain(certificates) if certificates else ()
    say.write(sign_charter(say.read_file(file), read_key(key_file), chain) + b"\n", out)


def _chain(file: Path) -> tuple[bytes, ...]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from sandbox.core.errors import Invalid

    try:
        return tuple(each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(say.read_file(file)))
    except ValueError:
        hint = "Put your certificate first, then those of the CAs above it."
        raise Invalid("certificate.malformed", f"{file.name} holds no PEM certificates.", hint=hint) from None


@charter.command()
@say.home_option
@click.argument("file", type=_FILE)
def adopt(home: Path | None, file: Path) -> None:
    """Put FILE in force, which the regulator and the operator signed."""
    from sandbox.bootstrap import build

    text = say.read_file(file)
    with build(say.settings_of(home)) as exchange:
        adopted, now = exchange.adopt_charter(text), exchange.house.now()
    say.done(f"{adopted.id} version {adopted.version} is in force ({adopted.state}): {adopted.digest}")
    if not adopted.active_at(now):
        start, end = (f"{instant:{_SECONDS}}" for instant in (adopted.window.start, adopted.window.end))
        say.done(f"it allows no trade now: it is {adopted.state}, from {start} until {end}")


@charter.command()
@say.home_option
@click.argument("file", type=_FILE, required=False)
@click.option("--lang", type=click.Choice(["vi", "en"]), default="vi", show_default=True, help="Language of the text.")
@say.json_option
def explain(home: Path | None, file: Path | None, lang: str, *, as_json: bool) -> None:
    """Say FILE, or the charter in force, member by member in plain sentences."""
    from sandbox.contracts.charter_sentences import explain_charter

    said = explain_charter(_read(file)[0] if file else _of_home(home))
    if as_json:
        click.echo(json.dumps([asdict(clause) for clause in said], ensure_ascii=False, indent=1))
    else:
        say.table([[clause.member, getattr(clause, lang)] for clause in said], ["member", "says"])


def _of_home(home: Path | None) -> Any:
    from sandbox.bootstrap import build

    with build(say.settings_of(home)) as exchange:
        return _in_force(exchange)


@charter.command()
@click.argument("file", type=_FILE)
@say.json_option
def check(file: Path, *, as_json: bool) -> None:
    """Whether FILE reads as a charter. Its signatures are counted, not verified: that takes the exchange's keys."""
    draft, signatures = _read(file)
    said = {"charter": draft.id, "version": draft.version, "state": draft.state, "digest": draft.digest}
    said |= {"signatures_present": signatures, "signatures_verified": False}
    if as_json:
        click.echo(json.dumps(said, ensure_ascii=False, indent=1))
        return
    say.done(f"{draft.id} version {draft.version} reads well: {draft.digest}")
    say.done(f"{signatures} signatures are present; whether they are good was not looked at")


def _read(file: Path) -> tuple[Any, int]:
    from sandbox.contracts.articles import read_charter
    from sandbox.contracts.charters import contents

    document, signatures = contents(say.read_file(file))
    return read_charter(document), len(signatures)
