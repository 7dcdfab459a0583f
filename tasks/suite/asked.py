"""What a suite file may say; everything wrong with one is found here."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    ValidationError,
)

from tasks.amounts import n_bytes, seconds
from tasks.comparison.sequential import LOOKS, MOST_LOOKS
from tasks.errors import InvalidInput, word
from tasks.feedback import QUERIES, Feedback
from tasks.gateway import Access, Policy, by_wire, named_models
from tasks.outcome import Limits, Network, demanded
from tasks.suite.budget import Amount

MOST_BYTES: Final = 2**20


def _written(read: Callable[[str], float]) -> BeforeValidator:
    return BeforeValidator(lambda value: read(value) if isinstance(value, str) else value)


def _whole(value: Any) -> Any:
    return round(value) if isinstance(value, float) else value


Seconds = Annotated[float, _written(seconds)]
Bytes = Annotated[int, BeforeValidator(_whole), _written(n_bytes)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class LimitsFile(_Strict):
    """What one trial may use; the same words as the options of `aexp run`."""

    time: Seconds = Field(default=3600.0, gt=0)
    grace: Seconds = Field(default=10.0, ge=0)
    memory: Bytes | None = Field(default=None, gt=0)
    disk: Bytes = Field(default=20 * 2**30, gt=0)
    disk_wall: StrictBool = False
    cpus: float | None = Field(default=None, gt=0)
    pids: int | None = Field(default=4096, gt=0)
    network: Network = "none"
    gpus: StrictStr | None = None

    def limits(self) -> Limits:
        """Return them as the runner takes them."""
        return Limits(
            time_s=self.time,
            grace_s=self.grace,
            memory_bytes=self.memory,
            disk_bytes=self.disk,
            disk_wall=self.disk_wall,
            cpus=self.cpus,
            pids=self.pids,
            network=self.network,
            gpus=self.gpus,
        )


class DoorFile(_Strict):
    """What the agents may use of models; the same words as the options of `aexp run`."""

    models: tuple[StrictStr, ...] = ()
    """Further models that agents may call, or `name=name upstream` for those they call."""
    upstream: tuple[StrictStr, ...] = ()
    """URLs, each optionally as `anthropic=…`."""
    key_env: tuple[StrictStr, ...] = ()
    """Variables that hold the key, likewise."""
    requests: int | None = Field(default=None, ge=1)
    """Calls of one trial."""
    tokens: int | None = Field(default=None, ge=1)
    """Tokens of one trial."""
    cost: float | None = Field(default=None, gt=0)
    """US dollars of one trial."""
    prices: StrictStr | None = None
    """A table of prices, relative to the suite file, as the cassettes are."""
    record: StrictStr | None = None
    """A folder, where each trial records a cassette of its own."""
    replay: StrictStr | None = None
    """A folder of such cassettes, or one for all trials."""
    loose: bool = False

    def access(self) -> Access:
        """Return the grant; each trial then gets a cassette and a budget of its own.

        Raises:
            InvalidInput, UsageError: A wire or two cassettes that there are not.
        """
        return Access(
            urls=by_wire(self.upstream, "door.upstream"),
            key_env=by_wire(self.key_env, "door.key_env"),
            policy=Policy(requests=self.requests, tokens=self.tokens, cost_usd=self.cost),
            prices=_path(self.prices),
            record=_path(self.record),
            replay=_path(self.replay),
            loose=self.loose,
        )

    def named(self) -> dict[str, str]:
        """Return the names of models, to those upstream."""
        return named_models(self.models)

    def matters(self) -> dict[str, Any]:
        """Return what results depend on: no addresses, no paths."""
        found = self.model_dump(mode="json", exclude_defaults=True)
        kept = {key: found[key] for key in ("models", "requests", "tokens", "cost") if key in found}
        return kept | ({"replayed": True} if self.replay is not None else {})


def _path(given: str | None) -> Path | None:
    return None if given is None else Path(given)


class BudgetFile(_Strict):
    """What all trials of a suite together may spend on models."""

    tokens: int | None = Field(default=None, ge=1)
    cost: float | None = Field(default=None, gt=0)
    """US dollars."""

    def amount(self) -> Amount:
        """Return it as the runner takes it."""
        return Amount(tokens=self.tokens, cost_usd=self.cost)


class LooksFile(_Strict):
    """When a suite is looked at before its end; it stops at a look that settles it."""

    looks: int = Field(default=LOOKS, ge=1, le=MOST_LOOKS)
    baseline: StrictStr | None = None
    """The agent that all others are compared with; by default the first."""


class FeedbackFile(_Strict):
    """What agents may learn of their score while they work; as the options of `aexp run`."""

    mode: Literal["none", "validation"] = "none"
    """No practice: what was told its score on the graded rows is no result."""
    queries: int = Field(default=QUERIES, ge=1)

    def chosen(self) -> Feedback:
        """Return it as the runner takes it."""
        return Feedback(mode=self.mode, queries=self.queries)


class SuiteFile(_Strict):
    """A suite as its user wrote it."""

    name: StrictStr = Field(default="suite", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")
    tasks: tuple[StrictStr, ...] = ()
    """Ids, selectors such as `type:regression+difficulty:easy`, `tag:forecasting` and `all`, or
    task files and folders of them, relative to the suite file."""
    agents: tuple[StrictStr, ...] = ()
    """Ids of the registry or `command:python agent.py`, each optionally as `name=…`."""
    repeats: int = Field(default=1, ge=1, le=100_000)
    runtime: StrictStr = "local"
    limits: LimitsFile = LimitsFile()
    requires: tuple[StrictStr, ...] = ()
    """Guarantees that must be enforced, such as `network`; see `aexp doctor`."""
    trackers: tuple[StrictStr, ...] = ()
    """Names of trackers that are told of the trials."""
    door: DoorFile = DoorFile()
    feedback: FeedbackFile = FeedbackFile()
    budget: BudgetFile = BudgetFile()
    until_decided: LooksFile | None = None
    """`{}` for five looks."""
    attempts: int = Field(default=3, ge=1, le=100)
    """So many infrastructure faults end a trial."""
    keep_worlds: bool = False
    """Whether an agent's world and its public files stay once its outputs are collected."""
    tasks_dirs: tuple[StrictStr, ...] = ()
    """Folders of task files, relative to the suite file."""
    agents_dir: StrictStr | None = None
    """A folder of agents, relative to the suite file."""

    @classmethod
    def of(cls, data: Mapping[str, Any], *, source: str) -> Self:
        """Check what was asked.

        Raises:
            InvalidInput: One line on what is wrong.
        """
        try:
            found = cls.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(word(part) for part in first["loc"])
            known = ", ".join(cls.model_fields)
            said = first["msg"].removeprefix("Value error, ")
            hint = f"; known: {known}" if first["type"] == "extra_forbidden" else ""
            raise InvalidInput(f"{source}: {where}: {said}{hint}") from error
        demanded(found.requires, f"{source}: requires")
        return found


def is_path(task: str) -> bool:
    """Say whether a suite names a task by its file or folder: `mine.json`, `mine/`, `./mine`."""
    return ":" not in task and (task.endswith(".json") or os.sep in task)


def absolute(tasks: Iterable[str], here: Path) -> tuple[str, ...]:
    """Return what a suite names, files and folders by their whole path: it may go on elsewhere."""
    return tuple(str(here / task) if is_path(task) else task for task in tasks)


def load_suite(file: Path) -> SuiteFile:
    """Read a suite file.

    Raises:
        InvalidInput: It cannot be read or says something unknown.
    """
    try:
        content = file.read_bytes()
        if len(content) > MOST_BYTES:
            raise InvalidInput(f"{file}: {len(content):,} bytes; a suite file holds at most 1 MiB")
        data = yaml.safe_load(content)
    except OSError as error:
        raise InvalidInput(f"{file}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{file}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise InvalidInput(f"{file}: a suite must be a mapping with tasks and agents")
    given = SuiteFile.of(data, source=str(file))
    here = file.resolve().parent
    folders = [str(here / folder) for folder in given.tasks_dirs]
    agents_dir = None if given.agents_dir is None else str(here / given.agents_dir)
    named = given.door.model_dump(include={"prices", "record", "replay"}, exclude_none=True)
    door = given.door.model_copy(update={key: str(here / path) for key, path in named.items()})
    found = {
        "tasks": absolute(given.tasks, here),
        "tasks_dirs": tuple(folders),
        "agents_dir": agents_dir,
        "door": door,
    }
    return given.model_copy(update=found)
