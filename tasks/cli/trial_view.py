"""How a finished trial is told on the terminal."""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.cli import console
from tasks.errors import counted

if TYPE_CHECKING:
    from tasks.replay import Replayed
    from tasks.trial import Trial

_FIRST_AGENT = Path(__file__).parent.parent / "examples" / "first_agent.py"

_ENDED = {
    "finished": "agent finished",
    "agent error": "agent failed",
    "timed out": "agent timed out",
    "out of memory": "agent ran out of memory",
    "disk full": "agent filled its disk",
    "cancelled": "agent cancelled",
    "never started": "agent never started",
    "infrastructure": "the machine failed",
}


def again(task: str) -> str:
    """Return the command line that was given for a task, so that it shows the evaluation."""
    program, *words = console.typed
    end = words.index("--") if "--" in words else len(words)
    if "--validate" not in words[:end]:
        # Without a -- the agent's own words may be the last; behind the task it is ours.
        words.insert(words.index(task) + 1 if task in words[:end] else end, "--validate")
    if program != "aexp":
        program = f"{_python()} {program}"
    elif Path(sys.argv[0]).name == "__main__.py":
        program = f"{_python()} -m tasks.cli"
    return console.printable(f"{program} {shlex.join(words)}")


def exit_status(trial: "Trial", *, validate: bool) -> int:
    """Return the exit status of the architecture page for a finished trial."""
    if trial.grader_error is not None:
        return 8
    if status := trial.outcome.exit_status():
        return status
    evaluation = trial.evaluation
    if validate and evaluation is not None and not evaluation.success:
        if not evaluation.criteria_met and not evaluation.integrity["findings"]:
            return 0  # nothing was asked for that could be failed
        invalid = evaluation.submission and not evaluation.submission["valid"]
        return 4 if invalid else 1
    return 0


def print_trial(
    trial: "Trial",
    *,
    validate: bool,
    json_: bool,
    replayed: "Replayed | None" = None,
) -> None:
    """Print how a trial ended, what it is worth and what to try next."""
    if json_:
        console.out_raw_json(trial.report_file.read_text(encoding="utf-8").rstrip())
        return
    from tasks.outcome import isolation

    outcome, evaluation = trial.outcome, trial.evaluation
    detail = f" ({console.printable(outcome.detail)})" if outcome.detail else ""
    console.out()
    console.out(
        f"{trial.task_id}: {_ENDED[outcome.reason]}{detail} after {outcome.seconds:.1f} s, "
        f"{outcome.cpu_seconds:.1f} s of CPU, peak {console.size(outcome.peak_memory_bytes)}"
    )
    if trial.model is not None:
        console.out(model_words(trial.model))
    if trial.feedback["mode"] != "none":
        console.out(feedback_words(trial.feedback))
    if isolation(outcome.enforced) == "not isolated":
        console.out("not isolated: the agent could read this user's files and reach the network")
    if evaluation is None:
        console.out(f"VOID: the grader failed: {trial.grader_error}")
    elif validate:
        from tasks.cli.report import print_evaluation

        console.out()
        print_evaluation(evaluation)
    else:
        word = "success" if evaluation.success else "no success"
        console.out(f"{word}, overall score {evaluation.overall_score:.3f}")
        for line in () if evaluation.success else evaluation.feedback:
            console.out(f"- {console.printable(line)}")
    if replayed is not None:
        from tasks.cli.replay import show as show_replay

        console.out()
        show_replay(replayed)
    report = _short(trial.report_file)
    console.out(f"\nreport: {report}")
    console.out(f"next:   {_next(trial, validate=validate)}")


def feedback_words(feedback: Mapping[str, Any]) -> str:
    """Say in a line what was told of the score while the agent worked."""
    asked = f"{len(feedback['queries'])} of {counted(feedback['allowed'], 'query', 'queries')}"
    if feedback["mode"] == "score":
        return f"feedback: {asked} on the graded rows: practice, which no leaderboard counts"
    return f"feedback: {asked} on {feedback['rows']:,} hidden rows that are not graded"


def model_words(model: Mapping[str, Any]) -> str:
    """Say in a line what went through the door."""
    cost = model.get("cost_usd")
    said = "cost unknown" if cost is None else f"{cost:.4f} US dollars"
    about = "about " if model.get("estimated") else ""
    replayed = " (replayed)" if model.get("replayed") else ""
    return (
        f"model: {counted(model.get('requests', 0), 'call')}{replayed}, "
        f"{model.get('refused', 0)} refused, "
        f"{about}{model.get('input_tokens', 0):,} tokens in, "
        f"{about}{model.get('output_tokens', 0):,} out, {said}"
    )


def _next(trial: "Trial", *, validate: bool) -> str:
    if trial.outcome.reason in {"agent error", "never started"}:
        return f"less {_short(trial.workspace.log_file)}"
    same = again(trial.task_id)
    asked = json.loads(trial.workspace.trial_file.read_text(encoding="utf-8"))
    if not validate or "--agent" in same or asked["agent"]["id"] != "experiment":
        return same
    if trial.task_id != "classification_basic":
        return f"{_python()} -m tasks.cli show {trial.task_id} --prompt"
    return f"{same} -- python {shlex.quote(_short(_FIRST_AGENT))}"


def _python() -> str:
    """Return what starts this Python from here, be its environment active or not."""
    found = shutil.which("python")
    here = Path(sys.executable)
    if found is not None and Path(found).parent == here.parent:
        return "python"
    return shlex.quote(_short(here))


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
