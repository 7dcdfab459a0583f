"""The same trivial trial here and in Inspect AI, in one run: what a trial costs beyond start-up.

`python -m benchmarks.peers.run SCRATCH` makes an environment of Inspect AI from PyPI in the folder
SCRATCH, if there is none, and runs 20 and 200 trials of each, two at a time, in turns.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import suites

FEW, MANY = 20, 200
SCRIPT = Path(__file__).with_name("inspect_local.py")


def environment(scratch: Path) -> Path:
    """Return the Python of an environment that holds Inspect AI."""
    python = scratch / "inspect" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(scratch / "inspect")], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "inspect-ai", "openai"],
                       check=True)  # fmt: skip
    return python


def inspect(python: Path, trials: int) -> dict[str, float]:
    """Run Inspect AI's trials in a process of its own."""
    done = subprocess.run(
        [python, str(SCRIPT), str(trials), "2"], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def ours(trials: int) -> dict[str, float]:
    """Run a suite of as many trials."""
    with tempfile.TemporaryDirectory() as folder:
        return suites.throughput(Path(folder), trials)


def main() -> None:
    """Print the cost of a trial beyond start-up, and that of start-up."""
    python = environment(Path(sys.argv[1]).absolute())
    print(f"{'':<12}{'SECONDS A TRIAL':>17}{'CPU MS A TRIAL':>17}{'START-UP S':>12}{'BYTES':>9}")
    for name, run in (("aexp", ours), ("inspect-ai", lambda n: inspect(python, n))):
        few, many = run(FEW), run(MANY)
        each = {key: (many[key] - few[key]) / (MANY - FEW) for key in ("wall_s", "cpu_s")}
        start = few["wall_s"] - FEW * each["wall_s"]
        print(f"{name:<12}{each['wall_s']:>17.3f}{each['cpu_s'] * 1e3:>17.1f}{start:>12.1f}"
              f"{many['bytes']:>9.0f}")  # fmt: skip


if __name__ == "__main__":
    main()
