"""The measures by name: what a criterion may ask for. The arithmetic is in `tasks.grading`."""

from dataclasses import dataclass
from typing import Literal

Needs = Literal["labels", "probabilities", "values", "quantiles", "clusters"]
"""What a submission must hold: class labels, class probabilities, numbers, quantiles, clusters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A named way to score predictions."""

    name: str
    needs: Needs
    greater_is_better: bool
    summary: str


def _measure(name: str, needs: Needs, *, greater: bool, summary: str) -> tuple[str, Measure]:
    return name, Measure(name=name, needs=needs, greater_is_better=greater, summary=summary)


MEASURES: dict[str, Measure] = dict(
    [
        _measure("accuracy", "labels", greater=True, summary="share of right classes"),
        _measure("balanced_accuracy", "labels", greater=True, summary="mean recall over classes"),
        _measure("f1", "labels", greater=True, summary="macro-averaged F1"),
        _measure("precision", "labels", greater=True, summary="macro-averaged precision"),
        _measure("recall", "labels", greater=True, summary="macro-averaged recall"),
        _measure("mcc", "labels", greater=True, summary="Matthews correlation (Gorodkin 2004)"),
        _measure("log_loss", "probabilities", greater=False, summary="mean -log p(class), nats"),
        _measure("brier", "probabilities", greater=False, summary="multi-class Brier score"),
        _measure("roc_auc", "probabilities", greater=True, summary="ROC AUC, one-vs-rest macro"),
        _measure("average_precision", "probabilities", greater=True, summary="macro average prec."),
        _measure("r2", "values", greater=True, summary="coefficient of determination"),
        _measure("rmse", "values", greater=False, summary="root mean squared error"),
        _measure("mse", "values", greater=False, summary="mean squared error"),
        _measure("mae", "values", greater=False, summary="mean absolute error"),
        _measure("mase", "values", greater=False, summary="MAE over in-sample seasonal-naive MAE"),
        _measure("pinball", "quantiles", greater=False, summary="mean pinball loss"),
        _measure("adjusted_rand", "clusters", greater=True, summary="adjusted Rand index"),
    ]
)

ALIASES = {
    "auc": "roc_auc",
    "f1_score": "f1",
    "f1_macro": "f1",
    "r2_score": "r2",
    "ari": "adjusted_rand",
}
"""Other names a criterion may use."""


def canonical(name: str) -> str:
    """Return the one name of a measure (`auc` → `roc_auc`); unknown names come back unchanged."""
    return ALIASES.get(name, name)
