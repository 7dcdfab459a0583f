"""The comparison with peers counts what it says; real processes and files, but no peer."""

import json
import os
import sys

import pytest

from benchmarks.peers import places, run
from benchmarks.peers.harbor_task import all_right

WRITES = """
import pathlib, sys
for n in range(int(sys.argv[1])):
    trial = pathlib.Path("store", str(n))
    (trial / "outputs").mkdir(parents=True)
    (trial / "report.json").write_text("x" * 300)
    (trial / "outputs" / "submission.csv").write_text("x" * 5000)
"""
PYTHON = """#!/bin/sh
[ "$2" = pip ] && exec mkdir "$(dirname "$0")/packages"
mkdir -p "$3/bin" && cp "$0" "$3/bin/python"
"""


def peer(*, succeeds=True):
    return run.Peer(
        "fake",
        lambda _, trials: ([sys.executable, "-c", WRITES, str(trials)], {}),
        lambda *_: succeeds,
        "outputs",
    )


def program(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_bytes_of_a_trial_are_those_beside_the_agents_own():
    (line,) = run.rows([peer()], [20, 60])
    name, trials, *_, kilobytes, on_disk = line.split()
    assert (name, trials, kilobytes) == ("fake", "60", "0.3")
    assert float(on_disk) >= 0.3


def test_a_peer_whose_trials_were_not_all_right_ends_the_run():
    with pytest.raises(SystemExit, match="fake, 20 trials"):
        list(run.rows([peer(succeeds=False)], [20, 60]))


@pytest.mark.parametrize("counts", [["20"], ["20", "50"], ["200", "20"], ["0", "20"]])
def test_counts_that_give_no_cost_are_refused(counts, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run", "local", *counts])
    with pytest.raises(SystemExit) as ended:
        run.asked()
    assert ended.value.code == 2
    assert "give two or more" in capsys.readouterr().err


def test_an_environment_that_was_left_half_made_is_made_again(tmp_path):
    python = program(tmp_path / "python", PYTHON)
    half = tmp_path / "peer-1.0" / "bin"
    half.mkdir(parents=True)
    (half / "python").write_text("not one")
    programs = places.environment(tmp_path, "peer==1.0", python)
    assert sorted(path.name for path in programs.iterdir()) == ["packages", "python"]
    (tmp_path / "python").unlink()  # so that it cannot be made once more
    assert places.environment(tmp_path, "peer==1.0", python) == programs


def test_a_python_that_does_not_start_is_passed_over(tmp_path, monkeypatch):
    program(tmp_path / "python3.12", "#!/bin/sh\nexit 127\n")
    works = program(tmp_path / "python3.13", "#!/bin/sh\nexit 0\n")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/nowhere")
    assert places.newer_python(None) == works


def test_a_python_too_old_for_harbor_is_refused_by_a_line(tmp_path, capsys):
    old = program(tmp_path / "old", "#!/bin/sh\nexit 1\n")
    with pytest.raises(SystemExit) as ended:
        places.newer_python(old)
    assert ended.value.code == 5
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("completed", "errors", "mean", "right"),
    [(20, 0, 1.0, True), (19, 0, 1.0, False), (20, 1, 1.0, False), (20, 0, 0.95, False)],
)
def test_a_job_of_harbor_counts_when_every_trial_was_right(
    tmp_path, completed, errors, mean, right
):
    stats = {
        "n_completed_trials": completed,
        "n_errored_trials": errors,
        "evals": {"oracle__adhoc": {"metrics": [{"mean": mean}]}},
    }
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "result.json").write_text(json.dumps({"stats": stats}))
    assert all_right(tmp_path, 20) is right
