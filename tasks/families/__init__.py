"""What `data_requirements` may say: one frozen class per family; its fields are the schema.

The classes are light, so that a task can be checked without loading numpy; the mathematics of a
family is the one module its `draws` names, called as `draw(params, streams) -> Instance`.
"""

from tasks.families.analysis import DEFAULT_FACTS, FACTS, DataAnalysis, Fact
from tasks.families.base import Family, Sampled, Tier
from tasks.families.bundled import Bundled
from tasks.families.knobs import Knobs, LabelKnobs
from tasks.families.media import ImageClassification, MultiModal, TextClassification
from tasks.families.sequences import TimeSeries
from tasks.families.tables import (
    Anomaly,
    Causal,
    Clustering,
    MultiLabel,
    Relational,
    Survival,
    TabularMissing,
)
from tasks.families.tabular import Classification, Imbalanced, Regression

__all__ = [
    "DEFAULT_FACTS",
    "FACTS",
    "Anomaly",
    "Bundled",
    "Causal",
    "Classification",
    "Clustering",
    "DataAnalysis",
    "Fact",
    "Family",
    "ImageClassification",
    "Imbalanced",
    "Knobs",
    "LabelKnobs",
    "MultiLabel",
    "MultiModal",
    "Regression",
    "Relational",
    "Sampled",
    "Survival",
    "TabularMissing",
    "TextClassification",
    "Tier",
    "TimeSeries",
]
