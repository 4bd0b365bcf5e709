"""Asking witnesses to cosign the log, and remembering who did not."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from sandbox.audit import store
from sandbox.audit.cosignatures import keep_cosignature, last_cosigned
from sandbox.audit.layout import node_of
from sandbox.audit.merkle import consistency_proof
from sandbox.audit.note import MOST_SIGNATURES, judged, signature_line, unverified
from sandbox.audit.quorum import TrustPolicy, Witness, read_policy
from sandbox.audit.store import Head
from sandbox.audit.witness import Answer, Submission
from sandbox.audit.witness_client import size_of, submit
from sandbox.core.database import Transaction
from sandbox.core.errors import Invalid, NotFound, SandboxError, Unavailable
from sandbox.exchange.house import House
from sandbox.exchange.report import export_log
from sandbox.settings import Settings

SEEN_FILE: Final = "witnesses.json"
COSIGNED: Final = "cosigned"
_AT_ONCE: Final = 16
_ALARMING: Final[Mapping[str, str]] = {
    "fork": "it holds another history than this database",
    "ahead": "it has seen more entries than this database holds",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How asking one witness ended: ``cosigned``, or what went wrong; ``size`` is that of the head it was asked for."""

    result: str
    size: int


def policy_of(settings: Settings) -> TrustPolicy | None:
    """The trust policy whose witnesses are asked; None without the setting ``witness_policy``.

    Raises:
        NotFound: ``witness.policy`` when the file cannot be read.
        Invalid: ``quorum.malformed``, ``vkey.malformed``.
    """
    path = settings.witness_policy
    if path is None:
        return None
    try:
        policy = read_policy(path.read_bytes())
    except OSError:
        hint = "Check the setting witness_policy."
        raise NotFound("witness.policy", f"The trust policy {path.name} cannot be read.", hint=hint) from None
    if len(policy.witnesses) >= MOST_SIGNATURES:  # nobody could read a checkpoint that all of them have cosigned
        raise Invalid(
            "quorum.malformed",
            f"The trust policy names {len(policy.witnesses)} witnesses, more than one checkpoint can name.",
            hint=f"Name at most {MOST_SIGNATURES - 1}: one signature is the log's own.",
        )
    return policy


def ask_witnesses(house: House) -> int:
    """Have the newest head cosigned, by every witness of the policy that has an address, all at once; then publish it.

    Answers how many have cosigned that head. A witness that is slow, unreachable or hostile delays nobody else,
    changes nothing here, and shows in :func:`standing`.

    Raises:
        NotFound, Invalid: as :func:`policy_of`.
        Tampered: as :func:`sandbox.exchange.report.export_log`.
    """
    policy = policy_of(house.settings)
    asked = [witness for witness in policy.witnesses.values() if witness.url] if policy else []
    if not asked:
        return 0
    # (1) What is committed last? A head that is not durable is shown to nobody.
    with house.database.read() as connection:
        head = store.newest_head(connection)
    if not head.size:
        return 0
    # (2) Each witness apart from the others.
    with ThreadPoolExecutor(min(len(asked), _AT_ONCE), "witness") as crowd:
        outcomes = dict(zip([each.name for each in asked], crowd.map(_Asking(house, head), asked), strict=True))
    # (3) Remember, and publish the head with its cosignatures.
    _remember(house, outcomes)
    export_log(house)
    return sum(outcome.result == COSIGNED for outcome in outcomes.values())


@dataclass(frozen=True, slots=True)
class _Asking:
    """Asking for one head."""

    house: House
    head: Head

    def __call__(self, witness: Witness) -> Outcome:
        try:
            return Outcome(self._outcome(witness), self.head.size)
        except SandboxError as error:
            return Outcome(error.code, self.head.size)
        except Exception:  # whatever a stranger's answer sets off ends here
            return Outcome("failed", self.head.size)

    def _outcome(self, witness: Witness) -> str:
        with self.house.database.read() as connection:
            old = last_cosigned(connection, witness.verifier)
        if old >= self.head.size:
            return COSIGNED
        answer = self._submit(witness, old)
        theirs = size_of(answer)
        if theirs is not None and theirs <= self.head.size:  # it cosigned once, and that was not heard of here
            answer = self._submit(witness, theirs)
            theirs = size_of(answer)
        if theirs is not None and theirs > self.head.size:
            return self._beyond(theirs)
        if theirs == self.head.size or answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            return "fork"
        if answer.status != HTTPStatus.OK:
            return f"status {answer.status}"
        self._keep(witness, answer.body)
        return COSIGNED

    def _beyond(self, theirs: int) -> str:
        with self.house.database.read() as connection:  # another process may have shown it a newer head just now
            return "behind" if theirs <= store.newest_head(connection).size else "ahead"

    def _submit(self, witness: Witness, old: int) -> Answer:
        with self.house.database.read() as connection:
            proof = consistency_proof(old, self.head.size, node_of(self.head.size, store.tile_reader(connection)))
        return submit(str(witness.url), Submission(old, proof, self.head.note))

    def _keep(self, witness: Witness, lines: bytes) -> None:
        """Keep the witness's own line out of all that it answered, once its signature is found good."""
        text, good = judged(self.head.note + lines, [self.house.log.verifier, witness.verifier])
        # the lines may hold an empty one, below which all that stood before would be the text that was signed
        if text != unverified(self.head.note)[0] or not good[witness.verifier.identity]:
            raise Unavailable("witness.answer", "The witness answered without a cosignature under its key.")
        line, at = signature_line(witness.verifier, good[witness.verifier.identity][0]), self.house.now()

        def unit(tx: Transaction) -> bool:
            return keep_cosignature(tx, self.head.size, witness.verifier, line, at)

        self.house.database.write(unit)


# --- what people are told ---


def _seen(home: Path) -> Mapping[str, Outcome]:
    try:
        document = json.loads((home / SEEN_FILE).read_bytes())
        return {name: Outcome(str(said["result"]), int(said["size"])) for name, said in document.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none asked yet; it is made anew each time
        return {}


def _remember(house: House, outcomes: Mapping[str, Outcome]) -> None:
    """Write down how asking ended: in a file, so that every process and the command line can tell."""
    path: Path = house.settings.home / SEEN_FILE
    draft = path.with_name(f"{SEEN_FILE}.tmp")
    draft.write_text(json.dumps({name: asdict(outcome) for name, outcome in outcomes.items()}, indent=1) + "\n")
    draft.replace(path)


def standing(settings: Settings) -> str:
    """How witnessing stands, in words: ``2 of 2``, or whose cosignature is missing and why; alarms come first.

    These are words and no error: a witness that says it has seen another history shows no proof of that, and no
    stranger's word may stop trading. People must look at it at once.

    Raises:
        NotFound, Invalid: as :func:`policy_of`.
    """
    policy = policy_of(settings)
    names = [witness.name for witness in policy.witnesses.values() if witness.url] if policy else []
    seen = _seen(settings.home)
    results = {name: seen[name].result if name in seen else "not asked yet" for name in names}
    alarms = [f"ALARM {name}: {_ALARMING[said]}" for name, said in results.items() if said in _ALARMING]
    missing = [f"{name}: {said}" for name, said in results.items() if said != COSIGNED and said not in _ALARMING]
    count = sum(said == COSIGNED for said in results.values())
    return "; ".join([*alarms, f"{count} of {len(names)}", *missing])
