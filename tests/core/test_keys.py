"""Keys: five kinds, one file form, and one spelling of everything."""

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from sandbox.core.canonical import digest_of
from sandbox.core.errors import Conflict, Invalid, NotFound, SandboxError
from sandbox.core.keys import (
    ALGORITHMS,
    ED25519,
    ES256,
    ML_DSA_65,
    PS256,
    RS256,
    SigningKey,
    VerifyKey,
    b64url,
    certified_key,
    from_b64url,
    key_from_seed,
    new_key,
    new_witness_key,
    public_key,
    read_key,
    read_public_key,
    write_key,
)
from tests import authority

KEYS = {alg: new_key("hiep-hoi-ban-le", alg) for alg in ALGORITHMS}
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# RFC 8037, A.1 and A.3
RFC_8037_SEED = from_b64url("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
RFC_8037_X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
RFC_8037_THUMBPRINT = from_b64url("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k").hex()

every = pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)


@pytest.fixture(params=KEYS.values(), ids=KEYS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[SigningKey, Path]:
    """A key and its file."""
    path = tmp_path / "a.jwk"
    write_key(request.param, path)
    return request.param, path


def altered(path: Path, **members: Any) -> Path:
    """A copy of a key file with other members; None leaves one out."""
    document = json.loads(path.read_text()) | members
    copy = path.with_name("altered.jwk")
    copy.touch(0o600)
    copy.write_text(json.dumps({name: value for name, value in document.items() if value is not None}))
    return copy


def test_a_key_comes_back_from_its_file(written: tuple[SigningKey, Path]) -> None:
    key, path = written
    again = read_key(path)
    assert again.kid == key.kid
    assert again.verify_key == key.verify_key
    assert key.verify_key.verifies(again.sign(b"message"), b"message")


def test_the_public_half_comes_back_from_either_file(written: tuple[SigningKey, Path]) -> None:
    key, path = written
    assert read_public_key(path) == read_public_key(path.with_name("a.pub.jwk")) == key.verify_key
    assert public_key(key.verify_key.jwk()) == key.verify_key


def test_only_its_owner_may_read_a_private_key(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_key(KEYS[ED25519], tmp_path / "a.jwk")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.jwk").stat().st_mode) == 0o600


def test_the_public_file_does_not_hold_the_secret(written: tuple[SigningKey, Path]) -> None:
    public, private = (json.loads(path.read_text()) for path in (written[1].with_name("a.pub.jwk"), written[1]))
    secrets = {value for name, value in private.items() if name not in public}
    assert secrets
    assert not secrets & {*public.values()}
    assert public == written[0].verify_key.jwk()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_an_exposed_key_file_is_refused(written: tuple[SigningKey, Path], mode: int) -> None:
    written[1].chmod(mode)
    with pytest.raises(Invalid) as refused:
        read_key(written[1])
    assert refused.value.code == "key.exposed"


def test_a_key_is_never_overwritten(written: tuple[SigningKey, Path]) -> None:
    before = {path.name: path.read_bytes() for path in written[1].parent.iterdir()}
    with pytest.raises(Conflict) as refused:
        write_key(new_key("other"), written[1])
    assert refused.value.code == "key.exists"
    assert {path.name: path.read_bytes() for path in written[1].parent.iterdir()} == before


def test_a_public_half_is_never_overwritten_either(tmp_path: Path) -> None:
    write_key(KEYS[ED25519], tmp_path / "a.jwk")
    with pytest.raises(Conflict):
        write_key(KEYS[ES256], tmp_path / "a.json")  # whose public half would be a.pub.jwk too
    assert not (tmp_path / "a.json").exists()
    assert read_public_key(tmp_path / "a.pub.jwk") == KEYS[ED25519].verify_key


def test_no_public_half_stays_behind_when_the_private_key_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "a.jwk").write_text("kept")
    with pytest.raises(Conflict):
        write_key(KEYS[ED25519], tmp_path / "a.jwk")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jwk"]


@pytest.mark.parametrize("name", ["absent.jwk", "folder", "absent/a.jwk"])
def test_a_key_file_that_is_not_there_is_said_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    for read in (read_key, read_public_key):
        with pytest.raises(NotFound) as refused:
            read(tmp_path / name)
        assert refused.value.code == "key.missing"
        assert str(tmp_path) not in refused.value.message


@pytest.mark.parametrize("key", [KEYS[ED25519], KEYS[ES256]], ids=[ED25519, ES256])
@pytest.mark.parametrize(
    "members",
    [
        {"d": None},
        {"d": ""},
        {"d": "AA"},
        {"d": b64url(bytes(32))},  # zero: for P-256 no key, for Ed25519 another one
        {"d": b64url(P256_ORDER.to_bytes(32, "big"))},
        {"d": b64url(bytes(33))},
        {"d": "=" * 43},
        {"d": 5},
        {"x": None},
        {"x": b64url(bytes(31))},
        {"x": b64url(b"\xff" * 32)},
        {"kid": None},
        {"kid": ["a"]},
        {"crv": "P-384"},
        {"crv": "ed25519"},
        {"kty": "RSA"},
        {"kty": None},
    ],
    ids=str,
)
def test_a_damaged_private_key_is_refused(key: SigningKey, tmp_path: Path, members: dict[str, Any]) -> None:
    write_key(key, tmp_path / "a.jwk")
    with pytest.raises(Invalid) as refused:
        read_key(altered(tmp_path / "a.jwk", **members))
    assert refused.value.code in {"key.malformed", "key.unsupported"}


@pytest.mark.parametrize(
    "members",
    [
        {"d": None},
        {"d": b64url(b"\1" * 256)},
        {"p": b64url(b"\3")},
        {"q": ""},
        {"dp": b64url(b"\0\1")},
        {"qi": 5},
        {"n": None},
        {"n": b64url(b"\x80" * 255)},  # 2,040 bits
        {"n": b64url(b"\0" + b"\x81" * 256)},
        {"n": b64url(b"\x81" * 1025)},
        {"e": b64url(b"\3")},
        {"e": b64url(b"\1\0\0")},
        {"e": b64url(b"\1" * 9)},
        {"e": b64url(b"\0\1\0\1")},
        {"kty": "EC"},
        {"kid": None},
    ],
    ids=str,
)
def test_a_damaged_rsa_key_is_refused(tmp_path: Path, members: dict[str, Any]) -> None:
    write_key(KEYS[PS256], tmp_path / "a.jwk")
    with pytest.raises(Invalid) as refused:
        read_key(altered(tmp_path / "a.jwk", **members))
    assert refused.value.code in {"key.malformed", "key.unsupported"}


@pytest.mark.parametrize(
    "members",
    [
        {"priv": None},
        {"priv": b64url(bytes(31))},
        {"priv": b64url(bytes(32))},
        {"pub": b64url(bytes(1951))},
        {"pub": None},
        {"alg": "ML-DSA-87"},
        {"alg": None},
        {"kty": "OKP"},
    ],
    ids=str,
)
def test_a_damaged_ml_dsa_key_is_refused(tmp_path: Path, members: dict[str, Any]) -> None:
    write_key(KEYS[ML_DSA_65], tmp_path / "a.jwk")
    with pytest.raises(Invalid) as refused:
        read_key(altered(tmp_path / "a.jwk", **members))
    assert refused.value.code in {"key.malformed", "key.unsupported"}


def test_halves_of_two_keys_are_no_key(written: tuple[SigningKey, Path]) -> None:
    other = new_key("other", written[0].verify_key.alg).verify_key.jwk()
    with pytest.raises(Invalid):
        read_key(altered(written[1], **other))


def test_a_point_has_one_spelling() -> None:
    jwk = KEYS[ES256].verify_key.jwk()
    x, y = from_b64url(str(jwk["x"])), from_b64url(str(jwk["y"]))
    with pytest.raises(Invalid):
        public_key(jwk | {"x": b64url(x + y[:1]), "y": b64url(y[1:])})
    with pytest.raises(Invalid):
        public_key(jwk | {"x": b64url(b"\0" + x)})


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jwk"
    path.touch(0o600)
    for content in (b"", b"\xff\xfe", b"[]", b"-----BEGIN PRIVATE KEY-----"):
        path.write_bytes(content)
        with pytest.raises(Invalid):
            read_key(path)


@given(
    st.dictionaries(
        st.sampled_from(["kid", "kty", "crv", "alg", "x", "y", "n", "e", "pub"]),
        st.sampled_from(
            [
                "OKP",
                "EC",
                "RSA",
                "AKP",
                ED25519,
                ML_DSA_65,
                "P-256",
                "AQAB",
                RFC_8037_X,
                b64url(bytes(32)),
                "A",
                "=",
                "é",
                "\ud800",
            ]
        )
        | st.none()
        | st.integers(),
    )
)
def test_reading_an_arbitrary_public_key_never_fails_otherwise(document: dict[str, Any]) -> None:
    try:
        outcome = public_key(document).alg
    except SandboxError as error:
        outcome = error.code
    assert outcome in {*ALGORITHMS, "key.malformed", "key.unsupported"}


@every
def test_a_signature_holds_for_its_message_and_key_alone(key: SigningKey) -> None:
    signature = key.sign(b"message")
    assert len(signature) == {PS256: 384, ML_DSA_65: 3309}.get(key.verify_key.alg, 64)
    assert key.verify_key.verifies(signature, b"message")
    assert not key.verify_key.verifies(signature, b"massage")
    assert not new_key("other", key.verify_key.alg).verify_key.verifies(signature, b"message")


@every
@pytest.mark.parametrize("signature", [b"", bytes(63), bytes(64), bytes(65), b"\xff" * 64, bytes(32) + b"\1" * 32])
def test_what_is_no_signature_does_not_verify(key: SigningKey, signature: bytes) -> None:
    assert not key.verify_key.verifies(signature, b"message")


@every
@given(signature=st.binary(min_size=60, max_size=68))
def test_arbitrary_bytes_do_not_verify(key: SigningKey, signature: bytes) -> None:
    assert not key.verify_key.verifies(signature, b"message")


def test_a_seed_makes_the_key_of_rfc_8037() -> None:
    key = key_from_seed("provider", RFC_8037_SEED)
    assert key.verify_key.jwk() == {"kty": "OKP", "crv": ED25519, "x": RFC_8037_X, "kid": key.kid}
    assert key.verify_key.raw() == from_b64url(RFC_8037_X)


def test_a_kid_is_the_owner_and_the_thumbprint() -> None:
    key = key_from_seed("provider", RFC_8037_SEED)
    assert key.kid == "provider/" + RFC_8037_THUMBPRINT[:12]


@pytest.mark.parametrize("alg", [RS256, "ES384", "EdDSA", "ML-DSA-44", ""])
def test_keys_of_other_kinds_are_not_made(alg: str) -> None:
    with pytest.raises(Invalid) as refused:
        new_key("provider", alg)
    assert refused.value.code == "key.unsupported"


def test_a_thumbprint_is_that_of_rfc_7638() -> None:
    """The example of its section 3.1."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3ok"
        "njhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu"
        "6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8a"
        "wapJzKnqDKgw"
    )
    key = public_key({"kty": "RSA", "n": modulus, "e": "AQAB", "kid": "2011-04-29"})
    members = {name: value for name, value in key.jwk().items() if name != "kid"}
    assert digest_of(members) == "sha256:" + from_b64url("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs").hex()


# what a signature may be follows from the key


@every
def test_a_key_accepts_its_own_algorithm_and_an_rsa_key_two(key: SigningKey) -> None:
    accepted = {alg for alg in (*ALGORITHMS, RS256, "none", "HS256", "") if key.verify_key.accepts(alg)}
    assert accepted == {key.verify_key.alg} | ({RS256} if key.verify_key.alg == PS256 else set())


def test_an_rsa_signature_is_of_one_algorithm_only() -> None:
    key = KEYS[PS256]
    old = key.private.sign(b"message", padding.PKCS1v15(), hashes.SHA256())  # type: ignore[call-arg, arg-type, union-attr]
    assert key.verify_key.verifies(old, b"message", RS256)
    assert not key.verify_key.verifies(old, b"message")
    assert not key.verify_key.verifies(key.sign(b"message"), b"message", RS256)


@every
def test_a_good_signature_under_another_algorithms_name_is_none(key: SigningKey) -> None:
    for alg in {*ALGORITHMS, "none"} - {key.verify_key.alg}:
        assert not key.verify_key.verifies(key.sign(b"message"), b"message", alg)


@pytest.mark.parametrize("salt", [0, 20, 64])
def test_a_pss_signature_has_a_salt_of_32_bytes(salt: int) -> None:
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
    signature = KEYS[PS256].private.sign(b"message", pss, hashes.SHA256())  # type: ignore[call-arg, arg-type, union-attr]
    assert not KEYS[PS256].verify_key.verifies(signature, b"message")


# the key of a certificate


@every
def test_the_key_of_a_certificate_is_named_by_the_certificate(key: SigningKey) -> None:
    certificate = authority.root().issue(key, "0101234567")[0]
    assert certified_key(certificate) == VerifyKey(
        f"x5c:{hashlib.sha256(certificate).hexdigest()}", key.verify_key.public
    )


@pytest.mark.parametrize("weak", [rsa.generate_private_key(65_537, 1024), ec.generate_private_key(ec.SECP384R1())])
def test_a_certificates_key_of_another_kind_is_refused(weak: Any) -> None:
    certificate = authority.root().issue(SigningKey("x/1", weak), "0101234567")[0]
    with pytest.raises(Invalid) as refused:
        certified_key(certificate)
    assert refused.value.code == "key.unsupported"


def test_what_is_no_certificate_has_no_key() -> None:
    certificate = authority.root().issue(KEYS[ES256], "0101234567")[0]
    for content in (b"", b"x", certificate[:-1], certificate + b"x"):
        with pytest.raises(Invalid) as refused:
            certified_key(content)
        assert refused.value.code == "key.malformed"


@pytest.mark.parametrize("alg", [ES256, PS256, ML_DSA_65])
def test_only_an_ed25519_key_has_32_raw_bytes(alg: str) -> None:
    with pytest.raises(Invalid):
        KEYS[alg].verify_key.raw()


@given(st.binary(max_size=70))
def test_base64url_survives_a_round_trip(content: bytes) -> None:
    assert from_b64url(b64url(content)) == content


@given(st.text("ABCz019-_=+/ \n\u0100", max_size=8) | st.text(max_size=8))
def test_base64url_has_one_spelling_for_each_content(text: str) -> None:
    try:
        outcome = b64url(from_b64url(text))
    except SandboxError as error:
        outcome = error.code
    assert outcome in {text, "key.malformed"}


@pytest.mark.parametrize("text", ["AB", "AA==", "A", "A A", "AA\n", "+/+/", "AAA=", "AA-!", "Ā"])
def test_base64url_with_spare_bits_padding_or_foreign_characters_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        from_b64url(text)


def test_a_witness_s_key_is_kept_and_read_and_is_no_participant_s(tmp_path: Path) -> None:
    key = new_witness_key("regulator.example.vn/w1")
    write_key(key, tmp_path / "a.jwk")
    found = read_key(tmp_path / "a.jwk")
    assert (found.kid, found.verify_key.raw()) == (key.kid, key.verify_key.raw())
    assert key.verify_key.verifies(found.sign(b"text"), b"text")
    assert not key.verify_key.verifies(found.sign(b"text"), b"texts")
    with pytest.raises(Invalid) as refusal:
        read_public_key(tmp_path / "a.pub.jwk")
    assert refusal.value.code == "key.unsupported"
