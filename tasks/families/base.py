"""What all families are, and the declarations that several of them share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks import plugins

if TYPE_CHECKING:
    from tasks.instance import Instance, Streams

Tier = Literal["E", "B", "M", "K"]
"""How the ceiling is known: exact, Bayes inversion, Monte Carlo, or a bracket by a panel."""

MOST_ROWS = 100_000_000
MOST_HELD = 1_000_000_000
"""Cells of the families whose rows are all held in memory."""
MOST_PROBABILITIES = 100_000_000
"""Hidden rows times classes: the law of an instance is held in memory, 800 MB of it."""

Rows = Annotated[int, Field(ge=1, le=MOST_ROWS)]
Features = Annotated[int, Field(ge=2, le=1000)]
FewFeatures = Annotated[int, Field(ge=2, le=100)]
Interactions = Annotated[int, Field(ge=0, le=50)]
"""Product terms besides the additive ones."""
Share = Annotated[float, Field(gt=0.0, lt=1.0)]
AboveChance = Annotated[float, Field(gt=0.55, lt=1.0)]
"""A ceiling of what gives 0.5 to a coin."""
Square = tuple[Annotated[tuple[float, ...], Field(strict=False)], ...]
"""A number per true class (row) and class said (column)."""


class Family(BaseModel):
    """Base of all families. Subclasses add fields; a wrong value is refused when a task loads."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    draws: ClassVar[str]
    """`module:function` of the mathematics."""
    version: ClassVar[int] = 1
    """Raised whenever the same seed would give other data."""
    tier: ClassVar[Tier]

    def draw(self, streams: "Streams") -> "Instance":
        """Make the instance that the seed behind `streams` stands for."""
        instance: Instance = plugins.resolve(self.draws)(self, streams)
        return instance


class Sampled(Family):
    """A family that can make any number of rows."""

    n_samples: Rows = 1000
    """Labelled rows the agent gets."""
    n_test: Rows | None = None
    """Hidden rows; by default a quarter of n_samples, but 2,000 to 20,000."""

    most_cells: ClassVar[int] = 5_000_000_000
    """Rows times columns (or pixels, words)."""

    @property
    def test_rows(self) -> int:
        """The number of hidden rows."""
        return self.n_test or min(max(self.n_samples // 4, 2000), 20_000)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Refuse what no machine could draw: a task file may be a stranger's."""
        height, width = getattr(self, "image_size", (0, 0))
        names = ("n_features", "n_text_features", "mean_length")
        per_row = max(1, height * width + sum(getattr(self, name, 0) for name in names))
        cells = (self.n_samples + self.test_rows) * per_row
        if cells > self.most_cells:
            raise ValueError(
                f"n_samples is {self.n_samples}: with n_test that is {cells:,} cells of data; "
                f"at most {self.most_cells:,} are possible"
            )
        kinds = max(getattr(self, name, 1) for name in ("n_classes", "n_clusters", "n_labels"))
        if self.test_rows * kinds > MOST_PROBABILITIES:
            raise ValueError(
                f"n_test is {self.test_rows}: with {kinds} classes that is more than "
                f"{MOST_PROBABILITIES:,} probabilities to be kept"
            )
        return self


class Told(Sampled):
    """Rows of several kinds that can be told apart up to a ceiling."""

    kinds: ClassVar[str] = "n_classes"
    ceilings: ClassVar[tuple[str, ...]] = ("ceiling",)

    @model_validator(mode="after")
    def _can_be_told(self) -> Self:
        n_kinds = getattr(self, self.kinds)
        for name in self.ceilings:
            check_rows(self.n_samples, n_kinds)
            if (ceiling := getattr(self, name)) <= 1.2 / n_kinds:
                raise ValueError(f"{name} is {ceiling}; it must exceed {1.2 / n_kinds:.3f} here")
        return self


def check_rows(n_samples: int, n_classes: int) -> None:
    """Refuse fewer than ten rows a class."""
    if n_samples < 10 * n_classes:
        raise ValueError(
            f"n_samples is {n_samples}; {n_classes} classes need at least {10 * n_classes}"
        )


def check_ceiling(ceiling: float, n_classes: int) -> None:
    """Refuse a ceiling that guessing nearly reaches."""
    if ceiling <= 1.2 / n_classes:
        raise ValueError(f"ceiling is {ceiling}; it must exceed 1.2 / n_classes")


def check_ascending(name: str, values: Sequence[float]) -> None:
    """Refuse values that are out of order, or there twice."""
    if list(values) != sorted(set(values)):
        raise ValueError(f"{name} are {list(values)}; they must ascend")


def is_square(rows: Square, n_classes: int) -> bool:
    """Whether there is a number for each pair of classes."""
    return len(rows) == n_classes and all(len(row) == n_classes for row in rows)


def sum_to_one(shares: Sequence[float]) -> bool:
    """Whether shares make a whole, but for the rounding of decimals."""
    return abs(sum(shares) - 1) <= 1e-9  # noqa: PLR2004 - rounding of decimals
