"""Control groups, on folders laid out as the kernel does."""

import os
from pathlib import Path

import pytest

from tasks.runtimes import cgroups

OLD = """\
30 20 0:26 / {place}/memory rw - cgroup cgroup rw,memory
31 20 0:27 / {place}/pids rw - cgroup cgroup rw,pids
"""
NEW = "30 20 0:26 / {place} rw - cgroup2 cgroup2 rw\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Lay out /proc/self and the hierarchies; groups made get the files of their version."""

    def lay_out(mounts, groups, files):
        proc, place = tmp_path / "proc", tmp_path / "cgroup"
        proc.mkdir()
        (proc / "mountinfo").write_text(mounts.format(place=place))
        (proc / "cgroup").write_text(groups)
        mkdir = os.mkdir

        def made(path, *rest):
            mkdir(path, *rest)
            for folder, names in files.items():
                if str(path).startswith(str(place / folder)):
                    for name in names:
                        (place / path / name).write_text("")

        rmdir = os.rmdir

        def gone(path):
            for entry in Path(path).iterdir():  # as the kernel does with its own
                if entry.is_file():
                    entry.unlink()
            rmdir(path)

        monkeypatch.setattr(os, "mkdir", made)
        monkeypatch.setattr(os, "rmdir", gone)
        return proc, place

    return lay_out


def test_version_1_has_a_hierarchy_for_each_controller(machine):
    groups = "4:memory:/mine\n8:pids:/\n"
    files = {"memory": ["memory.limit_in_bytes"], "pids": ["pids.max"]}
    proc, place = machine(OLD, groups, files)
    (place / "memory" / "mine").mkdir(parents=True)
    (place / "pids").mkdir()
    found = cgroups.usable(str(proc))
    assert found == {"memory": f"{place}/memory/mine", "pids": f"{place}/pids"}
    assert cgroups.version(found["memory"]) == "cgroup v1"


def test_version_2_limits_below_the_nearest_group_that_has_the_controllers(machine):
    proc, place = machine(NEW, "0::/user/session\n", {"user/aexp": ["memory.max", "pids.max"]})
    (place / "user" / "session").mkdir(parents=True)
    (place / "user" / "cgroup.controllers").write_text("memory pids")
    found = cgroups.usable(str(proc))
    assert found == {"memory": f"{place}/user", "pids": f"{place}/user"}
    assert cgroups.version(found["memory"]) == "cgroup v2"


def test_where_no_group_can_be_made_nothing_is_usable(machine):
    proc, _ = machine(NEW, "0::/\n", {})
    assert cgroups.usable(str(proc)) == {}


def test_a_group_gets_its_limits_and_room_for_the_walls(machine, tmp_path):
    _, place = machine(NEW, "0::/\n", {"": ["memory.max", "pids.max", "cpu.max", "cgroup.procs"]})
    place.mkdir()
    group = cgroups.Group(dict.fromkeys(("memory", "pids", "cpu"), str(place)), "aexp-t")
    group.make(10**9, 1.5, 100)
    made = place / "aexp-t"
    assert (made / "memory.max").read_text() == "1000000000"
    assert (made / "cpu.max").read_text() == "150000 100000"
    assert int((made / "pids.max").read_text()) == 100 + cgroups.WALLS
    group.join()
    assert (made / "cgroup.procs").read_text() == "0"
    assert group.oom_kills() == 0
    (made / "memory.events").write_text("low 0\noom 1\noom_kill 2\noom_group_kill 0\n")
    assert group.oom_kills() == 2
    assert group.remove()
    assert not made.exists()


def test_version_1_is_joined_by_its_single_thread(machine):
    files = {"pids": ["pids.max", "tasks", "cgroup.procs"]}
    _, place = machine(OLD, "", files)
    (place / "pids").mkdir(parents=True)
    group = cgroups.Group({"pids": f"{place}/pids"}, "aexp-t")
    group.make(None, None, 100)
    group.join()
    made = place / "pids" / "aexp-t"
    assert (made / "tasks").read_text() == "0"
    assert not (made / "cgroup.procs").read_text()


def test_a_group_is_left_for_the_one_that_this_process_was_in(machine, monkeypatch):
    files = {"pids/own": ["tasks"], "pids": ["pids.max", "tasks", "cgroup.procs"]}
    _, place = machine(OLD, "", files)
    (place / "pids" / "own").mkdir(parents=True)
    monkeypatch.setitem(cgroups._HOMES, "pids", f"{place}/pids/own")
    group = cgroups.Group({"pids": f"{place}/pids"}, "aexp-t")
    group.make(None, None, 100)
    group.join()
    group.leave()
    assert (place / "pids" / "own" / "tasks").read_text() == "0"


def test_what_is_not_limited_has_no_group(machine):
    _, place = machine(OLD, "", {})
    group = cgroups.Group({"memory": f"{place}/memory", "pids": f"{place}/pids"}, "aexp-t")
    group.make(None, None, None)
    assert group.folders == {}
    assert group.remove()


def test_groups_of_ours_that_are_empty_are_left_over(tmp_path):
    for name, inside in {"aexp-dead": "", "aexp-alive": "12\n", "other": ""}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").write_text(inside)
    assert [*cgroups.leftovers({"pids": str(tmp_path)})] == [f"{tmp_path}/aexp-dead"]
