"""Tables with planted facts: fixed bits, facts that are there, and nothing said of them."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import datasets
from tasks.errors import InvalidTask
from tasks.families import DEFAULT_FACTS, DataAnalysis
from tasks.insights.catalogue import KINDS
from tasks.insights.sample import OUTCOME, ROW, TIME, Sample
from tasks.instance import CHUNK_ROWS, Seed, Streams
from tasks.registry import TaskRegistry, default_folders

SEEDS = [f"seed {k}".encode() for k in range(8)]


def data(instance):
    return instance.public["data"].columns()


def features(instance):
    return [name for name in instance.facts.columns if name not in {ROW, TIME, OUTCOME}]


def planted(instance, kind):
    return next(fact.args for fact in instance.facts.planted if fact.type == kind)


def digest(instance):
    digest = hashlib.sha256()
    for column in data(instance).values():
        digest.update(np.ascontiguousarray(column).tobytes())
    for fact in instance.facts.planted:
        digest.update(json.dumps([fact.type, dict(fact.args)], sort_keys=True).encode())
    return digest.hexdigest()[:16]


# --- bits ----------------------------------------------------------------------------------------


def test_the_bits_of_a_version_never_change():
    """A golden hash: whoever changes it raises the family's `version` too."""
    assert digest(DataAnalysis().draw(Streams(b"golden"))) == "dac085783020cf88"


def test_the_same_seed_gives_the_same_data_and_another_seed_other_data():
    first = digest(DataAnalysis().draw(Streams(b"a")))
    assert first == digest(DataAnalysis().draw(Streams(b"a")))
    assert first != digest(DataAnalysis().draw(Streams(b"b")))


def test_any_chunk_is_computable_alone_and_out_of_order():
    instance = DataAnalysis(n_samples=CHUNK_ROWS + 500, n_features=8).draw(Streams(b"x"))
    second, first = (instance.public["data"].chunk(k) for k in (1, 0))
    assert len(second[ROW]) == 500
    for name, whole in data(instance).items():
        assert np.array_equal(whole, np.concatenate([first[name], second[name]]), equal_nan=True)


def test_the_change_point_is_where_the_column_splits_best():
    """Over two chunks, within 30 rows of 66,036: a step of one deviation is that sharp."""
    instance = DataAnalysis(n_samples=CHUNK_ROWS + 500, n_features=8).draw(Streams(b"x"))
    fact, table = planted(instance, "change_point"), data(instance)
    stated = int(np.flatnonzero(table[TIME] == fact["at"])[0])
    values = np.nan_to_num(table[fact["column"]] - np.nanmean(table[fact["column"]]))
    before = np.arange(1, len(values))
    cusum = np.abs(np.cumsum(values)[:-1]) / np.sqrt(before * before[::-1])
    assert abs(int(np.argmax(cusum)) + 1 - stated) < 30


# --- what is planted is there --------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_planted_facts_are_found_by_the_detectors_on_the_very_data(seed):
    instance = DataAnalysis().draw(Streams(seed))
    sample = Sample(data(instance))
    assert [fact.type for fact in instance.facts.planted] == list(DEFAULT_FACTS)
    for fact in instance.facts.planted:
        assert KINDS[fact.type].strongest(sample, fact.args), fact.text


@pytest.mark.parametrize("seed", SEEDS)
def test_planted_facts_are_facts_of_the_population_and_the_only_ones_of_their_type(seed):
    """On 20,000 fresh rows each is found again; only a correlate of a driver may be beside it."""
    instance = DataAnalysis().draw(Streams(seed))
    sample = Sample(instance.facts.redraw(20_000))
    for fact in instance.facts.planted:
        assert KINDS[fact.type].strongest(sample, fact.args), fact.text
        assert len(KINDS[fact.type].found(sample)) == 1


def test_a_redraw_is_a_fresh_sample_of_the_same_columns():
    instance = DataAnalysis().draw(Streams(b"fresh"))
    table, again = data(instance), instance.facts.redraw(2000)
    assert list(again) == list(table)
    assert np.array_equal(again[TIME], table[TIME])
    for name in features(instance):
        assert not np.array_equal(again[name], table[name], equal_nan=True)
        assert np.nanmedian(again[name]) == pytest.approx(
            np.nanmedian(table[name]), abs=0.25 * np.nanstd(table[name])
        )


def test_a_column_that_is_only_correlated_with_a_cause_is_not_relevant():
    """The decoy goes along with the outcome, and yet adds nothing given the others."""
    correlated = 0
    for seed in SEEDS:
        instance = DataAnalysis().draw(Streams(seed))
        (decoy,) = instance.details["correlated_but_idle"]
        table = instance.facts.redraw(20_000)
        assert not KINDS["relevant_features"].holds(Sample(table), {"columns": (decoy,)})
        r = np.corrcoef(table[decoy], table[OUTCOME])[0, 1]
        correlated += abs(r) * np.sqrt(20_000) > 10
    assert correlated >= 3


def test_missingness_is_by_chance_in_some_draws_and_driven_in_others():
    facts = [
        planted(DataAnalysis().draw(Streams(f"m{k}".encode())), "missingness") for k in range(30)
    ]
    mechanisms = [fact["mechanism"] for fact in facts]
    assert 3 <= mechanisms.count("MCAR") <= 20
    for fact in facts:
        assert (fact["driver"] is None) == (fact["mechanism"] == "MCAR")
        assert fact["driver"] != fact["column"]


@given(
    n_features=st.integers(8, 25),
    n_samples=st.integers(500, 4000),
    facts=st.sets(st.sampled_from(DEFAULT_FACTS), min_size=1),
    seed=st.binary(min_size=1, max_size=8),
)
@settings(max_examples=20, deadline=None)
def test_every_choice_of_sizes_and_facts_gives_a_table_that_holds_them(
    n_features, n_samples, facts, seed
):
    params = DataAnalysis(n_samples=n_samples, n_features=n_features, facts=tuple(sorted(facts)))
    instance = params.draw(Streams(seed))
    table = data(instance)
    assert {fact.type for fact in instance.facts.planted} == facts
    assert len(features(instance)) == n_features
    assert {len(column) for column in table.values()} == {n_samples}
    sample = Sample(table)
    assert all(KINDS[f.type].strongest(sample, f.args) for f in instance.facts.planted)
    holes = any(np.isnan(column).any() for column in table.values())
    assert holes == ("missingness" in facts)
    assert (TIME in table) == ("change_point" in facts)


def test_a_table_too_short_to_show_every_fact_is_refused_in_one_line():
    short = DataAnalysis().model_copy(update={"n_samples": 30})
    with pytest.raises(InvalidTask, match=r"30 draws of 30 rows .* ask for more rows") as caught:
        short.draw(Streams(b"short"))
    assert "\n" not in str(caught.value)


# --- nothing is said of it -----------------------------------------------------------------------


def test_the_public_notes_are_the_same_whatever_is_planted():
    notes = {DataAnalysis().draw(Streams(seed)).notes for seed in SEEDS}
    assert len(notes) == 1


def test_no_public_file_but_the_table_names_a_column(tmp_path):
    task = TaskRegistry(*default_folders()).get_task("data_analysis_exploratory")
    instance = datasets.draw(task, Seed.public(5))
    datasets.write_public(task, instance, tmp_path)
    files = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert sorted(files) == ["data.csv", "description.md", "task_config.json"]
    for name, text in files.items():
        if name != "data.csv":
            assert not [column for column in features(instance) if column in text]
            assert str(planted(instance, "change_point")["at"]) not in text


def test_the_place_and_the_number_in_the_name_of_a_column_do_not_tell_its_role():
    """Over 60 draws the mean rank of the outlying column is the middle, within 4.5 errors."""
    places, names = [], []
    for k in range(60):
        params = DataAnalysis(n_samples=500, facts=("outliers",))
        instance = params.draw(Streams(f"p{k}".encode()))
        column = planted(instance, "outliers")["column"]
        places.append(features(instance).index(column))
        names.append(sorted(features(instance)).index(column))
    error = np.sqrt((12**2 - 1) / 12 / 60)
    assert abs(np.mean(places) - 5.5) < 4.5 * error
    assert abs(np.mean(names) - 5.5) < 4.5 * error


def test_the_commitment_covers_the_planted_facts():
    instance, other = (DataAnalysis().draw(Streams(seed)) for seed in (b"a", b"b"))
    seed = Seed.public(1)
    assert instance.commitment(seed) != other.commitment(seed)
