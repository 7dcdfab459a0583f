"""`run`: one trial, watched live. `python run_task.py` is the same command."""

import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from tasks.cli import console
from tasks.cli.options import Json, TaskOrFile, TasksDir, find_task
from tasks.errors import UsageError

if TYPE_CHECKING:
    from tasks.agents import AgentSpec
    from tasks.runner import Trial
    from tasks.runtimes.base import Cancel


def run(
    task_id: TaskOrFile,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND …]", help="Any command as the agent, after `--`."),
    ] = None,
    *,
    local: Annotated[
        bool, typer.Option("--local", help="Without a container: for development, less contained.")
    ] = False,
    agent: Annotated[
        str, typer.Option("--agent", help="An agent of agents/, if no command is given.")
    ] = "experiment",
    agents_dir: Annotated[Path | None, typer.Option(help="Where agents of your own lie.")] = None,
    time_limit: Annotated[
        float, typer.Option("--time-limit", help="Seconds of wall time.", min=0.1)
    ] = 3600,
    validate: Annotated[
        bool, typer.Option("--validate", help="Print the evaluation; exit 1 if criteria are unmet.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Fix the instance; such a trial is not sealed.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Where trial folders are made.")] = Path(
        "runs"
    ),
    tasks_dir: TasksDir = None,
    json_: Json = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Log each step; show tracebacks.")
    ] = False,
) -> None:
    """Run an agent on a task and grade what it leaves.

    Exit status: 0 done, 1 criteria not met (with --validate), 3 no such task, 4 task or submission
    invalid, 5 a part is missing, 6 the agent failed, 7 time or memory limit, 8 our fault,
    130 interrupted.
    """
    if verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")
    task = find_task(task_id, tasks_dir)
    from tasks.instance import Seed
    from tasks.runner import TaskRunner
    from tasks.runtimes.base import Cancel

    watch = _Watch(limit=time_limit, quiet=json_)
    runner = TaskRunner(out, runtime="local" if local else "docker", observer=watch.event)
    chosen = _agent(command, agent, agents_dir)
    cancel = Cancel()
    with _interruptible(cancel), watch:
        trial = runner.run_task(
            task,
            chosen,
            time_limit,
            seed=None if seed is None else Seed.public(seed),
            cancel=cancel,
            on_output=watch.output,
        )
    _print(trial, validate=validate, json_=json_)
    if status := exit_status(trial, validate=validate):
        raise typer.Exit(status)


def _agent(command: list[str] | None, name: str, agents_dir: Path | None) -> "AgentSpec":
    from tasks import agents

    if command:
        if name != "experiment":
            raise UsageError(f"--agent {name} and a command after `--` are two agents; give one")
        return agents.from_command(command)
    return agents.load(name, agents_dir)


def exit_status(trial: "Trial", *, validate: bool) -> int:
    """Return the exit status of the architecture page for a finished trial."""
    if trial.grader_error is not None:
        return 8
    if status := trial.outcome.exit_status():
        return status
    evaluation = trial.evaluation
    if validate and evaluation is not None and not evaluation.success:
        invalid = evaluation.submission and not evaluation.submission["valid"]
        return 4 if invalid else 1
    return 0


def _print(trial: "Trial", *, validate: bool, json_: bool) -> None:
    if json_:
        console.out(trial.report_file.read_text(encoding="utf-8").rstrip())
        return
    outcome, evaluation = trial.outcome, trial.evaluation
    detail = f" ({console.printable(outcome.detail)})" if outcome.detail else ""
    console.out()
    console.out(
        f"{trial.task_id}: agent {outcome.reason}{detail} after {outcome.seconds:.1f} s, "
        f"{outcome.cpu_seconds:.1f} s of CPU, peak {console.size(outcome.peak_memory_bytes)}"
    )
    if evaluation is None:
        console.out(f"VOID: the grader failed: {trial.grader_error}")
    elif validate:
        from tasks.cli.report import print_evaluation

        console.out()
        print_evaluation(evaluation)
    else:
        word = "success" if evaluation.success else "no success"
        console.out(f"{word}, overall score {evaluation.overall_score:.3f}")
    report = _short(trial.report_file)
    console.out(f"\nreport: {report}")
    console.out(f"next:   {_next(trial, validate=validate)}")


def _next(trial: "Trial", *, validate: bool) -> str:
    if not validate:
        return f"python run_task.py {trial.task_id} --local --validate"
    if trial.outcome.reason == "agent error":
        return f"less {_short(trial.workspace.log_file)}"
    return f"python run_task.py {trial.task_id} --local --validate -- python my_agent.py"


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


@contextmanager
def _interruptible(cancel: "Cancel") -> Iterator[None]:
    """Make the first Ctrl-C stop the agent gently, the second kill it, the third stop us."""
    count = 0

    def stop(_signal: int, _frame: Any) -> None:
        nonlocal count
        count += 1
        if count == 1:
            console.say("\nstopping the agent; what it has left is graded (Ctrl-C again: kill it)")
            cancel.stop()
        elif count == 2:  # noqa: PLR2004 - the second time
            console.say("\nkilling the agent")
            cancel.kill()
        else:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Watch:
    """Live progress on stderr: a status line on a terminal, plain lines elsewhere."""

    def __init__(self, *, limit: float, quiet: bool) -> None:
        self.limit = limit
        self.quiet = quiet
        self._status: Any = None
        self._rest = b""
        self._started = False

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            limit = TextColumn(f"of {self.limit:g} s")
            self._status = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                TimeElapsedColumn(),
                limit,
                console=Console(stderr=True),
                transient=True,
            )
            self._line = self._status.add_task("drawing the instance", total=None)
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def event(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Tell of a hop."""
        words = {
            "created": "instance drawn, trial folder made",
            "prepared": f"wrote {len(fields.get('files', ()))} public files",
            "started": "agent running",
            "ended": f"agent {fields.get('reason')} after {fields.get('seconds')} s",
            "collected": f"collected {fields.get('files')} files",
            "graded": "graded against the hidden answers",
            "grader failed": f"grader failed: {fields.get('error')}",
            "recorded": "report written",
        }
        self._say(f"[{kind}] {words.get(kind, '')}".rstrip(), words.get(kind, kind))

    def output(self, data: bytes) -> None:
        """Show what the agent prints, line by line, escaped."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-4096:]  # a line without end must not fill our memory
        for line in lines[-20:]:
            text = console.printable(line[:300].decode("utf-8", "replace"))
            self._say(f"  agent | {text}", None)

    def _say(self, line: str, status: str | None) -> None:
        if self.quiet:
            return
        if self._status is None:
            console.say(line)
            return
        self._status.console.print(line, markup=False, highlight=False)
        if status is not None:
            self._status.update(self._line, description=status)
