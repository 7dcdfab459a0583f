"""Kill runners and workers of suites at every state and at random times; count what is lost.

`python -m benchmarks.kills 200 100` kills 200 times in suites of 100 trials and prints the counts.
"""

import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tasks.store.rebuild import rebuild
from tasks.store.states import read_events

ROOT = Path(__file__).resolve().parent.parent
MOMENTS = ("created", "prepared", "started", "ended", "collected", "graded", "recorded", "random")
"""The events after which is killed, as soon as one is seen; or any time."""

TASK = {
    "id": "tiny",
    "name": "Tiny",
    "task_type": "classification",
    "data_requirements": {"dataset_type": "classification", "n_samples": 40, "n_test": 20},
    "evaluation_criteria": {"min_accuracy": 0.01},
}
AGENT = (
    'command:sh -c "sleep 0.1; cp $DATA_DIR/sample_submission.csv $SUBMISSION_DIR/submission.csv"'
)
LONGEST_S = 60.0
GONE_S = 10.0


@dataclass
class Tally:
    """What was done, and what came of it; a fault is a line in `faults`."""

    kills: Counter = field(default_factory=Counter)
    trials: int = 0
    attempts: int = 0
    faults: list[str] = field(default_factory=list)


class Chaos:
    """One suite after another, killed until there were enough kills."""

    def __init__(self, scratch: Path, kills: int, repeats: int, seed: int = 1) -> None:
        self.scratch = scratch
        self.wanted = kills
        self.repeats = repeats
        self.random = random.Random(seed)
        self.tally = Tally()
        self.reports: dict[Path, tuple[int, int]] = {}
        self.env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "AEXP_KEYS": str(scratch / "keys"),
        }
        (scratch / "tasks").mkdir()
        (scratch / "tasks" / "tiny.json").write_text(json.dumps(TASK))
        # Whatever a killed runner leaves becomes our child, so that nothing can hide.
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
        self.mine = set(children())

    def run(self) -> Tally:
        number = 0
        while sum(self.tally.kills.values()) < self.wanted:
            self.suite(self.scratch / f"store-{number}")
            number += 1
        return self.tally

    def suite(self, store: Path) -> None:
        command = ["run", "--tasks-dir", str(self.scratch / "tasks"), "--tasks", "tiny"]
        command += ["--agents", AGENT, "--repeats", str(self.repeats), "--runtime", "process"]
        while True:
            runner = self.start(command, store)
            killed = self.kill(runner, store)
            if list(store.glob("*/suite.json")):
                command = ["resume"]
            self.no_process_left()
            self.no_report_changed(store)
            if not killed:
                break
        self.everything_once(store)

    def start(self, command: list[str], store: Path) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "tasks.cli", "suite", *command, "--out", str(store),
             "--workers", "2", "--json"],
            env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def kill(self, runner: subprocess.Popen, store: Path) -> bool:
        """Kill the runner at a moment of chance, workers before it; return whether it was."""
        while True:
            enough = sum(self.tally.kills.values()) >= self.wanted
            moment = self.random.choice(MOMENTS)
            if enough or not self.wait_for(moment, runner, store):
                _, said = runner.communicate(timeout=600)
                if runner.returncode != 0:
                    self.tally.faults.append(f"status {runner.returncode}: {said}")
                return False
            workers = children(runner.pid)
            victim = "worker" if workers and self.random.random() < 0.5 else "runner"
            pid = self.random.choice(workers) if victim == "worker" else runner.pid
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.tally.kills[f"{victim} at {moment}"] += 1
            print(".", end="", file=sys.stderr, flush=True)
            if victim == "runner":
                runner.communicate()
                return True

    def wait_for(self, moment: str, runner: subprocess.Popen, store: Path) -> bool:
        """Wait for the moment; return whether the runner is still there."""
        if moment == "random":
            time.sleep(self.random.random())
            return runner.poll() is None
        until = time.monotonic() + LONGEST_S
        seen = Counter(event for _, event in happened(store))
        while runner.poll() is None and time.monotonic() < until:
            if Counter(event for _, event in happened(store))[moment] > seen[moment]:
                return True
            time.sleep(0.001)
        return runner.poll() is None

    def no_process_left(self) -> None:
        until = time.monotonic() + GONE_S
        while left := set(children()) - self.mine:
            for pid in left:
                os.waitpid(pid, os.WNOHANG)
            if time.monotonic() > until:
                self.tally.faults += [f"left running: {command_of(pid)}" for pid in left]
                for pid in left:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                return
            time.sleep(0.01)

    def no_report_changed(self, store: Path) -> None:
        for report in store.glob("*/trials/*/report.json"):
            status = report.stat()
            now = (status.st_ino, status.st_mtime_ns)
            if self.reports.setdefault(report, now) != now:
                self.tally.faults.append(f"written again: {report}")

    def everything_once(self, store: Path) -> None:
        attempts = sorted(path.name for path in store.glob("*/trials/*"))
        graded = [path.parent.name for path in store.glob("*/trials/*/report.json")]
        numbers = Counter(int(name.split(".")[0]) for name in graded)
        self.tally.trials += len(numbers)
        self.tally.attempts += len(attempts)
        missing = set(range(self.repeats)) - numbers.keys()
        twice = [n for n, count in numbers.items() if count > 1]
        last = {name.split(".")[0]: name for name in attempts}
        behind = [name for name in graded if last[name.split(".")[0]] < name]
        for what, found in (("missing", missing), ("twice", twice), ("run again", behind)):
            if found:
                self.tally.faults.append(f"{what} in {store}: {sorted(found)}")
        before = dump(store)
        rebuild(store)
        if dump(store) != before:
            self.tally.faults.append(f"the index of {store} is not that of its folders")


def dump(store: Path) -> list[str]:
    """Return all rows of an index."""
    import sqlite3

    connection = sqlite3.connect(store / "index.sqlite")
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def happened(store: Path) -> Iterator[tuple[str, str]]:
    """Yield the events of the trials that have no report yet, or have just got one."""
    for folder in sorted(store.glob("*/trials/*"))[-6:]:
        for event in read_events(folder / "events.jsonl"):
            yield folder.name, event["event"]


def children(pid: int | None = None) -> list[int]:
    parent = os.getpid() if pid is None else pid
    try:
        threads = list(Path(f"/proc/{parent}/task").iterdir())
        found = [(thread / "children").read_text() for thread in threads]
    except OSError:
        return []
    return [int(word) for text in found for word in text.split()]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
    except OSError:
        return f"{pid}, gone"


def main() -> None:
    """Kill as often as asked, in suites as long as asked, and print the counts."""
    wanted, repeats = (*map(int, sys.argv[1:]), *(200, 100)[len(sys.argv) - 1 :])
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        tally = Chaos(Path(scratch), wanted, repeats, seed=int(time.time())).run()
    total = sum(tally.kills.values())
    print(f"{total} kills in {time.monotonic() - begun:.0f} s; "
          f"{tally.trials} trials, {tally.attempts} attempts")  # fmt: skip
    for what, count in sorted(tally.kills.items()):
        print(f"  {what}: {count}")
    print("faults:", *(tally.faults or ["none"]), sep="\n  ")
    sys.exit(bool(tally.faults))


if __name__ == "__main__":
    main()
