"""The measures by name: what a criterion may ask for. The arithmetic is in `tasks.grading`."""

from dataclasses import dataclass
from typing import Literal

Needs = Literal[
    "labels",
    "probabilities",
    "label_sets",
    "label_probabilities",
    "values",
    "quantiles",
    "clusters",
]
"""What a submission must hold: class labels, class probabilities, several labels per row, their
probabilities, numbers, quantiles, clusters."""


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
        _measure("kappa", "labels", greater=True, summary="Cohen's kappa (1960)"),
        _measure("quadratic_kappa", "labels", greater=True, summary="kappa, weights (i - j)²"),
        _measure("log_loss", "probabilities", greater=False, summary="mean -log p(class), nats"),
        _measure("brier", "probabilities", greater=False, summary="multi-class Brier score"),
        _measure("roc_auc", "probabilities", greater=True, summary="ROC AUC, one-vs-rest macro"),
        _measure("average_precision", "probabilities", greater=True, summary="macro average prec."),
        _measure("map_at_3", "probabilities", greater=True, summary="mean 1 / rank, first three"),
        _measure("map_at_5", "probabilities", greater=True, summary="mean 1 / rank, first five"),
        _measure("map_at_10", "probabilities", greater=True, summary="mean 1 / rank, first ten"),
        _measure("expected_cost", "labels", greater=False, summary="mean cost, by `costs`"),
        _measure(
            "macro_roc_auc", "label_probabilities", greater=True, summary="mean AUC over labels"
        ),
        _measure("macro_f1", "label_sets", greater=True, summary="mean F1 over labels"),
        _measure("micro_f1", "label_sets", greater=True, summary="F1 over rows and labels"),
        _measure("hamming_loss", "label_sets", greater=False, summary="share of wrong labels"),
        _measure("subset_accuracy", "label_sets", greater=True, summary="share of rows all right"),
        _measure("r2", "values", greater=True, summary="coefficient of determination"),
        _measure("rmse", "values", greater=False, summary="root mean squared error"),
        _measure("mse", "values", greater=False, summary="mean squared error"),
        _measure("mae", "values", greater=False, summary="mean absolute error"),
        _measure("mase", "values", greater=False, summary="MAE over in-sample seasonal-naive MAE"),
        _measure("ate_error", "values", greater=False, summary="error of the average effect"),
        _measure("concordance", "values", greater=True, summary="share of pairs in order"),
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
    "pehe": "rmse",
    "c_index": "concordance",
    "cohen_kappa": "kappa",
    "qwk": "quadratic_kappa",
    "map3": "map_at_3",
    "map5": "map_at_5",
    "map10": "map_at_10",
    "cost": "expected_cost",
}
"""Other names a criterion may use."""


def canonical(name: str) -> str:
    """Return the one name of a measure (`auc` → `roc_auc`); unknown names come back unchanged."""
    return ALIASES.get(name, name)
