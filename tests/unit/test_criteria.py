"""Pass marks: their grammar, and each against what was measured."""

import math

import pytest

from tasks.errors import InvalidTask
from tasks.grading.criteria import Measured, judge
from tasks.grading.outputs import Outputs
from tasks.spec import Criterion, Task, known_criteria


def parse(key, value, **how):
    return Criterion.parse(key, value, **how)


def verdict(tmp_path, key, value, *, scores=None, seconds=None, **more):
    criterion = parse(key, value, open_ended=True)
    measured = Measured(scores=scores or {}, outputs=Outputs(tmp_path), seconds=seconds, **more)
    return judge(criterion, measured)


# --- grammar -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "bound", "subject"),
    [
        ("min_accuracy", "min", "accuracy"),
        ("max_rmse", "max", "rmse"),
        ("min_auc", "min", "roc_auc"),
        ("min_f1_score", "min", "f1"),
        ("max_log_loss", "max", "log_loss"),
        ("max_training_time", "max", "training_time"),
        ("required_models", "required", "models"),
    ],
)
def test_a_key_is_a_bound_and_a_subject_by_its_canonical_name(key, bound, subject):
    criterion = parse(key, 1)
    assert (criterion.bound, criterion.subject, criterion.threshold) == (bound, subject, 1.0)


@pytest.mark.parametrize("key", known_criteria())
def test_every_key_the_catalogue_knows_is_one(key):
    assert parse(key, 1).key == key


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("min_acuracy", "did you mean 'min_accuracy'?"),
        ("accuracy", "did you mean 'min_accuracy'?"),
        ("max_trainingtime", "did you mean 'max_training_time'?"),
        ("min_training_time", "did you mean 'max_training_time'?"),
        ("required_figures", "did you mean"),
        ("", "known: "),
        ("min_", "did you mean"),
        ("MIN_accuracy", "did you mean 'min_accuracy'?"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(key, hint):
    with pytest.raises(ValueError, match="unknown criterion") as caught:
        parse(key, 1)
    assert hint in str(caught.value)


def test_scores_nobody_knows_are_left_to_a_custom_task_only():
    assert parse("min_charm", 1, open_ended=True).subject == "charm"
    for key in ("required_charm", "min_", "charm"):
        with pytest.raises(ValueError, match="unknown criterion"):
            parse(key, 1, open_ended=True)
    criteria = {"min_charm": 3}
    assert Task.from_dict({"id": "t", "task_type": "custom", "evaluation_criteria": criteria})
    with pytest.raises(InvalidTask, match=r"evaluation_criteria.min_charm: unknown criterion"):
        Task.from_dict({"id": "t", "task_type": "regression", "evaluation_criteria": criteria})


@pytest.mark.parametrize("value", [True, "0.7", None, [0.7], math.nan, math.inf, -math.inf, {}])
def test_a_threshold_is_a_finite_number(value):
    with pytest.raises(ValueError, match="the threshold must be a finite number"):
        parse("min_accuracy", value)


@pytest.mark.parametrize("value", [-1, 1.5, True, "5", None, [], [1], ["a", 2], {}])
def test_what_is_required_is_a_count_or_a_list_of_names(value):
    with pytest.raises(ValueError, match="must be a count or a list of names"):
        parse("required_files", value)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "", "a\nb"])
def test_required_names_stay_inside(name):
    with pytest.raises(ValueError, match="is not a plain relative path"):
        parse("required_files", [name])


# --- measures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "score", "met", "words"),
    [
        ("min_accuracy", 0.8, True, "min_accuracy: met, 0.8 ≥ 0.7"),
        ("min_accuracy", 0.7, True, "min_accuracy: met, 0.7 ≥ 0.7"),
        ("min_accuracy", 0.6999999, False, "min_accuracy: not met, 0.7 < 0.7"),
        ("max_accuracy", 0.6, True, "max_accuracy: met, 0.6 ≤ 0.7"),
        ("max_accuracy", 0.8, False, "max_accuracy: not met, 0.8 > 0.7"),
        ("min_accuracy", math.nan, False, "min_accuracy: not met, nan < 0.7"),
        ("max_accuracy", math.nan, False, "max_accuracy: not met, nan > 0.7"),
    ],
)
def test_a_score_is_held_against_its_threshold(tmp_path, key, score, met, words):
    found = verdict(tmp_path, key, 0.7, scores={"accuracy": score})
    assert (found.met, found.share, found.feedback) == (met, float(met), words)


def test_an_alias_is_held_against_the_measure_it_stands_for(tmp_path):
    assert verdict(tmp_path, "min_auc", 0.7, scores={"roc_auc": 0.8}).met


def test_what_is_not_measured_is_not_met(tmp_path):
    for key in ("min_accuracy", "max_training_time", "required_insights"):
        found = verdict(tmp_path, key, 0)
        assert (found.met, found.share) == (False, 0.0)
        assert found.feedback == f"{key}: not met, not measured"


@pytest.mark.parametrize(("seconds", "met"), [(59.9, True), (60.0, True), (60.1, False)])
def test_training_time_is_what_the_harness_measured(tmp_path, seconds, met):
    found = verdict(
        tmp_path, "max_training_time", 60, seconds=seconds, scores={"training_time": 0.0}
    )
    assert found.met is met


def test_a_validator_may_decide_a_criterion_itself(tmp_path):
    found = verdict(
        tmp_path, "min_accuracy", 0.7, scores={"accuracy": 0.9}, known={"min_accuracy": False}
    )
    assert (found.met, found.share) == (False, 0.0)
    assert found.feedback == "min_accuracy: not met, decided by the validator"


# --- what is required ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "found", "met", "share"),
    [
        (3, 3, True, 1.0),
        (3, 5, True, 1.0),
        (4, 1, False, 0.25),
        (2, 0, False, 0.0),
        (0, 0, True, 1),
    ],
)
def test_counts_are_met_in_part(tmp_path, wanted, found, met, share):
    for subject, name in (("insights", "verified_insights"), ("visualizations", "figures")):
        said = verdict(tmp_path, f"required_{subject}", wanted, **{name: found})
        assert (said.met, said.share) == (met, share)
        assert said.feedback.endswith(f"{found} of {wanted} wanted")


@pytest.mark.parametrize("subject", ["models", "files"])
def test_files_and_models_are_counted_where_they_lie(tmp_path, subject):
    folder = tmp_path / {"models": "models", "files": "results"}[subject]
    folder.mkdir()
    assert not verdict(tmp_path, f"required_{subject}", 1).met
    (folder / "empty").write_text("")
    assert not verdict(tmp_path, f"required_{subject}", 1).met
    (folder / "full").write_text("x")
    assert verdict(tmp_path, f"required_{subject}", 1).met


def test_named_files_are_met_in_part_and_the_missing_ones_are_named(tmp_path):
    (tmp_path / "a.md").write_text("x")
    found = verdict(tmp_path, "required_files", ["a.md", "b.md", "c/d.md", "e.md"])
    assert (found.met, found.share) == (False, 0.25)
    assert found.feedback == "required_files: not met, missing: b.md, c/d.md, e.md"
    found = verdict(tmp_path, "required_files", ["a.md"])
    assert (found.met, found.share, found.feedback) == (True, 1.0, "required_files: met, all there")
