"""AIDE, mini-swe-agent and OpenHands from PyPI, unchanged, behind walls, with a scripted model.

Their packages are large: `aexp agents setup` installs them, and `aexp image build` makes images of
them. A test runs where that was done, and must run where AEXP_REQUIRE names the agent, as `aide` or
`aide-docker`.
"""

import json
import os

import pytest

from tasks import TaskRunner, agents
from tasks.errors import MissingPart
from tasks.gateway import Access
from tasks.runtimes.named import fitting, runtime_named
from tests.scripted import Script
from tests.upstream import FakeUpstream

REQUIRED = os.environ.get("AEXP_REQUIRE", "").split(",")
FORMS = {"aide/dev": "aide", "mini-swe-agent": "mini-swe-agent", "opendevin": "openhands"}
CALLS = {"aide/dev": 6, "mini-swe-agent": 4, "opendevin": 4}
STEPS = {"aide/dev": 3, "mini-swe-agent": 4, "opendevin": 4}
CODE = {"aide/dev": "best_solution.py", "mini-swe-agent": "solution.py", "opendevin": "solution.py"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(params=["bubblewrap", "docker"])
def runtime(request):
    return request.param


@pytest.fixture(params=sorted(FORMS))
def agent(request, runtime):
    name = request.param
    found = agents.load(name)
    short = name.partition("/")[0]
    try:
        fitting(runtime_named(runtime), found)
    except MissingPart as error:
        if f"{short}-{runtime}" in REQUIRED or (runtime == "bubblewrap" and short in REQUIRED):
            raise
        pytest.skip(str(error))
    if runtime == "bubblewrap" and not (found.environment / "ready").is_file():
        if short in REQUIRED:
            pytest.fail(f"aexp agents setup {name} was not run")
        pytest.skip(f"aexp agents setup {name}")
    return found


def run(tmp_path, agent, access, runtime):
    runner = TaskRunner(tmp_path / "runs", runtime=runtime, access=access)
    return runner.run_task("classification_basic", agent, 500, seed=1)


def test_a_real_agent_solves_a_task_with_no_network_but_the_door(tmp_path, agent, runtime):
    prices = tmp_path / "prices.json"
    entry = {"input_cost_per_token": 0.001, "output_cost_per_token": 0.01}
    prices.write_text(json.dumps({"local": entry}))
    with FakeUpstream(Script().answer) as upstream:
        grant = Access(urls={"openai": upstream.url}, prices=prices, record=tmp_path / "cassette")
        trial = run(tmp_path, agent, grant, runtime)
    log = trial.workspace.log_file.read_text(errors="replace")[-2000:]
    assert trial.outcome.reason == "finished", log
    assert trial.evaluation.submission["valid"], log
    mark = trial.evaluation.scores["accuracy"]
    assert mark["score"] > mark["floor"] + 0.2
    report = json.loads(trial.report_file.read_text())
    assert report["isolation"] == "isolated"
    calls = CALLS[agent.id]
    assert (report["model"]["requests"], report["model"]["input_tokens"]) == (calls, 100 * calls)
    assert report["model"]["cost_usd"] == pytest.approx(calls * (0.1 + 0.2))
    steps = report["trajectory"]
    assert (steps["form"], steps["steps"]) == (FORMS[agent.id], STEPS[agent.id])
    assert steps["failed_steps"] == 1
    assert (trial.workspace.outputs / "code" / CODE[agent.id]).is_file()
    assert len(trial.workspace.trajectory_file.read_text().splitlines()) == STEPS[agent.id]
