"""Every type of claim: planted, found, told apart from what is not so, and documented."""

import hashlib
import json

import numpy as np
import pytest
from numpy.random import Generator, Philox
from pydantic import ValidationError

from tasks.families import DEFAULT_FACTS, FACTS, DataAnalysis
from tasks.grading import insights
from tasks.grading.claims import read_claims
from tasks.grading.insights import grade_insights
from tasks.insights import cells, forms, page, shapes
from tasks.insights.catalogue import KINDS
from tasks.insights.sample import OUTCOME, ROW, TIME, Sample
from tasks.instance import Streams
from tests.conftest import ROOT

OWN = FACTS[len(DEFAULT_FACTS) :]
EACH = pytest.mark.parametrize("kind", OWN)
WHOLE = DataAnalysis(n_samples=3000, facts=FACTS)


@pytest.fixture(scope="module")
def whole():
    """One table that holds every fact at once."""
    return WHOLE.draw(Streams(b"whole"))


@pytest.fixture(scope="module")
def fresh(whole):
    return Sample(whole.facts.redraw(20_000))


def fact(instance, kind):
    return dict(next(one.args for one in instance.facts.planted if one.type == kind))


def test_there_is_one_kind_for_each_fact_that_a_task_may_ask_for():
    assert set(KINDS) == set(FACTS)
    assert len(FACTS) == 25


# --- planting ------------------------------------------------------------------------------------


def test_the_bits_of_all_facts_at_once_never_change(whole):
    """A golden hash: whoever changes it raises the family's `version` too."""
    digest = hashlib.sha256()
    for column in whole.public["data"].columns().values():
        plain = np.array([str(c) for c in column]) if column.dtype == object else column
        digest.update(np.ascontiguousarray(plain).tobytes())
    for one in whole.facts.planted:
        digest.update(json.dumps([one.type, dict(one.args)], sort_keys=True).encode())
    assert digest.hexdigest()[:16] == "cf07f52fdfac9c2b"


def test_all_facts_at_once_are_found_in_the_very_table_and_in_a_fresh_one(whole, fresh):
    seen = Sample(whole.public["data"].columns())
    assert [one.type for one in whole.facts.planted] == list(FACTS)
    for one in whole.facts.planted:
        assert KINDS[one.type].holds(seen, one.args), one.text
        assert KINDS[one.type].holds(fresh, one.args), one.text


@EACH
def test_a_fact_alone_is_found_on_several_seeds(kind):
    for k in range(3):
        instance = DataAnalysis(n_samples=1500, facts=(kind,)).draw(Streams(f"{kind}{k}".encode()))
        (planted,) = instance.facts.planted
        assert planted.type == kind
        assert KINDS[kind].agree(planted.args, planted.args, 1.0)
        assert KINDS[kind].holds(Sample(instance.public["data"].columns()), planted.args)


def test_a_table_without_the_facts_does_not_show_them():
    """But for types that are true of columns in any table."""
    sample = Sample(DataAnalysis(n_samples=1500).draw(Streams(b"bare")).public["data"].columns())
    common = {"no_effect", "effect_direction", "functional_form", "distribution"}
    assert not {kind for kind in OWN if kind not in common and KINDS[kind].found(sample)}


def test_the_place_and_the_name_of_a_column_do_not_tell_that_a_fact_brought_it():
    places, names = [], []
    for k in range(40):
        params = DataAnalysis(n_samples=500, n_features=11, facts=("constant",))
        instance = params.draw(Streams(f"p{k}".encode()))
        features = [name for name in instance.facts.columns if name not in {ROW, OUTCOME}]
        column = fact(instance, "constant")["column"]
        places.append(features.index(column))
        names.append(sorted(features).index(column))
    error = np.sqrt((12**2 - 1) / 12 / 40)
    assert abs(np.mean(places) - 5.5) < 4.5 * error
    assert abs(np.mean(names) - 5.5) < 4.5 * error


def test_facts_on_time_bring_a_clock_and_others_do_not():
    for kind in OWN:
        columns = DataAnalysis(n_samples=1500, facts=(kind,)).draw(Streams(b"t")).facts.columns
        assert (TIME in columns) == KINDS[kind].ordered


def test_the_share_of_repeated_rows_is_that_of_the_very_table(whole):
    rows = list(
        zip(
            *(
                c.tolist()
                for n, c in whole.public["data"].columns().items()
                if n not in {ROW, TIME}
            ),
            strict=True,
        )
    )
    distinct = len({repr(row) for row in rows})
    assert fact(whole, "duplicates")["share"] == pytest.approx(1 - distinct / len(rows), abs=1e-4)


def test_repeated_rows_in_more_than_a_chunk_are_refused_when_the_task_is_loaded():
    with pytest.raises(ValidationError, match=r"n_samples: with duplicates at most 65,536"):
        DataAnalysis(n_samples=65_537, facts=("duplicates",))


# --- claims that are not so ----------------------------------------------------------------------

WRONG = {
    "no_effect": lambda args, other: {"column": other["relevant"]},
    "effect_direction": lambda args, other: {
        **args,
        "direction": {"positive": "negative", "negative": "positive"}[args["direction"]],
    },
    "functional_form": lambda args, other: {
        **args,
        "form": "threshold" if args["form"] != "threshold" else "quadratic",
    },
    "simpsons_paradox": lambda args, other: {**args, "column": other["idle"]},
    "subgroup_effect": lambda args, other: {**args, "level": "nowhere"},
    "shift": lambda args, other: {**args, "column": other["idle"]},
    "effect_size": lambda args, other: {**args, "d": -args["d"]},
    "distribution": lambda args, other: {**args, "shape": "uniform"},
    "cluster_count": lambda args, other: {**args, "k": args["k"] + 1},
    "trend": lambda args, other: {
        **args,
        "direction": {"up": "down", "down": "up"}[args["direction"]],
    },
    "seasonality": lambda args, other: {**args, "period": args["period"] * 1.1},
    "anomaly_window": lambda args, other: {
        **args,
        "start": args["start"] + 2 * (args["end"] - args["start"]),
        "end": args["end"] + 2 * (args["end"] - args["start"]),
    },
    "sentinel_values": lambda args, other: {**args, "value": args["value"] + 1},
    "unit_errors": lambda args, other: {**args, "factor": args["factor"] * 2},
    "category_aliases": lambda args, other: {**args, "values": (*args["values"], "nowhere")},
    "id_like": lambda args, other: {"column": other["idle"]},
    "constant": lambda args, other: {"column": other["idle"]},
    "leakage_column": lambda args, other: {"column": other["relevant"]},
    "duplicates": lambda args, other: {"share": args["share"] + 0.1},
}


@EACH
def test_a_claim_that_is_nearly_the_fact_is_false(whole, fresh, kind):
    args = fact(whole, kind)
    relevant = [n for n in fact(whole, "relevant_features")["columns"] if n in fresh.features]
    said = " ".join(repr(one.args) for one in whole.facts.planted)
    idle = next(name for name in fresh.features if name not in said)
    wrong = WRONG[kind](args, {"relevant": relevant[0], "idle": idle})
    assert not KINDS[kind].agree(wrong, args, fresh.span)
    assert not KINDS[kind].holds(fresh, wrong)


def test_an_effect_size_may_be_told_either_way_around(whole, fresh):
    args = fact(whole, "effect_size")
    turned = {**args, "levels": tuple(reversed(args["levels"])), "d": -args["d"] + 0.05}
    assert KINDS["effect_size"].agree(turned, args, fresh.span)


def test_some_spellings_are_true_and_not_all(whole, fresh):
    args = fact(whole, "category_aliases")
    some = {**args, "values": args["values"][:2]}
    assert KINDS["category_aliases"].holds(fresh, some)
    assert KINDS["category_aliases"].agree(some, args, 1.0) == (len(args["values"]) == 2)


@pytest.mark.parametrize("kind", FACTS)
def test_a_blind_guess_loses_on_average(whole, fresh, kind):
    """Of claims on many facts at once only those of no consequence are free."""
    rng = Generator(Philox(7))
    gains = []
    for _ in range(40):
        args = forms.guess(KINDS[kind].form, rng, fresh.world)
        if KINDS[kind].agree(args, fact(whole, kind), fresh.span):
            gains.append(1.0)
        else:
            gains.append(0.0 if KINDS[kind].holds(fresh, args) else -insights.PENALTY)
    assert np.mean(gains) < 0.0 if kind != "no_effect" else np.mean(gains) <= 0.15


def test_the_floor_of_every_fact_at_once_is_near_silence(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(insights, "GUESSERS", 8)
    assert 0.0 <= grade_insights(tmp_path, whole.facts).floor < 0.02


# --- forms and examples --------------------------------------------------------------------------


def names_in(args):
    """Return every text that may be a column of an example."""
    flat = [v for value in args.values() for v in (value if isinstance(value, list) else [value])]
    return {text for text in flat if isinstance(text, str)}


@pytest.mark.parametrize("kind", FACTS)
def test_the_example_of_every_type_is_read_as_a_claim(tmp_path, kind):
    said = page.example(KINDS[kind])
    payload = {"schema": "insights/1", "claims": [said]}
    (tmp_path / "insights.json").write_text(json.dumps(payload))
    read = read_claims(tmp_path, sorted(names_in(said["args"]) | {"x", "y", "z"}))
    assert read.problems == ()
    assert KINDS[kind].text(read.claims[0].args)


def test_the_page_for_agents_is_that_of_the_code():
    """If not, write `tasks.insights.page.page()` to docs/insights.md."""
    assert (ROOT / "docs" / "insights.md").read_text(encoding="utf-8") == page.page()


def test_agents_are_told_every_type_with_its_arguments(whole):
    for kind in KINDS.values():
        assert f"`{kind.type}` `{json.dumps(dict(kind.example))}`" in whole.notes


@pytest.mark.parametrize("kind", FACTS)
def test_arguments_of_another_form_are_refused_in_one_line(tmp_path, kind):
    good = dict(KINDS[kind].example)
    wrong = [{}, [], None, dict.fromkeys(good), {key: {"a": []} for key in good}]
    wrong += [{**good, key: value} for key in good for value in ([[]], True, "\x1b[31m" * 99)]
    claims = [{"type": kind, "args": args} for args in wrong][:20]
    (tmp_path / "insights.json").write_text(json.dumps({"schema": "insights/1", "claims": claims}))
    read = read_claims(tmp_path, ["a", "b"])
    assert all(claim.malformed for claim in read.claims)
    assert all(problem.isprintable() and len(problem) < 300 for problem in read.problems)


# --- arithmetic ----------------------------------------------------------------------------------


def test_peaks_are_counted_and_their_ripples_are_not():
    rng = np.random.default_rng(0)
    for k in range(1, 5):
        x = np.concatenate([rng.normal(7 * j, 1, 500) for j in range(k)])
        counts = shapes._smooth(np.histogram(x, 32)[0].astype(float))
        assert shapes.peaks(counts) == k
    skewed = rng.random((2, 4000)) ** 2
    counts = shapes._smooth(shapes._smooth(np.histogram2d(*skewed, 20)[0]).T)
    assert shapes.peaks(counts) == 1


def test_a_repeated_number_within_the_range_is_no_code():
    values = np.random.default_rng(0).normal(50, 5, 1000)
    values[:40] = 50.0
    assert cells.sentinel(values) is None
    values[:40] = -1.0
    assert cells.sentinel(values) == -1.0


def test_a_heavy_tail_is_no_unit_error():
    rng = np.random.default_rng(0)
    assert cells.unit_factor(np.exp(rng.normal(size=5000))) is None
    assert cells.unit_factor(rng.exponential(size=5000)) is None
    values = rng.normal(50, 5, 1000)
    values[:40] *= 100
    assert cells.unit_factor(values) == 100
