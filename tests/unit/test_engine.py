"""What a container engine complains of, as one line each; and whose containers may be removed."""

import json
import os
import subprocess
import sys

import pytest

from tasks.errors import InfrastructureError, MissingPart
from tasks.runtimes.docker import DockerRuntime
from tasks.runtimes.engine import Engine, is_dead, this_runner
from tasks.runtimes.procfs import ending


@pytest.fixture
def fake(tmp_path):
    """A `docker` that records its arguments, prints what it is told to, and fails if told to."""

    def make(status=0, out="", err=""):
        program = tmp_path / "docker"
        program.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$*" >> {tmp_path}/calls\n'
            f"cat <<'OUT'\n{out}\nOUT\ncat >&2 <<'ERR'\n{err}\nERR\nexit {status}\n"
        )
        program.chmod(0o755)
        return str(program)

    make.calls = lambda: (tmp_path / "calls").read_text().splitlines()
    return make


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "Cannot connect to the Docker daemon at unix:///docker.sock. Is the docker daemon up?",
            "the daemon does not answer: start it",
        ),
        (
            "permission denied while trying to connect to the Docker daemon socket",
            "no permission to reach the daemon",
        ),
        (
            "Error: No such image: mlebench-env",
            "docker build -t mlebench-env -f environment/Dockerfile .",
        ),
        (
            "Unable to find image 'mlebench-env:latest' locally",
            "docker build -t mlebench-env -f environment/Dockerfile .",
        ),
        (
            'Error response from daemon: exec: "python3": executable file not found in $PATH.',
            "holds no python3",
        ),
    ],
)
def test_what_a_user_can_mend_is_a_missing_part_that_says_how(words, said):
    error = Engine("docker").refusal(words, "mlebench-env")
    assert isinstance(error, MissingPart)
    assert said in str(error)
    assert "\n" not in str(error)


def test_whatever_else_an_engine_says_is_the_machines_fault_in_its_own_words():
    said = "\ndocker: Error response from daemon: no space left on device.\nSee 'docker run'.\n"
    error = Engine("docker").refusal(said, "x")
    assert isinstance(error, InfrastructureError)
    assert str(error) == "docker: docker: Error response from daemon: no space left on device."


def test_without_the_program_the_message_says_what_to_install():
    with pytest.raises(MissingPart, match=r"cannot start no-such-engine.*--local"):
        DockerRuntime(program="no-such-engine").check()


def test_the_program_is_taken_from_the_environment(monkeypatch):
    monkeypatch.setenv("AEXP_DOCKER", "podman")
    assert Engine().program == "podman"


def test_a_missing_image_is_found_before_anything_is_made(fake):
    runtime = DockerRuntime(program=fake(1, err="Error: No such image: aide"))
    with pytest.raises(MissingPart, match=r"no image aide: build it with: docker build -t aide"):
        runtime.in_image("aide")


def test_one_that_is_there_is_looked_for_once_by_all_trials_of_a_runtime(fake):
    runtime = DockerRuntime(program=fake())
    for _ in range(3):
        runtime.in_image("aide")
    runtime.in_image("other")
    assert len(fake.calls()) == 2


def test_an_image_that_was_asked_for_wins_over_the_agents_own(fake):
    program = fake()
    assert DockerRuntime("mine", program=program).in_image("aide").image == "mine"
    assert DockerRuntime(program=program).in_image("aide").image == "aide"
    assert DockerRuntime(program=program).in_image(None).image == "mlebench-experiment"


def test_only_containers_of_dead_runners_are_removed(fake):
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    place = json.loads(this_runner())[:3]
    dead = json.dumps([*place, gone.pid, 1])
    rebooted = json.dumps([place[0], "another boot", 1, 1, 1])
    elsewhere = json.dumps(["another machine", "another boot", 1, 1, 1])
    other_namespace = json.dumps([*place[:2], 1, gone.pid, 1])
    listed = {
        "ours": this_runner(),
        "dead": dead,
        "rebooted": rebooted,
        "elsewhere": elsewhere,
        "other-namespace": other_namespace,
        "no-mark": "",
        "no-json": "{",
    }
    lines = [f"{name}\t{runner}\t" for name, runner in listed.items()]
    lines.append(f"retained\t{dead}\tyes")
    assert Engine(fake(out="\n".join(lines))).reap() == ["dead", "rebooted"]
    assert fake.calls()[1:] == ["rm --force --volumes dead", "rm --force --volumes rebooted"]


def test_a_runner_whose_number_was_given_to_another_process_is_dead():
    *place, started = json.loads(this_runner())
    assert not is_dead(json.dumps([*place, started]))
    assert is_dead(json.dumps([*place, started - 1]))


def test_an_engine_that_does_not_answer_is_the_machines_fault(tmp_path):
    program = tmp_path / "slow"
    program.write_text("#!/bin/sh\nexec sleep 30\n")
    program.chmod(0o755)
    with pytest.raises(InfrastructureError, match=r"no answer for 0\.2 s"):
        Engine(str(program)).ask("ps", patience_s=0.2)


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, ""), (3, "exit status 3"), (-9, "ended by SIGKILL"), (-40, "ended by signal 40")],
)
def test_an_exit_code_is_said_in_words(status, words):
    assert ending(status) == words


def test_users_are_mapped_to_themselves_by_podman_without_root(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert Engine("/usr/bin/podman").is_rootless_podman()
    assert not Engine("docker").is_rootless_podman()
