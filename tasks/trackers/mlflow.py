"""MLflow: a run for each trial, below one for its suite; SQLite where no server is named."""

import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from tasks.errors import MissingPart, install
from tasks.trackers import words
from tasks.trackers.base import Tracked

EXPERIMENT = "aexp"
FLUSH_S = 1.0
"""Values are written together, at most so often; one `log_batch` a flush."""
_MOST_METRICS, _MOST_OTHERS = 1000, 100
_PARENT, _NAME = "mlflow.parentRunId", "mlflow.runName"
_ENDED = {"finished": "FINISHED", "cancelled": "KILLED"}
_SUITE_LOCK = threading.Lock()


class MlflowTracker:
    """Writes to `MLFLOW_TRACKING_URI`, or to `mlflow.db` in the store."""

    @staticmethod
    def check() -> None:
        """Raise `MissingPart` if MLflow is not here."""
        from importlib.util import find_spec

        if any(find_spec(name) is None for name in ("mlflow", "sqlalchemy", "alembic")):
            raise MissingPart(f"the tracker mlflow needs MLflow: {install('mlflow')}")

    def __init__(self, store: Path) -> None:
        # It sends usage data otherwise, and waits for an unreachable server for many minutes.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        from mlflow import MlflowClient

        self._local = f"sqlite:///{store.absolute() / 'mlflow.db'}"
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or self._local
        self._client = MlflowClient(self.uri)
        self._artefacts = (store.absolute() / "mlflow-artifacts").as_uri()
        self._waiting: list[Any] = []
        self._flushed = monotonic()

    def start(self, trial: Tracked) -> None:
        """Make the trial's run, or empty the one it has."""
        self._trial = trial
        experiment = self._experiment()
        for old in self._found(experiment, {"aexp.trial": trial.name}):
            self._client.delete_run(old)
        tags = words.tags(trial)
        if trial.suite is not None:
            tags[_PARENT] = self._suite(experiment, trial.suite)
        begun = int(float(trial.asked["started"]) * 1000)
        run = self._client.create_run(experiment, begun, tags, run_name=trial.name)
        self._run: str = run.info.run_id
        self._log(params=words.params(trial))

    def event(self, event: Mapping[str, Any]) -> None:
        """Keep the values of an event until the next flush."""
        from mlflow.entities import Metric

        self._waiting += [
            Metric(value.name, value.value, int(value.at * 1000), value.step)
            for value in words.points(event)
        ]
        if monotonic() - self._flushed > FLUSH_S or len(self._waiting) >= _MOST_METRICS:
            self._flush()

    def finish(self, report: Mapping[str, Any] | None) -> str:
        """Write the verdict and the files, and end the run."""
        from mlflow.entities import Metric

        self._flush()
        status, ended = "KILLED", None
        if report is not None:
            stamp = ended = int(float(report["finished"]) * 1000)
            worth = [Metric(name, x, stamp, 0) for name, x in words.summary(report).items()]
            self._log(worth, words.claimed_params(report))
            for path, place in words.artefacts(self._trial.folder):
                self._client.log_artifact(self._run, str(path), place or None)
            status = _ENDED.get(report["outcome"]["reason"], "FAILED")
        self._log(tags=words.verdict(report))
        self._client.set_terminated(self._run, status, ended)
        if self.uri == self._local:
            return f"mlflow ui --backend-store-uri {self.uri}"
        return f"{self.uri}, experiment {self._name()}, run {self._trial.name}"

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._log(waiting)
        self._flushed = monotonic()

    def _log(
        self,
        metrics: Iterable[Any] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        from mlflow.entities import Param, RunTag

        values = [*metrics]
        others = [Param(key, value) for key, value in (params or {}).items()]
        marks = [RunTag(key, value) for key, value in (tags or {}).items()]
        while values or others or marks:
            self._client.log_batch(
                self._run, values[:_MOST_METRICS], others[:_MOST_OTHERS], marks[:_MOST_OTHERS]
            )
            del values[:_MOST_METRICS], others[:_MOST_OTHERS], marks[:_MOST_OTHERS]

    @staticmethod
    def _name() -> str:
        return os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        if (found := self._client.get_experiment_by_name(self._name())) is None:
            place = self._artefacts if self.uri == self._local else None
            try:
                return str(self._client.create_experiment(self._name(), place))
            except MlflowException:  # somebody else was faster, or it cannot be made at all
                found = self._client.get_experiment_by_name(self._name())
                if found is None:
                    raise
        return str(found.experiment_id)

    def _suite(self, experiment: str, suite: str) -> str:
        """Return the run of a suite: the eldest, should several have begun it at once."""
        tags = {"aexp.suite": suite, "aexp.kind": "suite"}
        with _SUITE_LOCK:
            if not self._found(experiment, tags):
                run = self._client.create_run(experiment, tags=tags, run_name=suite)
                self._client.set_terminated(run.info.run_id)
            return self._found(experiment, tags)[0]

    def _found(self, experiment: str, tags: Mapping[str, str]) -> list[str]:
        query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        order = ["attributes.start_time ASC", "attributes.run_id ASC"]
        runs = self._client.search_runs([experiment], query, order_by=order)
        return [run.info.run_id for run in runs]
