"""The rules of one action said in one breath, for the engine inside the process: all that must hold, as a conjunction.

Rule by rule, regorus spends a third of its time on keeping the proofs apart, which only a refusal needs. So the bodies
of an action's proofs are put one after the other into one rule, `quick`, which is the yes of the decision; where it is
undefined, the rules are asked one by one as they are written. Nothing else is done to them: the text between the bars
is copied as it stands. What cannot be read with certainty leaves the action without its conjunction.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from sandbox.policy.bundle import ROOT

QUICK: Final = "quick"
_RULES: Final = re.compile(r"^rules := \[(.*?)\]$", re.MULTILINE | re.DOTALL)
_GROUP: Final = re.compile(r"^(\w+) := \{\n(.*?)^\}$", re.MULTILINE | re.DOTALL)
_PROOF: Final = re.compile(r'^\t"([A-Z]+-\d\d)": \[true \|(.*?)\],$', re.MULTILINE | re.DOTALL)
_KEY: Final = re.compile(r'^\t"[^"]*":', re.MULTILINE)
_TABLE: Final = re.compile(r"^import (data(?:\.\w+)*\.(\w+))$", re.MULTILINE)
_NAME: Final = re.compile(r"^ (\w+)$")
_DECISION: Final = '{"allow": true, "reasons": [], "obligations": obligations, "policy": ' + f"data.{ROOT}.policy" + "}"


def conjunction(modules: Mapping[str, str], action: str) -> str:
    """A module of the action's package, whose ``quick`` is the decision if every rule holds, else undefined.

    It is never defined where the proofs cannot be read with certainty.
    """
    folder = action.replace(".", "_")
    package, groups = f"{ROOT}.authz.{folder}", dict(_groups(modules))
    rules = _RULES.findall(modules.get(f"{ROOT}/authz/{folder}/{folder}.rego", ""))
    wanted = [_whole(each.strip(), package) for each in rules[0].split(",") if each.strip()] if len(rules) == 1 else []
    if not wanted or not all(groups.get(each) for each in wanted):
        return f"package {package}\n\n{QUICK} := false if false\n"
    bodies = "\n".join(body for each in wanted for body in groups[each])
    asked = f'\tinput.action.name == "{action}"'
    return f"package {package}\n\n{QUICK} := {_DECISION} if {{\n{asked}\n{_tables(modules)}\n{bodies}\n}}\n"


def _tables(modules: Mapping[str, str]) -> str:
    """Every imported table as a variable of the same name: regorus walks to it once, not at each mention."""
    imported = {found for text in modules.values() for found in _TABLE.findall(text)}
    return "\n".join(f"\t{name} := {path}" for path, name in sorted(imported))


def _whole(name: str, package: str) -> str:
    return name if name.startswith("data.") else f"data.{package}.{name}"


def _groups(modules: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Every object of proofs by its whole name, with its bodies; none where not every key is such a proof."""
    for path, text in modules.items():
        package = path.rpartition("/")[0].replace("/", ".")
        for name, inside in _GROUP.findall(text):
            proofs = _PROOF.findall(inside)
            whole = len(proofs) == len(_KEY.findall(inside))
            yield f"data.{package}.{name}", [_body(body, package) for _, body in proofs] if whole else []


def _body(body: str, package: str) -> str:
    """A proof's body; the one that names a rule of its package names it in full, for it is moved to another."""
    named = _NAME.match(body)
    return f"\tdata.{package}.{named.group(1)}" if named else body.strip("\n").rstrip("\t\n")
