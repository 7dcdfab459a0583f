"""One evaluation: its shape, what success needs, what the score is made of."""

import json
import math
import os

import numpy as np
import pytest

from tasks.errors import InvalidTask
from tasks.families import DataAnalysis
from tasks.grading import Custom, Hidden, Outputs, brackets, check_measurable, evaluate
from tasks.instance import Answers, Categorical, Contract, Gaussian, Streams
from tasks.spec import Task

N = 600
IDS = np.arange(N)
KEYS = [
    "task_id",
    "sealed",
    "success",
    "overall_score",
    "scores",
    "criteria_met",
    "feedback",
    "submission",
    "integrity",
    "claimed",
    "outcome",
    "seconds",
    "shown",
]


def task(task_type="classification", **criteria):
    return Task.from_dict(
        {"id": "t", "task_type": task_type, "evaluation_criteria": criteria}, source="test"
    )


def classes(*, law=True):
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.full(3, 0.5), size=N)
    labels = (rng.random(N)[:, None] > p.cumsum(axis=1)).sum(axis=1)
    prior = np.broadcast_to(p.mean(axis=0), (N, 3))
    return Hidden(
        contract=Contract(kind="classes", ids=IDS, classes=("a", "b", "c")),
        answers=Answers(
            labels=labels, law=Categorical(p=p) if law else None, trivial={"prior": prior}
        ),
    )


def values(*, scale=None, quantiles=(), law=True):
    rng = np.random.default_rng(4)
    mean = rng.normal(size=N)
    return Hidden(
        contract=Contract(kind="values", ids=IDS, quantiles=quantiles),
        answers=Answers(
            labels=mean + rng.normal(0, 0.5, size=N),
            law=Gaussian(mean=mean, sd=np.full(N, 0.5)) if law else None,
            trivial={"mean": np.zeros(N)},
            scale=scale,
        ),
    )


def clusters():
    known = classes().answers
    trivial = {"one": np.eye(3)[np.zeros(N, dtype=int)]}
    answers = Answers(labels=known.labels, law=known.law, trivial=trivial)
    return Hidden(contract=Contract(kind="clusters", ids=IDS), answers=answers)


def submit(folder, target, header="id,target", name="submission.csv"):
    rows = [f"{number},{cell}" for number, cell in zip(IDS, target, strict=True)]
    (folder / name).write_text("\n".join([header, *rows]) + "\n")


def letters(codes):
    return ["abc"[code] for code in codes]


def bayes(hidden):
    return letters(hidden.answers.law.p.argmax(axis=1))


def grade(folder, wanted, hidden, **how):
    found = evaluate(wanted, hidden, Outputs(folder), **{"sealed": True, **how})
    # Strict, and what a report needs: no NaN, no infinity, no object of numpy's.
    json.loads(json.dumps(found.as_dict(), allow_nan=False))
    return found


# --- the shape -----------------------------------------------------------------------------------


def test_an_evaluation_reads_like_the_object_it_becomes(tmp_path):
    hidden = classes()
    submit(tmp_path, bayes(hidden))
    found = grade(tmp_path, task(min_accuracy=0.5), hidden, outcome="finished", seconds=41.23456)
    assert list(found) == list(found.as_dict()) == KEYS
    assert len(found) == len(KEYS)
    assert dict(found)["task_id"] == found["task_id"] == "t"
    assert found["sealed"] is True
    assert found["outcome"] == "finished"
    assert found["seconds"] == 41.235
    assert "success" in found
    for key in ("nothing", "as_dict", 3):
        assert key not in found
        with pytest.raises(KeyError):
            found[key]
    assert found.get("nothing", 7) == 7


def test_every_mark_carries_score_floor_ceiling_and_skill(tmp_path):
    hidden = classes()
    submit(tmp_path, bayes(hidden))
    found = grade(tmp_path, task(min_accuracy=0.5), hidden)
    mark = found["scores"]["accuracy"]
    assert mark.keys() >= {"score", "label_score", "floor", "ceiling", "skill", "se"}
    assert mark["skill"] == pytest.approx(1.0)
    assert found["submission"] == {"valid": True, "file": "submission.csv", "problems": []}
    assert found["integrity"]["leak_suspected"] is False
    assert found["feedback"][0].startswith("min_accuracy: met, ")


def test_a_score_is_that_of_the_law_and_not_of_the_labels_drawn(tmp_path):
    hidden = classes()
    submit(tmp_path, bayes(hidden))
    mark = grade(tmp_path, task(), hidden)["scores"]["accuracy"]
    assert mark["score"] == pytest.approx(hidden.answers.law.p.max(axis=1).mean())
    assert mark["label_score"] != mark["score"]


# --- success -------------------------------------------------------------------------------------


def test_success_is_every_criterion_met_by_a_valid_submission(tmp_path):
    hidden = classes()
    submit(tmp_path, bayes(hidden))
    assert grade(tmp_path, task(min_accuracy=0.5), hidden)["success"]
    found = grade(tmp_path, task(min_accuracy=0.5, min_f1=0.99), hidden)
    assert found["criteria_met"] == {"min_accuracy": True, "min_f1": False}
    assert not found["success"]


def test_without_a_criterion_there_is_nothing_to_succeed_in(tmp_path):
    hidden = classes()
    submit(tmp_path, bayes(hidden))
    found = grade(tmp_path, task(), hidden)
    assert (found["success"], found["criteria_met"]) == (False, {})
    assert found["overall_score"] == pytest.approx(1.0)


def test_an_invalid_submission_scores_nothing_and_meets_nothing(tmp_path):
    submit(tmp_path, ["a"] * (N - 1) + ["z"])
    found = grade(tmp_path, task(min_accuracy=0.0, max_training_time=9), classes(), seconds=1.0)
    assert (found["success"], found["overall_score"], found["scores"]) == (False, 0.0, {})
    assert found["submission"]["valid"] is False
    assert found["submission"]["problems"][0].startswith("E11: target: 1 row is wrong")
    assert found["feedback"][0].startswith("submission not valid, E11: ")
    assert found["criteria_met"] == {"min_accuracy": False, "max_training_time": True}
    assert found["integrity"] == {"leak_z": None, "leak_suspected": False, "findings": []}


def test_a_missing_submission_is_not_valid_even_if_no_criterion_needs_one(tmp_path):
    found = grade(tmp_path, task(max_training_time=9), classes(), seconds=1.0)
    assert found["criteria_met"] == {"max_training_time": True}
    assert (found["success"], found["overall_score"]) == (False, 0.0)


def test_a_leak_voids_success_and_is_said(tmp_path):
    hidden = classes()
    submit(tmp_path, letters(hidden.answers.labels))
    found = grade(tmp_path, task(min_accuracy=0.0), hidden)
    assert found["integrity"]["leak_suspected"]
    assert found["integrity"]["leak_z"] > 4
    assert found["criteria_met"] == {"min_accuracy": True}
    assert not found["success"]
    assert any(line.startswith("leak suspected: |z| = ") for line in found["feedback"])


def test_copied_answers_void_success_where_no_law_is_known(tmp_path):
    hidden = values(law=False)
    submit(tmp_path, [repr(float(v)) for v in hidden.answers.labels])
    found = grade(tmp_path, task("regression", min_r2=0.1), hidden)
    assert found["criteria_met"] == {"min_r2": True}
    assert not found["success"]
    assert found["feedback"][0] == "100% of the predictions equal the hidden answers"


@pytest.mark.parametrize(
    "outcome", ["finished", "agent error", "timed out", "out of memory", "disk full", "cancelled"]
)
def test_how_the_agent_ended_is_recorded_apart_from_what_its_submission_is_worth(tmp_path, outcome):
    """An agent that fails after a valid submission has still handed it in, and the other way."""
    hidden = classes()
    submit(tmp_path, bayes(hidden))
    found = grade(tmp_path, task(min_accuracy=0.5), hidden, outcome=outcome)
    assert (found["outcome"], found["success"]) == (outcome, True)
    (tmp_path / "submission.csv").unlink()
    found = grade(tmp_path, task(min_accuracy=0.5), hidden, outcome=outcome)
    assert (found["outcome"], found["success"]) == (outcome, False)


# --- the overall score ---------------------------------------------------------------------------


def test_the_overall_score_is_the_skill_of_the_first_criterion_s_measure(tmp_path):
    hidden = classes()
    codes = hidden.answers.law.p.argmax(axis=1)
    submit(tmp_path, letters(np.where(IDS % 3 == 0, (codes + 1) % 3, codes)))
    for key in ("min_balanced_accuracy", "min_accuracy"):
        found = grade(tmp_path, task(**{key: 0.1}), hidden)
        skill = found["scores"][key.removeprefix("min_")]["skill"]
        assert found["overall_score"] == pytest.approx(skill, abs=1e-6)
        assert 0 < skill < 1


def test_the_overall_score_of_a_task_without_criteria_is_its_type_s_measure(tmp_path):
    hidden = values()
    submit(tmp_path, [repr(0.5 * float(v)) for v in hidden.answers.law.mean])
    found = grade(tmp_path, task("regression"), hidden)
    assert found["overall_score"] == pytest.approx(found["scores"]["r2"]["skill"], abs=1e-6)


def test_worse_than_trivial_is_clipped_to_zero_and_better_than_bayes_to_one(tmp_path):
    hidden = classes()
    worst = hidden.answers.law.p.argmin(axis=1)
    submit(tmp_path, letters(worst))
    found = grade(tmp_path, task(min_accuracy=0.9), hidden)
    assert found["scores"]["accuracy"]["skill"] < 0
    assert found["overall_score"] == 0.0
    submit(tmp_path, bayes(hidden))
    assert grade(tmp_path, task(min_f1=0.1), hidden)["overall_score"] <= 1.0
    real = classes(law=False)
    answers = Answers(
        labels=real.answers.labels,
        law=None,
        trivial=real.answers.trivial,
        reference={"accuracy": 0.7},
    )
    submit(tmp_path, letters(answers.labels))
    found = grade(tmp_path, task(min_accuracy=0.9), Hidden(contract=real.contract, answers=answers))
    assert found["scores"]["accuracy"]["skill"] > 1
    assert found["overall_score"] == 1.0


def test_without_a_prediction_the_score_is_the_mean_share_of_the_criteria(tmp_path):
    (tmp_path / "a.md").write_text("x")
    wanted = task("general", required_files=["a.md", "b.md"], max_training_time=5)
    found = grade(tmp_path, wanted, Hidden(), seconds=1.0)
    assert found["overall_score"] == 0.75
    assert found["submission"] == {}
    assert not found["success"]
    (tmp_path / "b.md").write_text("x")
    found = grade(tmp_path, wanted, Hidden(), seconds=1.0)
    assert (found["overall_score"], found["success"]) == (1.0, True)


def test_a_task_that_asks_for_nothing_scores_nothing(tmp_path):
    found = grade(tmp_path, task("general"), Hidden())
    assert (found["overall_score"], found["success"]) == (0.0, False)


def test_where_no_ceiling_is_known_the_criteria_decide(tmp_path):
    hidden = classes(law=False)
    submit(tmp_path, letters(hidden.answers.labels))
    found = grade(tmp_path, task(min_accuracy=0.9, min_f1=2.0), hidden)
    assert found["scores"]["accuracy"]["skill"] is None
    assert found["overall_score"] == 0.5


def test_training_time_is_never_taken_from_the_agent(tmp_path):
    hidden = classes()
    submit(tmp_path, bayes(hidden))
    (tmp_path / "metrics.json").write_text('{"training_time": 1.0}')
    wanted = task(max_training_time=60)
    assert not grade(tmp_path, wanted, hidden)["success"]
    assert not grade(tmp_path, wanted, hidden, seconds=61.0)["success"]
    assert grade(tmp_path, wanted, hidden, seconds=59.0)["success"]


# --- what the agent says of itself ---------------------------------------------------------------


def test_a_claim_stands_beside_the_measured_value_and_is_never_a_score(tmp_path):
    hidden = classes()
    submit(tmp_path, ["a"] * N)
    (tmp_path / "metrics.json").write_text(
        '{"accuracy": 0.999, "mcc": 1.0, "overall_score": 1.0, "charm": 9, "success": true}'
    )
    found = grade(tmp_path, task(min_accuracy=0.9), hidden)
    assert found["claimed"] == {"accuracy": 0.999, "mcc": 1.0, "overall_score": 1.0, "charm": 9.0}
    assert found["scores"]["accuracy"]["score"] < 0.5
    assert found["scores"].keys() == {"accuracy", "balanced_accuracy", "f1"}
    assert (found["success"], found["overall_score"]) == (False, 0.0)
    found = grade(tmp_path, task("custom", min_charm=1), Hidden())
    assert found["criteria_met"] == {"min_charm": False}


# --- measures that need more than is there -------------------------------------------------------


def test_a_measure_of_probabilities_is_not_met_by_bare_classes(tmp_path):
    hidden = classes()
    submit(tmp_path, bayes(hidden))
    found = grade(tmp_path, task(max_log_loss=9.0), hidden)
    assert found["criteria_met"] == {"max_log_loss": False}
    assert "max_log_loss: not met, not measured" in found["feedback"]
    shares = [",".join(map(repr, row)) for row in hidden.answers.law.p.tolist()]
    submit(tmp_path, shares, header="id,proba_a,proba_b,proba_c")
    found = grade(tmp_path, task(max_log_loss=9.0), hidden)
    assert found["criteria_met"] == {"max_log_loss": True}
    assert found["overall_score"] == pytest.approx(1.0)


def test_a_seasonal_measure_is_left_out_where_there_are_no_seasons(tmp_path):
    """A type's usual measure may not fit its data; the criteria then decide."""
    hidden = values()
    submit(tmp_path, ["0"] * N)
    found = grade(tmp_path, task("time_series", max_rmse=100), hidden)
    assert "mase" not in found["scores"]
    found = grade(tmp_path, task("time_series"), hidden)
    assert found["scores"].keys() == {"r2", "rmse", "mae"}
    seasonal = values(scale=np.ones(N))
    assert "mase" in grade(tmp_path, task("time_series"), seasonal)["scores"]


@pytest.mark.parametrize(
    ("criteria", "hidden", "said"),
    [
        ({"min_r2": 0.5}, classes(), "min_r2 needs values, but its data ask for classes"),
        ({"min_auc": 0.5}, values(), "min_auc needs probabilities, but its data ask for values"),
        ({"min_accuracy": 1}, clusters(), "min_accuracy needs labels, but its data ask for clus"),
        ({"max_pinball": 1}, values(), "needs quantiles, but its data ask for values without q"),
        ({"max_mase": 1}, values(), "max_mase needs time series"),
    ],
    ids=["r2", "auc", "accuracy", "pinball", "mase"],
)
def test_a_criterion_that_no_submission_can_meet_is_refused(criteria, hidden, said):
    with pytest.raises(InvalidTask, match=f"t: evaluation_criteria.*{said}"):
        check_measurable(task("custom", **criteria), hidden)


def test_criteria_that_can_be_measured_or_are_no_measures_pass():
    check_measurable(task("custom", min_charm=1, max_training_time=1), classes())
    check_measurable(task(min_accuracy=0.5, max_log_loss=1), classes())
    check_measurable(task("time_series", max_mase=1), values(scale=np.ones(N)))
    check_measurable(task("regression", max_pinball=1), values(quantiles=(0.5,)))
    check_measurable(task("clustering", min_ari=0.5), clusters())
    check_measurable(task(min_r2=0.5), Hidden())


# --- floors and ceilings in advance --------------------------------------------------------------


def test_brackets_are_the_floors_and_ceilings_the_marks_will_have(tmp_path):
    hidden = classes()
    submit(tmp_path, bayes(hidden))
    wanted = task(min_accuracy=0.5)
    scores = grade(tmp_path, wanted, hidden)["scores"]
    found = brackets(wanted, hidden)
    assert found.keys() > scores.keys()
    for name, mark in scores.items():
        assert found[name] == {"floor": mark["floor"], "ceiling": mark["ceiling"]}
        assert mark["floor"] < mark["ceiling"]


@pytest.mark.parametrize(
    ("hidden", "names"),
    [(values(), {"r2", "rmse", "mae"}), (clusters(), {"adjusted_rand"}), (Hidden(), set())],
)
def test_brackets_of_other_kinds(hidden, names):
    kind = hidden.contract.kind if hidden.contract else "none"
    wanted = task({"values": "regression", "clusters": "clustering"}.get(kind, "general"))
    assert brackets(wanted, hidden).keys() == names


# --- a validator of one's own --------------------------------------------------------------------


def test_what_a_custom_validator_found_joins_what_we_measure(tmp_path):
    hidden = classes()
    submit(tmp_path, bayes(hidden))
    own = Custom(
        criteria_met={"max_accuracy": False, "tidy": True},
        scores={"charm": 3.0},
        feedback=("charming",),
    )
    wanted = task("custom", min_accuracy=0.1, max_accuracy=1.0, min_charm=2.5)
    found = grade(tmp_path, wanted, hidden, custom=own)
    assert found["criteria_met"] == {
        "min_accuracy": True,
        "max_accuracy": False,
        "min_charm": True,
        "tidy": True,
    }
    assert found["scores"]["charm"] == 3.0
    assert found["scores"]["accuracy"]["skill"] == pytest.approx(1.0)
    assert found["feedback"][-1] == "charming"
    assert not found["success"]


def test_a_custom_task_scores_the_share_of_all_criteria_each_once(tmp_path):
    own = Custom(criteria_met={"tidy": True, "min_charm": True, "neat": False})
    found = grade(tmp_path, task("custom", min_charm=1, min_wit=1), Hidden(), custom=own)
    assert found["overall_score"] == 0.5  # tidy and min_charm of four
    assert not found["success"]


# --- insights and figures ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def analysis():
    return Hidden(facts=DataAnalysis(n_samples=1000).draw(Streams(b"facts")).facts)


def test_claims_and_figures_are_measured_and_shown(tmp_path, analysis):
    planted = analysis.facts.planted
    claims = [
        {"type": fact.type, "args": dict(fact.args), "confidence": 0.9, "text": fact.text}
        for fact in planted
    ]
    text = json.dumps({"schema": "insights/1", "claims": claims}, default=list)
    (tmp_path / "insights.json").write_text(text)
    (tmp_path / "blank.png").write_bytes(b"no picture")
    wanted = task("data_analysis", required_insights=3, required_visualizations=2)
    found = grade(tmp_path, wanted, analysis)
    assert found["criteria_met"] == {"required_insights": True, "required_visualizations": False}
    assert found["overall_score"] == 0.5
    assert found["scores"]["insights"]["verified"] == len(planted)
    assert found["scores"]["insights"]["skill"] == pytest.approx(1.0)
    assert found["scores"]["visualizations"] == {"score": 0}
    assert {claim["verdict"] for claim in found["shown"]["claims"]} == {"verified"}
    assert found["shown"]["figures"][0].startswith("blank.png: not counted: ")
    assert found["shown"]["figures"][0] in found["feedback"]


def drawn(seed):
    """A drawing with enough marks of its own."""
    dots = np.random.default_rng(seed).integers(0, 1000, size=(30, 2))
    marks = "".join(f'<circle cx="{x}" cy="{y}" r="2"/>' for x, y in dots)
    return f'<svg xmlns="http://www.w3.org/2000/svg">{marks}</svg>'


def cited(folder, analysis, *evidence):
    """Write figures a to d, and true claims on the first facts with this evidence."""
    for seed, name in enumerate("abcd"):
        (folder / f"{name}.svg").write_text(drawn(seed))
    facts = analysis.facts.planted
    claims = [
        {"type": fact.type, "args": dict(fact.args), "evidence": names}
        for fact, names in zip(facts, evidence, strict=False)
    ]
    text = json.dumps({"schema": "insights/1", "claims": claims}, default=list)
    (folder / "insights.json").write_text(text)


def test_a_figure_counts_only_where_a_verified_claim_cites_it(tmp_path, analysis):
    cited(tmp_path, analysis, ["a.svg"], ["results/b.png", "nowhere.png"])
    wanted = task("data_analysis", required_insights=2, required_visualizations=2)
    found = grade(tmp_path, wanted, analysis)
    assert found["scores"]["visualizations"] == {"score": 2}
    assert found["shown"]["figures"] == [
        f"{name}.svg: not counted: no verified claim cites it as evidence" for name in "cd"
    ]


def test_what_a_false_claim_cites_does_not_count(tmp_path, analysis):
    cited(tmp_path, analysis, [])
    wrong = {"type": "constant", "args": {"column": "outcome"}, "evidence": ["a.svg"]}
    text = json.dumps({"schema": "insights/1", "claims": [wrong]})
    (tmp_path / "insights.json").write_text(text)
    wanted = task("data_analysis", required_insights=1, required_visualizations=1)
    assert grade(tmp_path, wanted, analysis)["scores"]["visualizations"] == {"score": 0}


def test_one_claim_carries_three_figures_at_most(tmp_path, analysis):
    cited(tmp_path, analysis, ["a.svg", "b.svg", "c.svg", "d.svg"])
    wanted = task("data_analysis", required_insights=1, required_visualizations=4)
    assert grade(tmp_path, wanted, analysis)["scores"]["visualizations"] == {"score": 3}


def test_where_no_insights_are_wanted_figures_need_no_claim(tmp_path, analysis):
    cited(tmp_path, analysis)
    wanted = task("data_analysis", required_visualizations=4)
    assert grade(tmp_path, wanted, analysis)["success"]


def test_a_report_for_people_is_shown_harmless_and_never_scored(tmp_path, analysis):
    (tmp_path / "report.md").write_bytes(b"# Report\n\xff \x1b[31mred\n" + b"x\n" * 1000)
    wanted = task("data_analysis", required_insights=1)
    found = grade(tmp_path, wanted, analysis)
    assert found["overall_score"] == 0.0
    assert found["shown"]["report"][:2] == ["# Report", "\ufffd \\x1b[31mred"]
    assert len(found["shown"]["report"]) == 401
    assert all(line.isprintable() for line in found["shown"]["report"])


@pytest.mark.timeout(100)
def test_a_report_that_is_no_file_is_not_opened(tmp_path, analysis):
    os.mkfifo(tmp_path / "report.md")
    wanted = task("data_analysis", required_insights=1)
    assert "report" not in grade(tmp_path, wanted, analysis)["shown"]


def test_a_report_that_makes_no_claims_is_an_empty_one(tmp_path, analysis):
    found = grade(tmp_path, task("data_analysis", required_insights=1), analysis)
    assert found["criteria_met"] == {"required_insights": False}
    assert found["shown"].keys() == {"claims"}
    assert found["scores"]["insights"]["brier"] is None


# --- strict JSON under anything valid ------------------------------------------------------------


@pytest.mark.parametrize("cell", ["1e100", "-1e100", "0", "1e-300", "-0.0"])
@pytest.mark.parametrize("scale", [None, np.full(N, 1e-3)])
def test_extreme_values_give_a_report_any_parser_takes(tmp_path, cell, scale):
    hidden = values(scale=scale, quantiles=(0.1, 0.9))
    submit(tmp_path, [f"{cell},{cell},{cell}"] * N, header="id,target,q0.1,q0.9")
    wanted = task("regression", min_r2=0.5, max_mse=1, max_pinball=1)
    found = grade(tmp_path, wanted, hidden)
    assert not found["success"]
    assert all(math.isfinite(mark["se"]) for mark in found["scores"].values())


@pytest.mark.parametrize("row", ["1,0,0", "0,0,1", "0.9999999999,1e-10,0"])
def test_certain_probabilities_give_a_report_any_parser_takes(tmp_path, row):
    submit(tmp_path, [row] * N, header="id,proba_a,proba_b,proba_c")
    found = grade(tmp_path, task(max_log_loss=0.5, min_auc=0.6, min_mcc=0.1), classes())
    assert found["scores"]["log_loss"]["score"] > 10
    assert found["overall_score"] == 0.0


@pytest.mark.parametrize("cells", [["7"] * N, [str(k) for k in IDS], ["-" + "9" * 18] * N])
def test_any_clusters_give_a_report_any_parser_takes(tmp_path, cells):
    submit(tmp_path, cells)
    found = grade(tmp_path, task("clustering", min_adjusted_rand=0.5), clusters())
    assert not found["success"]


def test_a_custom_score_does_not_take_the_place_of_a_measured_one(tmp_path):
    hidden = classes()
    submit(tmp_path, bayes(hidden))
    own = Custom(scores={"accuracy": 5.0, "charm": 2.0})
    found = grade(tmp_path, task(min_accuracy=0.99), hidden, custom=own)
    assert found["scores"]["accuracy"]["score"] < 1
    assert found["scores"]["charm"] == 2.0
    assert found["criteria_met"] == {"min_accuracy": False}


def test_fishing_for_facts_meets_no_mark(tmp_path, analysis):
    """A claim of missing cells on every column: few are right, the others cost more."""
    columns = [name for name in analysis.facts.columns if name not in {"row", "time"}]
    fished = [
        {
            "type": "missingness",
            "args": {"column": column, "mechanism": "MCAR", "driver": None},
            "confidence": 0.0,
        }
        for column in columns
    ]
    (tmp_path / "results").mkdir(exist_ok=True)
    insights = {"schema": "insights/1", "claims": fished[:20]}
    (tmp_path / "results" / "insights.json").write_text(json.dumps(insights))
    found = grade(tmp_path, task("data_analysis", required_insights=1), analysis)
    assert found["criteria_met"] == {"required_insights": False}
