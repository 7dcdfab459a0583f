"""An example: the class whose rows lie nearest on average, or the mean, by Python alone."""

import csv
import json
import os
import shutil
from collections import defaultdict
from pathlib import Path


def main() -> None:
    """Read the data, predict, hand in, keep the code."""
    data, out = Path(os.environ["DATA_DIR"]), Path(os.environ["SUBMISSION_DIR"])
    form = json.loads(Path(os.environ["TASK_CONFIG"]).read_text(encoding="utf-8"))["submission"]
    train, test = rows(data / "train.csv"), rows(data / "test.csv")
    key, target = form["id_column"], form["target"]
    names = [name for name in test[0] if name != key and all(is_number(r[name]) for r in train)]
    if form["kind"] == "classes":
        said = nearest(train, test, names, target)
    else:
        mean = sum(float(row[target]) for row in train) / len(train)
        said = [str(mean)] * len(test)
    with (out / form["file"]).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([key, target])
        writer.writerows((row[key], value) for row, value in zip(test, said, strict=True))
    copy = Path(os.environ["CODE_DIR"]) / "solution.py"
    if Path(__file__).resolve() != copy.resolve():
        shutil.copyfile(__file__, copy)
    print(f"predicted {len(test)} rows from {len(names)} columns")


def rows(path: Path) -> list:
    """Return the rows of a table, a dict each."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def is_number(text: str) -> bool:
    """Whether a cell is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def nearest(train: list, test: list, names: list, target: str) -> list:
    """Return for each row the class with the nearest centre."""
    groups = defaultdict(list)
    for row in train:
        groups[row[target]].append([float(row[name]) for name in names])
    centres = {
        label: [sum(column) / len(column) for column in zip(*found, strict=True)]
        for label, found in sorted(groups.items())
    }

    def closest(row: dict) -> str:
        values = [float(row[name] or "nan") for name in names]

        def far(label: str) -> float:
            return sum((a - b) ** 2 for a, b in zip(values, centres[label], strict=True))

        return min(centres, key=far)

    return [closest(row) for row in test]


if __name__ == "__main__":
    main()
