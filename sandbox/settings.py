"""Every setting of an exchange, in one frozen record; the only reader of the environment."""

import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from sandbox.core.errors import Invalid, NotFound

FILE: Final = "sandbox.toml"
DEFAULT_HOME: Final = Path(".sandbox/home")
LAYERS: Final = ("process", "uid", "landlock", "seccomp", "cgroup")
"""What can shut the jail's children in."""
_MOST_DIGITS: Final = 18
_REQUIRED: Final = "landlock+seccomp" if sys.platform == "linux" else ""
_CHECKOUT: Final = Path(__file__).parent.parent
_WHEEL: Final = Path(__file__).parent / "_share"


def share(folder: str) -> Path:
    """Where ``policies``, ``datasets`` or ``contracts`` lie: inside the wheel, or beside the package in a checkout."""
    packed = _WHEEL / folder
    return packed if packed.is_dir() else _CHECKOUT / folder


def _setting(meaning: str, default: Any) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read from ``sandbox.toml`` in the home; ``SANDBOX_`` and the name in capitals overrides it."""

    home: Path = _setting("folder of the exchange", DEFAULT_HOME)
    exchange: str = _setting("participant id under which the exchange signs", "san-du-lieu")
    origin: str = _setting("name of the log, in every checkpoint", "san-du-lieu.example.vn/log")
    database_url: str = _setting("`sqlite:///FILE` or `postgresql+psycopg://…`; empty: `exchange.db` in the home", "")
    database_password_file: Path | None = _setting("file that holds the database's password", None)
    opa_url: str = _setting("address of an OPA server; empty: the embedded Rego engine decides", "")
    opa_token: str = _setting("bearer token for the OPA server", "")
    policies: Path | None = _setting("folder of the Rego policies; empty: those that came with the program", None)
    trust_store: Path | None = _setting("PEM file of the CA roots whose certificates may sign; empty: none may", None)
    public_url: str = _setting(
        "address under which callers reach the API, for signed requests; empty: host and port", ""
    )
    host: str = _setting("address that `serve` listens on", "127.0.0.1")
    port: int = _setting("port that `serve` listens on", 8080)
    fee_bp: int = _setting("the exchange's fee in basis points of the price", 250)
    max_rows: int = _setting("most rows that one query may release", 10_000)
    max_bytes: int = _setting("most bytes that one query may release", 10_485_760)
    query_seconds: int = _setting("seconds after which a query is killed", 30)
    query_memory_mb: int = _setting("megabytes of memory for one query", 1_024)
    concurrent_queries: int = _setting("queries that run at the same time; others take turns", 4)
    waiting_queries: int = _setting("queries that wait for their turn; beyond, buyers are told to come again", 256)
    jail_memory_mb: int = _setting("megabytes of memory for all queries together; 0: half of the machine's", 0)
    require_isolation: str = _setting(
        "layers joined by `+` without which the jail runs nothing; empty: none", _REQUIRED
    )
    witness_policy: Path | None = _setting(
        "trust policy (C2SP tlog-policy) whose witnesses with a URL are asked for cosignatures; empty: none are", None
    )
    witness_seconds: int = _setting("seconds between two rounds of asking the witnesses", 10)
    token: str = _setting("API token of the caller, for `query`", "")
    url: str = _setting("address of an exchange to ask over HTTP instead of a local home, for `query`", "")

    @property
    def database(self) -> str:
        """The URL of the database, SQLite in the home unless set."""
        return self.database_url or f"sqlite:///{self.home.resolve() / 'exchange.db'}"

    @property
    def required_layers(self) -> frozenset[str]:
        """The layers of :data:`LAYERS` without which nothing runs."""
        return frozenset(self.require_isolation.split("+")) - {""}

    @property
    def address(self) -> str:
        """The API's own address as callers write it, without a slash at the end."""
        return self.public_url.rstrip("/") or f"http://{self.host}:{self.port}"

    @property
    def policy_folder(self) -> Path:
        return self.policies or share("policies")


_KINDS: Final = {each.name: each.type for each in fields(Settings)}


def _read(name: str, value: object, source: str) -> object:
    kind = _KINDS.get(name)
    if kind is None:
        raise Invalid(
            "settings.unknown", f"{source} sets {name!r}, which is no setting.", hint="See README, Configuration."
        )
    if kind is int:
        return _whole(name, value, source)
    if not isinstance(value, str):
        raise Invalid("settings.invalid", f"{source} sets {name!r} to a {type(value).__name__}, expected text.")
    if name == "require_isolation":
        return _layers(value, source)
    if kind is str:
        return value
    return Path(value) if value else None  # Path("") would be the current folder


def _whole(name: str, value: object, source: str) -> int:
    text = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS
    number = int(value) if text else value  # type: ignore[call-overload]
    if type(number) is not int or number < 0:
        raise Invalid("settings.invalid", f"{source} sets {name!r} to {value!r}, expected a whole number from 0.")
    return number


def _layers(value: str, source: str) -> str:
    unknown = set(value.split("+") if value else ()) - set(LAYERS)
    if unknown:
        raise Invalid(
            "settings.invalid",
            f"{source} requires the isolation {value[:80]!r}.",
            hint=f"Join by + some of {', '.join(LAYERS)}, or leave it empty.",
        )
    return value


def from_environ(environ: Mapping[str, str] | None = None) -> dict[str, object]:
    """The settings that the environment names, ``SANDBOX_PORT=8081`` and the like.

    Raises:
        Invalid: ``settings.unknown`` for a ``SANDBOX_`` variable that is no setting, ``settings.invalid``.
    """
    seen = os.environ if environ is None else environ
    prefixed = {key[8:].lower(): value for key, value in seen.items() if key.startswith("SANDBOX_")}
    return {name: _read(name, value, f"SANDBOX_{name.upper()}") for name, value in prefixed.items()}


def load(home: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings of a home: environment over ``sandbox.toml`` over defaults; an explicit ``home`` wins.

    Raises:
        NotFound: ``home.missing`` when there is no exchange in that folder.
        Invalid: ``settings.unknown``, ``settings.invalid``.
    """
    named = from_environ(environ)
    place = Path(str(home or named.get("home") or DEFAULT_HOME))
    path = place / FILE
    try:
        document = tomllib.loads(path.read_bytes().decode())
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(
            "home.missing", f"There is no exchange in {str(place)!r}.", hint=f"Make one: sandbox init --home {place}"
        ) from None
    except ValueError:
        raise Invalid(
            "settings.invalid", f"{FILE} is not TOML.", hint="Mend it, or start anew with sandbox init."
        ) from None
    values = {name: _read(name, value, FILE) for name, value in document.items()}
    return Settings(**(values | named | {"home": place}))  # type: ignore[arg-type]
