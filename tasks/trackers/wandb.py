"""Weights & Biases: a run for each trial, in a group for its suite; offline where not told."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.errors import MissingPart, install
from tasks.trackers import words
from tasks.trackers.base import Tracked

PROJECT = "aexp"
STEP = "claimed/step"


class WandbTracker:
    """Writes to `wandb/` in the store; `WANDB_MODE=online` sends it as it comes."""

    @staticmethod
    def check() -> None:
        """Raise `MissingPart` if W&B's library is not here."""
        from importlib.util import find_spec

        if find_spec("wandb") is None:
            raise MissingPart(f"the tracker wandb needs W&B's library: {install('wandb')}")

    def __init__(self, store: Path) -> None:
        self._store = store.absolute()

    def start(self, trial: Tracked) -> None:
        """Make the trial's run; one of an earlier time makes room."""
        import wandb

        self._trial = trial
        # Of W&B's ids only letters and digits are sure to be taken everywhere.
        name = hashlib.sha256(trial.name.encode()).hexdigest()[:16]
        for old in (self._store / "wandb").glob(f"offline-run-*-{name}"):
            shutil.rmtree(old)
        tags = words.tags(trial)
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            id=name,
            name=trial.name,
            group=trial.suite,
            job_type="trial",
            tags=[value[:64] for key, value in tags.items() if key in {"aexp.task", "aexp.agent"}],
            config={**words.params(trial), **tags},
            dir=str(self._store),
            mode=os.environ.get("WANDB_MODE") or "offline",
            reinit="create_new",
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_code=True,
                disable_git=True,
                x_disable_stats=True,
                x_disable_meta=True,
                x_start_time=float(trial.asked["started"]),
            ),
        )
        self._run.define_metric(STEP)
        self._run.define_metric(words.CLAIMED + "*", step_metric=STEP)

    def event(self, event: Mapping[str, Any]) -> None:
        """Log the values of an event; those of one step and time together."""
        row: dict[str, float] = {}
        for value in words.points(event):
            stamp = {STEP: value.step, "_timestamp": value.at}
            if value.name in row or any(row.get(key, x) != x for key, x in stamp.items()):
                self._run.log(row)
                row = {}
            row |= {**stamp, value.name: value.value}
        if row:
            self._run.log(row)

    def finish(self, report: Mapping[str, Any] | None) -> str:
        """Write the verdict and the files, and end the run."""
        import wandb

        self._run.config.update(words.verdict(report), allow_val_change=True)
        if report is not None:
            self._run.config.update(words.claimed_params(report), allow_val_change=True)
            self._run.summary.update(words.summary(report))
            artefact = wandb.Artifact(f"trial-{self._run.id}", type="trial")
            for path, place in words.artefacts(self._trial.folder):
                artefact.add_file(str(path), f"{place}/{path.name}".lstrip("/"))
            self._run.log_artifact(artefact)
        finished = report is not None and report["outcome"]["reason"] == "finished"
        settings = self._run.settings
        offline = settings.mode == "offline"
        place = str(settings.sync_dir if offline else self._run.url)
        self._run.finish(exit_code=0 if finished else 1)
        return f"wandb sync {place}" if offline else place
