"""The folders of a trial, and taking them back from an agent that could write there."""

import json
import os
import stat
from functools import cached_property

import pytest

from tasks.errors import InfrastructureError
from tasks.files import pretty_json
from tasks.workspace import Workspace

ASKED = {"task": "t", "name": "ä"}


@pytest.fixture
def workspace(tmp_path):
    return Workspace.create(tmp_path / "runs", "task_agent")


@pytest.fixture
def started(workspace):
    """A trial that has begun: its record and its events are on disk."""
    workspace.write_json(workspace.trial_file, ASKED)
    events = [workspace.append_event("created"), workspace.append_event("started")]
    return workspace, events


def remove(path):
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def test_each_trial_gets_a_folder_of_its_own(tmp_path):
    made = [Workspace.create(tmp_path / "a" / "b", "task_agent").root for _ in range(20)]
    assert len(set(made)) == 20
    assert all(root.is_dir() and root.is_absolute() for root in made)
    assert all("_task_agent_" in root.name for root in made)


def test_every_place_is_below_the_root(workspace):
    places = {
        name: getattr(workspace, name)
        for name in dir(Workspace)
        if isinstance(getattr(Workspace, name), cached_property)
    }
    assert len(places) >= 9
    assert len(set(places.values())) == len(places)
    assert all(place.is_relative_to(workspace.root) for place in places.values())


def test_a_place_that_cannot_be_made_is_our_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InfrastructureError, match=r"cannot make .*: Not a directory"):
        Workspace.create(tmp_path / "file", "t")
    with pytest.raises(InfrastructureError, match=r"cannot make .*: File name too long"):
        Workspace.create(tmp_path, "t" * 300)


def test_json_is_written_whole_whatever_it_holds(workspace):
    workspace.write_json(workspace.report_file, {"name": "ä\udcff", "path": workspace.root})
    text = workspace.report_file.read_text(encoding="utf-8")
    assert json.loads(text) == {"name": "ä\udcff", "path": str(workspace.root)}
    assert "ä" in text


def test_events_are_appended_a_line_each_and_returned(workspace):
    lines = [workspace.append_event("a", n=1), workspace.append_event("b", path=workspace.root)]
    assert workspace.events_file.read_text() == "".join(lines)
    first, second = map(json.loads, lines)
    assert (first["event"], first["n"]) == ("a", 1)
    assert second["path"] == str(workspace.root)
    assert first["time"] <= second["time"]


def test_an_event_is_never_written_through_a_link(workspace, tmp_path):
    workspace.events_file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        workspace.append_event("a")
    assert not (tmp_path / "elsewhere").exists()


# --- reclaiming --------------------------------------------------------------------------------


def test_a_trial_that_nobody_touched_is_as_we_left_it(started):
    workspace, events = started
    before = sorted(workspace.root.iterdir())
    assert workspace.reclaim(pretty_json(ASKED), events) == []
    assert sorted(workspace.root.iterdir()) == before


FORGERIES = {
    "a changed file": lambda path: path.write_text("forged"),
    "a longer file": lambda path: path.write_text(path.read_text() + "more"),
    "an empty file": lambda path: path.write_text(""),
    "nothing": remove,
    "a folder": lambda path: (remove(path), path.mkdir(), (path / "inner").write_text("x")),
    "a FIFO": lambda path: (remove(path), os.mkfifo(path)),
    "a link to a file": lambda path: (remove(path), path.symlink_to("/etc/passwd")),
    "a link to nothing": lambda path: (remove(path), path.symlink_to("nowhere")),
    "a link to its own text": lambda path: (
        path.rename(path.with_suffix(".true")),
        path.symlink_to(path.with_suffix(".true")),
    ),
}


@pytest.mark.parametrize("name", ["trial.json", "events.jsonl"])
@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_record_is_moved_aside_and_written_again(started, name, forge):
    workspace, events = started
    forge(workspace.root / name)
    assert workspace.reclaim(pretty_json(ASKED), events) == [name]
    assert json.loads(workspace.trial_file.read_text()) == ASKED
    assert workspace.events_file.read_text() == "".join(events)
    assert not (workspace.root / name).is_symlink()
    assert workspace.reclaim(pretty_json(ASKED), events) == []


@pytest.mark.parametrize("name", ["private", "outputs", "report.json"])
@pytest.mark.parametrize(
    "forge",
    [
        lambda path: path.write_text("forged"),
        lambda path: (path.mkdir(), (path / "inner").write_text("forged")),
        lambda path: path.symlink_to("/etc"),
        lambda path: path.symlink_to("nowhere"),
        os.mkfifo,
    ],
    ids=["a file", "a folder", "a link", "a dangling link", "a FIFO"],
)
def test_what_stands_where_our_files_go_is_moved_aside_unopened(started, name, forge):
    workspace, events = started
    forge(workspace.root / name)
    assert workspace.reclaim(pretty_json(ASKED), events) == [name]
    assert not os.path.lexists(workspace.root / name)
    aside = [path / name for path in workspace.root.glob("moved-aside-*")]
    assert [os.path.lexists(path) for path in aside] == [True]


@pytest.mark.parametrize("forge", ["nothing", "a folder elsewhere", "a file"])
def test_a_trial_folder_that_is_gone_or_replaced_is_made_again(started, tmp_path, forge):
    workspace, events = started
    workspace.root.rename(tmp_path / "taken")
    if forge == "a folder elsewhere":
        workspace.root.symlink_to(tmp_path / "taken")
    elif forge == "a file":
        workspace.root.write_text("")
    tampered = workspace.reclaim(pretty_json(ASKED), events)
    assert tampered == [workspace.root.name, "trial.json", "events.jsonl"]
    assert workspace.root.is_dir()
    assert not workspace.root.is_symlink()
    assert workspace.events_file.read_text() == "".join(events)


def test_a_trial_folder_that_was_closed_is_opened_again(started):
    workspace, events = started
    workspace.root.chmod(0)
    assert workspace.reclaim(pretty_json(ASKED), events) == []
    assert stat.S_IMODE(workspace.root.stat().st_mode) == 0o755
