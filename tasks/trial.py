"""A trial that is over, and what may be told of its instance then."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks import datasets
from tasks.grading import Evaluation
from tasks.outcome import Outcome
from tasks.prepared import Prepared, manifest_of
from tasks.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One attempt, finished: how it ended and what it is worth."""

    task_id: str
    outcome: Outcome
    evaluation: Evaluation | None
    """None where the grader failed: such a trial is void, not zero."""
    workspace: Workspace
    grader_error: str | None = None
    model: Mapping[str, Any] | None = None
    """What went through the door to its models; None where it had none."""
    feedback: Mapping[str, Any] = field(default_factory=lambda: {"mode": "none"})
    """What the agent was told of its score while it worked."""
    report: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What the report said when it was written; a seed that is revealed later stands on disk."""

    @property
    def report_file(self) -> Path:
        """The report on disk."""
        return self.workspace.report_file


def reveal(ready: Prepared, trials: Iterable[Trial]) -> None:
    """Publish seed and answers of an instance in its trials, when the last of them is over.

    Args:
        ready: The instance; its seed was withheld from the reports.
        trials: The finished trials that met it.
    """
    for trial in trials:
        workspace = trial.workspace
        if not workspace.private.exists():
            manifest = manifest_of(ready, trial.evaluation)
            datasets.write_private(ready.instance, ready.seed, workspace.private, manifest)
        report = json.loads(workspace.report_file.read_text(encoding="utf-8"))
        report["trial"]["seed"] = ready.seed.secret.hex()
        workspace.write_json(workspace.report_file, report)
