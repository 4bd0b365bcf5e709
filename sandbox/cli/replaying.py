"""A decision made again by policies from elsewhere: in a child of little time and memory, for they may not end."""

import base64
import json
import resource
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Final

from sandbox.core.canonical import canonical
from sandbox.core.errors import Invalid, SandboxError, Unavailable
from sandbox.core.terms import Digest
from sandbox.policy.bundle import Bundle
from sandbox.policy.decision import Decision, Question

SECONDS: Final = 20
MEMORY_BYTES: Final = 2 << 30
_LONGEST_ANSWER: Final = 1 << 20
_PATIENCE: Final = 3 * SECONDS
_CHILD: Final = (sys.executable, "-I", "-m", "sandbox.cli.replaying")


def decided(policies: Mapping[str, bytes], question: Mapping[str, Any]) -> Decision:
    """What these policies decide on a question as the log seals it.

    Raises:
        Invalid: ``policy.invalid`` when the files are no policies, ``policy.question`` when it is no question.
        Unavailable: ``verify.replay`` when they take more than 20 seconds or 2 GB, or cannot be run here.
    """
    files = {path: base64.b64encode(content).decode() for path, content in policies.items()}
    bounds = {"seconds": SECONDS, "memory": MEMORY_BYTES}
    job = json.dumps({"policies": files, "question": question, "bounds": bounds}).encode()
    try:
        done = subprocess.run(_CHILD, input=job, capture_output=True, timeout=_PATIENCE, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise _unreplayed() from None
    if done.returncode != 0 or len(done.stdout) > _LONGEST_ANSWER:
        raise _unreplayed()
    return _read(json.loads(done.stdout))


def _unreplayed() -> Unavailable:
    return Unavailable(
        "verify.replay",
        f"The policies in the pack did not decide within {SECONDS} seconds and {MEMORY_BYTES >> 30} GB of memory.",
        hint="The rest of the pack was verified. Ask for the policies of that digest, and decide on a larger machine.",
    )


def _read(said: dict[str, Any]) -> Decision:
    if "code" in said:
        raise Invalid(said["code"], said["message"], hint=said["hint"])
    return Decision(said["allow"], tuple(said["reasons"]), {}, Digest(said["policy"]))


def _question(said: Mapping[str, Any]) -> Question:
    match said:
        case {"subject": dict(), "action": {"name": str(action)}, "resource": dict(), "context": dict()}:
            question = Question(said["subject"], action, said["resource"], said["context"])
            if canonical(question.as_input()) == canonical(dict(said)):
                return question
    raise Invalid(
        "policy.question", "What is sealed as the question is none that policies are asked.", hint="Tell the regulator."
    )


# --- the child ---


def _made(job: Mapping[str, Any]) -> dict[str, Any]:
    from sandbox.policy.embedded import Embedded

    bundle = Bundle.of({path: base64.b64decode(content) for path, content in job["policies"].items()})
    decision = Embedded(bundle).decide(_question(job["question"]))
    return {"allow": decision.allow, "reasons": list(decision.reasons), "policy": decision.policy}


def _shut_in(bounds: Mapping[str, int]) -> None:
    for kind, most in (
        (resource.RLIMIT_CPU, bounds["seconds"]),
        (resource.RLIMIT_AS, bounds["memory"]),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def main() -> None:
    """Decide on what stands on standing input, and write what came of it."""
    job = json.load(sys.stdin)
    _shut_in(job["bounds"])
    try:
        said = _made(job)
    except Invalid as error:
        said = {"code": error.code, "message": error.message, "hint": error.hint}
    except SandboxError:  # the engine failed, which may be for want of memory
        sys.exit(1)
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main()
