"""The policy bundle: the Rego modules and reviewed tables that decide, under one digest.

The digest is the SHA-256 over one line for each file, sorted by path: ``path NUL hex-sha256 LF``. It is given to the
policies as ``data.exchange.policy`` and comes back in each decision, so that the evaluation itself says which version
answered. Tests (``*_test.rego``) are not part of it.
"""

import gzip
import hashlib
import io
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.core.canonical import Json, canonical, digest, parse
from sandbox.core.errors import Invalid
from sandbox.core.terms import Digest

ROOT: Final = "exchange"
"""The one top-level name of packages and data, so that a bundle can share an OPA server with others."""
TABLES: Final = "data.json"
SIGNATURES: Final = ".signatures.json"
_DIGEST: Final = "policy"
"""The member of ``data.exchange`` that holds the digest; nothing else may stand there."""
_PACKAGE: Final = re.compile(r"^package[ \t]+([a-z_.]+)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Bundle:
    """Policies as loaded: ``modules`` are Rego texts by path, ``tables`` the reviewed tables by name."""

    files: Mapping[str, bytes]
    digest: Digest
    modules: Mapping[str, str]
    tables: Mapping[str, Json]

    @classmethod
    def load(cls, directory: Path) -> "Bundle":
        """Read every ``*.rego`` that is no test, and every ``data.json``, below a directory.

        Raises:
            Invalid: ``policy.invalid`` when a file is not what it should be, or there is none.
        """
        paths = {path.relative_to(directory).as_posix(): path for path in sorted(directory.rglob("*")) if _counts(path)}
        return cls.of({name: path.read_bytes() for name, path in paths.items()})

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> "Bundle":
        """Make a bundle of files by path.

        Raises:
            Invalid: ``policy.invalid``.
        """
        modules = {path: _module(path, content) for path, content in files.items() if path.endswith(".rego")}
        if not modules:
            raise _refusal("There is no policy in this folder.")
        tables = {path: _table(path, content) for path, content in files.items() if not path.endswith(".rego")}
        return cls(files, digest(_listing(files)), modules, _joined(tables, modules))

    @property
    def data(self) -> dict[str, Json]:
        """The ``data`` document: the tables, and the digest at ``data.exchange.policy``."""
        return {ROOT: {**self.tables, _DIGEST: self.digest}}

    @property
    def members(self) -> dict[str, bytes]:
        """What an OPA server loads, by path: the modules, all data in one document, and the manifest."""
        manifest: dict[str, Json] = {"revision": self.digest, "roots": [ROOT], "rego_version": 1}
        made = {".manifest": canonical(manifest), TABLES: canonical(self.data)}
        return made | {path: text.encode() for path, text in self.modules.items()}

    def archive(self, signatures: bytes | None = None) -> bytes:
        """The bundle as an OPA server loads it, with any ``signatures``: a tar.gz, the same bytes each time."""
        members = self.members | ({SIGNATURES: signatures} if signatures is not None else {})
        packed = io.BytesIO()
        with (
            gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as stream,
            tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive,
        ):
            for path in sorted(members):
                member = tarfile.TarInfo(path)
                member.size = len(members[path])
                archive.addfile(member, io.BytesIO(members[path]))
        return packed.getvalue()


def _refusal(what: str) -> Invalid:
    return Invalid("policy.invalid", what, hint="See policies/README.md for the rules of that folder.")


def _counts(path: Path) -> bool:
    if path.name != TABLES and (path.suffix != ".rego" or path.stem.endswith("_test")):
        return False
    if path.is_symlink() or not path.is_file():  # what a link points to can change without the folder changing
        raise _refusal(f"{path.name} is not a plain file.")
    return True


def _module(path: str, content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise _refusal(f"{path} is not text in UTF-8.") from None
    package = path.rpartition("/")[0].replace("/", ".")
    if _PACKAGE.findall(text) != [package] or not package.startswith(f"{ROOT}.") or package.split(".")[1] == _DIGEST:
        raise _refusal(f"{path} must say, once, the package that its folder names, below {ROOT}.")
    return text


def _table(path: str, content: bytes) -> dict[str, Json]:
    try:
        return parse(content)
    except Invalid as error:
        raise _refusal(f"{path}: {error.message}") from None


def _joined(tables: Mapping[str, dict[str, Json]], modules: Mapping[str, str]) -> dict[str, Json]:
    """All tables by name: each is alone in a folder below the root, where neither the digest nor a package stands."""
    taken = {_DIGEST, *(path.split("/")[1] for path in modules)}
    joined: dict[str, Json] = {}
    for path, table in tables.items():
        match path.split("/"):
            case [root, name, _] if root == ROOT and name not in taken:
                joined[name] = table
            case _:
                raise _refusal(f"{path} must lie in a folder of its own below {ROOT}, which holds no policy.")
    return joined


def _listing(files: Mapping[str, bytes]) -> bytes:
    return b"".join(
        path.encode() + b"\0" + hashlib.sha256(files[path]).hexdigest().encode() + b"\n" for path in sorted(files)
    )
