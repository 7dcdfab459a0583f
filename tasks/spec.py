"""What a task file may say; everything wrong with one is found here, when it is loaded."""

import json
import math
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    field_validator,
)
from pydantic import model_validator as validator

from tasks import plugins
from tasks.errors import InvalidTask, UnknownName, brief, suggestion, word
from tasks.files import check_json, json_object, read_json, write_text
from tasks.measures import ALIASES, MEASURES, canonical

if TYPE_CHECKING:  # pydantic leaves the types of private attributes alone
    from tasks.families import Family

SCHEMA_NAME = "task.schema.json"
MAX_NAME = 255
"""Bytes of one file name, as file systems have it."""
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")

GUARANTEES = ("network", "filesystem", "memory", "pids", "cpu", "disk", "time")
"""What a runtime may enforce, and a task may demand."""

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
    "anomaly_detection": TaskType(family="anomaly", primary="roc_auc"),
    "causal_effect": TaskType(family="causal", primary="rmse"),
    "survival": TaskType(family="survival", primary="concordance"),
    "relational": TaskType(family="relational", primary="accuracy"),
    "multilabel": TaskType(family="multilabel", primary="macro_roc_auc"),
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
        return cls(
            key=key,
            bound="min" if bound == "min" else "max",
            subject=subject,
            threshold=_finite(value),
        )


def known_criteria() -> list[str]:
    """Every criterion key that needs no custom validator."""
    measured = {**MEASURES, **{alias: MEASURES[name] for alias, name in ALIASES.items()}}
    keys = [f"{'min' if m.greater_is_better else 'max'}_{n}" for n, m in measured.items()]
    return [*keys, "max_training_time", *(f"required_{name}" for name in ARTEFACTS)]


def _known(bound: str, subject: str, *, open_ended: bool) -> bool:
    if bound == "required":
        return subject in ARTEFACTS
    if open_ended:
        return bool(subject)
    if measure := MEASURES.get(subject):
        # A bound on the wrong side, such as `min_rmse`, would pass the worst and fail the best.
        return measure.greater_is_better == (bound == "min")
    return (bound, subject) == ("max", "training_time")


def _finite(value: Any) -> float:
    if not isinstance(value, bool) and isinstance(value, int | float):
        with suppress(OverflowError):  # an integer may be larger than any float
            number = float(value)
            if math.isfinite(number):
                return number
    raise ValueError(f"the threshold must be a finite number, not {brief(value)}")


def _required(value: Any) -> float | tuple[str, ...]:
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        for item in value:
            check_relative(item)
        return tuple(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return _finite(value)
    raise ValueError(f"must be a count or a list of names, not {brief(value)}")


def check_relative(name: str) -> str:
    """Refuse a path that could leave its folder.

    Raises:
        ValueError: `name` is absolute, climbs, is hidden, names nothing, holds control characters,
            or is longer than file systems allow.
    """
    path = PurePosixPath(name)
    # A dot at the front is what keys and settings hide behind, and what `..` begins with.
    hidden = any(part.startswith(".") for part in path.parts)
    plain = not path.is_absolute() and not hidden and name.isprintable()
    if not plain or not path.parts or max(len(part.encode()) for part in path.parts) > MAX_NAME:
        raise ValueError(f"{brief(name)} is not a plain relative path")
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
    estimated_time: StrictStr | StrictInt = ""
    """For people: minutes as a number, or words such as "30 minutes"."""
    data_requirements: dict[str, Any] = Field(default_factory=dict)
    """`generate_synthetic`, `dataset_type`, `copy_files`, and the parameters of the family."""
    evaluation_criteria: dict[str, Any] = Field(default_factory=dict)
    instructions: str = ""
    expected_outputs: list[str] | dict[str, str] = Field(default_factory=list)
    requires: dict[str, StrictBool] = Field(default_factory=dict)
    """Guarantees without which it is not run, such as `{"network": true}`."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Free; `tags` (list), `author`, `license` and `source` are shown."""
    version: str = "1.0"

    _folder: Path | None = PrivateAttr(default=None)
    _family: "Family | None" = PrivateAttr(default=None)
    _criteria: tuple[Criterion, ...] = PrivateAttr(default=())

    @validator(mode="before")
    @classmethod
    def _can_be_saved(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            check_json(dict(data))
        return data

    @field_validator("id")
    @classmethod
    def _plain_id(cls, value: str) -> str:
        if not ID.fullmatch(value) or ".." in value:
            raise ValueError(
                f"{brief(value)} is no task id: letters, digits, '_', '-' and '.', at most 80"
            )
        return value

    @field_validator("task_type")
    @classmethod
    def _known_type(cls, value: str) -> str:
        if value not in TASK_TYPES and value not in plugins.names("validator"):
            raise ValueError(f"no task type {brief(value)}{suggestion(value, TASK_TYPES)}")
        return value

    @field_validator("requires")
    @classmethod
    def _known_guarantees(cls, value: dict[str, bool]) -> dict[str, bool]:
        for name in value:
            if name not in GUARANTEES:
                raise ValueError(f"no guarantee {brief(name)}{suggestion(name, GUARANTEES)}")
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
    def family(self) -> "Family | None":
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
    def demands(self) -> tuple[str, ...]:
        """The guarantees that must be enforced while an agent works on it."""
        return tuple(name for name, wanted in self.requires.items() if wanted)

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
        """Return the task as its JSON object; every field is written out, demands if there are."""
        without = None if self.requires else {"requires"}
        return self.model_dump(mode="json", by_alias=True, exclude=without)

    def __eq__(self, other: object) -> bool:
        """Tasks are equal if their definitions are, wherever they were read from."""
        return isinstance(other, Task) and self.definition() == other.definition()

    def __hash__(self) -> int:
        return hash((self.id, self.version))

    # --- files -----------------------------------------------------------------------------------

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], *, source: str = "task", folder: Path | None = None
    ) -> Self:
        """Check a definition.

        Args:
            data: The JSON object.
            source: What a message calls it.
            folder: Where the files of `copy_files` lie.

        Raises:
            InvalidTask: One line: where, what is wrong, what would do.
        """
        try:
            task = cls.model_validate(data)
        except ValidationError as error:
            raise InvalidTask(f"{source}: {_explain(error, data)}") from error
        task._folder = folder  # noqa: SLF001 - its own class
        return task

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a task file.

        Raises:
            InvalidTask: The file cannot be read, is no JSON object, or says something unknown.
        """
        file = Path(path)
        return cls.from_file(read_json(file), file)

    @classmethod
    def from_file(cls, data: Any, file: Path) -> Self:
        """Check what was read from a task file.

        Raises:
            InvalidTask: It is no JSON object, or says something unknown.
        """
        folder = file.resolve().parent
        return cls.from_dict(json_object(data, file), source=str(file), folder=folder)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the definition, with `$schema` so that editors can check it; return the path."""
        file = Path(path)
        payload = {"$schema": self.schema_ or SCHEMA_NAME, **self.definition()}
        write_text(file, json.dumps(payload, indent=2, ensure_ascii=False) + "\n")
        return file


def _family_of(task: Task) -> "Family | None":
    wanted = dict(task.data_requirements)
    wanted.pop("copy_files", None)
    synthetic = wanted.pop("generate_synthetic", None)
    if synthetic is not None and not isinstance(synthetic, bool):
        raise ValueError(
            f"data_requirements.generate_synthetic must be a boolean: {brief(synthetic)}"
        )
    known = TASK_TYPES.get(task.task_type)
    name = wanted.pop("dataset_type", None)
    if name is None and known:
        name = known.family
    if name is None:
        if wanted:
            raise ValueError(
                f"data_requirements.{next(iter(wanted))}: name a dataset_type, one of "
                f"{', '.join(plugins.names('family'))}"
            )
        return None
    if not isinstance(name, str):
        raise ValueError(  # noqa: TRY004 - pydantic turns ValueError into ours
            f"data_requirements.dataset_type must be a name, not {brief(name)}"
        )
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
        raise ValueError(f"evaluation_criteria.{word(key)}: {error}") from error


def _first(error: ValidationError, known: list[str]) -> str:
    """Return `key.path: what is wrong` for the first problem of a pydantic error."""
    problem = error.errors(include_url=False)[0]
    path = ".".join(word(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = f"unknown key{suggestion(str(problem['loc'][-1]), known)}"
    elif problem["type"] not in {"value_error", "missing"}:
        message = f"{brief(problem['input'])}: {message[0].lower()}{message[1:]}"
    return f"{path}: {message}" if path else message


def _explain(error: ValidationError, data: Any) -> str:
    if not isinstance(data, Mapping):
        return f"a task must be a JSON object, not {brief(data)}"
    known = [field.alias or name for name, field in Task.model_fields.items()]
    return _first(error, known)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a task file, families and criteria included."""
    schema = Task.model_json_schema(by_alias=True)
    families = {name: plugins.load("family", name) for name in plugins.BUILT_IN["family"]}
    parameters: dict[str, Any] = {}
    for name, family in families.items():
        for key in family.model_fields:
            users = parameters.setdefault(key, {"description": "of"})
            users["description"] += f" {name}"
    properties = schema["properties"]
    properties["id"]["pattern"] = f"^{ID.pattern}$"
    properties["task_type"]["enum"] = sorted(TASK_TYPES)
    properties["requires"]["propertyNames"] = {"enum": list(GUARANTEES)}
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
