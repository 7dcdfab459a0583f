"""Tables of a random structural causal model, on which knobs may be turned."""

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from tasks.families.base import (
    MOST_ROWS,
    Features,
    Interactions,
    Share,
    Square,
    check_ceiling,
    check_rows,
    is_square,
    sum_to_one,
)
from tasks.families.knobs import Knobs, LabelKnobs

MOST_COST = 1_000_000


def _check_costs(costs: Square | None, n_classes: int) -> None:
    if costs is None:
        return
    if not is_square(costs, n_classes):
        raise ValueError(f"costs must be {n_classes} by {n_classes}, a row per true class")
    cells = [cell for row in costs for cell in row]
    if any(not math.isfinite(cell) or abs(cell) > MOST_COST for cell in cells):
        raise ValueError(f"costs must be numbers from -{MOST_COST:,} to {MOST_COST:,}")
    if any(min(row) < row[k] for k, row in enumerate(costs)):
        raise ValueError("costs: in each row the right class must be the cheapest")


class Classification(LabelKnobs):
    """Classes from a random structural causal table, p(y | x) in closed form."""

    draws = "tasks.datasets.tabular:classification"
    spoiled = "tasks.datasets.spoiled:classification"
    tier = "E"

    n_features: Features = 10
    n_classes: Annotated[int, Field(ge=2, le=100)] = 3
    ceiling: Share = 0.93
    """Accuracy of the Bayes-optimal predictor, hit by a root find."""
    interactions: Interactions = 2
    """Product and box terms per class besides the additive ones."""
    prevalence: tuple[Annotated[float, Field(ge=0.001, lt=1.0)], ...] | None = Field(
        default=None, strict=False
    )
    """Share of each true class in train, before any label noise."""
    costs: Square | None = Field(default=None, strict=False)
    """What it costs to say a class (column) where another is true (row), for `expected_cost`."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check_rows(self.n_samples, self.n_classes)
        check_ceiling(self.ceiling, self.n_classes)
        if self.prevalence is not None:
            self._check_prevalence(self.prevalence)
        _check_costs(self.costs, self.n_classes)
        return self

    def _check_prevalence(self, prevalence: tuple[float, ...]) -> None:
        if len(prevalence) != self.n_classes or not sum_to_one(prevalence):
            raise ValueError(f"prevalence must be {self.n_classes} shares that sum to 1")
        if min(prevalence) * self.n_samples < 5:  # noqa: PLR2004 - fewer cannot be learnt from
            raise ValueError(
                f"prevalence {min(prevalence)} makes fewer than 5 of {self.n_samples} rows"
            )
        if max(prevalence) >= self.ceiling:
            raise ValueError(
                f"ceiling is {self.ceiling}; the commonest class alone is {max(prevalence)}"
            )


class Imbalanced(LabelKnobs):
    """Two classes of a random structural causal table, the positive one rare."""

    draws = "tasks.datasets.tabular:imbalanced"
    spoiled = "tasks.datasets.spoiled:imbalanced"
    tier = "E"

    n_features: Features = 10
    imbalance_ratio: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """Positives per negative in expectation; 0.1 gives about 91 positives in 1,000 rows."""
    sharpness: Annotated[float, Field(gt=0.0, le=1000.0)] = 4.0
    """How far the columns separate the classes."""
    costs: Square | None = Field(default=None, strict=False)
    """What it costs to say a class (column) where the other is true (row), for `expected_cost`."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _check_costs(self.costs, 2)
        positives = self.n_samples * self.imbalance_ratio / (1 + self.imbalance_ratio)
        if positives < 5:  # noqa: PLR2004 - fewer positives cannot be learnt from
            raise ValueError(
                f"n_samples is {self.n_samples}: at imbalance_ratio {self.imbalance_ratio} that is "
                f"{positives:.1f} positives; at least 5 are needed"
            )
        return self


class Regression(Knobs):
    """A number from a random structural causal table: a known f(x) plus known noise."""

    draws = "tasks.datasets.tabular:regression"
    spoiled = "tasks.datasets.spoiled:regression"
    tier = "E"

    n_samples: Annotated[int, Field(ge=30, le=MOST_ROWS)] = 1000
    n_features: Features = 8
    ceiling: Share = 0.9
    """R² of the Bayes-optimal predictor, hit by a root find."""
    interactions: Interactions = 2
    heteroscedastic: bool = False
    """Whether the noise grows with the size of a relevant column."""

    @model_validator(mode="after")
    def _knobs_keep_the_law_normal(self) -> Self:
        if self.shift == "label":
            raise ValueError("shift is label; a regression can have covariate or concept")
        if self.mechanism == "MNAR":
            raise ValueError("mechanism is MNAR; a regression can have MCAR or MAR")
        return self
