"""One mechanism for every plug-in kind: built-in table, then entry point, then `module:attr`."""

import importlib
import re
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from tasks.errors import MissingPart, UnknownName, brief, suggestion

BUILT_IN: dict[str, dict[str, str]] = {
    "family": {
        "classification": "tasks.families:Classification",
        "regression": "tasks.families:Regression",
        "imbalanced": "tasks.families:Imbalanced",
        "clustering": "tasks.families:Clustering",
        "tabular_missing": "tasks.families:TabularMissing",
        "anomaly": "tasks.families:Anomaly",
        "causal": "tasks.families:Causal",
        "survival": "tasks.families:Survival",
        "relational": "tasks.families:Relational",
        "multilabel": "tasks.families:MultiLabel",
        "time_series": "tasks.families:TimeSeries",
        "image_classification": "tasks.families:ImageClassification",
        "text_classification": "tasks.families:TextClassification",
        "multi_modal": "tasks.families:MultiModal",
        "data_analysis": "tasks.families:DataAnalysis",
        "bundled": "tasks.families:Bundled",
    },
    "runtime": {
        "bubblewrap": "tasks.runtimes.bubblewrap:BubblewrapRuntime",
        "docker": "tasks.runtimes.docker:DockerRuntime",
        "process": "tasks.runtimes.process:ProcessRuntime",
    },
    "executor": {
        "dask": "tasks.executors.dask:DaskExecutor",
        "pool": "tasks.executors.pool:PoolExecutor",
        "ray": "tasks.executors.ray:RayExecutor",
        "slurm": "tasks.executors.slurm:SlurmExecutor",
    },
    "tracker": {
        "mlflow": "tasks.trackers.mlflow:MlflowTracker",
        "trackio": "tasks.trackers.trackio:TrackioTracker",
        "wandb": "tasks.trackers.wandb:WandbTracker",
    },
    "validator": {},
}

_TARGET = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")


def resolve(target: str) -> Any:
    """Import `package.module:attribute`."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


@lru_cache(maxsize=8)
def _entry_points(kind: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"aexp.{kind}")}


def names(kind: str) -> list[str]:
    """Every name of this kind, built in or installed."""
    return sorted({*BUILT_IN[kind], *_entry_points(kind)})


def load(kind: str, name: str, *, allow_import: bool = False) -> Any:
    """Find the plug-in `name` of `kind`.

    Args:
        kind: A key of `BUILT_IN`.
        name: A built-in name, an entry point of the group `aexp.<kind>`, or `module:attr`.
        allow_import: Whether `module:attr` may be imported. Off for names that come out of task
            files: a task shared by a stranger must not run code (threat M10).

    Raises:
        UnknownName: No such plug-in.
        MissingPart: It is installed and cannot be imported.
    """
    if name in BUILT_IN[kind]:
        return resolve(BUILT_IN[kind][name])
    if name in _entry_points(kind):
        try:
            return _entry_points(kind)[name].load()
        except (ImportError, AttributeError) as error:
            raise MissingPart(f"the installed {kind} {name!r} is broken: {error}") from error
    if allow_import and _TARGET.fullmatch(name):
        try:
            return resolve(name)
        except (ImportError, AttributeError) as error:
            raise UnknownName(f"no {kind} {name!r}: {error}") from error
    raise UnknownName(f"no {kind} {brief(name)}{suggestion(name, names(kind))}")
