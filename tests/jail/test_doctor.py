"""``sandbox doctor`` tells the truth: where a layer is taken away, by a real filter, it says so and nothing runs.

The filter stands around the whole program, as a container's would, so that the kernel itself gives the answers.
"""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox.jail import attempts, host, kernel
from sandbox.jail.attempts import ATTEMPTS, Target
from sandbox.query import trial
from sandbox.query.doctor import Diagnosis, diagnose
from sandbox.settings import LAYERS

AROUND = """
import errno, os, sys
import seccompy
rules = seccompy.Filter(seccompy.Action.ALLOW)
{rules}
rules.load()
os.execv(sys.executable, [sys.executable, *{command!r}])
"""
NO_LANDLOCK = "rules.errno('landlock_create_ruleset', errno.{error})"
NO_SECCOMP = "rules.errno('prctl', errno.EINVAL, args=[(0, seccompy.CmpOp.EQ, 22)])"
NO_OTHER_USER = "rules.errno('setresuid', errno.EPERM)"
LEVELS = frozenset({"landlock", "seccomp"})


def around(rules: str, *command: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    code = AROUND.format(rules=rules, command=["-m", "sandbox.cli", *command])
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SANDBOX_")} | environ
    words = [sys.executable, "-c", code]
    return subprocess.run(words, cwd=folder, env=clean, capture_output=True, text=True, check=False, timeout=60)


def need_all() -> None:
    if kernel.layers() < LEVELS:
        pytest.skip("this kernel has not all layers")


@pytest.fixture(scope="module")
def here() -> Diagnosis:
    return diagnose()


def test_nothing_gets_out_of_the_jail_of_this_machine(here: Diagnosis) -> None:
    need_all()
    assert [line for line in here.lines if not line.stopped] == []
    assert len(here.lines) == len(ATTEMPTS) + len(trial.ENGINE)
    assert here.works == {"read its extract": True, "work on threads": True}
    assert here.sound(LEVELS)


def test_what_stopped_an_operation_is_of_the_layer_that_is_named(here: Diagnosis) -> None:
    need_all()
    for line in here.lines:
        either = {"EPERM", "EACCES"}
        errors = {"landlock": {"EACCES"}, "seccomp+landlock": either, "engine": set()}.get(line.layer, {"EPERM"})
        assert line.by in errors or (line.layer == "engine" and line.by.endswith("Exception")), line


def test_every_layer_is_one_that_the_settings_know(here: Diagnosis) -> None:
    layers = {part for line in here.lines for part in line.layer.split("+")}
    assert {*here.reached.split("+")} <= {*LAYERS}
    assert layers <= {*LAYERS, "engine"}
    assert {*LAYERS} - layers == {"cgroup"}
    assert {lack.layer for lack in here.lacks} >= {*LAYERS} - {*here.reached.split("+")}
    assert len({(line.operation, line.layer) for line in here.lines}) == len(here.lines)


POSSIBLE = {
    *("read /etc/passwd", "read the exchange's database", "read the exchange's keys", "list a folder", "make a file"),
    *("read another participant's extract", "read the exchange's environment", "write over its own extract"),
    *("remove another participant's extract", "make an internet socket", "make a local socket", "connect", "fork"),
    *("start a program", "signal the exchange", "outlive the exchange", "make memory executable", "write to a device"),
    *("leave its namespaces", "trace the exchange", "read the exchange's memory"),
}
"""What this process may do as it is; of the rest, machines may forbid it to everybody."""


def test_each_attempt_is_possible_outside_of_the_jail(tmp_path: Path) -> None:
    for name in ("database", "keys", "foreign", "extract"):
        (tmp_path / name).write_text("a likeness")
    own = {name: str(tmp_path / name) for name in ("database", "keys", "foreign", "extract")}
    target = Target(server=os.getpid(), folder=str(tmp_path), **own)
    code = "import sys, json; from sandbox.jail import attempts; target = attempts.Target(**json.loads(sys.argv[1]))\n"
    code += "print(json.dumps({each.words: attempts.outcome(each, target)[0] for each in attempts.ATTEMPTS}))"
    given = json.dumps({name: getattr(target, name) for name in target.__slots__})
    done = subprocess.run([sys.executable, "-c", code, given], capture_output=True, text=True, check=True)
    stopped = json.loads(done.stdout)
    assert {words for words, held in stopped.items() if not held} >= POSSIBLE
    assert stopped.keys() == {each.words for each in ATTEMPTS}


@pytest.mark.parametrize(
    ("rules", "layer", "advice", "open_now"),
    [
        (NO_LANDLOCK.format(error="EPERM"), "landlock", "container", "read /etc/passwd"),
        (NO_SECCOMP, "seccomp", "CONFIG_SECCOMP_FILTER", "make an internet socket"),
    ],
)
def test_where_a_layer_is_taken_away_the_doctor_says_so(
    tmp_path: Path, rules: str, layer: str, advice: str, open_now: str
) -> None:
    need_all()
    done = around(rules, "doctor", "--json", folder=tmp_path)
    assert done.returncode == 8, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert layer not in found["reached"]
    assert not found["sound"]
    assert [each["advice"] for each in found["lacks"] if each["layer"] == layer and advice in each["advice"]]
    through = {each["operation"]: each["layer"] for each in found["attempts"] if not each["stopped"]}
    assert open_now in through
    assert all(layer in each.split("+") for each in through.values()), "the other layers hold what they hold"
    assert json.loads(done.stderr)["error"]["code"] == "engine.isolation"


@pytest.mark.parametrize(
    ("error", "advice"), [("EPERM", "container"), ("ENOSYS", "5.13"), ("EOPNOTSUPP", "boot option"), ("EIO", "own")]
)
def test_the_advice_on_landlock_follows_what_the_kernel_answers(tmp_path: Path, error: str, advice: str) -> None:
    need_all()
    code = "from sandbox.jail import host; print(host.lacks('process')[0].advice, host.versions()['landlock_abi'])"
    words = [sys.executable, "-c", AROUND.format(rules=NO_LANDLOCK.format(error=error), command=["-c", code])]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert advice in done.stdout
    assert done.stdout.strip().endswith("none")


def test_what_got_out_is_said_in_words_and_not_by_colour_alone(tmp_path: Path) -> None:
    need_all()
    done = around(NO_LANDLOCK.format(error="ENOSYS"), "doctor", folder=tmp_path)
    assert done.returncode == 8
    assert "✗ read /etc/passwd                       NOT STOPPED (done)" in done.stdout
    assert "→ landlock: " in done.stdout
    assert "[engine.isolation]" in done.stderr


def test_a_root_that_may_become_nobody_else_does_not_claim_a_user_for_each_child(tmp_path: Path) -> None:
    need_all()
    if os.geteuid() != 0:
        pytest.skip("only root becomes another user")
    done = around(NO_OTHER_USER, "doctor", "--json", folder=tmp_path)
    assert done.returncode == 0, "its root has no rights, and no user of its own is required"
    found = json.loads(done.stdout)
    assert "uid" not in found["reached"].split("+")
    assert any(lack["layer"] == "uid" and "SETUID" in lack["advice"] for lack in found["lacks"])


ENGINE = """
import json
from pathlib import Path
from sandbox.core.errors import SandboxError
from sandbox.core.terms import Column, DatasetId, Digest, Scope
from sandbox.query.duckdb import JailedEngine
from sandbox.query.engine import Job, Limits
scope = Scope(DatasetId("d"), Digest("sha256:" + "0" * 64), ("n",))
def jobs(engine):
    yield lambda: engine.analyse("SELECT 1", [])
    yield lambda: engine.extract(scope, (Column("n", "INTEGER"),), (Path(__file__),), Path("extracts"))
    yield lambda: engine.run(Job("qry", "SELECT 1", {}, Limits(10, 1000, 5, 512))).read()
    yield engine.require_isolation
def codes(required):
    engine, found = JailedEngine(required=required, analyse_seconds=5), []
    for job in jobs(engine):
        try:
            job()
            found.append("done")
        except SandboxError as error:
            found.append(error.code + " " + error.hint)
    engine.close()
    return found
print(json.dumps([codes(set()), codes({"landlock", "seccomp"}), codes({"seccomp"})]))
"""


def test_an_engine_that_reaches_less_than_is_required_runs_nothing(tmp_path: Path) -> None:
    need_all()
    (tmp_path / "ask.py").write_text(ENGINE)
    code = AROUND.format(rules=NO_LANDLOCK.format(error="EPERM"), command=[str(tmp_path / "ask.py")])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    none, both, seccomp = json.loads(done.stdout)
    for found in (none, seccomp):  # a file that is no Parquet gives no extract
        assert [each.partition(" ")[0] for each in found] == ["done", "engine.extract", "done", "done"]
    assert {each.partition(" ")[0] for each in both} == {"engine.isolation"}
    assert all("sandbox doctor" in each for each in both)


def test_serve_does_not_listen_below_the_isolation_required(tmp_path: Path) -> None:
    need_all()
    rules = NO_LANDLOCK.format(error="EPERM")
    made = around(rules, "init", "--home", "san", folder=tmp_path)  # runs no query, and so needs no jail
    assert made.returncode == 0, made.stderr
    done = around(rules, "serve", "--home", "san", "--port", "1", folder=tmp_path)
    assert done.returncode == 8
    assert "landlock+seccomp is required" in done.stderr
    assert "serving" not in done.stderr


def test_an_error_from_behind_the_barrier_is_no_proof() -> None:
    nothing = Target(0, "", "", "", "", "")
    for number in (errno.ENOENT, errno.EFAULT, errno.ESRCH, errno.EBADF):
        act = attempts.Attempt("", "", lambda _, number=number: (_ for _ in ()).throw(OSError(number, "")))
        assert attempts.outcome(act, nothing) == (False, errno.errorcode[number])


def test_a_machine_that_has_all_gets_no_advice() -> None:
    need_all()
    assert host.lacks("+".join(LAYERS)) == [] or "scopes" in host.lacks("+".join(LAYERS))[0].advice
    assert [lack.layer for lack in host.lacks("process")] == ["landlock", "seccomp", "uid", "cgroup"]
    assert host.versions()["duckdb"]
