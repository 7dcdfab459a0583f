"""What is started from a supervisor is under its limits from the first instruction on."""

import ctypes
import os
import resource
import signal
from pathlib import Path

import pytest

from tasks.runtimes.spawn import Offered, lowered, places, spawn

CAP_SYS_RESOURCE = 24
LIMITS = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 12_345}


def said(command, *, uid=None, env=None, limits=LIMITS):
    """Return what a command prints that a child of ours starts, and the child's own limits then."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.dup2(writing, 1)
            for name in ("SIGTERM", "SIGINT"):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
            if uid is not None:
                os.setresuid(uid, uid, uid)
            before = [resource.getrlimit(kind) for kind in limits]
            env = env or {"PATH": "/usr/bin:/bin"}
            pid = spawn(places(command[0], env), command, env, limits)
            os.waitpid(pid, 0)
            after = [resource.getrlimit(kind) for kind in limits]
            os.write(1, f"restored {before == after}\n".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        text = stream.read()
    os.waitpid(child, 0)
    return text


@pytest.mark.parametrize("uid", [None, 12_345])
def test_its_limits_are_final_when_it_begins(uid):
    if uid is not None and os.getuid() != 0:
        pytest.skip("only root becomes another user")
    for _ in range(20):
        text = said(["cat", "/proc/self/limits"], uid=uid)
        rows = {line[:26].strip(): line[26:].split()[:2] for line in text.splitlines()}
        assert rows["Max file size"] == ["12345", "12345"]
        assert rows["Max core file size"] == ["0", "0"]


def test_it_dies_before_others_where_memory_runs_out_and_who_starts_it_does_not():
    before = Path("/proc/self/oom_score_adj").read_text()
    reading, writing = os.pipe()
    with Offered():
        offered = Path("/proc/self/oom_score_adj").read_text()
        child = os.posix_spawn(
            "/bin/cat",
            ["cat", "/proc/self/oom_score_adj"],
            {},
            file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)],
        )
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as stream:
        assert stream.read() == offered == "500\n"
    assert Path("/proc/self/oom_score_adj").read_text() == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes another user")
def test_what_a_user_without_rights_starts_is_offered_once_it_runs():
    """Who is closed to its own user, as supervisors are, may not change its own rank."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.dup2(writing, 1)
            os.setresuid(12_345, 12_345, 12_345)
            ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
            command = ["sh", "-c", "sleep 0.3; cat /proc/self/oom_score_adj"]
            with Offered() as offered:
                pid = offered.too(spawn(["/bin/sh"], command, {"PATH": "/usr/bin:/bin"}, {}))
            os.waitpid(pid, 0)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        assert stream.read() == "500\n"
    os.waitpid(child, 0)


def test_who_may_raise_limits_is_rid_of_them_again():
    text = Path("/proc/self/status").read_text()
    capabilities = int(text.partition("CapEff:")[2].split(None, 1)[0], 16)
    may = bool(capabilities >> CAP_SYS_RESOURCE & 1)
    assert ("restored True" in said(["true"])) == may


def test_signals_are_by_default_and_none_is_blocked():
    lines = said(["cat", "/proc/self/status"]).splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    ours = sum(1 << (number - 1) for number in range(1, 32))
    assert int(status["SigIgn"], 16) & ours == 0
    assert int(status["SigBlk"], 16) == 0
    assert int(status["SigCgt"], 16) == 0


def test_it_leads_a_session_and_reads_nothing():
    text = said(["sh", "-c", "ps -o sid= -p $$; echo $$; cat"])
    session, own, _ = text.split(maxsplit=2)
    assert session == own


def test_a_program_is_looked_for_as_by_execvp(tmp_path):
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    (tmp_path / "first" / "tool").write_text("no program")
    program = tmp_path / "second" / "tool"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    path = f"{tmp_path}/none:{tmp_path}/first:{tmp_path}/second"
    assert said(["tool"], env={"PATH": path}).startswith("found")


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (["no-such-program"], FileNotFoundError),
        ([""], FileNotFoundError),
        (["/etc/passwd"], PermissionError),
        (["/"], PermissionError),
        (["true", "a\0b"], ValueError),
    ],
)
def test_what_cannot_be_started_is_told_and_changes_nothing(command, error):
    env = {"PATH": "/usr/bin:/bin"}
    before = [resource.getrlimit(kind) for kind in LIMITS]
    limits = {kind: pair[1] for kind, pair in zip(LIMITS, before, strict=True)}
    with pytest.raises(error):
        spawn(places(command[0], env), command, env, limits)
    assert [resource.getrlimit(kind)[1] for kind in LIMITS] == [pair[1] for pair in before]


def test_a_limit_is_never_above_the_hard_one():
    assert lowered(10, resource.RLIM_INFINITY) == (10, 10)
    assert lowered(10, 5) == (5, 5)
    assert lowered(3, 5) == (3, 3)
