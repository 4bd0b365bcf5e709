"""The decision point inside the process: Rego on regorus, under a millisecond a question."""

import json
import threading
from typing import Any, Final

import regorus

from sandbox.core.canonical import canonical
from sandbox.core.terms import Digest
from sandbox.policy.bundle import Bundle
from sandbox.policy.conjunction import QUICK, conjunction
from sandbox.policy.decision import PACKAGE, RULE, Decision, Question, outage, read_decision, require_refusal

_ENTRY: Final = f"data.{PACKAGE}.{RULE}"
_OFTEN: Final = ("query.run",)
"""The actions that are asked so often that their rules are also compiled into one."""
_UNDEFINED: Final = '"<undefined>"'
_NOTHING: Final = b"{}"


class _Engines(threading.local):
    """The engines of one thread, by bundle digest.

    An engine panics when another thread touches or drops it. Hence they belong to the thread and die with it, not with
    the decision point, which any thread may drop. Equal digests are equal policies, so they may be shared.
    """

    def __init__(self) -> None:
        self.by_digest: dict[Digest, Any] = {}


_engines: Final = _Engines()


class Embedded:
    """Decides by a bundle, from any thread.

    Raises:
        Unavailable: at construction, when the policies do not compile or do not refuse an empty question.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self.probe()

    @property
    def policy(self) -> Digest:
        return self._bundle.digest

    def decide(self, question: Question) -> Decision:
        """See :meth:`sandbox.policy.decision.DecisionPoint.decide`."""
        return read_decision(self._evaluate(canonical(question.as_input()), question.action), self.policy)

    def probe(self) -> None:
        """See :meth:`sandbox.policy.decision.DecisionPoint.probe`; most faults of a module show only on evaluation."""
        require_refusal(self._evaluate(_NOTHING), self.policy)

    def _evaluate(self, document: bytes, action: str = "") -> object:
        try:
            engine = self._engine()
            engine.set_input_json(document.decode())
            answer: object = json.loads(_said(engine, action))
        except (KeyboardInterrupt, SystemExit):
            self._forget()
            raise
        except BaseException as failure:  # a Rust panic is a BaseException
            self._forget()
            # The engine's text may hold what was asked; where nothing was, it tells the operator what does not compile.
            raise outage("engine_error") from (_short(failure) if document == _NOTHING else None)
        return answer

    def _engine(self) -> Any:
        engine = _engines.by_digest.get(self.policy)
        if engine is None:
            engine = _compiled(self._bundle)
            _engines.by_digest[self.policy] = engine
        return engine

    def _forget(self) -> None:
        """Drop this thread's engine: after a panic nothing is known of its state."""
        _engines.by_digest.pop(self.policy, None)


def _said(engine: Any, action: str) -> str:
    """The decision: a yes at once where all that must hold is known as one rule, else by the rules one by one."""
    if action in _OFTEN:
        said: str = engine.eval_rule_as_json(f"data.{PACKAGE}.{action.replace('.', '_')}.{QUICK}")
        if said != _UNDEFINED:
            return said
    return str(engine.eval_rule_as_json(_ENTRY))


def _compiled(bundle: Bundle) -> Any:
    engine = regorus.Engine()
    for path, text in bundle.modules.items():
        engine.add_policy(path, text)
    for action in _OFTEN:
        engine.add_policy(f"{action}/{QUICK}.rego", conjunction(bundle.modules, action))
    engine.add_data_json(canonical(bundle.data).decode())
    return engine


def _short(failure: BaseException) -> RuntimeError:
    return RuntimeError(str(failure).partition("\n\nStack backtrace")[0])
