"""The process in which a tracker runs: reads orders from its input, answers on its output.

One JSON object a line. In: `{"do": "start" | "event" | "finish" | "replay", "trial": FOLDER, …}`.
Out: `{"trial": …, "where": …}` when one is written, `{"trial": …, "warning": …}` where it is not.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, TextIO

from tasks.trackers.base import Tracked, Tracker, tracker_named

NICE = 10


class Sink:
    """The trackers of the trials that are on; one that fails is left alone from then on."""

    def __init__(self, name: str, store: Path, out: TextIO) -> None:
        self.name = name
        self.store = store
        self.out = out
        self.open: dict[str, Tracker] = {}

    def obey(self, order: dict[str, Any]) -> None:
        """Do what a line says."""
        trial = order["trial"]
        try:
            self._do(trial, order)
        except Exception as error:  # noqa: BLE001 - it is a warning, whatever it is
            self.open.pop(trial, None)
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            self._say(trial, warning=f"{self.name}: {first[:300]}")

    def _do(self, trial: str, order: dict[str, Any]) -> None:
        if order["do"] == "start":
            self._start(trial, order["asked"])
        elif order["do"] == "replay":
            self._replay(Path(trial))
        elif trial in self.open:
            if order["do"] == "event":
                self.open[trial].event(order["event"])
            else:
                self._say(trial, where=self.open.pop(trial).finish(order["report"]))

    def _start(self, trial: str, asked: dict[str, Any]) -> None:
        tracker = tracker_named(self.name)(self.store)
        tracker.start(Tracked(folder=Path(trial), asked=asked))
        self.open[trial] = tracker

    def _replay(self, folder: Path) -> None:
        """Do what would have been done live, from the files of a trial that is over."""
        trial = str(folder)
        self._start(trial, json.loads((folder / "trial.json").read_text(encoding="utf-8")))
        with (folder / "events.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                self.open[trial].event(json.loads(line))
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        self._do(trial, {"do": "finish", "report": report})

    def close(self) -> None:
        """Finish the trials whose runner is gone."""
        for trial in list(self.open):
            self.obey({"do": "finish", "trial": trial, "report": None})

    def _say(self, trial: str, **words: str) -> None:
        print(json.dumps({"trial": trial, **words}), file=self.out, flush=True)


def main() -> None:
    """Serve the tracker and the store that the command line names, to the end of the input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the runner
    os.nice(NICE)
    # What the libraries print is not for the runner; it goes where errors go.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        sink = Sink(sys.argv[1], Path(sys.argv[2]), out)
        for line in sys.stdin:
            sink.obey(json.loads(line))
        sink.close()


if __name__ == "__main__":
    main()
