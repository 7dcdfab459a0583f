"""What an agent may ask of its trial, as tools of the Model Context Protocol.

Within a trial they are about that trial. Elsewhere they make practice data of any task, for agents
that work on a desk and not in a sandbox. No tool tells a score, but where the user allows feedback.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks import datasets, grading, registry
from tasks.errors import InvalidInput, MissingPart, TasksError, install
from tasks.instance import Seed
from tasks.runtimes.inside import ask
from tasks.spec import Task

INSTRUCTIONS = (
    "Tasks of machine learning. get_task tells what is asked and where the data are; write the "
    "predictions to a file, validate its form, and submit it: the file submitted last counts."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one task is worked on."""

    task_id: str
    prompt: str
    data: Path
    submissions: Path


class Bench:
    """The tools."""

    def __init__(self, folder: Path, environ: Mapping[str, str] = os.environ) -> None:
        """Take a trial's variables where there are some, else a folder for practice data."""
        self.folder = folder
        self.environ = environ

    @property
    def in_trial(self) -> bool:
        """Whether this runs within a trial."""
        return "DATA_DIR" in self.environ and "SUBMISSION_DIR" in self.environ

    def list_tasks(self) -> list[dict[str, str]]:
        """List the tasks that can be worked on here: id, name, type, difficulty."""
        known = registry.list_tasks()
        if self.in_trial:
            known = [task for task in known if task.id == self._own_id()]
        return [
            {"id": t.id, "name": t.name, "type": t.task_type, "difficulty": t.difficulty}
            for t in known
        ]

    def get_task(self, task_id: str = "") -> dict[str, Any]:
        """Tell what a task asks for and where its data are; within a trial it needs no id."""
        place = self._place(task_id)
        return {
            "id": place.task_id,
            "prompt": place.prompt,
            "data": str(place.data),
            "files": sorted(path.name for path in place.data.iterdir()),
            "submission": str(place.submissions / "submission.csv"),
        }

    def validate(self, file: str = "", task_id: str = "") -> dict[str, Any]:
        """Check the form of a submission; tells no score."""
        place = self._place(task_id)
        source = self._file(file, place)
        checked = grading.check_submission(source, datasets.read_contract(place.data))
        problems = [str(problem) for problem in checked.problems]
        return {"file": str(source), "valid": not problems, "problems": problems}

    def submit(self, file: str = "", task_id: str = "") -> dict[str, Any]:
        """Mark a file as the answer; one that is not valid is refused."""
        place = self._place(task_id)
        said = self.validate(file, task_id)
        if said["valid"]:
            marked = ask.mark(self._file(file, place), place.submissions)
            said["counts"] = str(marked)
        return {**said, "submitted": said["valid"]}

    def budget(self) -> dict[str, Any]:
        """Tell what is left of time, calls and queries."""
        return ask.left() if self.in_trial else {"limits": "none: this is practice"}

    def feedback(self, file: str = "") -> dict[str, Any]:
        """Ask what a submission scores; only where the user of the trial allows it."""
        if "AEXP_FEEDBACK" not in self.environ:
            raise InvalidInput("there is no feedback here")
        _, said = ask.post("/feedback", self._file(file, self._place("")))
        answer: dict[str, Any] = said
        return answer

    def tools(self) -> list[Callable[..., Any]]:
        """Return what is offered here."""
        offered: list[Callable[..., Any]] = [self.list_tasks, self.get_task, self.validate]
        offered += [self.submit, self.budget]
        return [*offered, self.feedback] if "AEXP_FEEDBACK" in self.environ else offered

    def _own_id(self) -> str:
        return self.environ.get("COMPETITION_ID", "")

    def _place(self, task_id: str) -> Place:
        if self.in_trial:
            data = Path(self.environ["DATA_DIR"])
            told = Path(self.environ.get("HOME", "/home"), "instructions.txt")
            described = told if told.is_file() else data / "description.md"
            return Place(
                task_id=self._own_id(),
                prompt=described.read_text(encoding="utf-8"),
                data=data,
                submissions=Path(self.environ["SUBMISSION_DIR"]),
            )
        return _practice(registry.get_task(task_id), self.folder)

    def _file(self, name: str, place: Place) -> Path:
        source = Path(name) if name else place.submissions / "submission.csv"
        if not source.is_file():
            raise InvalidInput(f"{source}: no such file")
        # On a desk no sandbox keeps a model from files that are none of its business.
        if not self.in_trial and not source.resolve().is_relative_to(self.folder.resolve()):
            raise InvalidInput(f"{source}: a submission has to lie in {self.folder}")
        return source


def _practice(task: Task, folder: Path) -> Place:
    """Return where a task is practised; its data are made the first time."""
    data, submissions = folder / task.id / "data", folder / task.id / "submission"
    submissions.mkdir(parents=True, exist_ok=True)
    if not (data / "description.md").is_file():
        data.mkdir(exist_ok=True)
        datasets.write_public(task, datasets.draw(task, Seed.practice(task.id)), data)
    prompt = (data / "description.md").read_text(encoding="utf-8")
    return Place(task_id=task.id, prompt=prompt, data=data, submissions=submissions)


def server(bench: Bench) -> Any:
    """Return the server, with the tools of a bench.

    Raises:
        MissingPart: The package `mcp` is not installed.
    """
    try:
        from mcp.server import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
    except ImportError as error:
        raise MissingPart(f"aexp mcp needs the package mcp: {install('mcp')}") from error
    made = MCPServer("aexp", instructions=INSTRUCTIONS)
    for tool in bench.tools():
        made.tool()(_told(tool, ToolError))
    return made


def _told(tool: Callable[..., Any], told: type[Exception]) -> Callable[..., Any]:
    """Return the tool with its errors as the protocol has them: a line for the model."""
    from functools import wraps

    @wraps(tool)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return tool(*arguments, **named)
        except (TasksError, OSError) as error:
            raise told(str(error)) from error

    return call
