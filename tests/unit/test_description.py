"""What an agent is told: the job, the files, the form, the marks; and nothing twice."""

import numpy as np
import pytest

from tasks.datasets import description
from tasks.datasets.description import in_words, submission_form
from tasks.instance import Contract, Instance
from tasks.registry import TEMPLATES
from tasks.spec import Criterion, Task, known_criteria

IDS = np.arange(1234)


def told(contract=None, notes="", **fields):
    task = Task.from_dict({"id": "t", "task_type": "general", "name": "The Name", **fields})
    return description(task, Instance(public={}, notes=notes, contract=contract))


def headings(text):
    return [line for line in text.splitlines() if line.startswith("#")]


def test_a_task_that_says_little_is_told_in_few_words():
    text = told()
    assert headings(text) == [
        "# The Name",
        "## Your job",
        "## Files in `$DATA_DIR`",
        "## Where things are",
    ]
    assert "sample_submission.csv" not in text
    assert text.endswith("\n")
    assert "\n\n\n" not in text


def test_everything_a_task_says_has_its_place():
    text = told(
        contract=Contract(kind="values", ids=IDS),
        notes="- `train.csv`: rows\n",
        description="What it is about.",
        instructions="Do this.\n",
        expected_outputs={"results/report.md": "what you found"},
        evaluation_criteria={"min_r2": 0.5, "required_files": ["a.md", "b.md"]},
        task_type="regression",
    )
    assert headings(text) == [
        "# The Name",
        "## Your job",
        "## Files in `$DATA_DIR`",
        "## What to submit",
        "## Expected outputs",
        "## How it is judged",
        "## Where things are",
    ]
    for said in (
        "What it is about.",
        "Do this.",
        "- `train.csv`: rows",
        "- `sample_submission.csv`: the form of a submission",
        "- `results/report.md`: what you found",
        "- `min_r2`: r2 at least 0.5 on the hidden answers",
        "- `required_files`: these must exist: a.md, b.md",
        "never scored",
        "`$TIME_LIMIT_SECS`",
    ):
        assert said in text


def test_expected_outputs_may_be_a_list_and_files_of_the_task_are_listed():
    text = told(
        expected_outputs=["a report", "a figure"], data_requirements={"copy_files": ["own/a.csv"]}
    )
    assert "- a report\n- a figure" in text
    assert "- `own/a.csv`" in text


@pytest.mark.parametrize(
    ("contract", "said", "unsaid"),
    [
        (
            Contract(kind="classes", ids=IDS, classes=("a", "b", "c")),
            ["`id`: each of the 1,234 test ids once", "one of a, b, c", "(optional)", "`proba_c`"],
            ["(required)", "quantile"],
        ),
        (
            Contract(kind="classes", ids=IDS, classes=("a", "b"), probabilities=True),
            ["`proba_a` … `proba_b` (required)"],
            ["(optional)"],
        ),
        (
            Contract(kind="values", ids=IDS, id_column="row", target="y", quantiles=(0.1, 0.95)),
            ["`row`: each", "`y`: the predicted number", "`q0.1`: the 0.1 quantile", "`q0.95`"],
            ["class", "`target`"],
        ),
        (
            Contract(kind="clusters", ids=IDS),
            ["`target`: a cluster number, any integer"],
            ["class", "quantile"],
        ),
    ],
    ids=["classes", "probabilities", "values", "clusters"],
)
def test_the_form_of_a_submission_is_told_by_its_kind(contract, said, unsaid):
    form = submission_form(contract)
    assert "`$SUBMISSION_DIR/submission.csv`" in form
    assert "validate_submission.sh" in form
    assert all(words in form for words in said)
    assert not any(words in form for words in unsaid)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("min_roc_auc", 0.9, "roc auc at least 0.9 on the hidden answers"),
        ("max_rmse", 12.5, "rmse at most 12.5 on the hidden answers"),
        ("max_training_time", 3600, "finished within 3600 s, measured by the harness"),
        ("required_insights", 3, "at least 3 verified claims"),
        ("required_visualizations", 5, "at least 5 figures that count"),
        ("required_files", 2, "at least 2 files"),
        ("required_files", ["a", "b"], "these must exist: a, b"),
    ],
)
def test_a_criterion_is_said_in_words(key, value, said):
    assert in_words(Criterion.parse(key, value)) == said


@pytest.mark.parametrize("key", known_criteria())
def test_every_criterion_has_words_that_name_its_threshold(key):
    assert "7" in in_words(Criterion.parse(key, 7))


@pytest.mark.parametrize("file", sorted(TEMPLATES.glob("*.json")), ids=lambda file: file.stem)
def test_every_mark_of_a_shipped_task_is_told(file):
    task = Task.load(file)
    text = description(task, Instance(public={}, notes=""))
    assert all(f"- `{criterion.key}`: {in_words(criterion)}" in text for criterion in task.criteria)
    assert task.instructions in text
