"""`aexp selftest`: what it prints, and its exit status."""

import json


def test_held_attacks_are_told_one_a_line_and_the_status_is_zero(cli):
    ended = cli("selftest", "--hostile", "--runtime", "process", "--only", "output-s")
    assert ended.status == 0, ended.out
    assert "honest-control" in ended.out
    assert ended.out.splitlines()[-1] == "3 held, 0 not held, 0 not run"


def test_attacks_without_a_wall_against_them_are_not_run(cli):
    ended = cli("selftest", "--hostile", "--runtime", "process", "--only", "net-t", "--json")
    rows = json.loads(ended.out)
    assert [row["attack"] for row in rows] == ["honest-control", "net-tcp"]
    assert [row["promised"] for row in rows] == [True, False]
    assert ended.status == 0


def test_an_attack_that_is_not_held_ends_in_status_one(cli, monkeypatch):
    from tasks.selftest import attacks
    from tasks.selftest.attack import Attack

    bad = Attack(id="net-bad", threat="M1", script="gained('\x1b[2Jall')")
    monkeypatch.setattr(attacks, "ATTACKS", (bad,))
    ended = cli("selftest", "--hostile", "--runtime", "process")
    assert ended.status == 1
    assert "NOT HELD" in ended.out
    assert "\x1b" not in ended.out


def test_nothing_to_run_is_a_usage_error(cli):
    assert cli("selftest").status == 2
    assert "--hostile" in cli("selftest").err
    assert "no attack begins so" in cli("selftest", "--hostile", "--only", "x").err
