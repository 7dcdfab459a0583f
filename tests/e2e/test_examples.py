"""The examples run as they stand, and say what they are there to say."""

import pytest

from tests.conftest import ROOT

EXAMPLES = ROOT / "tasks" / "examples"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("classification_example", ["skill 0.", "Success: "]),
        ("custom_task_example", ["'small_model': True", "success True"]),
        ("data_analysis_example", ["redundant_pair: verified", "redundant_pair: false"]),
    ],
)
def test_an_example_runs_and_prints_what_it_shows(process, name, said):
    ended = process(EXAMPLES / f"{name}.py")
    assert ended.status == 0, ended.err
    for words in said:
        assert words in ended.out


def test_every_example_is_run():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {
        "classification_example",
        "custom_task_example",
        "data_analysis_example",
        "first_agent",  # the command that `run_task.py` says next; tests/e2e/test_run_task.py
    }
