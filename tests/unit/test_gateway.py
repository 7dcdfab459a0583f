"""The door: what passes, what is counted, what is refused, what is recorded."""

import json
import socket
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest

from tasks.gateway import Prices, Setup, Upstream
from tests.doors import CHAT, EMBEDDINGS, KEY, MESSAGES, PRICED, RESPONSES, opened
from tests.upstream import (
    FakeUpstream,
    chat,
    chat_events,
    events,
    message,
    message_events,
    usual,
    whole,
)


def calls(path, door=None):
    if door is not None:
        door.gateway.summary()  # which waits for what was just answered to be booked
    return [json.loads(line) for line in path.read_text().splitlines()]


def events_of(body):
    return [part + b"\n\n" for part in body.split(b"\n\n") if part]


# --- what passes -------------------------------------------------------------------------------


def test_an_answer_comes_through_as_the_model_gave_it():
    with opened() as door:
        got = door.ask()
        assert (got.status, got.json) == (200, chat())
        assert door.ask(MESSAGES).json == message()


def test_the_upstream_gets_its_own_key_and_nothing_of_the_agents_fields():
    with opened() as door:
        door.send(
            "POST",
            f"{CHAT}?api-version=1",
            {"model": "m", "messages": []},
            {"x-evil": "1", "cookie": "a=b", "host": "elsewhere", "openai-organization": "org"},
        )
        (asked,) = door.upstream.asked
        sent = {name.lower(): value for name, value in asked.headers.items()}
        assert asked.path == CHAT
        assert sent["authorization"] == f"Bearer {KEY}"
        assert sent["host"] == f"127.0.0.1:{door.upstream.server.server_port}"
        assert set(sent) == {
            "host", "content-type", "content-length", "accept", "accept-encoding", "user-agent",
            "authorization",
        }  # fmt: skip


def test_anthropic_is_spoken_with_its_own_key_field_and_versions():
    with opened() as door:
        fields = {"x-api-key": door.token, "anthropic-version": "2023-06-01"}
        got = door.send("POST", MESSAGES, {"model": "m", "messages": []}, fields, token="")
        sent = {name.lower(): value for name, value in door.upstream.asked[0].headers.items()}
        assert got.status == 200
        assert (sent["x-api-key"], sent["anthropic-version"]) == (KEY, "2023-06-01")


def test_a_path_without_its_version_is_understood():
    with opened() as door:
        assert door.ask("/chat/completions").status == 200
        assert door.upstream.asked[0].path == CHAT


@pytest.mark.parametrize("path", [EMBEDDINGS, RESPONSES, "/v1/completions"])
def test_the_other_operations_pass_too(path):
    def answer(handler, asked):
        whole(handler, {"ok": asked.path, "usage": {"input_tokens": 3, "prompt_tokens": 3}})

    with opened(answer) as door:
        assert door.ask(path).json["ok"] == path
        assert door.gateway.summary()["input_tokens"] == 3


def test_a_stream_comes_event_by_event_while_the_model_still_writes():
    parts = chat_events("abc")
    go_on = threading.Event()

    def answer(handler, _):
        def slowly():
            yield parts[0]
            assert go_on.wait(10)
            yield from parts[1:]

        events(handler, slowly())

    with opened(answer) as door:
        connection = door.connect()
        body = json.dumps({"model": "m", "messages": [], "stream": True})
        connection.request("POST", CHAT, body, {"authorization": f"Bearer {door.token}"})
        response = connection.getresponse()
        assert response.readline() + response.readline() == parts[0]  # before the rest was sent
        go_on.set()
        assert events_of(response.read()) == [*parts[1:3], parts[-1]]


def test_a_stream_is_counted_though_the_agent_did_not_ask_for_the_count():
    with opened() as door:
        got = door.ask(stream=True)
        assert door.upstream.asked[0].body["stream_options"] == {"include_usage": True}
        assert b"usage" not in got.body
        assert door.gateway.summary()["output_tokens"] == 7
        assert not door.gateway.summary()["estimated"]


def test_an_agent_that_asks_for_the_count_gets_it():
    with opened() as door:
        got = door.ask(stream=True, stream_options={"include_usage": True})
        assert events_of(got.body) == chat_events()


def test_the_events_of_a_message_are_counted_over_the_whole_stream():
    with opened() as door:
        assert events_of(door.ask(MESSAGES, stream=True).body) == message_events()
        summary = door.gateway.summary()
        assert (summary["input_tokens"], summary["output_tokens"]) == (9, 7)


def test_tokens_that_an_upstream_does_not_count_are_guessed_and_marked():
    with opened(lambda h, _: events(h, chat_events("x" * 40, usage=None))) as door:
        door.ask(stream=True)
        summary = door.gateway.summary()
        assert summary["output_tokens"] == 41
        assert summary["estimated"]


def test_an_agent_may_call_a_model_by_a_name_of_its_own():
    with opened(models={"local": "gpt-real"}) as door:
        assert door.ask(model="local").status == 200
        assert door.upstream.asked[0].body["model"] == "gpt-real"
        assert door.gateway.summary()["models"] == {"local": 1}


def test_models_are_listed_from_what_is_allowed():
    with opened(models={"a": "x", "b": "b"}) as door:
        listed = door.send("GET", "/v1/models").json
        assert [model["id"] for model in listed["data"]] == ["a", "b"]
        assert door.send("GET", "/v1/models/a").json["id"] == "a"
        assert door.send("GET", "/v1/models/c").status == 404
        assert door.upstream.asked == []


def test_a_body_in_chunks_and_a_client_that_asks_first_are_served():
    with opened() as door:
        head = (
            f"POST {CHAT} HTTP/1.1\r\nAuthorization: Bearer {door.token}\r\nConnection: close\r\n"
        ).encode()
        chunks = b'a\r\n{"model":"\r\n17;x=y\r\nm","messages":[    ]  }\r\n0\r\nX: y\r\n\r\n'
        got = door.raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
        assert got.startswith(b"HTTP/1.1 200 OK")
        body = b'{"model":"m"}'
        with socket.socket(socket.AF_UNIX) as end:
            end.settimeout(20)
            end.connect(str(door.gateway.socket))
            end.sendall(head + b"Expect: 100-continue\r\nContent-Length: 13\r\n\r\n")
            assert end.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            end.sendall(body)
            assert end.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_connections_are_kept_on_both_sides():
    with opened() as door:
        connection = door.connect()
        for _ in range(3):
            body = json.dumps({"model": "m", "messages": []})
            connection.request("POST", CHAT, body, {"authorization": f"Bearer {door.token}"})
            assert connection.getresponse().read()
        assert len(door.upstream.asked) == 3


def test_a_kept_connection_that_the_upstream_has_closed_is_replaced():
    def answer(handler, asked):
        usual(handler, asked)
        handler.close_connection = True

    with opened(answer) as door:
        assert [door.ask().status for _ in range(3)] == [200, 200, 200]


# --- budgets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"requests": 2}, "the budget of 2 requests of this trial is used up"),
        ({"tokens": 20}, "the budget of 20 tokens"),
        ({"cost_usd": 0.1}, "the budget of 0.1 US dollars"),
        ({"seconds": 0.0}, "the budget of 0 seconds"),
    ],
)
def test_past_a_budget_the_provider_itself_seems_to_say_no(policy, words):
    with opened(setup=Setup(prices=PRICED), **policy) as door:
        answers = [door.ask() for _ in range(3)]
        last = answers[-1]
        assert last.status == 429
        assert words in last.said
        assert last.json["error"]["type"] == last.json["error"]["code"] == "insufficient_quota"
        assert last.fields["x-should-retry"] == "false"
        other = door.ask(MESSAGES)
        assert (other.status, other.json["type"]) == (402, "error")
        assert other.json["error"]["type"] == "billing_error"
        assert len(door.upstream.asked) == sum(a.status == 200 for a in answers)


def test_calls_at_once_cannot_overrun_a_budget_together():
    started = threading.Barrier(3, timeout=20)

    def answer(handler, asked):
        started.wait()
        usual(handler, asked)

    with opened(answer, tokens=1000) as door, ThreadPoolExecutor(4) as pool:
        under_way = [pool.submit(door.ask, max_tokens=600) for _ in range(2)]
        while len(door.upstream.asked) < 2:
            time.sleep(0.01)
        assert door.ask(max_tokens=600).status == 429
        started.wait()
        assert [call.result().status for call in under_way] == [200, 200]


def test_cost_comes_from_the_users_prices_cached_tokens_at_theirs():
    prices = Prices(
        {
            "m": {
                "input_cost_per_token": 1.0,
                "output_cost_per_token": 10.0,
                "cache_read_input_token_cost": 0.1,
                "cache_creation_input_token_cost": 2.0,
            }
        }
    )
    with opened(setup=Setup(prices=prices)) as door:
        door.ask(MESSAGES)  # 5 plain, 3 read, 2 written, 7 out
        assert door.gateway.summary()["cost_usd"] == pytest.approx(5 + 0.3 + 4 + 70)


def test_a_cost_that_is_not_known_is_said_to_be_unknown():
    with opened() as door:
        door.ask()
        assert door.gateway.summary()["cost_usd"] is None


def test_a_model_without_a_price_is_refused_where_cost_is_limited():
    with opened(cost_usd=1.0) as door:
        got = door.ask()
        assert got.status == 403
        assert "no price is known for m" in got.said
        assert door.upstream.asked == []


def test_an_agent_can_ask_what_is_left():
    with opened(requests=5, tokens=100) as door:
        door.ask()
        got = door.send("GET", "/budget", token="none").json
        assert got["left"] == {"requests": 4, "tokens": 82, "cost_usd": None, "seconds": None}
        assert got["used"]["requests"] == 1


# --- pace --------------------------------------------------------------------------------------


def test_calls_that_come_too_fast_are_told_when_to_come_again():
    with opened(requests_per_minute=2) as door:
        answers = [door.ask() for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        last = answers[-1]
        assert last.json["error"]["code"] == "rate_limit_exceeded"
        assert last.fields["x-should-retry"] == "true"
        assert 0 < float(last.fields["retry-after"]) <= 30


def test_more_calls_than_may_run_at_once_wait_and_more_than_may_wait_are_told_so():
    gate, most, now, lock = threading.Event(), [0], [0], threading.Lock()

    def answer(handler, asked):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        assert gate.wait(20)
        with lock:
            now[0] -= 1
        usual(handler, asked)

    with opened(answer, concurrency=2, waiting=2) as door, ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(door.ask) for _ in range(5)]
        crowded = next(as_completed(asked, timeout=20))
        assert crowded.result().status == 429
        assert "too many calls at once" in crowded.result().said
        while most[0] < 2:
            time.sleep(0.01)
        gate.set()
        assert sorted(call.result().status for call in asked) == [200] * 4 + [429]
        assert most[0] == 2


def test_an_upstream_that_is_busy_is_asked_again_after_as_long_as_it_says():
    times = []

    def answer(handler, asked):
        times.append(time.monotonic())
        if len(times) == 1:
            whole(handler, {"error": {}}, 429, {"retry-after": "0.3"})
        else:
            usual(handler, asked)

    with opened(answer) as door:
        assert door.ask().status == 200
        assert times[1] - times[0] >= 0.3


def test_a_wait_longer_than_the_doors_patience_is_the_agents():
    error = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
    with opened(lambda h, _: whole(h, error, 429, {"retry-after": "500"})) as door:
        got = door.ask()
        assert (got.status, got.json, got.fields["retry-after"]) == (429, error, "500")
        assert len(door.upstream.asked) == 1


# --- upstreams over TLS -----------------------------------------------------------------------


@pytest.fixture
def certified(tmp_path):
    """A certificate for 127.0.0.1, and its key."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext"
    named = ["subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    try:
        subprocess.run([*words.split(), *named], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("apt install openssl")
    return cert, key


def test_a_provider_is_spoken_to_over_tls_and_only_with_a_certificate_that_holds(
    certified, monkeypatch
):
    cert, key = certified
    with FakeUpstream() as fake:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        fake.server.socket = context.wrap_socket(fake.server.socket, server_side=True)
        url = fake.url.replace("http:", "https:")
        with opened(
            setup=Setup(upstreams={"openai": Upstream.parse(url, KEY)}), upstream=False, retries=0
        ) as door:
            assert "certificate verify failed" in door.ask().said
            assert fake.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        with opened(
            setup=Setup(upstreams={"openai": Upstream.parse(url, KEY)}), upstream=False
        ) as door:
            assert [door.ask().status for _ in range(2)] == [200, 200]


# --- upstreams that fail -----------------------------------------------------------------------


def test_an_upstream_that_is_down_is_named_as_such(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        down = Upstream.parse(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", KEY)
        setup = Setup(upstreams={"openai": down}, ledger=tmp_path / "calls")
        with opened(setup=setup, upstream=False, retries=0) as door:
            got = door.ask()
            assert got.status == 502
            assert "the model cannot be reached: " in got.said
            assert door.gateway.summary()["failed"] == 1
            (call,) = calls(tmp_path / "calls", door)
            assert "cannot be reached" in call["error"]
            assert (call["status"], call["input"], call["cost_usd"]) == (None, 0, 0.0)


def test_an_upstream_that_is_slow_is_given_up():
    gate = threading.Event()
    with opened(lambda *_: gate.wait(20), silence_s=0.2, retries=0) as door:
        got = door.ask()
        gate.set()
        assert got.status == 504
        assert "said nothing for 0.2 s" in got.said
        summary = door.gateway.summary()  # it may well be billed
        assert summary["input_tokens"] > 0
        assert summary["estimated"]


def test_an_upstream_that_falls_silent_in_mid_stream_ends_with_an_error_event():
    gate = threading.Event()

    def answer(handler, _):
        def silent():
            yield chat_events()[0]
            gate.wait(20)

        events(handler, silent())

    with opened(answer, silence_s=0.3) as door:
        got = door.ask(stream=True)
        gate.set()
        *_, last = events_of(got.body)
        assert "came too slowly" in json.loads(last[6:])["error"]["message"]


@pytest.mark.parametrize("status", [400, 404, 422, 500])
def test_an_error_of_the_provider_passes_as_it_is(status):
    error = {"error": {"message": "theirs", "type": "t", "code": None, "param": None}}
    with opened(lambda h, _: whole(h, error, status), retries=0) as door:
        got = door.ask()
        assert (got.status, got.json) == (status, error)


def test_an_error_that_is_no_json_is_put_into_the_providers_form():
    with opened(lambda h, _: whole(h, b"<html>oops", 500), retries=0) as door:
        got = door.ask()
        assert got.status == 500
        assert got.said == "the provider answered with status 500"


@pytest.mark.parametrize("status", [401, 403])
def test_that_the_doors_key_is_refused_is_not_the_agents_fault(status, tmp_path):
    error = {"error": {"message": f"Incorrect API key provided: {KEY}"}}
    setup = Setup(ledger=tmp_path / "calls")
    with opened(lambda h, _: whole(h, error, status), setup=setup) as door:
        got = door.ask()
        assert got.status == 502
        assert "refused the key of the door" in got.said
    assert KEY not in (tmp_path / "calls").read_text()


def test_a_redirect_is_not_followed():
    there = {"location": "http://169.254.169.254/latest"}
    with opened(lambda h, _: whole(h, b"", 302, there)) as door:
        assert "redirect, which is not followed" in door.ask().said
        assert len(door.upstream.asked) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_no_json_is_an_error(stream):
    with opened(lambda h, _: whole(h, b'{"choices": [')) as door:
        got = door.ask(stream=stream)
        assert got.status == 502
        assert "no JSON" in got.said


@pytest.mark.parametrize(("path", "parts"), [(CHAT, chat_events), (MESSAGES, message_events)])
@pytest.mark.parametrize("cut", [True, False])
def test_a_stream_that_is_cut_off_ends_with_an_error_in_the_providers_form(path, parts, cut):
    with opened(lambda h, _: events(h, parts()[:2], cut=cut)) as door:
        got = door.ask(path, stream=True)
        first, second, last = events_of(got.body)
        assert [first, second] == parts()[:2]
        data = json.loads(last.split(b"data: ")[1])
        assert "the answer was cut off" in data["error"]["message"]
        assert last.startswith(b"event: error\n") == (path == MESSAGES)
        assert door.gateway.summary()["failed"] == 1
        assert door.gateway.summary()["output_tokens"] > 0


def test_an_answer_of_a_hundred_megabytes_is_cut_short():
    def answer(handler, asked):
        if asked.body.get("stream"):
            events(handler, (b"data: " + b"x" * 2**20 + b"\n\n" for _ in range(100)))
        else:
            whole(handler, b'"' + b"x" * 100_000_000 + b'"')

    with opened(answer, answer_bytes=2**22) as door:
        assert "more than 4,194,304 bytes" in door.ask().said
        got = door.ask(stream=True)
        assert len(got.body) < 2**23
        assert b"more than 4,194,304 bytes" in got.body[-300:]


def test_one_event_without_an_end_is_cut_short():
    with opened(lambda h, _: events(h, (b"x" * 2**20 for _ in range(100)))) as door:
        got = door.ask(stream=True)
        assert b"an event of more than" in got.body
        assert len(got.body) < 2000


def test_an_agent_that_hangs_up_is_booked_and_frees_its_place(tmp_path):
    gone = threading.Event()

    def answer(handler, _):
        def many():
            for _ in range(2000):
                yield b"data: " + b"x" * 100_000 + b"\n\n"

        try:
            events(handler, many())
        except OSError:
            gone.set()

    setup = Setup(ledger=tmp_path / "calls")
    with opened(answer, setup=setup, concurrency=1, answer_bytes=2**40) as door:
        connection = door.connect()
        body = json.dumps({"model": "m", "messages": [], "stream": True})
        connection.request("POST", CHAT, body, {"authorization": f"Bearer {door.token}"})
        connection.getresponse().read(10)
        connection.sock.close()
        connection.close()
        assert gone.wait(20)
        deadline = time.monotonic() + 20
        while door.gateway.summary()["requests"] == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        (call,) = calls(tmp_path / "calls")
        assert call["error"] == "the agent hung up"
        assert call["estimated"]


def test_closing_the_door_ends_calls_that_are_under_way():
    gate = threading.Event()
    with ThreadPoolExecutor(1) as pool, opened(lambda *_: gate.wait(20)) as door:
        call = pool.submit(door.ask)
        while not door.upstream.asked:
            time.sleep(0.01)
        folder = door.gateway.socket.parent
        door.gateway.close()
        gate.set()
        assert isinstance(call.exception(timeout=10), Exception)
        assert not folder.exists()
        summary = door.gateway.summary()
        assert (summary["requests"], summary["failed"], summary["estimated"]) == (1, 1, True)


# --- records -----------------------------------------------------------------------------------


def test_each_call_is_recorded_with_its_numbers_and_words(tmp_path):
    setup = Setup(prices=PRICED, ledger=tmp_path / "calls")
    with opened(setup=setup) as door:
        door.ask(messages=[{"role": "user", "content": "question"}])
        door.ask(stream=True)
        first, second = calls(tmp_path / "calls", door)
        assert first["call"] == 1
        assert (first["input"], first["output"], first["status"]) == (11, 7, 200)
        assert first["cost_usd"] == pytest.approx(0.081)
        assert 0 < first["first_byte_s"] <= first["seconds"]
        assert "question" in first["request"]
        assert json.loads(first["response"]) == chat()
        assert second["stream"] is True
        assert second["response"].encode() == b"".join(chat_events())
        assert door.gateway.summary()["intact"]


def test_long_words_are_cut_and_past_a_bound_only_numbers_are_kept(tmp_path):
    setup = Setup(ledger=tmp_path / "calls")
    with opened(setup=setup, kept_bytes=100, recorded_bytes=2500) as door:
        for _ in range(4):
            door.ask(messages=[{"role": "user", "content": "x" * 5000}])
    kept = calls(tmp_path / "calls")
    assert kept[0]["request"].endswith("more bytes]")
    assert len(kept[0]["request"]) < 200
    assert kept[-1]["request"] is None
    assert kept[-1]["request_bytes"] > 5000


def test_a_record_that_somebody_changed_is_found(tmp_path):
    setup = Setup(ledger=tmp_path / "calls")
    with opened(setup=setup) as door:
        door.ask()
        (tmp_path / "calls").write_text("nothing happened\n")
        assert not door.gateway.summary()["intact"]
        (tmp_path / "calls").unlink()
        assert not door.gateway.summary()["intact"]
