"""Measure the shipped tasks again: `tasks/catalogue.json`, which `list` reads, and `docs/tasks.md`.

    python -m benchmarks.catalogue [TASK …]        (an hour for all on a slow core)
    python -m benchmarks.catalogue --default TASK … (the default pipeline only)
    python -m benchmarks.catalogue --page          (writes the page only)

For each task the panel and the experiment agent work on four public seeds; the means are recorded,
by the task's primary measure.
"""

import json
import math
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tasks import calibrate
from tasks.registry import CATALOGUE, TEMPLATES, TaskRegistry, data_digest

SEEDS = 4
TIME_LIMIT_S = 900
PACKAGES = ("numpy", "scikit-learn")
PAGE = Path(__file__).resolve().parent.parent / "docs" / "tasks.md"

HEAD = """\
# The shipped tasks

Made by `python -m benchmarks.catalogue`; do not edit.

Floor, agent and ceiling are means over {seeds} public seeds, by the measure named. The **floor** is
the best predictor that looks at no feature, the **agent** the shipped experiment agent, the
**ceiling** the Bayes-optimal decision (tier K: the best of a recorded panel). **Skill** is
(agent - floor) / (ceiling - floor), **default** that of a default pipeline: a linear model of
scikit-learn as it comes (series by lagged values, images by their pixels, texts by counts of
words), or, of an analysis, the claims that a profile of the columns and their correlations suggest.
A label promises at least so large a difference of the two, the headroom: `medium` 0.1, `hard` 0.2;
`easy` promises nothing.
[Scoring](scoring.md) explains the numbers; `aexp show ID` has the whole task, `aexp calibrate ID`
measures one again.

Tiers: **E** exact, **B** by Bayes inversion, **M** by Monte Carlo, **K** bracketed by a panel.
"""


def main(words):
    catalogue = json.loads(CATALOGUE.read_text()) if CATALOGUE.is_file() else {"tasks": {}}
    shipped = {task.id: task for task in TaskRegistry(TEMPLATES).list_tasks()}
    if words[:1] == ["--default"]:
        for name in words[1:]:
            catalogue["tasks"][name] = with_default(shipped[name], catalogue["tasks"][name])
            print(name, catalogue["tasks"][name]["linear_skill"], flush=True)
            write(catalogue, shipped)
        return
    for name in [] if words == ["--page"] else words or shipped:
        found = list(
            calibrate.points([shipped[name]], SEEDS, agent_rows=math.inf, time_limit=TIME_LIMIT_S)
        )
        catalogue["tasks"][name] = entry(shipped[name], found)
        print(name, catalogue["tasks"][name], flush=True)
        write(catalogue, shipped)
    write(catalogue, shipped)


def write(catalogue, shipped):
    kept = {
        name: catalogue["tasks"][name] for name in sorted(shipped) if name in catalogue["tasks"]
    }
    catalogue["tasks"] = kept
    CATALOGUE.write_text(json.dumps(catalogue, indent=1) + "\n")
    PAGE.write_text(page(catalogue, shipped.values()))


def entry(task, found):
    """Return what is recorded of a task; `found` are the points of its own size."""
    by_model = {one.model: one for one in calibrate.summaries(found)}
    agent, default = by_model.get("agent"), default_of(by_model)
    return {
        "measure": calibrate.measure_of(task),
        "floor": rounded(agent.floor),
        "agent": rounded(agent.score),
        "ceiling": rounded(agent.ceiling),
        "skill": rounded(agent.skill),
        "lowest_skill": rounded(agent.lowest),
        "linear_skill": None if default is None else rounded(default.skill),
        "seconds": round(agent.seconds, 1),
        "seeds": agent.seeds,
        "tier": task.family.tier,
        "generator": task.family.version,
        "data": data_digest(task),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {package: version(package) for package in PACKAGES},
    }


def default_of(by_model):
    return next((by_model[name] for name in calibrate.DEFAULTS if name in by_model), None)


def with_default(task, known):
    """Return an entry with the default pipeline measured again, without the agent."""
    found = list(calibrate.points([task], SEEDS))
    default = default_of({one.model: one for one in calibrate.summaries(found)})
    return known | {"linear_skill": None if default is None else rounded(default.skill)}


def rounded(number):
    return float(np.round(number, 4))


def page(catalogue, shipped):
    """Return docs/tasks.md."""
    lines = [HEAD.format(seeds=SEEDS)]
    tasks = sorted(shipped, key=lambda task: (task.task_type, task.id))
    lines.append(f"{len(tasks)} tasks of {len({task.task_type for task in tasks})} types.\n")
    for task_type in sorted({task.task_type for task in tasks}):
        lines.append(f"## {task_type}\n")
        lines.append(
            "| id | difficulty | what | criteria | measure | floor | agent | ceiling | skill "
            "| default | tier |"
        )
        lines.append("|---|---|---|---|---|---|---|---|---|---|---|")
        lines += [
            row(task, catalogue["tasks"].get(task.id))
            for task in tasks
            if task.task_type == task_type
        ]
        lines.append("")
    return "\n".join(lines)


def row(task, measured):
    criteria = ", ".join(f"{key} {value}" for key, value in task.evaluation_criteria.items())
    cells = [f"`{task.id}`", task.difficulty, task.description, criteria]
    if measured is None:
        return f"| {' | '.join([*cells, 'not measured', *'------'])} |"
    cells.append(measured["measure"])
    numbers = ("floor", "agent", "ceiling", "skill", "linear_skill")
    cells += [shown(measured[key]) for key in numbers]
    return f"| {' | '.join([*cells, measured['tier']])} |"


def shown(number):
    return "-" if number is None else f"{number:.3f}"


if __name__ == "__main__":
    main(sys.argv[1:])
