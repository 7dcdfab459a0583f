"""`DataGenerator`: training data of every family, by one call each."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from tasks.errors import InvalidInput
from tasks.families import (
    Anomaly,
    Causal,
    Classification,
    Clustering,
    Family,
    ImageClassification,
    Imbalanced,
    MultiLabel,
    MultiModal,
    Regression,
    Relational,
    Survival,
    TabularMissing,
    TextClassification,
    TimeSeries,
)
from tasks.instance import Blob, Instance, Seed, Streams, Table

if TYPE_CHECKING:
    import pandas as pd


PERIOD = 24
"""Time steps per season, unless the series is too short for three of them."""


class DataGenerator:
    """Labelled data for trying things out, from the same families that tasks draw from.

    A method returns the training part of an instance; row order means nothing, except in time.
    With an integer `random_state` a call gives the same data each time, whatever was called
    before: the training rows of a task with the same parameters, under `--seed`. With None each
    call gives new data.

    Every method raises `InvalidInput` where a parameter is out of range, and `InvalidTask` where
    each is in range but all together are impossible, such as many classes in very short texts.
    """

    def __init__(self, random_state: int | None = None) -> None:
        """Take an integer for repeatable data, None for new data at each call."""
        self.random_state = random_state

    def generate_classification_dataset(
        self, n_samples: int = 1000, n_features: int = 10, n_classes: int = 3
    ) -> "pd.DataFrame":
        """Draw classes that depend on six tenths of the columns; 93 % accuracy is possible.

        Returns:
            `n_samples` rows: float64 `f0` … `f<n_features - 1>`, each with mean 0 and variance 1;
            int64 `target` in 0 … n_classes - 1, where every class occurs.
        """
        return self._frame(Classification, locals())

    def generate_regression_dataset(
        self, n_samples: int = 1000, n_features: int = 8
    ) -> "pd.DataFrame":
        """Draw a number that depends on some of the columns; an R² of 0.9 is possible.

        Returns:
            `n_samples` rows: float64 `f0` … `f<n_features - 1>`, each with mean 0 and variance 1;
            float64 `target`.
        """
        return self._frame(Regression, locals())

    def generate_imbalanced_dataset(
        self, n_samples: int = 1000, imbalance_ratio: float = 0.1, n_features: int = 10
    ) -> "pd.DataFrame":
        """Draw two classes, the positive one rare.

        Args:
            n_samples: Rows.
            imbalance_ratio: Positives per negative, in (0, 1]; 0.1 gives about 91 positives in
                1,000 rows.
            n_features: Columns besides the target.

        Returns:
            `n_samples` rows: float64 `f0` … `f<n_features - 1>`; int64 `target` in {0, 1}; both
            classes occur.
        """
        return self._frame(Imbalanced, locals())

    def generate_missing_values_dataset(
        self,
        n_samples: int = 1000,
        n_features: int = 10,
        n_classes: int = 3,
        *,
        missing_rate: float = 0.1,
        mechanism: Literal["MCAR", "MAR"] = "MCAR",
        ceiling: float = 0.9,
    ) -> "pd.DataFrame":
        """Draw classes of several Gaussian components each, then lose cells.

        Args:
            n_samples: Rows.
            n_features: Columns besides the target.
            n_classes: Classes, equally likely.
            missing_rate: Expected share of missing cells.
            mechanism: MCAR, any cell alike; or MAR, where `f0` is never missing and decides how
                likely each other cell is.
            ceiling: The best accuracy possible; the more cells are lost, the lower it must be.

        Returns:
            `n_samples` rows: float64 `f0` … `f<n_features - 1>`, NaN where missing; int64
            `target` in 0 … n_classes - 1, where every class occurs.
        """
        return self._frame(TabularMissing, locals())

    def generate_clustering_dataset(
        self, n_samples: int = 1000, n_features: int = 8, n_clusters: int = 4
    ) -> "pd.DataFrame":
        """Draw points of Gaussian clusters, unequal in size and shape, which overlap.

        Returns:
            `n_samples` rows: float64 `f0` … `f<n_features - 1>`; int64 `target`, the cluster each
            point was drawn from, in 0 … n_clusters - 1.
        """
        return self._hidden_frame(Clustering, locals())

    def generate_anomaly_dataset(
        self, n_samples: int = 1000, n_features: int = 8, *, contamination: float = 0.05
    ) -> "pd.DataFrame":
        """Draw rows of three normal groups, and a few that lie farther out.

        Returns:
            `n_samples` rows: float64 `f0` … `f<n_features - 1>`; int64 `target`, 1 for the share
            of `contamination` that are anomalies.
        """
        return self._hidden_frame(Anomaly, locals())

    def generate_multilabel_dataset(
        self,
        n_samples: int = 1000,
        n_features: int = 10,
        n_labels: int = 5,
        *,
        chain: bool = False,
    ) -> "pd.DataFrame":
        """Draw rows that have several labels or none; 90 % of them can be told right.

        Args:
            n_samples: Rows.
            n_features: Columns besides the labels.
            n_labels: Labels.
            chain: Whether a label depends on the one before it, besides the columns.

        Returns:
            `n_samples` rows: float64 `f0` … `f<n_features - 1>`; int64
            `label_0` … `label_<n_labels - 1>` in {0, 1}.
        """
        return self._frame(MultiLabel, locals())

    def generate_relational_dataset(
        self, n_samples: int = 1000, n_features: int = 5, *, mean_events: int = 12
    ) -> dict[str, "pd.DataFrame"]:
        """Draw customers and their events, by which the class is decided.

        Returns:
            `customers`: int64 `id`, float64 `f0` … `f<n_features - 1>`, int64 `target` in {0, 1}.
            `events`, in the order of time: int64 `event_id` and `id` (of the customer), float64
            `day`, `kind` (a word), float64 `amount`.
        """
        instance = self._draw(Relational, locals())
        customers = _columns(instance, "train")
        events = _frame(_columns(instance, "events", but=()))
        return {
            "customers": _frame({"id": np.arange(n_samples), **customers}),
            "events": events[events["id"] < n_samples].reset_index(drop=True),
        }

    def generate_causal_dataset(
        self, n_samples: int = 1000, n_features: int = 8, *, confounding: float = 0.6
    ) -> "pd.DataFrame":
        """Draw an observational study, whose treated rows differ from the others beforehand.

        Returns:
            `n_samples` rows: float64 `f0` … `f<n_features - 1>`; int64 `treatment` in {0, 1};
            float64 `outcome`.
        """
        return self._frame(Causal, locals())

    def generate_survival_dataset(
        self, n_samples: int = 1000, n_features: int = 8, *, censored: float = 0.3
    ) -> "pd.DataFrame":
        """Draw times until an event, a share of them cut off before it came.

        Returns:
            `n_samples` rows: float64 `f0` … `f<n_features - 1>`; float64 `time`, days; int64
            `event`, 0 where the time is censored.
        """
        return self._frame(Survival, locals(), n_test=10)

    def generate_time_series_dataset(
        self,
        n_samples: int = 1000,
        n_features: int = 5,
        *,
        trend: bool = True,
        seasonality: bool = True,
    ) -> "pd.DataFrame":
        """Draw one series of a state-space model that other columns act on.

        Args:
            n_samples: Time steps, 50 or more.
            n_features: Columns that act on the series at the same time step.
            trend: Whether it has a slope.
            seasonality: Whether it repeats every 24 steps, or every `n_samples // 3` if fewer.

        Returns:
            `n_samples` rows in order of time: int64 `time` from 0 on; float64
            `x1` … `x<n_features>`, each with mean 0 and variance 1; float64 `target`.
        """
        return self._frame(
            TimeSeries,
            locals(),
            n_series=1,
            horizon=1,
            period=max(2, min(PERIOD, n_samples // 3)),
        ).drop(columns="series")

    def generate_text_classification_dataset(
        self,
        n_samples: int = 1000,
        n_classes: int = 3,
        *,
        mean_length: int = 30,
        ceiling: float = 0.9,
    ) -> "pd.DataFrame":
        """Draw texts whose classes differ in the order of words, not in how often words occur.

        Args:
            n_samples: Rows.
            n_classes: Classes, equally likely.
            mean_length: Words per text, from half to three halves of it.
            ceiling: The best accuracy possible; the shorter the texts, the lower it must be.

        Returns:
            `n_samples` rows: `text`, English words in lower case with a space between two; int64
            `target` in 0 … n_classes - 1, where every class occurs.
        """
        return self._frame(TextClassification, locals())

    def generate_image_classification_dataset(
        self, n_samples: int = 1000, image_size: tuple[int, int] = (32, 32), n_classes: int = 10
    ) -> dict[str, Any]:
        """Draw noisy glyphs of an alphabet, each at its own place; 97 % accuracy is possible.

        Args:
            n_samples: Images, 100 or more.
            image_size: Height and width, pixels.
            n_classes: Glyphs, equally frequent.

        Returns:
            `images`, (n_samples, height, width) uint8; `labels`, (n_samples,) int64 in
            0 … n_classes - 1; `metadata`, the parameters by name.
        """
        return self._arrays(ImageClassification, locals())

    def generate_multi_modal_dataset(
        self,
        n_samples: int = 1000,
        image_size: tuple[int, int] = (28, 28),
        n_text_features: int = 100,
        n_classes: int = 3,
    ) -> dict[str, Any]:
        """Draw an image and term counts per row; each tells of the class, both together more.

        Args:
            n_samples: Rows.
            image_size: Height and width, pixels.
            n_text_features: Terms that are counted.
            n_classes: Classes, equally frequent.

        Returns:
            `images`, (n_samples, height, width) uint8; `text_features`,
            (n_samples, n_text_features) int32 counts; `labels`, (n_samples,) int64 in
            0 … n_classes - 1; `metadata`, the parameters by name.
        """
        return self._arrays(MultiModal, locals())

    def _frame(self, family: type[Family], called: dict[str, Any], **fixed: Any) -> "pd.DataFrame":
        """Return the training rows; `called` are the `locals()` of a method at its start."""
        return _frame(_columns(self._draw(family, called, **fixed), "train"))

    def _hidden_frame(self, family: type[Family], called: dict[str, Any]) -> "pd.DataFrame":
        """Return hidden rows, which have labels where the training rows of a family have none."""
        instance = self._draw(family, called, n_test=called["n_samples"])
        return _frame({**_columns(instance, "test"), "target": _hidden_labels(instance)})

    def _arrays(self, family: type[Family], called: dict[str, Any]) -> dict[str, Any]:
        instance = self._draw(family, called)
        labels = _columns(instance, "train")["target"]
        return {**_archive(instance, "train.npz"), "labels": labels, "metadata": _given(called)}

    def _draw(self, family: type[Family], called: dict[str, Any], **fixed: Any) -> Instance:
        # The hidden rows are mostly not looked at, so one is enough.
        few = {"n_test": 1} if "n_test" in family.model_fields else {}
        try:
            checked = family.model_validate({**few, **fixed, **_given(called)})
        except ValidationError as error:
            raise InvalidInput(_first(error)) from error
        state = self.random_state
        seed = Seed.fresh() if state is None else Seed.public(state)
        return checked.draw(Streams(seed.secret))


def _given(called: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a method, whose names are those of the family's fields."""
    return {name: value for name, value in called.items() if name != "self"}


def _frame(columns: dict[str, NDArray[Any]]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(columns)


def _columns(
    instance: Instance, part: str, but: tuple[str, ...] = ("id",)
) -> dict[str, NDArray[Any]]:
    """Return a table without its ids, which mean nothing in most of them."""
    table = instance.public[part]
    if not isinstance(table, Table):
        raise TypeError(f"{part} is a {type(table).__name__}, not a table")
    columns = table.columns()
    return {name: values for name, values in columns.items() if name not in but}


def _hidden_labels(instance: Instance) -> NDArray[Any]:
    if instance.answers is None:
        raise TypeError("an instance without answers")
    return instance.answers.labels


def _archive(instance: Instance, name: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz file."""
    blob = instance.public[name]
    if not isinstance(blob, Blob):
        raise TypeError(f"{name} is a {type(blob).__name__}, not a file")
    with TemporaryDirectory() as folder:
        file = Path(folder) / name
        blob.write(file)
        with np.load(file, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    return f"{name} is {problem['input']!r}: {message}" if name else message
