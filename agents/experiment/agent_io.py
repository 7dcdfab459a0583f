"""What the agent reads and writes: its job, its log, its submission, its metrics.

The protocol is files and environment variables only; nothing of the harness is imported.
"""

import csv
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MLE_BENCH_HOME = Path("/home")
"""Where MLE-bench images keep data, submission, logs and code, when no variable says else."""

FOLDERS = ("workspace", "models", "results", "notebooks", "scripts", "configs")
LINKS = ("data", "code", "logs", "submission")
DEFAULT_TIME_LIMIT_S = 3600.0
TABLE_SUFFIXES = (".csv", ".parquet")
MANY_VALUES = 30
"""A numeric target with more distinct values than this is a number, not a class."""


class AgentError(Exception):
    """The job cannot be done; the text tells a person why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The form of a submission, as `task_config.json` gives it."""

    kind: str
    """`classes`, `multilabel`, `values` or `clusters`."""
    id_column: str = "id"
    target: str = "target"
    classes: tuple[str, ...] = ()
    quantiles: tuple[float, ...] = ()
    costs: tuple[tuple[float, ...], ...] = ()
    """(true, said) what each confusion of classes costs; empty where nothing is told."""
    file: str = "submission.csv"

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> "Form":
        """Read the object `submission` of a task config."""
        return cls(
            kind=str(given["kind"]),
            id_column=str(given.get("id_column", "id")),
            target=str(given.get("target", "target")),
            classes=tuple(str(name) for name in given.get("classes", [])),
            quantiles=tuple(float(level) for level in given.get("quantiles", [])),
            costs=tuple(tuple(map(float, row)) for row in given.get("costs", [])),
            file=str(given.get("file", "submission.csv")),
        )


class Log:
    """Steps with the seconds since the start, on stdout and in a file."""

    def __init__(self, started: float) -> None:
        """Count from `started`, a reading of `time.monotonic()`."""
        self.started = started
        self.file: Path | None = None

    def __call__(self, text: str) -> None:
        """Log one line."""
        line = f"[{time.monotonic() - self.started:8.2f} s] {text}"
        print(line, flush=True)
        if self.file is not None:
            with self.file.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One task as the agent sees it: what is asked, where things lie, when it ends."""

    task: Mapping[str, Any]
    form: Form | None
    data: Path
    experiment: Path
    submission: Path
    logs: Path
    code: Path
    deadline: float
    """On `time.monotonic()`; the work ends before it."""
    log: Log
    claims: dict[str, float] = field(default_factory=dict)
    """The agent's own estimates, by measure; written to results/metrics.json."""

    @property
    def results(self) -> Path:
        """Where figures, insights and metrics go."""
        return self.experiment / "results"

    @property
    def task_type(self) -> str:
        """What kind of task this is said to be."""
        return str(self.task.get("task_type") or os.environ.get("TASK_TYPE") or "general")

    @property
    def parameters(self) -> Mapping[str, Any]:
        """`data_requirements`: what the task says of its data."""
        given = self.task.get("data_requirements")
        return given if isinstance(given, Mapping) else {}

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def measure(self, known: Sequence[str], default: str) -> str:
        """Return the first measure of the pass marks that is in `known`."""
        for key in self.task.get("evaluation_criteria") or {}:
            subject = str(key).partition("_")[2]
            if subject in known:
                return subject
        return default

    # --- files ---------------------------------------------------------------------------------

    def find(self, name: str) -> Path | None:
        """Return the table `name` of the data folder, whatever its format; None if not there."""
        for suffix in TABLE_SUFFIXES:
            path = self.data / f"{name}{suffix}"
            if path.is_file():
                return path
        return None

    def table(self, name: str) -> "pd.DataFrame":
        """Read the table `name`; ids and class names come as text.

        Raises:
            AgentError: It is not there.
        """
        path = self.find(name)
        if path is None:
            there = ", ".join(sorted(entry.name for entry in self.data.iterdir())) or "nothing"
            raise AgentError(f"cannot find {name}.csv in {self.data}; there is: {there}")
        return read_table(path, self.text_columns())

    def text_columns(self) -> tuple[str, ...]:
        """Return the columns that are names, even where they look like numbers."""
        if self.form is None:
            return ()
        target = (self.form.target,) if self.form.kind == "classes" else ()
        return (self.form.id_column, *target)

    def submit(self, table: "pd.DataFrame") -> None:
        """Write the submission whole or not at all."""
        name = self.form.file if self.form else "submission.csv"
        target = self.submission / name
        aside = self.submission / f".{name}.aside"
        table.to_csv(aside, index=False)
        aside.replace(target)

    def submit_copy(self, source: Path) -> None:
        """Hand in a file as it is."""
        name = self.form.file if self.form else "submission.csv"
        aside = self.submission / f".{name}.aside"
        shutil.copyfile(source, aside)
        aside.replace(self.submission / name)

    def write_json(self, path: Path, payload: Any) -> None:
        """Write a JSON file whole or not at all."""
        aside = path.with_name(f".{path.name}.aside")
        aside.write_text(json.dumps(payload, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        aside.replace(path)

    def claim(self, **scores: float) -> None:
        """Record own estimates of scores, in results/metrics.json."""
        self.claims.update({name: round(float(value), 5) for name, value in scores.items()})
        self.write_json(self.results / "metrics.json", self.claims)


def read_table(path: Path, text_columns: Sequence[str] = ()) -> "pd.DataFrame":
    """Read a CSV or Parquet file.

    Raises:
        AgentError: It cannot be read as a table.
    """
    import pandas as pd

    try:
        if path.suffix == ".parquet":
            return _read_parquet(path, text_columns)
        return pd.read_csv(path, dtype=dict.fromkeys(text_columns, "str"), low_memory=False)
    except (OSError, ValueError) as error:
        raise AgentError(f"cannot read {path}: {error}") from error


def _read_parquet(path: Path, text_columns: Sequence[str]) -> "pd.DataFrame":
    import pandas as pd
    import polars as pl

    frame = pl.read_parquet(path)
    frame = frame.with_columns(
        pl.col(name).cast(pl.String) for name in text_columns if name in frame
    )
    return pd.DataFrame({column.name: column.to_list() for column in frame.iter_columns()})


# --- the job -----------------------------------------------------------------------------------


def read_job(env: Mapping[str, str], log: Log) -> Job:
    """Read the task and make the folders that are missing.

    Raises:
        AgentError: There is no data folder, or the config cannot be read.
    """
    data = Path(env.get("DATA_DIR") or MLE_BENCH_HOME / "data")
    if not data.is_dir():
        raise AgentError(f"no data folder {data}: set DATA_DIR")
    places = {name: _place(env, name) for name in ("submission", "logs", "code")}
    experiment = Path(env.get("EXPERIMENT_DIR") or MLE_BENCH_HOME / "experiments")
    _make_tree(experiment, {"data": data, **places})
    log.file = places["logs"] / "experiment.log"
    config = _read_config(env, data)
    form = config.get("submission")
    return Job(
        task=config.get("task") or {},
        form=Form.read(form) if form else infer_form(data),
        data=data,
        experiment=experiment,
        deadline=log.started + usable_seconds(env),
        log=log,
        submission=places["submission"],
        logs=places["logs"],
        code=places["code"],
    )


def usable_seconds(env: Mapping[str, str]) -> float:
    """Return how long to work: the limit less a margin for writing, and for a late start."""
    try:
        limit = float(env.get("TIME_LIMIT_SECS") or DEFAULT_TIME_LIMIT_S)
    except ValueError as error:
        raise AgentError(f"TIME_LIMIT_SECS is no number: {env['TIME_LIMIT_SECS']!r}") from error
    return max(limit - max(1.0, min(0.1 * limit, 60.0)), 0.5 * limit)


def _place(env: Mapping[str, str], name: str) -> Path:
    return Path(env.get(f"{name.upper()}_DIR") or MLE_BENCH_HOME / name)


def _make_tree(experiment: Path, places: Mapping[str, Path]) -> None:
    for name in FOLDERS:
        (experiment / name).mkdir(parents=True, exist_ok=True)
    for name in LINKS:
        if name != "data":
            places[name].mkdir(parents=True, exist_ok=True)
        link = experiment / name
        if not link.exists() and not link.is_symlink():
            link.symlink_to(places[name].resolve(), target_is_directory=True)


def _read_config(env: Mapping[str, str], data: Path) -> dict[str, Any]:
    named = env.get("TASK_CONFIG")
    candidates = [MLE_BENCH_HOME / "task_config.json", data / "task_config.json"]
    found = Path(named) if named else next((path for path in candidates if path.is_file()), None)
    if found is None:
        return {}  # an MLE-bench competition: description.md and tables, nothing for programs
    try:
        config = json.loads(found.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AgentError(f"cannot read the task config {found}: {error}") from error
    if not isinstance(config, dict):
        raise AgentError(f"the task config {found} is no JSON object")
    return config


def infer_form(data: Path) -> Form | None:
    """Guess the form from `sample_submission.csv`, as in MLE-bench; None if unclear.

    Understood are tables with one target column that stands in `train.csv`, too.
    """
    sample, train = data / "sample_submission.csv", data / "train.csv"
    if not sample.is_file() or not train.is_file():
        return None
    with sample.open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file), [])
    with train.open(encoding="utf-8", newline="") as file:
        known = next(csv.reader(file), [])
    if len(header) != 2 or header[1] not in known:  # noqa: PLR2004 - an id and a target
        return None
    return _form_of(train, *header)


def _form_of(train: Path, id_column: str, target: str) -> Form:
    import pandas as pd

    values = pd.read_csv(train, usecols=[target])[target].dropna()
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > MANY_VALUES:
        return Form(kind="values", id_column=id_column, target=target)
    classes = tuple(sorted(values.astype(str).unique()))
    return Form(kind="classes", id_column=id_column, target=target, classes=classes)
