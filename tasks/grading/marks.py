"""Marks: a score between the floor that needs no features and the ceiling nobody can pass."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tasks.files import json_fields
from tasks.grading import durations, label_sets
from tasks.grading.decide import APPROXIMATE, decide
from tasks.grading.measures import (
    EXPECTED_COST,
    Crossed,
    Estimate,
    estimate,
    hit_rate,
    labels_of,
    of_confusion,
    one_hot,
    top,
)
from tasks.grading.normal import quantile
from tasks.grading.prediction import Prediction
from tasks.instance import (
    Answers,
    Bernoulli,
    Categorical,
    Contract,
    Durations,
    Floats,
    Gaussian,
    Ints,
    Law,
    Mixture,
)
from tasks.measures import MEASURES

MANY_CELLS = 1_000_000
"""Rows times classes beyond which only the measures that were asked for are computed."""
WIDE = 16
"""Most quantile levels for which the usual measures include pinball loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a prediction is worth by one measure."""

    score: float
    """On the posterior where the law is known, else on the labels."""
    label_score: float
    """On the realised labels."""
    floor: float
    """The best predictor that needs no features."""
    ceiling: float | None
    """The Bayes-optimal decision for this measure; for real data the best of a recorded panel."""
    skill: float | None
    """(score - floor) / (ceiling - floor): 0 is trivial, 1 cannot be passed. Not clipped."""
    se: float
    """Standard error of the score over test rows."""
    label_se: float
    """Standard error of the score on labels: what grading on the posterior saves."""
    ceiling_se: float | None
    """Standard error of the ceiling over test rows; None for that of a panel."""
    approximate: bool = False
    """Whether the ceiling's decision is found by iteration instead of in closed form."""
    naive: float | None = None
    """Where test differs from train: the best decision for who believes it does not."""
    tier: str = "law"
    """`law`: the ceiling follows from the known law; `reference`: from a recorded panel."""

    def as_dict(self) -> dict[str, Any]:
        """Return the mark as a JSON object."""
        return json_fields(self)


class Marker:
    """Marks predictions of one instance; floors and ceilings are computed once."""

    def __init__(self, contract: Contract, answers: Answers) -> None:
        """Take the hidden side of an instance."""
        self._contract = contract
        self._answers = answers
        self._floors: dict[str, float] = {}
        self._ceilings: dict[str, Estimate] = {}
        self._ceiling_ses: dict[str, float] = {}
        self._naive: dict[str, float] = {}
        self._crossed: list[tuple[Prediction, Categorical, Crossed]] = []
        """What was crossed last: of one prediction most measures take the same two matrices."""

    def mark(self, name: str, prediction: Prediction) -> Mark:
        """Mark a prediction by the canonical measure `name`."""
        score = self._estimate(name, prediction, self._target)
        known = self._answers.law is not None
        label = self._on_labels(name, prediction) if known else score
        floor, ceiling = self.floor(name), self.ceiling(name)
        groups = self._answers.groups
        return Mark(
            score=score.value,
            label_score=label.value,
            floor=floor,
            ceiling=ceiling,
            skill=_skill(score.value, floor, ceiling),
            se=score.standard_error(groups),
            label_se=label.standard_error(groups),
            ceiling_se=self._ceiling_ses.get(name),
            approximate=name in APPROXIMATE,
            naive=self.naive(name),
            tier="law" if known else "reference",
        )

    def difference(self, name: str, one: Prediction, other: Prediction) -> tuple[float, float]:
        """Return by how much one prediction scores above another, and the standard error of that.

        Paired: what both do alike on a row cancels.
        """
        first = self._estimate(name, one, self._target)
        second = self._estimate(name, other, self._target)
        moved = Estimate(
            value=first.value - second.value, influence=first.influence - second.influence
        )
        return moved.value, moved.standard_error(self._answers.groups)

    def _on_labels(self, name: str, prediction: Prediction) -> Estimate:
        if name == "accuracy" and self._contract.kind == "classes":
            return hit_rate(prediction, self._answers.labels)  # all that is asked of a million rows
        return self._estimate(name, prediction, self._realised)

    def floor(self, name: str) -> float:
        """Return the score of the best predictor without features."""
        if name not in self._floors:
            scores = [
                self._estimate(name, self._trivial(name, values), self._target).value
                for values in self._answers.trivial.values()
            ]
            self._floors[name] = max(scores) if MEASURES[name].greater_is_better else min(scores)
        return self._floors[name]

    def ceiling(self, name: str) -> float | None:
        """Return the score of the best possible decision; None where nobody knows."""
        known = self.ceiling_estimate(name)
        return self._answers.reference.get(name) if known is None else known.value

    def ceiling_estimate(self, name: str) -> Estimate | None:
        """Return the ceiling with the influence of each row; None where no law is known."""
        law = self._answers.law
        if law is None:
            return None
        if name not in self._ceilings:
            best = self._decided(name, law)
            found = self._ceilings[name] = self._estimate(name, best, law)
            self._ceiling_ses[name] = found.standard_error(self._answers.groups)
        return self._ceilings[name]

    def naive(self, name: str) -> float | None:
        """Return the score of the best decision under the law of train; None where it is the same.

        On test rows whose law differs it may fall below the floor.
        """
        believed = self._answers.naive
        if believed is None:
            return None
        if name not in self._naive:
            best = self._decided(name, believed)
            self._naive[name] = self._estimate(name, best, self._target).value
        return self._naive[name]

    @cached_property
    def _realised(self) -> Law:
        labels = self._answers.labels
        if self._contract.kind == "multilabel":
            return Bernoulli(p=labels.astype(np.float64))
        if isinstance(self._answers.law, Durations):
            return durations.realised(labels)
        if self._contract.kind == "values":
            return Gaussian(mean=labels.astype(np.float64), sd=np.zeros(len(labels)))
        return Categorical(p=one_hot(labels, self._n_classes))

    @property
    def _target(self) -> Law:
        return self._answers.law or self._realised

    @property
    def _n_classes(self) -> int:
        return max(len(self._contract.classes), int(self._answers.labels.max(initial=0)) + 1)

    def _decided(self, name: str, law: Law) -> Prediction:
        return decide(name, law, self._contract.quantiles, self._contract.costs)

    def _trivial(self, name: str, values: Floats) -> Prediction:
        if self._contract.kind == "multilabel":
            return Prediction(label_p=values)
        if name == EXPECTED_COST:  # the commonest class may be the dearest to say of all
            return self._decided(name, Categorical(p=values))
        if values.ndim > 1:
            return Prediction(codes=top(values), p=values)
        target = self._target
        if isinstance(target, Durations):
            return Prediction(values=values)
        if not isinstance(target, Gaussian | Mixture):
            raise TypeError("a trivial prediction of classes must be (n, K) probabilities")
        # As wide as the residuals really are: no honest trivial forecaster could know it better.
        squares = (target.mean - values) ** 2 + target.sd**2
        spread = np.sqrt(_group_means(squares, self._answers.groups))
        quantiles = {q: values + quantile(q) * spread for q in self._contract.quantiles}
        return Prediction(values=values, quantiles=quantiles)

    def _estimate(self, name: str, prediction: Prediction, target: Law) -> Estimate:
        if isinstance(target, Bernoulli):
            return label_sets.estimate(name, prediction, target)
        if isinstance(target, Durations):
            return durations.concordance(prediction, target)
        function = of_confusion(name, self._contract.costs)
        if isinstance(target, Categorical) and function is not None:
            return self._cross(prediction, target).estimate(function)
        return estimate(name, prediction, target, self._answers.scale, self._contract.costs)

    def _cross(self, prediction: Prediction, target: Categorical) -> Crossed:
        """Return the classes of a prediction against the true ones, once for all its measures."""
        for said, true, crossed in self._crossed:
            if said is prediction and true is target:
                return crossed
        labels = self._answers.labels
        sure = target is self._realised and labels.min(initial=0) >= 0
        crossed = Crossed(target.p, labels_of(prediction), labels if sure else None)
        self._crossed = [(prediction, target, crossed), *self._crossed[:1]]
        return crossed


def _group_means(values: Floats, groups: Ints | None) -> Floats:
    """Return for each row the mean over its group, or over all rows where there are no groups."""
    if groups is None:
        return np.full(len(values), values.mean())
    means: Floats = np.bincount(groups, values) / np.maximum(np.bincount(groups), 1)
    return means[groups]


def measurable(prediction: Prediction, contract: Contract, answers: Answers) -> list[str]:
    """Return the usual measures that this prediction can be marked by, asked for or not."""
    if contract.kind == "clusters" or isinstance(answers.law, Durations):
        return ["adjusted_rand" if contract.kind == "clusters" else "concordance"]
    if contract.kind == "multilabel":
        usual = ["hamming_loss", "subset_accuracy", "micro_f1", "macro_f1"]
        if answers.labels.size > MANY_CELLS:
            return ["hamming_loss"]
        return usual if prediction.label_p is None else [*usual, "macro_roc_auc"]
    if contract.kind == "values":
        usual = ["r2", "rmse", "mae"] if answers.scale is None else ["mase", "mae", "rmse"]
        usual += ["ate_error"] if without_spread(answers) else []
        return [*usual, *(["pinball"] if 0 < len(prediction.quantiles) <= WIDE else [])]
    if len(answers.labels) * len(contract.classes) > MANY_CELLS:
        return ["accuracy"]
    usual = ["accuracy", "balanced_accuracy", "f1"]
    return usual if prediction.p is None else [*usual, "log_loss", "roc_auc"]


def without_spread(answers: Answers) -> bool:
    """Whether the answers are known numbers that nothing random acts on, such as effects."""
    return isinstance(answers.law, Gaussian) and not answers.law.sd.any()


def _skill(score: float, floor: float, ceiling: float | None) -> float | None:
    if ceiling is None or ceiling == floor:
        return None
    return (score - floor) / (ceiling - floor)
