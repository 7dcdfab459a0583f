"""How the runtime judges what an engine's command does; the engine is a script here."""

import json

import pytest

from tasks.errors import InfrastructureError, MissingPart
from tasks.outcome import Limits
from tasks.runtimes import docker
from tasks.runtimes.base import Cancel
from tasks.runtimes.docker import DockerRuntime
from tasks.runtimes.mle_bench import MleBenchRuntime
from tasks.workspace import Workspace

STARTED = """echo '{"aexp": {"started": true}}' >&2"""
ENDED = (
    """echo '{"aexp": {"status": %s, "killed": 0, "cpu_seconds": 1.5, "peak": 7, """
    """"oom_kills": %s}}' >&2"""
)


@pytest.fixture
def trial(tmp_path):
    """Run a command with an engine whose `run` does what the script says."""
    (tmp_path / "calls").touch()

    def call(script, *, events="", cancel=None, command=("true",), **limits):
        program = tmp_path / "docker"
        program.write_text(
            f'#!/bin/bash\necho "$*" >> {tmp_path}/calls\n'
            f"case $1 in run) read -r variables; {script} ;;\n"
            f'events) printf "{events}" ;; esac\n'
        )
        program.chmod(0o755)
        workspace = Workspace.create(tmp_path, "trial")
        workspace.public.mkdir()
        runtime = DockerRuntime("an-image", program=str(program))
        limits = Limits(**{"time_s": 20.0, "grace_s": 0.2} | limits)
        outcome = runtime.run(command, workspace, {"A": "b"}, limits, cancel=cancel)
        return outcome, workspace

    call.calls = lambda: [line.split()[0] for line in (tmp_path / "calls").read_text().splitlines()]
    return call


def test_what_process_1_reports_is_the_outcome(trial):
    outcome, workspace = trial(f"{STARTED}; echo said; {ENDED % (0, 0)}")
    assert (outcome.reason, outcome.exit_code, outcome.detail) == ("finished", 0, "")
    assert (outcome.cpu_seconds, outcome.peak_memory_bytes) == (1.5, 7)
    assert workspace.log_file.read_text() == "said\n"
    assert trial.calls() == ["run"]


def test_the_variables_are_on_the_standard_input_and_not_on_the_command_line(trial, tmp_path):
    _, workspace = trial(f'{STARTED}; echo "$variables"; {ENDED % (0, 0)}')
    sent = json.loads(workspace.log_file.read_text())
    assert sent["env"] == {"A": "b"}
    assert "A=b" not in (tmp_path / "calls").read_text()


@pytest.mark.parametrize(
    ("status", "oom", "reason", "words"),
    [
        (1, 0, "agent error", "exit status 1"),
        (-11, 0, "agent error", "ended by SIGSEGV"),
        (-9, 1, "out of memory", "the kernel killed 1 of its processes"),
        (137, 2, "out of memory", "the kernel killed 2 of its processes"),
        (0, 1, "out of memory", "the kernel killed 1 of its processes"),
        (-25, 0, "disk full", "bytes written; the limit is"),
    ],
)
def test_endings_are_told_apart(trial, status, oom, reason, words):
    outcome, _ = trial(f"{STARTED}; {ENDED % (status, oom)}")
    assert (outcome.reason, outcome.exit_code) == (reason, status)
    assert words in outcome.detail


def test_a_daemon_that_dies_in_mid_trial_is_the_machines_fault(trial):
    outcome, _ = trial(
        f"{STARTED}; echo 'error waiting for container: unexpected EOF' >&2; exit 125"
    )
    assert (outcome.reason, outcome.exit_code) == ("infrastructure", None)
    assert outcome.detail.endswith(
        "lost the container: error waiting for container: unexpected EOF"
    )
    assert outcome.exit_status() == 8
    assert {*trial.calls()} == {"run", "events", "rm"}


def test_a_container_killed_from_outside_is_the_machines_fault(trial):
    outcome, _ = trial(f"{STARTED}; exit 137", events=r"create\nstart\nkill\ndie\n")
    assert outcome.reason == "infrastructure"
    assert outcome.detail == "the container was killed from outside"


def test_a_container_whose_process_1_was_killed_for_memory_ran_out_of_it(trial):
    outcome, _ = trial(f"{STARTED}; exit 137", events=r"start\noom\ndie\n")
    assert outcome.reason == "out of memory"


def test_a_container_that_never_came_up_is_an_error_in_the_engines_words(trial):
    with pytest.raises(InfrastructureError, match="no space left on device"):
        trial("echo 'docker: Error response from daemon: no space left on device' >&2; exit 125")


def test_an_image_that_is_missing_when_the_trial_starts_names_its_build_command(trial):
    with pytest.raises(MissingPart, match="docker build -t an-image FOLDER"):
        trial('echo "docker: Error: No such image: an-image" >&2; exit 125')


def test_an_engine_that_hangs_before_the_start_is_given_up(trial, monkeypatch):
    monkeypatch.setattr(docker, "START_S", 0.3)
    monkeypatch.setattr(docker, "KILL_S", 0.2)
    with pytest.raises(InfrastructureError, match=r"no container within 0\.3 s"):
        trial("exec sleep 60")
    assert trial.calls() == ["run", "rm"]


def test_a_process_1_that_does_not_obey_is_killed_by_the_engine(trial, monkeypatch):
    monkeypatch.setattr(docker, "KILL_S", 0.3)
    outcome, _ = trial(f"{STARTED}; exec sleep 60", time_s=0.1, grace_s=0.1)
    assert (outcome.reason, outcome.exit_code) == ("timed out", None)
    assert trial.calls() == ["run", "kill", "rm"]


def test_the_order_to_end_comes_with_the_time_limit_and_that_to_die_after_the_grace(trial):
    script = f"{STARTED}; while read -r order; do echo $order; [ $order = kill ] && break; done; "
    outcome, workspace = trial(script + ENDED % (-9, 0), time_s=0.2, grace_s=0.3)
    assert outcome.reason == "timed out"
    assert outcome.seconds >= 0.5
    assert workspace.log_file.read_text() == "stop\nkill\n"


def test_a_run_cancelled_before_its_start_starts_no_engine(trial):
    cancel = Cancel()
    cancel.kill()
    outcome, _ = trial("exit 1", cancel=cancel)
    assert outcome.reason == "cancelled"
    assert trial.calls() == []


def test_a_report_forged_on_the_standard_output_is_output(trial):
    forged = (ENDED % (0, 0)).removesuffix(" >&2")
    outcome, workspace = trial(f"{STARTED}; {forged}; {ENDED % (3, 0)}")
    assert outcome.exit_code == 3
    assert "aexp" in workspace.log_file.read_text()


def test_every_guarantee_is_named_with_its_mechanism():
    runtime = DockerRuntime("an-image", program="podman")
    enforced = runtime.enforces(Limits(memory_bytes=2**30, cpus=1))
    assert all(enforced.values())
    assert enforced["network"] == "podman: no network"
    assert runtime.enforces(Limits(network="bridge"))["network"] is None


@pytest.mark.parametrize("runtime", [DockerRuntime, MleBenchRuntime])
def test_a_command_with_a_nul_never_starts_an_engine(runtime, tmp_path):
    """Neither the engine nor the system takes such a word; what is no engine is not asked."""
    workspace = Workspace.create(tmp_path, "trial")
    outcome = runtime("an-image", program="no-engine").run(
        ["sh\0", "-c"], workspace, {}, Limits(time_s=5)
    )
    assert (outcome.reason, outcome.exit_code) == ("never started", None)
    assert outcome.detail == r"cannot start 'sh\x00': a NUL in it"


@pytest.mark.parametrize("runtime", [DockerRuntime, MleBenchRuntime])
def test_a_log_that_cannot_be_made_is_the_machines_fault_in_one_line(runtime, tmp_path):
    workspace = Workspace.create(tmp_path, "trial")
    workspace.log_file.mkdir()
    with pytest.raises(InfrastructureError, match=r"run\.log: Is a directory"):
        runtime("an-image", program="no-engine").run(["true"], workspace, {}, Limits(time_s=5))
