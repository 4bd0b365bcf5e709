"""How commands speak: data to stdout, as a table for people or JSON for machines; words to stderr."""

import json
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from sandbox.core.errors import Invalid, NotFound
from sandbox.settings import Settings, load

_F = TypeVar("_F", bound=Callable[..., Any])
_LONGEST_ID: Final = 48
_MOST_BYTES: Final = 1 << 27
"""Of a file that is taken into memory: an evidence pack, the largest of them, has half of that at most."""


def home_option(command: _F) -> _F:
    """``--home``: which exchange."""
    kind = click.Path(path_type=Path, file_okay=False)
    return click.option("--home", type=kind, help="Folder of the exchange. [env: SANDBOX_HOME]")(command)


def json_option(command: _F) -> _F:
    """``--json``: one JSON document instead of a table."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def out_option(command: _F) -> _F:
    """``--out``: write to a file instead of stdout."""
    return click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")(command)


def key_option(command: _F) -> _F:
    """``--key``: the signer's private key."""
    kind = click.Path(path_type=Path, dir_okay=False)
    return click.option("--key", "key_file", type=kind, required=True, help="Your private key (a .jwk file).")(command)


def certificates_option(command: _F) -> _F:
    """``--certificates``: the chain under which the key signs, where no register holds it."""
    kind = click.Path(path_type=Path, dir_okay=False)
    words = "Your key's CA certificates (PEM, your own first), instead of a registered key."
    return click.option("--certificates", type=kind, help=words)(command)


def chain_of(certificates: Path | None) -> tuple[bytes, ...]:
    """The certificates in a PEM file, DER; none without one."""
    if certificates is None:
        return ()
    from sandbox.contracts.certificates import read_chain

    return read_chain(read_file(certificates))


def settings_of(home: Path | None) -> Settings:
    """Settings of the home named on the command line, in the environment, or by default."""
    return load(home)


def done(words: str) -> None:
    """One good line for people, on stderr."""
    click.echo(click.style("✓ ", fg="green") + plain(words, keep=""), err=True)


def verdict(words: str) -> None:
    """How a check ended well, on stdout: it is what was asked for, and belongs into a report that is kept."""
    click.echo(click.style("✓ ", fg="green") + plain(words, keep=""))


def line(words: str) -> None:
    """One line of data for people: whatever stands in it, it stays one."""
    click.echo(plain(words, keep=""))


def show(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Rows as a table, or as a JSON array."""
    if as_json:
        click.echo(json_text(rows, indent=1, default=str))
    elif rows:
        table([[str(cell) for cell in row.values()] for row in rows], list(rows[0]))
    else:
        done("nothing yet")


def table(rows: Sequence[Sequence[str]], head: Sequence[str]) -> None:
    """A plain table on stdout; numbers to the right."""
    from rich.console import Console
    from rich.table import Table

    grid = Table(box=None, header_style="bold", pad_edge=False)
    for place, name in enumerate(head):
        cells = [row[place] for row in rows]
        numeric = bool(rows) and all(cell.replace(".", "").replace("₫", "").strip().isdigit() for cell in cells)
        whole = 0 if place or any(" " in cell for cell in cells) else max(map(len, cells), default=0)
        # the first column's ids are copied into the next command: a folded one would have to be put together
        least = min(whole, _LONGEST_ID)
        grid.add_column(inert(name), justify="right" if numeric else "left", overflow="fold", min_width=least or None)
    for row in rows:
        grid.add_row(*(inert(cell) for cell in row))
    Console().print(grid)


def inert(cell: str) -> str:
    """A cell of a table, plain and without what the table would read as its own marks."""
    return plain(cell).replace("[", r"\[")


def plain(text: str, keep: str = "\n\t") -> str:
    """Text without what a terminal would obey, but for ``keep``: data may hold escape sequences."""
    control = {each for each in text if unicodedata.category(each).startswith("C")} - {*keep}
    return text.translate(dict.fromkeys(map(ord, control), "\N{REPLACEMENT CHARACTER}"))


def json_text(document: object, **options: Any) -> str:
    """JSON as people can read it; what a terminal would obey stands in it escaped, which changes no value."""
    text = json.dumps(document, ensure_ascii=False, **options)
    return "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text)


def write(content: bytes, out: Path | None) -> None:
    """Bytes to a file, or to stdout."""
    if out is None:
        sys.stdout.buffer.write(content)
    else:
        out.write_bytes(content)
        done(f"wrote {out}")


def read_file(path: Path) -> bytes:
    """A file that the user named, which somebody else may have made.

    Raises:
        NotFound: ``file.missing``.
        Invalid: ``file.unreadable``.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise NotFound("file.missing", f"There is no file {str(path)!r}.", hint="Check the name.") from None
    except OSError as error:
        raise Invalid("file.unreadable", f"{str(path)!r} cannot be read: {error.strerror}.") from None
    if len(content) > _MOST_BYTES:
        raise Invalid("file.unreadable", f"{str(path)!r} is longer than {_MOST_BYTES} bytes.", hint="Check the name.")
    return content
