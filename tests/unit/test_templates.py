"""The shipped tasks: whole, licensed, in form, and what their schema says."""

import json
import re

import jsonschema
import pytest

from tasks.families import Bundled
from tasks.registry import TEMPLATES, TaskRegistry
from tasks.spec import Task, json_schema

FILES = sorted(TEMPLATES.glob("*.json"))
SCHEMA_FILE = TEMPLATES.parent / "task.schema.json"
EACH = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)

SAID_BY_THE_SPECIFICATION = [
    "classification_basic",
    "data_analysis_exploratory",
    "deep_learning_image_classification",
    "regression_basic",
]


def test_the_tasks_of_the_specification_are_shipped_and_a_time_series():
    shipped = {file.stem for file in FILES}
    assert {*SAID_BY_THE_SPECIFICATION, "time_series_forecasting"} <= shipped


def test_the_shipped_schema_is_that_of_the_code():
    """If not, write `json_schema()` to tasks/task.schema.json, indented by two."""
    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == json_schema()


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "../x"},
        {"id": 5},
        {"task_type": "classificatiom"},
        {"difficulty": "hrad"},
        {"data_requirements": {"dataset_type": "none"}},
        {"evaluation_criteria": {"accuracy": 0.5}},
        {"evaluation_criteria": {"min_accuracy": "high"}},
        {"instruction": "Do this."},
    ],
)
def test_the_schema_tells_an_editor_what_is_wrong(wrong):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"id": "t", "task_type": "general", **wrong}, json_schema())


@EACH
def test_a_template_fits_the_schema_it_names(file):
    content = json.loads(file.read_text(encoding="utf-8"))
    assert (file.parent / content["$schema"]).resolve() == SCHEMA_FILE.resolve()
    jsonschema.validate(content, json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))


@EACH
def test_a_template_is_named_as_its_file_and_found_by_its_id(file):
    task = Task.load(file)
    assert task.id == file.stem
    assert TaskRegistry(TEMPLATES).get_task(task.id) == task


@EACH
def test_a_template_is_saved_and_loaded_unchanged(file, tmp_path):
    task = Task.load(file)
    copy = task.save(tmp_path / file.name)
    assert Task.load(copy) == task
    assert Task.load(copy).save(tmp_path / "again.json").read_bytes() == copy.read_bytes()


@EACH
def test_a_template_says_every_field_itself(file):
    """Only the schema's own defaults may be left out."""
    content = json.loads(file.read_text(encoding="utf-8"))
    definition = Task.load(file).definition()
    assert {key: definition[key] for key in content if key != "$schema"} == {
        key: value for key, value in content.items() if key != "$schema"
    }
    assert definition.keys() <= content.keys()


@EACH
def test_a_template_is_complete(file):
    task = Task.load(file)
    assert len(task.instructions) >= 200
    assert len(task.description) >= 40
    assert task.estimated_time
    assert task.criteria
    assert task.expected_outputs
    assert task.tags
    assert task.metadata["author"]
    assert task.metadata["license"]
    assert not re.search(r"\b(TODO|FIXME|XXX|lorem)\b", file.read_text(encoding="utf-8"))


@EACH
def test_instructions_name_the_places_that_an_agent_has(file):
    task = Task.load(file)
    named = set(re.findall(r"\$(\w+)", task.instructions))
    assert "DATA_DIR" in named
    assert named <= {"DATA_DIR", "SUBMISSION_DIR", "EXPERIMENT_DIR", "CODE_DIR", "LOGS_DIR",
                     "TIME_LIMIT_SECS", "HOME", "TASK_CONFIG"}  # fmt: skip
    if task.primary_measure is not None:
        assert "$SUBMISSION_DIR/submission.csv" in task.instructions


@EACH
def test_instructions_state_the_marks_as_the_criteria_have_them(file):
    task = Task.load(file)
    text = task.instructions.replace(",", "")
    missing = [c.key for c in task.criteria if f"{c.threshold:g}" not in text]
    assert missing == []


@EACH
def test_real_data_have_a_licence_and_a_source(file):
    task = Task.load(file)
    if not isinstance(task.family, Bundled):
        assert task.data_requirements.get("generate_synthetic", True) is True
        return
    assert task.data_requirements["generate_synthetic"] is False
    assert task.metadata["source"].startswith("https://")
    assert len(task.metadata["license"]) >= 3
    assert len(task.metadata["citation"]) >= 20
    assert "real" in task.tags


def test_every_bundled_data_set_has_a_template():
    names = {task.family.name for task in map(Task.load, FILES) if isinstance(task.family, Bundled)}
    assert names == set(Bundled.model_fields["name"].annotation.__args__)
