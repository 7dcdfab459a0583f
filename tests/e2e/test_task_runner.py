"""One trial through its hops, by the Python API: what is on disk, what is graded, what is not."""

import hashlib
import json
import os
import stat

import pytest

from tasks import Task, TaskRunner, registry
from tasks.comparison.board import leaderboard
from tasks.comparison.records import read
from tasks.errors import InfrastructureError, InvalidInput, MissingPart, UnknownName, UsageError
from tasks.instance import Seed
from tasks.outcome import Limits
from tasks.prepared import prepare
from tasks.runtimes.named import runtime_named
from tasks.store.states import read_attempt, row_of
from tasks.trial import reveal
from tasks.utils import TaskValidator
from tests.conftest import COPY_SAMPLE

SMALL = {
    "id": "small",
    "name": "Small",
    "task_type": "classification",
    "data_requirements": {"dataset_type": "classification", "n_samples": 300, "n_test": 400},
    "evaluation_criteria": {"min_accuracy": 0.2},
}


@pytest.fixture
def task():
    return Task.from_dict(SMALL, source="test")


@pytest.fixture
def runner(tmp_path):
    """By the weakest runtime: what holds without walls holds behind them."""
    return TaskRunner(tmp_path / "runs", runtime="process")


def bubblewrap():
    """Skip where it does not work, unless it must."""
    try:
        runtime_named("bubblewrap")
    except MissingPart as error:
        if "bubblewrap" in os.environ.get("AEXP_REQUIRE", ""):
            raise
        pytest.skip(str(error))
    return "bubblewrap"


def command(path):
    return ["python", str(path)]


def test_a_trial_ends_in_a_report_that_says_everything(runner, task, agent):
    trial = runner.run_task(task, command(agent()), timeout=30)
    assert trial.outcome.reason == "finished"
    report = json.loads(trial.report_file.read_text())
    assert set(report) >= {"trial", "outcome", "evaluation", "enforced", "claimed", "hashes"}
    evaluation = report["evaluation"]
    assert evaluation["sealed"] is True
    assert evaluation["outcome"] == "finished"
    assert evaluation["submission"] == {
        "valid": True,
        "file": "submission/submission.csv",
        "problems": [],
    }
    assert report["enforced"]["network"] is None  # a plain process has no walls, and says so
    assert report["isolation"] == "not isolated"


def test_a_trial_behind_walls_is_graded_alike_and_says_what_they_were(tmp_path, task, agent):
    boxed = TaskRunner(tmp_path / "runs", runtime=bubblewrap(), requires=["network", "filesystem"])
    source = COPY_SAMPLE + (
        "import subprocess\n"
        "print(os.environ['HOME'], os.listdir('/home'))\n"
        "print(subprocess.run(['bash', '/home/validate_submission.sh']).returncode)\n"
        "open('/home/experiments/results/note.txt', 'w').write('mine')\n"
    )
    trial = boxed.run_task(task, command(agent(source)), timeout=60, seed=Seed.public(1))
    log = trial.workspace.log_file.read_text()
    assert trial.outcome.reason == "finished", log
    assert "valid: submission.csv" in log
    report = json.loads(trial.report_file.read_text())
    assert report["isolation"] == "isolated"
    assert report["tampered"] == []
    assert (trial.workspace.outputs / "results" / "note.txt").read_text() == "mine"
    plain = TaskRunner(tmp_path / "runs", runtime="process")
    same = plain.run_task(task, command(agent()), timeout=60, seed=Seed.public(1))
    assert same.evaluation.overall_score == trial.evaluation.overall_score


LOOK_ROUND = """\
import os
names = []
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if name not in ("proc", "usr", "site-packages")]
    names += [os.path.join(folder, name) for name in files]
open("/home/logs/seen", "w").write("\\n".join(names) + repr(dict(os.environ)))
"""


def test_behind_walls_the_agent_finds_nothing_of_its_trial_or_another(tmp_path, task, agent):
    boxed = TaskRunner(tmp_path / "runs", runtime=bubblewrap())
    first = boxed.run_task(task, command(agent()), timeout=60)
    second = boxed.run_task(task, command(agent(LOOK_ROUND)), timeout=60)
    seen = (second.workspace.outputs / "logs" / "seen").read_text()
    assert "/home/data/train.csv" in seen
    for hidden in (
        "trial.json",
        "events.jsonl",
        "answers",
        "report.json",
        first.workspace.root.name,
    ):
        assert hidden not in seen


def test_a_demand_that_the_runtime_does_not_meet_is_refused_before_anything_is_made(
    tmp_path, agent
):
    demanding = Task.from_dict({**SMALL, "requires": {"network": True, "time": True}})
    plain = TaskRunner(tmp_path / "runs", runtime="process")
    with pytest.raises(MissingPart, match="network must be enforced, and the process runtime"):
        plain.run_task(demanding, command(agent()))
    assert not (tmp_path / "runs").exists()


def test_a_finished_report_can_be_audited_with_the_revealed_seed(runner, task, agent):
    trial = runner.run_task(task, command(agent()), timeout=30)
    asked = json.loads(trial.workspace.trial_file.read_text())
    revealed = json.loads(trial.report_file.read_text())["trial"]["seed"]
    seed = Seed(secret=bytes.fromhex(revealed), sealed=True)
    assert prepare(task, seed).instance.commitment(seed) == asked["commitment"]
    again = runner.run_task(task, command(agent()), timeout=30, seed=seed)
    for name in ("train.csv", "test.csv"):
        first, second = (t.workspace.public / name for t in (trial, again))
        assert first.read_bytes() == second.read_bytes()


def test_an_instance_that_is_met_again_is_withheld_until_it_is_revealed(runner, task, agent):
    ready = prepare(task)
    trials = [
        runner.run_task(task, command(agent(source)), timeout=30, prepared=ready)
        for source in (COPY_SAMPLE, SNOOP_ALL)
    ]
    seen = (trials[1].workspace.outputs / "logs" / "seen").read_bytes()
    assert b"train.csv" in seen  # it did look into the other trial's folder
    assert ready.seed.secret.hex().encode() not in seen
    assert b"answers.npz" not in seen
    assert all(json.loads(t.report_file.read_text())["trial"]["seed"] is None for t in trials)
    reveal(ready, trials)
    for trial in trials:
        report = json.loads(trial.report_file.read_text())
        assert report["trial"]["seed"] == ready.seed.secret.hex()
        assert (trial.workspace.private / "answers.npz").is_file()


def test_two_trials_meet_different_instances(runner, task, agent):
    first, second = (runner.run_task(task, command(agent()), timeout=30) for _ in range(2))
    a, b = ((t.workspace.public / "test.csv").read_bytes() for t in (first, second))
    assert a != b


SNOOP_ALL = """\
import os
runs = os.path.realpath(os.environ["HOME"] + "/../..")
with open(os.environ["LOGS_DIR"] + "/seen", "wb") as out:
    for folder, _, names in os.walk(runs):
        for name in names:
            path = os.path.join(folder, name)
            out.write(path.encode() + b"\\n")
            if name.endswith(".json"):
                with open(path, "rb") as file:
                    out.write(file.read())
"""

SNOOP = """\
import json, os
root = os.path.realpath(os.environ["HOME"] + "/..")
seen = {}
for folder, _, names in os.walk(root):
    for name in names:
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            seen[os.path.relpath(path, root)] = file.read().decode("latin-1")
json.dump({"files": seen, "env": dict(os.environ)},
          open(os.environ["LOGS_DIR"] + "/seen.json", "w"))
"""


def test_nothing_secret_lies_on_disk_or_in_the_environment_while_the_agent_runs(
    runner, task, agent, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    trial = runner.run_task(task, command(agent(SNOOP)), timeout=30)
    seen = json.loads((trial.workspace.outputs / "logs" / "seen.json").read_text())
    seed = json.loads(trial.report_file.read_text())["trial"]["seed"]
    everything = json.dumps(seen)
    assert "trial.json" in seen["files"]
    assert not [name for name in seen["files"] if name.startswith("private")]
    assert seed not in everything
    assert "sk-very-secret" not in everything
    assert "OPENAI_API_KEY" not in seen["env"]


def test_the_private_folder_appears_afterwards_and_only_its_owner_reads_it(runner, task, agent):
    trial = runner.run_task(task, command(agent()), timeout=30)
    mode = stat.S_IMODE(trial.workspace.private.stat().st_mode)
    assert mode == 0o700
    manifest = json.loads((trial.workspace.private / "manifest.json").read_text())
    assert manifest["tier"] == "E"
    assert manifest["marks"]["accuracy"]["floor"] < manifest["marks"]["accuracy"]["ceiling"]


TREE = """\
import json, os
home = os.environ["HOME"]
exp = os.environ["EXPERIMENT_DIR"]
json.dump({
  "tree": sorted(os.listdir(exp)),
  "links": {n: os.path.realpath(os.path.join(exp, n)) == os.path.realpath(os.path.join(home, n))
            for n in ("data", "code", "logs", "submission")},
  "env": {k: os.environ[k] for k in os.environ},
  "cwd": os.getcwd(),
  "config": json.load(open(os.environ["TASK_CONFIG"])),
}, open(os.environ["LOGS_DIR"] + "/tree.json", "w"))
"""


def test_the_agent_finds_the_folders_and_variables_of_the_spec(runner, task, agent):
    trial = runner.run_task(task, command(agent(TREE)), timeout=30)
    seen = json.loads((trial.workspace.outputs / "logs" / "tree.json").read_text())
    tree = "workspace data models results notebooks scripts configs code logs submission"
    assert seen["tree"] == sorted(tree.split())
    assert all(seen["links"].values())
    names = (
        "EXPERIMENT_NAME TASK_TYPE TIME_LIMIT_SECS EXPERIMENT_DIR DATA_DIR CODE_DIR LOGS_DIR "
        "SUBMISSION_DIR"
    )
    assert set(names.split()) <= set(seen["env"])
    assert seen["env"]["TASK_TYPE"] == "classification"
    assert seen["env"]["TIME_LIMIT_SECS"] == "30"
    assert seen["config"]["task"]["id"] == "small"
    assert seen["config"]["submission"]["target"] == "target"


def test_the_checker_in_the_agents_world_says_what_is_wrong(runner, task, agent):
    source = (
        "import os, subprocess\n"
        "def check(text):\n"
        "    open(os.environ['SUBMISSION_DIR'] + '/submission.csv', 'w').write(text)\n"
        "    done = subprocess.run([os.environ['HOME'] + '/validate_submission.sh'],\n"
        "                          capture_output=True, text=True)\n"
        "    print(done.returncode, done.stdout, done.stderr)\n"
        "check('id,target\\n1,2\\n')\n"
        "check(open(os.environ['DATA_DIR'] + '/sample_submission.csv').read())\n"
    )
    trial = runner.run_task(task, command(agent(source)), timeout=30)
    log = trial.workspace.log_file.read_text()
    assert "4 E07" in log
    assert "0 valid" in log
    assert trial.evaluation["submission"]["valid"]


def test_events_tell_the_hops_in_their_order(runner, task, agent):
    heard = []
    runner.observer = lambda event, fields: heard.append(event)
    trial = runner.run_task(task, command(agent()), timeout=30)
    hops = ["created", "prepared", "started", "ended", "collected", "graded", "recorded"]
    assert heard == hops
    lines = (trial.workspace.root / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == hops


def test_reports_and_outputs_are_copied_to_an_output_dir(tmp_path, task, agent):
    runner = TaskRunner(work_dir=tmp_path / "w", output_dir=tmp_path / "o")
    trial = runner.run_task(task, command(agent()), timeout=30)
    copied = tmp_path / "o" / trial.workspace.root.name
    assert (copied / "report.json").read_bytes() == trial.report_file.read_bytes()
    assert (copied / "outputs" / "submission" / "submission.csv").is_file()


def test_files_of_a_data_dir_reach_the_agent_but_replace_nothing(tmp_path, task, agent):
    own = tmp_path / "data" / "small"
    own.mkdir(parents=True)
    (own / "hints.txt").write_text("column f1 matters")
    runner = TaskRunner(work_dir=tmp_path / "w", data_dir=tmp_path / "data")
    source = "import os; print(open(os.environ['DATA_DIR'] + '/hints.txt').read())"
    trial = runner.run_task(task, command(agent(source)), timeout=30)
    assert "column f1 matters" in trial.workspace.log_file.read_text()
    (own / "test.csv").write_text("mine")
    with pytest.raises(InvalidInput, match=r"test\.csv"):
        runner.run_task(task, command(agent()), timeout=30)


def test_the_registry_finds_tasks_by_id_and_the_experiment_agent_is_the_default(runner):
    with pytest.raises(UnknownName, match="did you mean 'regression_basic'"):
        runner.run_task("regresion_basic")
    trial = runner.run_task("regression_basic", timeout=90)
    assert trial.evaluation["success"]
    assert trial.evaluation["criteria_met"] == {"min_r2": True}
    mark = trial.evaluation["scores"]["r2"]
    assert mark["floor"] < mark["score"] < mark["ceiling"] + 3 * mark["se"]


def test_results_made_elsewhere_on_practice_data_are_graded(runner, task, tmp_path):
    from tasks import datasets

    ready = prepare(task, Seed.practice("small"))
    folder = tmp_path / "data"
    folder.mkdir()
    datasets.write_public(task, ready.instance, folder)
    results = tmp_path / "results"
    results.mkdir()
    (folder / "sample_submission.csv").rename(results / "predictions.csv")
    evaluation = runner.evaluate_task_results(task, results)
    assert evaluation["submission"]["valid"]
    assert evaluation["sealed"] is False
    assert evaluation["outcome"] is None


# --- the four endings ---------------------------------------------------------------------------


def test_a_failing_agent_is_a_graded_report_and_no_exception(runner, task, agent):
    trial = runner.run_task(task, command(agent("import sys; sys.exit(3)")), timeout=30)
    assert (trial.outcome.reason, trial.outcome.exit_code) == ("agent error", 3)
    assert trial.evaluation["success"] is False
    assert trial.evaluation["overall_score"] == 0
    assert trial.evaluation["submission"]["problems"][0].startswith("E01")


def test_what_a_failing_agent_left_is_graded_all_the_same(runner, task, agent):
    trial = runner.run_task(task, command(agent(COPY_SAMPLE + "raise SystemExit(1)")), timeout=30)
    assert trial.outcome.reason == "agent error"
    assert trial.evaluation["submission"]["valid"]


@pytest.mark.parametrize("source", [COPY_SAMPLE, COPY_SAMPLE + "raise SystemExit(1)", "1 / 0", ""])
def test_a_trial_tells_the_same_of_itself_as_its_report_on_disk(runner, task, agent, source):
    trial = runner.run_task(task, command(agent(source)), timeout=30)
    assert row_of(trial.report) == read_attempt(trial.workspace.root)
    assert trial.report.keys() == json.loads(trial.report_file.read_text()).keys()


def test_an_invalid_submission_is_told_apart(runner, task, agent):
    source = "import os; open(os.environ['SUBMISSION_DIR'] + '/submission.csv','w').write('x')"
    trial = runner.run_task(task, command(agent(source)), timeout=30)
    assert trial.outcome.reason == "finished"
    assert trial.evaluation["submission"]["valid"] is False


def test_a_grader_that_fails_makes_the_trial_void_and_not_zero(tmp_path, task, agent):
    class Broken(TaskValidator):
        def _evaluate_classification(self, task, results_dir):
            return 1 / 0

    runner = TaskRunner(tmp_path / "runs", validator=Broken())
    trial = runner.run_task(task, command(agent()), timeout=30)
    assert trial.evaluation is None
    assert "ZeroDivisionError" in trial.grader_error
    report = json.loads(trial.report_file.read_text())
    assert report["evaluation"] is None
    assert report["outcome"]["reason"] == "finished"


def test_a_command_that_cannot_start_is_reported_as_never_started(runner, task):
    trial = runner.run_task(task, ["/no/such/program"], timeout=30)
    assert trial.outcome.reason == "never started"
    assert "/no/such/program" in trial.outcome.detail


def test_an_empty_command_and_a_missing_runtime_are_refused_before_anything_starts(
    runner, task, tmp_path, monkeypatch
):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-daemon.sock")
    with pytest.raises(UsageError, match="empty"):
        runner.run_task(task, [])
    with pytest.raises(MissingPart, match="--local"):
        TaskRunner(tmp_path, runtime="docker")
    with pytest.raises(UnknownName, match="process"):
        TaskRunner(tmp_path, runtime="proces")
    assert not (tmp_path / "runs").exists()


# --- what an agent says and leaves --------------------------------------------------------------


def test_what_an_agent_claims_is_shown_and_never_a_score(runner, task, agent):
    source = COPY_SAMPLE + (
        "import json\n"
        "json.dump({'accuracy': 0.999, 'overall_score': 1.0, 'success': True},\n"
        "          open(os.environ['EXPERIMENT_DIR'] + '/results/metrics.json', 'w'))\n"
    )
    trial = runner.run_task(task, command(agent(source)), timeout=30)
    assert trial.evaluation["claimed"]["accuracy"] == 0.999
    assert trial.evaluation["scores"]["accuracy"]["score"] < 0.9
    assert trial.evaluation["overall_score"] < 0.5


def test_outputs_are_copied_without_following_links(runner, task, agent):
    source = (
        "import os\n"
        "s = os.environ['SUBMISSION_DIR']\n"
        "os.symlink('/etc/passwd', s + '/submission.csv')\n"
        "os.mkfifo(s + '/pipe')\n"
    )
    trial = runner.run_task(task, command(agent(source)), timeout=30)
    assert not list((trial.workspace.outputs / "submission").iterdir())
    problem = trial.evaluation["submission"]["problems"][0]
    assert problem.startswith("E01")
    assert "link" in problem
    collected = json.loads(trial.report_file.read_text())["collected"]
    assert len(collected["refused"]) == 2


def test_a_forged_report_is_replaced_by_ours(runner, task, agent):
    source = (
        "import os\n"
        "root = os.environ['HOME'] + '/..'\n"
        "open(root + '/report.json', 'w').write('{\"evaluation\": {\"success\": true}}')\n"
        "os.makedirs(root + '/outputs/submission')\n"
        "os.makedirs(root + '/private')\n"
    )
    trial = runner.run_task(task, command(agent(source)), timeout=30)
    report = json.loads(trial.report_file.read_text())
    assert report["evaluation"]["success"] is False
    assert report["trial"]["task"]["id"] == "small"
    assert sorted(report["tampered"]) == ["outputs", "private", "report.json"]


def test_an_agent_that_tampers_with_its_harness_has_no_success(runner, task, agent):
    plain = runner.run_task(task, command(agent()), timeout=30, seed=Seed.public(1))
    assert plain.evaluation["success"]
    source = COPY_SAMPLE + "open(os.environ['HOME'] + '/../report.json', 'w').write('x')\n"
    trial = runner.run_task(task, command(agent(source)), timeout=30, seed=Seed.public(1))
    assert trial.evaluation["success"] is False
    assert "report.json" in trial.evaluation["integrity"]["findings"][0]


def test_forged_records_and_links_in_their_place_are_moved_aside(runner, task, agent, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    source = (
        "import os, sys\n"
        "root = os.environ['HOME'] + '/..'\n"
        "open(root + '/trial.json', 'w').write('{}')\n"
        "os.remove(root + '/events.jsonl')\n"
        "for name in ('events.jsonl', 'report.json', 'private', 'outputs'):\n"
        f"    os.symlink('{precious}', root + '/' + name)\n"
        "os.chmod(root, 0o500)\n"
    )
    trial = runner.run_task(task, command(agent(source)), timeout=30)
    assert precious.read_text() == "precious"
    report = json.loads(trial.report_file.read_text())
    assert len(report["tampered"]) == 5
    assert json.loads(trial.workspace.trial_file.read_text())["task"]["id"] == "small"
    events = (trial.workspace.root / "events.jsonl").read_text().splitlines()
    assert json.loads(events[0])["event"] == "created"
    assert len(events) == 7


def test_an_agent_that_deletes_the_whole_trial_is_reported_all_the_same(runner, task, agent):
    source = "import os, shutil; shutil.rmtree(os.environ['HOME'] + '/..', ignore_errors=True)"
    trial = runner.run_task(task, command(agent(source)), timeout=30)
    report = json.loads(trial.report_file.read_text())
    assert report["evaluation"]["success"] is False
    assert trial.workspace.log_file.is_file()


def test_an_agent_that_edits_its_public_files_is_graded_by_the_true_ones(runner, task, agent):
    source = (
        "import os\n"
        "d = os.environ['DATA_DIR']\n"
        "rows = open(d + '/sample_submission.csv').read().splitlines()[:2]\n"
        "for folder in (d, os.environ['SUBMISSION_DIR']):\n"
        "    name = 'sample_submission' if folder == d else 'submission'\n"
        "    open(folder + f'/{name}.csv', 'w').write('\\n'.join(rows) + '\\n')\n"
        "open(d + '/test.csv', 'w').write('id\\n')\n"
    )
    trial = runner.run_task(task, command(agent(source)), timeout=30)
    assert trial.evaluation["submission"]["problems"][0].startswith("E07")


def test_the_hashes_of_public_files_are_those_before_the_agent_could_touch_them(
    runner, task, agent
):
    ready = prepare(task)
    source = "import os; open(os.environ['DATA_DIR'] + '/train.csv', 'a').write('x')"
    trial = runner.run_task(task, command(agent(source)), timeout=30, prepared=ready)
    hashes = json.loads(trial.report_file.read_text())["hashes"]["public"]
    now = hashlib.sha256((trial.workspace.public / "train.csv").read_bytes()).hexdigest()
    assert hashes["train.csv"] != now


def test_a_place_that_cannot_be_written_is_named(task, agent):
    with pytest.raises(InfrastructureError, match="/proc/runs"):
        TaskRunner("/proc/runs").run_task(task, command(agent()))


@pytest.mark.parametrize(
    "refusal",
    [
        (InfrastructureError("the daemon says no"), "infrastructure"),
        (MissingPart("no engine"), "a part is missing"),
    ],
)
def test_a_trial_that_the_machine_refuses_is_left_out_with_its_reason(
    runner, task, agent, monkeypatch, refusal
):
    error, reason = refusal

    def refuse(*_args, **_options):
        raise error

    monkeypatch.setattr(type(runner.runtime), "run", refuse)
    with pytest.raises(type(error), match=str(error)):
        runner.run_task(task, command(agent()))
    (row,) = leaderboard(read([runner.work_dir]).records).rows
    assert (row.n, row.unfinished, dict(row.infrastructure)) == (0, 0, {reason: 1})


def test_limits_on_output_are_kept(tmp_path, task, agent):
    runner = TaskRunner(tmp_path / "runs", limits=Limits(log_bytes=1000, output_bytes=10_000))
    source = (
        "import os\n"
        "print('x' * 50_000)\n"
        "open(os.environ['LOGS_DIR'] + '/big', 'wb').write(bytes(100_000))\n"
    )
    trial = runner.run_task(task, command(agent(source)), timeout=30)
    assert trial.workspace.log_file.stat().st_size < 2000
    assert trial.outcome.log_bytes >= 50_000
    assert not (trial.workspace.outputs / "logs" / "big").exists()


def test_the_shipped_tasks_are_known_to_the_package():
    assert registry.get_task("classification_basic").evaluation_criteria == {"min_accuracy": 0.7}


def test_an_agent_that_kills_its_supervisor_has_no_success(runner, task, agent):
    source = COPY_SAMPLE + "import signal\nos.kill(os.getppid(), signal.SIGKILL)\n"
    trial = runner.run_task(task, command(agent(source)), timeout=30, seed=Seed.public(1))
    assert trial.evaluation["submission"]["valid"]
    assert trial.outcome.reason == "agent error"
    assert trial.evaluation["success"] is False
    assert trial.evaluation["integrity"]["findings"]


def test_what_an_agent_logs_is_shown_as_its_claim_and_never_scored(runner, task, agent):
    source = (
        COPY_SAMPLE
        + """
with open(os.environ["LOGS_DIR"] + "/metrics.jsonl", "w") as file:
    file.write('{"step": 0, "accuracy": 0.5}\\n{"step": 1, "accuracy": 1.0}\\n')
"""
    )
    trial = runner.run_task(task, command(agent(source)), timeout=30)
    report = json.loads(trial.report_file.read_text())
    assert report["logged"]["metrics"] == {"accuracy": {"last": 1.0, "step": 1, "points": 2}}
    assert report["evaluation"]["scores"]["accuracy"]["score"] < 0.9
    events = [json.loads(line) for line in trial.workspace.events_file.read_text().splitlines()]
    (metrics,) = [event for event in events if event["event"] == "metrics"]
    assert metrics["claimed"] is True
    assert metrics["points"] == [["accuracy", 0.5, 0, 0.0], ["accuracy", 1.0, 1, 0.0]]
