"""Steps of agents, in one form, out of files that may say anything."""

import json
import os

import pytest

from tasks import trajectory
from tasks.trajectory import STEPS, WORDS


@pytest.fixture
def logs(tmp_path):
    """Write a file below the logs; return the logs."""

    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return tmp_path

    return write


def node(name, **given):
    usual = {"plan": "p", "code": "c", "_term_out": ["a", "b"], "exec_time": 0.5, "is_buggy": False}
    return {"id": name, "metric": {"value": 0.7, "maximize": True}, **usual, **given}


def test_aides_journal_is_a_tree_of_solutions(logs):
    nodes = [node("x", is_buggy=True, metric={"value": None}), node("y"), node("z")]
    found = trajectory.read(
        logs("aide/0-exp/journal.json", {"nodes": nodes, "node2parent": {"z": "y"}})
    )
    first, second, third = found.steps
    assert (first.failed, first.metric, first.parent) == (True, None, None)
    assert (second.action, second.thought, second.result, second.seconds) == ("c", "p", "ab", 0.5)
    assert (third.parent, third.metric) == (1, 0.7)
    assert found.summary() == {"form": "aide", "steps": 3, "failed_steps": 1, "last_metric": 0.7}


def test_mini_swe_agents_commands_are_paired_with_how_they_ended(logs):
    def said(command, at):
        actions = [{"command": command, "tool_call_id": "c"}]
        return {"role": "assistant", "content": "t", "extra": {"actions": actions, "timestamp": at}}

    def ended(status, at):
        extra = {"raw_output": "out", "returncode": status, "timestamp": at}
        return {"role": "tool", "content": "{}", "tool_call_id": "c", "extra": extra}

    messages = [{"role": "user", "content": "do"}, said("ls", 1.0), ended(2, 1.5), said("id", 2.0)]
    first, second = trajectory.read(logs("trajectory.json", {"messages": messages})).steps
    assert (first.action, first.result, first.failed, first.seconds) == ("ls", "out", True, 0.5)
    assert (second.action, second.result, second.failed) == ("id", "", None)


def test_a_model_of_mini_swe_agent_that_gives_no_command_has_failed_a_step(logs):
    response = {"choices": [{"message": {"content": "I am a helpful assistant"}}]}
    extra = {"interrupt_type": "FormatError", "response": response}
    messages = [{"role": "user", "content": "do"}]
    messages += [{"role": "user", "content": "no tool calls", "extra": extra}] * 2
    found = trajectory.read(logs("trajectory.json", {"messages": messages}))
    assert [step.step for step in found.steps] == [0, 1]
    assert found.steps[1].thought == "I am a helpful assistant"
    assert (found.steps[1].action, found.steps[1].result) == ("", "no tool calls")
    assert found.summary()["failed_steps"] == 2


def test_openhands_actions_are_paired_with_what_was_observed(logs):
    text = [{"type": "text", "text": "seen"}]
    logs(
        "openhands/run/events/event-00001-b.json",
        {"kind": "ObservationEvent", "action_id": "a",
         "observation": {"content": text, "exit_code": 1}},
    )  # fmt: skip
    found = trajectory.read(
        logs(
            "openhands/run/events/event-00000-a.json",
            {"kind": "ActionEvent", "id": "a", "thought": text, "action": {"command": "ls"}},
        )
    )
    (step,) = found.steps
    assert (step.thought, step.action, step.result, step.failed) == ("seen", "ls", "seen", True)


def test_no_more_steps_are_made_than_are_kept(logs, monkeypatch):
    made = []
    step = trajectory.Step
    monkeypatch.setattr(trajectory, "Step", lambda **given: made.append(1) or step(**given))
    monkeypatch.setattr(trajectory, "STEPS", 10)
    said = {"role": "assistant", "extra": {"actions": [{}] * 1000}}
    found = trajectory.read(logs("trajectory.json", {"messages": [said] * 1000}))
    assert len(found.steps) == 10
    assert len(made) <= 12


def test_events_are_read_only_as_far_as_they_fit(logs, tmp_path, monkeypatch):
    for number in range(5):
        event = {"kind": "ActionEvent", "id": str(number), "action": {"command": "x" * 100}}
        path = logs(f"openhands/run/events/event-0000{number}-a.json", event)
    size = (tmp_path / "openhands/run/events/event-00000-a.json").stat().st_size
    monkeypatch.setattr(trajectory, "FILE_BYTES", 3 * size + 1)
    assert len(trajectory.read(path).steps) == 3


def test_folders_that_cannot_be_walked_hold_no_steps(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(36, "File name too long")

    monkeypatch.setattr("pathlib.Path.glob", refuse)
    assert trajectory.read(tmp_path) is None


def test_without_a_known_form_there_are_no_steps(logs, tmp_path):
    assert trajectory.read(tmp_path) is None
    assert trajectory.read(tmp_path / "none") is None
    assert trajectory.read(logs("other.json", {"nodes": []})) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b'{"nodes": NaN}',
        b"\xff",
        b"null",
        {"nodes": 5},
        {"nodes": {"a": 1}},
    ],
)
def test_a_file_that_tells_no_steps_is_none(logs, content):
    assert trajectory.read(logs("journal.json", content)) is None


def test_values_of_any_kind_are_taken_for_what_they_can_be(logs, tmp_path):
    odd = [5, {"id": [1], "plan": {}, "code": 7, "_term_out": "text", "exec_time": True,
               "metric": [0.5], "is_buggy": "yes"}, {"exec_time": 10**400}]  # fmt: skip
    found = trajectory.read(logs("journal.json", {"nodes": odd, "node2parent": [1]}))
    assert [step.action for step in found.steps] == ["", "", ""]
    assert all(step.failed is None and step.seconds is None for step in found.steps)
    found.write(tmp_path / "steps.jsonl")
    assert len((tmp_path / "steps.jsonl").read_text().splitlines()) == 3


def test_many_steps_and_long_words_are_cut(logs):
    nodes = [node(str(k), code="x" * 10_000 if k == 0 else "x") for k in range(STEPS + 100)]
    found = trajectory.read(logs("journal.json", {"nodes": nodes}))
    assert len(found.steps) == STEPS
    assert len(found.steps[0].action) == WORDS


def test_links_and_fifos_are_not_opened(logs, tmp_path):
    outside = tmp_path / "outside.json"
    outside.write_text(json.dumps({"nodes": [node("x")]}))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "journal.json").symlink_to(outside)
    assert trajectory.read(tmp_path / "logs") is None
    (tmp_path / "logs" / "journal.json").unlink()
    os.mkfifo(tmp_path / "logs" / "journal.json")
    assert trajectory.read(tmp_path / "logs") is None
