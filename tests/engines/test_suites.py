"""A suite on Dask, Ray and Slurm: the scores of the pool, and a killed worker is made up for."""

import json
import threading
import time
from types import SimpleNamespace

import psutil
import pytest

from tasks.executors import Needs, executor_named
from tasks.store.rebuild import opened
from tasks.suite import SuiteFile, SuiteRun, resolve
from tasks.suite.plan import begin
from tests.contracts.test_trackers import needs
from tests.engines.one_node_slurm import slurm_running

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(400)]

ENGINES = {"dask": "distributed", "ray": "ray", "slurm": "submitit"}
WORKER = {"dask": "multiprocessing", "ray": "ray::", "slurm": "submitit"}
"""What the command line of a worker process holds."""
PAUSE = {"dask": "7.25", "ray": "7.26", "slurm": "7.27"}
"""How long the agent sleeps, in s: each engine's own, as its test may run beside another's."""
COPY = 'cp "$DATA_DIR/sample_submission.csv" "$SUBMISSION_DIR/submission.csv"'


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    needs("slurm", "submitit")
    with slurm_running(tmp_path_factory.mktemp("slurm")) as variables:
        yield variables


@pytest.fixture(params=ENGINES)
def engine(request, monkeypatch, tmp_path):
    name = request.param
    needs(name, ENGINES[name])
    if name == "slurm":
        for variable, value in request.getfixturevalue("slurm").items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setenv("AEXP_SLURM_DIR", str(tmp_path / "jobs"))
    return name


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Run a suite of one agent with an executor; every suite gets the same key."""
    monkeypatch.setenv("AEXP_KEYS", str(tmp_path / "keys"))
    # Not the module for all: suites are named by it, and two of one second would be one.
    monkeypatch.setattr(
        "tasks.suite.keys.secrets", SimpleNamespace(token_bytes=lambda size: b"k" * size)
    )
    definition = {
        "id": "small",
        "name": "Small",
        "task_type": "classification",
        "data_requirements": {"dataset_type": "classification", "n_samples": 60, "n_test": 30},
    }
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "small.json").write_text(json.dumps(definition))

    def run(name, agent, *, repeats=3, meanwhile=None):
        asked = SuiteFile.of(
            {
                "tasks": ["small"],
                "agents": [f"command:sh -c '{agent}'"],
                "repeats": repeats,
                "runtime": "process",
                "tasks_dirs": [str(tmp_path / "tasks")],
                "limits": {"time": 120},
            },
            source="test",
        )
        place = tmp_path / name
        folder = begin(resolve(asked), place, asked)
        room = None if name == "pool" else Needs(cpus=1, time_s=300)
        store = opened(place)
        try:
            made = executor_named(name, workers=2, needs=room)
            if meanwhile is not None:
                threading.Thread(target=meanwhile, daemon=True).start()
            counts = SuiteRun(folder, store, made).run()
        finally:
            store.close()
        found = [json.loads(path.read_text()) for path in folder.root.glob("trials/*/report.json")]
        return counts, sorted(found, key=lambda report: report["trial"]["suite"]["n"]), folder

    return run


def scores(reports):
    return [report["evaluation"]["scores"] for report in reports]


def test_an_engine_gives_the_scores_of_the_pool(engine, work):
    _, expected, _ = work("pool", COPY)
    _, found, _ = work(engine, COPY)
    assert len(found) == 3
    assert scores(found) == scores(expected)
    assert all(report["evaluation"]["submission"]["valid"] for report in found)


def test_a_worker_that_is_killed_in_mid_trial_is_made_up_for(engine, work):
    killed = []
    agents = f"sleep {PAUSE[engine]}"

    def kill():
        agent = appears(agents)
        worker = next(
            parent
            for parent in agent.parents()
            if WORKER[engine] in " ".join([*parent.cmdline(), parent.name()])
        )
        killed.append(agent)
        worker.kill()

    _, found, folder = work(engine, f"{agents}; {COPY}", repeats=1, meanwhile=kill)
    assert killed
    assert len(found) == 1
    assert found[0]["outcome"]["reason"] == "finished"
    assert found[0]["trial"]["suite"]["attempt"] == 2
    events = [path.read_text() for path in folder.root.glob("trials/*/events.jsonl")]
    assert len(events) == 2
    assert any('"infrastructure"' in text for text in events)
    assert not running(agents)


def running(words):
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if " ".join(process.info["cmdline"] or ()) == words
    ]


def appears(words):
    until = time.monotonic() + 200
    while not (found := running(words)):
        assert time.monotonic() < until
        time.sleep(0.1)
    return found[0]
