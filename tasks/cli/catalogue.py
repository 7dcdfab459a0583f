"""`list`, `show`, `create`, `config`: tasks as definitions."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tasks import registry
from tasks.cli import console
from tasks.cli.lookups import find_task, load_folders
from tasks.cli.options import Json, TaskOrFile, TasksDir
from tasks.errors import UsageError, suggestion
from tasks.files import write_text
from tasks.registry import measured, measured_of
from tasks.spec import SCHEMA_NAME, TASK_TYPES, Task, known_criteria


def list_tasks(
    *,
    task_type: Annotated[str | None, typer.Option("--type", help="Only this task type.")] = None,
    difficulty: Annotated[str | None, typer.Option(help="Only easy, medium or hard.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only tasks with this tag.")] = None,
    tasks_dir: TasksDir = None,
    json_: Json = False,
) -> None:
    """List the tasks."""
    load_folders(tasks_dir)
    _refuse_unknown(
        "--type", task_type, {*TASK_TYPES, *(t.task_type for t in registry.list_tasks())}
    )
    _refuse_unknown("--difficulty", difficulty, {"easy", "medium", "hard"})
    found = registry.list_tasks(task_type=task_type, difficulty=difficulty, tag=tag)
    known = measured()
    if json_:
        console.out_json([_summary(task, measured_of(task, known)) for task in found])
        return
    if not found:
        console.say("no task fits; `list` without options shows them all")
        return
    rows = [
        (
            task.id,
            task.task_type,
            task.difficulty,
            *_bracket(measured_of(task, known)),
            _criteria(task),
            task.name,
        )
        for task in found
    ]
    header = ("ID", "TYPE", "DIFFICULTY", "FLOOR", "AGENT", "CEILING", "CRITERIA", "NAME")
    console.table(header, rows)


def _bracket(entry: dict[str, Any] | None) -> tuple[str, ...]:
    """Return floor, the experiment agent's score and ceiling, as they were measured."""
    return tuple(console.number((entry or {}).get(key)) for key in ("floor", "agent", "ceiling"))


def _refuse_unknown(option: str, value: str | None, known: set[str]) -> None:
    if value is not None and value not in known:
        raise UsageError(f"{option} {value!r}{suggestion(value, known)}")


def _summary(task: Task, entry: dict[str, Any] | None) -> dict[str, Any]:
    fields = ("id", "name", "task_type", "difficulty", "estimated_time", "description", "version")
    definition = task.definition()
    summary = {name: definition[name] for name in fields}
    return {
        **summary,
        "evaluation_criteria": task.evaluation_criteria,
        "tags": task.tags,
        "measured": entry,
    }


def _criteria(task: Task) -> str:
    return ", ".join(f"{key}={value}" for key, value in task.evaluation_criteria.items())


def show(
    task_id: TaskOrFile,
    *,
    prompt: Annotated[
        bool, typer.Option("--prompt", help="Print exactly what an agent is told.")
    ] = False,
    tasks_dir: TasksDir = None,
    json_: Json = False,
) -> None:
    """Show a task: its fields, or with --prompt what an agent is told."""
    task = find_task(task_id, tasks_dir)
    if prompt:
        from tasks import datasets
        from tasks.instance import Seed

        instance = datasets.draw(task, Seed.practice(task.id))
        text = datasets.description(task, instance)
        console.out_json({"id": task.id, "prompt": text}) if json_ else console.out_text(
            text.rstrip()
        )
    elif json_:
        console.out_json(task.definition())
    else:
        _show_fields(task)


def _show_fields(task: Task) -> None:
    rows = [
        ("id", task.id),
        ("name", task.name),
        ("type", task.task_type),
        ("difficulty", task.difficulty),
        ("estimated time", str(task.estimated_time)),
        ("version", task.version),
        ("data", ", ".join(f"{k}={v}" for k, v in task.data_requirements.items()) or "none"),
        ("criteria", _criteria(task) or "none"),
        ("tags", ", ".join(task.tags) or "none"),
    ]
    rows += [(k, str(v)) for k, v in task.metadata.items() if k != "tags"]
    for key, value in rows:
        console.out(f"{key + ':':<16}{console.printable(value)}")
    for text in (task.description, task.instructions):
        if text:
            console.out("\n" + "\n".join(console.printable(line) for line in text.splitlines()))


def config(task_id: TaskOrFile, file: Path, *, tasks_dir: TasksDir = None) -> None:
    """Write the task_config.json an agent reads, the definition under the key `task`."""
    task = find_task(task_id, tasks_dir)
    registry.register_task(task)
    console.out(str(registry.create_task_config(task.id, file)))


def create(
    *,
    task_id: Annotated[str | None, typer.Option("--id", help="The id of the new task.")] = None,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    task_type: Annotated[
        str | None, typer.Option("--type", help=f"One of {', '.join(TASK_TYPES)}.")
    ] = None,
    difficulty: Annotated[str | None, typer.Option(help="easy, medium or hard.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is about.")] = None,
    instructions: Annotated[str | None, typer.Option(help="What the agent is to do.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="KEY=VALUE", help="A data requirement; may be repeated."),
    ] = None,
    criterion: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A pass mark: min_accuracy=0.7; may be repeated."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; by default <id>.json.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; use defaults.")] = False,
    force: Annotated[bool, typer.Option(help="Replace the file if it is there.")] = False,
) -> None:
    """Create a task file: asks on a terminal, takes options elsewhere."""
    asking = sys.stdin.isatty() and not yes
    if task_id is None and not asking:
        raise UsageError("create needs --id where it cannot ask (and takes --type, --criterion …)")
    answer = _Answers(asking=asking)
    chosen_id = answer.text("Task id", task_id, "my_task")
    chosen_type = answer.choice("Task type", task_type, list(TASK_TYPES), "classification")
    definition = {
        "id": chosen_id,
        "name": answer.text("Name", name, chosen_id.replace("_", " ").title()),
        "task_type": chosen_type,
        "difficulty": answer.choice("Difficulty", difficulty, ["easy", "medium", "hard"], "medium"),
        "description": answer.text("Description", description, ""),
        "instructions": answer.text("Instructions for the agent", instructions, ""),
        "data_requirements": _pairs("--data", answer.pairs("Data, KEY=VALUE", data)),
        "evaluation_criteria": _pairs(
            "--criterion", answer.pairs(f"Criteria, such as {known_criteria()[0]}=0.7", criterion)
        ),
    }
    task = Task.from_dict(definition, source="create")
    _refuse_unmeasurable(task)
    _save(task, output, force=force)


def _refuse_unmeasurable(task: Task) -> None:
    """Refuse criteria that the task's data are never measured by, as a run would.

    Real data are left to the run: the packages that bring them need not be here yet.
    """
    from tasks import grading
    from tasks.instance import Seed
    from tasks.prepared import prepare

    if task.criteria and task.family is not None and task.family.tier != "K":
        grading.check_measurable(task, prepare(task, Seed.practice(task.id)).hidden)


def _save(task: Task, output: Path | None, *, force: bool) -> None:
    file = output or Path(f"{task.id}.json")
    if file.exists() and not force:
        raise UsageError(f"{file} exists; --force replaces it, --output names another")
    task.save(file)
    _write_schema(file.parent)
    console.out(str(file))
    console.say(f"next: aexp check {file}")


def _write_schema(folder: Path) -> None:
    """Put the JSON Schema beside the task, where its `$schema` points."""
    shipped = Path(__file__).parent.parent / SCHEMA_NAME
    target = folder / SCHEMA_NAME
    if not target.exists():
        write_text(target, shipped.read_text(encoding="utf-8"))


class _Answers:
    """Options where they are given, questions where asking is possible, else defaults."""

    def __init__(self, *, asking: bool) -> None:
        self.asking = asking

    def text(self, question: str, given: str | None, default: str) -> str:
        if given is not None or not self.asking:
            return default if given is None else given
        answer: str = typer.prompt(question, default=default, err=True)
        return answer

    def choice(self, question: str, given: str | None, choices: list[str], default: str) -> str:
        """Ask until the answer is one of `choices`; a wrong option is the spec's to refuse."""
        if given is not None or not self.asking:
            return given or default
        while True:
            answer: str = typer.prompt(
                f"{question} ({', '.join(choices)})", default=default, err=True
            )
            if answer in choices:
                return answer
            console.say(f"{answer!r} is none of these")

    def pairs(self, question: str, given: list[str] | None) -> list[str]:
        if given or not self.asking:
            return given or []
        answer: str = typer.prompt(f"{question}; several with spaces", default="", err=True)
        return answer.split()


def _pairs(option: str, pairs: list[str]) -> dict[str, Any]:
    import json

    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"{option} {pair!r}: give KEY=VALUE")
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text  # a bare word is a string
    return found
