"""Agents that fight their containment by a plain process: real processes, dead when we look."""

import ctypes
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.outcome import Limits, Outcome
from tasks.runtimes import procfs
from tasks.runtimes.base import Cancel
from tasks.runtimes.process import ProcessRuntime
from tasks.runtimes.watched import MARK
from tasks.workspace import Workspace

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the process runtime needs Linux")

ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
SOON = 20.0
"""Seconds after which nothing may be left of anything, however busy the machine is."""

DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        open("daemon.pid", "w").write(str(os.getpid()))
        time.sleep(60)
    os._exit(0)
os.wait()
while not (os.path.exists("daemon.pid") and os.path.getsize("daemon.pid")):
    time.sleep(0.01)
"""


@dataclass
class Arena:
    """A workspace in which hostile scripts run."""

    workspace: Workspace

    @property
    def agent(self) -> Path:
        return self.workspace.home / "agent"

    @property
    def log(self) -> bytes:
        return self.workspace.log_file.read_bytes()

    def fight(self, script: str, *, cancel: Cancel | None = None, **limits) -> Outcome:
        """Run a Python script as the agent; nothing of it may be alive afterwards."""
        limits = Limits(**{"time_s": 40, "grace_s": 0.3} | limits)
        command = [sys.executable, "-I", "-S", "-c", textwrap.dedent(script)]
        outcome = ProcessRuntime().run(command, self.workspace, ENV, limits, cancel=cancel)
        assert marked(self.workspace) == []
        return outcome

    def noted(self, name: str) -> int:
        """Return the process number that the agent wrote to a file."""
        return int((self.agent / name).read_text())


def marked(workspace):
    """Return the processes, other than zombies, that run in this workspace or carry a mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            inside = (folder / "cwd").readlink().is_relative_to(workspace.root)
        except OSError:  # gone, or a zombie
            continue
        if inside:
            found.append(int(folder.name))
    return found


def alive(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_until(condition, seconds=SOON):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


@pytest.fixture
def arena(tmp_path):
    workspace = Workspace.create(tmp_path, "hostile")
    (workspace.home / "agent").mkdir(parents=True)
    (workspace.home / "submission").mkdir()
    return Arena(workspace)


def test_one_that_ignores_every_signal_is_killed_after_the_grace(arena):
    outcome = arena.fight(
        """
        import signal, time
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        print("deaf", flush=True)
        while True: time.sleep(1)
        """,
        time_s=2,
    )
    assert outcome.reason == "timed out"
    assert 2.3 <= outcome.seconds < 20
    assert arena.log == b"deaf\n"


def test_a_spinning_one_ends_in_time_and_its_cpu_is_charged(arena):
    outcome = arena.fight("while True: pass", time_s=2)
    assert outcome.reason == "timed out"
    assert 0.02 < outcome.cpu_seconds <= outcome.seconds + 0.1
    assert outcome.seconds < 20


def test_a_daemon_that_left_the_session_dies_with_the_command(arena):
    outcome = arena.fight(DAEMON)
    assert outcome.reason == "finished"
    assert outcome.killed_processes == 1
    assert not alive(arena.noted("daemon.pid"))


def test_a_daemon_of_a_command_that_times_out_dies_too(arena):
    outcome = arena.fight(DAEMON + "time.sleep(60)\n", time_s=3)
    assert outcome.reason == "timed out"
    assert outcome.killed_processes == 2
    assert not alive(arena.noted("daemon.pid"))


def test_a_chain_that_restarts_itself_is_outrun(arena):
    outcome = arena.fight(
        """
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(8):
            if os.fork() == 0:
                while True:  # each lives for a moment and leaves its work to a child
                    os.setsid() if os.getpid() != os.getsid(0) else None
                    if os.fork(): os._exit(0)
                    time.sleep(0.002)
        time.sleep(0.2)
        """
    )
    assert outcome.reason == "finished"
    assert outcome.killed_processes >= 8


def test_a_fork_bomb_is_stopped_before_it_is_killed(arena):
    outcome = arena.fight(
        """
        import os, time
        for _ in range(7):  # 128 processes, each of which goes on forking
            os.fork()
        end = time.monotonic() + 100
        while time.monotonic() < end:
            if os.fork() == 0: os._exit(0)
            os.wait()
        """,
        time_s=1,
        grace_s=0.0,
    )
    assert outcome.reason == "timed out"
    assert outcome.killed_processes >= 64
    assert outcome.seconds < 60


def test_one_that_stops_itself_ends_at_the_limit(arena):
    outcome = arena.fight("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", time_s=0.6)
    assert outcome.reason == "timed out"
    assert outcome.seconds < 20


def test_one_that_is_stopped_may_still_save_its_work_at_the_limit(arena):
    arena.fight(
        """
        import os, signal
        def save(*_):
            print("saved", flush=True)
            os._exit(0)
        signal.signal(signal.SIGTERM, save)
        os.kill(os.getpid(), signal.SIGSTOP)
        """,
        time_s=2,
        grace_s=20,
    )
    assert arena.log == b"saved\n"


def test_one_that_kills_its_supervisor_loses_everything(arena):
    started = time.monotonic()
    outcome = arena.fight(
        DAEMON
        + """
import signal
os.kill(os.getppid(), signal.SIGKILL)
time.sleep(60)
"""
    )
    assert time.monotonic() - started < 30  # not the 40 of its limit
    assert outcome.reason == "agent error"
    assert outcome.exit_code is None
    assert "supervisor" in outcome.detail
    assert outcome.killed_processes >= 1
    assert not alive(arena.noted("daemon.pid"))


def test_a_daemon_without_its_mark_does_not_outlive_a_killed_supervisor(arena):
    outcome = arena.fight(
        """
        import os, signal, time
        if os.fork() == 0:
            os.setsid()
            open("daemon.pid", "w").write(str(os.getpid()))
            os.execve("/bin/sleep", ["sleep", "60"], {})
        while not (os.path.exists("daemon.pid") and os.path.getsize("daemon.pid")):
            time.sleep(0.01)
        time.sleep(0.5)
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
        """
    )
    assert outcome.reason == "agent error"
    assert not alive(arena.noted("daemon.pid"))


def test_a_process_born_after_the_death_of_the_supervisor_is_found_by_its_mark(arena):
    outcome = arena.fight(
        """
        import os, signal, time
        supervisor = os.getppid()
        if os.fork() == 0:
            os.setsid()
            time.sleep(0.3)
            os.kill(supervisor, signal.SIGKILL)
            for _ in range(3):
                if os.fork(): os._exit(0)
                os.setsid()
            time.sleep(60)
        time.sleep(60)
        """
    )
    assert outcome.reason == "agent error"


SURVIVOR = """
import ctypes, os, signal, time
supervisor = os.getppid()
fields = open("/proc/self/stat").read().rpartition(")")[2].split()
start, end = int(fields[47]), int(fields[48])
ctypes.memset(start, 0, end - start)  # no mark is left in its environment
if os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
    open("survivor.pid", "w").write(str(os.getpid()))
    os.kill(supervisor, signal.SIGKILL)
    while True:
        REPEATED
time.sleep(60)
"""


@pytest.mark.parametrize(
    "repeated",
    [
        "time.sleep(60)",
        "os.setsid() if os.getpid() != os.getsid(0) else 0; os.fork() and os._exit(0)",
    ],
    ids=["daemon", "chain"],
)
def test_one_without_its_mark_that_kills_its_supervisor_does_not_live_on(arena, repeated):
    bystander = ["sleep", "60"]
    with subprocess.Popen(bystander, start_new_session=True) as older:
        outcome = arena.fight(SURVIVOR.replace("REPEATED", repeated))
        assert older.poll() is None
        older.kill()
    assert outcome.reason == "agent error"
    assert outcome.seconds < 30
    assert "was killed" in outcome.breach
    assert "not all" not in outcome.detail
    assert not alive(arena.noted("survivor.pid"))
    assert marked(arena.workspace) == []


def test_the_dead_that_a_killed_supervisor_leaves_are_buried(arena):
    before = set(procfs.children(os.getpid()))
    outcome = arena.fight(
        """
        import os, signal, time
        os.kill(os.getppid(), signal.SIGKILL)
        for _ in range(200):
            if os.fork() == 0:
                os.fork()
                os._exit(0)
        time.sleep(60)
        """
    )
    assert "was killed" in outcome.breach
    assert set(procfs.children(os.getpid())) <= before


def test_what_cannot_be_killed_in_time_is_told(arena, monkeypatch):
    monkeypatch.setattr("tasks.runtimes.watched._SWEEP_S", 0)
    script = DAEMON + "import signal\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(60)\n"
    command = [sys.executable, "-I", "-S", "-c", script]
    outcome = ProcessRuntime().run(command, arena.workspace, ENV, Limits(time_s=40))
    try:
        assert alive(arena.noted("daemon.pid"))
        assert "not all of its processes could be killed" in outcome.detail
    finally:
        procfs.signal_all(marked(arena.workspace), signal.SIGKILL)


def test_the_sweep_after_one_run_spares_another(arena, tmp_path):
    other = Workspace.create(tmp_path, "other")
    outcomes = []

    def peaceful():
        command = ["sh", "-c", "sleep 60 & sleep 2"]
        outcomes.append(ProcessRuntime().run(command, other, ENV, Limits()))

    thread = threading.Thread(target=peaceful)
    thread.start()
    assert arena.fight(SURVIVOR.replace("REPEATED", "time.sleep(60)")).breach
    thread.join()
    assert outcomes[0].ok
    assert outcomes[0].breach == ""


@pytest.mark.skipif(not shutil.which("setpriv"), reason="no setpriv here")
def test_the_harness_is_closed_to_the_agent_and_open_again_afterwards(arena):
    libc = ctypes.CDLL(None)
    before = libc.prctl(3, 0, 0, 0, 0)  # PR_GET_DUMPABLE
    peek = "cat /proc/$(awk '{print $4}' /proc/$PPID/stat)/environ; cat /proc/$PPID/environ"
    drop = "--bounding-set=-all --inh-caps=-all --securebits=+noroot"
    command = ["setpriv", *drop.split(), "sh", "-c", peek]
    outcome = ProcessRuntime().run(command, arena.workspace, ENV, Limits(time_s=10))
    assert outcome.exit_code == 1
    assert arena.log.count(b"ermission denied") == 2
    assert libc.prctl(3, 0, 0, 0, 0) == before


def test_the_limits_of_the_harness_are_what_they_were(arena):
    before = {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_NOFILE, 1)}
    arena.fight(
        """
        import os, resource, time
        harness = int(open(f"/proc/{os.getppid()}/stat").read().rpartition(")")[2].split()[1])
        for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE):
            resource.prlimit(harness, kind, (0, resource.prlimit(harness, kind)[1]))
        time.sleep(0.3)
        """
    )
    assert {kind: resource.getrlimit(kind) for kind in before} == before


def test_one_that_lowers_the_limits_of_its_supervisor_is_told_of(arena):
    outcome = arena.fight(
        """
        import os, resource, time
        resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))
        time.sleep(60)
        """
    )
    assert outcome.reason == "agent error"
    assert "limits" in outcome.breach


@pytest.mark.parametrize("group", ["", "os.setsid()"], ids=["one group", "many groups"])
def test_chains_that_exit_at_once_hold_neither_deadline_nor_samples_up(arena, group):
    outcome = arena.fight(
        f"""
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        until = time.time() + 60
        for _ in range(12):
            if os.fork() == 0:
                os.setsid()
                os.fork() and os._exit(0)
                while time.time() < until:
                    {group}
                    if os.fork(): os._exit(0)
                os._exit(0)
        for number in range(2000):
            open(f"file{{number}}", "wb").write(b"x" * 2**20)
            time.sleep(0.02)
        """,
        disk_bytes=10 * 2**20,
    )
    assert outcome.reason == "disk full"
    assert outcome.seconds < 40


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_supervisor_shrugs_off_the_signals_that_may_be_ignored(arena, number):
    outcome = arena.fight(f"import os; os.kill(os.getppid(), {int(number)}); print('on')")
    assert outcome.reason == "finished"
    assert arena.log == b"on\n"


def test_one_that_stops_its_supervisor_still_ends(arena, monkeypatch):
    monkeypatch.setattr("tasks.runtimes.watched.LATE_S", 0.5)
    outcome = arena.fight(
        DAEMON
        + """
import signal
os.kill(os.getppid(), signal.SIGSTOP)
time.sleep(60)
""",
        time_s=3,
    )
    assert outcome.reason == "timed out"
    assert "supervisor" in outcome.detail
    assert "was stopped" in outcome.breach
    assert not alive(arena.noted("daemon.pid"))


def test_a_cancelled_run_ends_though_its_supervisor_is_stopped(arena, monkeypatch):
    monkeypatch.setattr("tasks.runtimes.watched.LATE_S", 0.3)
    cancel = Cancel()
    threading.Timer(0.6, cancel.kill).start()
    outcome = arena.fight(
        "import os, time; os.kill(os.getppid(), 19); time.sleep(60)", cancel=cancel, time_s=60
    )
    assert outcome.reason == "cancelled"
    assert outcome.seconds < 30


def test_a_flood_of_output_is_drained_and_capped(arena):
    outcome = arena.fight(
        """
        import os
        block = b"x" * 2**20
        for _ in range(300):
            left = block
            while left: left = left[os.write(1, left):]
        """,
        log_bytes=2**20,
    )
    assert outcome.reason == "finished"
    assert outcome.log_bytes == 300 * 2**20
    assert len(arena.log) < 2**20 + 100
    assert b"313,524,224 more bytes" in arena.log[-100:]


def test_one_that_closes_its_output_is_still_timed(arena):
    outcome = arena.fight(
        "import os, time; os.write(1, b'last'); os.closerange(0, 3); time.sleep(60)", time_s=2
    )
    assert outcome.reason == "timed out"
    assert arena.log == b"last"


def test_output_that_follows_the_end_of_the_main_process_is_kept(arena):
    for _ in range(10):  # a busy machine may take more than the tenth of a second that it has
        outcome = arena.fight(
            """
            import os, time
            if os.fork() == 0:
                time.sleep(0.03)
                os.write(1, b"late")
            """
        )
        assert outcome.reason == "finished"
        if arena.log:
            break
    assert arena.log == b"late"


def test_a_log_replaced_by_a_link_is_put_back(arena, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    arena.fight(
        f"""
        import os
        os.remove("../../run.log")
        os.symlink({str(precious)!r}, "../../run.log")
        print("hi")
        """
    )
    assert arena.log == b"hi\n"
    assert not arena.workspace.log_file.is_symlink()
    assert precious.read_text() == "precious"


def test_a_log_replaced_by_a_folder_is_put_back(arena):
    arena.fight(
        "import os; os.remove('../../run.log'); os.makedirs('../../run.log/deep'); print('hi')"
    )
    assert arena.log == b"hi\n"


def test_a_log_replaced_by_a_very_deep_tree_is_put_back(arena):
    outcome = arena.fight(
        """
        import os
        os.chdir("../..")
        os.remove("run.log")
        os.mkdir("run.log")
        os.chdir("run.log")
        for _ in range(1200):
            os.mkdir("d")
            os.chdir("d")
        print("hi")
        """,
    )
    assert outcome.reason == "finished"
    assert arena.log == b"hi\n"
    subprocess.run(["rm", "-rf", str(arena.workspace.root)], check=True)  # pytest cannot


def test_one_that_deletes_its_workspace_is_still_told_of(arena):
    outcome = arena.fight(
        f"""
        import subprocess
        subprocess.run(["rm", "-rf", {str(arena.workspace.root)!r}])
        print("gone")
        """
    )
    assert outcome.reason == "finished"
    assert arena.log == b"gone\n"


def test_many_files_over_the_disk_limit_end_it(arena):
    outcome = arena.fight(
        """
        import time
        for number in range(1000):
            open(f"file{number}", "wb").write(b"x" * 2**20)
            time.sleep(0.005)
        """,
        disk_bytes=20 * 2**20,
    )
    assert outcome.reason == "disk full"
    assert outcome.exit_code is None
    assert "the limit is 20,971,520" in outcome.detail
    assert sum(path.stat().st_size for path in arena.agent.iterdir()) < 200 * 2**20


@pytest.mark.parametrize(
    "where",
    ["os.mkdir('w', 0o300); os.chdir('w')", "for _ in range(30): os.mkdir(n); os.chdir(n)"],
    ids=["closed", "deep"],
)
def test_files_in_a_hidden_place_count(arena, where):
    outcome = arena.fight(
        f"""
        import os, time
        n = "d" * 200
        {where}
        for number in range(1000):
            open(f"file{{number}}", "wb").write(b"x" * 2**20)
            time.sleep(0.005)
        """,
        disk_bytes=20 * 2**20,
    )
    assert outcome.reason == "disk full"
    assert "the limit is" in outcome.detail


def test_files_behind_many_empty_ones_count_at_once(arena):
    outcome = arena.fight(
        """
        import os, time
        for folder in range(60):
            os.mkdir(f"{folder}")
            for number in range(1000):
                os.close(os.open(f"{folder}/{number}", os.O_CREAT | os.O_WRONLY))
        for number in range(1000):
            open(f"file{number}", "wb").write(b"x" * 2**20)
            time.sleep(0.01)
        """,
        disk_bytes=50 * 2**20,
    )
    assert outcome.reason == "disk full"
    written = sum(path.stat().st_blocks * 512 for path in arena.agent.glob("file*"))
    assert written < 400 * 2**20
    told = int(outcome.detail.split(" bytes written; the limit is ")[0].replace(",", ""))
    assert written <= told < written + 20 * 2**20


@pytest.mark.parametrize("held", ["kept.append(file)", "kept.append(mmap.mmap(file.fileno(), 0))"])
def test_deleted_files_count_as_long_as_they_take_room(arena, held):
    outcome = arena.fight(
        f"""
        import mmap, os, time
        kept = []
        for number in range(1000):
            file = open("file", "w+b", 0)
            file.write(b"x" * 2**20)
            os.unlink("file")
            {held}
            time.sleep(0.01)
        """,
        disk_bytes=50 * 2**20,
    )
    assert outcome.reason == "disk full"
    told = int(outcome.detail.split(" bytes written; the limit is ")[0].replace(",", ""))
    assert 50 * 2**20 < told < 400 * 2**20


def test_one_file_cannot_grow_over_the_disk_limit(arena):
    outcome = arena.fight(
        "file = open('big', 'wb', 0)\nwhile True: file.write(b'x' * 2**20)",
        disk_bytes=10 * 2**20,
    )
    assert outcome.reason == "disk full"
    assert (arena.agent / "big").stat().st_size == 10 * 2**20


def test_a_sparse_file_of_ten_gigabytes_is_not_written(arena):
    outcome = arena.fight("open('sparse', 'wb').truncate(10 * 2**30)", disk_bytes=2**30)
    assert outcome.reason == "agent error"
    assert (arena.agent / "sparse").stat().st_size == 0


def test_what_lay_there_before_is_not_charged(arena):
    (arena.workspace.root / "public").mkdir()
    (arena.workspace.root / "public" / "data").write_bytes(b"x" * 2**21)
    outcome = arena.fight("open('mine', 'wb').write(b'x' * 1000)", disk_bytes=2**20)
    assert outcome.reason == "finished"


def test_what_it_prints_is_not_charged_to_the_disk(arena):
    outcome = arena.fight("print('x' * 3 * 2**20)", disk_bytes=2**20)
    assert outcome.reason == "finished"
    assert outcome.log_bytes == 3 * 2**20 + 1


def test_more_memory_than_allowed_ends_it(arena):
    outcome = arena.fight(
        """
        import time
        held = []
        while True:
            held.append(b"x" * 10_000_000)
            time.sleep(0.01)
        """,
        memory_bytes=100_000_000,
    )
    assert outcome.reason == "out of memory"
    assert outcome.exit_code is None
    assert 100e6 < outcome.peak_memory_bytes < 1e9
    assert outcome.enforced["memory"] == "sampled"


def test_memory_spread_over_children_counts_together(arena):
    outcome = arena.fight(
        """
        import os, time
        for _ in range(4):
            if os.fork() == 0:
                held = b"x" * 50_000_000
                time.sleep(60)
        time.sleep(60)
        """,
        memory_bytes=150_000_000,
    )
    assert outcome.reason == "out of memory"


def test_memory_shared_by_forked_children_counts_once(arena):
    outcome = arena.fight(
        """
        import os, time
        held = b"x" * 50_000_000
        for _ in range(4):
            if os.fork() == 0:
                time.sleep(1)
                os._exit(0)
        for _ in range(4): os.wait()
        """,
        memory_bytes=150_000_000,
    )
    assert outcome.reason == "finished"
    assert outcome.peak_memory_bytes < 150_000_000


def test_no_descriptor_of_the_harness_is_inherited(arena):
    secret, _ = pipe = os.pipe()
    os.set_inheritable(secret, True)
    try:
        arena.fight("import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[:-1])")
    finally:
        for handle in pipe:
            os.close(handle)
    assert arena.log == b"[0, 1, 2]\n"


def test_neither_supervisor_nor_agent_carries_the_harness_environment(arena, monkeypatch):
    monkeypatch.setenv("HOST_SECRET", "s3cret")
    arena.fight(
        """
        import os
        for pid in (os.getpid(), os.getppid()):
            for name in ("environ", "cmdline"):
                try: print(open(f"/proc/{pid}/{name}", "rb").read())
                except PermissionError: pass
        print(sorted(os.environ))
        """
    )
    assert b"s3cret" not in arena.log
    assert str(sorted([MARK, *ENV])).encode() in arena.log


def test_signals_are_as_a_shell_would_leave_them(arena):
    arena.fight(
        """
        for line in open("/proc/self/status"):
            if line.startswith(("SigBlk", "SigIgn")): print(line.split()[1].lstrip("0"))
        import resource
        print(resource.getrlimit(resource.RLIMIT_CORE))
        """
    )
    blocked, ignored, core = arena.log.decode().split("\n")[:3]
    python_itself = {signal.SIGPIPE, signal.SIGXFSZ}  # which every Python ignores
    assert blocked == ""
    # Beyond 31 are the C library's own, which nobody can set and some parents pass on.
    named = int(ignored, 16) & (2**31 - 1)
    assert named == sum(1 << (number - 1) for number in python_itself)
    assert core == "(0, 0)"


HARNESS = """
import sys
from pathlib import Path
from tasks.outcome import Limits
from tasks.runtimes.base import Cancel
from tasks.runtimes.process import ProcessRuntime
from tasks.workspace import Workspace
script = Path(sys.argv[2]).read_text()
ProcessRuntime().run([sys.executable, "-I", "-S", "-c", script], Workspace(Path(sys.argv[1])),
                     {"PATH": "/usr/bin:/bin"}, Limits(time_s=60, grace_s=30))
"""


@pytest.mark.parametrize("unread", [False, True], ids=["all read", "a message unread"])
def test_the_death_of_the_harness_is_the_death_of_the_agent(arena, tmp_path, unread):
    script = tmp_path / "agent.py"
    script.write_text(
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        + DAEMON
        + "open('agent.pid', 'w').write(str(os.getpid()))\n"
        + "while not os.path.exists('go'): time.sleep(0.01)\n"
        + "if os.fork(): open('forked', 'w').close()\n"  # the supervisor tells of a new process
        + "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", HARNESS, str(arena.workspace.root), str(script)]
    with subprocess.Popen(command) as harness:
        pid = arena.agent / "agent.pid"
        assert wait_until(lambda: pid.exists() and pid.read_text(), 20)
        if unread:
            harness.send_signal(signal.SIGSTOP)
            (arena.agent / "go").touch()
            assert wait_until((arena.agent / "forked").exists, 20)
            time.sleep(1)
        harness.kill()
    agent, daemon = arena.noted("agent.pid"), arena.noted("daemon.pid")
    assert wait_until(lambda: not alive(agent) and not alive(daemon))
    assert wait_until(lambda: marked(arena.workspace) == [])


def test_ten_honest_runs_leave_nothing_behind(arena):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        assert arena.fight("pass").ok
    assert len(list(Path("/proc/self/fd").iterdir())) == before
