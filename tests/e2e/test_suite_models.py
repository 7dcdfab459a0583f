"""Suites whose agents call models: what they may spend together, and their cassettes."""

import json
import sys

import pytest

from tasks.gateway import Policy
from tasks.suite.budget import Amount, Granted
from tests.upstream import FakeUpstream

TOKENS = 18
"""What each call of the fake upstream is said to take."""

AGENT = """\
import json, os, shutil, sys, urllib.error, urllib.request
key = {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
for turn in range(int(sys.argv[1])):
    words = {"model": "m", "messages": [{"role": "user", "content": f"turn {turn}"}]}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    try:
        urllib.request.urlopen(urllib.request.Request(url, json.dumps(words).encode(), key)).read()
    except urllib.error.HTTPError as error:
        print(error.read())
shutil.copy(os.environ["DATA_DIR"] + "/sample_submission.csv", os.environ["SUBMISSION_DIR"])
os.chdir(os.environ["SUBMISSION_DIR"])
os.rename("sample_submission.csv", "submission.csv")
"""


@pytest.fixture(autouse=True)
def _own_keys(tmp_path, monkeypatch):
    monkeypatch.setenv("AEXP_KEYS", str(tmp_path / "keys"))
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def upstream():
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def suite(cli, tmp_path, agent, upstream, out):
    """Run a suite of an agent that calls its model so many times; return what `--json` says."""
    script = agent(AGENT)
    definition = {
        "id": "small",
        "name": "Small",
        "task_type": "classification",
        "data_requirements": {"dataset_type": "classification", "n_samples": 60, "n_test": 30},
        "evaluation_criteria": {"min_accuracy": 0.01},
    }
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "small.json").write_text(json.dumps(definition))

    def call(*words, calls=2, model=True):
        models = ["--model", "m", "--upstream", upstream.url] if model else []
        ended = cli("suite", "run", "--tasks-dir", tmp_path / "tasks", "--tasks", "small",
                    "--agents", f"command:{sys.executable} {script} {calls}", "--runtime",
                    "process", "--workers", 1, "--out", out, "--json", *models, *words)  # fmt: skip
        assert ended.status == 0, ended.err
        return json.loads(ended.out)

    return call


@pytest.fixture
def resume(cli, out):
    def call(*words):
        ended = cli("suite", "resume", "--out", out, "--workers", 1, "--json", *words)
        assert ended.status == 0, ended.err
        return json.loads(ended.out)

    return call


def models(out):
    """What went through the doors, by trial folder."""
    files = sorted(out.glob("*/trials/*/report*.json"))
    return {file.parent: json.loads(file.read_text())["model"] for file in files}


def test_no_trial_starts_past_the_budget_and_a_larger_one_goes_on(suite, resume, cli, out):
    said = suite("--repeats", 5, "--max-tokens", 4 * TOKENS)
    assert said["states"] == {"done": 2, "queued": 3}
    assert said["tokens"] == 4 * TOKENS
    assert said["stopped"] == "the budget is spent: 72 of 72 tokens"
    shown = cli("suite", "status", "--out", out)
    assert "stopped: the budget is spent: 72 of 72 tokens" in shown.out
    again = resume()
    assert (again["states"], again["stopped"]) == (said["states"], said["stopped"])
    over = resume("--max-tokens", 1000)
    assert over["states"] == {"done": 5}
    assert (over["tokens"], over["stopped"]) == (10 * TOKENS, None)


def test_a_trial_that_runs_out_of_the_suites_budget_is_no_result_and_runs_again(
    suite, resume, cli, out
):
    said = suite("--repeats", 2, "--max-tokens", 6 * TOKENS, calls=5)
    assert said["states"] == {"done": 1, "failed": 1}
    assert said["reasons"] == {"cancelled": 1}
    assert said["rates"]["failed"] == 0.0
    cut = models(out)[max(models(out))]
    assert cut["budget"]["tokens"] == TOKENS
    assert cut["over_budget"] == 4
    board = json.loads(cli("leaderboard", out, "--json").out)
    assert [row["n"] for row in board["rows"]] == [1]
    assert resume("--max-tokens", 10**6)["states"] == {"done": 2}
    spent = json.loads(cli("suite", "status", "--out", out, "--json").out)["tokens"]
    assert spent == sum(m["input_tokens"] + m["output_tokens"] for m in models(out).values())
    assert cli("index", "rebuild", "--out", out).status == 0
    assert json.loads(cli("suite", "status", "--out", out, "--json").out)["tokens"] == spent


def test_a_trials_own_budget_is_its_own_affair(suite, out):
    said = suite("--repeats", 2, "--trial-tokens", TOKENS, calls=3)
    assert said["states"] == {"done": 2}
    assert [model["over_budget"] for model in models(out).values()] == [2, 2]
    assert said["tokens"] == 2 * TOKENS


def test_money_is_bounded_by_the_table_of_prices(suite, resume, tmp_path, out):
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"m": {"input_cost_per_token": 1, "output_cost_per_token": 1}}))
    said = suite("--repeats", 4, "--max-cost", 3 * TOKENS, "--prices", prices, calls=1)
    assert said["states"] == {"done": 3, "queued": 1}
    assert said["cost_usd"] == 3 * TOKENS
    assert said["stopped"] == "the budget is spent: 54.0000 of 54 US dollars"
    assert resume("--max-cost", 1000)["states"] == {"done": 4}


def test_trials_that_run_at_a_time_share_what_is_left(suite, out):
    budget = 9 * TOKENS
    suite("--repeats", 3, "--workers", 3, "--max-tokens", budget, calls=1)
    stamps = [json.loads(file.read_text())["suite"] for file in out.glob("*/trials/*/trial.json")]
    assert len(stamps) == 3
    assert sum(stamp["granted"]["tokens"] for stamp in stamps) <= budget + 2 * TOKENS


@pytest.mark.parametrize(
    ("left", "parts", "policy", "granted", "by_suite"),
    [
        (Amount(tokens=100), 4, Policy(), Amount(tokens=25), True),
        (Amount(tokens=100), 4, Policy(tokens=60), Amount(tokens=60), False),
        (Amount(tokens=50), 4, Policy(tokens=60), Amount(tokens=50), True),
        (Amount(tokens=3), 4, Policy(), Amount(tokens=1), True),
        (Amount(cost_usd=1.0), 2, Policy(tokens=9), Amount(tokens=9, cost_usd=0.5), True),
    ],
)
def test_a_trial_is_granted_its_own_budget_or_its_part_of_what_is_left(
    left, parts, policy, granted, by_suite
):
    found = Granted.of(left, parts, policy)
    assert (found.amount, found.by_suite) == (granted, by_suite)


def test_a_suite_is_recorded_and_replayed_without_a_model(suite, cli, upstream, tmp_path, out):
    suite("--repeats", 2, "--record", tmp_path / "tapes")
    asked = len(upstream.asked)
    assert asked == 4
    assert len(list((tmp_path / "tapes").iterdir())) == 2
    said = suite("--repeats", 2, "--play", tmp_path / "tapes", "--model", "m", model=False)
    assert said["states"] == {"done": 2}
    assert len(upstream.asked) == asked
    assert [m["requests"] for m in models(out).values()] == [2] * 4


def test_a_cassette_that_is_missing_is_told_before_the_first_trial(cli, tmp_path, out):
    (tmp_path / "tapes").mkdir()
    ended = cli("suite", "run", "--tasks", "classification_basic", "--agents", "command:true",
                "--runtime", "process", "--model", "m", "--play", tmp_path / "tapes",
                "--out", out)  # fmt: skip
    assert ended.status == 4
    assert "no cassette classification_basic.true.r0.a*.jsonl" in ended.err
    assert not out.exists()


def test_a_suite_without_a_model_to_call_is_not_begun(cli, out):
    ended = cli("suite", "run", "--tasks", "classification_basic", "--agents", "command:true",
                "--runtime", "process", "--model", "m", "--out", out)  # fmt: skip
    assert ended.status == 5
    assert "OPENAI_API_KEY" in ended.err
    assert not out.exists()


@pytest.mark.usefixtures("suite")
def test_the_door_of_a_suite_may_stand_in_its_file(cli, tmp_path, upstream, out):
    file = tmp_path / "suite.yaml"
    file.write_text(
        f"tasks: [small]\ntasks_dirs: [tasks]\nruntime: process\nrepeats: 3\n"
        f"agents:\n- command:{sys.executable} {tmp_path / 'my_agent.py'} 1\n"
        f"door: {{models: [m], upstream: ['{upstream.url}']}}\nbudget: {{tokens: {TOKENS}}}\n"
    )
    ended = cli("suite", "run", file, "--workers", 1, "--out", out, "--json")
    assert json.loads(ended.out)["states"] == {"done": 1, "queued": 2}
    file.write_text(file.read_text().replace("{tokens: 18}", "{tokens: 1000}"))
    ended = cli("suite", "resume", "--out", out, "--json")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["states"] == {"done": 3}
