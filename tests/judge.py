"""Many texts judged by the analysis alone, in one disposable process."""

import json
import subprocess
import sys
from collections.abc import Sequence

from sandbox.query.engine import Relation

JUDGE = """
import json, sys, time
from sandbox.query import analysis, worker
from sandbox.query.refusal import Refusal
job = json.load(sys.stdin)
engine = worker.DuckDB(worker.open_jail({"memory_mb": 512, "seconds": 60, "file_mb": 0}), [job["relation"]])
verdicts = []
for sql in job["lines"]:
    began = time.monotonic()
    try:
        verdict = ["allow", analysis.facts(sql, [job["relation"]], "2026-11-24", engine)["canonical"]]
    except Refusal as refusal:
        verdict = ["deny", refusal.code + ": " + refusal.message + " " + refusal.hint]
    verdicts.append([*verdict, time.monotonic() - began])
json.dump(verdicts, sys.stdout)
"""


def judged(relation: Relation, lines: Sequence[str]) -> list[tuple[str, str, float]]:
    """For each text whether it is allowed or denied, its canonical SQL or the refusal, and the seconds it took."""
    asked = {
        "name": relation.name,
        "columns": [[column.name, column.type] for column in relation.columns],
        "dimensions": [],
        "unit": None,
        "nullable": [],
    }
    job = json.dumps({"relation": asked, "lines": lines})
    done = subprocess.run([sys.executable, "-I", "-c", JUDGE], input=job, capture_output=True, text=True, check=True)
    return [tuple(verdict) for verdict in json.loads(done.stdout)]
