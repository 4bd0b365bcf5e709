"""The tree drawn in the docstring of ``core/errors.py`` is the tree of the classes."""

import inspect
import re

import pytest

from sandbox.core import errors
from sandbox.core.errors import NotFound, PolicyRefused, Refused, SandboxError

CLASSES = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind)}
LINE = re.compile(r"^    (?P<branch>[│├└─ ]*)(?P<name>\w+) *(?P<rest>.*)$", re.MULTILINE)
ENDS = re.compile(r"(?P<status>\d{3})  exit (?P<exit>\d+)$")


def drawn() -> dict[str, tuple[str, str]]:
    """Name -> (parent, rest of the line), as the docstring draws them."""
    tree: dict[str, tuple[str, str]] = {}
    above: list[str] = []
    for line in LINE.finditer(errors.__doc__ or ""):
        level = len(line["branch"]) // 4
        above[level:] = [line["name"]]
        tree[line["name"]] = (above[level - 1] if level else "Exception", line["rest"])
    return tree


def test_every_class_is_drawn_and_every_name_drawn_is_a_class() -> None:
    assert drawn().keys() == CLASSES.keys()
    assert len(CLASSES) == 15


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_stands_under_the_parent_that_is_drawn(name: str) -> None:
    assert CLASSES[name].__base__.__name__ == drawn()[name][0]


@pytest.mark.parametrize("name", sorted(set(CLASSES) - {"SandboxError", "Refused"}))
def test_a_class_has_the_status_and_exit_code_that_are_drawn(name: str) -> None:
    ends = ENDS.search(drawn()[name][1])
    assert ends, f"{name} is drawn without status and exit code"
    assert (CLASSES[name].status, CLASSES[name].exit_code) == (int(ends["status"]), int(ends["exit"]))


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_no_exit_code_says_success(kind: type[SandboxError]) -> None:
    assert 0 < kind.exit_code < 126
    assert 400 <= kind.status < 600


def test_an_error_carries_what_a_door_needs() -> None:
    error = PolicyRefused("policy.refused", "No.", hint="Ask.", reasons=("CONT-03",))
    assert (str(error), error.code, error.message) == ("No.", "policy.refused", "No.")
    assert (error.hint, error.reasons, error.query) == ("Ask.", ("CONT-03",), None)


def test_what_is_refused_can_be_caught_in_one_word() -> None:
    assert issubclass(PolicyRefused, Refused)
    assert not issubclass(NotFound, Refused)
