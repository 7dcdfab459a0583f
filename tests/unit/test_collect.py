"""Collecting what an agent left: regular files only, whatever else lies there."""

import json
import os
import resource
import socket
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.collect import (
    DEEPEST,
    MARKED,
    MOST_REFUSALS,
    REPLACED,
    SOURCES,
    collect,
    promote,
)
from tasks.datasets import digests
from tasks.grading.outputs import Outputs
from tasks.outcome import Limits
from tasks.workspace import OUTPUTS, Workspace

NOBODY = 65534


def new_workspace(parent):
    workspace = Workspace.create(parent, "t")
    for place in SOURCES.values():
        (workspace.home / place).mkdir(parents=True)
    return workspace


@pytest.fixture
def workspace(tmp_path):
    return new_workspace(tmp_path)


@pytest.fixture
def left(workspace):
    """The agent's results folder."""
    return workspace.home / SOURCES["results"]


def collected(workspace):
    """The relative names of the files that were copied."""
    return sorted(digests(workspace.outputs))


@contextmanager
def as_nobody():
    """Give up root's right to read everything, if we have it."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_files_of_every_role_are_copied_with_their_bytes(workspace):
    for name, place in SOURCES.items():
        (workspace.home / place / "deep").mkdir()
        (workspace.home / place / "deep" / "file.bin").write_bytes(name.encode() * 100_000)
    found = collect(workspace, Limits())
    assert collected(workspace) == sorted(f"{name}/deep/file.bin" for name in OUTPUTS)
    for name in OUTPUTS:
        copy = workspace.outputs / name / "deep" / "file.bin"
        assert copy.read_bytes() == name.encode() * 100_000
    assert (found.files, found.bytes) == (5, sum(len(name) for name in OUTPUTS) * 100_000)
    assert found.refused == {}


def test_empty_folders_are_not_copied_but_for_that_of_the_results(workspace):
    (workspace.home / "code" / "solution.py").write_text("1")
    found = collect(workspace, Limits())
    assert (found.files, found.bytes, found.refused) == (1, 1, {})
    assert sorted(path.name for path in workspace.outputs.iterdir()) == ["code", "results"]


def test_what_lies_elsewhere_is_no_result_where_no_result_was_left(workspace):
    (workspace.home / "submission" / "submission.csv").write_text("id,target\n1,0\n")
    (workspace.home / "code" / "plot.png").write_bytes(b"no picture")
    collect(workspace, Limits())
    assert Outputs(workspace.outputs).files() == 0


def test_copies_are_plain_files_of_ours(workspace, left):
    file = left / "tool"
    file.write_text("x")
    file.chmod(0o6777)
    collect(workspace, Limits())
    mode = (workspace.outputs / "results" / "tool").stat().st_mode
    assert stat.S_IMODE(mode) & 0o7111 == 0


# --- what is no regular file ---------------------------------------------------------------------


@pytest.mark.timeout(100)
def test_links_devices_sockets_and_fifos_are_named_and_not_copied(workspace, left, monkeypatch):
    secret = workspace.root / "secret"
    secret.mkdir()
    (secret / "answers.csv").write_text("42")
    (left / "a_file").symlink_to(secret / "answers.csv")
    (left / "b_folder").symlink_to(secret)
    (left / "c_device").symlink_to("/dev/zero")
    (left / "d_nowhere").symlink_to("gone")
    os.link(secret / "answers.csv", left / "e_hard")
    os.mkfifo(left / "f_fifo")
    monkeypatch.chdir(left)  # a socket's path has a hundred letters at most
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("g_socket")
        (left / "h_kept.txt").write_text("kept")
        found = collect(workspace, Limits())
    link = "a symbolic link"
    assert found.refused == {
        "results/a_file": link,
        "results/b_folder": link,
        "results/c_device": link,
        "results/d_nowhere": link,
        "results/e_hard": "a hard link",
        "results/f_fifo": "a FIFO",
        "results/g_socket": "a socket",
    }
    assert collected(workspace) == ["results/h_kept.txt"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make devices")
def test_a_device_is_named_and_not_opened(workspace, left):
    try:
        os.mknod(left / "zero", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("devices cannot be made here")
    assert collect(workspace, Limits()).refused == {"results/zero": "a device"}


@pytest.mark.parametrize("place", ["submission", "experiments", "experiments/results"])
def test_a_folder_of_ours_that_became_a_link_is_not_followed(workspace, place):
    secret = workspace.root / "secret"
    (secret / "results").mkdir(parents=True)
    (secret / "results" / "answers.csv").write_text("42")
    (secret / "submission.csv").write_text("42")
    folder = workspace.home / place
    folder.rename(workspace.root / "away")
    folder.symlink_to(secret)
    found = collect(workspace, Limits())
    assert collected(workspace) == []
    role = "submission" if place == "submission" else "results"
    assert found.refused[role].startswith("not a folder any more (")
    assert (workspace.outputs / "results").is_dir()


@pytest.mark.parametrize("what", ["gone", "a file", "a link"])
def test_a_home_that_is_no_folder_any_more_is_their_fault(workspace, what):
    workspace.home.rename(workspace.root / "away")
    if what == "a file":
        workspace.home.write_text("")
    elif what == "a link":
        workspace.home.symlink_to(workspace.root / "away")
    found = collect(workspace, Limits())
    assert set(found.refused) == set(OUTPUTS)
    assert collected(workspace) == []


# --- how much ------------------------------------------------------------------------------------


def test_many_files_are_copied_up_to_the_limit_and_the_submission_comes_first(workspace, left):
    for k in range(50):
        (left / f"{k:03d}").write_text("x")
        (workspace.home / "code" / f"{k:03d}").write_text("x")
    (workspace.home / "submission" / "submission.csv").write_text("id,target\n")
    found = collect(workspace, Limits(output_files=30))
    assert found.files == 30
    assert collected(workspace)[-1] == "submission/submission.csv"
    assert found.refused == {
        "results/029": "beyond the first 30 files, folders",
        "code/000": "beyond the first 30 files, folders",
    }


def test_empty_folders_count_too(workspace, left):
    for k in range(100):
        (left / f"{k:03d}").mkdir()
    collect(workspace, Limits(output_files=20))
    assert len(list((workspace.outputs / "results").iterdir())) == 20


def test_what_is_refused_is_listed_up_to_a_bound(workspace, left):
    for k in range(MOST_REFUSALS + 50):
        (left / f"{k:04d}").symlink_to("x")
    (left / "z").write_text("kept")
    found = collect(workspace, Limits())
    assert len(found.refused) == MOST_REFUSALS
    assert collected(workspace) == ["results/z"]


def test_files_beyond_the_size_limit_are_refused_and_smaller_ones_still_copied(workspace, left):
    (left / "a").write_bytes(bytes(600))
    (left / "b").write_bytes(bytes(500))
    (left / "c").write_bytes(bytes(400))
    found = collect(workspace, Limits(output_bytes=1000))
    assert collected(workspace) == ["results/a", "results/c"]
    assert found.bytes == 1000
    assert found.refused == {"results/b": "500 bytes; over the limit of what is collected"}


@pytest.mark.timeout(100)
def test_a_sparse_file_counts_by_its_length_and_costs_no_time(workspace, left):
    with (left / "huge").open("wb") as file:
        file.truncate(2**40)
    began = time.process_time()  # that of the wall tells of other work on the machine
    found = collect(workspace, Limits())
    assert time.process_time() - began < 1.0
    assert "1,099,511,627,776 bytes" in found.refused["results/huge"]


@contextmanager
def nested(folder, name, levels):
    """Make folders inside each other, deeper than a path can name."""
    handle = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=handle)
        inner = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)
    yield
    subprocess.run(["rm", "-rf", folder / name], check=True)  # shutil's recursion ends before


@pytest.mark.timeout(100)
def test_a_tree_of_a_thousand_levels_is_cut(workspace, left):
    with nested(left, "d", 1000):
        found = collect(workspace, Limits())
    assert found.refused == {"results" + "/d" * (DEEPEST + 1): "a folder too deep"}
    assert len(list(workspace.outputs.rglob("d"))) == DEEPEST


def test_long_names_on_many_levels_are_refused_where_the_path_is_too_long(workspace, left):
    with nested(left, "n" * 255, 20):
        found = collect(workspace, Limits())
    assert list(found.refused.values()) == ["a path over 1,024 bytes"]


def test_letters_of_several_bytes_count_as_such(workspace, left):
    left.joinpath(*(letter * 120 for letter in "éüßàö")).mkdir(parents=True)
    (left / "short").touch()
    found = collect(workspace, Limits())
    assert found.files == 1
    assert not list(workspace.outputs.rglob("ö*"))
    assert list(found.refused.values()) == ["a path over 1,024 bytes"]


def test_a_marked_answer_is_taken_whatever_folders_lie_beside_it(workspace):
    folder = workspace.home / "submission"
    (folder / MARKED).mkdir(parents=True)
    (folder / MARKED / "submission.csv").write_text("marked")
    (folder / "submission.csv").write_text("later")
    for dashes in range(247):
        (folder / f"{REPLACED}{'-' * dashes}").mkdir()
    collected = collect(workspace, Limits())
    assert promote(workspace, collected) == "submission/submission.csv"
    outputs = workspace.outputs / "submission"
    assert (outputs / "submission.csv").read_text() == "marked"
    assert [path.read_text() for path in outputs.glob(f"{REPLACED}*/submission.csv")] == ["later"]


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["a\nb", "a\x1b[31mb", "a\u202eb", "é" * 127, "x" * 255, "-rf", "...", "a b", "😀", "*?"],
)
def test_files_of_any_utf8_name_are_copied(workspace, left, name):
    (left / name).write_text("x")
    found = collect(workspace, Limits())
    assert (found.files, found.refused) == (1, {})
    assert (workspace.outputs / "results" / name).read_text() == "x"


def test_names_that_are_not_utf8_are_refused_so_that_reports_can_be_written(workspace, left):
    Path(os.fsdecode(os.fsencode(left) + b"/bad\xff.png")).write_text("x")
    os.mkdir(os.fsencode(left) + b"/folder\xfe")  # noqa: PTH102 - bytes
    (left / "good").write_text("x")
    found = collect(workspace, Limits())
    assert found.refused == {
        "results/'bad\\udcff.png'": "a name that is not UTF-8",
        "results/'folder\\udcfe'": "a name that is not UTF-8",
    }
    report = {"refused": found.refused, "files": digests(workspace.outputs)}
    workspace.write_json(workspace.report_file, report)
    assert json.loads(workspace.report_file.read_text())["files"].keys() == {"results/good"}


def test_refused_names_are_printable(workspace, left):
    (left / "a\n\x1b]0;title\x07").symlink_to("x")
    assert all(name.isprintable() for name in collect(workspace, Limits()).refused)


# --- rights --------------------------------------------------------------------------------------


def test_unreadable_files_and_folders_are_refused_and_the_rest_is_copied():
    # Not below pytest's folder, which nobody but its owner may enter.
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o777)
        with as_nobody():
            workspace = new_workspace(root)
            left = workspace.home / SOURCES["results"]
            (left / "a").mkdir(mode=0o000)
            (left / "b").write_text("secret")
            (left / "b").chmod(0o000)
            (left / "c").mkdir()
            (left / "c" / "file").write_text("x")
            (left / "c").chmod(0o400)
            (left / "d").write_text("kept")
            (workspace.home / "code").chmod(0o000)
            found = collect(workspace, Limits())
            assert found.refused == {
                "results/a": "Permission denied",
                "results/b": "Permission denied",
                "results/c/file": "Permission denied",
                "code": "not a folder any more (Permission denied)",
            }
            assert collected(workspace) == ["results/d"]
            for path in (left / "a", left / "c", workspace.home / "code"):
                path.chmod(0o700)


def test_a_disk_of_ours_that_fails_is_not_blamed_on_the_agent(workspace, left):
    (left / "a").write_text("x")
    workspace.outputs.write_text("in the way")
    with pytest.raises(FileExistsError):
        collect(workspace, Limits())


def test_a_disk_of_ours_that_takes_no_more_is_raised(workspace, left):
    (left / "a").write_bytes(bytes(100_000))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            collect(workspace, Limits())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# --- things that move ----------------------------------------------------------------------------


def to_link(path):
    path.symlink_to("/etc")


def to_socket(path):
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(path.name)


@pytest.mark.parametrize("before", ["file", "folder"])
@pytest.mark.parametrize(
    "change",
    [to_link, to_socket, os.mkfifo, Path.mkdir, Path.touch, lambda _: None],
    ids=["link", "socket", "FIFO", "folder", "file", "nothing"],
)
@pytest.mark.timeout(100)
def test_what_turns_into_something_else_after_a_look_at_it(
    workspace, left, monkeypatch, before, change
):
    (left / "it").touch() if before == "file" else (left / "it").mkdir()
    monkeypatch.chdir(left)
    look = os.stat

    def look_and_change(path, **how):
        found = look(path, **how)
        if path == "it" and how.get("dir_fd") is not None:
            (left / "it").rename(workspace.root / "away")
            change(left / "it")
        return found

    monkeypatch.setattr(os, "stat", look_and_change)
    found = collect(workspace, Limits())
    same = change is (Path.touch if before == "file" else Path.mkdir)
    assert set(found.refused) == (set() if same else {"results/it"})


@contextmanager
def meanwhile(step, folder):
    """Repeat the Python code `step` in `folder`, in a process that outlived its agent."""
    code = f"import os\nwhile True:\n {step}"
    with subprocess.Popen([sys.executable, "-c", code], cwd=folder) as process:
        try:
            yield
        finally:
            process.kill()


SWAP = "os.rename('real', 'x'); os.rename('link', 'real'); "
SWAP += "os.rename('real', 'link'); os.rename('x', 'real')"


@pytest.mark.timeout(100)
def test_a_folder_that_turns_into_a_link_and_back_never_leaks_nor_ends_the_trial(tmp_path):
    workspace = new_workspace(tmp_path)
    left = workspace.home / SOURCES["results"]
    secret = workspace.root / "secret"
    secret.mkdir()
    (secret / "f").write_text("answers")
    (left / "real").mkdir()
    (left / "real" / "f").write_text("own")
    (left / "link").symlink_to(secret)
    refusals = set()
    with meanwhile(SWAP, left):
        for k in range(400):
            refusals |= set(collect(workspace, Limits()).refused.values())
            for name in collected(workspace):
                assert (workspace.outputs / name).read_text() == "own"
            workspace.outputs.rename(tmp_path / f"old{k}")
    assert "a symbolic link" in refusals


CHANGE = "[open('f', 'wb').write(bytes(n)) for n in (0, 3_000_000, 10, 10**6)]; os.unlink('f')"


@pytest.mark.timeout(100)
def test_files_that_grow_shrink_and_vanish_do_not_end_the_trial(tmp_path):
    workspace = new_workspace(tmp_path)
    left = workspace.home / SOURCES["results"]
    limit = 3_000_000
    with meanwhile(CHANGE, left):
        for k in range(100):
            found = collect(workspace, Limits(output_bytes=limit))
            copies = [workspace.outputs / name for name in collected(workspace)]
            assert found.bytes == sum(path.stat().st_size for path in copies) <= limit
            workspace.outputs.rename(tmp_path / f"old{k}")
