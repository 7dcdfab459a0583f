"""Tables to be explored, and the facts that they can hold."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from tasks.families.base import Family

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
