"""What a task file may say; everything wrong with one is found here, when it is loaded."""

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator
from pydantic import model_validator as validator

from tasks import plugins
from tasks.errors import InvalidTask, UnknownName, suggestion
from tasks.families import Family
from tasks.measures import ALIASES, MEASURES, canonical

SCHEMA_NAME = "task.schema.json"
MAX_FILE_BYTES = 2**20
MAX_DEPTH = 50
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")

Difficulty = Literal["easy", "medium", "hard"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskType:
    """What a task type implies where the file is silent."""

    family: str | None
    primary: str | None
    """The measure that `overall_score` is made of, unless a criterion names one."""


TASK_TYPES: dict[str, TaskType] = {
    "classification": TaskType(family="classification", primary="accuracy"),
    "regression": TaskType(family="regression", primary="r2"),
    "time_series": TaskType(family="time_series", primary="mase"),
    "data_analysis": TaskType(family="data_analysis", primary=None),
    "deep_learning": TaskType(family="image_classification", primary="accuracy"),
    "image_classification": TaskType(family="image_classification", primary="accuracy"),
    "text_classification": TaskType(family="text_classification", primary="accuracy"),
    "clustering": TaskType(family="clustering", primary="adjusted_rand"),
    "multi_modal": TaskType(family="multi_modal", primary="accuracy"),
    "general": TaskType(family=None, primary=None),
    "custom": TaskType(family=None, primary=None),
}

ARTEFACTS = ("files", "insights", "models", "visualizations")
"""What `required_…` may ask for."""

OPEN_TYPES = frozenset({"custom", "general"})
"""Types whose criteria may name scores that only their own validator knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One pass mark: `min_accuracy: 0.7` is bound `min`, subject `accuracy`, threshold 0.7."""

    key: str
    bound: Literal["min", "max", "required"]
    subject: str
    threshold: float | tuple[str, ...]

    @classmethod
    def parse(cls, key: str, value: Any, *, open_ended: bool = False) -> Self:
        """Split a key of `evaluation_criteria`.

        Args:
            key: `min_<measure>`, `max_<measure>`, `max_training_time` or `required_<artefact>`.
            value: The threshold: a finite number; for `required_…` a count or a list of names.
            open_ended: Whether measures nobody knows are left to a custom validator.

        Raises:
            ValueError: The key is unknown, or the value does not fit it.
        """
        bound, _, subject = key.partition("_")
        subject = canonical(subject)
        if bound not in {"min", "max", "required"} or not _known(
            bound, subject, open_ended=open_ended
        ):
            raise ValueError(f"unknown criterion{suggestion(key, known_criteria())}")
        if bound == "required":
            return cls(key=key, bound="required", subject=subject, threshold=_required(value))
        if isinstance(value, bool) or not isinstance(value, int | float) or value - value != 0:
            raise ValueError(f"the threshold must be a finite number, not {value!r}")
        return cls(
            key=key,
            bound="min" if bound == "min" else "max",
            subject=subject,
            threshold=float(value),
        )


def known_criteria() -> list[str]:
    """Every criterion key that needs no custom validator."""
    keys = [f"{'min' if m.greater_is_better else 'max'}_{n}" for n, m in MEASURES.items()]
    keys += [f"min_{alias}" for alias in ALIASES]
    return [*keys, "max_training_time", *(f"required_{name}" for name in ARTEFACTS)]


def _known(bound: str, subject: str, *, open_ended: bool) -> bool:
    if bound == "required":
        return subject in ARTEFACTS
    if open_ended:
        return bool(subject)
    return subject in MEASURES or (bound, subject) == ("max", "training_time")


def _required(value: Any) -> float | tuple[str, ...]:
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        for item in value:
            check_relative(item)
        return tuple(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return float(value)
    raise ValueError(f"must be a count or a list of names, not {value!r}")


def check_relative(name: str) -> str:
    """Refuse a path that could leave its folder.

    Raises:
        ValueError: `name` is absolute, climbs, or holds control characters.
    """
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or not name.isprintable():
        raise ValueError(f"{name!r} is not a plain relative path")
    return name


class Task(BaseModel):
    """A task definition. Unknown keys, criteria and parameters are errors when it is made."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    id: str
    name: str = ""
    description: str = ""
    task_type: str
    difficulty: Difficulty = "medium"
    estimated_time: str | int = ""
    """For people: minutes as a number, or words such as "30 minutes"."""
    data_requirements: dict[str, Any] = Field(default_factory=dict)
    """`generate_synthetic`, `dataset_type`, `copy_files`, and the parameters of the family."""
    evaluation_criteria: dict[str, Any] = Field(default_factory=dict)
    instructions: str = ""
    expected_outputs: list[str] | dict[str, str] = Field(default_factory=list)
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Free; `tags` (list), `author`, `license` and `source` are shown."""
    version: str = "1.0"

    _folder: Path | None = PrivateAttr(default=None)
    _family: Family | None = PrivateAttr(default=None)
    _criteria: tuple[Criterion, ...] = PrivateAttr(default=())

    @field_validator("id")
    @classmethod
    def _plain_id(cls, value: str) -> str:
        if not ID.fullmatch(value) or ".." in value:
            raise ValueError(
                f"{value[:100]!r} is no task id: letters, digits, '_', '-' and '.', at most 80"
            )
        return value

    @field_validator("task_type")
    @classmethod
    def _known_type(cls, value: str) -> str:
        if value not in TASK_TYPES and value not in plugins.names("validator"):
            raise ValueError(f"no task type {value!r}{suggestion(value, TASK_TYPES)}")
        return value

    @validator(mode="after")
    def _complete(self) -> Self:
        if not self.name:
            # The model is frozen for callers; its own derived default is not a change.
            object.__setattr__(self, "name", self.id.replace("_", " ").replace("-", " ").title())
        self._family = _family_of(self)
        self._criteria = tuple(
            _criterion(key, value, open_ended=self.task_type not in TASK_TYPES.keys() - OPEN_TYPES)
            for key, value in self.evaluation_criteria.items()
        )
        self.copy_files  # noqa: B018 - checked now, not half-way through a run
        return self

    # --- what the file means -------------------------------------------------------------------

    @property
    def family(self) -> Family | None:
        """The checked parameters of the data; None where the task has no generated data."""
        return self._family

    @property
    def criteria(self) -> tuple[Criterion, ...]:
        """The pass marks, in the order of the file."""
        return self._criteria

    @property
    def folder(self) -> Path | None:
        """Where the task file lies; None for a task made in memory."""
        return self._folder

    @property
    def tags(self) -> list[str]:
        """The tags, as text."""
        tags = self.metadata.get("tags", [])
        return [str(tag) for tag in tags] if isinstance(tags, list) else []

    @property
    def copy_files(self) -> list[str]:
        """Files beside the task file that the agent gets as they are."""
        value = self.data_requirements.get("copy_files", [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError("data_requirements.copy_files must be a list of file names")
        return [check_relative(item) for item in value]

    @property
    def primary_measure(self) -> str | None:
        """The measure behind `overall_score`: the first criterion's, else the type's own."""
        for criterion in self.criteria:
            if criterion.subject in MEASURES:
                return criterion.subject
        known = TASK_TYPES.get(self.task_type)
        return known.primary if known else None

    def definition(self) -> dict[str, Any]:
        """Return the task as its JSON object, every field written out."""
        return self.model_dump(mode="json", by_alias=True)

    # --- files -----------------------------------------------------------------------------------

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, source: str = "task") -> Self:
        """Check a definition.

        Raises:
            InvalidTask: One line: where, what is wrong, what would do.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise InvalidTask(f"{source}: {_explain(error, data)}") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a task file.

        Raises:
            InvalidTask: The file cannot be read, is no JSON object, or says something unknown.
        """
        file = Path(path)
        task = cls.from_dict(read_json_object(file), source=str(file))
        task._folder = file.resolve().parent  # noqa: SLF001 - its own class
        return task

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the definition, with `$schema` so that editors can check it; return the path."""
        file = Path(path)
        payload = {"$schema": self.schema_ or SCHEMA_NAME, **self.definition()}
        write_text(file, json.dumps(payload, indent=2, ensure_ascii=False) + "\n")
        return file


def _family_of(task: Task) -> Family | None:
    wanted = dict(task.data_requirements)
    wanted.pop("copy_files", None)
    synthetic = wanted.pop("generate_synthetic", None)
    if synthetic is not None and not isinstance(synthetic, bool):
        raise ValueError(f"data_requirements.generate_synthetic must be a boolean: {synthetic!r}")
    known = TASK_TYPES.get(task.task_type)
    name = wanted.pop("dataset_type", None) or (known.family if known else None)
    if name is None:
        if wanted:
            raise ValueError(
                f"data_requirements.{next(iter(wanted))}: name a dataset_type, one of "
                f"{', '.join(plugins.names('family'))}"
            )
        return None
    if not isinstance(name, str):
        raise ValueError(f"data_requirements.dataset_type must be a name, not {name!r}")  # noqa: TRY004
    try:
        family: type[Family] = plugins.load("family", name)
    except UnknownName as error:
        raise ValueError(f"data_requirements.dataset_type: {error}") from error
    try:
        return family.model_validate(wanted)
    except ValidationError as error:
        known_keys = list(family.model_fields)
        raise ValueError(f"data_requirements.{_first(error, known_keys)}") from error


def _criterion(key: str, value: Any, *, open_ended: bool) -> Criterion:
    try:
        return Criterion.parse(key, value, open_ended=open_ended)
    except ValueError as error:
        raise ValueError(f"evaluation_criteria.{key}: {error}") from error


def _first(error: ValidationError, known: list[str]) -> str:
    """Return `key.path: what is wrong` for the first problem of a pydantic error."""
    problem = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = f"unknown key{suggestion(str(problem['loc'][-1]), known)}"
    elif problem["type"] not in {"value_error", "missing"}:
        message = f"{_short(problem['input'])}: {message[0].lower()}{message[1:]}"
    return f"{path}: {message}" if path else message


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - one line on a terminal


def _explain(error: ValidationError, data: Any) -> str:
    if not isinstance(data, Mapping):
        return f"a task must be a JSON object, not {_short(data)}"
    known = [field.alias or name for name, field in Task.model_fields.items()]
    return _first(error, known)


def read_json_object(file: Path) -> dict[str, Any]:
    """Read a JSON object somebody else wrote: size, depth and double keys are checked.

    Raises:
        InvalidTask: It cannot be read or is not one JSON object.
    """
    try:
        size = file.stat().st_size
        if not file.is_file():
            raise InvalidTask(f"{file}: not a regular file")
        if size > MAX_FILE_BYTES:
            raise InvalidTask(f"{file}: {size:,} bytes; a task file holds at most 1 MiB")
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InvalidTask(f"{file}: {reason}") from error
    try:
        data = json.loads(text, object_pairs_hook=_no_double_keys, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidTask(f"{file}: not valid JSON: {why}") from error
    if not isinstance(data, dict):
        raise InvalidTask(f"{file}: a task must be a JSON object, not {_short(data)}")
    if _depth(data) > MAX_DEPTH:
        raise InvalidTask(f"{file}: nested too deeply; at most {MAX_DEPTH} levels")
    return data


def _no_double_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands twice")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _depth(value: Any) -> int:
    deepest, stack = 0, [(value, 1)]
    while stack:
        item, depth = stack.pop()
        deepest = max(deepest, depth)
        children = item.values() if isinstance(item, dict) else item
        if isinstance(item, dict | list):
            stack.extend((child, depth + 1) for child in children)
    return deepest


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all: aside, then `os.replace`.

    Raises:
        OSError: It cannot be written; what was there before is untouched.
    """
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", text=True)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(aside, 0o644)  # noqa: PTH101 - mkstemp's 0600 is not what people expect of a file
        os.replace(aside, path)  # noqa: PTH105
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a task file, families and criteria included."""
    schema = Task.model_json_schema(by_alias=True)
    families = {name: plugins.load("family", name) for name in plugins.BUILT_IN["family"]}
    parameters: dict[str, Any] = {}
    for family in families.values():
        for key, value in family.model_json_schema().get("properties", {}).items():
            parameters.setdefault(key, {"description": value.get("description", "")})
    properties = schema["properties"]
    properties["task_type"]["enum"] = sorted(TASK_TYPES)
    properties["data_requirements"] = {
        "type": "object",
        "properties": {
            "generate_synthetic": {"type": "boolean"},
            "dataset_type": {"enum": sorted(families)},
            "copy_files": {"type": "array", "items": {"type": "string"}},
            **parameters,
        },
    }
    properties["evaluation_criteria"] = {
        "type": "object",
        "propertyNames": {"pattern": "^(min|max|required)_[a-z0-9_]+$"},
        "properties": {key: {"type": ["number", "array", "integer"]} for key in known_criteria()},
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Task", **schema}
