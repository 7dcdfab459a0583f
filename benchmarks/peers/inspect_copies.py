"""The same trivial trial in Inspect AI: copy the sample in a sandbox, a scorer that reads it.

Run by the Python of an environment that holds `inspect-ai`; logs go to `store`:
`inspect_copies.py 200`, or with `--compose FILE` in containers.
"""

import argparse
import sys

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
    """Run so many samples; exit with a line if any has failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("--at-a-time", type=int)
    parser.add_argument("--compose")
    given = parser.parse_args()
    files = {"sample_submission.csv": SAMPLE}
    # No model is called: a call, even of its mock model, would count tokens by a table that is
    # fetched from the network.
    task = Task(
        dataset=[Sample(input="copy", target="1", files=files) for _ in range(given.count)],
        solver=copies(),
        scorer=agrees(),
        sandbox=("docker", given.compose) if given.compose else "local",
    )
    # Not `max_sandboxes`: where it is set, each sample first sleeps for up to a second.
    (log,) = eval(
        task, model="mockllm/model", display="none", log_dir="store", max_samples=given.at_a_time
    )
    if log.status != "success" or log.results.scores[0].metrics["accuracy"].value != 1.0:
        sys.exit(f"the run failed: {log.status} {log.error.message if log.error else log.results}")


if __name__ == "__main__":
    main()
