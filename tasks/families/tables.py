"""Other tables: missing cells, clusters, anomalies, effects, times until an event, label sets."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.families.base import (
    MOST_ROWS,
    AboveChance,
    Features,
    FewFeatures,
    Interactions,
    Sampled,
    Share,
    Told,
)

MAX_EVENTS = 5_000_000
"""Events are made in memory, five columns each."""


class TabularMissing(Told):
    """A Gaussian mixture per class with missing cells; posterior by marginalising them."""

    draws = "tasks.datasets.mixtures:tabular_missing"
    version = 2
    tier = "B"

    n_features: Annotated[int, Field(ge=2, le=50)] = 10
    n_classes: Annotated[int, Field(ge=2, le=20)] = 3
    missing_rate: Annotated[float, Field(ge=0.0, lt=0.9)] = 0.1
    mechanism: Literal["MCAR", "MAR"] = "MCAR"
    ceiling: Share = 0.9
    """Accuracy of the Bayes-optimal predictor of the cells that are left, hit by a root find."""


class Clustering(Told):
    """Points of a Gaussian mixture; the component of each test point is hidden."""

    draws = "tasks.datasets.mixtures:clustering"
    version = 2
    tier = "B"
    kinds = "n_clusters"

    n_features: FewFeatures = 8
    n_clusters: Annotated[int, Field(ge=2, le=50)] = 4
    ceiling: Share = 0.9
    """Share of points that the true mixture gives to the right component, hit by a root find."""


class Anomaly(Sampled):
    """Rows without labels, a few of them drawn from another known law than the rest."""

    draws = "tasks.datasets.anomaly:draw"
    version = 2
    tier = "B"

    n_samples: Annotated[int, Field(ge=100, le=MOST_ROWS)] = 2000
    n_features: FewFeatures = 8
    contamination: Annotated[float, Field(ge=0.001, le=0.4)] = 0.05
    """Expected share of anomalies, in train as in test."""
    kind: Literal["scattered", "dependence"] = "scattered"
    """Anomalies are wider spread, or odd only in how their columns go together."""
    ceiling: AboveChance = 0.95
    """ROC AUC of the Bayes-optimal ranking, hit by a root find."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        least = math.ceil(5 / self.contamination)
        if self.n_samples < least:
            raise ValueError(
                f"n_samples is {self.n_samples}; at contamination {self.contamination} at least "
                f"{least} rows are needed to hold 5 anomalies"
            )
        return self


class Causal(Sampled):
    """An observational table with confounding; the effect of treatment on each row is asked."""

    draws = "tasks.datasets.causal:draw"
    tier = "E"

    n_samples: Annotated[int, Field(ge=100, le=MOST_ROWS)] = 4000
    n_features: Features = 8
    confounding: Annotated[float, Field(ge=0.0, le=1.0)] = 0.6
    """How much treatment depends on the mean outcome rather than on other features."""
    heterogeneity: Annotated[float, Field(gt=0.0, le=10.0)] = 0.6
    """Standard deviation of the effect, over that of the mean outcome without treatment."""
    noise: Annotated[float, Field(ge=0.0, le=10.0)] = 0.5
    """Standard deviation of the noise, over the same."""
    interactions: Interactions = 1


class Survival(Sampled):
    """Right-censored times until an event, Weibull given the columns."""

    draws = "tasks.datasets.survival:draw"
    version = 2
    tier = "E"

    n_samples: Annotated[int, Field(ge=50, le=MOST_ROWS)] = 2000
    n_test: Annotated[int, Field(ge=10, le=5000)] = 2000
    """Hidden rows; every pair of them is compared."""
    n_features: Features = 8
    hazard: Literal["falling", "constant", "rising"] = "rising"
    """How it changes with time: a Weibull shape of 1/2, 1 or 2."""
    censored: Annotated[float, Field(ge=0.05, le=0.9)] = 0.3
    """Expected share of train rows whose event is not seen."""
    ceiling: AboveChance = 0.8
    """Concordance of the Bayes-optimal ranking, hit by a root find."""
    interactions: Interactions = 1

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.n_samples * (1 - self.censored) < 10:  # noqa: PLR2004 - events to learn from
            raise ValueError(
                f"n_samples is {self.n_samples}; at censored {self.censored} fewer than 10 events "
                f"would be seen"
            )
        return self


class Relational(Sampled):
    """Customers and a table of their events, whose aggregates decide the class."""

    draws = "tasks.datasets.relational:draw"
    version = 2
    tier = "E"

    n_samples: Annotated[int, Field(ge=50, le=1_000_000)] = 2000
    n_test: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    n_features: FewFeatures = 5
    """Columns of a customer; two of them matter."""
    mean_events: Annotated[int, Field(ge=2, le=1000)] = 12
    """Events per customer in expectation; from none to twice as many."""
    n_aggregates: Annotated[int, Field(ge=1, le=7)] = 4
    """Aggregates of the events that act on the class."""
    ceiling: Annotated[float, Field(ge=0.7, lt=1.0)] = 0.9
    """Accuracy of the Bayes-optimal predictor, hit by a root find."""
    interactions: Interactions = 1

    @model_validator(mode="after")
    def _possible(self) -> Self:
        n_events = (self.n_samples + self.test_rows) * self.mean_events
        if n_events > MAX_EVENTS:
            raise ValueError(
                f"n_samples, n_test and mean_events make {n_events:,} events; at most "
                f"{MAX_EVENTS:,} are possible"
            )
        return self


class MultiLabel(Sampled):
    """Several labels per row from a random structural causal table, in closed form."""

    draws = "tasks.datasets.multilabel:draw"
    version = 2
    tier = "E"

    n_samples: Annotated[int, Field(ge=30, le=MOST_ROWS)] = 2000
    n_features: Features = 10
    n_labels: Annotated[int, Field(ge=2, le=50)] = 5
    chain: bool = False
    """Whether a label depends on the one before it, besides the columns."""
    ceiling: AboveChance = 0.9
    """Share of labels that the Bayes-optimal predictor gets right, hit by a root find."""
    interactions: Interactions = 1
    """Product terms per label besides the additive ones."""
