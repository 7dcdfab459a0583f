"""Measure learning curves: the panel's skill at growing numbers of rows, over twelve seeds.

    python -m benchmarks.learning_curves [FAMILY …] [--seeds N] [--sizes N …]

What was measured before is kept, and only what is missing is measured: an hour for all.
"""

import argparse
import json
import re
import time
from pathlib import Path

import numpy as np

from tasks import calibrate
from tasks.instance import Seed
from tasks.prepared import prepare
from tasks.spec import Task

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs" / "benchmarks.md", ROOT / "benchmarks" / "learning_curves.json"
SECTION = re.compile(r"(?<=\n)## Learning curves\n.*?(?=\n## |\Z)", re.DOTALL)
SIZES, SEEDS = (1000, 10_000, 100_000), 12
SMALL_IMAGES = {"image_size": (20, 20), "n_classes": 6}
FAMILIES = {
    "classification": ("classification", {}),
    "classification, rich": ("classification", {"structure": "rich"}),
    "imbalanced": ("classification", {"dataset_type": "imbalanced"}),
    "regression": ("regression", {}),
    "tabular_missing": ("classification", {"dataset_type": "tabular_missing"}),
    "clustering": ("clustering", {}),
    "anomaly": ("anomaly_detection", {"dataset_type": "anomaly"}),
    "multilabel": ("multilabel", {}),
    "relational": ("relational", {}),
    "causal": ("causal_effect", {"dataset_type": "causal"}),
    "survival": ("survival", {}),
    "time_series": ("time_series", {"n_series": 4}),
    "text_classification": ("text_classification", {}),
    "image_classification": ("image_classification", SMALL_IMAGES),
    "multi_modal": ("multi_modal", {"image_size": (16, 16), "n_text_features": 50}),
}
BY_HORIZON = {"time_series"}
"""Whose hidden rows are the steps to come; rows are steps of each series."""
CRITERIA = {"imbalanced": {"min_roc_auc": 0.5}}
"""By which a family is measured, where it is not the task type's own measure."""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("families", nargs="*", default=list(FAMILIES))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--page", action="store_true", help="Write the page only.")
    given = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for size in [] if given.page else given.sizes:
        for seed in range(1, given.seeds + 1):
            for name in given.families:
                measure(found, name, size, seed)
    write(found)


def measure(found, name, size, seed):
    """Add the skill of each model, unless it is there."""
    skills = found.setdefault(name, {})
    if any(str(seed) in seeds.get(str(size), {}) for seeds in skills.values()):
        return
    task_type, data = FAMILIES[name]
    rows = {} if name in BY_HORIZON else {"n_test": 4000}
    definition = {
        "id": "curve",
        "task_type": task_type,
        "data_requirements": {**rows, **data, "n_samples": size},
        "evaluation_criteria": CRITERIA.get(name, {}),
    }
    started = time.monotonic()
    task = Task.from_dict(definition, source="learning curves")
    for point in calibrate.panel_points(prepare(task, Seed.public(seed)), seed):
        by_size = skills.setdefault(point.model, {}).setdefault(str(size), {})
        by_size[str(seed)] = round(point.skill, 4)
        skills[point.model]["measure"] = calibrate.measure_of(task)
    print(f"{name}, {size:,} rows, seed {seed}: {time.monotonic() - started:.1f} s", flush=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def write(found):
    """Put the table into its section, which is made at the end if it is not there."""
    lines = [
        f"| family | measure | model | {' | '.join(f'{n:,} rows' for n in SIZES)} |",
        f"|---|---|---|{'---|' * len(SIZES)}",
    ]
    lines += [
        f"| {name} | {by_size['measure']} | {model} | "
        f"{' | '.join(cell(by_size.get(str(n))) for n in SIZES)} |"
        for name in FAMILIES
        for model, by_size in found.get(name, {}).items()
    ]
    text = SAID.format(table="\n".join(lines))
    page = PAGE.read_text(encoding="utf-8").rstrip("\n") + "\n"
    page = SECTION.sub(lambda _: text, page) if SECTION.search(page) else f"{page}\n{text}"
    PAGE.write_text(page, encoding="utf-8")


def cell(seeds):
    if not seeds:
        return "not measured"
    skills = list(seeds.values())
    span = f"{np.mean(skills):.2f} ({min(skills):.2f} to {max(skills):.2f})"
    return span if len(skills) == SEEDS else f"{span}, {len(skills)} seeds"


SAID = """## Learning curves

Measured by `python -m benchmarks.learning_curves`: mean skill (and range) over 12 seeds of models
of scikit-learn as they come, by the rows they learn from; 4,000 hidden rows. 0 is the floor and 1
the ceiling. `linear` sees text as word counts and images as flat pixels, no model of these looks
at a second table, and of series (rows are steps of each of four) they see values of one to four
horizons before, of the latest 100,000 rows.

{table}
"""

if __name__ == "__main__":
    main()
