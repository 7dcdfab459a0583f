"""Suites as a user runs them: planned, run, killed, gone on with."""

import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from tasks import executors
from tasks.executors import executor_named
from tests.conftest import ROOT

CP = 'command:sh -c "cp $DATA_DIR/sample_submission.csv $SUBMISSION_DIR/submission.csv"'


@pytest.fixture(autouse=True)
def _own_keys(tmp_path, monkeypatch):
    monkeypatch.setenv("AEXP_KEYS", str(tmp_path / "keys"))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def arguments(out, small_task):
    return ["suite", "run", "--tasks-dir", str(small_task), "--tasks", "small", "--agents", CP,
            "--runtime", "process", "--workers", "2", "--out", str(out)]  # fmt: skip


@pytest.fixture
def small_task(tmp_path):
    folder = tmp_path / "tasks"
    folder.mkdir()
    definition = {
        "id": "small",
        "name": "Small",
        "task_type": "classification",
        "data_requirements": {"dataset_type": "classification", "n_samples": 60, "n_test": 30},
        "evaluation_criteria": {"min_accuracy": 0.01},
    }
    (folder / "small.json").write_text(json.dumps(definition))
    return folder


FAIL = "fails=command:sh -c 'exit 3'"


def suite_folder(out):
    (found,) = [path.parent for path in out.glob("*/suite.json")]
    return found


def reports(out):
    return sorted(suite_folder(out).glob("trials/*/report.json"))


def dump(out):
    """Return all rows of an index."""
    connection = sqlite3.connect(out / "index.sqlite")
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def test_a_suite_runs_every_cell_of_its_product_once(cli, arguments, out):
    ended = cli(*arguments, "--agents", f"again={CP}", "--repeats", "2", "--json")
    assert ended.status == 0, ended.err
    said = json.loads(ended.out)
    assert (said["trials"], said["states"]) == (4, {"done": 4})
    assert said["rates"] == {"passed": 1.0, "failed": 0.0, "infrastructure": 0.0}
    stamps = [json.loads(path.read_text())["trial"]["suite"] for path in reports(out)]
    cells = {(stamp["task"], stamp["agent"], stamp["repeat"]) for stamp in stamps}
    assert cells == {("small", agent, repeat) for agent in ("sh", "again") for repeat in (0, 1)}


def test_all_agents_meet_the_same_instances_and_each_repeat_another(cli, arguments, out):
    assert cli(*arguments, "--agents", f"again={CP}", "--repeats", "2").status == 0
    met = {}
    for path in reports(out):
        trial = json.loads(path.read_text())["trial"]
        met.setdefault(trial["suite"]["repeat"], set()).add(trial["commitment"])
        assert trial["sealed"]
        assert trial["seed"] is None
    assert [len(found) for found in met.values()] == [1, 1]
    assert met[0] != met[1]


def test_the_answers_are_published_when_the_last_trial_on_an_instance_is_over(cli, arguments, out):
    assert cli(*arguments, "--agents", f"again={CP}").status == 0
    folder = suite_folder(out)
    manifest = json.loads((folder / "instances/small.r0/private/manifest.json").read_text())
    (commitment,) = {json.loads(p.read_text())["trial"]["commitment"] for p in reports(out)}
    assert manifest["commitment"] == commitment
    assert list(folder.glob("trials/*/private")) == []


def test_a_killed_suite_goes_on_and_runs_nothing_twice(arguments, out, cli):
    command = [sys.executable, "-m", "tasks.cli", *arguments, "--repeats", "12"]
    runner = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 60
    while not (out.is_dir() and len(list(out.glob("*/trials/*/report.json"))) >= 2):
        assert time.monotonic() < until
        time.sleep(0.01)
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    before = {path: path.stat().st_mtime_ns for path in reports(out)}
    assert before
    ended = cli("suite", "resume", "--out", out, "--workers", "2", "--json")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["states"] == {"done": 12}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    numbers = [path.parent.name.split(".")[0] for path in reports(out)]
    assert len(numbers) == len(set(numbers)) == 12


def test_the_index_is_made_anew_from_the_folders(cli, arguments, out):
    assert cli(*arguments, "--repeats", "3").status == 0
    before = dump(out)
    (out / "index.sqlite").unlink()
    assert cli("index", "rebuild", "--out", out).status == 0
    assert dump(out) == before


# --- what ends badly ---------------------------------------------------------------------------


def test_a_failed_agent_is_a_result_and_is_not_run_again(cli, arguments, out):
    ended = cli(*arguments, "--agents", FAIL, "--json")
    assert ended.status == 0
    said = json.loads(ended.out)
    assert said["states"] == {"done": 1, "failed": 1}
    assert said["reasons"] == {"agent error": 1}
    assert said["rates"] == {"passed": 0.5, "failed": 0.5, "infrastructure": 0.0}
    assert json.loads(cli("suite", "resume", "--out", out, "--json").out) == said
    assert len(reports(out)) == 2


def test_retry_runs_trials_of_one_reason_again_and_keeps_what_was(cli, arguments, out):
    assert cli(*arguments, "--agents", FAIL).status == 0
    assert cli("suite", "retry", "--only", "timed out", "--out", out).status == 0
    assert len(reports(out)) == 2
    assert cli("suite", "retry", "--only", "agent error", "--out", out).status == 0
    names = sorted(path.parent.name for path in reports(out))
    assert [name.split(".", 1)[1] for name in names] == [
        "small.sh.r0.a1",
        "small.fails.r0.a1",
        "small.fails.r0.a2",
    ]
    again = json.loads(reports(out)[-1].read_text())["trial"]
    assert not again["sealed"], "its answers were published before"
    before = dump(out)
    assert cli("index", "rebuild", "--out", out).status == 0
    assert dump(out) == before


def test_fail_fast_stops_at_the_first_failure(cli, arguments, out):
    words = [*arguments, "--repeats", "40", "--fail-fast"]
    words[words.index(CP)] = FAIL
    ended = cli(*words)
    assert ended.status == 1
    assert "goes on" in ended.out
    assert 1 <= len(reports(out)) < 40


def test_the_budget_of_time_stops_the_suite_and_resume_goes_on(cli, arguments, out):
    ended = cli(*arguments, "--repeats", "3", "--max-time", "0", "--json")
    assert ended.status == 0
    assert json.loads(ended.out)["states"] == {"queued": 3}
    assert json.loads(cli("suite", "resume", "--out", out, "--json").out)["states"] == {"done": 3}


@pytest.mark.parametrize("command", ["resume", "retry"])
def test_a_suite_goes_on_with_the_workers_it_was_begun_with_unless_told_otherwise(
    cli, arguments, out, monkeypatch, command
):
    asked = []

    def noted(name, *, workers, needs=None):
        asked.append((name, workers))
        return executor_named(name, workers=workers, needs=needs)

    monkeypatch.setattr(executors, "executor_named", noted)
    words = ["3" if before == "--workers" else word
             for before, word in itertools.pairwise(["", *arguments])]  # fmt: skip
    assert cli(*words, "--repeats", "2", "--max-time", "0").status == 0
    assert cli("suite", command, "--out", out, "--workers", "2").status == 0
    assert cli("suite", command, "--out", out).status == 0
    assert asked == [("pool", 3), ("pool", 2), ("pool", 3)]


def test_the_commands_that_are_named_find_a_suite_outside_of_the_usual_store(
    cli, arguments, out, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    begun = cli(*arguments, "--repeats", "2", "--max-time", "0").out
    command = begun.partition("nobody runs it; `aexp ")[2].partition("`")[0]
    assert command == "suite resume --out out"
    done = cli(*command.split()).out
    assert "2 of 2 over" in done
    ranking = done.partition("its interval: aexp ")[2].partition(")")[0]
    assert ranking == f"leaderboard {suite_folder(out).relative_to(tmp_path)}"
    assert cli(*ranking.split()).status == 0
    usual = [str(tmp_path / "runs") if word == str(out) else word for word in arguments]
    ended = cli(*usual, "--max-time", "0").out
    assert "`aexp suite resume` goes on" in ended
    assert "(its interval: aexp leaderboard runs/" in cli("suite", "resume").out


def test_a_plan_of_one_agent_has_no_agents(cli, arguments):
    planned = cli(*arguments, "--repeats", "1", "--dry-run").out
    assert planned.startswith("1 trial: 1 task x 1 agent x 1 repeat; ")


def test_tasks_are_named_by_their_files_and_folders_too(
    cli, small_task, out, tmp_path, monkeypatch
):
    other = {**json.loads((small_task / "small.json").read_text()), "id": "other"}
    (tmp_path / "other.json").write_text(json.dumps(other))
    monkeypatch.chdir(tmp_path)
    words = ["suite", "run", "--agents", CP, "--runtime", "process", "--out", out]
    both = ["--tasks", f"other.json,{small_task.name}/"]
    assert cli(*words, *both, "--max-time", "0").status == 0
    monkeypatch.chdir("/")
    ended = cli("suite", "resume", "--out", out, "--json")
    assert json.loads(ended.out)["states"] == {"done": 2}, ended.err
    names = {json.loads(path.read_text())["trial"]["task"]["id"] for path in reports(out)}
    assert names == {"other", "small"}


def test_a_suite_file_names_task_files_from_where_it_lies(cli, small_task, tmp_path, out):
    file = tmp_path / "suite.yaml"
    file.write_text(f"tasks: [{small_task.name}/small.json]\nruntime: process\nagents:\n- {CP!r}\n")
    assert cli("suite", "run", file, "--out", out).status == 0
    assert len(reports(out)) == 1


# --- bad input ---------------------------------------------------------------------------------


def test_all_unknown_names_are_told_at_once(cli, out):
    ended = cli("suite", "run", "--tasks", "clasification_basic,nonsense", "--agents", "experimnt",
                "--out", out)  # fmt: skip
    assert ended.status == 3
    assert ended.err.count("\n") == 1
    for word in ("clasification_basic", "did you mean 'classification_basic'", "nonsense",
                 "experimnt", "did you mean 'experiment'"):  # fmt: skip
        assert word in ended.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--agents", CP], "no tasks"),
        (["--tasks", "classification_basic"], "no agents"),
        (["--tasks", "classification_basic", "--agents", CP, "--workers", "0"], "at least 1"),
        (["--tasks", "classification_basic", "--agents", CP, "--repeats", "0"], "repeats"),
        (["--tasks", "colour:red", "--agents", CP], "no selector 'colour'"),
        (["--tasks", "nowhere.json", "--agents", CP], "nowhere.json: No such file"),
        (["--tasks", "classification_basic", "--agents", CP, "--executor", "pol"], "'pool'"),
        (["--tasks", "nowhere/", "--agents", CP], "nowhere: no such folder of tasks"),
        (["--tasks", "tag:nonsense", "--agents", CP], "no task fits"),
        (["--tasks", "classification_basic", "--agents", "command:"], "empty"),
        (["--tasks", "classification_basic", "--agents", CP, "--memory", "much"], "no size"),
        (["--tasks", "classification_basic", "--agents", CP, "--network", "all"], "network"),
        (["--tasks", "classification_basic", "--agents", CP, "--max-time", "soon"], "max-time"),
        (["--tasks", "classification_basic", "--agents", CP, "--cpus", "999"], "at most"),
        (["--tasks", "classification_basic", "--agents", CP, "--memory", "5"], "at least 16m"),
        (["--tasks", "classification_basic", "--agents", CP, "--disk", "1k"], "at least 1m"),
        (["--tasks", "classification_basic", "--agents", CP, "--runtime", "moon"], "no runtime"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_suite_that_cannot_be_run_is_told_in_one_line_and_nothing_is_made(cli, out, words, said):
    ended = cli("suite", "run", *words, "--out", out)
    assert ended.status == (5 if "999" in words else 2 if "at least" in said else ended.status)
    assert ended.status in {2, 3, 4, 5}
    assert ended.err.count("\n") == 1
    assert said in ended.err
    assert not out.exists()


def test_tasks_that_are_no_ids_are_told_what_they_are(cli, small_task, out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["suite", "run", "--agents", CP, "--runtime", "process", "--out", out, "--tasks"]
    folder = cli(*words, small_task.name)
    assert folder.status == 3
    assert folder.err == "aexp: no task 'tasks'; its folder's tasks are tasks/\n"
    task = json.loads((small_task / "small.json").read_text())
    (small_task / "broken.json").write_text(json.dumps({**task, "id": "broken", "taskz": 1}))
    broken = cli(*words, "tasks/broken.json")
    assert broken.status == 4
    assert "tasks/broken.json: taskz: unknown key" in broken.err
    (tmp_path / "same.json").write_text(json.dumps({**task, "name": "Another"}))
    twice = cli(*words, "same.json,tasks/small.json")
    assert twice.status == 2
    assert "two tasks that differ are called 'small'" in twice.err
    assert not out.exists()


def test_a_demand_the_runtime_does_not_meet_is_refused_before_the_first_trial(cli, arguments, out):
    ended = cli(*arguments, "--require", "network")
    assert ended.status == 5
    assert "network must be enforced" in ended.err
    assert not out.exists()


def test_a_suite_file_with_an_unknown_key_names_the_known_ones(cli, tmp_path, out):
    file = tmp_path / "suite.yaml"
    file.write_text("taskz: [classification_basic]\n")
    ended = cli("suite", "run", file, "--out", out)
    assert ended.status == 4
    assert "taskz" in ended.err
    assert "tasks" in ended.err


def test_a_changed_suite_is_refused_with_the_difference_or_begun_as_new(
    cli, tmp_path, small_task, out
):
    file = tmp_path / "suite.yaml"
    text = f"tasks: [small]\ntasks_dirs: [{small_task}]\nruntime: process\nagents:\n- {CP!r}\n"
    file.write_text(f"{text}repeats: 1\n")
    assert cli("suite", "run", file, "--out", out).status == 0
    file.write_text(f"{text}repeats: 2\n")
    ended = cli("suite", "resume", "--out", out)
    assert ended.status == 4
    assert "-repeats: 1" in ended.err
    assert "+repeats: 2" in ended.err
    assert "--as-new" in ended.err
    assert cli("suite", "resume", "--as-new", "--out", out).status == 0
    totals = [len(list(path.glob("trials/*"))) for path in sorted(out.glob("*_suite_*"))]
    assert sorted(totals) == [1, 2]


def test_a_changed_agent_is_a_changed_suite(cli, arguments, agent, out):
    script = agent()
    words = [*arguments]
    words[words.index(CP)] = f"command:{sys.executable} {script}"
    assert cli(*words).status == 0
    script.write_text("print('another')")
    ended = cli("suite", "resume", "--out", out)
    assert ended.status == 4
    assert "digest" in ended.err


def test_a_dry_run_shows_the_plan_and_makes_nothing(cli, arguments, out):
    ended = cli(*arguments, "--repeats", "5", "--dry-run")
    assert ended.status == 0
    assert "5 trials" in ended.out
    assert "at most" in ended.out
    assert not out.exists()


def test_a_suite_that_is_not_there_is_named(cli, out):
    for words, said in ((["nonsense"], "no suite 'nonsense' in "), ([], "no suite in ")):
        ended = cli("suite", "status", *words, "--out", out)
        assert ended.status == 3
        assert said in ended.err


def test_the_key_is_private_and_away_from_the_runs(cli, arguments, out, tmp_path):
    assert cli(*arguments).status == 0
    (key,) = (tmp_path / "keys").iterdir()
    assert key.stat().st_mode & 0o777 == 0o600
    secret = key.read_bytes()
    for path in out.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert secret not in content
            assert secret.hex().encode() not in content


def test_without_its_key_a_suite_does_not_go_on_and_says_where_it_should_be(
    cli, arguments, out, tmp_path
):
    assert cli(*arguments, "--max-time", "0").status == 0
    (key,) = (tmp_path / "keys").iterdir()
    key.unlink()
    ended = cli("suite", "resume", "--out", out)
    assert ended.status == 3
    assert "AEXP_KEYS" in ended.err


def test_rm_removes_the_trials_the_key_and_the_rows(cli, arguments, out, tmp_path):
    assert cli(*arguments).status == 0
    name = suite_folder(out).name
    assert cli("suite", "rm", name, "--yes", "--out", out).status == 0
    assert [path.name for path in out.iterdir() if path.is_dir()] == []
    assert list((tmp_path / "keys").iterdir()) == []
    assert name not in "".join(dump(out))


def test_a_lost_index_is_made_anew_when_a_suite_goes_on(cli, arguments, out):
    assert cli(*arguments, "--repeats", "2").status == 0
    (out / "index.sqlite").write_bytes(b"spoilt" * 1000)
    ended = cli("suite", "status", "--out", out, "--json")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["states"] == {"done": 2}


# --- two at a time, stopping, full disks -------------------------------------------------------


def started(arguments, *words):
    command = [sys.executable, "-m", "tasks.cli", *arguments, *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
                            text=True)  # fmt: skip


def wait_for(condition):
    until = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def slow(arguments):
    words = [*arguments]
    words[words.index(CP)] = CP.replace("cp ", "sleep 0.4; cp ")
    return words


def test_a_second_runner_helps_and_nothing_is_run_twice(cli, arguments, out):
    first = started(slow(arguments), "--repeats", "12")
    wait_for(lambda: list(out.glob("*/trials/*/report.json")))
    second = started(["suite", "resume", "--out", str(out), "--workers", "2"])
    for runner in (first, second):
        _, said = runner.communicate(timeout=100)
        assert runner.returncode == 0, said
    numbers = [path.parent.name.split(".")[0] for path in reports(out)]
    assert len(numbers) == len(set(numbers)) == 12
    assert len(list(suite_folder(out).glob("trials/*"))) == 12


def test_stop_lets_running_trials_end_and_resume_goes_on(cli, arguments, out):
    runner = started(slow(arguments), "--repeats", "30", "--json")
    wait_for(lambda: list(out.glob("*/trials/*/report.json")))
    assert cli("suite", "stop", "--out", out).status == 0
    printed, _ = runner.communicate(timeout=100)
    states = json.loads(printed)["states"]
    assert set(states) == {"done", "queued"}
    assert states["done"] == len(list(suite_folder(out).glob("trials/*")))


def test_interrupting_twice_ends_running_trials_which_resume_runs_again(cli, arguments, out):
    words = [*arguments]
    words[words.index(CP)] = CP.replace("cp ", "sleep 60; cp ")
    runner = started(words, "--repeats", "2", "--json")
    wait_for(lambda: len(list(out.glob("*/trials/*/run.log"))) == 2)
    runner.send_signal(signal.SIGINT)
    time.sleep(0.2)
    runner.send_signal(signal.SIGINT)
    printed, said = runner.communicate(timeout=60)
    assert runner.returncode == 130, said
    assert json.loads(printed)["reasons"] == {"cancelled": 2}
    status = cli("suite", "status", "--out", out)
    assert "0 of 2 over: 2 cancelled\n" in status.out
    assert "passed 0, not passed 0, infrastructure 0\n" in status.out
    assert "why failed" not in status.out
    assert "nobody runs it; `aexp suite resume" in status.out
    assert json.loads(cli("suite", "status", "--out", out, "--json").out)["running"] == []


def test_stop_now_ends_a_suite_of_short_trials_with_its_summary(cli, arguments, out):
    runner = started(slow(arguments), "--repeats", "30", "--workers", "2", "--json")
    wait_for(lambda: len(list(out.glob("*/trials/*/report.json"))) >= 3)
    assert cli("suite", "stop", "--now", "--out", out).status == 0
    printed, said = runner.communicate(timeout=100)
    assert "fault of ours" not in said
    assert json.loads(printed)["states"]["queued"] > 0
    assert cli("suite", "resume", "--out", out).status == 0
    assert len(list(suite_folder(out).glob("instances/*"))) == 30


def test_a_full_disk_pauses_the_suite_which_goes_on_when_there_is_room(
    cli, arguments, out, monkeypatch, tmp_path
):
    from tasks.suite import run as suite_run

    looks = []

    def room(_path):
        looks.append(1)
        free = 0 if len(looks) < 4 else 10**6
        return os.statvfs_result((4096, 4096, 10**6, free, free, 0, 0, 0, 0, 255))

    monkeypatch.setattr(suite_run.os, "statvfs", room)
    ended = cli(*arguments)
    assert ended.status == 0
    assert "is full: waiting for room" in ended.err
    assert len(reports(out)) == 1


# --- looks before the end ----------------------------------------------------------------------


def test_a_suite_that_is_decided_stops_at_a_look_and_runs_to_its_end_on_demand(cli, arguments, out):
    slow = "fails=command:sh -c 'sleep 0.4; exit 1'"  # looks are judged while trials go on
    words = [*arguments, "--agents", slow, "--repeats", "20", "--workers", "1"]
    ended = cli(*words, "--until-decided", "--looks", "4", "--baseline", "fails")
    assert ended.status == 0, ended.err
    assert "look 1 of 4 comes at 10 trials" in ended.err
    assert "stopped: decided at look 2 of 4, at 20 trials: sh: sh is better" in ended.out
    assert "--to-the-end" in ended.out
    said = json.loads(cli("suite", "status", "--out", out, "--json").out)
    assert [(look["number"], look["trials"]) for look in said["looks"]] == [(1, 10), (2, 20)]
    assert [look["settled"] for look in said["looks"]] == [False, True]
    over = said["states"]["done"] + said["states"]["failed"]
    assert 20 <= over < 40, "trials that ran at the look end; the others are not started"
    again = cli("suite", "resume", "--out", out, "--json")
    assert json.loads(again.out)["states"] == said["states"]
    rest = json.loads(cli("suite", "resume", "--to-the-end", "--out", out, "--json").out)
    assert rest["states"] == {"done": 20, "failed": 20}


def test_looks_that_see_no_difference_stop_nothing(cli, arguments, out):
    ended = cli(*arguments, "--agents", f"again={CP}", "--repeats", "6", "--looks", "3", "--json")
    said = json.loads(ended.out)
    assert said["states"] == {"done": 12}
    assert [look["verdicts"]["again"] for look in said["looks"]] == ["cannot tell"] * 3


def test_a_suite_of_one_agent_cannot_be_decided(cli, arguments, out):
    ended = cli(*arguments, "--until-decided")
    assert ended.status == 2
    assert "only one" in ended.err
    assert not out.exists()


# --- what a change costs -----------------------------------------------------------------------


@pytest.fixture
def from_file(cli, tmp_path, small_task, out):
    """Run a suite of a file; return the file."""
    file = tmp_path / "suite.yaml"
    script = tmp_path / "copy.sh"
    script.write_text(
        "cp $DATA_DIR/sample_submission.csv $SUBMISSION_DIR/submission.csv\n", encoding="utf-8"
    )
    file.write_text(
        f"tasks: [small]\ntasks_dirs: [{small_task}]\nruntime: process\nrepeats: 2\n"
        f"agents:\n- a=command:sh {script}\n- b=command:true\n"
    )
    assert cli("suite", "run", file, "--out", out).status == 0
    return file


@pytest.fixture
def diff(cli, out):
    def call(*words):
        ended = cli("suite", "diff", "--out", out, "--json", *words)
        assert ended.status == 0, ended.err
        said = json.loads(ended.out)
        return {(c["agent"], c["verdict"]): (c["trials"], c["why"]) for c in said["cells"]}, said

    return call


@pytest.mark.usefixtures("from_file")
def test_an_unchanged_suite_is_reused_whole(cli, diff, out):
    cells, said = diff()
    assert cells == {("a", "reuse"): (2, ""), ("b", "reuse"): (2, "")}
    assert said["counts"] == {"reuse": 4, "regrade": 0, "rerun": 0}
    assert "next:" not in cli("suite", "diff", "--out", out).out


def test_other_criteria_are_graded_again_and_the_command_for_it_works(
    cli, diff, from_file, small_task, out
):
    assert from_file.exists()
    file = small_task / "small.json"
    task = json.loads(file.read_text())
    file.write_text(json.dumps({**task, "evaluation_criteria": {"min_accuracy": 0.99}}))
    cells, _ = diff()
    why = "the criteria changed"
    assert cells == {("a", "regrade"): (2, why), ("b", "regrade"): (2, why)}
    shown = cli("suite", "diff", "--out", out).out
    command = shown.partition("next: aexp ")[2].split()
    again = cli(*command, "--tasks-dir", small_task)
    assert again.status == 0, again.err
    assert "2 changed" in again.out


def test_another_agent_or_another_task_is_run_again_and_the_rest_stays(
    diff, from_file, small_task, tmp_path
):
    script = tmp_path / "copy.sh"
    script.write_text(script.read_text() + "# another\n")
    cells, _ = diff()
    assert cells == {("a", "rerun"): (2, "the agent changed"), ("b", "reuse"): (2, "")}
    file = small_task / "small.json"
    task = json.loads(file.read_text())
    file.write_text(json.dumps({**task, "instructions": "Try harder."}))
    cells, _ = diff()
    assert cells["a", "rerun"] == (2, "the task changed, the agent changed")
    assert cells["b", "rerun"] == (2, "the task changed")
    file.write_text(json.dumps({**task, "metadata": {"tags": ["seen"]}}))
    assert ("b", "reuse") in diff()[0]
    from_file.write_text(from_file.read_text().replace("repeats: 2", "limits: {time: 9}"))
    cells, said = diff()
    assert cells["b", "rerun"] == (1, "limits changed")
    assert said["dropped"] == 4


def test_more_repeats_and_more_agents_are_run_beside_what_is_there(diff, from_file, tmp_path):
    other = tmp_path / "other.yaml"
    text = from_file.read_text().replace("repeats: 2", "repeats: 5")
    other.write_text(text + "- c=command:true\n")
    cells, _ = diff("--with", other)
    assert cells["a", "reuse"] == (2, "")
    assert cells["a", "rerun"] == (3, "no result yet")
    assert cells["c", "rerun"] == (5, "a new agent")


def test_the_command_that_is_named_for_more_repeats_is_one_that_works(cli, from_file, out):
    from_file.write_text(from_file.read_text().replace("repeats: 2", "repeats: 3"))
    shown = cli("suite", "diff", "--out", out).out
    command = shown.partition("next: aexp ")[2].split()
    again = cli(*command)
    assert again.status == 0, again.err
    assert "6 of 6 over" in again.out


def test_of_another_file_the_command_that_is_named_runs_that_file(cli, from_file, out, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(from_file.read_text().replace("repeats: 2", "repeats: 1\nname: other"))
    other.write_text(other.read_text() + "- c=command:true\n")
    shown = cli("suite", "diff", "--out", out, "--with", other).out
    again = cli(*shown.partition("next: aexp ")[2].split())
    assert again.status == 0, again.err
    assert "_other_" in again.out
    assert "3 of 3 over" in again.out


def test_another_grader_grades_all_again(diff, from_file, out):
    assert from_file.exists()
    plan = next(out.glob("*/suite.json"))
    said = json.loads(plan.read_text())
    plan.write_text(json.dumps({**said, "grader": "0" * 64}))
    cells, _ = diff()
    assert cells["a", "regrade"] == (2, "the grader changed")
