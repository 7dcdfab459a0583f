"""What every runtime keeps.

Runs over all runtimes that are built in or installed as an entry point of `aexp.runtime`. The
author of another one subclasses `RuntimeContract` and overrides the fixture `runtime`.
"""

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks import plugins
from tasks.errors import MissingPart
from tasks.outcome import Limits
from tasks.runtimes.base import Cancel, InImages
from tasks.spec import GUARANTEES
from tasks.workspace import Workspace

ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
REQUIRED = os.environ.get("AEXP_REQUIRE", "").split(",")
ALSO_SET = {"AEXP_TRIAL", "PWD", "HOSTNAME", "HOME"}
"""Variables that a runtime or a container engine may set; none tells of the host."""


@pytest.fixture
def workspace(tmp_path):
    made = Workspace.create(tmp_path, "contract")
    for folder in (made.public, made.home / "agent", made.home / "submission"):
        folder.mkdir(parents=True)
    return made


def lacking(part, error):
    """Skip a test whose part is missing here; fail where $AEXP_REQUIRE names it."""
    if part in REQUIRED:
        pytest.fail(f"{part} is required: {error}")
    pytest.skip(str(error))


class RuntimeContract:
    """The cases; `runtime` says of whom."""

    @pytest.fixture
    def runtime(self):
        raise NotImplementedError("return the runtime under test")

    @pytest.fixture
    def run(self, runtime, workspace):
        """Run a shell script, or a command."""

        def run(script, *, env=ENV, on_output=None, cancel=None, **limits):
            command = ["sh", "-c", script] if isinstance(script, str) else script
            limits = Limits(**{"time_s": 40.0, "grace_s": 0.3} | limits)
            try:
                return runtime.run(
                    command, workspace, env, limits, on_output=on_output, cancel=cancel
                )
            except MissingPart as error:
                lacking(runtime.name, error)

        return run

    @pytest.fixture
    def seen(self, runtime, workspace):
        """Return a path as the command sees it."""

        def seen(path):
            home = runtime.home or workspace.home
            return f"{home}/{path.relative_to(workspace.home)}"

        return seen

    def test_a_clean_end_is_finished_with_status_zero(self, run, workspace):
        outcome = run("echo hello; echo 1 > ../submission/result.txt")
        assert (outcome.reason, outcome.exit_code, outcome.detail) == ("finished", 0, "")
        assert outcome.ok
        assert outcome.killed_processes == 0
        assert 0 < outcome.seconds < 20
        assert workspace.log_file.read_bytes() == b"hello\n"
        assert (workspace.home / "submission" / "result.txt").read_text() == "1\n"

    def test_a_status_other_than_zero_is_the_agents_error(self, run):
        outcome = run("exit 3")
        assert (outcome.reason, outcome.exit_code) == ("agent error", 3)
        assert outcome.detail == "exit status 3"

    def test_the_end_by_a_signal_is_told_as_a_negative_status(self, run):
        outcome = run("kill -SEGV $$")
        assert (outcome.reason, outcome.exit_code) == ("agent error", -signal.SIGSEGV)
        assert "SIGSEGV" in outcome.detail

    @pytest.mark.parametrize("kind", ["missing", "not executable", "no program", "a NUL", "empty"])
    def test_a_command_that_cannot_be_started_never_started(self, run, workspace, seen, kind):
        file = workspace.home / "agent" / "program"
        command = {"missing": ["no-such-program"], "a NUL": ["sh\0", "-c"], "empty": [""]}.get(
            kind, [seen(file)]
        )
        file.write_bytes(b"\x7fNOTELF")
        file.chmod(0o755 if kind == "no program" else 0o644)
        outcome = run(command)
        if kind == "no program" and outcome.reason == "agent error":
            return  # the C library has asked a shell to read it
        assert (outcome.reason, outcome.exit_code) == ("never started", None)
        assert repr(command[0]) in outcome.detail
        assert "\n" not in outcome.detail

    def test_both_outputs_go_to_the_log_and_to_the_observer_in_order(self, run, workspace):
        seen = []
        outcome = run("echo one; echo two >&2; echo three", on_output=seen.append)
        assert b"".join(seen) == workspace.log_file.read_bytes() == b"one\ntwo\nthree\n"
        assert outcome.log_bytes == len(b"one\ntwo\nthree\n")

    def test_output_beyond_the_cap_is_counted_not_kept(self, run, workspace):
        seen = []
        outcome = run("yes | head -c 1000000", log_bytes=1000, on_output=seen.append)
        assert outcome.reason == "finished"
        assert outcome.log_bytes == 1_000_000
        log = workspace.log_file.read_bytes()
        assert log[:1000] == b"".join(seen) == b"y\n" * 500
        assert b"999,000 more bytes" in log[1000:]

    def test_only_the_given_variables_reach_the_command(self, run, workspace, monkeypatch):
        monkeypatch.setenv("HOST_SECRET", "s3cret")
        run(["env"], env={**ENV, "GIVEN": "a=b\nc"})
        names = {line.split("=")[0] for line in workspace.log_file.read_text().splitlines()}
        assert names - {"c"} - ALSO_SET == {*ENV, "GIVEN"}
        assert "s3cret" not in workspace.log_file.read_text()

    def test_the_command_runs_in_the_agents_folder_with_an_empty_input(self, run, workspace):
        outcome = run("echo here > where.txt; cat")
        assert outcome.reason == "finished"
        assert (workspace.home / "agent" / "where.txt").read_text() == "here\n"

    def test_the_time_limit_ends_it_and_keeps_what_it_wrote(self, run, workspace):
        started = time.monotonic()
        outcome = run("echo begun; echo 1 > ../submission/part; sleep 60", time_s=2)
        assert (outcome.reason, outcome.exit_code) == ("timed out", None)
        assert 2 <= outcome.seconds <= time.monotonic() - started < 20
        assert outcome.killed_processes >= 1
        assert workspace.log_file.read_bytes() == b"begun\n"
        assert (workspace.home / "submission" / "part").exists()

    def test_the_whole_tree_may_save_its_work_in_the_grace(self, run, workspace):
        child = "trap 'sleep 0.2; echo saved; exit' TERM; while :; do sleep 0.05; done"
        outcome = run(f'sh -c "{child}"', time_s=2, grace_s=20)
        assert outcome.reason == "timed out"
        assert outcome.seconds < 20
        assert b"saved" in workspace.log_file.read_bytes()

    def test_what_outlives_the_command_is_killed_and_counted(self, run, workspace):
        survivor = "(setsid sh -c 'while :; do sleep 0.05; echo x >> alive; done' &)"
        outcome = run(f"{survivor}; sleep 0.3")
        assert outcome.reason == "finished"
        assert outcome.killed_processes >= 1
        alive = workspace.home / "agent" / "alive"
        before = alive.stat().st_size
        time.sleep(0.3)
        assert alive.stat().st_size == before > 0

    def test_a_run_cancelled_before_its_start_never_runs(self, run, workspace):
        cancel = Cancel()
        cancel.stop()
        outcome = run("touch ran", cancel=cancel)
        assert (outcome.reason, outcome.exit_code) == ("cancelled", None)
        assert not (workspace.home / "agent" / "ran").exists()

    def test_cancel_stop_is_gentle_and_keeps_outputs(self, run, workspace):
        cancel = Cancel()
        script = "trap 'echo saved > ../submission/part; exit' TERM; echo ready; sleep 60 & wait"
        outcome = run(script, on_output=lambda _: cancel.stop(), cancel=cancel)
        assert (outcome.reason, outcome.exit_code) == ("cancelled", None)
        assert outcome.seconds < 20
        assert (workspace.home / "submission" / "part").read_text() == "saved\n"

    def test_cancel_kill_ends_it_at_once(self, run, workspace):
        cancel = Cancel()
        threading.Timer(0.5, cancel.kill).start()
        script = "trap 'echo saved > ../submission/part' TERM; while :; do sleep 0.1; done"
        outcome = run(script, cancel=cancel, grace_s=40)
        assert outcome.reason == "cancelled"
        assert outcome.seconds < 20
        assert not (workspace.home / "submission" / "part").exists()

    def test_cancel_kill_cuts_short_the_grace_of_a_stop(self, run):
        cancel = Cancel()
        threading.Timer(0.3, cancel.stop).start()
        threading.Timer(0.6, cancel.kill).start()
        outcome = run("trap '' TERM; while :; do sleep 1; done", cancel=cancel, grace_s=40)
        assert outcome.reason == "cancelled"
        assert outcome.seconds < 20

    def test_the_log_outlives_the_workspace(self, run, workspace, runtime):
        everything = f"{runtime.home}/*" if runtime.home else workspace.root
        outcome = run(f"echo before; rm -rf {everything} 2>/dev/null; echo after")
        assert outcome.reason == "finished"
        assert workspace.log_file.read_bytes() == b"before\nafter\n"

    def test_time_on_the_cpu_and_memory_are_those_of_the_whole_tree(self, run, runtime):
        python = sys.executable if runtime.host_programs else "python3"
        burn = (
            "import time; block = b'x' * 100_000_000; end = time.process_time() + 0.2\n"
            "while time.process_time() < end: pass"
        )
        outcome = run(f'{python} -I -S -c "{burn}" & wait')
        assert outcome.reason == "finished"
        assert 0.2 <= outcome.cpu_seconds < 2
        assert 100e6 <= outcome.peak_memory_bytes < 200e6

    def test_what_is_enforced_is_known_before_and_told_after(self, run, runtime):
        limits = {"memory_bytes": 10**9, "cpus": 1.0, "pids": 100}
        promised = runtime.enforces(Limits(**limits))
        assert run(["true"], **limits).enforced == promised
        assert set(promised) == set(GUARANTEES)

    def test_in_a_sandbox_the_home_is_seen_and_the_data_are_read_only(
        self, run, runtime, workspace
    ):
        if runtime.home is None:
            return
        (workspace.public / "train.csv").write_text("a\n1\n")
        (workspace.home / "agent" / "mine").write_text("mine")
        home = runtime.home
        outcome = run(
            f"cat {home}/data/train.csv {home}/agent/mine; touch {home}/made;"
            f"! touch {home}/data/new 2>/dev/null && ! rm -f {home}/data/train.csv 2>/dev/null"
        )
        assert workspace.log_file.read_text() == "a\n1\nmine"
        assert outcome.exit_code == 0
        assert (workspace.home / "made").exists()
        assert [path.name for path in workspace.public.iterdir()] == ["train.csv"]

    def test_the_outcome_names_what_enforced_each_guarantee(self, run):
        outcome = run(["true"])
        assert set(outcome.enforced) == set(GUARANTEES)
        assert outcome.enforced["time"]

    def test_a_failing_observer_ends_the_command(self, run, workspace):
        def observer(_piece):
            raise RuntimeError("observer")

        with pytest.raises(RuntimeError, match="observer"):
            run("echo hello; sleep 0.5; touch ran", on_output=observer)
        time.sleep(0.7)
        assert not (workspace.home / "agent" / "ran").exists()

    def test_runs_side_by_side_keep_apart(self, runtime, tmp_path):
        def one(number):
            workspace = Workspace.create(tmp_path, f"trial{number}")
            (workspace.home / "agent").mkdir(parents=True)
            limits = Limits(time_s=0.5 if number == 0 else 40, grace_s=0.2)
            script = "sleep 60" if number == 0 else f"sleep 1; echo {number}"
            outcome = runtime.run(["sh", "-c", script], workspace, ENV, limits)
            return outcome.reason, workspace.log_file.read_text()

        with ThreadPoolExecutor(4) as pool:
            ended = list(pool.map(one, range(4)))
        assert ended == [("timed out", ""), *(("finished", f"{number}\n") for number in (1, 2, 3))]


class TestInstalledRuntimes(RuntimeContract):
    @pytest.fixture(params=plugins.names("runtime"))
    def runtime(self, request):
        made = plugins.load("runtime", request.param)()
        try:
            made.check()
            return made.in_image("mlebench-env") if isinstance(made, InImages) else made
        except MissingPart as error:
            lacking(request.param, error)

    def test_a_runtime_has_the_name_it_is_found_by(self, runtime, request):
        assert request.node.callspec.params["runtime"] == runtime.name
