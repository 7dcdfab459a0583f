"""`aexp mcp` with the official package, on a desk and behind walls."""

import asyncio
import json
import os
import sys

import pytest

from tasks import Task, TaskRunner
from tasks.feedback import Feedback
from tests.e2e.test_feedback import SMALL

AGENT = """\
import asyncio, json, os, sys
from mcp import Client, StdioServerParameters

async def main():
    words = ["-m", "tasks.cli", "mcp"]
    server = StdioServerParameters(command=sys.executable, args=words, env=dict(os.environ))
    async with Client(server) as client:
        async def call(name, **arguments):
            answer = await client.call_tool(name, arguments)
            print("SAID", name, json.dumps(answer.structured_content), flush=True)
        print("TOOLS", *sorted(tool.name for tool in (await client.list_tools()).tools))
        await call("get_task")
        await call("budget")
        sample = os.environ["DATA_DIR"] + "/sample_submission.csv"
        await call("validate", file=sample)
        await call("feedback", file=sample)
        await call("submit", file=sample)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _needed():
    if "mcp" not in os.environ.get("AEXP_REQUIRE", ""):
        pytest.importorskip("mcp")


def test_an_agent_behind_walls_works_by_tools_alone(tmp_path):
    script = tmp_path / "agent.py"
    script.write_text(AGENT)
    runner = TaskRunner(tmp_path / "runs", feedback=Feedback(mode="validation", queries=2))
    task = Task.from_dict(SMALL, source="test")
    trial = runner.run_task(task, [sys.executable, str(script)], timeout=120, seed=1)
    log = trial.workspace.log_file.read_text()
    assert trial.outcome.reason == "finished", log
    said = dict(line.split(maxsplit=2)[1:] for line in log.splitlines() if line.startswith("SAID"))
    assert "TOOLS budget feedback get_task list_tasks submit validate" in log
    assert json.loads(said["get_task"])["id"] == "small"
    assert json.loads(said["budget"])["feedback"]["left"] == 2
    assert json.loads(said["validate"])["valid"]
    assert json.loads(said["feedback"])["left"] == 1
    assert json.loads(said["submit"])["submitted"]
    report = json.loads(trial.report_file.read_text())
    assert report["marked"] == "submission/submission.csv"
    assert len(report["feedback"]["queries"]) == 1
    assert trial.evaluation.submission["valid"]


def test_on_a_desk_an_error_is_a_line_for_the_model(tmp_path):
    from mcp import Client

    from tasks.mcp_server import Bench, server

    async def ask():
        async with Client(server(Bench(tmp_path, {}))) as client:
            return await client.call_tool("get_task", {"task_id": "clasification_basic"})

    answer = asyncio.run(ask())
    assert answer.is_error
    assert "did you mean 'classification_basic'?" in answer.content[0].text
