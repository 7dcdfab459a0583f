"""Measure whether images have a reason to be deep: skill of flat and convolutional models.

    python -m benchmarks.deep [--tasks ID …] [--rows 1000 5000 20000] [--seeds 3]

Three models learn the images of shipped tasks at each number of rows: logistic regression on the
pixels, the image model of the experiment agent, and a small convolutional net on the CPU, which
needs the extra `dl`.
Skill is (score - floor) / (ceiling - floor) of the accuracy under the posterior. The table goes to
the section "Images" of docs/benchmarks.md.
"""

import argparse
import logging
import re
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from tasks.instance import Seed, Streams
from tasks.registry import TEMPLATES
from tasks.spec import Task

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
TASKS = (
    "deep_learning_image_classification",
    "deep_learning_occluded",
    "deep_learning_rotated",
)
"""Of grey images, 32 by 32 pixels."""
SECTION = re.compile(r"(?<=\n)## Images\n.*?(?=\n## |\Z)", re.DOTALL)
PENALTIES = (0.003, 0.01, 0.03, 0.1)
MOST_SECONDS = 100
"""What the agent's model may take for one fit."""
LOOKS = 80_000
"""Images that the net learns from, one as often as it takes."""
PAD = 2
"""Pixels by which the net's training images are shifted at random."""

log = logging.getLogger(__name__)


def main(argv):
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 5000, 20_000])
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    found = {}
    for seed in range(given.seeds):
        for task in given.tasks:
            measure(task, given.rows, seed, found)
        write(found, given.rows)


def measure(task, rows, seed, found):
    """Add skill and seconds of each model by task, model and number of rows."""
    train, labels, test, p = drawn(task, max(rows), seed)
    for n in rows:
        for name, fit in MODELS.items():
            started = time.monotonic()
            torch.manual_seed(seed)
            codes = fit(train[:n], labels[:n], test)
            seconds = time.monotonic() - started
            found.setdefault((task, name, n), []).append((skill(codes, p), seconds))
            log.info("%s, seed %s, %s rows, %s: %s", task, seed, n, name, found[task, name, n][-1])


def drawn(task, n, seed):
    """Return standardised images and labels of train, images of test, and the law."""
    family = Task.load(TEMPLATES / f"{task}.json").family
    instance = family.model_copy(update={"n_samples": n, "n_test": 4000, "files": "npz"}).draw(
        Streams(Seed.public(seed).secret)
    )
    stacks = {}
    for part in ("train", "test"):
        with TemporaryDirectory() as folder:
            path = Path(folder) / "images.npz"
            instance.public[f"{part}.npz"].write(path)
            with np.load(path) as stored:
                stacks[part] = (stored["images"].astype(np.float32) - 108) / 50
    labels = instance.public["train"].columns()["target"]
    return stacks["train"], labels, stacks["test"], instance.answers.law.p


def skill(codes, p):
    score = p[np.arange(len(p)), codes].mean()
    floor = p.mean(axis=0).max()
    return float((score - floor) / (p.max(axis=1).mean() - floor))


# --- models ------------------------------------------------------------------------------------


def logistic(train, labels, test):
    """Multinomial logistic regression; the penalty is chosen on a fifth of the rows."""
    x, y = torch.tensor(train).flatten(1), torch.tensor(labels)
    fresh = torch.tensor(test).flatten(1)
    out = len(x) // 5
    losses = [
        nn.functional.cross_entropy(linear(x[out:], y[out:], penalty)(x[:out]), y[:out]).item()
        for penalty in PENALTIES
    ]
    best = linear(x, y, PENALTIES[int(np.argmin(losses))])
    return best(fresh).argmax(dim=1).numpy()


def linear(x, y, penalty):
    model = nn.Linear(x.shape[1], int(y.max()) + 1)
    nn.init.zeros_(model.weight)
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        value = nn.functional.cross_entropy(model(x), y) + penalty * model.weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return model.requires_grad_(False)


def agent(train, labels, test):
    """Mixtures of shifted templates, as the experiment agent fits them."""
    sys.path.insert(0, str(ROOT / "agents" / "experiment"))
    import image_model

    p = image_model.fit_predict_proba(
        train, labels, test, deadline=time.monotonic() + MOST_SECONDS, log=log.debug
    )
    return p.argmax(axis=1)


def convolutional(train, labels, test):
    """Two convolutions and a linear layer, on images shifted at random, `LOOKS` in all."""
    x, y = torch.tensor(train)[:, None], torch.tensor(labels)
    model = net(int(y.max()) + 1)
    batch, steps = 64, LOOKS // 64
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.004, total_steps=steps)
    padded = nn.functional.pad(x, (PAD,) * 4)
    size = x.shape[-1]
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,))
        top, left = torch.randint(2 * PAD + 1, (2,)).tolist()
        seen = padded[rows, :, top : top + size, left : left + size]
        loss = nn.functional.cross_entropy(model(seen), y[rows], label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        parts = [model(part).argmax(dim=1) for part in torch.tensor(test)[:, None].split(500)]
    return torch.cat(parts).numpy()


def net(n_classes):
    def stage(channels, more, width, stride):
        return (
            nn.Conv2d(channels, more, width, stride, padding=width // 2, bias=False),
            nn.BatchNorm2d(more),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )

    return nn.Sequential(
        *stage(1, 24, 7, stride=2),
        *stage(24, 48, 3, stride=1),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(48 * 4 * 4, n_classes),
    )


MODELS = {
    "logistic regression on pixels": logistic,
    "experiment agent": agent,
    "convolutional net": convolutional,
}


# --- the page ----------------------------------------------------------------------------------


def write(found, rows):
    """Put the table into its section, which is made at the end of the page if it is not there."""
    lines = [
        f"| task | model | {' | '.join(f'{n:,} images' for n in rows)} |",
        f"|---|---|{'---|' * len(rows)}",
    ]
    lines += [
        f"| `{task}` | {name} | {' | '.join(cell(found.get((task, name, n))) for n in rows)} |"
        for task, name in dict.fromkeys(key[:2] for key in found)
    ]
    text = SAID.format(seconds=MOST_SECONDS, table="\n".join(lines))
    page = PAGE.read_text(encoding="utf-8").rstrip("\n") + "\n"
    page = SECTION.sub(lambda _: text, page) if SECTION.search(page) else f"{page}\n{text}"
    PAGE.write_text(page, encoding="utf-8")


def cell(measured):
    """Return mean skill, its range where there are several seeds, and the median seconds."""
    if measured is None:
        return "not measured"
    skills, seconds = zip(*measured, strict=True)
    span = f" ({min(skills):.2f} to {max(skills):.2f})" if len(skills) > 1 else ""
    return f"{np.mean(skills):.2f}{span}, {np.median(seconds):.0f} s"


SAID = """## Images

Whether tasks on images have a reason to be deep, measured by `python -m benchmarks.deep` with torch
2.13.0 on the CPU (the extra `dl`): mean skill, its range where several seeds were measured, and the
median seconds of a fit, with much other work going on. The agent's model stops after {seconds} s.
Skill 1 is the Bayes classifier, 0 the most frequent class.

{table}
"""

if __name__ == "__main__":
    main(sys.argv[1:])
