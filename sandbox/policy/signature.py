"""The signature of a policy bundle, as an OPA server checks it before it decides by the bundle.

``.signatures.json`` is ``{"signatures": [<one JWT>]}``; the token's payload lists every file of the bundle with the
SHA-256 of its bytes: OPA hashes JSON in canonical form, and that is how the bundle holds it
(https://www.openpolicyagent.org/docs/management-bundles#signing).
"""

import hashlib
from typing import Final

from sandbox.core.canonical import Json, canonical
from sandbox.core.errors import Invalid
from sandbox.core.keys import ES256, PS256, SigningKey, b64url
from sandbox.policy.bundle import Bundle

ALGORITHMS: Final = (ES256, PS256)
"""Of those that OPA knows, the ones for which there are keys here."""


def signed_archive(bundle: Bundle, key: SigningKey) -> bytes:
    """The bundle as an OPA server loads it, signed.

    Raises:
        Invalid: ``key.algorithm`` for a key whose signatures OPA cannot check.
    """
    algorithm = key.verify_key.alg
    if algorithm not in ALGORITHMS:
        raise Invalid(
            "key.algorithm",
            f"An OPA server cannot check signatures of {algorithm}.",
            hint=f"Make a key of {' or '.join(ALGORITHMS)}: sandbox keygen NAME --alg {ES256}.",
        )
    files: list[Json] = [
        {"name": path, "hash": hashlib.sha256(content).hexdigest(), "algorithm": "SHA-256"}
        for path, content in sorted(bundle.members.items())
    ]
    header: dict[str, Json] = {"alg": algorithm, "typ": "JWT"}
    payload: dict[str, Json] = {"files": files}
    signing = f"{b64url(canonical(header))}.{b64url(canonical(payload))}"
    token = f"{signing}.{b64url(key.sign(signing.encode()))}"
    return bundle.archive(canonical({"signatures": [token]}))
