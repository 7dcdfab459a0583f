"""The parameters of every family: what is implied, and what is refused with what would do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks import plugins
from tasks.families import (
    Bundled,
    Classification,
    Clustering,
    Family,
    ImageClassification,
    Imbalanced,
    MultiModal,
    Sampled,
    TabularMissing,
    TextClassification,
    TimeSeries,
)

FAMILIES = {name: plugins.load("family", name) for name in plugins.BUILT_IN["family"]}
BARE = {"bundled": {"name": "digits"}}
"""What must be said; all else has a default."""


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_needs_no_parameters_but_the_name_of_bundled_data(name):
    family = FAMILIES[name](**BARE.get(name, {}))
    assert family == FAMILIES[name].model_validate_json(family.model_dump_json())
    assert isinstance(hash(family), int)


@pytest.mark.parametrize("name", FAMILIES)
def test_parameters_are_frozen_strict_and_closed(name):
    bare = BARE.get(name, {})
    with pytest.raises(ValidationError, match="frozen"):
        setattr(FAMILIES[name](**bare), next(iter(FAMILIES[name].model_fields)), 1)
    with pytest.raises(ValidationError, match="Extra inputs"):
        FAMILIES[name](**bare, n_rows=5)
    for key in FAMILIES[name].model_fields:
        with pytest.raises(ValidationError):
            FAMILIES[name](**{**bare, key: object()})


@given(st.integers(1, 10**8), st.none() | st.integers(1, 10**8))
def test_the_hidden_rows_are_as_asked_or_a_quarter_within_bounds(n_samples, n_test):
    rows = Sampled(n_samples=n_samples, n_test=n_test).test_rows
    if n_test is not None:
        assert rows == n_test
    else:
        assert 2000 <= rows <= 20_000
        assert rows == n_samples // 4 or n_samples < 8004 or n_samples > 80_000


@pytest.mark.parametrize(
    ("family", "parameters", "message"),
    [
        (Classification, {"n_samples": 29}, "n_samples is 29; 3 classes need at least 30"),
        (Classification, {"ceiling": 0.3}, "ceiling is 0.3; it must exceed 1.2 / n_classes"),
        (Classification, {"n_classes": 101}, "less than or equal to 100"),
        (Imbalanced, {"n_samples": 50}, "that is 4.5 positives; at least 5 are needed"),
        (Imbalanced, {"imbalance_ratio": 0.0}, "greater than 0"),
        (TabularMissing, {"n_samples": 29}, "3 classes need at least 30"),
        (TabularMissing, {"ceiling": 0.39}, "ceiling is 0.39; it must exceed 0.400 here"),
        (TabularMissing, {"mechanism": "MNAR"}, "'MCAR' or 'MAR'"),
        (Clustering, {"n_samples": 39}, "4 classes need at least 40"),
        (TimeSeries, {"n_samples": 50, "horizon": 26}, "at most half of n_samples is possible"),
        (TimeSeries, {"n_samples": 50, "period": 17}, "n_samples must hold three seasons"),
        (TimeSeries, {"n_samples": 100_000, "n_series": 100}, "at most 30,000,000 are possible"),
        (ImageClassification, {"n_samples": 101, "n_classes": 51}, "less than or equal to 50"),
        (ImageClassification, {"ceiling": 0.1}, "it must exceed 1.2 / n_classes"),
        (ImageClassification, {"image_size": (12, 15), "shift": 3}, "at least 14 pixels a side"),
        (ImageClassification, {"image_size": 0}, "[height, width], 12 to 128 pixels"),
        (MultiModal, {"image_size": [28]}, "[height, width], 8 to 128 pixels"),
        (TextClassification, {"n_samples": 39, "n_classes": 4}, "4 classes need at least 40"),
        (MultiModal, {"n_samples": 20}, "3 classes need at least 30"),
        (MultiModal, {"text_ceiling": 0.3}, "text_ceiling is 0.3; it must exceed 0.400 here"),
        (MultiModal, {"image_ceiling": 0.3}, "image_ceiling is 0.3; it must exceed 0.400 here"),
        (Bundled, {"name": "iris"}, "'breast_cancer', 'digits'"),
        (Bundled, {"name": "co2", "test_share": 0.2}, "test_share does not fit co2"),
        (Bundled, {"name": "digits", "period": 52}, "period does not fit digits"),
    ],
)
def test_what_cannot_be_made_is_refused_with_what_could(family, parameters, message):
    with pytest.raises(ValidationError) as caught:
        family(**parameters)
    assert message in str(caught.value)


def test_a_season_need_only_fit_where_there_is_one():
    assert TimeSeries(n_samples=50, seasonality=False, period=400).period == 400


def test_many_classes_need_many_images():
    assert ImageClassification(n_samples=100, n_classes=50).n_classes == 50


def test_sizes_may_come_as_lists_as_json_has_them():
    assert ImageClassification(image_size=[16, 20]).image_size == (16, 20)
    assert MultiModal(image_size=[8, 9]).image_size == (8, 9)


def test_the_hidden_share_of_real_data_is_three_tenths_unless_told():
    assert Bundled(name="digits").hidden_share == 0.3
    assert Bundled(name="digits", test_share=0.05).hidden_share == 0.05


def test_every_family_is_versioned():
    assert all(issubclass(family, Family) and family.version >= 1 for family in FAMILIES.values())


@pytest.mark.parametrize(
    ("family", "asked", "said"),
    [
        ("classification", {"n_samples": 100_000_000, "n_features": 1000}, "cells of data"),
        ("classification", {"n_test": 50_000_000, "n_classes": 10}, "probabilities"),
        ("image_classification", {"n_samples": 1_000_000, "image_size": [128, 128]}, "cells"),
        ("clustering", {"n_samples": 100_000_000, "n_features": 100}, "cells of data"),
        ("text_classification", {"n_samples": 1_000_000, "mean_length": 2000}, "mean_length"),
    ],
)
def test_what_no_machine_could_draw_is_refused_when_the_task_is_loaded(family, asked, said):
    with pytest.raises(ValueError, match=said):
        plugins.load("family", family)(**asked)


def test_ten_million_rows_of_twenty_columns_are_possible():
    assert plugins.load("family", "classification")(n_samples=10_000_000, n_features=20)
