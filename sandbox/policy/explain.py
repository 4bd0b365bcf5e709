"""A decision, rule by rule: what the log holds of it, evaluated again by the same policies."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import regorus

from sandbox.core.canonical import canonical
from sandbox.policy.bundle import Bundle
from sandbox.policy.decision import PACKAGE
from sandbox.policy.reasons import law, sentence


def explained(stored: Mapping[str, Any], policies: Path, language: str) -> dict[str, Any]:
    """Add ``rules`` to a stored decision: each with ``id``, ``proved``, its ``sentence`` and the ``law`` it refers to.

    Args:
        stored: ``question``, ``decision`` and ``policy`` as the log holds them.
        policies: the folder of the policies at hand.
        language: ``vi`` or ``en``.

    A sentence says why a rule refuses, so it is told only where the rule is not proved. Under other policies than those
    that decided, only the reasons that stand in the log are known.
    """
    bundle = Bundle.load(policies)
    failing = set(stored["decision"]["reasons"])
    known = failing if stored["policy"] != bundle.digest or stored["question"] is None else _rules(bundle, stored)
    rules = [
        {
            "id": rule,
            "proved": rule not in failing,
            "sentence": sentence(rule, language) if rule in failing else "",
            "law": law(rule, language),
        }
        for rule in sorted(known | failing)
    ]
    return {**stored, "rules": rules}


def _rules(bundle: Bundle, stored: Mapping[str, Any]) -> set[str]:
    engine = regorus.Engine()
    for path, text in bundle.modules.items():
        engine.add_policy(path, text)
    engine.add_data_json(canonical(bundle.data).decode())
    engine.set_input_json(canonical(stored["question"]).decode())
    groups = json.loads(engine.eval_rule_as_json(f"data.{PACKAGE}.rules"))
    return {rule for proofs in groups for rule in proofs}
