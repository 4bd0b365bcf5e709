"""The signed bundle, checked by the rules that an OPA server checks it by."""

import base64
import gzip
import hashlib
import io
import json
import tarfile
from typing import Any

import pytest

from sandbox.core.errors import Invalid
from sandbox.core.keys import ED25519, ES256, PS256, SigningKey, VerifyKey, new_key
from sandbox.policy.bundle import Bundle
from sandbox.policy.signature import signed_archive


def unpacked(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(archive))) as packed:
        found = {member.name: packed.extractfile(member) for member in packed.getmembers()}
        return {name: stream.read() for name, stream in found.items() if stream}


def packed(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def hash_of(name: str, content: bytes) -> str:
    """As OPA: of JSON and the manifest the canonical form, of all else the bytes."""
    if name.endswith(".json") or name == ".manifest":
        content = json.dumps(json.loads(content), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return hashlib.sha256(content).hexdigest()


def is_believed(archive: bytes, key: VerifyKey) -> bool:
    """One token, of the key's own algorithm, that lists every file but itself, and none besides."""
    files = unpacked(archive)
    tokens = json.loads(files.pop(".signatures.json", b'{"signatures": []}'))["signatures"]
    if len(tokens) != 1:
        return False
    head, body, signature = tokens[0].split(".")
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    if decoded(head)["alg"] != key.alg or not key.verifies(raw, f"{head}.{body}".encode()):
        return False
    listed = {each["name"]: each["hash"] for each in decoded(body)["files"] if each["algorithm"] == "SHA-256"}
    return listed == {name: hash_of(name, content) for name, content in files.items()}


@pytest.fixture(scope="module", params=[ES256, PS256])
def key(request: pytest.FixtureRequest) -> SigningKey:
    return new_key("san-du-lieu", request.param)


def test_a_signed_bundle_is_believed(bundle: Bundle, key: SigningKey) -> None:
    assert is_believed(signed_archive(bundle, key), key.verify_key)


def test_it_holds_the_same_policies_under_the_same_digest(bundle: Bundle, key: SigningKey) -> None:
    files = unpacked(signed_archive(bundle, key))
    assert json.loads(files[".manifest"])["revision"] == bundle.digest
    assert {name: files[name] for name in files if name != ".signatures.json"} == unpacked(bundle.archive())


def test_another_key_is_not_believed(bundle: Bundle, key: SigningKey) -> None:
    assert not is_believed(signed_archive(bundle, key), new_key("ke-khac", ES256).verify_key)


def test_an_unsigned_bundle_is_not_believed(bundle: Bundle, key: SigningKey) -> None:
    assert not is_believed(bundle.archive(), key.verify_key)


@pytest.mark.parametrize("change", ["altered", "added", "removed"])
def test_a_changed_file_is_not_believed(bundle: Bundle, key: SigningKey, change: str) -> None:
    files, name = unpacked(signed_archive(bundle, key)), "exchange/authz/decision.rego"
    if change == "removed":
        del files[name]
    else:
        files[name if change == "altered" else "exchange/authz/more.rego"] = files[name] + b"\n"
    assert not is_believed(packed(files), key.verify_key)


def test_a_key_that_opa_does_not_know_is_refused(bundle: Bundle) -> None:
    with pytest.raises(Invalid) as caught:
        signed_archive(bundle, new_key("san-du-lieu", ED25519))
    assert caught.value.code == "key.algorithm"
    assert ES256 in caught.value.hint
