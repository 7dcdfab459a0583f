"""The agent's world: its folders, links, variables, and its copies of other people's files."""

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks import datasets, home
from tasks.errors import InvalidInput
from tasks.instance import Seed
from tasks.outcome import Limits
from tasks.spec import Task
from tasks.workspace import Workspace

TASK = Task.from_dict(
    {
        "id": "t",
        "task_type": "classification",
        "data_requirements": {"n_samples": 100, "n_test": 20},
    }
)


@pytest.fixture
def workspace(tmp_path):
    """A trial whose public files are written and whose world is laid out."""
    made = Workspace.create(tmp_path / "it's runs", "t_agent")
    made.public.mkdir()
    datasets.write_public(TASK, datasets.draw(TASK, Seed.public(1)), made.public)
    home.lay_out(made)
    return made


@pytest.fixture
def folder(tmp_path):
    """An agent's folder."""
    place = tmp_path / "agents" / "mine"
    place.mkdir(parents=True)
    (place / "start.sh").write_text("echo started\n")
    return place


def names_below(place):
    return sorted(path.relative_to(place).as_posix() for path in place.rglob("*"))


# --- the tree ----------------------------------------------------------------------------------


def test_the_tree_is_that_of_the_specification(workspace):
    tree = workspace.experiments
    for name in ("workspace", "models", "results", "notebooks", "scripts", "configs"):
        assert (tree / name).is_dir()
        assert not (tree / name).is_symlink()
    for name in ("data", "code", "logs", "submission"):
        assert (tree / name).is_symlink()
        assert (tree / name).resolve() == (workspace.home / name).resolve()
    assert (tree / "data" / "train.csv").is_file()
    assert names_below(workspace.home / "submission") == []


def test_links_still_hold_when_the_trial_is_moved(workspace):
    moved = workspace.root.parent / "moved"
    workspace.root.rename(moved)
    assert (moved / "home" / "experiments" / "data" / "train.csv").is_file()


def test_instructions_and_definition_lie_where_mle_bench_has_them(workspace):
    text = (workspace.home / "instructions.txt").read_text()
    assert text == (workspace.public / "description.md").read_text()
    config = json.loads((workspace.home / "task_config.json").read_text())
    assert Task.from_dict(config["task"]) == TASK
    assert config["submission"]["kind"] == "classes"


def test_the_checker_runs_whatever_is_in_the_path(workspace):
    """The place holds a quote and a space."""
    env = home.environment(workspace, TASK, Limits(), {})
    script = str(workspace.home / "validate_submission.sh")
    done = subprocess.run(["bash", script], check=False, env=env, capture_output=True, text=True)
    assert done.returncode != 0
    (workspace.home / "submission" / "submission.csv").write_bytes(
        (workspace.public / "sample_submission.csv").read_bytes()
    )
    done = subprocess.run(["bash", script], check=False, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# --- variables ---------------------------------------------------------------------------------


def test_the_variables_of_the_specification_name_places_that_are_there(workspace):
    env = home.environment(workspace, TASK, Limits(time_s=90.5), {})
    for name in ("EXPERIMENT_DIR", "DATA_DIR", "CODE_DIR", "LOGS_DIR", "SUBMISSION_DIR",
                 "AGENT_DIR", "TASK_CONFIG", "HOME", "TMPDIR"):  # fmt: skip
        assert Path(env[name]).is_absolute()
        assert Path(env[name]).exists()
    assert env["EXPERIMENT_NAME"] == workspace.root.name
    assert env["TASK_TYPE"] == "classification"
    assert env["TIME_LIMIT_SECS"] == "90.5"
    assert env["COMPETITION_ID"] == "t"


def test_of_the_hosts_variables_only_the_search_path_passes(workspace, monkeypatch):
    monkeypatch.setenv("TEST_HOST_SECRET", "s3cret")
    monkeypatch.setenv("PATH", "/somewhere")
    env = home.environment(workspace, TASK, Limits(), {})
    assert "s3cret" not in json.dumps(env)
    assert env["PATH"] == f"{Path(sys.executable).parent}{os.pathsep}/somewhere"
    monkeypatch.delenv("PATH")
    assert env.keys() == home.environment(workspace, TASK, Limits(), {}).keys()


def test_what_an_agents_entry_asks_for_wins(workspace):
    extra = {"TIME_LIMIT_SECS": "7", "MINE": "x"}
    env = home.environment(workspace, TASK, Limits(), extra)
    assert (env["TIME_LIMIT_SECS"], env["MINE"]) == ("7", "x")


# --- an agent's folder -------------------------------------------------------------------------


def test_an_agents_folder_is_copied_with_its_links_and_without_compiled_files(workspace, folder):
    (folder / "lib").mkdir()
    (folder / "lib" / "code.py").write_text("x = 1\n")
    (folder / "lib" / "code.pyc").write_text("")
    (folder / "lib" / "__pycache__").mkdir()
    (folder / "lib" / "__pycache__" / "code.cpython.pyc").write_text("")
    (folder / "link").symlink_to("lib/code.py")
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    home.copy_agent(folder, workspace)
    copy = workspace.home / "agent"
    assert names_below(copy) == ["dangling", "lib", "lib/code.py", "link", "loop", "start.sh"]
    assert (copy / "link").readlink() == Path("lib/code.py")
    (copy / "start.sh").write_text("spoilt")
    assert (folder / "start.sh").read_text() == "echo started\n"


def test_fifos_and_sockets_in_an_agents_folder_are_left_out(workspace, folder, monkeypatch):
    os.mkfifo(folder / "fifo")
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
    home.copy_agent(folder, workspace)
    assert names_below(workspace.home / "agent") == ["start.sh"]


@pytest.mark.parametrize("runs", ["runs", "deep/er/runs", ""])
def test_trials_in_the_agents_own_folder_are_not_copied_into_themselves(folder, runs):
    workspace = Workspace.create(folder / runs, "t_agent")
    workspace.home.mkdir()
    home.copy_agent(folder, workspace)
    copied = names_below(workspace.home / "agent")
    assert [name for name in copied if name not in {"deep", "deep/er"}] == ["start.sh"]


def test_a_folder_that_is_no_agents_is_refused_by_its_size(workspace, folder):
    with (folder / "data.bin").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(InvalidInput, match="bytes; an agent's folder holds at most 1 GiB"):
        home.copy_agent(folder, workspace)
    assert names_below(workspace.home / "agent") == []


# --- files a command names ---------------------------------------------------------------------


def test_files_that_a_command_names_are_copied_and_the_rest_stays(workspace, tmp_path, monkeypatch):
    (tmp_path / "a.py").write_text("print(1)")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    command = ["python", "a.py", "--flag", "word", "folder", "-", "", "x" * 5000, "nul\0", "a.py"]
    rewritten = home.copy_named_files(command, workspace)
    agent = workspace.home / "agent"
    assert rewritten[1] == str(agent / "a.py")
    assert rewritten[2:9] == command[2:9]
    assert rewritten[9] == str(agent / "argument-9" / "a.py")
    assert Path(rewritten[9]).read_text() == "print(1)"


def test_files_of_the_same_name_get_folders_of_their_own(workspace, tmp_path):
    """Even where a file is called as the folder of another argument might be."""
    paths = []
    for place in ("x", "y", "z"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "2").write_text(place)
        paths.append(str(tmp_path / place / "2"))
    rewritten = home.copy_named_files(["cat", *paths], workspace)
    assert [Path(path).read_text() for path in rewritten[1:]] == ["x", "y", "z"]


def test_options_are_never_taken_for_files(workspace, tmp_path, monkeypatch):
    (tmp_path / "-v").write_text("")
    monkeypatch.chdir(tmp_path)
    assert home.copy_named_files(["cmd", "-v"], workspace) == ["cmd", "-v"]


@pytest.mark.parametrize(
    ("program", "rewritten"),
    [("python", "python"), ("/bin/true", "/bin/true"), ("./run.sh", "{cwd}/run.sh")],
)
def test_a_program_stays_where_it_is_and_is_found_from_elsewhere(
    workspace, tmp_path, monkeypatch, program, rewritten
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.sh").write_text("")
    assert home.copy_named_files([program], workspace) == [rewritten.format(cwd=tmp_path)]
    assert names_below(workspace.home / "agent") == []


def test_a_file_too_large_to_copy_is_left_where_it_is(workspace, tmp_path):
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(2**30 + 1)
    assert home.copy_named_files(["cat", str(path)], workspace) == ["cat", str(path)]


# --- data and results --------------------------------------------------------------------------


def test_a_users_own_files_are_copied_beside_the_generated_ones(workspace, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "extra.csv").write_text("a\n1\n")
    (own / "folder").mkdir()
    os.mkfifo(own / "fifo")
    home.copy_data(own, workspace)
    assert (workspace.home / "data" / "extra.csv").read_text() == "a\n1\n"
    assert not (workspace.public / "folder").exists()
    assert not (workspace.public / "fifo").exists()


def test_no_file_of_a_user_replaces_a_generated_one(workspace, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "train.csv").write_text("forged")
    with pytest.raises(
        InvalidInput, match=r"train\.csv: the task makes a file of this name itself"
    ):
        home.copy_data(own, workspace)
    assert (workspace.public / "train.csv").read_text() != "forged"


def test_without_a_folder_there_are_no_files_of_a_user(workspace, tmp_path):
    before = names_below(workspace.public)
    home.copy_data(tmp_path / "none", workspace)
    assert names_below(workspace.public) == before


def test_report_and_outputs_are_copied_to_a_folder_named_after_the_trial(workspace, tmp_path):
    (workspace.outputs / "results").mkdir(parents=True)
    (workspace.outputs / "results" / "a.txt").write_text("a")
    workspace.write_json(workspace.report_file, {})
    target = home.copy_results(workspace, tmp_path / "out")
    assert target == tmp_path / "out" / workspace.root.name
    assert names_below(target) == [
        "outputs",
        "outputs/results",
        "outputs/results/a.txt",
        "report.json",
    ]
    with pytest.raises(FileExistsError):
        home.copy_results(workspace, tmp_path / "out")


@pytest.mark.parametrize("text", ["plain", "it's", "a b", "$(id)", "`id`", "'; id; '", '"'])
def test_a_path_in_a_script_is_one_word(text):
    assert shlex.split(home._quoted(text)) == [text]


# --- a sandbox ---------------------------------------------------------------------------------


@pytest.fixture
def boxed(workspace):
    made = Workspace.create(workspace.root.parent, "boxed")
    shutil.copytree(workspace.public, made.public)
    home.lay_out(made, "/home")
    return made


def test_in_a_sandbox_every_variable_names_a_place_inside_it(boxed):
    env = home.environment(boxed, TASK, Limits(), {}, "/home")
    home.write_deadline(boxed, Limits(time_s=60))
    places = {name: value for name, value in env.items() if value.startswith("/home")}
    assert {"HOME", "DATA_DIR", "EXPERIMENT_DIR", "SUBMISSION_DIR", "DEADLINE_FILE"} <= set(places)
    assert not [value for value in env.values() if str(boxed.root) in value]
    for place in places.values():
        assert (boxed.home / Path(place).relative_to("/home")).exists()


def test_in_a_sandbox_the_data_folder_is_one_to_be_mounted_on(boxed):
    assert (boxed.home / "data").is_dir()
    assert not (boxed.home / "data").is_symlink()
    assert (boxed.experiments / "data").readlink() == Path("../data")


def test_in_an_image_the_search_path_and_the_checker_are_its_own(workspace):
    env = home.environment(workspace, TASK, Limits(), {}, "/home", host_programs=False)
    assert "PATH" not in env
    made = Workspace.create(workspace.root.parent, "image")
    shutil.copytree(workspace.public, made.public)
    home.lay_out(made, "/home", host_programs=False)
    assert not (made.home / "validate_submission.sh").exists()


def test_in_a_sandbox_a_command_names_the_copies_by_their_inner_paths(boxed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("run.sh", "agent.py", "start.sh"):
        (tmp_path / name).write_text("")
    (boxed.home / "agent" / "start.sh").write_text("laid out with its folder")
    command = ["./run.sh", str(tmp_path / "agent.py"), "/home/agent/start.sh", "none.py"]
    rewritten = home.copy_named_files(command, boxed, "/home")
    assert rewritten[:3] == ["/home/agent/run.sh", "/home/agent/agent.py", "/home/agent/start.sh"]
    assert (boxed.home / "agent" / "run.sh").exists()
    assert home.copy_named_files(["/bin/true"], boxed, "/home") == ["/bin/true"]


def test_the_deadline_is_now_and_the_limit(workspace):
    before = time.time()
    home.write_deadline(workspace, Limits(time_s=90))
    told = float((workspace.home / "deadline").read_text())
    assert before + 89 < told < time.time() + 91
