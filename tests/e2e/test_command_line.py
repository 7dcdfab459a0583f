"""Every command as a user types it: results on stdout, the rest on stderr, the right status."""

import csv
import json
import os
import pty
import select
import sys
import time
import tomllib

import pytest

from tasks import Task, registry
from tasks.cli.doctor import EXTRAS
from tests.conftest import ROOT

IDS = {
    "classification_basic",
    "regression_basic",
    "data_analysis_exploratory",
    "time_series_forecasting",
    "deep_learning_image_classification",
}


def one_line(ended, *words):
    """Whether stderr is one line that holds these words, and no traceback."""
    lines = ended.err.strip().splitlines()
    assert len(lines) == 1, ended.err
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err
    return True


# --- list, show, config ------------------------------------------------------------------------


def test_list_shows_the_shipped_tasks(cli):
    ended = cli("list")
    assert ended.status == 0
    assert {line.split()[0] for line in ended.out.splitlines()[1:]} >= IDS
    assert ended.err == ""


def test_list_filters_and_speaks_json(cli):
    found = json.loads(cli("list", "--type", "regression", "--json").out)
    assert "regression_basic" in {task["id"] for task in found}
    assert {task["task_type"] for task in found} == {"regression"}
    easy = json.loads(cli("list", "--difficulty", "easy", "--json").out)
    assert {task["difficulty"] for task in easy} == {"easy"}
    tagged = json.loads(cli("list", "--tag", "forecasting", "--json").out)
    assert all("forecasting" in task["tags"] for task in tagged)
    assert tagged


def test_an_empty_list_says_so(cli):
    ended = cli("list", "--tag", "no-such-tag")
    assert (ended.status, ended.out) == (0, "")
    assert one_line(ended, "no task fits")


def test_show_prints_fields_json_and_the_prompt(cli):
    assert "min_accuracy=0.7" in cli("show", "classification_basic").out
    assert json.loads(cli("show", "classification_basic", "--json").out)["id"] == (
        "classification_basic"
    )
    prompt = cli("show", "classification_basic", "--prompt").out
    assert "submission.csv" in prompt
    as_json = json.loads(cli("show", "classification_basic", "--prompt", "--json").out)
    assert as_json["prompt"].strip() == prompt.strip()


def test_the_prompt_is_what_the_agent_finds_in_its_folder(cli, run, tmp_path):
    shown = cli("show", "classification_basic", "--prompt").out
    cli("generate-data", "classification_basic", tmp_path / "data")
    assert (tmp_path / "data" / "description.md").read_text().strip() == shown.strip()


@pytest.mark.parametrize("command", ["show", "config", "generate-data", "validate", "check"])
def test_an_unknown_id_is_answered_with_the_nearest(cli, command, tmp_path):
    rest = [] if command in {"show", "check"} else [tmp_path / "x"]
    ended = cli(command, "clasification_basic", *rest)
    assert ended.status == 3
    assert one_line(ended, "clasification_basic", "did you mean 'classification_basic'?")


def test_config_writes_the_definition_under_the_key_task(cli, tmp_path):
    ended = cli("config", "regression_basic", tmp_path / "task_config.json")
    assert ended.status == 0
    written = json.loads((tmp_path / "task_config.json").read_text())
    assert written["task"]["id"] == "regression_basic"


def test_a_tasks_dir_adds_tasks_and_the_later_folder_wins(cli, tmp_path):
    for name, title in (("a", "first"), ("b", "second")):
        folder = tmp_path / name
        folder.mkdir()
        task = registry.get_task("regression_basic").definition() | {"name": title}
        (folder / "mine.json").write_text(json.dumps(task))
    folders = ["--tasks-dir", tmp_path / "a", "--tasks-dir", tmp_path / "b"]
    assert "second" in cli("show", "regression_basic", *folders).out
    assert cli("list", "--tasks-dir", tmp_path / "none").status == 2


def test_without_a_command_help_is_printed_and_the_status_is_of_usage(cli):
    ended = cli()
    assert ended.status == 2
    assert "generate-data" in ended.out


@pytest.mark.parametrize(
    "command",
    [
        "list",
        "show",
        "create",
        "config",
        "generate-data",
        "run",
        "validate",
        "check",
        "calibrate",
        "doctor",
    ],
)
def test_every_command_has_help(cli, command):
    ended = cli(command, "--help")
    assert ended.status == 0
    assert "Usage:" in ended.out


def test_wrong_options_are_one_line_of_usage(cli):
    assert cli("list", "--colour").status == 2
    assert one_line(cli("list", "--colour"), "--colour")
    assert cli("nonsense").status == 2


# --- create ------------------------------------------------------------------------------------


def test_create_takes_options_where_it_cannot_ask(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = cli(
        *("create", "--id", "mine", "--type", "classification", "--yes"),
        *("--data", "dataset_type=classification", "--data", "n_samples=200"),
        *("--criterion", "min_accuracy=0.5", "--instructions", "Predict the class."),
    )
    assert ended.status == 0
    task = Task.load("mine.json")
    assert task.evaluation_criteria == {"min_accuracy": 0.5}
    written = json.loads((tmp_path / "mine.json").read_text())
    assert (tmp_path / written["$schema"]).is_file()


def test_create_without_terminal_and_id_never_asks(cli):
    ended = cli("create")
    assert ended.status == 2
    assert one_line(ended, "--id")


def test_create_refuses_an_unknown_criterion_and_keeps_an_existing_file(cli, tmp_path):
    file = tmp_path / "mine.json"
    wrong = cli("create", "--id", "mine", "--criterion", "min_acuracy=1", "-o", file)
    assert wrong.status == 4
    assert "min_accuracy" in wrong.err
    assert not file.exists()
    file.write_text("precious")
    assert cli("create", "--id", "mine", "-o", file).status == 2
    assert file.read_text() == "precious"
    assert cli("create", "--id", "mine", "-o", file, "--criterion", "x").status == 2


def test_create_refuses_a_criterion_that_the_data_are_never_measured_by(cli, tmp_path):
    file = tmp_path / "mine.json"
    of_values = ("create", "--id", "mine", "--type", "regression", "-o", file)
    wrong = cli(*of_values, "--criterion", "min_accuracy=0.5")
    assert wrong.status == 4
    assert one_line(wrong, "evaluation_criteria.min_accuracy needs labels", "ask for values")
    assert not file.exists()
    assert cli(*of_values, "--criterion", "min_r2=0.5").status == 0


def test_create_asks_on_a_terminal(tmp_path):
    """A real terminal: a wrong answer is asked again, an empty one takes the default."""
    answers = ["asked_for", "deep", "regression", "", "", "", "", "dataset_type=regression", ""]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execv(sys.executable, [sys.executable, "-m", "tasks.cli", "create"])
    seen, deadline = b"", time.monotonic() + 60
    for answer in answers:
        before = len(seen)
        while not seen[before:].rstrip().endswith(b":") and time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.2)[0]:
                seen += os.read(terminal, 4096)
        os.write(terminal, answer.encode() + b"\n")
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, seen.decode()
    task = Task.load(tmp_path / "asked_for.json")
    assert (task.task_type, task.difficulty) == ("regression", "medium")


# --- generate-data, validate, check-submission -------------------------------------------------


@pytest.fixture
def data(cli, tmp_path):
    folder = tmp_path / "data"
    assert cli("generate-data", "classification_basic", folder, "--with-answers").status == 0
    return folder


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_generate_data_writes_what_an_agent_gets_and_no_answers_unless_asked(cli, tmp_path, data):
    names = {path.name for path in data.iterdir()}
    assert names >= {"train.csv", "test.csv", "sample_submission.csv", "description.md"}
    assert "target" not in rows(data / "test.csv")[0]
    plain = tmp_path / "plain"
    cli("generate-data", "classification_basic", plain)
    assert not (plain / "private").exists()
    assert (plain / "train.csv").read_bytes() == (data / "train.csv").read_bytes()


def test_generate_data_takes_seed_samples_and_format(cli, tmp_path):
    options = ["--seed", 7, "--n-samples", 300, "--format", "parquet"]
    assert cli("generate-data", "regression_basic", tmp_path / "p", *options).status == 0
    import polars as pl

    assert pl.read_parquet(tmp_path / "p" / "train.parquet").height == 300


def test_generate_data_keeps_what_is_there_unless_forced(cli, tmp_path):
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "mine.txt").write_text("precious")
    refused = cli("generate-data", "regression_basic", folder)
    assert refused.status == 2
    assert one_line(refused, "--force")
    assert cli("generate-data", "regression_basic", folder, "--force").status == 0
    assert (folder / "mine.txt").read_text() == "precious"
    file = tmp_path / "file"
    file.write_text("")
    assert cli("generate-data", "regression_basic", file).status == 2


def test_generate_data_leaves_nothing_of_an_earlier_instance(cli, tmp_path):
    folder = tmp_path / "d"
    forced = ["generate-data", "regression_basic", folder, "--force"]
    assert cli(*forced, "--with-answers").status == 0
    assert cli(*forced, "--seed", 7, "--format", "parquet").status == 0
    names = {path.name for path in folder.iterdir()}
    assert {"train.parquet", "test.parquet"} <= names
    assert not names & {"train.csv", "test.csv", "private"}
    assert cli(*forced).status == 0
    assert not {path.name for path in folder.iterdir()} & {"train.parquet", "test.parquet"}
    (folder / "private").mkdir()
    (folder / "private" / "diary.txt").write_text("precious")
    assert cli(*forced).status == 0
    assert (folder / "private" / "diary.txt").read_text() == "precious"


def test_n_samples_of_data_of_a_fixed_size_is_refused(cli, tmp_path):
    ended = cli("generate-data", "breast_cancer", tmp_path / "d", "--n-samples", 10)
    assert ended.status == 2
    assert one_line(ended, "fixed size")


def test_too_few_samples_are_refused_with_what_would_do(cli, tmp_path):
    ended = cli("generate-data", "classification_basic", tmp_path / "d", "--n-samples", 5)
    assert ended.status == 4
    assert one_line(ended, "at least 30")
    assert not (tmp_path / "d").exists()


def hand_in(folder, answers, name="submission.csv"):
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "target"])
        writer.writerows(answers)
    return folder


def test_validate_tells_success_failure_and_invalidity_by_status(cli, tmp_path, data):
    train, test = rows(data / "train.csv"), rows(data / "test.csv")
    features = [name for name in train[0] if name not in {"id", "target"}]
    answers = zip((r["id"] for r in test), nearest(train, test, features), strict=True)
    good = hand_in(tmp_path / "good", answers)
    ended = cli("validate", "classification_basic", good)
    assert ended.out.startswith("MEASURE")
    poor = hand_in(tmp_path / "poor", [(r["id"], 0) for r in test])
    ended = cli("validate", "classification_basic", poor, "--explain", "--data", data)
    assert ended.status == 1
    assert "FAILED: criteria not met" in ended.out
    assert "ceiling  the best decision" in ended.out
    broken = hand_in(tmp_path / "broken", [(r["id"], 0) for r in test[1:]])
    ended = cli("validate", "classification_basic", broken)
    assert ended.status == 4
    assert "E07" in ended.out
    report = json.loads(cli("validate", "classification_basic", poor, "--json").out)
    assert report["success"] is False
    assert report["sealed"] is False
    assert report["scores"]["accuracy"]["skill"] == pytest.approx(0, abs=0.2)


def test_validate_says_on_which_draw_and_refuses_the_data_of_another(cli, tmp_path):
    name, folder = "regression_small", tmp_path / "made"
    assert cli("generate-data", name, folder, "--seed", 5).status == 0
    results = hand_in(tmp_path / "r", [(row["id"], 0) for row in rows(folder / "test.csv")])
    assert cli("validate", name, results).out.endswith("graded on the practice draw\n")
    of_seed = cli("validate", name, results, "--seed", 5, "--data", folder)
    assert of_seed.out.endswith("graded on seed 5\n")
    told = cli("validate", name, results, "--seed", 5, "--json")
    assert json.loads(told.out)["graded_on"] == "seed 5"
    refused = cli("validate", name, results, "--data", folder)
    assert refused.status == 4
    assert one_line(refused, "made holds another draw of regression_small than the practice draw")
    assert cli("generate-data", name, folder, "--force", "--with-answers").status == 0
    assert (
        f"graded on the answers in {folder}" in cli("validate", name, results, "--data", folder).out
    )


def nearest(train, test, features):
    """Classes by the nearest class mean: honest, and better than nothing."""
    import numpy as np

    x = np.array([[float(r[f]) for f in features] for r in train])
    y = np.array([r["target"] for r in train])
    means = {label: x[y == label].mean(axis=0) for label in np.unique(y)}
    z = np.array([[float(r[f]) for f in features] for r in test])
    distance = np.stack([((z - mean) ** 2).sum(axis=1) for mean in means.values()])
    return np.array(list(means))[distance.argmin(axis=0)]


def test_the_answers_themselves_are_called_a_leak(cli, tmp_path, data):
    import numpy as np

    with np.load(next((data / "private").glob("*.npz"))) as private:
        labels = private["labels"]
    ids = [row["id"] for row in rows(data / "test.csv")]
    leak = hand_in(tmp_path / "leak", zip(ids, labels, strict=True))
    ended = cli("validate", "classification_basic", leak)
    assert ended.status == 1
    assert "VOID: integrity in doubt" in ended.out


def test_validate_of_a_missing_folder_is_one_line(cli, tmp_path):
    ended = cli("validate", "classification_basic", tmp_path / "none")
    assert ended.status == 4
    assert one_line(ended, "none")


def test_check_submission_needs_no_answers_and_measures_nothing(cli, tmp_path, data):
    folder = hand_in(tmp_path / "s", [(row["id"], 0) for row in rows(data / "test.csv")])
    ended = cli("check-submission", folder, "--data", data)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("valid")
    broken = hand_in(tmp_path / "b", [("x", 0)])
    ended = cli("check-submission", broken, "--data", data, "--json")
    assert ended.status == 4
    assert json.loads(ended.out)["problems"]


def test_check_submission_where_no_data_are_says_how_to_name_them(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = hand_in(tmp_path / "s", [("0", 0)])
    ended = cli("check-submission", folder)
    assert ended.status == 4
    assert one_line(ended, "task_config.json", "--data DIR")
    assert "Errno" not in ended.err


# --- check, doctor -----------------------------------------------------------------------------


def test_check_says_why_a_task_is_sound_or_is_not(cli, tmp_path):
    ended = cli("check", "classification_basic", "--no-agent")
    assert ended.status == 0, ended.out
    assert ended.out.count("ok  ") == len(ended.out.splitlines()) >= 3
    easy = registry.get_task("classification_basic").definition() | {
        "id": "too_easy",
        "evaluation_criteria": {"min_accuracy": 0.05},
    }
    (tmp_path / "easy.json").write_text(json.dumps(easy))
    ended = cli("check", tmp_path / "easy.json", "--no-agent", "--json")
    assert ended.status == 4
    assert [f["check"] for f in json.loads(ended.out) if not f["ok"]] == ["trivial fails"]
    assert cli("check").status == 2


def small_task(tmp_path, difficulty, n_samples=100):
    file = tmp_path / "small.json"
    definition = {
        "id": "small",
        "task_type": "regression",
        "difficulty": difficulty,
        "data_requirements": {"n_samples": n_samples, "n_test": 300},
    }
    Task.from_dict(definition, source="test").save(file)
    return file


def test_calibrate_measures_a_learning_curve_headroom_and_the_leak_test(cli, tmp_path):
    file, picture = small_task(tmp_path, "easy"), tmp_path / "curve.png"
    ended = cli("calibrate", file, "--no-agent", "--seeds", 2, "--sizes", "300", "--redraws", 50,
                "--plot", picture, "--json")  # fmt: skip
    assert ended.status == 0, ended.err
    found = json.loads(ended.out)
    assert found["measure"] == "r2"
    assert [(row["size"], row["model"]) for row in found["table"]] == [
        (100, "linear"),
        (100, "boosting"),
        (300, "linear"),
        (300, "boosting"),
    ]
    assert found["headroom"]["fits"] is True
    assert [row["model"] for row in found["leak_z"]] == ["linear", "boosting"]
    assert picture.stat().st_size > 5000
    shown = cli("calibrate", file, "--no-agent", "--seeds", 1, "--sizes", "100", "--redraws", 50)
    assert shown.out.splitlines()[0].split()[:4] == ["ROWS", "MODEL", "SEEDS", "R2"]
    assert "easy fits" in shown.out
    assert "leak z over 50 redraws" in shown.out


def test_calibrate_refuses_what_does_not_apply_and_finds_a_wrong_difficulty(cli, tmp_path):
    hard = small_task(tmp_path, "hard", 30)  # too few rows for boosting to gain anything
    ended = cli("calibrate", hard, "--no-agent", "--seeds", 1, "--sizes", "30")
    assert ended.status == 4
    assert "hard DOES NOT FIT" in ended.out
    assert one_line(cli("calibrate", hard, "--sizes", "1k"), "1000,10000")
    assert cli("calibrate", hard, "--sizes", "-5", "--no-agent").status == 4
    assert one_line(cli("calibrate", "penguins", "--sizes", "100"), "fixed size")


def test_doctor_knows_every_extra_for_users():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS) == declared["optional-dependencies"].keys() - {"dev"}


def test_doctor_says_what_is_there(cli):
    told = cli("doctor").out
    assert "runtime process" in told
    assert "ENFORCED BY" in told
    parts = {line["part"]: line for line in json.loads(cli("doctor", "--json").out)}
    assert parts["numpy"]["ok"] is True
    assert parts["process: network"] == {"part": "process: network", "ok": False, "detail": "-"}
    assert parts["process: memory"]["detail"] == "sampled"
    assert parts["process: kill"]["ok"] is True
    if parts["runtime bubblewrap"]["ok"]:
        assert parts["bubblewrap: network"]["detail"] == "network namespace"
        assert parts["bubblewrap: hidden file"]["ok"] is True


# --- as a process ------------------------------------------------------------------------------


def test_the_reader_of_our_output_may_leave(process, tmp_path):
    import subprocess

    line = f"{sys.executable} -m tasks.cli show classification_basic --prompt | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
    )
    assert done.stderr == b""


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(process, tmp_path):
    code = (
        "import resource, signal, sys\n"
        "from tasks.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))\n"
        "status = main(sys.argv[1:])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
        "sys.exit(status)\n"
    )
    ended = process("-c", code, "generate-data", "classification_basic", tmp_path / "d")
    assert ended.status == 8
    assert one_line(ended, "File too large")
    assert not list(tmp_path.iterdir())


def test_completion_offers_task_ids(process):
    env = {"_AEXP_COMPLETE": "complete_bash", "COMP_WORDS": "aexp show regr", "COMP_CWORD": "2"}
    ended = process("-c", "from tasks.cli import main; main()", env=env)
    assert "regression_basic" in ended.out


ESCAPES = "\x1b]0;owned\x07\x9b2J\u202eevil\x7f"


def test_a_strangers_task_cannot_command_the_terminal(cli, tmp_path):
    definition = registry.get_task("classification_basic").definition()
    hostile = definition | {
        "id": "hostile",
        "name": f"{ESCAPES}\nPASSED",
        "description": ESCAPES,
        "instructions": ESCAPES,
    }
    file = tmp_path / "hostile.json"
    file.write_text(json.dumps(hostile))
    shown = [
        cli("list", "--tasks-dir", tmp_path),
        cli("list", "--tasks-dir", tmp_path, "--json"),
        cli("show", file),
        cli("show", file, "--json"),
        cli("show", file, "--prompt"),
        cli("show", file, "--prompt", "--json"),
    ]
    for ended in shown:
        assert ended.status in {0, 4}
        for char in ESCAPES.replace("evil", "").replace("]0;owned", "").replace("2J", ""):
            assert char not in ended.out + ended.err
    if shown[3].status == 0:
        assert json.loads(shown[3].out)["description"] == ESCAPES


def test_a_mistyped_filter_is_named_with_the_nearest(cli):
    ended = cli("list", "--type", "regresion")
    assert ended.status == 2
    assert one_line(ended, "did you mean 'regression'?")
    assert cli("list", "--difficulty", "simple").status == 2


def test_a_fault_of_ours_says_where_verbose_stands(cli, monkeypatch):
    def broken(**_):
        raise RuntimeError("oh")

    monkeypatch.setattr("tasks.cli.catalogue.registry.list_tasks", broken)
    ended = cli("list")
    assert ended.status == 8
    assert one_line(ended, "RuntimeError: oh", "(aexp --verbose … shows where)")
    assert "Traceback" in cli("--verbose", "list").err


def test_the_version_is_told(cli):
    assert cli("--version").out.startswith("aexp 0.")


def test_the_hint_after_generating_data_grades_the_same_data(cli, tmp_path):
    ended = cli("generate-data", "regression_basic", tmp_path / "d", "--seed", 3, "--n-samples", 90)
    assert "aexp validate regression_basic RESULTS_DIR --seed 3 --n-samples 90" in ended.err


def test_config_takes_a_task_file_too(cli, tmp_path):
    cli("create", "--id", "mine", "--yes", "-o", tmp_path / "mine.json")
    assert cli("config", tmp_path / "mine.json", tmp_path / "c.json").status == 0
    assert json.loads((tmp_path / "c.json").read_text())["task"]["id"] == "mine"
