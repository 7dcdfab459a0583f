"""The folders of one trial; everything on disk is spelt here and nowhere else."""

import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import InfrastructureError
from tasks.spec import write_text

OUTPUTS = ("submission", "results", "code", "logs", "models")
"""What is collected of an agent's world."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """One trial on disk.

    ```
    <root>/
      trial.json         what was asked; written first
      events.jsonl       what happened; append-only
      run.log            what the agent printed
      report.json        what it is worth; written last
      public/            the files the agent is given
      private/           the answers; made when the agent is dead, mode 0700
      outputs/           what the agent left, copied out when it was dead
        submission/ results/ code/ logs/ models/
      home/              the agent's world, as MLE-bench draws it under /home
        data -> public   submission/ logs/ code/ agent/ instructions.txt task_config.json …
        experiments/     the spec's tree: workspace/ results/ models/ notebooks/ scripts/ configs/
    ```
    """

    root: Path

    @classmethod
    def create(cls, parent: Path, label: str) -> "Workspace":
        """Make a new, empty trial folder below `parent`, named by time, label and chance.

        Raises:
            InfrastructureError: The folder cannot be made.
        """
        stamp = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime())
        root = (parent / f"{stamp}_{label}_{secrets.token_hex(3)}").resolve()
        try:
            root.mkdir(parents=True)
        except OSError as error:
            raise InfrastructureError(f"cannot make {root}: {error.strerror}") from error
        return cls(root)

    @property
    def trial_file(self) -> Path:
        """What was asked."""
        return self.root / "trial.json"

    @property
    def events_file(self) -> Path:
        """What happened."""
        return self.root / "events.jsonl"

    @property
    def log_file(self) -> Path:
        """What the agent printed."""
        return self.root / "run.log"

    @property
    def report_file(self) -> Path:
        """What it is worth."""
        return self.root / "report.json"

    @property
    def public(self) -> Path:
        """The files the agent is given."""
        return self.root / "public"

    @property
    def private(self) -> Path:
        """The answers."""
        return self.root / "private"

    @property
    def outputs(self) -> Path:
        """What the agent left."""
        return self.root / "outputs"

    @property
    def home(self) -> Path:
        """The agent's world; `/home` inside a sandbox."""
        return self.root / "home"

    @property
    def experiments(self) -> Path:
        """The spec's `/home/experiments`."""
        return self.home / "experiments"

    def write_json(self, path: Path, payload: Any) -> None:
        """Write a JSON file whole or not at all."""
        write_text(path, json.dumps(payload, indent=2, ensure_ascii=False, default=str) + "\n")

    def append_event(self, kind: str, **fields: Any) -> None:
        """Append one line to `events.jsonl`; a crash can tear only the last one."""
        line = json.dumps({"time": time.time(), "event": kind, **fields}, default=str) + "\n"
        handle = os.open(self.events_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)
