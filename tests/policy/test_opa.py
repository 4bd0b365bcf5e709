"""The OPA decision point: what it sends, and that every failure on the way is a refusal."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.core.errors import Invalid, Unavailable
from sandbox.policy.bundle import Bundle
from sandbox.policy.decision import Question
from sandbox.policy.opa import OpaServer

ASKED = Question({"type": "participant"}, "anything", {}, {})
JSON = {"Content-Type": "application/json"}
Connect = Callable[..., OpaServer]


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(Unavailable) as caught:
        act()
    return caught.value.code


def test_it_asks_for_one_rule_by_posting_the_input(stand_in: Any, opa_server: Connect) -> None:
    opa_server(stand_in.url).decide(ASKED)
    path, _, body = stand_in.seen[0]
    assert path == "/v1/data/exchange/authz/decision"
    assert body == {"input": ASKED.as_input()}


def test_the_probe_sends_an_empty_input(stand_in: Any, opa_server: Connect) -> None:
    opa_server(stand_in.url).probe()
    assert [body for _, _, body in stand_in.seen] == [{"input": {}}]


def test_a_trailing_slash_is_no_path(stand_in: Any, opa_server: Connect) -> None:
    opa_server(stand_in.url + "/").probe()


def test_the_token_is_sent(stand_in: Any, opa_server: Connect) -> None:
    stand_in.token = "right"
    opa_server(stand_in.url, token="right").probe()
    assert stand_in.seen[0][1]["Authorization"] == "Bearer right"


@pytest.mark.parametrize("token", [None, "wrong"])
def test_without_the_right_token_there_is_no_decision(stand_in: Any, opa_server: Connect, token: str | None) -> None:
    stand_in.token = "right"
    assert code_of(opa_server(stand_in.url, token=token).probe) == "policy.unreachable"


def test_neither_netrc_nor_proxy_of_the_environment_is_honoured(
    stand_in: Any, opa_server: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dead_port: int
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{dead_port}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    stand_in.token = "right"
    opa_server(stand_in.url, token="right").probe()
    assert stand_in.seen[0][1]["Authorization"] == "Bearer right"


def test_a_refused_connection_is_an_outage(opa_server: Connect, dead_port: int) -> None:
    point = opa_server(f"http://127.0.0.1:{dead_port}")
    assert code_of(lambda: point.decide(ASKED)) == "policy.unreachable"
    assert code_of(point.probe) == "policy.unreachable"


def test_a_slow_server_is_an_outage_after_one_try(stand_in: Any, opa_server: Connect) -> None:
    def slow() -> tuple[int, dict[str, str], bytes]:
        time.sleep(0.5)
        return 200, JSON, b"{}"

    stand_in.reply = slow
    assert code_of(opa_server(stand_in.url, timeout=0.1).probe) == "policy.unreachable"
    assert len(stand_in.seen) == 1


def test_a_server_that_hangs_up_is_an_outage(stand_in: Any, opa_server: Connect) -> None:
    def hang_up() -> tuple[int, dict[str, str], bytes]:
        raise ConnectionAbortedError

    stand_in.reply = hang_up
    assert code_of(opa_server(stand_in.url).probe) == "policy.unreachable"


UNREADABLE = {
    "500": (500, JSON, b'{"code": "internal_error", "message": "secret"}'),
    "503": (503, JSON, b"{}"),
    "404": (404, JSON, b"{}"),
    "HTML": (200, {"Content-Type": "text/html"}, b"<html>Welcome</html>"),
    "nothing": (200, JSON, b""),
    "half of it": (200, JSON, b'{"result": {"allow": tr'),
    "a redirect": (307, {"Location": "/v1/data/exchange/authz/decision"}, b""),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_answer_that_is_no_json_of_200_is_an_outage(stand_in: Any, opa_server: Connect, name: str) -> None:
    stand_in.reply = lambda: UNREADABLE[name]
    with pytest.raises(Unavailable) as caught:
        opa_server(stand_in.url).decide(ASKED)
    assert caught.value.code == "policy.unreachable"
    assert caught.value.reasons == ("engine_unreachable",)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "body", [{}, {"result": None}, {"result": True}, {"result": {}}, {"result": {"allow": 1}}, [], "true", None, 1]
)
def test_an_answer_without_a_decision_is_malformed(stand_in: Any, opa_server: Connect, body: Any) -> None:
    stand_in.reply = lambda: (200, JSON, json.dumps(body).encode())
    assert code_of(lambda: opa_server(stand_in.url).decide(ASKED)) == "policy.malformed"


@pytest.mark.parametrize("allow", [True, False])
def test_a_server_with_another_bundle_is_not_believed(stand_in: Any, opa_server: Connect, allow: bool) -> None:
    result = {"allow": allow, "reasons": [], "obligations": {"listed": 1}, "policy": "sha256:" + "0" * 64}
    stand_in.reply = lambda: (200, JSON, json.dumps({"result": result}).encode())
    point = opa_server(stand_in.url)
    assert code_of(lambda: point.decide(ASKED)) == "policy.version_mismatch"
    assert code_of(point.probe) == "policy.version_mismatch"


def test_a_server_behind_on_its_bundle_is_not_believed(stand_in: Any, opa_server: Connect, bundle: Bundle) -> None:
    newer = Bundle.of({**bundle.files, "exchange/extra/data.json": b"{}"})
    assert code_of(opa_server(stand_in.url, bundle=newer).probe) == "policy.version_mismatch"


def test_a_server_that_allows_an_empty_question_is_not_used(stand_in: Any, opa_server: Connect, bundle: Bundle) -> None:
    yes = {"allow": True, "reasons": [], "obligations": {"listed": 1}, "policy": bundle.digest}
    stand_in.reply = lambda: (200, JSON, json.dumps({"result": yes}).encode())
    assert code_of(opa_server(stand_in.url).probe) == "policy.engine_error"


def test_a_question_without_canonical_form_is_not_sent(stand_in: Any, opa_server: Connect) -> None:
    with pytest.raises(Invalid, match="float"):
        opa_server(stand_in.url).decide(Question({}, "query.run", {}, {"balance_vnd": 1.5}))  # type: ignore[dict-item]
    assert stand_in.seen == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "opa:8181",
        "http://opa",
        "http://:8181",
        "http://opa:port",
        "http://opa:99999",
        "ftp://opa:8181",
        "http://user:word@opa:8181",
        "http://opa:8181/v1",
        "http://opa:8181?x=1",
    ],
)
def test_an_address_of_another_form_is_refused(bundle: Bundle, url: str) -> None:
    with pytest.raises(Invalid) as caught:
        OpaServer(url, bundle)
    assert caught.value.code == "settings.invalid"
    assert "word" not in caught.value.message


def test_https_verifies_certificates_against_the_authority_named(bundle: Bundle) -> None:
    usual, private = OpaServer("https://opa:8181", bundle), OpaServer("https://[::1]:8181", bundle, authority="/ca.pem")
    assert usual._client.root_url == "https://opa:8181/v1"
    assert usual._client._session.verify is True
    assert private._client.root_url == "https://[::1]:8181/v1"
    assert private._client._session.verify == "/ca.pem"
    usual.close()
    private.close()


def test_the_client_is_imported_by_those_alone_who_use_it() -> None:
    script = "import sys, sandbox.policy.opa, sandbox.policy.embedded; print('opa_client' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
