"""A task as an environment of Gymnasium, in a sandbox of its own."""

import os
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tasks import Task
from tasks.errors import MissingPart, UnknownName, UsageError
from tasks.gym import ID, TaskEnv, run, submit, write
from tasks.runtimes.inside import warm
from tasks.runtimes.named import runtime_named

SMALL = Task.from_dict(
    {
        "id": "small",
        "name": "Small",
        "task_type": "classification",
        "data_requirements": {"dataset_type": "classification", "n_samples": 300, "n_test": 300},
        "evaluation_criteria": {},
    },
    source="test",
)
LEARN = """\
import os
import numpy as np
import pandas as pd
train, test = (pd.read_csv(f"/home/data/{name}.csv") for name in ("train", "test"))
names = [name for name in test if name != "id"]
centres = train.groupby("target")[names].mean()
far = ((test[names].to_numpy()[:, None] - centres.to_numpy()) ** 2).sum(axis=2)
said = pd.DataFrame({"id": test["id"], "target": centres.index[far.argmin(axis=1)]})
said.to_csv("/home/submission/submission.csv", index=False)
"""
SAMPLE = (
    "import shutil\n"
    "shutil.copy('/home/data/sample_submission.csv', '/home/submission/submission.csv')\n"
)


@pytest.fixture(scope="module", autouse=True)
def _walls():
    try:
        runtime_named("bubblewrap")
    except MissingPart as error:
        if "bubblewrap" in os.environ.get("AEXP_REQUIRE", ""):
            raise
        pytest.skip(str(error))


@pytest.fixture
def make():
    """Make environments; they are closed in the end."""
    made = []

    def call(**options):
        made.append(TaskEnv(SMALL, **{"instances": 2, "max_steps": 8, "preload": (), **options}))
        return made[-1]

    yield call
    for env in made:
        env.close()


@pytest.fixture
def env(make):
    env = make()
    env.reset(seed=1)
    return env


def said(env, code):
    return env.step(run(code))[0]["output"]


def test_gymnasiums_own_checker_finds_nothing(make):
    check_env(make(max_steps=200), skip_render_check=True)


def test_gymnasium_makes_it_by_its_name():
    made = gymnasium.make(ID, task=SMALL, preload=())
    try:
        seen, _ = made.reset(seed=1)
        assert "submission.csv" in seen["prompt"]
    finally:
        made.close()


def test_variables_stay_from_cell_to_cell_and_the_last_line_is_shown(env):
    assert said(env, "x = 40\nx + 1") == "41\n"
    assert said(env, "print('a'); x += 2; x") == "a\n42\n"


def test_an_error_is_shown_with_the_line_of_the_cell(env):
    seen, reward, terminated, truncated, _ = env.step(run("print('before')\n1 / 0"))
    assert seen["output"].startswith("before\nTraceback")
    assert 'File "<cell>", line 2' in seen["output"]
    assert (seen["failed"], reward, terminated, truncated) == (1, 0.0, False, False)


def test_the_end_of_an_episode_is_its_score(make):
    env = make()
    env.reset(seed=1)
    env.step(run(LEARN))
    _, reward, terminated, truncated, info = env.step(submit())
    assert (terminated, truncated) == (True, False)
    assert 0.1 < reward <= 1
    assert reward == pytest.approx(info["skill"])
    assert info["valid"]
    assert env.evaluation.sealed is False
    with pytest.raises(UsageError, match=r"call reset\(\)"):
        env.step(submit())


def test_gain_rewards_each_step_that_makes_the_submission_better(make):
    env = make(reward="gain")
    env.reset(seed=1)
    rewards = [env.step(run(code))[1] for code in (SAMPLE, LEARN, LEARN, SAMPLE)]
    assert rewards[0] == pytest.approx(0, abs=0.05)
    assert rewards[1] > 0.1
    assert rewards[2:] == [0.0, 0.0]
    assert sum(rewards) == pytest.approx(env._best)


def test_steps_and_time_cut_an_episode_off_and_what_is_there_is_graded(make):
    env = make(max_steps=1)
    env.reset(seed=1)
    seen, reward, terminated, truncated, _ = env.step(run(LEARN))
    assert (terminated, truncated, seen["steps_left"]) == (False, True, 0)
    assert reward > 0.1
    slow = make(time_limit=0.5)
    slow.reset(seed=1)
    seen, _, _, truncated, _ = slow.step(run("import time; time.sleep(30)"))
    assert truncated
    assert "stopped: its time was over" in seen["output"]


def test_a_cell_is_interrupted_and_one_that_does_not_end_loses_its_variables(make):
    env = make(cell_seconds=2)
    env.reset(seed=1)
    said(env, "x = 1")
    assert "KeyboardInterrupt" in said(env, "while True: pass")
    assert said(env, "x") == "1\n"
    stubborn = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    assert "the interpreter is gone" in said(env, stubborn)
    assert "NameError" in said(env, "x")


def test_files_are_written_and_a_file_of_any_name_is_handed_in(env):
    assert env.step(write("deep/mine.py", "def f():\n    return 'ü'\n"))[0]["output"] == "written"
    assert said(env, "import sys; sys.path.insert(0, 'deep'); from mine import f; f()") == "'ü'\n"
    seen, *_ = env.step(write("/etc/mine", "no"))
    assert seen["failed"] == 1
    assert "not written" in seen["output"]
    _, _, terminated, _, info = env.step(submit("/home/data/sample_submission.csv"))
    assert (terminated, info["valid"]) == (True, True)


def test_handing_in_what_is_not_there_does_not_end_the_episode(env):
    seen, _, terminated, truncated, _ = env.step(submit("nothing.csv"))
    assert (seen["failed"], terminated, truncated) == (1, False, False)


def test_an_episode_leaves_nothing_to_the_next(make):
    env = make()
    env.reset(seed=1)
    leave = (
        "import subprocess, sys\n"
        "open('/tmp/note', 'w').write('x'); open('/dev/shm/note', 'w').write('x')\n"
        "open('/home/submission/submission.csv', 'w').write('x'); note = 1\n"
        "one = subprocess.Popen([sys.executable, '-c', 'import os, time; os.setsid(); "
        "time.sleep(1000)'])\n"
    )
    assert said(env, leave) == ""
    env.reset()
    look = (
        "import os\n"
        "cells = [p for p in os.listdir('/proc') if p.isdigit()]\n"
        "lines = [open(f'/proc/{p}/cmdline').read() for p in cells]\n"
        "print(os.path.exists('/tmp/note'), os.path.exists('/dev/shm/note'), 'note' in globals(),\n"
        "      os.listdir('/home/submission'), sum('sleep' in line for line in lines))"
    )
    assert said(env, look) == "False False False [] 0\n"


def test_the_same_seed_brings_the_same_instances_and_others_are_others(make):
    env = make(instances=None)
    prompts, data = [], []
    for seed in (3, 3, 4):
        env.reset(seed=seed)
        prompts.append(said(env, "open('/home/data/test.csv').read()[:300]"))
        env.reset()
        data.append(said(env, "open('/home/data/test.csv').read()[:300]"))
    assert prompts[0] == prompts[1] != prompts[2]
    assert data[0] == data[1] != data[2]
    assert prompts[0] != data[0]


def test_the_box_keeps_the_network_the_answers_and_the_host_out(env):
    look = (
        "import os, socket\n"
        "try: socket.create_connection(('1.1.1.1', 53), 1)\n"
        "except OSError as error: print(type(error).__name__)\n"
        "print(sorted(os.listdir('/home')), os.path.exists('/etc/shadow'), os.getuid())"
    )
    shown = said(env, look)
    assert shown.startswith(("OSError", "ConnectionRefused")), shown
    assert "private" not in shown
    assert "False 1000" in shown


def test_a_fork_cannot_reach_into_what_keeps_it(env):
    look = (
        "import os\n"
        "try: os.listdir(f'/proc/{os.getppid()}/fd'); print('reached')\n"
        "except PermissionError: print('kept out')"
    )
    assert said(env, look) == "kept out\n"


def test_an_agent_that_ends_its_box_ends_its_episode_and_the_next_one_begins_anew(env):
    seen, _, terminated, truncated, _ = env.step(run("import os; os.kill(os.getppid(), 9)"))
    assert (terminated, truncated) == (False, True)
    assert "the sandbox has ended" in seen["output"]
    env.reset()
    assert said(env, "1 + 1") == "2\n"


def test_a_cell_that_prints_without_end_is_cut_and_costs_us_nothing(env):
    shown = said(env, "print('a' * 10_000_000); print('end')")
    assert len(shown) < 5000
    assert shown.rstrip().endswith("end")
    assert "bytes left out" in shown


def test_a_cell_that_speaks_for_its_keeper_is_believed_no_further_than_itself(env):
    forged = (
        "import os, stat\n"
        "for fd in range(3, 64):\n"
        "    try:\n"
        "        if stat.S_ISSOCK(os.fstat(fd).st_mode): os.write(fd, b'[1, 2]\\n' * 3)\n"
        "    except OSError: pass\n"
    )
    env.step(run(forged))
    env.reset()
    assert said(env, "1 + 1") == "2\n"


def test_a_snapshot_is_gone_back_to_and_a_fork_goes_its_own_way(make, tmp_path):
    env = make()
    env.reset(seed=1)
    said(env, "open('note', 'w').write('one'); import os; os.symlink('/etc', 'link')")
    kept = env.snapshot(tmp_path / "snapshot")
    assert (tmp_path / "snapshot" / "agent" / "link").is_symlink()
    said(env, "open('note', 'w').write('two')")
    other = env.fork(tmp_path / "fork")
    try:
        seen, _ = env.restore(kept)
        assert seen["steps_left"] == 7
        assert said(env, "open('note').read()") == "'one'\n"
        assert said(other, "open('note').read()") == "'two'\n"
        said(other, "open('note', 'w').write('three')")
        assert said(env, "open('note').read()") == "'one'\n"
    finally:
        other.close()


def test_what_runs_beside_is_stopped_while_a_snapshot_is_taken_and_goes_on(env, tmp_path):
    beside = (
        "import threading, time\n"
        "n = 0\n"
        "def count():\n"
        "    global n\n"
        "    while True:\n"
        "        n += 1\n"
        "        time.sleep(0.01)\n"
        "threading.Thread(target=count, daemon=True).start()"
    )
    said(env, beside)
    env.snapshot(tmp_path / "snapshot")
    first = int(said(env, "n"))
    said(env, "time.sleep(0.3)")
    assert int(said(env, "n")) > first


def test_several_run_side_by_side_by_gymnasiums_own_vectors(make):
    many = gymnasium.vector.SyncVectorEnv([lambda: make(max_steps=3)] * 3)
    many.reset(seed=1)
    codes = tuple(f"print({number})" for number in range(3))
    actions = {
        "kind": np.zeros(3, dtype=np.int64), "path": ("", "", ""), "text": codes,
    }  # fmt: skip
    seen, rewards, terminated, truncated, _ = many.step(actions)
    assert seen["output"] == ("0\n", "1\n", "2\n")
    assert rewards.shape == terminated.shape == truncated.shape == (3,)
    many.close()


def test_what_cannot_be_is_refused():
    with pytest.raises(UnknownName):
        TaskEnv("no_such_task")
    with pytest.raises(UsageError, match="reward 'skill'"):
        TaskEnv(SMALL, reward="skill")
    without = TaskEnv(SMALL, runtime="process")
    with pytest.raises(MissingPart, match="an environment needs walls"):
        without.reset(seed=1)


def test_the_keeper_of_cells_refuses_to_run_outside_of_a_box():
    """It would end every process of this user."""
    done = subprocess.run(
        [sys.executable, "-I", warm.__file__, "/nowhere"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "in a box of its own" in done.stderr


def test_without_gymnasium_the_import_says_what_brings_it(process):
    done = process("-c", "import sys; sys.modules['gymnasium'] = None; import tasks.gym")
    assert done.status == 1
    assert "[gym]'" in done.err
