"""Folders of suites as `begin` and workers leave them, made without running anything."""

import json

from tasks.store.folders import Product, SuiteFolder

PRODUCT = Product(tasks=("one", "two"), agents=("a", "b"), repeats=3)


def report(**changes):
    base = {
        "trial": {"started": 1.0},
        "outcome": {"reason": "finished", "seconds": 2.0, "cpu_seconds": 1.0},
        "evaluation": {
            "success": True,
            "overall_score": 0.5,
            "submission": {"valid": True, "file": "submission.csv"},
        },
        "grader_error": None,
        "finished": 4.0,
    }
    return {**base, **changes}


def begun(root, name="suite", product=PRODUCT, most_faults=3):
    """Make a suite's folder as `begin` does, without tasks or agents."""
    folder = SuiteFolder(root / name)
    folder.trials.mkdir(parents=True)
    plan = {
        "created": 5.0,
        "most_faults": most_faults,
        "tasks": [{"id": task} for task in product.tasks],
        "agents": [{"name": agent} for agent in product.agents],
        "repeats": product.repeats,
    }
    folder.plan_file.write_text(json.dumps(plan))
    return folder


def graded(folder, n, attempt=1, **changes):
    place = folder.attempt(PRODUCT.cell(n), attempt)
    place.mkdir()
    (place / "report.json").write_text(json.dumps(report(**changes)))
