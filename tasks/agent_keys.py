"""Our own keys of an agent's entry, under `aexp:`, where MLE-bench does not look."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tasks.errors import InvalidInput, brief, suggestion, word
from tasks.outcome import Network
from tasks.spec import GUARANTEES

Name = Annotated[str, Field(min_length=1, max_length=200)]


class AgentLimits(BaseModel):
    """What an agent wants to be held to where the user says nothing; names as in `Limits`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    memory_bytes: Annotated[int, Field(ge=2**20)] | None = None
    cpus: Annotated[float, Field(gt=0)] | None = None
    pids: Annotated[int, Field(ge=1)] | None = None
    disk_bytes: Annotated[int, Field(ge=2**20)] | None = None
    shm_bytes: Annotated[int, Field(ge=2**16)] | None = None


class AgentKeys(BaseModel):
    """What an entry may say under `aexp:`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: dict[Name, Name] = {}
    """Names of models it calls, to the names the provider knows; a list stands for equal names."""
    network: Network = "none"
    requires: tuple[str, ...] = ()
    """Guarantees without which it is not to be run."""
    limits: AgentLimits = AgentLimits()
    setup: Name | None = None
    """A file of the folder that lists its packages, for `aexp agents setup`."""
    python: Annotated[str, Field(pattern=r"^3\.\d{1,2}$")] | None = None
    """The Python that they need."""

    @field_validator("models", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            return {name: name for name in value}
        return value

    @field_validator("requires")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in GUARANTEES:
                raise ValueError(f"no guarantee {brief(name)}{suggestion(name, GUARANTEES)}")
        return value

    @model_validator(mode="after")
    def _closed(self) -> Self:
        if "network" in self.requires and self.network != "none":
            raise ValueError(f"requires network, and network is {self.network}")
        return self

    @classmethod
    def read(cls, entry: Mapping[str, Any], where: str) -> Self:
        """Read the keys of an entry.

        Raises:
            InvalidInput: One is unknown or wrong.
        """
        given = entry.get("aexp") or {}
        if not isinstance(given, dict):
            raise InvalidInput(f"{where}: aexp must be a mapping of keys to values")
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            path = ".".join(word(part) for part in ("aexp", *problem["loc"]))
            hint = ""
            if problem["type"] == "extra_forbidden":
                known = AgentLimits if problem["loc"][0] == "limits" else cls
                hint = suggestion(str(problem["loc"][-1]), known.model_fields)
            said = problem["msg"].removeprefix("Value error, ")
            raise InvalidInput(f"{where}: {path}: {said}{hint}") from error

    def setup_file(self, folder: Path, where: str) -> Path | None:
        """Return the file that lists the packages.

        Raises:
            InvalidInput: It is not there, or lies elsewhere.
        """
        if self.setup is None:
            return None
        path = (folder / self.setup).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            raise InvalidInput(
                f"{where}: aexp.setup names {brief(self.setup)}, no file of its folder"
            )
        return path
