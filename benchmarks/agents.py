"""The shipped agents in each runtime, by a scripted model and by what was recorded of it.

`python -m benchmarks.agents [RUNTIME …]` prints a row for each: score, skill, steps, tokens, time.
Needs `aexp agents setup` of those with packages, and `aexp image build` of each for docker.
"""

import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

from tasks import TaskRunner, agents
from tasks.errors import TasksError
from tasks.gateway import Access
from tests.scripted import Script
from tests.upstream import FakeUpstream

TASK, SEED, SECONDS = "classification_basic", 1, 600
WITHOUT_MODEL = ("dummy", "command", "experiment")
WITH_MODEL = ("aide/dev", "mini-swe-agent", "opendevin")


def main(runtimes: list[str]) -> None:
    """Run all and print."""
    print("| agent | runtime | model | score | skill | steps | tokens in, out | seconds | ended |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="aexp-agents-") as folder:
        for runtime in runtimes:
            for name in (*WITHOUT_MODEL, *WITH_MODEL):
                try:
                    rows(name, runtime, Path(folder))
                except TasksError as error:
                    print(f"| `{name}` | {runtime} | | {error} |", flush=True)


def rows(name: str, runtime: str, folder: Path) -> None:
    """Run one agent: with its script, and again from the cassette."""
    agent = agents.load(name)
    if name in WITHOUT_MODEL:
        show(name, runtime, "none", once(agent, runtime, folder, None))
        return
    cassette = folder / f"{name.replace('/', '-')}-{runtime}"
    with FakeUpstream(Script().answer) as upstream:
        grant = Access(urls={"openai": upstream.url}, record=cassette)
        show(name, runtime, "scripted", once(agent, runtime, folder, grant))
    played = Access(replay=cassette, loose=True)
    show(name, runtime, "played", once(agent, runtime, folder, played))


def once(agent, runtime: str, folder: Path, access: Access | None) -> SimpleNamespace:
    """Run a trial; return its report, with the seconds."""
    runner = TaskRunner(folder / "runs", runtime=runtime, access=access)
    trial = runner.run_task(TASK, agent, SECONDS, seed=SEED)
    report = json.loads(trial.report_file.read_text())
    log = trial.workspace.log_file.read_text(errors="replace")
    return SimpleNamespace(report=report, seconds=trial.outcome.seconds, log=log)


def show(name: str, runtime: str, model: str, ran: SimpleNamespace) -> None:
    """Print a row."""
    report = ran.report
    mark = (report["evaluation"] or {"scores": {}})["scores"].get("accuracy")
    score, skill = ("-", "-") if mark is None else (f"{mark['score']:.3f}", f"{mark['skill']:.3f}")
    steps = "-" if report["trajectory"] is None else report["trajectory"]["steps"]
    used = report["model"] or {}
    tokens = f"{used['input_tokens']}, {used['output_tokens']}" if used else "-"
    ended = report["outcome"]["reason"]
    print(
        f"| `{name}` | {runtime} | {model} | {score} | {skill} | {steps} | {tokens} | "
        f"{ran.seconds:.1f} | {ended} |",
        flush=True,
    )
    if mark is None:
        print(ran.log[-1500:], file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:] or ["bubblewrap", "docker"])
