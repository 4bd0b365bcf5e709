"""The witness's verbs: make its key and its memory, and serve. None of them needs the exchange."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox.cli import say

if TYPE_CHECKING:
    from sandbox.audit.note import Verifier

_file = click.Path(path_type=Path, dir_okay=False)
_state = click.option("--state", type=_file, required=True, help="The file in which the witness remembers.")


@click.group()
def witness() -> None:
    """Cosign a log's checkpoints as an independent witness: regulators, auditors and participants can be one."""


@witness.command(short_help="Make a witness's key, and print its vkey.")
@click.argument("name")
@click.option(
    "--alg", type=click.Choice(["ed25519", "ml-dsa-44"]), default="ed25519", show_default=True,
    help="Kind of key; ml-dsa-44 withstands quantum computers.",
)  # fmt: skip
@click.option("--out", type=_file, default=Path("witness.jwk"), show_default=True, help="Where the private key goes.")
def keygen(name: str, alg: str, out: Path) -> None:
    """Make the key of the witness NAME, such as regulator.example.vn/w1, and print its vkey for trust policies.

    A key to be registered with an exchange is made by sandbox keygen OWNER --use witness.
    """
    from sandbox.audit.note import cosigner
    from sandbox.core.keys import new_key, new_witness_key, write_key

    key = new_key(name) if alg == "ed25519" else new_witness_key(name)
    vkey = cosigner(name, key.verify_key).vkey  # refuses the name before anything is written
    write_key(key, out)
    click.echo(vkey)
    say.done(f"private key in {out}; put the line above into trust policies: witness LABEL VKEY URL")


@witness.command()
@_state
def init(state: Path) -> None:
    """Make the memory of a witness that has cosigned nothing yet."""
    from sandbox.audit.witness_state import StateFile

    StateFile(state).create()
    say.done(f"made {state}; keep it with the key, and never restore an older copy")


@witness.command(short_help="Cosign checkpoints over HTTP.")
@_state
@say.key_option
@click.option("--log", "logs", type=_file, multiple=True, required=True, help="A log's vkey file; may be repeated.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8090, show_default=True, help="Port to listen on.")
@click.option("--new", is_flag=True, help="Make the memory first; refused when it is there already.")
def serve(state: Path, key_file: Path, logs: tuple[Path, ...], host: str, port: int, *, new: bool) -> None:
    """Serve add-checkpoint (C2SP tlog-witness) for the logs given, until Ctrl-C.

    What a log has signed that does not continue what was cosigned is said on stderr.
    """
    from sandbox.audit.witness import Witness
    from sandbox.audit.witness_state import StateFile
    from sandbox.cli import listening
    from sandbox.core.clock import SystemClock
    from sandbox.core.keys import read_key
    from sandbox.witness import create_witness

    key, known = read_key(key_file), [_log(path) for path in logs]
    memory = StateFile(state)
    if new:
        memory.create()
    name = key.kid.rpartition("/")[0]  # the key was made for it: NAME/THUMBPRINT
    witness = Witness(name, key, known, memory, SystemClock())

    def told(url: str) -> None:
        say.done(f"witness {name} for {', '.join(log.name for log in known)} on {url}")
        say.done(f"its line in a trust policy: witness LABEL {witness.verifier.vkey} {url}")

    listening.serve(create_witness(witness, _shouting()), host, port, told, limit_concurrency=64)


def _shouting() -> Callable[[str], None]:
    """Says a thing once, however often the log comes with it."""
    said = ""

    def shout(what: str) -> None:
        nonlocal said
        if what != said:
            click.echo(click.style("✗ ", fg="red") + say.plain(what, keep=""), err=True)
        said = what

    return shout


def _log(path: Path) -> "Verifier":
    from sandbox.audit.quorum import TrustPolicy

    return TrustPolicy.of_vkey(say.read_file(path).decode("utf-8", "replace")).log
