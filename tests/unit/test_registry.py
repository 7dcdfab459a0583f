"""Tasks by id: the shipped ones, folders of one's own, tasks made in memory."""

import json
import os

import pytest

import tasks
from tasks.errors import InvalidTask, UnknownName, UsageError
from tasks.registry import TEMPLATES, TaskRegistry, default_folders
from tasks.spec import Task


def task(task_id, **fields):
    return Task.from_dict({"id": task_id, "task_type": "general", **fields})


@pytest.fixture
def folder(tmp_path):
    """Make a folder of tasks: `folder(name, a=…)` writes `a.json`."""

    def call(name, **files):
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        for stem, content in files.items():
            if isinstance(content, Task):
                content.save(place / f"{stem}.json")
            else:
                (place / f"{stem}.json").write_text(content)
        return place

    return call


def ids(registry):
    return [known.id for known in registry.list_tasks()]


# --- finding -----------------------------------------------------------------------------------


def test_the_shipped_tasks_are_known_by_id():
    assert tasks.registry.get_task("classification_basic").family.n_classes == 3
    shipped = [json.loads(file.read_text())["id"] for file in TEMPLATES.glob("*.json")]
    assert ids(TaskRegistry(TEMPLATES)) == sorted(shipped)


def test_an_unknown_id_is_answered_with_the_nearest_or_with_all(folder):
    registry = TaskRegistry(folder("own", a=task("apple"), b=task("pear")))
    with pytest.raises(UnknownName, match="no task 'aple'; did you mean 'apple'"):
        registry.get_task("aple")
    with pytest.raises(UnknownName, match="no task 'zzz'; known: apple, pear"):
        registry.get_task("zzz")
    with pytest.raises(UnknownName, match=r"no task 'zzz'$"):
        TaskRegistry().get_task("zzz")


def test_a_hostile_id_makes_a_short_printable_message():
    with pytest.raises(UnknownName) as caught:
        TaskRegistry().get_task("../\x1b[2J\n" + "x" * 10**6)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_tasks_are_listed_by_id_and_filtered_by_all_that_is_given(folder):
    registry = TaskRegistry(
        folder(
            "own",
            x=task("c", difficulty="easy", metadata={"tags": ["t", "u"]}),
            y=task("b", difficulty="hard", metadata={"tags": ["t"]}),
            z=Task.from_dict({"id": "a", "task_type": "regression", "difficulty": "easy"}),
        )
    )
    assert ids(registry) == ["a", "b", "c"]

    def listed(**given):
        return [known.id for known in registry.list_tasks(**given)]

    assert listed(task_type="general") == ["b", "c"]
    assert listed(difficulty="easy") == ["a", "c"]
    assert listed(tag="t") == ["b", "c"]
    assert listed(tag="t", difficulty="easy", task_type="general") == ["c"]
    assert listed(tag="none") == []


def test_tasks_lie_in_files_or_in_folders_of_their_own(folder, tmp_path):
    own = folder("own", a=task("a"))
    (own / "inner").mkdir()
    task("b").save(own / "inner" / "task.json")
    (own / "inner" / "c.json").write_text("not read")
    (own / "notes.txt").write_text("not read")
    (own / "task.schema.json").write_text("not read")
    (own / "empty").mkdir()
    registry = TaskRegistry(own)
    assert ids(registry) == ["a", "b"]
    assert registry.get_task("b").folder == own / "inner"


# --- folders -----------------------------------------------------------------------------------


def test_folders_are_read_when_the_first_task_is_asked_for(folder, tmp_path):
    registry = TaskRegistry(tmp_path / "own")
    folder("own", a=task("a"))
    assert ids(registry) == ["a"]


def test_a_later_folder_wins(folder):
    first = folder("first", a=task("a", name="First"), b=task("b"))
    second = folder("second", other=task("a", name="Second"))
    registry = TaskRegistry(first, second)
    assert registry.get_task("a").name == "Second"
    assert ids(registry) == ["a", "b"]
    assert [known.name for known in registry.load_directory(first)] == ["First", "B"]
    assert registry.get_task("a").name == "First"


def test_two_files_of_one_folder_may_not_hold_the_same_task(folder):
    with pytest.raises(
        InvalidTask, match=r"b\.json: another file of this folder holds the task 'a'"
    ):
        TaskRegistry(folder("own", a=task("a"), b=task("a"))).list_tasks()


@pytest.mark.parametrize(
    "broken",
    [
        "{",
        "",
        "// mine",
        '{"id": "x"}',
        '{"task_type": "general"}',
        '{"id": "../x", "task_type": "general"}',
        '{"id": "x", "task_type": "general", "metadata": {"a": NaN}}',
    ],
)
def test_a_broken_file_among_good_ones_is_named_and_none_of_the_folder_is_taken(folder, broken):
    good, bad = folder("good", a=task("a")), folder("bad", b=task("b"), c=broken, d=task("d"))
    registry = TaskRegistry(good)
    with pytest.raises(InvalidTask, match=rf"{bad}/c\.json: "):
        registry.load_directory(bad)
    assert ids(registry) == ["a"]


@pytest.mark.parametrize(
    "stray",
    ["[]", "3", "null", "{}", '{"name": "notes", "version": "1.0"}', '{"rows": [NaN]}',
     '{"id": "' + "x" * 2**20 + '"}'],
    ids=["list", "number", "null", "empty", "package", "data", "large"],
)  # fmt: skip
def test_a_file_that_plainly_is_no_task_is_left_out_with_one_line(folder, stray, caplog):
    own = folder("own", a=task("a"), b=stray, c=task("c"))
    registry = TaskRegistry()
    assert [known.id for known in registry.load_directory(own)] == ["a", "c"]
    (said,) = caplog.messages
    assert said.startswith(f"{own}/b.json is left out: ")


def test_the_name_of_a_file_that_is_left_out_cannot_command_the_terminal(tmp_path, caplog):
    (tmp_path / "\x1b[2J\n.json").write_text("[]")
    assert TaskRegistry(tmp_path).list_tasks() == []
    (said,) = caplog.messages
    assert said.isprintable()


def test_a_broken_file_is_complained_of_until_it_is_mended(folder):
    own = folder("own", a=task("a"), b="{")
    registry = TaskRegistry(TEMPLATES, own)
    for _ in range(2):
        with pytest.raises(InvalidTask, match=r"b\.json: not valid JSON"):
            registry.get_task("classification_basic")
    folder("own", b=task("b"))
    assert registry.get_task("b").id == "b"
    assert registry.get_task("classification_basic").id == "classification_basic"


@pytest.mark.parametrize("name", ["none", "file", "x" * 5000, "nul\0"])
def test_a_folder_that_is_none_is_a_usage_error(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"no such folder of tasks|File name too long"):
        TaskRegistry(tmp_path / name).list_tasks()


def test_a_folder_that_may_not_be_read_is_a_usage_error(process, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o300)
    ended = process(
        "-c",
        "import os, tasks\n"
        "from tasks.errors import UsageError\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "try: tasks.TaskRegistry('closed').list_tasks()\n"
        "except UsageError as error: print(error)\n",
    )
    assert ended.out == "closed: Permission denied\n", ended.err


def test_special_files_and_dangling_links_are_named_and_never_opened(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(InvalidTask, match=r"a\.json: not a regular file"):
        TaskRegistry(tmp_path).list_tasks()
    (tmp_path / "a.json").unlink()
    (tmp_path / "a.json").symlink_to("nowhere")
    with pytest.raises(InvalidTask, match=r"a\.json: No such file"):
        TaskRegistry(tmp_path).list_tasks()


def test_folders_of_ones_own_are_named_in_the_environment(folder, monkeypatch):
    first, second = folder("first", a=task("a")), folder("second", b=task("b"))
    monkeypatch.setenv("AEXP_TASKS", f"{first}{os.pathsep}{os.pathsep}{second}")
    assert default_folders() == [TEMPLATES, first, second]
    monkeypatch.delenv("AEXP_TASKS")
    assert default_folders() == [TEMPLATES]


def test_the_environment_adds_tasks_to_the_registry_and_replaces_shipped_ones(folder, process):
    own = folder("own", a=task("mine"), b=task("classification_basic", name="Mine"))
    ended = process(
        "-c",
        "from tasks import registry\n"
        "print(registry.get_task('mine').id, registry.get_task('classification_basic').name)\n"
        "print(registry.get_task('penguins').id)",
        env={"AEXP_TASKS": str(own)},
    )
    assert ended.out == "mine Mine\npenguins\n", ended.err


def test_a_folder_of_the_environment_that_is_none_is_named_with_its_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("AEXP_TASKS", str(tmp_path / "none"))
    with pytest.raises(UsageError, match=r"^AEXP_TASKS: .*none: no such folder of tasks"):
        TaskRegistry(*default_folders()).list_tasks()
    with pytest.raises(UsageError, match=r"^/.*other: no such folder of tasks"):
        TaskRegistry(tmp_path / "other").list_tasks()


def test_a_task_made_in_memory_can_be_added_and_replaced():
    registry = TaskRegistry()
    registry.register_task(task("a", name="First"))
    registry.register_task(task("a", name="Second"))
    assert [known.name for known in registry.list_tasks()] == ["Second"]


# --- task_config.json --------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path):
    """Write a config of a shipped task with overrides; return its definition."""

    def call(**overrides):
        registry = TaskRegistry(TEMPLATES)
        path = registry.create_task_config("classification_basic", tmp_path / "c.json", **overrides)
        return json.loads(path.read_text())["task"]

    return call


def test_a_config_holds_the_definition_under_the_key_task(config):
    assert Task.from_dict(config()) == tasks.registry.get_task("classification_basic")


def test_overrides_replace_fields_and_merge_objects(config):
    made = config(
        name="Mine", data_requirements={"n_samples": 50}, evaluation_criteria={"min_f1": 1}
    )
    assert made["name"] == "Mine"
    assert made["data_requirements"]["n_samples"] == 50
    assert made["data_requirements"]["n_classes"] == 3
    assert made["evaluation_criteria"]["min_f1"] == 1
    assert "min_accuracy" in made["evaluation_criteria"]


def test_a_config_with_wrong_overrides_is_refused_and_none_is_written(config, tmp_path):
    for overrides, message in [
        (
            {"difficult": "easy"},
            "classification_basic with overrides: difficult: unknown key; did you",
        ),
        ({"data_requirements": {"n_sampels": 5}}, "did you mean 'n_samples'"),
        ({"data_requirements": None}, "data_requirements"),
    ]:
        with pytest.raises(InvalidTask, match=message):
            config(**overrides)
    assert list(tmp_path.iterdir()) == []


def test_a_config_of_an_unknown_task_or_to_nowhere_is_refused(tmp_path):
    registry = TaskRegistry(TEMPLATES)
    with pytest.raises(UnknownName, match="did you mean 'penguins'"):
        registry.create_task_config("pengins", tmp_path / "c.json")
    with pytest.raises(FileNotFoundError):
        registry.create_task_config("penguins", tmp_path / "no" / "c.json")
