"""How whoever handed something in was identified, as the entry of what they did commits to it."""

from sandbox.core.canonical import Json
from sandbox.core.terms import Identity


def handed_in(by: Identity | None) -> dict[str, Json]:
    """Sealed members of an entry: token, scopes and sign-in of the caller, and the signature of the request.

    Nothing for what was done in the exchange's own house, where no token is asked for.
    """
    if by is None:
        return {}
    identified: Json = {"participant": by.id, "token": by.token, "scopes": [*sorted(by.scopes)], "amr": [*by.amr]}
    return {"identity": identified, "request_signature": dict(by.signature) if by.signature else None}
