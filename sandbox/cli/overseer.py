"""The demo's regulator, who runs a witness and believes the log only with its cosignature."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import uvicorn

from sandbox.audit.note import cosigner
from sandbox.audit.quorum import TrustPolicy, read_policy
from sandbox.audit.witness import Witness
from sandbox.audit.witness_state import StateFile
from sandbox.core.clock import SystemClock
from sandbox.core.keys import new_key, write_key
from sandbox.exchange import witnessing
from sandbox.witness import create_witness

if TYPE_CHECKING:
    from sandbox.exchange.house import House

FOLDER: Final = "regulator"
POLICY: Final = "policy"
_NAME: Final = "so-khcn.example.vn/w1"
_PAUSE: Final = 0.01


def witnessed(house: "House", vkey: str) -> TrustPolicy:
    """Have the newest checkpoint cosigned by a witness of the regulator's, over HTTP, and answer the policy asking so.

    Its key, its memory and the policy stay in the home's ``regulator`` folder.
    """
    folder = house.settings.home / FOLDER
    folder.mkdir(mode=0o700)
    key = new_key(_NAME)
    write_key(key, folder / "witness.jwk")
    state = StateFile(folder / "witness.state")
    state.create()
    witness = Witness(_NAME, key, [TrustPolicy.of_vkey(vkey).log], state, SystemClock())
    with _serving(witness) as url:
        line = f"witness regulator {cosigner(_NAME, key.verify_key).vkey} {url}"
        text = f"log {vkey}\n{line}\ngroup supervisors 1 regulator\nquorum supervisors\n"
        (folder / POLICY).write_text(text)
        asking = replace(house.settings, witness_policy=folder / POLICY)
        witnessing.ask_witnesses(replace(house, settings=asking))
    return read_policy(text)


@contextmanager
def _serving(witness: Witness) -> Iterator[str]:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_witness(witness), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, name="witness", daemon=True)
        thread.start()
        while thread.is_alive() and not server.started:
            time.sleep(_PAUSE)
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        server.should_exit = True
        thread.join()
