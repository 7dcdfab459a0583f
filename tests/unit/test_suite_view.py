"""What a person sees of a suite, in words."""

import time
from pathlib import Path
from typing import Any

from tasks.cli.suite_view import Watch, rates_line, reasons_line, states_line, summary
from tasks.store import Counts
from tasks.suite import Progress


def counts(*, seconds: float | None = None, reasons: dict[str, int], **states: int) -> Counts:
    return Counts(
        total=sum(states.values()), states=states, reasons=reasons, passed=1, score=0.5,
        seconds=seconds,
    )  # fmt: skip


STOPPED = counts(done=4, failed=3, queued=1, reasons={"cancelled": 2, "timed out": 1})


def watch(monkeypatch: Any) -> tuple[Watch, list[str]]:
    said: list[str] = []
    monkeypatch.setattr("tasks.cli.console.say", said.append)
    shown: Any = object()
    return Watch(shown, 60, folder=Path("runs/s"), quiet=False), said


def test_cancelled_trials_are_told_apart_and_are_not_over() -> None:
    assert states_line(STOPPED) == "5 of 8 over: 4 done, 1 failed, 1 queued, 2 cancelled"
    assert reasons_line(STOPPED.reasons) == "1 timed out"
    assert summary("s", STOPPED)["rates"]["failed"] == 0.8


def test_what_missed_its_criteria_is_not_called_failed() -> None:
    line = rates_line(STOPPED, Path("runs/s"))
    assert line.startswith("passed 1 (20%), not passed 4 (80%), infrastructure 0 (0%)")
    assert "failed" not in line


def test_the_command_for_the_interval_names_the_suite(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    line = rates_line(STOPPED, tmp_path / "runs" / "my suite")
    assert line.endswith("(its interval: aexp leaderboard 'runs/my suite')")


def test_the_time_left_of_a_suite_that_stops_is_that_of_its_running_trials(
    monkeypatch: Any,
) -> None:
    view, said = watch(monkeypatch)
    view.before, view.begun = 0, time.monotonic() - 100
    progress = Progress(counts=counts(seconds=20.0, done=1, running=2, queued=7, reasons={}))
    view.show(progress)
    assert said[-1].endswith("; about 15 min left")
    progress.stopping = "interrupted"
    progress.running = {1: ("running", time.time() - 5), 2: ("running", time.time() - 15)}
    progress.counts = counts(seconds=20.0, done=2, running=2, queued=6, reasons={})
    view.show(progress)
    assert said[-1].endswith("; about 15 s left")


def test_a_suite_that_has_stopped_tells_no_time_left(monkeypatch: Any) -> None:
    view, said = watch(monkeypatch)
    view.before, view.begun = 0, time.monotonic() - 100
    stopped = counts(seconds=20.0, done=3, queued=5, reasons={})
    view.show(Progress(counts=stopped, stopping="interrupted"))
    assert said == ["[suite] 3 of 8 over: 3 done, 5 queued"]
