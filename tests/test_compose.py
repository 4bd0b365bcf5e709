"""The compose file: hardened, closed to the outside, and in the program's own words."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.cli.witness import serve
from sandbox.settings import Settings

FILE: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]


def test_every_setting_in_it_is_known() -> None:
    known = {f"SANDBOX_{each.name.upper()}" for each in fields(Settings)}
    assert {*SERVICES["exchange"]["environment"]} <= known


@pytest.mark.parametrize("name", ["exchange", "opa", "witness"])
def test_what_meets_strangers_has_no_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit"} <= service.keys()


def test_only_the_exchange_is_reachable_and_only_on_loopback() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["exchange"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["exchange"]["ports"])
    assert FILE["networks"]["back"]["internal"] is True
    assert all(SERVICES[name]["networks"] == ["back"] for name in ("opa", "postgres"))


def test_the_witness_meets_the_exchange_alone_and_its_command_is_the_program_s() -> None:
    witness = SERVICES["witness"]
    assert (witness["networks"], FILE["networks"]["watch"]["internal"]) == (["watch"], True)
    assert [name for name, service in SERVICES.items() if "watch" in service["networks"]] == ["exchange", "witness"]
    assert witness["profiles"] == ["witness"]  # an operator's own witness proves nothing: it is there to be tried
    options = {word.partition("=")[0] for word in witness["command"] if word.startswith("--")}
    assert options <= {option for each in serve.params for option in each.opts}


def test_passwords_are_files() -> None:
    text = (Path(__file__).parents[1] / "docker-compose.yml").read_text()
    assert "POSTGRES_PASSWORD:" not in text
    assert SERVICES["exchange"]["environment"]["SANDBOX_DATABASE_PASSWORD_FILE"].startswith("/run/secrets/")
