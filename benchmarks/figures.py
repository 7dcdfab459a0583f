"""Draw the figures of docs/scoring.md from real runs: python -m benchmarks.figures (a minute)."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tasks import reference
from tasks.grading.leak import leak_z
from tasks.grading.marks import Marker
from tasks.grading.measures import estimate, one_hot, top
from tasks.grading.prediction import Prediction
from tasks.instance import Categorical, Seed, draw_classes
from tasks.prepared import prepare
from tasks.spec import Task

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "figures"
CEILINGS = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
REDRAWS = 2000
DARK, LIGHT, MARK = "#1b4f72", "#aeb6bf", "#ca6f1e"


def main():
    FOLDER.mkdir(exist_ok=True)
    for draw in (skill, posterior, leak):
        figure = Figure(figsize=(8, 3.2), dpi=120, layout="constrained")
        draw(figure)
        figure.savefig(FOLDER / f"{draw.__name__}.png", metadata={"Software": None})


def drawn(seed, **data):
    definition = {"id": "figure", "task_type": "classification", "data_requirements": data}
    return prepare(Task.from_dict(definition, source="figures"), Seed.public(seed)).instance


def models(instance):
    return {one.name: one.prediction for one in reference.panel(instance)}


def skill(figure):
    """One model at six difficulties: its accuracy says little until floor and ceiling are known."""
    marks = []
    for seed, ceiling in enumerate(CEILINGS):
        instance = drawn(seed, n_samples=5000, n_test=5000, ceiling=ceiling)
        marker = Marker(instance.contract, instance.answers)
        marks.append(marker.mark("accuracy", models(instance)["boosting"]))
    raw, relative = figure.subplots(1, 2)
    places = np.arange(len(marks))
    raw.vlines(places, [m.floor for m in marks], [m.ceiling for m in marks], color=LIGHT, lw=6)
    raw.plot(places, [m.score for m in marks], "o", color=DARK)
    raw.set_ylabel("accuracy (bar: floor to ceiling)")
    relative.vlines(places, 0, 1, color=LIGHT, lw=6)
    relative.plot(places, [m.skill for m in marks], "o", color=DARK)
    relative.set_ylabel("skill")
    for axes in (raw, relative):
        axes.set_xticks(places, [f"{ceiling:g}" for ceiling in CEILINGS])
        axes.set_xlabel("Bayes accuracy asked for")
        axes.set_ylim(0, 1.05)
    figure.suptitle("The same model on six instances", fontsize=10)


def posterior(figure):
    """One model graded on labels and on the law: fresh hidden rows, and the same rows again."""
    instance = drawn(1, n_samples=2000, n_test=20_000)
    p, rng = instance.answers.law.p, np.random.default_rng(0)
    codes = top(models(instance)["boosting"].p)
    panels = {
        "fresh rows and labels": lambda: rng.integers(len(p), size=2000),
        "the same rows, fresh labels": lambda: np.arange(2000),
    }
    for axes, (title, draw) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        scores = {"on labels": [], "on the law": []}
        for _ in range(REDRAWS):
            rows = draw()
            labels = one_hot(draw_classes(p[rows], rng.random(2000)), p.shape[1])
            for name, target in (("on labels", labels), ("on the law", p[rows])):
                said = Prediction(codes=codes[rows])
                scores[name].append(estimate("accuracy", said, Categorical(p=target)).value)
        for (name, values), color in zip(scores.items(), (LIGHT, DARK), strict=True):
            bins = np.linspace(0.82, 0.89, 36)
            label = f"{name}: sd {np.std(values):.4f}"
            axes.hist(values, bins=bins, color=color, alpha=0.8, label=label)
        axes.set_title(title, fontsize=10)
        axes.set_ylim(0, 0.17 * REDRAWS)
        axes.set_yticks([])
        axes.set_xlabel("accuracy of boosting on 2,000 hidden rows")
        axes.legend(fontsize=8)


def leak(figure):
    """z of honest models over redrawn labels, and of the same with some labels copied."""
    instance = drawn(2, n_samples=1000, n_test=5000)
    law, rng = instance.answers.law, np.random.default_rng(0)
    codes = top(models(instance)["boosting"].p)
    zs = {0: [], 5: [], 10: [], 20: []}
    for _ in range(REDRAWS):
        labels = draw_classes(law.p, rng.random(len(law.p)))
        for share, found in zs.items():
            copied = np.where(rng.random(len(labels)) < share / 100, labels, codes)
            found.append(leak_z(Prediction(codes=copied), law, labels))
    axes = figure.subplots()
    shades = (DARK, "#f0b27a", MARK, "#873600")
    for (share, found), color in zip(zs.items(), shades, strict=True):
        name = "honest" if share == 0 else f"{share} % of the labels copied"
        bins = np.arange(-4, 12.5, 0.5)
        axes.hist(found, bins=bins, density=True, color=color, alpha=0.7, label=name)
    grid = np.linspace(-4, 4, 200)
    normal = np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi)
    axes.plot(grid, normal, color="black", lw=1, label="standard normal")
    axes.axvline(4, color="black", ls=":", lw=1)
    axes.text(4.1, 0.4, "void beyond 4", fontsize=8)
    axes.set_xlabel("leak z, 5,000 hidden rows")
    axes.set_yticks([])
    axes.legend(fontsize=8)


if __name__ == "__main__":
    main()
