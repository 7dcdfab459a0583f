"""What a task file may say, and what is said of one that says something else."""

import json
import os
import string
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.errors import InvalidTask
from tasks.families import DEFAULT_FACTS, Classification, ImageClassification
from tasks.files import MAX_DEPTH, MAX_FILE_BYTES
from tasks.measures import ALIASES, MEASURES
from tasks.spec import ID, Criterion, Task, check_relative, json_schema, known_criteria

SAMPLES = {
    "classification_basic": """\
{
  "id": "classification_basic",
  "name": "Basic Classification Task",
  "task_type": "classification",
  "difficulty": "easy",
  "data_requirements": {
    "generate_synthetic": true,
    "dataset_type": "classification",
    "n_samples": 1000,
    "n_features": 10,
    "n_classes": 3
  },
  "evaluation_criteria": {
    "min_accuracy": 0.7
  }
}
""",
    "regression_basic": """\
{
  "id": "regression_basic",
  "name": "Basic Regression Task",
  "task_type": "regression",
  "difficulty": "easy",
  "data_requirements": {
    "generate_synthetic": true,
    "dataset_type": "regression",
    "n_samples": 1000,
    "n_features": 8
  },
  "evaluation_criteria": {
    "min_r2": 0.6
  }
}
""",
    "data_analysis_exploratory": """\
{
  "id": "data_analysis_exploratory",
  "name": "Exploratory Data Analysis Task",
  "task_type": "data_analysis",
  "difficulty": "medium",
  "evaluation_criteria": {
    "required_visualizations": 5,
    "required_insights": 3
  }
}
""",
    "deep_learning_image_classification": """\
{
  "id": "deep_learning_image_classification",
  "name": "Deep Learning Image Classification",
  "task_type": "deep_learning",
  "difficulty": "hard",
  "data_requirements": {
    "dataset_type": "image_classification",
    "n_samples": 5000,
    "image_size": [32, 32],
    "n_classes": 10
  },
  "evaluation_criteria": {
    "min_accuracy": 0.75,
    "max_training_time": 3600
  }
}
""",
}
"""The samples of the specification, as they stand there."""


def made(**fields):
    return Task.from_dict({"id": "t", "task_type": "general", **fields})


def refused(**fields):
    with pytest.raises(InvalidTask) as caught:
        made(**fields)
    return str(caught.value)


@pytest.fixture
def load(tmp_path):
    """Write a task file and load it."""

    def call(content):
        path = tmp_path / "t.json"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return Task.load(path)

    return call


# --- the samples of the specification ----------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_of_the_specification_loads_as_it_stands(load, name):
    task = load(SAMPLES[name])
    said = json.loads(SAMPLES[name])
    assert task.id == name
    assert {key: task.definition()[key] for key in said} == said


def test_a_sample_means_what_it_says(load):
    task = load(SAMPLES["classification_basic"])
    assert task.family == Classification(n_samples=1000, n_features=10, n_classes=3)
    assert task.criteria == (
        Criterion(key="min_accuracy", bound="min", subject="accuracy", threshold=0.7),
    )
    images = load(SAMPLES["deep_learning_image_classification"])
    assert images.family == ImageClassification(n_samples=5000, image_size=(32, 32), n_classes=10)
    assert [criterion.subject for criterion in images.criteria] == ["accuracy", "training_time"]


def test_data_that_a_type_implies_need_not_be_named(load):
    family = load(SAMPLES["data_analysis_exploratory"]).family
    assert family.facts == DEFAULT_FACTS


# --- what is silent ----------------------------------------------------------------------------


def test_a_name_is_made_of_the_id_where_none_is_given():
    assert made(id="my_first-task").name == "My First Task"
    assert made(name="Mine").name == "Mine"


def test_an_open_task_without_data_has_no_family():
    assert made().family is None
    assert made(
        data_requirements={"copy_files": ["a.csv"], "generate_synthetic": False}
    ).family is (None)


@pytest.mark.parametrize(
    ("fields", "measure"),
    [
        ({"task_type": "classification"}, "accuracy"),
        ({"task_type": "classification", "evaluation_criteria": {"min_auc": 0.5}}, "roc_auc"),
        (
            {"task_type": "deep_learning", "evaluation_criteria": {"max_training_time": 9}},
            "accuracy",
        ),
        ({"task_type": "data_analysis"}, None),
        ({"task_type": "general"}, None),
    ],
)
def test_the_primary_measure_is_the_first_criterions_else_the_types(fields, measure):
    assert made(**fields).primary_measure == measure


@pytest.mark.parametrize(
    ("metadata", "tags"),
    [({"tags": ["a", 1]}, ["a", "1"]), ({}, []), ({"tags": "tabular"}, []), ({"tags": None}, [])],
)
def test_tags_are_a_list_of_text_whatever_the_metadata_hold(metadata, tags):
    assert made(metadata=metadata).tags == tags


@pytest.mark.parametrize("value", ["30 minutes", 30, ""])
def test_the_estimated_time_is_words_or_minutes(value):
    assert made(estimated_time=value).estimated_time == value


# --- wrong types and unknown names -------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": 5}, "id: 5: input should be a valid string"),
        ({"name": None}, "name: None: input should be a valid string"),
        ({"version": 1.0}, "version: 1.0: input should be a valid string"),
        ({"difficulty": "hrad"}, "difficulty: 'hrad': input should be 'easy', 'medium' or 'hard'"),
        ({"estimated_time": True}, "True: input should be a valid"),
        ({"estimated_time": 0.5}, "0.5: input should be a valid"),
        ({"data_requirements": []}, "data_requirements: []: input should be a valid dictionary"),
        ({"evaluation_criteria": "x"}, "evaluation_criteria: 'x': input should be a valid dict"),
        ({"metadata": 3}, "metadata: 3: input should be a valid dictionary"),
        ({"expected_outputs": 3}, "3: input should be a valid"),
        ({"expected_outputs": [1]}, "1: input should be a valid string"),
        ({"task_type": ["general"]}, "task_type: ['general']: input should be a valid string"),
        ({"task_type": "classificatiom"}, "no task type 'classificatiom'; did you mean 'class"),
        ({"difficultly": "easy"}, "difficultly: unknown key; did you mean 'difficulty'?"),
        ({"schema": "x"}, "schema: unknown key; did you mean '$schema'?"),
        ({"Id": "x"}, "Id: unknown key; did you mean 'id'?"),
    ],
)
def test_a_wrong_field_is_named_with_what_would_do(fields, message):
    assert message in refused(**fields)


@pytest.mark.parametrize(
    ("requirements", "message"),
    [
        ({"n_sample": 10}, "n_sample: unknown key; did you mean 'n_samples'?"),
        ({"n_samples": "10"}, "n_samples: '10': input should be a valid integer"),
        ({"n_samples": True}, "n_samples: True: input should be a valid integer"),
        ({"n_samples": 1e3}, "n_samples: 1000.0: input should be a valid integer"),
        ({"n_samples": 0}, "n_samples: 0: input should be greater than or equal to 1"),
        ({"ceiling": 1}, "ceiling: 1: input should be less than 1"),
        ({"n_samples": 20}, "n_samples is 20; 3 classes need at least 30"),
        ({"ceiling": 0.3}, "ceiling is 0.3; it must exceed 1.2 / n_classes"),
        ({"dataset_type": "classificatiom"}, "no family 'classificatiom'; did you mean 'class"),
        ({"dataset_type": ""}, "dataset_type: no family ''; known: "),
        ({"dataset_type": 0}, "dataset_type must be a name, not 0"),
        ({"dataset_type": "os:system"}, "dataset_type: no family 'os:system'"),
        ({"dataset_type": "bundled"}, "data_requirements.name: Field required"),
        ({"generate_synthetic": "yes"}, "generate_synthetic must be a boolean: 'yes'"),
        ({"copy_files": "a.csv"}, "copy_files must be a list of file names"),
        ({"copy_files": [1]}, "copy_files must be a list of file names"),
        ({"dataset_type": "image_classification", "image_size": [32]}, "image_size"),
        ({"dataset_type": "image_classification", "image_size": ["32", 32]}, "image_size.0: '32'"),
        ({"dataset_type": "data_analysis", "facts": ["outlier"]}, "facts.0: 'outlier'"),
        ({"dataset_type": "data_analysis", "facts": []}, "facts"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_would_do(requirements, message):
    said = refused(task_type="classification", data_requirements=requirements)
    assert said.startswith("task: data_requirements")
    assert message in said


def test_parameters_without_a_family_ask_for_one():
    said = refused(data_requirements={"n_samples": 10})
    assert "data_requirements.n_samples: name a dataset_type, one of " in said


@pytest.mark.parametrize("missing", ["id", "task_type"])
def test_what_must_be_there_is_asked_for(missing):
    fields = {"id": "t", "task_type": "general"}
    del fields[missing]
    with pytest.raises(InvalidTask, match=f"{missing}: Field required"):
        Task.from_dict(fields)


@pytest.mark.parametrize("data", [[1], "text", None, 5])
def test_what_is_no_object_is_no_task(data):
    with pytest.raises(InvalidTask, match="a task must be a JSON object, not "):
        Task.from_dict(data)


@pytest.mark.parametrize(
    "fields",
    [
        {"evil\n\x1b[31mkey": 1},
        {"k" * 10**6: 1},
        {"task_type": "\x1b[2J" + "t" * 10**6},
        {"task_type": "classification", "data_requirements": {"\x1b[2J" + "k" * 10**6: 1}},
        {"evaluation_criteria": {"min_accuracy\n" + "k" * 10**6: "x" * 10**6}},
        {"evaluation_criteria": {"required_files": ["\0" * 10**6]}},
        {"data_requirements": {"copy_files": ["../" + "a" * 10**6]}},
    ],
)
def test_a_message_is_one_short_printable_line_whatever_is_wrong(fields):
    said = refused(**fields)
    assert said.isprintable()
    assert len(said) < 700


# --- criteria ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "bound", "subject", "threshold"),
    [
        ("min_accuracy", 0.7, "min", "accuracy", 0.7),
        ("min_f1_score", 1, "min", "f1", 1.0),
        ("max_rmse", 2, "max", "rmse", 2.0),
        ("max_training_time", 3600, "max", "training_time", 3600.0),
        ("required_insights", 3, "required", "insights", 3.0),
        ("required_files", ["a/b.csv", "c"], "required", "files", ("a/b.csv", "c")),
    ],
)
def test_a_criterion_is_a_bound_a_subject_and_a_threshold(key, value, bound, subject, threshold):
    criterion = Criterion.parse(key, value)
    assert criterion == Criterion(key=key, bound=bound, subject=subject, threshold=threshold)
    assert isinstance(criterion.threshold, float | tuple)


@pytest.mark.parametrize("key", known_criteria())
def test_every_known_criterion_can_be_asked_for(key):
    assert Criterion.parse(key, 1).key == key


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("min_accurazy", "did you mean 'min_accuracy'?"),
        ("accuracy", "did you mean 'min_accuracy'?"),
        ("min_rmse", "did you mean 'max_rmse'?"),
        ("max_accuracy", "did you mean 'min_accuracy'?"),
        ("min_training_time", "did you mean 'max_training_time'?"),
        ("required_insight", "did you mean 'required_insights'?"),
        ("MIN_ACCURACY", "did you mean 'min_accuracy'?"),
        ("", "known: "),
    ],
)
def test_an_unknown_criterion_is_answered_with_the_nearest(key, nearest):
    said = refused(task_type="classification", evaluation_criteria={key: 0.7})
    assert said.startswith(f"task: evaluation_criteria.{key}: unknown criterion; ")
    assert nearest in said


@pytest.mark.parametrize("task_type", ["custom", "general"])
def test_open_types_leave_unknown_measures_to_their_validator(task_type):
    task = made(task_type=task_type, evaluation_criteria={"min_beauty": 3})
    assert task.criteria[0].subject == "beauty"
    for key in ("beauty", "min_", "required_beauty"):
        assert "unknown criterion" in refused(task_type=task_type, evaluation_criteria={key: 3})


@pytest.mark.parametrize(
    "value", ["0.7", None, True, [0.7], {}, float("nan"), float("inf"), 10**400]
)
def test_a_threshold_is_a_finite_number(value):
    with pytest.raises(ValueError, match="the threshold must be a finite number, not "):
        Criterion.parse("min_accuracy", value)


@pytest.mark.parametrize("value", ["3", None, True, -1, 1.5, [], [1], {}])
def test_a_requirement_is_a_count_or_a_list_of_names(value):
    with pytest.raises(ValueError, match="must be a count or a list of names, not "):
        Criterion.parse("required_files", value)


@given(
    key=st.one_of(
        st.text(max_size=30),
        st.tuples(
            st.sampled_from(["min", "max", "required"]),
            st.one_of(st.sampled_from([*MEASURES, *ALIASES, "files"]), st.text(max_size=9)),
        ).map("_".join),
    ),
    value=st.one_of(
        st.floats(), st.integers(), st.text(max_size=5), st.lists(st.text(max_size=5)), st.none()
    ),
    open_ended=st.booleans(),
)
@example(key="min_accuracy", value=2**1024, open_ended=False)
@example(key="required_files", value=2**1024, open_ended=False)
def test_any_criterion_is_parsed_or_refused_as_a_value_error(key, value, open_ended):
    try:
        criterion = Criterion.parse(key, value, open_ended=open_ended)
    except ValueError:
        return
    assert criterion.key == key
    assert key.startswith(f"{criterion.bound}_")


# --- ids and paths -----------------------------------------------------------------------------


@given(st.one_of(st.text(max_size=90), st.from_regex(ID), st.text("./\\a-_\0", max_size=8)))
@example("a" * 80)
@example("a" * 81)
@example("a\n")
@example("..")
@example("a/../b")
def test_an_id_that_is_accepted_is_one_safe_path_component(text):
    try:
        task = made(id=text)
    except InvalidTask:
        return
    assert Path(task.id).name == task.id
    assert not task.id.startswith((".", "-"))
    assert ".." not in task.id
    assert set(task.id) <= set(string.ascii_letters + string.digits + "._-")
    assert 1 <= len(task.id) <= 80


@pytest.mark.parametrize(
    "task_id",
    [
        "",
        ".",
        "..",
        "a..b",
        "../x",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "a b",
        "a\0",
        "a\n",
        "ä",
        "x" * 81,
    ],
)
def test_an_id_that_could_leave_its_folder_is_refused(task_id):
    assert "is no task id: letters, digits, '_', '-' and '.', at most 80" in refused(id=task_id)


PATH_TRICKS = ["..", "../a", "a/../../b", "/etc/passwd", "//a", "a\0", "a\nb", "", ".", "./.",
               "\ud800", "a" * 256, "b/" + "ä" * 128, "\u202ea"]  # fmt: skip


@pytest.mark.parametrize("name", PATH_TRICKS)
def test_a_path_that_could_leave_its_folder_is_refused(name):
    with pytest.raises(ValueError, match="is not a plain relative path"):
        check_relative(name)


@pytest.mark.parametrize("name", [name for name in PATH_TRICKS if name != "\ud800"])
def test_no_file_to_copy_or_to_expect_is_such_a_path(name):
    assert "is not a plain relative path" in refused(data_requirements={"copy_files": [name]})
    said = refused(evaluation_criteria={"required_files": [name]})
    assert said.startswith("task: evaluation_criteria.required_files: ")


@given(st.one_of(st.text(max_size=40), st.text("./ab\0~", max_size=10)))
def test_a_path_that_is_accepted_stays_below_its_folder(name):
    try:
        check_relative(name)
    except ValueError:
        return
    assert os.path.normpath(f"/folder/{name}").startswith("/folder/")


def test_plain_relative_paths_are_kept_in_their_order():
    names = ["b.csv", "a/c d.txt", "a~", "x" * 255]
    assert made(data_requirements={"copy_files": names}).copy_files == names


# --- what JSON cannot hold ---------------------------------------------------------------------

DEEP = json.loads("[" * 60 + "]" * 60)
DEEPER = []
for _ in range(100_000):
    DEEPER = [DEEPER]


@pytest.mark.parametrize("field", ["metadata", "data_requirements", "evaluation_criteria"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), ".a: nan cannot be written as JSON"),
        (float("-inf"), ".a: -inf cannot be written as JSON"),
        (2**2000, ".a: "),
        ("\ud800", r".a: '\ud800' cannot be written as JSON"),
        ({"\ud800": 1}, r": a: the key '\ud800' cannot be written as JSON"),
        ({1: 2}, ": a: the key 1 cannot be written as JSON"),
        ({"b": [0, {1, 2}]}, ".a.b.1: {1, 2} cannot be written as JSON"),
        (b"bytes", ".a: b'bytes' cannot be written as JSON"),
        (DEEP, "nested too deeply; at most 50 levels"),
        (DEEPER, "nested too deeply; at most 50 levels"),
    ],
    ids=["nan", "inf", "int", "surrogate", "key", "number key", "set", "bytes", "deep", "deeper"],
)
def test_what_could_not_be_saved_again_is_refused_when_the_task_is_made(field, value, message):
    said = refused(**{field: {"a": value}})
    assert message in said
    assert len(said) < 700


def test_a_list_that_holds_itself_is_refused():
    itself = []
    itself.append(itself)
    assert "nested too deeply" in refused(metadata={"a": itself})


# --- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not valid JSON: Expecting value"),
        ("{", "not valid JSON: "),
        ("{} {}", "not valid JSON: Extra data"),
        ("{'id': 1}", "not valid JSON: "),
        ("[]", "a task must be a JSON object, not []"),
        ("null", "a task must be a JSON object, not None"),
        ('{"id": "a", "id": "b"}', "the key 'id' stands twice"),
        ('{"id": "t", "metadata": {"a": {"x": 1, "x": 1}}}', "the key 'x' stands twice"),
        ('{"metadata": {"a": NaN}}', "metadata.a: nan cannot be written as JSON"),
        ('{"metadata": {"a": [-Infinity]}}', "metadata.a.0: -inf cannot be written as JSON"),
        ('{"metadata": {"a": 1e999}}', "metadata.a: inf cannot be written as JSON"),
        ('{"metadata": {"a": "\\ud800"}}', "metadata.a: '\\ud800' cannot be written as JSON"),
        ('{"metadata": {"a": ' + "9" * 5000 + "}}", "not valid JSON: Exceeds the limit"),
        ('{"metadata": {"a": ' + "[" * 60 + "]" * 60 + "}}", "nested too deeply; at most 50"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8 text"),
        (b'{"id": "\xff"}', "not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_task_is_named_with_what_is_wrong(load, tmp_path, content, message):
    with pytest.raises(InvalidTask) as caught:
        load(content)
    assert str(caught.value).startswith(f"{tmp_path / 't.json'}: ")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_file_may_be_as_deep_as_the_bound_and_begin_with_a_byte_order_mark(load):
    inner = "[" * (MAX_DEPTH - 2) + "]" * (MAX_DEPTH - 2)
    text = '{"id": "t", "task_type": "general", "metadata": {"a": ' + inner + "}}"
    assert load(b"\xef\xbb\xbf" + text.encode()).id == "t"


def test_a_file_of_a_hundred_megabytes_is_refused_without_being_read(process, tmp_path):
    """A process that may hold 1 GB of addresses reads a sparse file of 100 GB by its first MiB."""
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(10**11)
    ended = process(
        "-c",
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))\n"
        "from tasks.spec import Task\n"
        "from tasks.errors import InvalidTask\n"
        "try: Task.load(sys.argv[1])\n"
        "except InvalidTask as error: print(error)\n",
        path,
        env={"OPENBLAS_NUM_THREADS": "1"},
    )
    assert ended.out == f"{path}: 100,000,000,000 bytes; a task file holds at most 1 MiB\n"


def test_a_string_of_a_hundred_megabytes_makes_no_long_message():
    said = refused(difficulty="x" * 10**8)
    assert "difficulty: 'xxx" in said
    assert len(said) < 700


def test_the_largest_file_is_one_mebibyte(load):
    text = '{"id": "t", "task_type": "general", "description": "%s"}'
    filler = "x" * (MAX_FILE_BYTES - len(text) + 2)
    assert len(load(text % filler).description) == len(filler)
    with pytest.raises(InvalidTask, match="1,048,577 bytes; a task file holds at most 1 MiB"):
        load(text % (filler + "x"))


def test_a_file_that_is_not_there_or_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "fifo.json")
    for path, why in [
        (tmp_path / "none.json", "No such file or directory"),
        (tmp_path, "not a regular file"),
        (tmp_path / "fifo.json", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        (tmp_path / ("x" * 300), "File name too long"),
        ("a\0b", "embedded null byte"),
    ]:
        with pytest.raises(InvalidTask, match=why):
            Task.load(path)


def test_a_task_knows_the_folder_of_its_file_and_one_made_in_memory_has_none(tmp_path):
    (tmp_path / "real").mkdir()
    path = made().save(tmp_path / "real" / "t.json")
    (tmp_path / "link").symlink_to("real")
    assert Task.load(tmp_path / "link" / "t.json").folder == path.resolve().parent
    assert made().folder is None


def test_a_saved_task_names_the_schema_it_had_or_the_shipped_one(tmp_path):
    path = made().save(tmp_path / "t.json")
    assert json.loads(path.read_text())["$schema"] == "task.schema.json"
    Task.from_dict({"id": "t", "task_type": "general", "$schema": "../s.json"}).save(path)
    assert json.loads(path.read_text())["$schema"] == "../s.json"
    assert Task.load(path).definition() == made().definition()


def test_a_task_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        made().id = "other"


def test_tasks_are_equal_if_they_say_the_same():
    assert made() == made()
    assert len({made(), made(), made(id="u")}) == 2
    assert made() != made(metadata={"a": 1})
    assert made() != made().definition()


# --- any task ----------------------------------------------------------------------------------

TEXT = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**200), 2**200) | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)  # fmt: skip
TASKS = st.fixed_dictionaries(
    {
        "id": st.from_regex(ID, fullmatch=True).filter(lambda text: ".." not in text),
        "task_type": st.sampled_from(["general", "custom", "classification", "data_analysis"]),
    },
    optional={
        "name": TEXT,
        "description": TEXT,
        "difficulty": st.sampled_from(["easy", "medium", "hard"]),
        "estimated_time": TEXT | st.integers(0, 10_000),
        "evaluation_criteria": st.dictionaries(
            st.sampled_from(known_criteria()), st.integers(0, 100), max_size=4
        ),
        "data_requirements": st.fixed_dictionaries(
            {}, optional={"generate_synthetic": st.booleans(), "copy_files": st.just(["a", "b/c"])}
        ),
        "instructions": TEXT,
        "expected_outputs": st.lists(TEXT, max_size=3) | st.dictionaries(TEXT, TEXT, max_size=3),
        "metadata": st.dictionaries(TEXT, JSON, max_size=4),
        "version": TEXT,
    },
)


@given(TASKS)
@settings(deadline=None)
def test_any_task_saved_and_loaded_is_equal(tmp_path_factory, fields):
    task = Task.from_dict(fields)
    path = tmp_path_factory.mktemp("any") / "t.json"
    loaded = Task.load(task.save(path))
    assert loaded == task
    assert (loaded.family, loaded.criteria) == (task.family, task.criteria)
    assert Task.from_dict(task.definition()) == task


@given(st.dictionaries(st.sampled_from(sorted(Task.model_fields)) | TEXT, JSON, max_size=6))
def test_any_json_object_is_a_task_or_an_invalid_task(data):
    try:
        task = Task.from_dict(data)
    except InvalidTask:
        return
    assert task.definition()["id"] == data["id"]


# --- the schema --------------------------------------------------------------------------------


def test_the_schema_names_every_family_criterion_and_parameter():
    properties = json_schema()["properties"]
    requirements = properties["data_requirements"]["properties"]
    assert "classification" in requirements["dataset_type"]["enum"]
    assert "classification" in requirements["n_classes"]["description"].split()
    assert "regression" not in requirements["n_classes"]["description"].split()
    assert set(known_criteria()) == set(properties["evaluation_criteria"]["properties"])


@given(TASKS)
@settings(deadline=None, max_examples=50)
def test_what_loads_fits_the_schema(fields):
    import jsonschema

    jsonschema.validate(Task.from_dict(fields).definition(), json_schema())
