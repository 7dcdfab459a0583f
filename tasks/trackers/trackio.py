"""Trackio: a run for each trial, in a group for its suite, in SQLite files; no server is started.

`trackio.init` starts a dashboard's server for each process that logs. What it writes in the end is
written here directly, by the same library.
"""

import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from tasks.errors import MissingPart, install
from tasks.trackers import words
from tasks.trackers.base import Tracked

PROJECT = "aexp"
FLUSH_S = 1.0
GROUP = "_Group"
"""Where Trackio's dashboard looks for it."""
_MOST = 1000


class TrackioTracker:
    """Writes to `TRACKIO_DIR`, or to `trackio/` in the store."""

    @staticmethod
    def check() -> None:
        """Raise `MissingPart` if Trackio is not here."""
        from importlib.util import find_spec

        if find_spec("trackio") is None:
            raise MissingPart(f"the tracker trackio needs Trackio: {install('trackio')}")

    def __init__(self, store: Path) -> None:
        os.environ.setdefault("TRACKIO_DIR", str(store.absolute() / "trackio"))
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        self._waiting: list[tuple[int, float, dict[str, float]]] = []
        """Step, time and values."""
        self._flushed = monotonic()

    def start(self, trial: Tracked) -> None:
        """Make the trial's run; one of an earlier time makes room."""
        from trackio.sqlite_storage import SQLiteStorage

        self._storage: Any = SQLiteStorage
        self._project = os.environ.get("TRACKIO_PROJECT") or PROJECT
        self._trial = trial
        if any(run["name"] == trial.name for run in self._storage.get_run_records(self._project)):
            self._storage.delete_run(self._project, trial.name)
        self._config = {**words.params(trial), **words.tags(trial)}
        if trial.suite is not None:
            self._config[GROUP] = trial.suite

    def event(self, event: Mapping[str, Any]) -> None:
        """Keep the values of an event until the next flush; those of a step and time together."""
        for value in words.points(event):
            last = self._waiting[-1] if self._waiting else None
            if last is None or last[:2] != (value.step, value.at) or value.name in last[2]:
                self._waiting.append((value.step, value.at, {}))
            self._waiting[-1][2][value.name] = value.value
        if monotonic() - self._flushed > FLUSH_S or len(self._waiting) >= _MOST:
            self._flush()

    def finish(self, report: Mapping[str, Any] | None) -> str:
        """Write the verdict and the files."""
        self._flush()
        self._config |= words.verdict(report)
        if report is not None:
            self._config |= words.claimed_params(report)
            self._keep_files()
        worth = {} if report is None else words.summary(report)
        at = float(self._trial.asked["started"] if report is None else report["finished"])
        self._write([(0, at, {**worth, "over": 1.0})])
        return f"TRACKIO_DIR={os.environ['TRACKIO_DIR']} trackio show --project {self._project}"

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._write(waiting)
        self._flushed = monotonic()

    def _write(self, rows: list[tuple[int, float, dict[str, float]]]) -> None:
        self._storage.bulk_log(
            project=self._project,
            run=self._trial.name,
            metrics_list=[values for _, _, values in rows],
            steps=[step for step, _, _ in rows],
            timestamps=[datetime.fromtimestamp(at, UTC).isoformat() for _, at, _ in rows],
            config=self._config,
            run_id=self._trial.name,
        )

    def _keep_files(self) -> None:
        """Copy a trial's files to where Trackio keeps those of a project."""
        from trackio.media.utils import get_project_media_path

        for path, place in words.artefacts(self._trial.folder):
            folder = f"{self._trial.name}/{place}".rstrip("/")
            target = get_project_media_path(self._project, relative_path=folder)
            shutil.copyfile(path, target / path.name)
