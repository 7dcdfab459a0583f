"""Measure how fast data are made and graded, each figure beside its floor: a few minutes.

python -m benchmarks.generation
"""

import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from tasks.datasets.writer import as_frame, write_table
from tasks.families import Classification, ImageClassification
from tasks.instance import Seed, Streams, draw_classes

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
SECTION = re.compile(r"(?<=\n)## Making data\n.*?(?=\n## |\Z)", re.DOTALL)
REPEATS = 9

WRITE = """
import sys, time
from pathlib import Path
from tasks.datasets.writer import as_frame, write_table
from tasks.families import Classification
from tasks.instance import Seed, Streams
table = Classification(n_samples=10_000_000, n_features=20).draw(Streams(Seed.public(1).secret))
as_frame({name: values[:1] for name, values in table.public["test"].chunk(0).items()})
begin, cpu = time.perf_counter(), time.process_time()
write_table(table.public["train"], Path(sys.argv[1]))
took = time.perf_counter() - begin, time.process_time() - cpu
# The peak that getrusage tells is inherited from the parent.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(*took, int(status["VmHWM"].split()[0]) / 1024)
"""
SKLEARN = """
import sys, time
from sklearn.datasets import make_classification
begin, cpu = time.perf_counter(), time.process_time()
make_classification(int(sys.argv[1]), 20, n_informative=12, n_classes=3, random_state=0)
print(time.perf_counter() - begin, time.process_time() - cpu)
"""
GRADE = """
import sys
import numpy as np
from tasks.grading.integrity import examine
from tasks.grading.marks import Marker
from tasks.grading.prediction import Prediction
from tasks.instance import Answers, Categorical, Contract
with np.load(sys.argv[1]) as stored:
    p, labels, codes = stored["p"], stored["labels"], stored["codes"]
classes = tuple(str(k) for k in range(p.shape[1]))
contract = Contract(kind="classes", ids=np.arange(len(p)), classes=classes)
trivial = {"prior": np.broadcast_to(p.mean(axis=0), p.shape)}
answers = Answers(labels=labels, law=Categorical(p=p), trivial=trivial)
print(Marker(contract, answers).mark("accuracy", Prediction(codes=codes)))
print(examine(Prediction(codes=codes), contract, answers))
"""
LOOK_UP = """
import sys
import numpy as np
with np.load(sys.argv[1]) as stored:
    p, labels, codes = stored["p"], stored["labels"], stored["codes"]
print(np.mean(p[np.arange(len(p)), codes]), np.mean(labels == codes))
"""


@dataclass(frozen=True)
class Cost:
    """What a run takes at best: seconds on the clock, and of all cores together."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Figure:
    """One figure beside a floor or a peer of the same run."""

    what: str
    ours: Cost
    other: Cost
    other_is: str
    target: str


def least(costs):
    """Return the least of repeated runs: what other processes take only adds."""
    return Cost(wall=min(cost.wall for cost in costs), cpu=min(cost.cpu for cost in costs))


def timed(function, repeats=REPEATS):
    costs = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        function()
        costs.append(Cost(time.perf_counter() - wall, time.process_time() - cpu))
    return least(costs)


def whole(code, *arguments, repeats=REPEATS):
    """Return what whole processes take, start and imports included."""
    costs = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin = time.perf_counter()
        child(code, *arguments)
        wall = time.perf_counter() - begin
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        costs.append(Cost(wall, cpu))
    return least(costs)


def child(code, *arguments):
    # As installed packages are, ours is compiled before it is measured.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def numbers(code, *arguments):
    return [float(number) for number in child(code, *arguments).split()]


def drawn(n, **parameters):
    family = Classification(n_samples=n, n_features=20, **parameters)
    return family.draw(Streams(Seed.public(1).secret))


def tables(scratch):
    train = drawn(1_000_000).public["train"]
    frame = as_frame(train.columns())
    for kind, target in (("parquet", "0.4 s"), ("csv", "1.0 s")):
        file = scratch / f"train.{kind}"
        write = (
            partial(frame.write_parquet, compression="uncompressed")
            if kind == "parquet"
            else frame.write_csv
        )
        yield Figure(
            f"1,000,000 x 20, drawn and written as {kind}",
            timed(lambda file=file: write_table(train, file)),
            timed(lambda write=write, file=file: write(file)),
            "polars writes it",
            target,
        )
    yield Figure(
        "1,000,000 x 20, drawn on one core",
        timed(lambda: [train.chunk(k) for k in range(train.n_chunks)]),
        least([Cost(*numbers(SKLEARN, 1_000_000)) for _ in range(3)]),
        "`make_classification`",
        "a third",
    )


def large(scratch):
    runs = [numbers(WRITE, scratch / "large.parquet") for _ in range(3)]
    ours = least([Cost(wall, cpu) for wall, cpu, _ in runs])
    peak = max(peak for *_, peak in runs)
    yield Figure(
        f"10,000,000 x 20, drawn and written as parquet: peak {peak:,.0f} MB",
        ours,
        Cost(*numbers(SKLEARN, 10_000_000)),
        "`make_classification`, in memory",
        "3.3 s (3 M rows/s), 400 MB; a sixth",
    )


def images(scratch):
    family = ImageClassification(n_samples=5000, n_test=100)
    instance = family.draw(Streams(Seed.public(1).secret))

    def noise():
        np.random.default_rng(0).standard_normal((5000, 32, 32), dtype=np.float32)

    yield Figure(
        "5,000 images of 32 x 32, drawn and written",
        timed(lambda: instance.public["train.npz"].write(scratch / "train.npz")),
        timed(noise),
        "their noise",
        "1 s",
    )


def grading(scratch):
    rng = np.random.default_rng(0)
    p = rng.random((1_000_000, 10))
    p /= p.sum(axis=1, keepdims=True)
    labels = draw_classes(p, rng.random(len(p)))
    np.savez(scratch / "law.npz", p=p, labels=labels, codes=rng.integers(10, size=len(p)))
    yield Figure(
        "1,000,000 rows x 10 classes graded on the law, with floor, ceiling and leak test, "
        "whole process",
        whole(GRADE, scratch / "law.npz"),
        whole(LOOK_UP, scratch / "law.npz"),
        "read, look up and average",
        "0.8 s",
    )


def main():
    found = []
    for group in (tables, images, grading, large):
        with tempfile.TemporaryDirectory() as folder:
            for figure in group(Path(folder)):
                found.append(figure)
                print(figure, flush=True)
    write(found)


def write(found):
    rows = [
        f"| {one.what} | {one.ours.wall:.2f} s | {one.ours.cpu:.2f} s | {one.other_is}: "
        f"{one.other.wall:.2f} s, {one.other.cpu:.2f} s | {one.ours.wall / one.other.wall:.2f}, "
        f"{one.ours.cpu / one.other.cpu:.2f} | {one.target} |"
        for one in found
    ]
    busy = os.getloadavg()[0]
    text = SAID.format(
        machine=f"{os.cpu_count()} virtual cores, {platform.system()}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}",
        load=f"{busy:.0f}",
        rows="\n".join(rows),
    )
    page = PAGE.read_text(encoding="utf-8").rstrip("\n") + "\n"
    page = SECTION.sub(lambda _: text, page) if SECTION.search(page) else f"{page}\n{text}"
    PAGE.write_text(page, encoding="utf-8")


SAID = """## Making data

Measured by `python -m benchmarks.generation` on {machine}, while about {load} processes wanted
the same cores; the least of several runs. CPU is that of all cores together, and what other
processes take does not count there.

| figure | on the clock | CPU | floor or peer in the same run | ratios | target |
|---|---|---|---|---|---|
{rows}
"""

if __name__ == "__main__":
    main()
