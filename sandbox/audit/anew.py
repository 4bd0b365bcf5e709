"""Publishing the log anew from the database, where its files were damaged or lost."""

import re
from pathlib import Path
from typing import Final

from sqlalchemy.engine import Engine

from sandbox.audit import store
from sandbox.audit.layout import WIDTH
from sandbox.audit.note import Verifier, open_checkpoint
from sandbox.audit.recovery import COPY
from sandbox.audit.start import require_whole, snapshot
from sandbox.audit.tiles import RECOVER, alone, checkpoint_in, export, published
from sandbox.core.errors import Invalid, Tampered
from sandbox.core.files import sync_folder

_BUNDLE: Final = re.compile(r"tile/entries/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([0-9]{1,3}))?", re.ASCII)


def export_whole(engine: Engine, directory: Path) -> int:
    """Export up to the newest head, also past one that witnesses have cosigned; answers its size."""
    with engine.connect() as connection:
        newest = store.newest_head(connection).size
    while (size := export(engine, directory)) < newest:
        pass
    return size


def export_anew(engine: Engine, directory: Path, log: Verifier, token: str) -> Path | None:
    """Publish everything again beside the old files, then put it in their place; answers where those are kept now.

    ``token`` names the folders, so that none is there already. A crash leaves the old files, or none: then again.

    Raises:
        Tampered: ``tampered.log`` when the database is damaged, or more or other entries were published than it has:
            what others rely on is never replaced by less.
    """
    directory.mkdir(parents=True, exist_ok=True)
    draft, aside = (directory.with_name(f"{directory.name}.{kind}-{token}") for kind in ("part", "old"))
    with alone(directory):
        _require_ahead(engine, directory, log)
        export_whole(engine, draft)
        kept = any(directory.iterdir())
        directory.rename(aside)
        draft.rename(directory)
        sync_folder(directory.parent)
    if kept:
        return aside
    aside.rmdir()
    return None


def _require_ahead(engine: Engine, directory: Path, log: Verifier) -> None:
    """That the database has all that was published, whatever is left of the files: they may be damaged, or gone."""
    with snapshot(engine) as connection:
        head = require_whole(connection, log)
        try:
            content = checkpoint_in(directory)
            if content is not None:
                open_checkpoint(content, log)
                published(connection, content)
        except (Invalid, Tampered) as error:
            if error.code == "tampered.log":
                raise
    reach = max((_end(path.relative_to(directory)) for path in directory.glob("tile/entries/**/*")), default=0)
    if reach > head.size:
        sentence = f"The published files reach {reach} entries, and the database has {head.size}."
        raise Tampered("tampered.log", sentence, hint=f"{COPY} {RECOVER}")


def _end(name: Path) -> int:
    """How many entries a log has at least that has this file."""
    match = _BUNDLE.fullmatch(name.as_posix())
    if match is None:
        return 0
    before = int(match[1].replace("x", "").replace("/", "")) * WIDTH
    return before + (int(match[2]) if match[2] else WIDTH)
