"""One mechanism for every plug-in kind: built-in table, then entry point, then `module:attr`."""

import importlib
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from tasks.errors import UnknownName, suggestion

BUILT_IN: dict[str, dict[str, str]] = {
    "family": {
        "classification": "tasks.families:Classification",
        "regression": "tasks.families:Regression",
        "imbalanced": "tasks.families:Imbalanced",
        "clustering": "tasks.families:Clustering",
        "tabular_missing": "tasks.families:TabularMissing",
        "time_series": "tasks.families:TimeSeries",
        "image_classification": "tasks.families:ImageClassification",
        "text_classification": "tasks.families:TextClassification",
        "multi_modal": "tasks.families:MultiModal",
        "data_analysis": "tasks.families:DataAnalysis",
        "bundled": "tasks.families:Bundled",
    },
    "runtime": {
        "process": "tasks.runtimes.process:ProcessRuntime",
    },
    "validator": {},
}


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
    """
    if name in BUILT_IN[kind]:
        return resolve(BUILT_IN[kind][name])
    if name in _entry_points(kind):
        return _entry_points(kind)[name].load()
    if allow_import and ":" in name:
        try:
            return resolve(name)
        except (ImportError, AttributeError) as error:
            raise UnknownName(f"no {kind} {name!r}: {error}") from error
    raise UnknownName(f"no {kind} {name!r}{suggestion(name, names(kind))}")
