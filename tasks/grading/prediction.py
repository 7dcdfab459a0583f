"""A submission in numbers, after every check."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.instance import Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What was predicted for each hidden row, aligned with `Contract.ids`; n rows, K classes.

    Which parts are there depends on `Contract.kind`: classes → `codes` and/or `p`;
    multilabel → `label_sets` and/or `label_p`; clusters → `codes`; values →
    `values` and perhaps `quantiles`.
    """

    codes: Ints | None = None
    """(n,) class codes, positions in `Contract.classes`; or any cluster numbers."""
    p: Floats | None = None
    """(n, K) probabilities; rows sum to 1."""
    label_sets: Ints | None = None
    """(n, K) 1 where a label is there, else 0."""
    label_p: Floats | None = None
    """(n, K) the probability of each label."""
    values: Floats | None = None
    """(n,) numbers."""
    quantiles: Mapping[float, Floats] = field(default_factory=dict)
    """By level, each (n,)."""
