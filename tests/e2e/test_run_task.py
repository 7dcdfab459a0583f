"""`python run_task.py …` as a user sees it: progress, the evaluation, exit statuses, Ctrl-C."""

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import COPY_SAMPLE, ROOT

TASK = "classification_basic"


def trials(tmp_path):
    return sorted((tmp_path / "runs").iterdir())


def test_the_experiment_agent_passes_and_the_evaluation_is_a_table(run, tmp_path):
    ended = run(TASK, "--local", "--validate", "--time-limit", 120)
    assert ended.status == 0, ended.err
    lines = ended.out.splitlines()
    header = next(line for line in lines if line.startswith("MEASURE"))
    assert header.split()[-4:] == ["CEILING", "SKILL", "GAIN", "CLAIMED"]
    assert any(line.startswith("accuracy ") for line in lines)
    assert "min_accuracy: met" in ended.out
    assert re.search(r"PASSED +overall score 0\.\d{3}", ended.out)
    report = next(line for line in lines if line.startswith("report:")).split()[-1]
    assert json.loads(_read(report))["evaluation"]
    after, command = lines[-1].split(maxsplit=1)
    assert after == "next:"
    words = shlex.split(command)
    assert words[-1].endswith("first_agent.py")
    following = run(*words[2:])  # whoever types what it says next is graded too
    assert "handed in 2,000 rows" in following.err
    assert following.status in {0, 1}
    for hop in ("[created]", "[prepared]", "[started]", "[ended]", "[graded]", "[recorded]"):
        assert hop in ended.err


def test_after_another_task_the_next_command_shows_it(run, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # no environment is active
    ended = run("breast_cancer", "--local", "--validate")
    python, *words = shlex.split(ended.out.splitlines()[-1].removeprefix("next:"))
    assert Path(python).resolve() == Path(sys.executable).resolve()
    assert words == ["-m", "tasks.cli", "show", "breast_cancer", "--prompt"]


def test_after_a_command_without_a_dash_the_next_line_runs_it_again_and_shows_more(run, agent):
    script = agent()
    first = run(TASK, "--local", "python", script)
    words = shlex.split(first.out.splitlines()[-1].removeprefix("next:"))
    assert words[2:7] == [TASK, "--validate", "--local", "python", str(script)]
    again = run(*words[2:])
    assert again.status == 1
    assert again.out.splitlines()[-1].count("--validate") == 1
    assert "first_agent" not in again.out


def _read(path):
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - relative to where we are
        return file.read()


def test_any_command_can_be_the_agent_and_its_status_is_told_apart(run, agent):
    good = run(TASK, "--local", "--", "python", agent())
    assert good.status == 0
    assert "no success, overall score 0.000" in good.out
    assert "min_accuracy: not met" in good.out
    assert "agent | copied the sample" in good.err
    unmet = run(TASK, "--local", "--validate", "--", "python", agent())
    assert unmet.status == 1
    assert "FAILED: criteria not met" in unmet.out
    invalid = run(TASK, "--local", "--validate", "--", "true")
    assert invalid.status == 4
    assert "E01" in invalid.out
    failed = run(TASK, "--local", "--", "python", "-c", "raise SystemExit(9)")
    assert failed.status == 6
    assert "agent failed" in failed.out
    slow = run(TASK, "--local", "--time-limit", 0.5, "--", "sleep", 60)
    assert slow.status == 7
    assert "timed out" in slow.out
    absent = run(TASK, "--local", "--", "/no/such/agent")
    assert absent.status == 6
    assert "never started" in absent.out


def test_json_is_the_report_and_nothing_else(run, agent):
    ended = run(TASK, "--local", "--json", "--", "python", agent())
    assert json.loads(ended.out)["evaluation"]["submission"]["valid"] is True
    assert ended.err == ""


def test_docker_is_the_default_and_its_absence_names_local(run, monkeypatch):
    monkeypatch.setenv("AEXP_DOCKER", "no-such-engine")
    ended = run(TASK)
    assert ended.status == 5
    assert "--local" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_unknown_tasks_agents_and_bad_usage(run, tmp_path):
    assert run("clasification_basic", "--local").status == 3
    ended = run(TASK, "--local", "--agent", "experimnt")
    assert ended.status == 3
    assert "did you mean 'experiment'?" in ended.err
    assert run(TASK, "--local", "--agent", "aide", "--", "true").status == 2
    assert run(TASK, "--local", "--time-limit", 0).status == 2
    assert run().status == 2
    assert not (tmp_path / "runs").exists()


def test_an_agent_is_called_by_the_name_that_it_is_given(run, cli, agent, tmp_path):
    ended = run(TASK, "--local", "--name", "mine/v2", "--json", "--", "python", agent())
    assert json.loads(ended.out)["trial"]["agent"]["id"] == "mine/v2"
    (trial,) = trials(tmp_path)
    assert f"{TASK}_mine-v2" in trial.name
    assert "mine/v2" in cli("leaderboard", tmp_path / "runs").out
    refused = run(TASK, "--local", "--name", "my agent", "--", "true")
    assert (refused.status, len(refused.err.splitlines())) == (2, 1)
    assert "--name 'my agent': an agent's name is a letter" in refused.err
    assert trials(tmp_path) == [trial]


def test_a_seed_gives_the_same_data_and_is_not_sealed(run, agent, tmp_path):
    for _ in range(2):
        run(TASK, "--local", "--seed", 5, "--", "python", agent())
    first, second = trials(tmp_path)
    assert (first / "public" / "test.csv").read_bytes() == (
        second / "public" / "test.csv"
    ).read_bytes()
    assert json.loads((first / "report.json").read_text())["evaluation"]["sealed"] is False


def test_what_an_agent_prints_cannot_command_the_terminal(run):
    ended = run(TASK, "--local", "--", "printf", r"\033]0;owned\007\033[2J evil \x9b\n")
    assert "\x1b" not in ended.err
    assert "\x07" not in ended.err
    assert "evil" in ended.err


def test_a_fault_of_ours_is_one_line_unless_verbose(run, monkeypatch):
    monkeypatch.setattr("tasks.hops.collect", lambda *_: 1 / 0)
    ended = run(TASK, "--local", "--", "true")
    assert ended.status == 8
    assert "Traceback" not in ended.err
    assert "ZeroDivisionError" in ended.err.splitlines()[-1]
    assert "Traceback" in run(TASK, "--local", "--verbose", "--", "true").err


# --- as a process --------------------------------------------------------------------------------


def start(tmp_path, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, str(ROOT / "run_task.py"), TASK, "--local", *map(str, arguments)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def wait_for(process, words, seconds=90):
    deadline = time.monotonic() + seconds
    for line in process.stderr:
        if words in line:
            return
        assert time.monotonic() < deadline
    raise AssertionError(f"{words!r} was never said")


PATIENT = COPY_SAMPLE + (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: (print('told to stop', flush=True), sys.exit(0)))\n"
    "print('ready', flush=True)\n"
    "time.sleep(60)\n"
)
STUBBORN = (
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('ready', flush=True)\n"
    "time.sleep(60)\n"
)


def test_one_ctrl_c_stops_gently_and_grades_what_is_there(tmp_path, agent):
    process = start(tmp_path, "--", "python", agent(PATIENT))
    wait_for(process, "ready")
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 130, err
    assert "agent cancelled" in out
    [trial] = trials(tmp_path)
    assert "told to stop" in (trial / "run.log").read_text()
    report = json.loads((trial / "report.json").read_text())
    assert report["evaluation"]["submission"]["valid"] is True


def test_two_ctrl_c_kill_an_agent_that_will_not_stop(tmp_path, agent):
    process = start(tmp_path, "--grace", 60, "--", "python", agent(STUBBORN))
    wait_for(process, "ready")
    began = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    wait_for(process, "Ctrl-C again")
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=90)
    assert process.returncode == 130
    assert time.monotonic() - began < 50  # less than the grace
    [trial] = trials(tmp_path)
    assert json.loads((trial / "report.json").read_text())["outcome"]["reason"] == "cancelled"


def test_on_a_terminal_progress_is_live_and_the_end_is_the_same(tmp_path, agent):
    script = agent()
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.environ["COLUMNS"] = "120"
        command = [sys.executable, str(ROOT / "run_task.py"), TASK, "--local", "--validate"]
        os.execv(sys.executable, [*command, "--", "python", str(script)])
    seen = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        seen += data
    _, status = os.waitpid(pid, 0)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert os.waitstatus_to_exitcode(status) == 1, text
    assert "agent | copied the sample" in text
    assert "FAILED: criteria not met" in text
    assert "CEILING" in text


def test_without_the_libraries_one_line_says_what_would_bring_them(tmp_path):
    bare = subprocess.run(
        [sys.executable, "-S", str(ROOT / "run_task.py"), TASK],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
    )
    assert bare.returncode == 5
    assert "make setup" in bare.stderr
    assert len(bare.stderr.splitlines()) == 1


@pytest.mark.parametrize("variable", ["NO_COLOR", "TERM"])
def test_plain_output_holds_no_escape_codes(tmp_path, agent, variable):
    env = {**os.environ, variable: "dumb"}
    process = start(tmp_path, "--", "python", agent(), env=env)
    out, err = process.communicate(timeout=90)
    assert "\x1b" not in out + err


def test_an_agent_with_a_folder_finds_its_files_beside_its_start_file(run, tmp_path):
    folder = tmp_path / "agents" / "nest" / "src"
    folder.mkdir(parents=True)
    (folder.parent / "config.yaml").write_text("nested: {start: nest/src/start.sh}\n")
    (folder / "start.sh").write_text('cd "$(dirname "$0")" && python main.py && ls "$AGENT_DIR"\n')
    (folder / "main.py").write_text(COPY_SAMPLE)
    ended = run(TASK, "--local", "--agent", "nested", "--agents-dir", tmp_path / "agents")
    assert ended.status == 0, ended.err
    assert "agent | copied the sample" in ended.err
    assert "argument" not in ended.err
    assert "--agent nested" in ended.out.splitlines()[-1]


def test_a_task_without_criteria_is_graded_and_nothing_fails(run, cli, tmp_path, agent):
    cli("create", "--id", "open", "--type", "regression", "--yes", "-o", tmp_path / "open.json")
    ended = run(tmp_path / "open.json", "--local", "--validate", "--", "python", agent())
    assert ended.status == 0
    assert "GRADED: the task has no criteria" in ended.out
