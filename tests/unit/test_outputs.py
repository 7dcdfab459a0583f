"""What an agent left, by role: counted without following a link, claimed without being believed."""

import json
import os
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import InvalidInput
from tasks.grading import outputs as module
from tasks.grading.outputs import MOST_CLAIMS, Outputs, walk


@pytest.fixture
def left(tmp_path):
    for name in ("submission", "results", "models"):
        (tmp_path / name).mkdir()
    return tmp_path


def claim(folder, content):
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    (folder / "metrics.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    return Outputs(folder).claimed()


# --- where things lie ----------------------------------------------------------------------------


def test_results_are_found_in_a_trial_in_its_outputs_and_in_a_flat_folder(tmp_path):
    trial = tmp_path / "trial"
    (trial / "outputs" / "results").mkdir(parents=True)
    assert Outputs.at(trial).results == trial / "outputs" / "results"
    assert Outputs.at(trial / "outputs").results == trial / "outputs" / "results"
    assert Outputs.at(trial / "outputs" / "results").results == trial / "outputs" / "results"


def test_folders_that_are_links_are_not_entered(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    flat = tmp_path / "flat"
    flat.mkdir()
    for name in ("outputs", "results", "models"):
        (flat / name).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "model.bin").write_text("x")
    assert Outputs.at(flat).root == flat
    assert Outputs.at(flat).results == flat
    assert Outputs.at(flat).models() == 0


@pytest.mark.parametrize("what", ["gone", "file"])
def test_results_must_be_a_folder(tmp_path, what):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match=f"{what}: no such folder of results"):
        Outputs.at(tmp_path / what)


# --- files ---------------------------------------------------------------------------------------


def test_a_required_file_is_a_regular_one_with_something_in_it(left):
    (left / "results" / "report.md").write_text("x")
    (left / "results" / "empty.md").write_text("")
    (left / "results" / "link.md").symlink_to("report.md")
    (left / "results" / "folder.md").mkdir()
    os.mkfifo(left / "results" / "fifo.md")
    outputs = Outputs(left)
    names = ["report.md", "empty.md", "link.md", "folder.md", "fifo.md", "gone.md", "x" * 300]
    assert [name for name in names if outputs.has_file(name)] == ["report.md"]


def test_a_required_file_may_be_named_from_the_outputs_or_from_the_results(left):
    (left / "results" / "report.md").write_text("x")
    (left / "models" / "net.bin").write_text("x")
    outputs = Outputs(left)
    assert outputs.has_file("results/report.md")
    assert outputs.has_file("models/net.bin")
    assert not outputs.has_file("net.bin")


def test_a_required_file_behind_a_linked_folder_is_not_there(left, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "report.md").write_text("x")
    (left / "results" / "sub").symlink_to(elsewhere)
    assert not Outputs(left).has_file("sub/report.md")


def test_only_regular_files_with_something_in_them_are_counted(left):
    for place in ("results", "models"):
        (left / place / "deep").mkdir()
        (left / place / "deep" / "a.bin").write_text("x")
        (left / place / "b.bin").write_text("x")
        (left / place / "empty.bin").write_text("")
        (left / place / "link.bin").symlink_to("b.bin")
        os.mkfifo(left / place / "fifo")
    assert Outputs(left).models() == 2
    assert Outputs(left).files() == 2


def test_nothing_left_counts_nothing(tmp_path):
    assert Outputs(tmp_path).models() == 0
    assert Outputs(tmp_path).files() == 0
    assert Outputs(tmp_path).claimed() == {}


def test_files_are_walked_in_a_fixed_order_and_up_to_a_bound(tmp_path, monkeypatch):
    for name in ("b/2", "b/1", "a/1", "c", "a/x/9"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    names = [path.relative_to(tmp_path).as_posix() for path in walk(tmp_path)]
    assert names == ["c", "a/1", "a/x/9", "b/1", "b/2"]
    monkeypatch.setattr(module, "MOST_FILES", 4)
    assert len(list(walk(tmp_path))) == 2  # a, b and c are entries too


@pytest.mark.timeout(20)
def test_a_walk_through_a_thousand_levels_ends(tmp_path):
    for k in range(1500):
        (tmp_path / "/".join(["d"] * (k + 1))).mkdir()
    (tmp_path / "/".join(["d"] * 1500) / "far").write_text("x")
    (tmp_path / "d" / "near").write_text("x")
    try:
        assert [path.name for path in walk(tmp_path)] == ["near"]
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # shutil's recursion ends before


# --- what it says of itself ----------------------------------------------------------------------


def test_numbers_an_agent_claims_are_recorded(left):
    (left / "results" / "metrics.json").write_text('{"accuracy": 0.93, "n": 3}')
    assert Outputs(left).claimed() == {"accuracy": 0.93, "n": 3.0}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1, 2]",
        "3",
        "null",
        "{",
        b"\xff\xfe",
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"a": ' + "9" * 5000 + "}",
        " " * (2**20 + 1) + '{"a": 1}',
    ],
    ids=["empty", "list", "number", "null", "cut", "bytes", "deep", "deeper", "digits", "long"],
)
def test_what_cannot_be_read_as_claims_is_no_claim(tmp_path, content):
    assert claim(tmp_path, content) == {}


def test_only_finite_numbers_are_claims(tmp_path):
    content = '{"a": NaN, "b": Infinity, "c": 1e999, "d": true, "e": "0.9", "f": [1], "g": null'
    content += ', "h": {"value": 1}, "i": 1' + "0" * 400 + ', "j": -0.5}'
    assert claim(tmp_path, content) == {"j": -0.5}


def test_claims_are_bounded_in_number_and_harmless_in_name(tmp_path):
    many = {f"m{k:04d}": k for k in range(500)}
    assert len(claim(tmp_path, many)) == MOST_CLAIMS
    found = claim(tmp_path, {"\x1b]0;x\x07" + "y" * 500: 1.0, "Größe": 2.0})
    assert all(name.isprintable() and len(name) <= 80 for name in found)
    assert sorted(found.values()) == [1.0, 2.0]


@pytest.mark.timeout(10)
@pytest.mark.parametrize("what", ["link", "fifo", "folder", "device"])
def test_claims_that_are_no_file_are_none(tmp_path, what):
    (tmp_path / "true.json").write_text('{"accuracy": 1.0}')
    path = tmp_path / "metrics.json"
    if what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to("true.json" if what == "link" else "/dev/zero")
    assert Outputs(tmp_path).claimed() == {}


@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.one_of(
        st.binary(max_size=100),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=5)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=5)
            ),
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_whatever_is_claimed_becomes_strict_json(tmp_path, data):
    json.dumps(claim(tmp_path, data), allow_nan=False)
