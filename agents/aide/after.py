"""After AIDE: run its best solution once more, and hand in what that writes.

AIDE leaves in `working/submission.csv` what ran last, which need not be what it found best.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path


def main(logs: Path, scratch: Path) -> int:
    """Find the best solution, run it, hand in; say what happened."""
    found = sorted(logs.glob("*/best_solution.py"))
    if not found:
        print("AIDE found no solution that works")
        return 1
    code = Path(os.environ["CODE_DIR"]) / "best_solution.py"
    shutil.copyfile(found[-1], code)
    (scratch / "working").mkdir(parents=True)
    (scratch / "input").symlink_to(os.environ["DATA_DIR"])
    ran = subprocess.run([sys.executable, str(code)], cwd=scratch, check=False)
    submission = scratch / "working" / "submission.csv"
    if not submission.is_file():
        print(f"the best solution ended with status {ran.returncode} and wrote no submission")
        return 1
    shutil.copyfile(submission, Path(os.environ["SUBMISSION_DIR"]) / "submission.csv")
    print("handed in what the best solution wrote")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
