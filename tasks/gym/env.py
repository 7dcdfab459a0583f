"""A trial as an environment: code cells, files and a submission as actions, skill as the reward."""

import string
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, Literal, Self

import gymnasium
import numpy as np
from gymnasium import spaces

from tasks import agents, registry
from tasks.collect import collect, promote
from tasks.errors import InfrastructureError, UsageError, suggestion
from tasks.grading import Evaluation, Outputs
from tasks.gym.sandbox import Sandbox, SandboxGone
from tasks.instance import Seed
from tasks.outcome import Limits
from tasks.prepared import Prepared, prepare
from tasks.runtimes.base import Runtime
from tasks.runtimes.named import fitting, runtime_named
from tasks.spec import Task
from tasks.validator import TaskValidator, validator_for

KINDS = ("run", "write", "submit")
"""What an action does; its number in the action space is the place in this list."""
RUN, WRITE, SUBMIT = range(3)

CODE_CHARACTERS = 20_000
PATH_CHARACTERS = 200
KEPT_INSTANCES = 8
"""Instances that are kept drawn, the last ones met."""

HAND_IN = """\
import os, pathlib, shutil
_from = pathlib.Path({path!r})
shutil.copyfile(_from, os.environ["SUBMISSION_DIR"] + "/submission" + _from.suffix)
"""

Reward = Literal["final", "gain"]
Action = Mapping[str, Any]
Observation = dict[str, Any]

LETTERS = string.printable + "".join(map(chr, range(0xA1, 0x180))) + "–—‘’“”•…→≈≠≤≥²³√∑"  # noqa: RUF001
"""What texts of the spaces are made of; everything else is shown as an escape."""


def run(code: str) -> dict[str, Any]:
    """Return the action that runs code."""
    return {"kind": RUN, "path": "", "text": code}


def write(path: str, text: str) -> dict[str, Any]:
    """Return the action that writes a file, relative to the agent's folder."""
    return {"kind": WRITE, "path": path, "text": text}


def submit(path: str = "") -> dict[str, Any]:
    """Return the action that hands in a file and ends the episode."""
    return {"kind": SUBMIT, "path": path, "text": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The files of an agent's world at one moment; variables are not part of it."""

    folder: Path
    seed: Seed
    steps: int


class TaskEnv(gymnasium.Env[Observation, Action]):
    """One task in a sandbox of its own.

    An episode is a trial for practice: its seeds are public, its rewards tell the score. Nothing of
    it is a result. The interpreter keeps its variables from step to step, and is fresh after
    `reset`, with an empty world around it.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - as the base class has it

    def __init__(
        self,
        task: str | Task = "classification_basic",
        *,
        max_steps: int = 50,
        time_limit: float = 3600.0,
        cell_seconds: float = 60.0,
        output_characters: int = 4000,
        reward: Reward = "final",
        instances: int | None = None,
        runtime: str | Runtime = "local",
        limits: Limits | None = None,
        preload: tuple[str, ...] = ("numpy", "pandas"),
        validator: TaskValidator | None = None,
    ) -> None:
        """Choose task and walls; the box is started by the first `reset`.

        Args:
            task: A task that asks for predictions or for results.
            max_steps: Then an episode is cut off, and what is there is graded.
            time_limit: Seconds of an episode, likewise.
            cell_seconds: Seconds of one cell; it is then interrupted.
            output_characters: What is shown of a cell's output.
            reward: `final`: the overall score at the end; `gain`: after each step by how much the
                submission of now is better than the best before.
            instances: So many different ones are met, again and again; None: a new one each time.
            runtime: `local` (bubblewrap), `docker`, or one that is set up already.
            limits: Memory, disk and so on; `time_limit` is the time.
            preload: Modules that are imported before an episode begins.
            validator: A `TaskValidator` of your own.

        Raises:
            UnknownName, MissingPart: No such task or runtime, or one without walls.
            UsageError: There is no such reward.
        """
        if reward not in {"final", "gain"}:
            raise UsageError(f"reward {reward!r}{suggestion(reward, ('final', 'gain'))}")
        self.task = registry.get_task(task) if isinstance(task, str) else task
        self.max_steps = max_steps
        self.time_limit = time_limit
        self.cell_seconds = cell_seconds
        self.output_characters = output_characters
        self.reward: Reward = reward
        self.instances = instances
        self.limits = replace(limits or Limits(), time_s=time_limit)
        self.preload = preload
        self.runtime = runtime_named(runtime) if isinstance(runtime, str) else runtime
        self.validator = validator or validator_for(self.task)
        self.action_space = spaces.Dict(
            {
                "kind": spaces.Discrete(len(KINDS)),
                "path": spaces.Text(PATH_CHARACTERS, min_length=0, charset=LETTERS),
                "text": spaces.Text(CODE_CHARACTERS, min_length=0, charset=LETTERS),
            }
        )
        self.observation_space = spaces.Dict(
            {
                "prompt": spaces.Text(CODE_CHARACTERS, min_length=0, charset=LETTERS),
                "output": spaces.Text(4 * output_characters + 200, min_length=0, charset=LETTERS),
                "failed": spaces.Discrete(2),
                "steps_left": spaces.Discrete(max_steps + 1),
            }
        )
        self._sandbox: Sandbox | None = None
        self.kept: OrderedDict[bytes, Prepared] = OrderedDict()
        self._ready: Prepared | None = None
        self._prompt = ""
        self._steps = 0
        self._over = True
        self._deadline = 0.0
        self._best = 0.0
        self.evaluation: Evaluation | None = None
        """Of the episode's last graded submission."""

    # --- Gymnasium -----------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode on the instance of `seed`, or on the next one.

        Args:
            seed: Of the sequence of instances; the same seed brings the same ones.
            options: `instance`: the number of a public instance, whatever the sequence.
        """
        super().reset(seed=seed)
        chosen = (options or {}).get("instance")
        return self._begin(Seed.public(self._next() if chosen is None else int(chosen)))

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Do what the action says.

        Returns:
            Observation; reward; whether it was submitted; whether steps, time or the box are over;
            and `skill`, `valid` and `feedback` of what was graded.
        """
        if self._over or self._sandbox is None or self._ready is None:
            raise UsageError("the episode is over, or none was begun: call reset()")
        self._steps += 1
        submitted = int(action["kind"]) == SUBMIT
        output, failed, gone = self._do(
            int(action["kind"]), str(action["path"]), str(action["text"])
        )
        terminated = submitted and not failed
        late = monotonic() >= self._deadline
        truncated = not terminated and (gone or late or self._steps >= self.max_steps)
        self._over = terminated or truncated
        reward: float = 0.0
        info: dict[str, Any] = {}
        if self._over or self.reward == "gain":
            reward, info = self._graded()
        return self._seen(output, failed=failed), reward, terminated, truncated, info

    def close(self) -> None:
        """End the box and remove its folders."""
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None
        self._over = True

    # --- snapshots -----------------------------------------------------------

    @property
    def world(self) -> Path:
        """The agent's world on the host: hostile files, to be looked at with care."""
        return self._box().workspace.home

    def snapshot(self, folder: Path) -> Snapshot:
        """Copy the files of this moment into a new folder; variables are left out."""
        box = self._box()
        if self._ready is None:
            raise UsageError("no episode was begun: call reset()")
        box.save(folder)
        return Snapshot(folder=folder, seed=self._ready.seed, steps=self._steps)

    def restore(self, snapshot: Snapshot) -> tuple[Observation, dict[str, Any]]:
        """Go on from a snapshot: its instance, its files, its steps, and a fresh interpreter."""
        seen, info = self._begin(snapshot.seed)
        self._box().load(snapshot.folder)
        self._steps = snapshot.steps
        return {**seen, "steps_left": self.max_steps - self._steps}, info

    def fork(self, folder: Path) -> Self:
        """Return another environment, in a box of its own, that goes on from here.

        Args:
            folder: A new one, for the snapshot between the two.
        """
        snapshot = self.snapshot(folder)
        other = type(self)(
            self.task,
            max_steps=self.max_steps,
            time_limit=self.time_limit,
            cell_seconds=self.cell_seconds,
            output_characters=self.output_characters,
            reward=self.reward,
            instances=self.instances,
            runtime=self.runtime,
            limits=self.limits,
            preload=self.preload,
            validator=self.validator,
        )
        other.kept.update(self.kept)
        other.restore(snapshot)
        return other

    # --- an episode -----------------------------------------------------------

    def _next(self) -> int:
        if self.instances is None:
            return int(self.np_random.integers(2**62))
        return int(self.np_random.integers(self.instances))

    def _begin(self, seed: Seed) -> tuple[Observation, dict[str, Any]]:
        ready = self._prepared(seed)
        if self._sandbox is None:
            place = fitting(self.runtime, agents.load("experiment"))
            self._sandbox = Sandbox(place, self.limits, preload=self.preload)
        self._sandbox.begin(ready)
        self._ready = ready
        described = (self._sandbox.workspace.public / "description.md").read_text(encoding="utf-8")
        self._prompt = plain(described, CODE_CHARACTERS)
        self._steps, self._over, self._best = 0, False, 0.0
        self._deadline = monotonic() + self.time_limit
        self.evaluation = None
        return self._seen("", failed=False), {}

    def _prepared(self, seed: Seed) -> Prepared:
        if seed.secret not in self.kept:
            self.kept[seed.secret] = prepare(self.task, seed)
            while len(self.kept) > max(KEPT_INSTANCES, self.instances or 0):
                self.kept.popitem(last=False)
        self.kept.move_to_end(seed.secret)
        return self.kept[seed.secret]

    def _do(self, kind: int, path: str, text: str) -> tuple[str, bool, bool]:
        """Return what is seen of an action, whether it failed, and whether the box is gone."""
        box = self._box()
        try:
            if kind == RUN:
                most = self.output_characters
                said = box.cell(text, seconds=self._seconds(), most=most)
                late = "\n[stopped: its time was over]" if said.late else ""
                return said.output + late, said.error or said.late, False
            if kind == WRITE:
                box.write(path, text)
                return "written", False, False
            if path:
                said = box.cell(
                    HAND_IN.format(path=path), seconds=self._seconds(), most=self.output_characters
                )
                return said.output or "submitted", said.error, False
        except OSError as error:
            return f"not written: {error}", True, False
        except (SandboxGone, InfrastructureError) as error:
            return f"the sandbox has ended: {error}", True, True
        return "submitted", False, False

    def _seconds(self) -> float:
        return max(0.1, min(self.cell_seconds, self._deadline - monotonic()))

    def _graded(self) -> tuple[float, dict[str, Any]]:
        """Grade what is there now; return the reward, and what is told of it."""
        box, ready = self._box(), self._ready
        assert ready is not None
        if self._over:
            box.end()
        workspace = box.workspace
        if workspace.outputs.exists():
            box.discard(workspace.outputs)
        collected = collect(workspace, self.limits)
        promote(workspace, collected)
        evaluation = self.evaluation = self.validator.grade(
            self.task,
            ready.hidden,
            Outputs(workspace.outputs, refused=collected.refused),
            sealed=False,
        )
        score = evaluation.overall_score
        mark = evaluation.scores.get(self.task.primary_measure or "")
        info = {
            "skill": mark["skill"] if isinstance(mark, Mapping) else score,
            "valid": bool(evaluation.submission.get("valid", True)),
            "feedback": list(evaluation.feedback),
        }
        if self.reward == "final":
            return score, info
        gained, self._best = max(0.0, score - self._best), max(self._best, score)
        return gained, info

    def _seen(self, output: str, *, failed: bool) -> Observation:
        most = 4 * self.output_characters + 200
        return {
            "prompt": self._prompt,
            "output": plain(output, most),
            "failed": np.int64(failed),
            "steps_left": np.int64(max(0, self.max_steps - self._steps)),
        }

    def _box(self) -> Sandbox:
        if self._sandbox is None:
            raise UsageError("no episode was begun: call reset()")
        return self._sandbox


def plain(text: str, most: int) -> str:
    """Return a text in letters of the spaces, at most so many; others become escapes."""
    shown = "".join(
        letter if letter in LETTERS else letter.encode("unicode_escape", "replace").decode()
        for letter in text[:most]
    )
    return shown[:most]
