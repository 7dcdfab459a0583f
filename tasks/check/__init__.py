"""Whether a task is sound: what its makers, and those who trust its number, want to know."""

from collections.abc import Iterator
from pathlib import Path

from tasks.check.agent import agent_succeeds, between
from tasks.check.data import deterministic, no_answers, noise_stays_in_the_label, trivial_fails
from tasks.check.finding import Finding
from tasks.check.laws import (
    below_the_ceiling,
    labels_follow_the_law,
    marks_can_be_reached,
    panel_of,
    skill_grows,
    z_is_normal,
)
from tasks.instance import Seed
from tasks.prepared import prepare
from tasks.runner import TaskRunner
from tasks.scratch import scratch
from tasks.spec import Task

__all__ = ["Finding", "check_task"]


def check_task(
    task: Task, *, with_agent: bool = True, time_limit: float = 1800, work_dir: Path | None = None
) -> Iterator[Finding]:
    """Yield the findings on a task, the quick ones first.

    Args:
        task: The task.
        with_agent: Whether the experiment agent is run, on the practice instance: on fresh ones the
            verdict would change from time to time.
        time_limit: Seconds the agent may take.
        work_dir: Where its trial is kept; by default nowhere.
    """
    ready = prepare(task, Seed.practice(task.id))
    with scratch("check") as folder:
        yield deterministic(ready, folder)
        yield no_answers(ready.instance)
        yield trivial_fails(task, ready.instance, folder)
        yield from marks_can_be_reached(task, ready.instance)
        yield from noise_stays_in_the_label(ready)
        panel = panel_of(ready.instance)
        yield from below_the_ceiling(task, ready.instance, panel)
        yield from labels_follow_the_law(task, ready.instance, panel)
        yield from z_is_normal(task, ready.instance, panel)
        yield from skill_grows(task)
        if with_agent:
            runner = TaskRunner(work_dir or folder / "runs")
            trial = runner.run_task(task, timeout=time_limit, prepared=ready)
            yield agent_succeeds(trial)
            yield from between(trial)
