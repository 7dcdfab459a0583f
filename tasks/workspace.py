"""The folders of one trial; everything on disk is spelt here and nowhere else."""

import json
import os
import secrets
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tasks.errors import InfrastructureError
from tasks.files import pretty_json, write_text

OUTPUTS = ("submission", "results", "code", "logs", "models")
"""What is collected of an agent's world."""

_LINE = json.JSONEncoder(default=str)
"""Made once: `json.dumps` would make one for each line."""


@dataclass(frozen=True)  # without slots: its paths are made once
class Workspace:
    """One trial on disk.

    ```
    <root>/
      trial.json         what was asked; written first
      events.jsonl       what happened; append-only
      run.log            what the agent printed
      calls.jsonl        its calls to models, if it has any
      trajectory.jsonl   its steps as it tells them, where its form is known
      report.json        what it is worth; written last
      public/            the files the agent is given
      private/           the answers; made when the agent is dead, mode 0700
      replay/            trials of the saved solution, if it was run again
      outputs/           what the agent left, copied out when it was dead
        results/ and, where something lies in them, submission/ code/ logs/ models/
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
        return cls.at(parent / f"{stamp}_{label}_{secrets.token_hex(3)}")

    @classmethod
    def at(cls, folder: Path) -> "Workspace":
        """Make a new, empty trial folder.

        Raises:
            InfrastructureError: It cannot be made, or it is there already.
        """
        root = folder.resolve()
        try:
            root.mkdir(parents=True)
        except OSError as error:
            raise InfrastructureError(f"cannot make {root}: {error.strerror}") from error
        return cls(root)

    @cached_property
    def trial_file(self) -> Path:
        """What was asked."""
        return self.root / "trial.json"

    @cached_property
    def events_file(self) -> Path:
        """What happened."""
        return self.root / "events.jsonl"

    @cached_property
    def log_file(self) -> Path:
        """What the agent printed."""
        return self.root / "run.log"

    @cached_property
    def report_file(self) -> Path:
        """What it is worth."""
        return self.root / "report.json"

    @cached_property
    def calls_file(self) -> Path:
        """The calls to models, one a line."""
        return self.root / "calls.jsonl"

    @cached_property
    def trajectory_file(self) -> Path:
        """What it did, step by step, as it tells itself."""
        return self.root / "trajectory.jsonl"

    @cached_property
    def public(self) -> Path:
        """The files the agent is given."""
        return self.root / "public"

    @cached_property
    def private(self) -> Path:
        """The answers."""
        return self.root / "private"

    @cached_property
    def outputs(self) -> Path:
        """What the agent left."""
        return self.root / "outputs"

    @cached_property
    def home(self) -> Path:
        """The agent's world; `/home` inside a sandbox."""
        return self.root / "home"

    @cached_property
    def experiments(self) -> Path:
        """The spec's `/home/experiments`."""
        return self.home / "experiments"

    def write_json(self, path: Path, payload: Any) -> str:
        """Write a JSON file whole or not at all, and return it; only the report is waited for."""
        text = pretty_json(payload)
        write_text(path, text, durable=path == self.report_file)
        return text

    def append_event(self, kind: str, **fields: Any) -> str:
        """Append one line to `events.jsonl` and return it; a crash can tear only the last one."""
        line = _LINE.encode({"time": time.time(), "event": kind, **fields}) + "\n"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        handle = os.open(self.events_file, flags, 0o644)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)
        return line

    def reclaim(self, asked: str, events: Sequence[str]) -> list[str]:
        """Make the folder ours again when the agent is dead; a plain process could write here.

        Whatever stands where our files go is moved aside, unopened; `trial.json` and
        `events.jsonl` are written again from memory.

        Args:
            asked: The text of `trial.json`.
            events: The lines of `events.jsonl`.

        Returns:
            The names that were not as we had left them.
        """
        tampered = []
        if self.root.is_symlink() or not self.root.is_dir():
            tampered.append(self.root.name)
            self.root.unlink(missing_ok=True)
            self.root.mkdir(parents=True)
        self.root.chmod(0o755)
        ours = (
            (self.private, None),
            (self.outputs, None),
            (self.report_file, None),
            (self.trajectory_file, None),
            (self.trial_file, asked),
            (self.events_file, "".join(events)),
        )
        for path, text in ours:
            if not os.path.lexists(path) if text is None else _holds(path, text):
                continue
            tampered.append(path.name)
            move_aside(self.root, path)
            if text is not None:
                write_text(path, text)
        return tampered


def move_aside(root: Path, path: Path) -> None:
    """Rename, so that a hostile tree costs no time and nothing of it is lost."""
    if os.path.lexists(path):
        aside = root / f"moved-aside-{secrets.token_hex(4)}"
        aside.mkdir()
        path.rename(aside / path.name)


def _holds(path: Path, text: str) -> bool:
    """Whether a regular file, reached by no link, holds exactly this text."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        wanted = text.encode()
        regular = stat.S_ISREG(os.fstat(handle).st_mode)
        return regular and os.read(handle, len(wanted) + 1) == wanted
    finally:
        os.close(handle)
