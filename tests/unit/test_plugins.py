"""Plug-ins by name: built in, installed, or named as `module:attr`; and what an import costs."""

import pytest

from tasks import plugins
from tasks.errors import UnknownName
from tasks.families import Classification, Family

INSTALLED = {
    "mine.py": "class Mine:\n    pass\n",
    "mine-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n",
    "mine-1.0.dist-info/entry_points.txt": (
        "[aexp.runtime]\nmine = mine:Mine\nbroken = mine:Other\nabsent = absent_module:X\n"
    ),
}
"""A package with plug-ins, as it lies in site-packages."""


@pytest.fixture
def installed(tmp_path, process):
    """Run code where a package with plug-ins is installed."""
    site = tmp_path / "site"
    for name, text in INSTALLED.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)

    def call(code):
        prelude = f"import sys; sys.path.insert(0, {str(site)!r})\nfrom tasks import plugins\n"
        return process("-c", prelude + code)

    return call


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, table in plugins.BUILT_IN.items() for name in table]
)
def test_every_built_in_plug_in_can_be_loaded(kind, name):
    assert isinstance(plugins.load(kind, name), type)


def test_a_family_is_found_by_name():
    assert plugins.load("family", "classification") is Classification
    assert "classification" in plugins.names("family")


@pytest.mark.parametrize("name", plugins.BUILT_IN["family"])
def test_every_family_says_how_its_ceiling_is_known_and_what_draws_it(name):
    family = plugins.load("family", name)
    assert issubclass(family, Family)
    assert family.tier in {"E", "B", "M", "K"}
    assert callable(plugins.resolve(family.draws))


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match="no family 'regressiom'; did you mean 'regression'"):
        plugins.load("family", "regressiom")


def test_a_name_out_of_a_task_file_imports_nothing(tmp_path, monkeypatch):
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownName, match="no family 'evil_module:x'"):
        plugins.load("family", "evil_module:x")


def test_a_module_is_imported_where_the_user_allows_it():
    assert plugins.load("family", "json:loads", allow_import=True).__name__ == "loads"


@pytest.mark.parametrize(
    "name",
    [
        "no_such_module:x",
        "json:no_such",
        "json:",
        ":loads",
        ".json:loads",
        "a b:c",
        "js\0on:x",
        "json",
    ],
)
def test_a_name_that_imports_nothing_is_unknown(name):
    with pytest.raises(UnknownName, match="no family "):
        plugins.load("family", name, allow_import=True)


def test_an_installed_plug_in_is_found_beside_the_built_in_ones(installed):
    ended = installed("print(plugins.names('runtime'), plugins.load('runtime', 'mine'))")
    assert (
        ended.out
        == "['absent', 'broken', 'bubblewrap', 'docker', 'mine', 'process'] <class 'mine.Mine'>\n"
    ), ended.err


@pytest.mark.parametrize("name", ["broken", "absent"])
def test_an_installed_plug_in_that_is_broken_is_named(installed, name):
    ended = installed(f"plugins.load('runtime', '{name}')")
    assert f"MissingPart: the installed runtime '{name}' is broken: " in ended.err


HEAVY = [
    "numpy",
    "pandas",
    "polars",
    "sklearn",
    "scipy",
    "docker",
    "matplotlib",
    "torch",
    "PIL",
    "rich",
]


@pytest.mark.parametrize(
    "use",
    [
        "import tasks",
        "import tasks; tasks.registry.list_tasks()",
        "from tasks import Task; Task.from_dict({'id': 't', 'task_type': 'classification'})",
        "from tasks import agents; agents.load('experiment')",
    ],
)
def test_tasks_are_found_and_checked_without_loading_anything_heavy(process, use):
    ended = process("-c", f"import sys; {use}; print(sorted({set(HEAVY)} & sys.modules.keys()))")
    assert ended.out == "[]\n", ended.err


def test_the_names_of_the_package_are_imported_when_they_are_used(process):
    ended = process(
        "-c",
        "import sys, tasks\n"
        "print('tasks.runner' in sys.modules)\n"
        "print(tasks.TaskRunner.__name__, tasks.TaskValidator.__name__)\n"
        "print(all(hasattr(tasks, name) for name in tasks.__all__))\n"
        "try: tasks.TaskRuner\n"
        "except AttributeError as error: print(error)\n",
    )
    assert ended.out == (
        "False\nTaskRunner TaskValidator\nTrue\nmodule 'tasks' has no attribute 'TaskRuner'\n"
    )
