"""Runs inside the sandbox of a replay: a saved solution, where it looks for its data.

    python rerun.py

`AEXP_SOLUTION` names it below `code/` beside this file. It runs as it was saved, in `$CODE_DIR`,
with `input` and `working` in its working directory, as AIDE's solutions have them. What it leaves
there as submission.csv is handed in, unless it does so itself. Python 3.8 or later, no packages.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

LEFT = ("working/submission.csv", "submission.csv", "working/submission.parquet")


def main() -> int:
    """Run the solution; return how it ended."""
    saved, name = Path(__file__).resolve().parent / "code", os.environ["AEXP_SOLUTION"]
    code, out = Path(os.environ["CODE_DIR"]), Path(os.environ["SUBMISSION_DIR"])
    place = Path(os.environ["EXPERIMENT_DIR"]) / "workspace"
    _copy(saved, code)
    (place / "working").mkdir(exist_ok=True)
    (place / "input").symlink_to(os.environ["DATA_DIR"])
    status = subprocess.run([sys.executable, str(code / name)], cwd=place, check=False).returncode
    for left in LEFT:
        handed_in = out / Path(left).name
        if (place / left).is_file() and not any(out.iterdir()):
            shutil.copyfile(place / left, handed_in)
    return status if status >= 0 else 128 - status


def _copy(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(exist_ok=True)
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


if __name__ == "__main__":
    sys.exit(main())
