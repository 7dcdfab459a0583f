"""The same trivial trial in Inspect AI: copy the sample, local sandbox, a scorer that reads it.

Run by the Python of an environment that holds `inspect-ai`: `inspect_local.py 200 2`.
"""

import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from inspect_ai import Task, eval  # noqa: A004 - that is its name there
from inspect_ai.dataset import Sample
from inspect_ai.scorer import Score, accuracy, scorer
from inspect_ai.solver import solver
from inspect_ai.util import sandbox

SAMPLE = "id,target\n" + "".join(f"{n},{n % 3}\n" for n in range(2000))


@solver
def copies():
    """Hand in the sample submission, by a shell in the sandbox."""

    async def solve(state, generate):  # noqa: ARG001 - the form that is asked for
        await sandbox().exec(["sh", "-c", "cp sample_submission.csv submission.csv"])
        return state

    return solve


@scorer(metrics=[accuracy()])
def agrees():
    """Compare what was handed in, row by row."""

    async def score(state, target):  # noqa: ARG001 - as above
        rows = (await sandbox().read_file("submission.csv")).splitlines()
        right = sum(a == b for a, b in zip(rows, SAMPLE.splitlines(), strict=True))
        return Score(value=right / len(rows))

    return score


def main() -> None:
    """Run so many samples, so many at a time; print seconds and CPU as JSON."""
    count, workers = int(sys.argv[1]), int(sys.argv[2])
    files = {"sample_submission.csv": SAMPLE}
    samples = [Sample(input="copy", target="1", files=files) for _ in range(count)]
    task = Task(dataset=samples, solver=copies(), scorer=agrees(), sandbox="local")
    logs = tempfile.mkdtemp(prefix="inspect-")
    begun = time.perf_counter()
    (log,) = eval(
        task, model="mockllm/model", display="none", log_dir=logs, max_samples=workers,
        max_sandboxes=workers,
    )  # fmt: skip
    wall = time.perf_counter() - begun
    if log.status != "success" or log.results.scores[0].metrics["accuracy"].value != 1.0:
        sys.exit(f"the run failed: {log.status} {log.error}")
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    size = sum(path.stat().st_size for path in Path(logs).rglob("*") if path.is_file())
    shutil.rmtree(logs)
    cpu = sum(one.ru_utime + one.ru_stime for one in used)
    print(json.dumps({"trials": count, "wall_s": wall, "cpu_s": cpu, "bytes": size / count}))


if __name__ == "__main__":
    main()
