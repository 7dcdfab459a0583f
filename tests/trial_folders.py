"""Trial folders as the runner leaves them, made without running anything."""

import hashlib
import json

PROBLEMS = {"no submission": "E01 missing", "invalid submission": "E04 header"}


def write_trial(
    root,
    agent,
    *,
    task="alpha",
    family="classification",
    skill=0.5,
    ending="finished",
    success=None,
    repeat=0,
    attempt=1,
    suite=None,
    instance=None,
    started=0.0,
    criteria=None,
    leaked=False,
    task_extra=None,
):
    """Write one trial below `root`; return its folder."""
    name = f"{agent}-{task}-{family}-{repeat}-{attempt}-{suite}".replace("/", "-")
    folder = root / name
    folder.mkdir(parents=True)
    shared = instance or f"{suite} {task} {repeat}" if suite or instance else name
    asked = {
        "trial": name,
        "task": {
            "id": task,
            "task_type": "classification",
            "data_requirements": {"dataset_type": family},
            "evaluation_criteria": {"min_accuracy": 0.7},
            **(task_extra or {}),
        },
        "agent": {"id": agent, "command": ["true"]},
        "sealed": True,
        "commitment": hashlib.sha256(shared.encode()).hexdigest(),
        "started": started,
    }
    if suite:
        asked["suite"] = {
            "id": suite, "repeat": repeat, "task": task, "agent": agent, "attempt": attempt,
        }  # fmt: skip
    (folder / "trial.json").write_text(json.dumps(asked))
    if ending != "unfinished":
        (folder / "report.json").write_text(
            json.dumps(
                _report(
                    asked, ending, skill=skill, success=success, criteria=criteria, leaked=leaked
                )
            )
        )
    (folder / "events.jsonl").write_text(
        json.dumps({"time": started, "event": "created", "task": task}) + "\n"
    )
    return folder


def _report(asked, ending, *, skill, success, criteria, leaked):
    misfit = ending in PROBLEMS
    reason = "finished" if misfit or ending == "grader error" else ending
    valid = reason == "finished" and not misfit
    passed = (skill >= 0.7 if success is None else success) and valid and not leaked
    evaluation = {
        "task_id": asked["task"]["id"],
        "sealed": True,
        "success": passed,
        "overall_score": skill if valid else 0.0,
        "scores": {
            "accuracy": {
                "score": 0.3 + 0.6 * skill, "label_score": 0.3 + 0.6 * skill, "floor": 0.3,
                "ceiling": 0.9, "skill": skill, "se": 0.01, "label_se": 0.02, "tier": "law",
            }
        } if valid else {},
        "criteria_met": criteria or {"min_accuracy": passed},
        "feedback": [],
        "submission": {
            "valid": valid, "file": None,
            "problems": [] if valid else [PROBLEMS.get(ending, "E01 missing")],
        },
        "integrity": {"leak_z": 9.0 if leaked else 0.1, "leak_suspected": leaked, "findings": []},
        "claimed": {},
    }  # fmt: skip
    return {
        "trial": {**asked, "seed": None},
        "outcome": {"reason": reason, "exit_code": 0, "seconds": 2.0, "cpu_seconds": 1.0},
        "evaluation": None if ending == "grader error" else evaluation,
        "grader_error": "broke" if ending == "grader error" else None,
        "collected": {"files": 1, "bytes": 1, "refused": {}},
        "tampered": [],
        "hashes": {"public": {}, "outputs": {}},
        "finished": asked["started"] + 3.0,
    }
