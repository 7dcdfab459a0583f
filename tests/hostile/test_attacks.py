"""The shipped collection of attacks, against every runtime that works here."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks import plugins
from tasks.collect import Collected
from tasks.errors import MissingPart
from tasks.instance import Seed
from tasks.prepared import prepare
from tasks.runtimes.named import runtime_named
from tasks.runtimes.process import ProcessRuntime
from tasks.selftest import fight
from tasks.selftest.arena import Arena
from tasks.selftest.attack import Attack
from tasks.selftest.attacks import ATTACKS, HONEST, QUICK
from tasks.selftest.fight import fight_one
from tasks.spec import Task
from tasks.workspace import Workspace

BY_ID = {attack.id: attack for attack in ATTACKS}
REQUIRED = os.environ.get("AEXP_REQUIRE", "").split(",")


@pytest.fixture(scope="module")
def arena():
    with Arena() as made:
        yield made


@pytest.fixture(params=plugins.names("runtime"))
def runtime(request):
    try:
        return runtime_named(request.param)
    except MissingPart as error:
        if request.param in REQUIRED:
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize("attack", [HONEST, *ATTACKS], ids=lambda attack: attack.id)
def test_nothing_comes_of_an_attack_that_a_runtime_promises_to_hold(
    attack, runtime, arena, tmp_path
):
    verdict = fight_one(attack, runtime, arena, tmp_path)
    if not verdict.promised:
        pytest.skip(f"the {runtime.name} runtime has no such wall")
    assert verdict.findings == ()


SUBMIT = """
import shutil
shutil.copy("../data/sample_submission.csv", "../submission/submission.csv")
answers = {answers!r}
if answers:
    open("../submission/submission.csv", "w").write(answers)
"""


@pytest.mark.parametrize("knows", [False, True])
def test_a_score_that_only_leaked_answers_explain_is_a_finding(runtime, arena, tmp_path, knows):
    instance = fight.given().instance
    rows = zip(instance.contract.ids, instance.answers.labels, strict=True)
    answers = "id,target\n" + "".join(f"{row},{label}\n" for row, label in rows)
    script = SUBMIT.format(answers=answers if knows else "")
    attack = Attack(id="guess", threat="M5", script=script, reason="finished")
    verdict = fight_one(attack, runtime, arena, tmp_path)
    assert verdict.held == (not knows), verdict.findings
    assert all(text.startswith("scored ") for text in verdict.findings)


def test_one_class_said_of_all_rows_is_no_finding_whichever_is_common_in_train(tmp_path):
    task = Task.from_dict(fight._TASK, source="test")
    for number in range(60):
        ready = prepare(task, Seed(secret=bytes([number]) * 32, sealed=False))
        workspace = Workspace.create(tmp_path, "constant")
        (workspace.outputs / "submission").mkdir(parents=True)
        for name in ready.instance.contract.classes:
            rows = "".join(f"{row},{name}\n" for row in ready.instance.contract.ids)
            (workspace.outputs / "submission" / "submission.csv").write_text(f"id,target\n{rows}")
            collected = Collected(files=1, bytes=len(rows), refused={})
            assert [*fight._scored(workspace, collected, ready)] == []


def test_ids_are_unique_and_every_quick_one_is_there():
    assert len(BY_ID) == len(ATTACKS) >= 60
    assert {name for names in QUICK.values() for name in names} <= BY_ID.keys()


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("net-tcp", "reached a listener of the host: TCP"),
        ("net-udp", "reached a listener of the host: UDP"),
        ("net-abstract", "reached a listener of the host: abstract socket"),
        ("file-path-socket", "reached a listener of the host: path socket"),
        ("file-secret", "got hold of the secret: it is in run.log"),
        ("file-precious", "changed a file of the host"),
        ("host-processes", "sees a process of the host"),
        ("eat-shm", "MiB of shared memory"),
        ("eat-pids", "processes"),
        ("fake-report", "changed files of the trial: private, outputs, report.json"),
    ],
)
def test_without_the_wall_the_attack_succeeds_and_is_seen_to(name, finding, tmp_path):
    """Otherwise that it is held would prove nothing."""
    with Arena() as arena:
        verdict = fight_one(BY_ID[name], ProcessRuntime(), arena, tmp_path, dared=True)
    assert not verdict.held
    assert [text for text in verdict.findings if finding in text], verdict.findings


@pytest.mark.parametrize(
    ("attack", "finding"),
    [
        ({"script": "gained('a prize')"}, "a prize"),
        ({"script": "nonsense"}, "the script itself is broken: NameError"),
        ({"script": "(", "reason": "finished"}, "ended as 'agent error'"),
        ({"script": "", "judge": lambda outcome: f"code {outcome.exit_code}"}, "code 0"),
        ({"script": "os.kill(T['bystander'], 9)"}, "ended a process of the host"),
        ({"script": "open('../data/x', 'w')"}, "changed the public files"),
        (
            {"script": "open('../../trial.json', 'w').write('x')"},
            "changed files of the trial: trial.json",
        ),
    ],
)
def test_what_an_attack_gains_changes_or_breaks_is_found(attack, finding, tmp_path):
    with Arena() as arena:
        made = Attack(id="test", threat="-", **attack)
        verdict = fight_one(made, ProcessRuntime(), arena, tmp_path)
    assert [text for text in verdict.findings if finding in text], verdict.findings


def test_attacks_that_begin_at_once_are_given_the_same_instance():
    fight._drawn.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        given = [*pool.map(lambda _: fight.given(), range(8))]
    assert len({id(one) for one in given}) == 1
