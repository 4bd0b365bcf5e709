"""Ways to pass off what the parties did not sign as their contract: each made from a good agreement, offer or request.

What is made here lies as evidence in ``tests/contracts/evidence``, one file an attack.
"""

import base64
import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from sandbox.core.canonical import canonical, parse
from sandbox.core.keys import SigningKey, b64url, from_b64url

SIGNATURE: Final = "signature.invalid"
DOCUMENT: Final = "document.malformed"
CONTRACT: Final = "contract.invalid"
Json = dict[str, Any]


@dataclass(frozen=True)
class Forgery:
    """One attack: what is handed in as what, the code and words of its refusal, and what another JWS library says."""

    attack: str
    opens: str
    text: bytes
    code: str
    says: str

    @property
    def name(self) -> str:
        plain = unicodedata.normalize("NFKD", self.attack).encode("ascii", "ignore").decode()
        return "-".join("".join(c if c.isalnum() else " " for c in plain.lower()).split())

    def document(self) -> Json:
        """As it lies in its file: as text where it is text."""
        try:
            held = {"text": self.text.decode()}
        except UnicodeDecodeError:
            held = {"base64": base64.b64encode(self.text).decode()}
        return {"attack": self.attack, "opens": self.opens, "code": self.code, "says": self.says, **held}


def read(document: Json) -> Forgery:
    """A forgery from its file."""
    text = document["text"].encode() if "text" in document else base64.b64decode(document["base64"])
    return Forgery(document["attack"], document["opens"], text, document["code"], document["says"])


@dataclass(frozen=True)
class Good:
    """What the parties did sign, and the keys of everyone: what an attacker who is one of them has, and more."""

    agreement: bytes
    offer: bytes
    request: bytes
    provider: SigningKey
    buyer: SigningKey
    exchange: SigningKey
    stranger: SigningKey

    @property
    def contract(self) -> Json:
        return parse(self.agreement)["contract"]

    @property
    def all(self) -> tuple[SigningKey, ...]:
        return self.provider, self.buyer, self.exchange


def forged(document: Json, *signers: SigningKey, member: str = "contract", **header: Any) -> Json:
    """An envelope signed over orjson's bytes of any document, under any header. A member of None is left out."""
    payload = b64url(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
    signatures = []
    for key in signers:
        said = {"alg": key.verify_key.alg, "kid": key.kid, "typ": f"{member}+jws"} | header
        kept = {name: value for name, value in said.items() if value is not None}
        signatures.append(signed(orjson.dumps(kept, option=orjson.OPT_SORT_KEYS), payload, key))
    return {member: document, "signatures": signatures}


def signed(header: bytes, payload: str, key: SigningKey) -> dict[str, str]:
    protected = b64url(header)
    return {"protected": protected, "signature": b64url(key.sign(f"{protected}.{payload}".encode()))}


def forgeries(good: Good) -> Iterator[Forgery]:
    """All of them."""
    yield from _tampered(good)
    yield from _ambiguous(good)
    yield from _odd_headers(good)
    yield from _certificates(good)
    yield from _wrong_signers(good)
    yield from _wrong_documents(good)


# --- what can be done to the signatures of a good agreement, without any key ---
def _strip(index: int) -> Callable[[Json], None]:
    def change(document: Json) -> None:
        del document["signatures"][index]

    return change


def _swap(member: str) -> Callable[[Json], None]:
    def change(document: Json) -> None:
        first, second, _ = document["signatures"]
        first[member], second[member] = second[member], first[member]

    return change


def _respell(member: str, spelling: Callable[[str], Any]) -> Callable[[Json], None]:
    def change(document: Json) -> None:
        document["signatures"][0][member] = spelling(document["signatures"][0][member])

    return change


def _spare_bits(text: str) -> str:
    """The last letter of 64 bytes in base64url has four spare bits: sixteen spellings of one signature."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]


def _unprotected(document: Json) -> None:
    """Everything that the protected header said, said where no signature covers it."""
    first = document["signatures"][0]
    header = json.loads(from_b64url(first["protected"]))
    first["header"], first["protected"] = (
        {"alg": header["alg"], "kid": header["kid"]},
        b64url(b'{"typ":"contract+jws"}'),
    )


def _unprotected_beside(document: Json) -> None:
    document["signatures"][0]["header"] = {"jwk": {"kty": "OKP"}}


def _payload_beside(document: Json) -> None:
    document["payload"] = b64url(canonical(document["contract"]))


def _flattened(document: Json) -> None:
    document |= document.pop("signatures")[0]


def _set(path: str, value: Any) -> Callable[[Json], None]:
    def change(document: Json) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            document = document[parent]
        document[last] = value

    return change


def _dropped(document: Json) -> None:
    del document["contract"]["terms"]["output_constraints"]


_TAMPERED: Final[Mapping[str, tuple[Callable[[Json], None], str]]] = {
    "the buyer's signature stripped": (_strip(0), "once each"),
    "the provider's signature stripped": (_strip(1), "once each"),
    "the exchange's signature stripped": (_strip(2), "once each"),
    "all signatures stripped": (_set("signatures", []), "once each"),
    "two signatures swapped": (_swap("signature"), "does not match"),
    "two headers swapped": (_swap("protected"), "does not match"),
    "one signer twice": (lambda it: it["signatures"].append(it["signatures"][0]), "twice"),
    "one signer in another's place": (lambda it: it["signatures"].__setitem__(1, it["signatures"][0]), "twice"),
    "more signatures than anyone needs": (lambda it: it.update(signatures=it["signatures"] * 4), "at most"),
    "an unprotected header": (_unprotected, "exactly 'protected'"),
    "an unprotected header beside the protected one": (_unprotected_beside, "exactly 'protected'"),
    "a signature of noughts": (_respell("signature", lambda _: b64url(bytes(64))), "does not match"),
    "an empty signature": (_respell("signature", lambda _: ""), "does not match"),
    "a signature shortened": (_respell("signature", lambda text: text[:-4]), "base64url"),
    "a signature with spare bits set": (_respell("signature", _spare_bits), "base64url"),
    "a signature with padding": (_respell("signature", lambda text: text + "=="), "base64url"),
    "a signature in standard base64": (_respell("signature", lambda text: text + "+/"), "base64url"),
    "a signature with a line break": (_respell("signature", lambda text: text + "\n"), "base64url"),
    "a header with padding": (_respell("protected", lambda text: text + "="), "malformed"),
    "a header that is no text": (_respell("protected", lambda text: [text]), "exactly 'protected'"),
    "a payload beside the contract": (_payload_beside, "exactly 'contract'"),
    "one signature in flattened form": (_flattened, "exactly 'contract'"),
    "one term altered": (_set("contract.terms.max_rows", 9_999), "does not match"),
    "one term removed": (_dropped, "does not match"),
    "true for one": (_set("contract.terms.max_rows", True), "does not match"),
    "another buyer": (_set("contract.assignee", "cong-ty-khac"), "does not match"),
    "another offer in prev": (_set("contract.prev", "sha256:" + "0" * 64), "does not match"),
}


def _tampered(good: Good) -> Iterator[Forgery]:
    for attack, (change, says) in _TAMPERED.items():
        document = parse(good.agreement)
        change(document)
        yield Forgery(attack, "contract", canonical(document), SIGNATURE, says)


# --- what can be done to the text, so that two readers would read two things ---
_WORDS: Final = "Bên mua".encode()
_TEXTS: Final[Mapping[str, tuple[bytes, bytes, str]]] = {
    "a key standing twice": (b'"max_rows":', b'"max_rows":1,"max_rows":', "twice"),
    "a key standing twice in another spelling": (b'"max_rows":', b'"max\\u005frows":9999,"max_rows":', "twice"),
    "signatures standing twice": (b'"signatures":', b'"signatures":[],"signatures":', "twice"),
    "a float": (b'"max_rows":5000', b'"max_rows":5000.0', "float"),
    "a power": (b'"max_rows":5000', b'"max_rows":5e3', "float"),
    "no number": (b'"max_rows":5000', b'"max_rows":NaN', "no JSON number"),
    "a number beyond 2^53": (b'"max_rows":5000', b'"max_rows":9007199254740993', "2^53"),
    "a byte order mark": (b'{"contract"', b'\xef\xbb\xbf{"contract"', "not JSON"),
    "a lone surrogate": (_WORDS, b"\\ud800", "surrogate"),
    "bytes that are no UTF-8": (_WORDS, b"B\xean mua", "not JSON"),
    "another document behind it": (b'{"contract"', b'{} {"contract"', "not JSON"),
    "decomposed letters": (_WORDS, unicodedata.normalize("NFD", "Bên mua").encode(), "NFC"),
}


def _ambiguous(good: Good) -> Iterator[Forgery]:
    for attack, (found, put, says) in _TEXTS.items():
        if found not in good.agreement:
            raise ValueError(attack)
        yield Forgery(attack, "contract", good.agreement.replace(found, put, 1), DOCUMENT, says)
    document = good.contract
    words = document["terms"]["intellectual_property"]
    document["terms"]["intellectual_property"] = unicodedata.normalize("NFD", words)
    text = orjson.dumps(forged(document, *good.all))
    yield Forgery("decomposed letters that everyone signed", "contract", text, DOCUMENT, "NFC")


# --- what a party can sign with its own key ---
def _odd_headers(good: Good) -> Iterator[Forgery]:
    jwk = good.stranger.verify_key.jwk()
    headers: dict[str, tuple[Json, str]] = {
        "the old name of the algorithm": ({"alg": "EdDSA"}, "algorithm"),
        "no algorithm": ({"alg": "none"}, "algorithm"),
        "an algorithm of secrets": ({"alg": "HS256"}, "algorithm"),
        "another kind of key's algorithm": ({"alg": "ES256"}, "algorithm"),
        "an RSA algorithm": ({"alg": "RS256"}, "algorithm"),
        "an algorithm that is no text": ({"alg": 1}, "exactly alg"),
        "an offer's type": ({"typ": "offer+jws"}, "offer+jws"),
        "a request's type": ({"typ": "request+jws"}, "request+jws"),
        "a receipt's type": ({"typ": "receipt+jws"}, "receipt+jws"),
        "a dataset's type": ({"typ": "dataset+jws"}, "dataset+jws"),
        "an order's type": ({"typ": "order+jws"}, "order+jws"),
        "no type": ({"typ": None}, "exactly alg"),
        "an extension that must be understood": ({"crit": ["b64"], "b64": False}, "exactly alg"),
        "an empty crit": ({"crit": []}, "exactly alg"),
        "a key of its own": ({"jwk": jwk}, "exactly alg"),
        "a key of its own in place of a name": ({"kid": None, "jwk": jwk}, "exactly alg"),
        "a place to fetch a key": ({"jku": "https://example.org/keys"}, "exactly alg"),
        "a place to fetch certificates": ({"x5u": "https://example.org/chain"}, "exactly alg"),
        "a foreign member": ({"iat": 1}, "exactly alg"),
        "no name of a key": ({"kid": None}, "exactly alg"),
        "a name of a key that is no text": ({"kid": 1}, "exactly alg"),
        "a name of a key that no database takes": ({"kid": "cong-ty-fintech/\0"}, "not registered"),
        "a name of a key as certificates have it": ({"kid": "x5c:" + "0" * 64}, "not registered"),
    }
    for attack, (header, says) in headers.items():
        yield Forgery(attack, "contract", _with_buyer_under(good, header), SIGNATURE, says)
    kids = f'"kid":"{good.stranger.kid}","kid":"{good.buyer.kid}"'
    whole = forged(good.contract, good.provider, good.exchange)
    twice = f'{{"alg":"Ed25519",{kids},"typ":"contract+jws"}}'.encode()
    whole["signatures"].append(signed(twice, b64url(canonical(good.contract)), good.buyer))
    yield Forgery("a header's key standing twice", "contract", canonical(whole), SIGNATURE, "malformed")


def _with_buyer_under(good: Good, header: Json) -> bytes:
    whole = forged(good.contract, good.provider, good.exchange)
    whole["signatures"] += forged(good.contract, good.buyer, **header)["signatures"]
    return orjson.dumps(whole)


def _certificates(good: Good) -> Iterator[Forgery]:
    """Headers with ``x5c``; that a chain leads nowhere is tried where there is a CA, see ``test_certificates``."""
    one = base64.b64encode(b"0\x82" + bytes(range(254))).decode()
    variants: dict[str, tuple[Json, str]] = {
        "a certificate that nobody vouches for": ({"kid": None, "x5c": [one]}, "not trusted"),
        "certificates beside the name of a key": ({"x5c": [one]}, "exactly alg"),
        "no certificates": ({"kid": None, "x5c": []}, "0 certificates"),
        "certificates that are no list": ({"kid": None, "x5c": one}, "exactly alg"),
        "a certificate that is no text": ({"kid": None, "x5c": [{}]}, "standard base64"),
        "a certificate in base64url": ({"kid": None, "x5c": [b64url(from_standard(one))]}, "standard base64"),
        "a certificate with a line break": ({"kid": None, "x5c": [one + "\n"]}, "standard base64"),
        "a certificate in PEM": ({"kid": None, "x5c": ["-----BEGIN CERTIFICATE-----"]}, "standard base64"),
        "a certificate with spare bits set": ({"kid": None, "x5c": ["MIH="]}, "standard base64"),
        "an empty certificate": ({"kid": None, "x5c": [""]}, "standard base64"),
        "too many certificates": ({"kid": None, "x5c": [one] * 6}, "6 certificates"),
        "the digest of a certificate": ({"kid": None, "x5t#S256": b64url(bytes(32))}, "exactly alg"),
        "certificates and their digest": ({"kid": None, "x5c": [one], "x5t#S256": b64url(bytes(32))}, "exactly alg"),
    }
    for attack, (header, says) in variants.items():
        yield Forgery(attack, "contract", _with_buyer_under(good, header), SIGNATURE, says)


def from_standard(text: str) -> bytes:
    return base64.b64decode(text)


def _wrong_signers(good: Good) -> Iterator[Forgery]:
    provider, buyer, exchange = good.all
    stranger, contract = good.stranger, good.contract
    posing = SigningKey(buyer.kid, stranger.private)
    unknown = SigningKey(f"{buyer.kid}0", stranger.private)
    more = forged(contract, *good.all)
    more["signatures"] += forged(contract | {"prev": "x"}, stranger)["signatures"]
    offer, request = parse(good.offer)["offer"], parse(good.request)["request"]
    moved = parse(good.agreement)
    moved["signatures"][1] = parse(good.offer)["signatures"][0]
    listed: dict[str, tuple[str, Json, str]] = {
        "a stranger in the buyer's place": ("contract", forged(contract, provider, stranger, exchange), "once each"),
        "a stranger under the buyer's name": ("contract", forged(contract, provider, posing, exchange), "not match"),
        "a key that nobody registered": ("contract", forged(contract, provider, unknown, exchange), "not registered"),
        "a stranger beside the three": ("contract", forged(contract, *good.all, stranger), "once each"),
        "a bad signature beside three good ones": ("contract", more, "does not match"),
        "the signature of an offer under its agreement": ("contract", moved, "offer+jws"),
        "an offer that a stranger signed": ("offer", forged(offer, stranger, member="offer"), "by its provider"),
        "an offer that its buyer signed too": ("offer", forged(offer, provider, buyer, member="offer"), "nobody else"),
        "an offer that nobody signed": ("offer", forged(offer, member="offer"), "by its provider"),
        "a request that its provider signed": ("request", forged(request, provider, member="request"), "by its buyer"),
        "a request that both signed": ("request", forged(request, buyer, provider, member="request"), "nobody else"),
        "a request that nobody signed": ("request", forged(request, member="request"), "by its buyer"),
        "an offer posed as a request": ("request", parse(good.offer), "exactly 'request'"),
        "a request posed as an offer": ("offer", parse(good.request), "exactly 'offer'"),
        "an agreement posed as an offer": ("offer", parse(good.agreement), "exactly 'offer'"),
        "a receipt posed as a contract": (
            "contract",
            forged(contract, *good.all, member="entry"),
            "exactly 'contract'",
        ),
    }
    for attack, (opens, document, says) in listed.items():
        yield Forgery(attack, opens, canonical(document), SIGNATURE, says)


def _wrong_documents(good: Good) -> Iterator[Forgery]:
    """What all who must sign it did sign, and what is no contract all the same."""
    empty, unguarded, wider = good.contract, good.contract, good.contract
    empty["permission"][0]["constraint"][0]["rightOperand"] = []
    del unguarded["terms"]["output_constraints"]
    wider["terms"]["max_rows"] = 9_999
    offer, request = parse(good.offer)["offer"], parse(good.request)["request"]
    listed: dict[str, tuple[str, Json, tuple[SigningKey, ...], str]] = {
        "no purposes that everyone signed": ("contract", empty, good.all, "purposes"),
        "a missing threshold that everyone signed": ("contract", unguarded, good.all, "output_constraints"),
        "an offer's document that everyone signed": ("contract", offer, good.all, "no member"),
        "a request's document signed as an offer": ("offer", request, (good.provider,), "type"),
        "an offer's document signed as a request": ("request", offer, (good.buyer,), "no member"),
        "an old offer in prev of wider terms that everyone signed": ("registry", wider, good.all, "differs"),
    }
    for attack, (opens, document, signers, says) in listed.items():
        member = "contract" if opens == "registry" else opens
        yield Forgery(attack, opens, canonical(forged(document, *signers, member=member)), CONTRACT, says)
