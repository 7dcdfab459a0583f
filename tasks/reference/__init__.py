"""The reference panel: what standard models of scikit-learn reach on an instance, untuned."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.grading.normal import quantile
from tasks.grading.prediction import Prediction
from tasks.instance import Blob, Contract, Floats, Instance, Ints, Table
from tasks.reference import series
from tasks.scratch import scratch

DEFAULT_PIPELINE = "linear"
"""The panel's member that somebody in a hurry would run."""
FLAT_COLUMNS = 200
"""Most columns for which boosting is fitted; it would take minutes on flat images."""
CLOCK = "time"
"""The column that says that rows follow each other."""
FITTED_KINDS = frozenset({"classes", "multilabel", "values", "clusters"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One fitted model of the panel."""

    name: str
    prediction: Prediction
    seconds: float


def installed() -> bool:
    """Whether scikit-learn is there, which the extra `ml` brings."""
    return find_spec("sklearn") is not None


def panel(instance: Instance) -> Iterator[Reference]:
    """Fit the models that fit an instance: none for analyses, which `profile` is for.

    Of series each row is shown with values of a horizon before and further back.
    Several labels are learnt one by one; effects as the difference of two models, of the treated
    rows and of the others; times until an event from the logarithms of those that came; rows
    without labels are ranked by their distance from the rest, or by a forest that isolates them.
    Text is seen as word counts and images as flat pixels, so what order and neighbourhood tell is
    lost; extra tables are not looked at. That is the point: it shows what a task leaves to gain.
    """
    contract, train, test = instance.contract, *map(instance.public.get, ("train", "test"))
    if contract is None or not isinstance(train, Table) or not isinstance(test, Table):
        return
    known, asked = train.columns(), test.columns()
    if contract.kind not in FITTED_KINDS:
        return
    from threadpoolctl import threadpool_limits

    fit = _fit_for(contract, known)
    for name, model in _models(fit, instance).items():
        begin = time.perf_counter()
        if fit == "series":
            x, fresh = series.matrices(contract, known, asked)
        else:
            x, fresh = _matrices(instance, contract, known, asked)
        if name == "boosting" and x.shape[1] > FLAT_COLUMNS:
            continue
        # Threads that spin while they wait are slow where other work shares the cores.
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on convergence; the score tells
            prediction = _FITS[fit](model, contract, x, known, fresh)
        yield Reference(name=name, prediction=prediction, seconds=time.perf_counter() - begin)


def _fit_for(contract: Contract, known: Mapping[str, NDArray[Any]]) -> str:
    """Return what kind of learning the columns of the train table allow, a key of `_FITS`."""
    if contract.kind in {"multilabel", "clusters"}:
        return contract.kind
    if contract.target in known:
        ordered = contract.kind == "values" and CLOCK in known and known[CLOCK].dtype.kind == "i"
        return "series" if ordered else contract.kind
    if contract.kind == "classes":
        return "anomalies"
    return "effects" if "treatment" in known else "times"


# --- models ------------------------------------------------------------------------------------


def _models(kind: str, instance: Instance) -> dict[str, Any]:
    from sklearn.cluster import KMeans
    from sklearn.covariance import EmpiricalCovariance
    from sklearn.ensemble import (
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
        IsolationForest,
    )
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.mixture import GaussianMixture

    if kind == "clusters":
        # The number of clusters is told to agents, too.
        k = next(iter(instance.answers.trivial.values())).shape[1] if instance.answers else 2
        return {
            DEFAULT_PIPELINE: _scaled(KMeans(k, n_init=3, random_state=0)),
            "mixture": _scaled(GaussianMixture(k, n_init=3, random_state=0)),
        }
    if kind == "anomalies":
        return {
            DEFAULT_PIPELINE: EmpiricalCovariance(),
            "forest": IsolationForest(random_state=0),
        }
    if kind in {"classes", "multilabel"}:
        return {
            DEFAULT_PIPELINE: _scaled(LogisticRegression(max_iter=500)),
            "boosting": HistGradientBoostingClassifier(random_state=0),
        }
    return {
        DEFAULT_PIPELINE: _scaled(RidgeCV()),
        "boosting": HistGradientBoostingRegressor(random_state=0),
    }


def _scaled(model: Any) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(
        SimpleImputer(keep_empty_features=True), StandardScaler(with_mean=False), model
    )


def _clusters(
    model: Any, _: Contract, x: Any, __: Mapping[str, NDArray[Any]], fresh: Any
) -> Prediction:
    return Prediction(codes=np.asarray(model.fit(x).predict(fresh), dtype=np.int64))


def _classes(
    model: Any, contract: Contract, x: Any, known: Mapping[str, NDArray[Any]], fresh: Any
) -> Prediction:
    codes = _codes(known[contract.target], contract)
    p = np.zeros((fresh.shape[0], len(contract.classes)))
    labelled = codes >= 0
    model.fit(x[labelled], codes[labelled])
    p[:, model.classes_] = model.predict_proba(fresh)
    return Prediction(p=p)


def _labels(
    model: Any, contract: Contract, x: Any, known: Mapping[str, NDArray[Any]], fresh: Any
) -> Prediction:
    p = np.zeros((fresh.shape[0], len(contract.classes)))
    for k, name in enumerate(contract.classes):
        there = known[f"label_{name}"]
        p[:, k] = there.mean()
        if 0 < there.mean() < 1:
            p[:, k] = model.fit(x, there).predict_proba(fresh)[:, 1]
    return Prediction(label_p=p)


def _values(
    model: Any, contract: Contract, x: Any, known: Mapping[str, NDArray[Any]], fresh: Any
) -> Prediction:
    target = known[contract.target]
    labelled = np.isfinite(target)
    model.fit(x[labelled], target[labelled])
    values = model.predict(fresh)
    spread = float(np.std(target[labelled] - model.predict(x[labelled])))
    quantiles = {level: values + quantile(level) * spread for level in contract.quantiles}
    return Prediction(values=values, quantiles=quantiles)


def _series(
    model: Any, contract: Contract, x: Floats, known: Mapping[str, NDArray[Any]], fresh: Floats
) -> Prediction:
    rows = series.latest(known)
    x, target = x[rows], known[contract.target][rows]
    there = np.isfinite(target)
    x, scaled = x[there, :-2], (target[there] - x[there, -2]) / x[there, -1]
    model.fit(x, scaled)
    mean, sd = fresh[:, -2], fresh[:, -1]
    values = mean + sd * model.predict(fresh[:, :-2])
    spread = sd * float(np.std(scaled - model.predict(x)))
    quantiles = {level: values + quantile(level) * spread for level in contract.quantiles}
    return Prediction(values=values, quantiles=quantiles)


def _effects(
    model: Any, _: Contract, x: Any, known: Mapping[str, NDArray[Any]], fresh: Any
) -> Prediction:
    treated, outcome = known["treatment"] == 1, known["outcome"]
    off = model.fit(x[~treated], outcome[~treated]).predict(fresh)
    on = model.fit(x[treated], outcome[treated]).predict(fresh)
    return Prediction(values=on - off)


def _times(
    model: Any, _: Contract, x: Any, known: Mapping[str, NDArray[Any]], fresh: Any
) -> Prediction:
    came = known["event"] == 1
    return Prediction(values=model.fit(x[came], np.log(known["time"][came])).predict(fresh))


def _anomalies(
    model: Any, _: Contract, x: Any, __: Mapping[str, NDArray[Any]], fresh: Any
) -> Prediction:
    model.fit(x)
    forest = hasattr(model, "score_samples")
    odd = -model.score_samples(fresh) if forest else model.mahalanobis(fresh)
    share = np.argsort(np.argsort(odd)) / len(odd)
    return Prediction(p=np.column_stack([1 - share, share]))


_FITS: Mapping[str, Callable[..., Prediction]] = {
    "anomalies": _anomalies,
    "classes": _classes,
    "clusters": _clusters,
    "effects": _effects,
    "multilabel": _labels,
    "series": _series,
    "times": _times,
    "values": _values,
}


def _codes(target: NDArray[Any], contract: Contract) -> Ints:
    place = {name: code for code, name in enumerate(contract.classes)}
    return np.array([place.get(str(name), -1) for name in target], dtype=np.int64)


# --- features ----------------------------------------------------------------------------------


def _matrices(
    instance: Instance, contract: Contract, known: Mapping[str, Any], asked: Mapping[str, Any]
) -> tuple[Any, Any]:
    """Return the features of train and test; sparse where there is text."""
    names = [name for name in asked if name != contract.id_column and name in known]
    if "text" in names:
        return _counts(known["text"], asked["text"])
    pairs = [_column(known[name], asked[name]) for name in names]
    pairs += zip(_flat(instance, "train"), _flat(instance, "test"), strict=True)
    return np.hstack([pair[0] for pair in pairs]), np.hstack([pair[1] for pair in pairs])


def _counts(known: NDArray[Any], asked: NDArray[Any]) -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(min_df=2)
    return counter.fit_transform(known).astype(float), counter.transform(asked).astype(float)


def _column(known: NDArray[Any], asked: NDArray[Any]) -> tuple[Floats, Floats]:
    if known.dtype != object:
        return known.astype(np.float64)[:, None], asked.astype(np.float64)[:, None]
    from sklearn.preprocessing import OneHotEncoder

    coder = OneHotEncoder(handle_unknown="ignore", max_categories=30, sparse_output=False)
    words = [np.array([[str(cell)] for cell in side], dtype=object) for side in (known, asked)]
    return coder.fit_transform(words[0]), coder.transform(words[1])


def _flat(instance: Instance, part: str) -> list[Floats]:
    """Return the arrays of an .npz file, one row per example."""
    blob = instance.public.get(f"{part}.npz")
    if not isinstance(blob, Blob):
        return []
    with scratch("blob") as folder:
        file = folder / f"{part}.npz"
        blob.write(file)
        with np.load(file) as stored:
            return [
                array.reshape(len(array), -1).astype(np.float64)
                for array in (stored[name] for name in sorted(stored.files))
            ]
