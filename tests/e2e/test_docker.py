"""Trials in real containers, and the images they run in."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tasks import images
from tasks.errors import MissingPart
from tasks.outcome import Limits
from tasks.runtimes.docker import DockerRuntime
from tasks.runtimes.docker_command import LABEL_TRIAL
from tasks.runtimes.mle_bench import MleBenchRuntime
from tasks.workspace import Workspace

pytestmark = pytest.mark.docker

ROOT = Path(__file__).resolve().parents[2]


def docker(*words, check=True):
    done = subprocess.run(
        ["docker", *words], check=False, capture_output=True, text=True, timeout=100
    )
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def engine():
    """The engine's daemon, with our images; required where $AEXP_REQUIRE says so."""
    try:
        runtime = DockerRuntime()
        runtime.check()
        for image in ("mlebench-env", "mlebench-experiment"):
            runtime.in_image(image)
    except MissingPart as error:
        if "docker" in os.environ.get("AEXP_REQUIRE", "").split(","):
            pytest.fail(f"docker is required: {error}")
        pytest.skip(str(error))
    return runtime


@pytest.fixture
def workspace(tmp_path):
    made = Workspace.create(tmp_path, "docker")
    for folder in (made.public, made.private, made.home / "agent", made.home / "submission"):
        folder.mkdir(parents=True)
    (made.public / "sample_submission.csv").write_text("id,target\n1,a\n")
    (made.private / "answers.csv").write_text("id,target\n1,secret\n")
    return made


@pytest.fixture
def inside(engine, workspace):
    """Run a shell script in a container; return outcome and log."""

    def run(script, image="mlebench-env", cancel=None, **limits):
        limits = Limits(**{"time_s": 60.0, "grace_s": 1.0} | limits)
        env = {"SUBMISSION_DIR": "/home/submission", "DATA_DIR": "/home/data"}
        runtime = DockerRuntime(image)
        outcome = runtime.run(["bash", "-c", script], workspace, env, limits, cancel=cancel)
        return outcome, workspace.log_file.read_text()

    return run


def containers(name=""):
    """Return the containers of one trial, running or not."""
    listed = docker("ps", "--all", "--filter", f"label={LABEL_TRIAL}", "--format", "{{.Names}}")
    return [line for line in listed.splitlines() if name in line]


# --- what is contained ---------------------------------------------------------------------------


def test_the_agent_is_an_ordinary_user_without_capabilities_or_ways_to_more(inside):
    _, log = inside("id -u; grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status")
    uid, *status = log.splitlines()
    assert uid != "0"
    values = dict(line.split(":\t") for line in status)
    assert int(values["CapEff"], 16) == int(values["CapBnd"], 16) == 0
    assert values["NoNewPrivs"] == "1"
    assert values["Seccomp"] == "2"


def test_nothing_can_be_written_but_the_home_and_the_temporary_folders(inside):
    script = (
        "for f in /x /usr/x /opt/conda/x /home/data/x /.aexp/x /etc/x; do"
        " touch $f 2>/dev/null && echo wrote $f; done;"
        "for f in /tmp/x /home/x /home/agent/x /home/submission/x; do"
        " touch $f || echo cannot $f; done"
    )
    outcome, log = inside(script)
    assert (outcome.exit_code, log) == (0, "")


def test_neither_answers_nor_the_trials_own_files_nor_the_host_are_to_be_found(inside, workspace):
    script = f"ls {workspace.root} {ROOT} /private /root; grep -rl secret /home; ls /home"
    _, log = inside(script)
    assert "answers.csv" not in log
    assert log.count("cannot access") + log.count("cannot open") >= 3
    assert "trial.json" not in log


def test_there_is_no_network_but_the_loop(inside):
    connect = 'import socket; socket.create_connection(("1.1.1.1", 53), 3)'
    script = f"ls /sys/class/net; python3 -c '{connect}'"
    outcome, log = inside(script)
    assert log.splitlines()[0] == "lo"
    assert "unreachable" in log
    assert outcome.exit_code == 1


def test_other_processes_of_the_machine_are_not_seen(inside):
    _, log = inside("ls /proc | grep -c '^[0-9]'")
    assert int(log) <= 5


def test_process_1_cannot_be_killed_read_or_impersonated_by_the_agent(inside):
    script = (
        "kill -9 1; kill -TERM 1; kill -INT 1; cat /proc/1/environ; ls /proc/1/fd;"
        """ echo '{"aexp": {"status": 0}}' > /proc/1/fd/2; exit 7"""
    )
    outcome, log = inside(script)
    assert (outcome.reason, outcome.exit_code) == ("agent error", 7)
    assert log.count("ermission denied") >= 3


def test_the_limits_are_those_of_the_container(inside):
    outcome, log = inside(
        "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; "
        "df --output=size -B1 /dev/shm | tail -1",
        pids=77,
        shm_bytes=2**20,
        memory_bytes=2**28,
        cpus=0.5,
    )
    assert log.split() == ["77", str(2**20)]
    assert all(outcome.enforced.values())


def test_running_out_of_memory_is_told_from_being_killed(inside):
    outcome, _ = inside("python3 -c 'x = b\"x\" * 400_000_000'", memory_bytes=60_000_000)
    assert outcome.reason == "out of memory"
    outcome, _ = inside("kill -9 $$")
    assert (outcome.reason, outcome.exit_code) == ("agent error", -9)


def test_a_file_beyond_the_disk_limit_ends_in_a_full_disk(inside):
    outcome, _ = inside("head -c 3000000 /dev/zero > big", disk_bytes=1_000_000)
    assert outcome.reason == "disk full"


def test_many_small_files_beyond_the_disk_limit_are_noticed(inside):
    script = "for i in $(seq 1000); do head -c 100000 /dev/zero > f$i; sleep 0.02; done"
    outcome, _ = inside(script, disk_bytes=1_000_000)
    assert outcome.reason == "disk full"


def test_a_tree_of_many_processes_dies_with_the_time_limit(inside):
    script = "for i in $(seq 100); do (setsid sleep 100 &) ; done; echo all; sleep 100"
    outcome, log = inside(script, time_s=15, grace_s=0)
    assert outcome.reason == "timed out"
    assert outcome.killed_processes >= 100
    assert outcome.seconds < 20
    assert log == "all\n"


# --- what is left --------------------------------------------------------------------------------


def mounts():
    return [line for line in Path("/proc/mounts").read_text().splitlines() if "aexp" in line]


@pytest.mark.parametrize("script", ["true", "exit 3", "sleep 60", "kill -9 -1"])
def test_no_container_mount_or_process_is_left(inside, workspace, script):
    before = mounts()
    inside(script, time_s=0.5)
    name = workspace.root.name
    assert containers(name) == []
    assert mounts() == before
    left = subprocess.run(["pgrep", "-f", name], check=False, capture_output=True, text=True)
    assert left.stdout == ""


def test_a_retained_container_can_be_looked_at_and_is_not_reaped(engine, workspace):
    runtime = DockerRuntime("mlebench-env", retain=True)
    runtime.run(["echo", "kept"], workspace, {}, Limits(time_s=60))
    (name,) = containers(workspace.root.name)
    try:
        engine.check()
        assert docker("logs", name) == "kept\n"
    finally:
        docker("rm", "-f", name)


def test_a_container_killed_from_outside_is_the_machines_fault(inside, workspace):
    def kill():
        while not (workspace.home / "agent" / "ready").exists() and not done.is_set():
            time.sleep(0.05)
        for name in containers(workspace.root.name):
            docker("kill", name)

    done = threading.Event()
    thread = threading.Thread(target=kill)
    thread.start()
    try:
        outcome, _ = inside("touch ready; sleep 50")
    finally:
        done.set()
        thread.join()
    assert (outcome.reason, outcome.exit_status()) == ("infrastructure", 8)
    # A daemon tells of its kills when it finds the time; without its word only the end is known.
    assert outcome.detail in {
        "the container was killed from outside",
        "the container ended without a report",
    }


RUNNER = """\
import sys
from pathlib import Path
from tasks.outcome import Limits
from tasks.runtimes.docker import DockerRuntime
from tasks.workspace import Workspace

workspace = Workspace(Path(sys.argv[1]))
DockerRuntime("mlebench-env").run(["sleep", "100"], workspace, {}, Limits(time_s=100))
"""


def test_the_container_of_a_killed_runner_ends_and_is_removed(engine, workspace):
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(workspace.root)], cwd=ROOT, start_new_session=True
    )
    name = workspace.root.name
    _wait(lambda: containers(name))
    os.killpg(runner.pid, signal.SIGKILL)
    runner.wait()
    _wait(lambda: not containers(name))


def test_a_container_whose_runner_is_dead_is_reaped_by_the_next_run(engine):
    name = f"aexp-test-stale-{os.getpid()}"
    place = json.loads(subprocess.check_output([sys.executable, "-c", MARK], cwd=ROOT, text=True))
    labels = ["--label", f"{LABEL_TRIAL}={name}", "--label", f"aexp.runner={json.dumps(place)}"]
    docker("create", "--name", name, *labels, "mlebench-env")
    mine = f"{name}-mine"
    alive = ["--label", f"{LABEL_TRIAL}={mine}", "--label", f"aexp.runner={_own_mark()}"]
    docker("create", "--name", mine, *alive, "mlebench-env")
    try:
        DockerRuntime().check()
        assert containers(name) == [mine]
    finally:
        docker("rm", "-f", mine)


MARK = "from tasks.runtimes.engine import this_runner; print(this_runner())"


def _own_mark():
    from tasks.runtimes.engine import this_runner

    return this_runner()


def _wait(condition):
    until = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_an_image_without_python_is_named_in_one_line(engine, workspace):
    tag = f"aexp-test-empty-{os.getpid()}"
    archive = subprocess.check_output(["tar", "-c", "-T", "/dev/null"])
    subprocess.run(["docker", "import", "-", tag], check=True, input=archive, capture_output=True)
    try:
        with pytest.raises(MissingPart, match="holds no python3"):
            DockerRuntime(tag).run(["true"], workspace, {}, Limits())
    finally:
        docker("rmi", "-f", tag)
    assert containers(workspace.root.name) == []


# --- the images ----------------------------------------------------------------------------------


CONDA = {
    "run": "conda run -n agent python -c 'import sys; print(sys.prefix)'",
    "run, with the options of start scripts": (
        "conda run --no-capture-output --name agent --cwd /tmp python -c "
        "'import sys; print(sys.prefix)'"
    ),
    "activate": (
        'eval "$(conda shell.bash hook)"; conda activate agent; '
        "python -c 'import sys; print(sys.prefix)'"
    ),
    "activate by source": (
        "source /opt/conda/bin/activate agent; python -c 'import sys; print(sys.prefix)'"
    ),
    "the profile": (
        ". /opt/conda/etc/profile.d/conda.sh; conda activate agent; echo $CONDA_PREFIX"
    ),
}


@pytest.mark.parametrize("way", CONDA)
def test_conda_leads_to_the_environment_of_agents(inside, way):
    outcome, log = inside(CONDA[way])
    assert (outcome.exit_code, log) == (0, "/opt/conda/envs/agent\n")


def test_conda_passes_on_the_status_and_the_words_of_a_command(inside):
    outcome, log = inside("conda run -n agent bash -c 'echo \"a  b\" \"$0\"; exit 5' 'x y'")
    assert (outcome.exit_code, log) == (5, "a  b x y\n")


def test_conda_lists_its_environments_and_names_them_where_one_is_unknown(inside):
    _, log = inside("conda env list; conda run -n nlp true")
    assert "/opt/conda/envs/agent" in log
    assert "/opt/conda/envs/mleb" in log
    assert "no environment 'nlp'; there are: agent mleb" in log


def test_conda_deactivates(inside):
    script = (
        "before=$PATH; . /opt/conda/etc/profile.d/conda.sh; conda activate mleb;"
        ' conda deactivate; [ "$PATH" = "$before" ] && echo same'
    )
    assert inside(script)[1] == "same\n"


def test_neither_certificates_nor_the_address_of_an_index_stay_in_an_image(engine):
    for image in ("mlebench-env", "mlebench-experiment"):
        script = "find / -xdev -name ca-bundle.crt; pip config list; cat /etc/pip.conf; env; true"
        words = ("--rm", "--network=none", "--entrypoint=sh", image, "-c", script)
        found = docker("run", *words)
        assert "ca-bundle" not in found
        assert "index" not in found
        assert "CERT" not in found
        history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
        assert "index" not in history.lower().replace("pip_index_url", "")


def test_the_experiment_image_is_small_and_brings_compiled_packages(engine):
    size = int(docker("image", "inspect", "--format", "{{.Size}}", "mlebench-experiment"))
    assert size <= 700e6
    script = (
        "import sklearn, pandas, numpy, os; "
        "print(all(os.path.exists(m.__cached__) for m in (sklearn, pandas, numpy)))"
    )
    words = ("--rm", "--network=none", "--entrypoint=python", "mlebench-experiment", "-c", script)
    assert docker("run", *words) == "True\n"


def test_the_tree_of_the_spec_is_in_the_experiment_image(engine):
    script = "cd /home/experiments; for f in *; do echo $f $(readlink $f); done"
    words = ("--rm", "--network=none", "--entrypoint=bash", "mlebench-experiment", "-c", script)
    assert docker("run", *words).splitlines() == [
        "code /home/code",
        "configs",
        "data /home/data",
        "logs /home/logs",
        "models",
        "notebooks",
        "results",
        "scripts",
        "submission /home/submission",
        "workspace",
    ]


def test_the_form_of_a_submission_can_be_checked_inside_as_in_mle_bench(inside):
    script = (
        "curl -s http://localhost:5000/health; cp $DATA_DIR/sample_submission.csv s.csv;"
        "curl -s -F file=@s.csv http://localhost:5000/validate;"
        "bash /home/validate_submission.sh s.csv; echo id > s.csv;"
        "bash /home/validate_submission.sh s.csv"
    )
    outcome, log = inside(script)
    health, *valid, wrong = log.splitlines()
    assert json.loads(health) == {"status": "running"}
    assert [json.loads(line)["result"] for line in valid] == ["Submission is valid."] * 2
    assert json.loads(wrong)["result"].startswith("Submission invalid! The attempt to grade")
    assert (outcome.exit_code, outcome.killed_processes) == (1, 0)


def test_the_image_keeps_mle_benchs_call_sequence(engine, workspace):
    name = f"aexp-test-sequence-{os.getpid()}"
    docker(
        *("run", "--detach", "--rm", "--name", name, "--network=none"),
        *("--volume", f"{workspace.public}:/home/data:ro", "mlebench-experiment"),
    )
    try:
        script = "while ! curl -s http://localhost:5000/health; do sleep 0.2; done"
        assert "running" in docker("exec", name, "timeout", "60s", "sh", "-c", script)
        script = (
            "id -un; ls /private 2>/dev/null; touch /home/submission/s.csv /home/code/x;"
            "cp /home/data/sample_submission.csv /home/submission/submission.csv;"
            "bash /home/validate_submission.sh /home/submission/submission.csv"
        )
        said = docker("exec", "--user", "nonroot", name, "bash", "-c", script)
        assert said.splitlines() == ["nonroot", '{"result":"Submission is valid."}']
        assert "GET /health" in docker("exec", name, "cat", "/home/logs/entrypoint.log")
    finally:
        docker("rm", "-f", name)


# --- whole trials ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("task", ["classification_basic", "data_analysis_exploratory"])
def test_the_experiment_agent_passes_in_its_image(engine, run, tmp_path, task):
    ended = run(task, "--time-limit", "200", "--validate", "--memory", "4g")
    assert ended.status == 0, ended.err[-2000:]
    assert "PASSED" in ended.out
    (report,) = tmp_path.glob("runs/*/report.json")
    written = json.loads(report.read_text())
    assert written["trial"]["runtime"] == "docker"
    assert written["isolation"] == "isolated"
    assert written["enforced"]["memory"] == "docker: memory cgroup"


def test_a_command_runs_in_the_experiment_image_by_default(engine, run, agent):
    ended = run("classification_basic", "--", "python", agent())
    assert ended.status == 0, ended.err
    assert "copied the sample" in ended.err


def test_an_agents_folder_runs_in_an_image_of_its_name(engine, run):
    dummy = images.known()["dummy"]
    images.build(dummy, {})
    ended = run("classification_basic", "--agent", "dummy")
    assert ended.status == 0, ended.err
    assert "Submission is valid." in ended.err


def test_an_agents_image_runs_by_mle_benchs_call_sequence(engine, run, tmp_path):
    images.build(images.known()["dummy"], {})
    ended = run("classification_basic", "--agent", "dummy", "--mle-bench", "--memory", "1g")
    assert ended.status == 0, ended.err
    assert "agent | user nonroot, in /home/agent" in ended.err
    assert "Submission is valid." in ended.err
    (trial,) = tmp_path.glob("runs/*")
    assert (trial / "outputs" / "code" / "start.sh").exists()
    assert (trial / "outputs" / "logs" / "entrypoint.log").exists()
    report = json.loads((trial / "report.json").read_text())
    assert report["enforced"]["network"] == "docker: no network"
    assert containers(trial.name) == []


def test_a_command_is_brought_along_into_mle_benchs_sequence(engine, run, tmp_path):
    script = tmp_path / "my_agent.py"
    script.write_text(
        "import json, os, shutil\n"
        "print(json.load(open(os.environ['TASK_CONFIG']))['task']['id'])\n"
        "shutil.copy(os.environ['DATA_DIR'] + '/sample_submission.csv',"
        " os.environ['SUBMISSION_DIR'] + '/submission.csv')\n"
    )
    ended = run("classification_basic", "--mle-bench", "--", "python", script)
    assert ended.status == 0, ended.err
    assert "agent | classification_basic" in ended.err
    asked = run("classification_basic", "--mle-bench", "--dry-run", "--", "python", script)
    steps = [line.split()[1] for line in asked.out.splitlines()]
    assert steps == ["create", "start", "cp", "exec", "cp", "cp", "cp", "cp", "cp", "rm"]


@pytest.mark.parametrize(
    ("script", "reason", "status"),
    [
        ("exit 7", "agent error", 7),
        ("touch /home/submission/x; sleep 100", "timed out", None),
        ("no-such-program", "agent error", 127),
    ],
)
def test_endings_in_mle_benchs_sequence_are_told_apart(engine, workspace, script, reason, status):
    runtime = MleBenchRuntime("mlebench-experiment")
    limits = Limits(time_s=3, grace_s=0.5)
    outcome = runtime.run(["bash", "-c", script], workspace, {"KEY": "value"}, limits)
    assert (outcome.reason, outcome.exit_code) == (reason, status)
    assert (workspace.home / "submission" / "x").exists() == (reason == "timed out")
    assert containers(workspace.root.name) == []


def test_a_missing_image_ends_with_status_5_and_its_build_command(engine, run):
    ended = run("classification_basic", "--image", "no-such-image", "--", "true")
    assert ended.status == 5
    assert "docker build -t no-such-image" in ended.err


def test_a_dry_run_prints_the_command_line_and_runs_nothing(engine, run, tmp_path):
    ended = run("classification_basic", "--dry-run", "--gpus", "0,1", "--", "python", "x.py")
    assert ended.status == 0
    assert ended.out.startswith("docker run --interactive")
    assert """--gpus '"device=0,1"'""" in ended.out
    assert ended.out.rstrip().endswith(
        "mlebench-experiment -I -S -B /.aexp/init.py serve python x.py"
    )
    assert not (tmp_path / "runs").exists()


def test_options_for_containers_are_refused_elsewhere(run):
    ended = run("classification_basic", "--local", "--retain", "--", "true")
    assert (ended.status, "--retain is for containers" in ended.err) == (2, True)


def test_an_image_that_does_not_build_shows_the_end_of_its_log(engine, cli, tmp_path):
    folder = tmp_path / "agents" / "broken"
    folder.mkdir(parents=True)
    said = r"\033[91mno such thing: CERTIFICATE_VERIFY_FAILED\033[0m"
    (folder / "Dockerfile").write_text(f"FROM mlebench-env\nRUN printf '{said}'; exit 3\n")
    ended = cli("image", "build", "broken", "--agents-dir", tmp_path / "agents")
    assert ended.status == 8
    assert "the build failed" in ended.err
    assert "(a proxy? --host-ca or --ca-bundle)" in ended.err
    last = ended.err.splitlines()[-1]
    assert "no such thing" in last
    assert last.isprintable()


def test_images_are_listed_with_their_sizes(engine, cli):
    listed = {row["name"]: row for row in json.loads(cli("image", "list", "--json").out)}
    assert listed["env"]["tag"] == "mlebench-env"
    assert listed["experiment"]["size"].endswith("MB")


def test_certificates_for_a_one_stage_dockerfile_are_cut_out_again(engine, tmp_path):
    folder = tmp_path / "agents" / f"aexp-test-cut-{os.getpid()}"
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text(
        "FROM mlebench-env\nRUN cat $PIP_CERT > /seen; env | grep -c aexp-cert > /count\nENV A=b\n"
    )
    image = images.known(tmp_path / "agents")[folder.name]
    try:
        images.build(image, {}, ca_bundle=b"a certificate")
        look = "cat /seen /count; env | grep -E 'CERT|CA|^A='; ls -d /.aexp*; conda env list"
        words = ("--rm", "--network=none", "--entrypoint=bash", folder.name, "-c", f"{look}; true")
        said = docker("run", *words)
        assert said.startswith("a certificate5\nA=b\n# conda environments:")
        history = docker("history", "--no-trunc", folder.name)
        assert "aexp-certificates" not in history
        assert (
            "aexp-"
            not in docker("image", "ls", "--filter", "reference=aexp-trusting*").split(":")[-1]
        )
    finally:
        docker("rmi", "-f", folder.name)


def test_an_agent_in_a_container_asks_for_feedback_and_marks_its_answer(engine, tmp_path):
    from tasks import Task, TaskRunner
    from tasks.feedback import Feedback
    from tests.e2e.test_feedback import SMALL

    script = (
        "cp $DATA_DIR/sample_submission.csv $SUBMISSION_DIR/submission.csv\n"
        "bash $HOME/feedback.sh && bash $HOME/submit.sh && bash $HOME/budget.sh\n"
        "echo broken > $SUBMISSION_DIR/submission.csv\n"
    )
    feedback = Feedback(mode="validation", queries=3)
    runner = TaskRunner(tmp_path / "runs", runtime="docker", feedback=feedback)
    task = Task.from_dict(SMALL, source="test")
    trial = runner.run_task(task, ["bash", "-c", script], timeout=100)
    log = trial.workspace.log_file.read_text()
    assert trial.outcome.reason == "finished", log
    assert '"left": 2' in log
    report = json.loads(trial.report_file.read_text())
    assert len(report["feedback"]["queries"]) == 1
    assert report["marked"] == "submission/submission.csv"
    assert trial.evaluation.submission["valid"], log
