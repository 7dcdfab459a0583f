"""Cassettes: a run once more, without network, cost or chance."""

import json

import pytest

from tasks.errors import InvalidInput
from tasks.gateway import Gateway, Policy, Setup
from tasks.gateway.cassette import Player, Recorder
from tasks.gateway.ledger import Secrets
from tests.doors import CHAT, MESSAGES, opened
from tests.upstream import chat, whole


def ask(text):
    return {"messages": [{"role": "user", "content": text}]}


@pytest.fixture
def recorded(tmp_path):
    """A cassette of five calls, the same one twice with different answers."""
    path = tmp_path / "cassette.jsonl"
    answers = iter("abcdefgh")

    def answer(handler, asked):
        from tests.upstream import events, message_events

        if asked.path == MESSAGES:
            events(handler, message_events(next(answers)))
        elif asked.body["messages"][0]["content"] == "bad":
            whole(handler, {"error": {"message": "no"}}, 400)
        else:
            whole(handler, chat(next(answers)))

    with opened(answer, setup=Setup(record=path), retries=0) as door:
        door.ask(**ask("one"))
        door.ask(**ask("one"))
        door.ask(**ask("two"), user="someone", metadata={"run": "1"})
        door.ask(MESSAGES, **ask("three"), stream=True)
        door.ask(**ask("bad"))
    return path


@pytest.fixture
def replayed(recorded):
    with opened(setup=Setup(replay=recorded), upstream=False) as door:
        yield door


def content(got):
    return got.json["choices"][0]["message"]["content"]


def test_a_request_gets_its_answers_in_the_order_they_were_recorded(replayed):
    assert [content(replayed.ask(**ask("one"))) for _ in range(2)] == ["a", "b"]


def test_what_changes_from_run_to_run_and_means_nothing_is_overlooked(replayed):
    assert content(replayed.ask(**ask("two"), user="other", metadata={"run": "2"})) == "c"


def test_streams_and_errors_are_replayed_as_they_were(replayed):
    got = replayed.ask(MESSAGES, **ask("three"), stream=True)
    assert got.body.endswith(b'data: {"type": "message_stop"}\n\n')
    assert b'"text": "d"' in got.body
    assert got.fields["content-type"] == "text/event-stream"
    bad = replayed.ask(**ask("bad"))
    assert (bad.status, bad.said) == (400, "no")


def test_a_replay_costs_nothing_and_counts_as_the_run_did(replayed):
    replayed.ask(**ask("one"))
    replayed.ask(MESSAGES, **ask("three"), stream=True)
    summary = replayed.gateway.summary()
    assert summary["replayed"]
    assert summary["cost_usd"] == 0.0
    assert (summary["input_tokens"], summary["output_tokens"]) == (20, 14)


def test_a_miss_shows_the_nearest_request_from_where_they_part(replayed):
    got = replayed.ask(**ask("onE"))
    assert got.status == 409
    assert got.json["error"]["code"] == "not_recorded"
    assert got.fields["x-should-retry"] == "false"
    assert "nearest recorded" in got.said
    asked, nearest = got.said.split("nearest recorded")
    assert "onE" in asked
    assert "one" in nearest


def test_a_loose_replay_goes_on_in_order_where_words_differ(recorded):
    with opened(setup=Setup(replay=recorded, loose=True), upstream=False) as door:
        assert content(door.ask(**ask("took 1.2 s"))) == "a"
        assert content(door.ask(**ask("two"))) == "c"
        assert content(door.ask(**ask("took 3.4 s"))) == "b"
        assert door.ask(MESSAGES, **ask("else"), stream=True).status == 200
        assert door.ask(**ask("more")).status == 400
        assert door.ask(**ask("no more")).status == 409


def test_a_request_that_was_recorded_less_often_is_a_miss(replayed):
    replayed.ask(**ask("two"))
    assert "recorded, but not so often" in replayed.ask(**ask("two")).said


def test_the_path_is_part_of_what_was_asked(replayed):
    assert replayed.ask(MESSAGES, **ask("one")).status == 409


def test_no_token_of_the_first_run_is_needed(recorded):
    text = recorded.read_text()
    assert "Bearer" not in text
    assert "aexp-" not in text
    assert len(text.splitlines()) == 5


def test_folders_that_differ_between_runs_stand_as_placeholders(tmp_path):
    path = tmp_path / "cassette"

    def answer(handler, asked):
        whole(handler, chat(f"cat {asked.body['messages'][0]['content']}/x"))

    first = Setup(record=path, places={'/runs/1/"home': "{{HOME}}"})
    with opened(answer, setup=first) as door:
        door.ask(**ask('/runs/1/"home'))
    assert "/runs/1" not in path.read_text()
    second = Setup(replay=path, places={'/runs/2/"home': "{{HOME}}"})
    with opened(setup=second, upstream=False) as door:
        assert content(door.ask(**ask('/runs/2/"home'))) == 'cat /runs/2/"home/x'


def test_an_answer_that_was_cut_off_is_not_recorded(tmp_path):
    from tests.upstream import chat_events, events

    path = tmp_path / "cassette"
    with opened(lambda h, _: events(h, chat_events()[:2]), setup=Setup(record=path)) as door:
        door.ask(stream=True)
    assert path.read_text() == ""
    with opened(setup=Setup(replay=path), upstream=False) as door:
        assert "the cassette is empty" in door.ask().said


def test_an_old_cassette_is_not_overwritten(recorded):
    with pytest.raises(InvalidInput, match="is there already; remove it or name another"):
        Gateway(Setup(record=recorded, policy=Policy()))


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidInput, match="cannot be recorded: No such file"):
        Recorder(tmp_path / "none" / "cassette", Secrets([]))


@pytest.mark.parametrize(
    "line", ["{", "[]", "{}", json.dumps({"path": CHAT, "request": {}, "status": 200}), "\x00"]
)
def test_a_file_that_is_no_cassette_is_named_with_the_line(tmp_path, line):
    path = tmp_path / "cassette"
    path.write_text(line + "\n")
    with pytest.raises(InvalidInput, match=r"cassette:1: no take of a cassette"):
        Player(path)
    with pytest.raises(InvalidInput, match="no cassette: "):
        Player(tmp_path / "none")
