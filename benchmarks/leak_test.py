"""Measure the leak test: z of honest predictors on labels of the generator, and its power.

    python -m benchmarks.leak_test [FAMILY …]        (ten minutes for all on a slow core)

Calibration takes labels as the generator drew them, in blocks of 250 fresh rows: were a posterior
wrong, z would be off. Power redraws labels from the law and copies some of them into the
predictions of an honest model.
"""

import json
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from tasks import plugins
from tasks.grading.integrity import LEAK_THRESHOLD
from tasks.grading.leak import leak_z
from tasks.grading.prediction import Prediction
from tasks.grading.redraw import redrawn
from tasks.instance import (
    Bernoulli,
    Categorical,
    Durations,
    Gaussian,
    Mixture,
    Seed,
    Streams,
)

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs" / "benchmarks.md", ROOT / "benchmarks" / "leak_test.json"
SECTION = re.compile(r"(?<=\n)## The leak test\n.*?(?=\n## |\Z)", re.DOTALL)
SEEDS, BLOCKS, BLOCK_ROWS = 16, 100, 250
"""Instances, blocks of each, and rows of a block: 1,600 blocks in all."""
SIZES, SHARES, REDRAWS = (1000, 5000, 20_000), (0.0, 0.1, 0.2), 200
SMALL_IMAGES = {"image_size": (20, 20), "n_classes": 6, "n_samples": 200}

FAMILIES = {
    "classification": {},
    "classification, knobs": {
        "dataset_type": "classification",
        "structure": "rich",
        "missing_rate": 0.3,
        "mechanism": "MNAR",
        "label_noise": 0.1,
        "label_noise_kind": "instance",
        "shift": "label",
        "categorical": 2,
        "leakage_trap": 0.8,
    },
    "imbalanced": {},
    "regression": {},
    "regression, knobs": {
        "dataset_type": "regression",
        "structure": "rich",
        "missing_rate": 0.3,
        "mechanism": "MAR",
        "heteroscedastic": True,
        "shift": "concept",
        "duplicates_across": 0.2,
    },
    "tabular_missing": {"missing_rate": 0.3, "mechanism": "MAR"},
    "clustering": {},
    "anomaly": {},
    "multilabel": {"chain": True},
    "relational": {},
    "survival": {},
    "time_series": {"n_samples": 100, "horizon": 10, "period": 8, "gap_rate": 0.2},
    "time_series, regimes": {
        "dataset_type": "time_series",
        "n_samples": 100,
        "horizon": 10,
        "period": 8,
        "regimes": 3,
    },
    "image_classification": SMALL_IMAGES,
    "text_classification": {"n_samples": 200},
    "multi_modal": {"n_samples": 200, "image_size": (16, 16), "n_text_features": 50},
}
"""By name in the table: parameters; the family is the name up to a comma."""


def main(names):
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in names or FAMILIES:
        started = time.monotonic()
        found[name] = {
            "calibration": calibration(name),
            "power": power(name),
            "date": datetime.now(UTC).date().isoformat(),
        }
        print(f"{name}: {time.monotonic() - started:.0f} s {found[name]}", flush=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    write(found)


def drawn(name, seed, n_rows):
    """Return contract and answers of an instance with so many hidden rows."""
    parameters = {key: value for key, value in FAMILIES[name].items() if key != "dataset_type"}
    family = plugins.load("family", name.partition(",")[0])
    if "horizon" in parameters:
        parameters["n_series"] = n_rows // parameters["horizon"]
    else:
        parameters["n_test"] = n_rows
    instance = family.model_validate(parameters).draw(Streams(Seed.public(seed).secret))
    return instance.contract, instance.answers


# --- calibration -------------------------------------------------------------------------------


def calibration(name):
    """Return mean and deviation of z over the blocks, by predictor."""
    zs, n = {}, BLOCKS * BLOCK_ROWS
    for seed in range(1, SEEDS + 1):
        fewer = 5 if name == "survival" else 1  # which has at most 5,000 hidden rows
        for part in range(fewer):
            contract, answers = drawn(name, seed + 100 * part, n // fewer)
            said = predictors(answers.law, np.random.default_rng(seed))
            for model, prediction in said.items():
                zs.setdefault(model, []).extend(of_blocks(contract, answers, prediction))
    return {
        model: {"blocks": len(z), "mean": round(float(np.mean(z)), 4), "sd": round(sd(z), 4)}
        for model, z in zs.items()
    }


def sd(values):
    return float(np.std(values, ddof=1))


def of_blocks(contract, answers, prediction):
    found = []
    for start in range(0, len(answers.labels), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        found.append(
            leak_z(
                some_said(prediction, rows),
                some(answers.law, rows),
                answers.labels[rows],
                None if answers.groups is None else answers.groups[rows],
                clusters=contract.kind == "clusters",
            )
        )
    return found


def predictors(law, rng):
    """Return honest predictors: the best one (of values z of it is 0), and one that errs."""
    match law:
        case Categorical(p=p):
            wrong = np.exp(np.log(np.maximum(p, 1e-9)) / 2 + 0.7 * rng.standard_normal(p.shape))
            return {
                "oracle": Prediction(codes=p.argmax(axis=1)),
                "one that errs": Prediction(codes=wrong.argmax(axis=1)),
            }
        case Bernoulli(p=p):
            wrong = p + 0.3 * rng.standard_normal(p.shape)
            return {
                "oracle": Prediction(label_sets=(p > 0.5).astype(np.int64)),
                "one that errs": Prediction(label_sets=(wrong > 0.5).astype(np.int64)),
            }
        case Durations(scale=scale):
            wrong = scale * np.exp(0.5 * rng.standard_normal(scale.shape))
            return {"one that errs": Prediction(values=wrong)}
    wrong = law.mean + law.sd * rng.standard_normal(law.mean.shape)
    shrunk = 0.8 * law.mean + 0.2 * law.mean.mean()
    return {
        "one that errs": Prediction(values=wrong),
        "one that shrinks": Prediction(values=shrunk),
    }


# --- power -------------------------------------------------------------------------------------


def power(name):
    """Return the share of redraws in which copied labels are found, by rows and copied share."""
    found = {}
    for n in SIZES:
        if name == "survival" and n > SIZES[1]:
            continue
        contract, answers = drawn(name, 1, n)
        honest = [*predictors(answers.law, np.random.default_rng(0)).values()][-1]
        rng, alarms = np.random.default_rng(1), dict.fromkeys(SHARES, 0)
        for labels in redrawn(answers.law, np.random.default_rng(2), REDRAWS):
            for share in SHARES:
                copied = with_copied(honest, labels, rng.random(len(labels)) < share)
                z = leak_z(
                    copied,
                    answers.law,
                    labels,
                    answers.groups,
                    clusters=contract.kind == "clusters",
                )
                alarms[share] += z is not None and abs(z) > LEAK_THRESHOLD
        found[str(n)] = {f"{share:g}": alarms[share] / REDRAWS for share in SHARES}
    return found


def with_copied(said, labels, rows):
    if said.codes is not None:
        return Prediction(codes=np.where(rows, labels, said.codes))
    if said.label_sets is not None:
        return Prediction(label_sets=np.where(rows[:, None], labels, said.label_sets))
    return Prediction(values=np.where(rows, labels, said.values))


# --- slices ------------------------------------------------------------------------------------


def some_said(said, rows):
    return Prediction(
        codes=None if said.codes is None else said.codes[rows],
        label_sets=None if said.label_sets is None else said.label_sets[rows],
        values=None if said.values is None else said.values[rows],
    )


def some(law, rows):
    match law:
        case Categorical(p=p):
            return Categorical(p=p[rows])
        case Bernoulli(p=p, given=given):
            return Bernoulli(p=p[rows], given=None if given is None else given[rows])
        case Durations(scale=scale, shape=shape):
            return Durations(scale=scale[rows], shape=shape)
        case Gaussian(mean=mean, sd=spread, covariance=covariance):
            return Gaussian(mean=mean[rows], sd=spread[rows], covariance=blocks(covariance, rows))
        case Mixture(weights=weights, means=means, sds=sds, covariance=covariance):
            return Mixture(
                weights=weights[rows],
                means=means[rows],
                sds=sds[rows],
                covariance=blocks(covariance, rows),
            )


def blocks(covariance, rows):
    if covariance is None:
        return None
    size = covariance.shape[1]
    return covariance[rows.start // size : rows.stop // size]


# --- the page ----------------------------------------------------------------------------------


def write(found):
    """Put the tables into their section, which is made at the end if it is not there."""
    names = [name for name in FAMILIES if name in found]
    lines = ["| family | predictor | blocks | mean of z | sd of z |", "|---|---|---|---|---|"]
    lines += [
        f"| {name} | {model} | {z['blocks']} | {z['mean']:+.3f} | {z['sd']:.3f} |"
        for name in names
        for model, z in found[name]["calibration"].items()
    ]
    head = " | ".join(f"{n:,}: {share:.0%}" for n in SIZES for share in SHARES)
    powers = [f"| family | {head} |", f"|---|{'---|' * len(SIZES) * len(SHARES)}"]
    powers += [f"| {name} | {' | '.join(shares_found(found[name]['power']))} |" for name in names]
    text = SAID.format(
        seeds=SEEDS,
        blocks=SEEDS * BLOCKS,
        rows=BLOCK_ROWS,
        redraws=REDRAWS,
        calibration="\n".join(lines),
        power="\n".join(powers),
    )
    page = PAGE.read_text(encoding="utf-8").rstrip("\n") + "\n"
    page = SECTION.sub(lambda _: text, page) if SECTION.search(page) else f"{page}\n{text}"
    PAGE.write_text(page, encoding="utf-8")


def shares_found(power):
    return [shown(power, n, share) for n in SIZES for share in SHARES]


def shown(found, n, share):
    alarms = found.get(str(n), {}).get(f"{share:g}")
    return "-" if alarms is None else f"{alarms:.2f}"


SAID = """## The leak test

Measured by `python -m benchmarks.leak_test`. z of honest predictors over {blocks} blocks of {rows}
fresh rows of {seeds} instances, labels as the generator drew them: where posteriors are right, its
mean is 0 (± 0.08 at three standard errors) and its deviation 1 (± 0.05). Of values the best
predictor leans to no side, so that others are shown; effects of treatment (`causal`) are known
numbers, with no chance in them to test.

{calibration}

Power: the share of {redraws} redraws in which |z| passes 4 when that share of the labels is copied
into the predictions of the last predictor above, by hidden rows.

{power}
"""

if __name__ == "__main__":
    if sys.argv[1:] == ["--page"]:
        write(json.loads(RESULTS.read_text()))
    else:
        main(sys.argv[1:])
