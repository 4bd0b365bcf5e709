"""The receipt: one entry of the log with what its seals stand for, and the proof that it is there."""

from collections.abc import Collection

from sqlalchemy.engine import Connection

from sandbox.audit import store
from sandbox.audit.cosignatures import witnessed_head
from sandbox.audit.layout import node_of
from sandbox.audit.log import Log
from sandbox.audit.merkle import inclusion_proof
from sandbox.audit.proof import Proof
from sandbox.audit.shown import RECEIPT, RECEIPT_JWS
from sandbox.core.canonical import Json, canonical, parse
from sandbox.core.keys import SigningKey, b64url
from sandbox.core.signing import sign


def receipt(
    connection: Connection,
    log: Log,
    entry_id: str,
    exchange: SigningKey | None = None,
    withheld: Collection[str] = (),
) -> bytes:
    """The receipt of an entry, signed by the exchange when its key is given.

    It stands under the newest checkpoint that a witness has cosigned and that covers the entry, which need not believe
    the exchange alone; while there is none, under the newest.
    It reveals every sealed value that is neither erased nor ``withheld``, so it is for those only who may know them.

    Raises:
        NotFound: ``entry.unknown``.
    """
    index, leaf = log.find(connection, entry_id)
    entry = parse(leaf)
    reveal: dict[str, Json] = {
        name: {"salt": b64url(salt), "value": value}
        for name, (salt, value) in log.bodies(connection, entry_id).items()
        if name not in withheld
    }
    head = witnessed_head(connection, index) or log.head(connection)
    hashes = inclusion_proof(index, head.size, node_of(head.size, store.tile_reader(connection)))
    return canonical({
        "type": RECEIPT,
        "entry": entry,
        "reveal": reveal,
        "proof": Proof(index, tuple(hashes), head.note).as_text(),
        "signatures": [sign(entry, exchange, RECEIPT_JWS)] if exchange else [],
    })  # fmt: skip
