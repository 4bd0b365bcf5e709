"""Who asks: the holder of a token, strengthened by the signature of the request where there is one."""

from dataclasses import replace

from sandbox.contracts import orders, requests, tokens
from sandbox.contracts.requests import SignedRequest
from sandbox.core.database import Transaction
from sandbox.core.errors import NotIdentified
from sandbox.core.terms import Identity, KeyUse, Role
from sandbox.exchange.house import House


def identify(house: House, secret: str, signature: SignedRequest | None) -> Identity:
    """Who holds this API token, and whether they signed the request with a key of theirs.

    Raises:
        NotIdentified: unknown, expired and revoked tokens are told apart; ``identity.suspended`` (CHARTER-06) when
            its holder is, and no regulator; ``signature.*`` when the signature is bad, someone else's, too old or was
            used before.
    """
    with house.database.read() as connection:
        identity = tokens.identify(connection, secret, house.now())
        standing = orders.concerning(connection, [identity.id], [], [])
        stopped = any(each.kind == "participant" and each.act == "suspend" for each in standing)
        if stopped and Role.REGULATOR not in identity.roles:  # an operator could blind its supervisor otherwise
            raise NotIdentified(
                "identity.suspended", f"{identity.id} is suspended, and so are its tokens.",
                hint="Ask the regulator; what was recorded before stays.", reasons=("CHARTER-06",),
            )  # fmt: skip
        if signature is None:
            return identity
        evidence = requests.verified(signature, identity.id, house.signers(connection, use=KeyUse.REQUEST), house.now())

    def write(tx: Transaction) -> None:
        requests.spend_nonce(tx, signature, house.now())

    house.database.write(write)
    return replace(identity, amr=(*identity.amr, "pop"), signature=evidence)
