"""What a suite asks for, its key, and how a machine is divided among its trials."""

from importlib.util import find_spec

import pytest

from tasks.errors import InvalidInput, UnknownName, UsageError
from tasks.outcome import Limits
from tasks.suite import SuiteFile, keys, load_suite, resolve
from tasks.suite.digests import GRADER, agent_digest, grader_digest, image_of, task_digest
from tasks.suite.places import Machine, _gpus, places
from tasks.suite.run import backoff

MACHINE = Machine(cores=(0, 1, 2, 5), memory_bytes=8 * 2**30, gpus=("0", "1"))


@pytest.fixture(autouse=True)
def _own_keys(tmp_path, monkeypatch):
    monkeypatch.setenv("AEXP_KEYS", str(tmp_path / "keys"))


def asked(**fields):
    base = {"tasks": ["classification_basic"], "agents": ["command:true"]}
    return SuiteFile.of({**base, **fields}, source="test")


# --- what is asked -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), (45, 45), ("1.5m", 90), ("2h", 7200), ("1 d", 86400)]
)
def test_times_are_written_with_or_without_a_unit(text, seconds):
    assert asked(limits={"time": text}).limits.time == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("512m", 512 * 2**20), ("4g", 2**32), ("1GB", 2**30), ("2KiB", 2048)]
)
def test_sizes_are_written_as_docker_has_them(text, size):
    assert asked(limits={"memory": text}).limits.memory == size


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"limits": {"time": "soon"}}, "limits.time"),
        ({"limits": {"time": -1}}, "limits.time"),
        ({"limits": {"speed": 1}}, "limits.speed"),
        ({"repeats": 0}, "repeats"),
        ({"name": "../up"}, "name"),
        ({"requires": ["fame"]}, "fame"),
        ({"tasks": "classification_basic"}, "tasks"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(fields, said):
    with pytest.raises((InvalidInput, UsageError), match=said):
        asked(**fields)


def test_feedback_is_part_of_the_plan_and_practice_is_no_suite():
    plan = resolve(asked(feedback={"mode": "validation", "queries": 5}))
    assert plan.resolved()["feedback"] == {"mode": "validation", "queries": 5}
    assert plan.feedback.chosen().queries == 5
    assert "feedback" not in resolve(asked()).resolved()
    with pytest.raises(InvalidInput, match=r"feedback\.mode"):
        asked(feedback={"mode": "score"})


@pytest.mark.parametrize("text", ["[1]", "a: [", "\0", "'"], ids=["list", "torn", "nul", "quote"])
def test_a_file_that_is_no_suite_is_refused(tmp_path, text):
    file = tmp_path / "suite.yaml"
    file.write_text(text)
    with pytest.raises(InvalidInput, match=r"suite\.yaml"):
        load_suite(file)


def test_folders_in_a_file_are_relative_to_it(tmp_path):
    file = tmp_path / "suite.yaml"
    file.write_text("tasks_dirs: [mine]\nagents_dir: bots\n")
    found = load_suite(file)
    assert found.tasks_dirs == (str(tmp_path / "mine"),)
    assert found.agents_dir == str(tmp_path / "bots")


# --- what it resolves to -----------------------------------------------------------------------


def test_selectors_find_tasks_by_type_and_difficulty_each_once():
    plan = resolve(asked(tasks=["type:regression+difficulty:easy", "regression_basic"]))
    ids = [task.id for task in plan.tasks]
    assert "regression_basic" in ids
    assert len(ids) == len(set(ids))
    assert {(task.task_type, task.difficulty) for task in plan.tasks} == {("regression", "easy")}


def test_agents_of_one_name_are_told_apart():
    plan = resolve(asked(agents=["command:true", "command:true -x", "mine=command:true"]))
    assert [agent.id for agent in plan.agents] == ["true", "true-2", "mine"]


def test_a_suite_without_agents_or_tasks_says_which_option_gives_them():
    with pytest.raises(UsageError, match="no agents: give --agents"):
        resolve(asked(agents=[]))
    with pytest.raises(UsageError, match="no tasks: give --tasks"):
        resolve(asked(tasks=[]))


@pytest.mark.parametrize("given", ["command:", "command: ", "command:''", "mine=command:"])
def test_an_agent_without_a_command_is_refused_as_a_suite_would_write_it(given):
    with pytest.raises(UsageError, match=r"the command is empty; as in: command:python agent\.py"):
        resolve(asked(agents=[given]))


def test_an_equals_sign_in_a_command_names_nothing():
    (agent,) = resolve(asked(agents=["command:env A=b true"])).agents
    assert agent.command == ("env", "A=b", "true")


def test_all_unknown_names_are_collected():
    with pytest.raises(UnknownName, match=r"nonsense.*nobody.*") as error:
        resolve(asked(tasks=["nonsense"], agents=["nobody"], runtime="moon"))
    assert "no runtime 'moon'" in str(error.value)


def test_a_digest_changes_with_the_files_an_agent_is_made_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "agent.py"
    script.write_text("1")
    before = agent_digest(resolve(asked(agents=["command:python agent.py"])).agents[0])
    script.write_text("2")
    assert agent_digest(resolve(asked(agents=["command:python agent.py"])).agents[0]) != before


def test_a_digest_changes_with_the_definition_of_a_task():
    (task,) = resolve(asked()).tasks
    other = task.from_dict({**task.definition(), "evaluation_criteria": {}}, source="test")
    assert task_digest(task) != task_digest(other)


# --- the key -----------------------------------------------------------------------------------


def test_seeds_differ_by_task_and_repeat_and_never_by_agent():
    key = keys.make("suite")
    seeds = {keys.seed(key, t, r, sealed=True).secret for t in ("a", "b") for r in (0, 1)}
    assert len(seeds) == 4
    assert keys.find("suite", keys.commitment(key)) == key


def test_another_key_of_the_same_name_is_refused():
    keys.make("suite")
    with pytest.raises(UnknownName, match="another key"):
        keys.find("suite", keys.commitment(b"x"))


# --- the machine -------------------------------------------------------------------------------


def test_trials_with_cpus_get_cores_of_their_own():
    found = places(MACHINE, Limits(cpus=2), None)
    assert [place.cores for place in found] == [(0, 1), (2, 5)]
    assert {place.threads for place in found} == {2}
    assert found[0].variables()["OMP_NUM_THREADS"] == "2"


def test_gpus_are_handed_out_exclusively():
    found = places(MACHINE, Limits(gpus="1"), None)
    assert [place.gpus for place in found] == [("0",), ("1",)]
    assert found[1].variables()["CUDA_VISIBLE_DEVICES"] == "1"


@pytest.mark.parametrize(
    ("limits", "workers", "said"),
    [
        (Limits(cpus=2), 3, "this machine's cores would do for 2 trials"),
        (Limits(memory_bytes=3 * 2**30), 4, "this machine's memory would do for 2 trials"),
        (
            Limits(gpus="3"),
            None,
            r"--gpus 3: more than a trial can have here; this machine has 2 GPUs",
        ),
        (Limits(cpus=5), None, "--cpus 5: more than .* this machine has 4 cores"),
        (Limits(memory_bytes=2**40), 1, "--memory 1099511627776: .* this machine has .* bytes"),
    ],
)
def test_more_than_the_machine_has_is_refused(limits, workers, said):
    with pytest.raises(UsageError, match=said):
        places(MACHINE, limits, workers)


def test_without_limits_workers_may_exceed_the_cores():
    found = places(MACHINE, Limits(), 9)
    assert len(found) == 9
    assert {place.cores for place in found} == {()}
    assert len(places(MACHINE, Limits(), None)) == 4


def test_gpus_are_those_this_process_may_see(tmp_path):
    (tmp_path / "0000:01").mkdir()
    assert _gpus({"CUDA_VISIBLE_DEVICES": "3,7"}, tmp_path) == ("3", "7")
    assert _gpus({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == ()
    assert _gpus({}, tmp_path) == ("0",)
    assert _gpus({}, tmp_path / "none") == ()


def test_the_wait_after_faults_doubles_up_to_a_minute():
    assert [backoff(n) for n in (1, 2, 3, 20)] == [1.0, 2.0, 4.0, 60.0]


def test_an_agents_image_is_known_by_its_id_where_it_runs_in_one(tmp_path, monkeypatch):
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\necho sha256:feed\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (agent,) = resolve(asked()).agents
    assert image_of(agent, "process") is None
    assert image_of(agent, "docker") == "sha256:feed"
    assert (tmp_path / "asked").read_text().startswith("image inspect")
    docker.write_text("#!/bin/sh\nexit 1\n")
    assert image_of(agent, "docker") is None


def test_the_grader_is_all_modules_that_grade_and_each_is_there():
    assert all(find_spec(f"tasks.{name}") is not None for name in GRADER)
    assert len(grader_digest()) == 64
