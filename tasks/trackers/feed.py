"""What feeds trackers: a bounded queue and a process each, so that no trial waits for one."""

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Self

from tasks.errors import InvalidInput
from tasks.trackers.base import tracker_named

log = logging.getLogger(__name__)

MOST_WAITING = 64 * 2**20
"""Bytes that wait for a tracker; when it is slower than that, events are left out."""
CLOSE_S = 60.0
"""So long a tracker may take for what is left when all trials are over."""
_ROOT = Path(__file__).resolve().parent.parent.parent


class Feed:
    """Passes trials on to trackers. Usable by several threads at once.

    ```python
    with Feed(["mlflow"], Path("runs/trackers")) as feed:
        TaskRunner("runs", feed=feed).run_task("classification_basic")
    print(feed.where, feed.warnings)
    ```
    """

    def __init__(self, names: Sequence[str], store: Path, *, close_s: float = CLOSE_S) -> None:
        """Look the trackers up; their processes start with the first trial.

        Args:
            names: Trackers, such as `mlflow`.
            store: The folder for what has no other place.
            close_s: How long `close` waits for slow ones.

        Raises:
            UnknownName, MissingPart: As `tracker_named`.
        """
        for name in names:
            tracker_named(name)
        self._outlets = [_Outlet(name, store) for name in dict.fromkeys(names)]
        self._close_s = close_s
        self.where: dict[str, str] = {}
        """By tracker, where the latest trial that it has written is found."""
        self.warnings: list[str] = []
        """What went wrong with trackers; complete when the feed is closed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, folder: Path, asked: Mapping[str, Any]) -> None:
        """Tell of the new trial in a folder."""
        self._pass(folder, "start", {"asked": asked})

    def event(self, folder: Path, line: str) -> None:
        """Tell of a line of its `events.jsonl`."""
        for outlet in self._outlets:
            name = json.dumps(str(folder))
            outlet.put(f'{{"do": "event", "trial": {name}, "event": {line.strip()}}}\n')

    def finish(self, folder: Path, report: Mapping[str, Any] | None) -> None:
        """Tell of its report, when that is on disk."""
        self._pass(folder, "finish", {"report": report})

    def replay(self, folder: Path) -> None:
        """Tell of a trial that is over what would have been told live.

        Raises:
            InvalidInput: The folder holds no finished trial.
        """
        if not (folder / "report.json").is_file():
            raise InvalidInput(f"{folder}: no finished trial: there is no report.json")
        self._pass(folder, "replay", {})

    def close(self) -> None:
        """Let the trackers write what is left, end them, and gather what they say."""
        until = monotonic() + self._close_s
        for outlet in self._outlets:
            outlet.end()
        for outlet in self._outlets:
            outlet.wait(until)
            self.where |= outlet.where
            self.warnings += outlet.warnings
            outlet.warnings = []

    def _pass(self, folder: Path, what: str, more: Mapping[str, Any]) -> None:
        line = json.dumps({"do": what, "trial": str(folder), **more}, default=str) + "\n"
        for outlet in self._outlets:
            outlet.put(line, wanted=True)


class _Outlet:
    """One tracker's process, the thread that writes to it, and the one that hears it."""

    def __init__(self, name: str, store: Path) -> None:
        self.name = name
        self.store = store
        self.where: dict[str, str] = {}
        self.warnings: list[str] = []
        self._waiting = self._left_out = 0
        self._killed = False
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._done = threading.Event()

    def put(self, line: str, *, wanted: bool = False) -> None:
        """Pass a line on; when there is no room it is left out, `wanted` or not, and counted."""
        with self._lock:
            if not self._threads:
                self._begin(self._write)
            # Room for starts and finishes is kept: without them the events are worth nothing.
            room = MOST_WAITING if wanted else MOST_WAITING * 9 // 10
            if self._waiting + len(line) > room:
                self._left_out += 1
                return
            self._waiting += len(line)
        self._lines.put(line)

    def end(self) -> None:
        """Say that nothing more will come."""
        if self._threads and not self._done.is_set():
            self._lines.put(None)

    def wait(self, until: float) -> None:
        """Wait for the process to end, kill it when the time is over, and count what is lost."""
        if not self._threads:
            return
        if not self._done.wait(max(0.0, until - monotonic())):
            self._killed = True
            self._warn("too slow, and ended before it had written all")
            if self._process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            self._done.wait(1.0)
        elif self._left_out:
            self._warn(f"{self._left_out} events left out")

    def _warn(self, text: str) -> None:
        self.warnings.append(f"{self.name}: {text}; `aexp export RUN --to {self.name}` repairs it")
        log.warning("tracker %s", self.warnings[-1])

    def _begin(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=f"tracker {self.name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _write(self) -> None:
        """Start the process and feed it; this is the thread that waits where it is slow."""
        lines = iter(self._lines.get, None)
        try:
            self._process = self._started()
        except OSError as error:
            self._warn(f"cannot be started: {error.strerror}")
            self._done.set()
            return
        self._begin(self._hear)
        pipe: Any = self._process.stdin
        try:
            for line in lines:
                pipe.write(line.encode())
                pipe.flush()
                with self._lock:
                    self._waiting -= len(line)
        except OSError:  # it died; how, the other thread says
            self._left_out += 1 + sum(1 for _ in lines)
        with contextlib.suppress(OSError):
            pipe.close()

    def _started(self) -> "subprocess.Popen[bytes]":
        self.store.mkdir(parents=True, exist_ok=True)
        known = os.environ.get("PYTHONPATH")
        path = f"{_ROOT}{os.pathsep}{known}" if known else str(_ROOT)
        with (self.store / f"{self.name}.log").open("a", encoding="utf-8") as errors:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "tasks.trackers.sink", self.name, str(self.store)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": path},
                process_group=0,  # Ctrl-C is for the runner
            )

    def _hear(self) -> None:
        process = self._process
        if process is None or process.stdout is None:
            return
        with process.stdout as answers:
            for line in answers:
                self._take_in(json.loads(line))
        status = process.wait()
        if status and not self._killed:
            self._warn(f"its process ended with {status}, see {self.store / self.name}.log")
        self._done.set()

    def _take_in(self, answer: Mapping[str, str]) -> None:
        if "warning" in answer:
            self.warnings.append(f"{answer['warning']} (trial {Path(answer['trial']).name})")
            log.warning("tracker %s", self.warnings[-1])
        else:
            self.where[self.name] = answer["where"]
