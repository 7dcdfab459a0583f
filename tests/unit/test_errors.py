"""Messages: suggestions of names, and strangers' values on one short line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import errors
from tasks.errors import BRIEF, TasksError, brief, suggestion, word


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("accurazy", ["accuracy", "f1"], "; did you mean 'accuracy'?"),
        ("ACCURACY", ["accuracy", "f1"], "; did you mean 'accuracy'?"),
        ("id", ["ID"], "; did you mean 'ID'?"),
        ("zzz", ["b", "a"], "; known: a, b"),
        ("zzz", [], ""),
        ("", ["a"], "; known: a"),
    ],
)
def test_the_nearest_name_is_suggested_else_all_are_told(name, known, said):
    assert suggestion(name, known) == said


@pytest.fixture
def installation(tmp_path, monkeypatch):
    """Pretend that the package lies elsewhere, with these programs on PATH."""

    def call(*programs, checkout):
        root = tmp_path / "aexp root"
        for folder in (root / "tasks", tmp_path / "bin"):
            folder.mkdir(parents=True)
        if checkout:
            (root / "pyproject.toml").touch()
        for name in programs:
            (tmp_path / "bin" / name).write_text("#!/bin/sh\n")
            (tmp_path / "bin" / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        monkeypatch.setattr(errors, "__file__", str(root / "tasks" / "errors.py"))
        return root

    return call


def test_a_part_is_brought_to_a_checkout_from_its_folder(installation, monkeypatch):
    root = installation("uv", checkout=True)
    assert errors.install("local") == f"uv pip install -e '{root}[local]'"
    monkeypatch.chdir(root)
    assert errors.install("local") == "uv pip install -e '.[local]'"
    assert errors.install("real", upgrade=True) == "uv pip install -U -e '.[real]'"


def test_without_uv_pip_brings_a_part(installation, monkeypatch):
    monkeypatch.chdir(installation(checkout=True))
    assert errors.install("local") == "pip install -e '.[local]'"


def test_a_part_of_an_installed_package_is_brought_by_its_name(installation):
    installation("uv", checkout=False)
    assert errors.install("local") == "uv pip install 'aexp[local]'"


@given(st.text(max_size=30), st.lists(st.text(max_size=10)))
def test_a_suggestion_is_a_known_name(name, known):
    said = suggestion(name, known)
    if said.startswith("; did you mean"):
        assert any(said == f"; did you mean {one!r}?" for one in known)


@pytest.mark.parametrize(
    ("n", "words"), [(0, "0 queries"), (1, "1 query"), (2, "2 queries"), (1000, "1,000 queries")]
)
def test_one_thing_is_not_many(n, words):
    assert errors.counted(n, "query", "queries") == words


def test_most_words_take_an_s():
    assert (errors.counted(1, "agent"), errors.counted(3, "agent")) == ("1 agent", "3 agents")


def test_a_name_that_is_known_is_its_own_nearest():
    assert suggestion("f1", ["f1", "f2"]) == "; did you mean 'f1'?"


@given(
    st.recursive(
        st.text() | st.integers() | st.floats() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_value_is_shown_on_one_short_printable_line(value):
    text = brief(value)
    assert text.isprintable()
    assert len(text) <= BRIEF


def test_a_short_value_is_shown_as_it_is():
    assert brief("a'b") == '"a\'b"'
    assert brief([1, None]) == "[1, None]"


def test_a_value_nested_without_end_is_shown_all_the_same():
    itself = []
    itself.append(itself)
    assert brief(itself).startswith("[[[")


def test_a_key_is_shown_bare_unless_it_would_spoil_the_message():
    assert word("n_samples") == "n_samples"
    assert word(3) == "3"
    assert word("a\nb") == r"'a\nb'"
    assert len(word("x" * 1000)) <= BRIEF


def test_every_error_has_an_exit_status_of_the_command_line():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    statuses = {kind.__name__: kind.exit_status for kind in kinds if issubclass(kind, TasksError)}
    assert statuses == {
        "TasksError": 8,
        "UsageError": 2,
        "UnknownName": 3,
        "InvalidTask": 4,
        "InvalidInput": 4,
        "MissingPart": 5,
        "GraderError": 8,
        "InfrastructureError": 8,
    }
