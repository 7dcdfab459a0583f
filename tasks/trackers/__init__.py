"""Sinks for what happens in trials: MLflow, W&B, and those that plug-ins bring.

A tracker sees what `trial.json`, `events.jsonl` and `report.json` hold, live or afterwards, and
runs in a process of its own: what is wrong with it is a warning and never a trial's matter.
"""

from tasks.trackers.base import Tracked, Tracker, tracker_named
from tasks.trackers.feed import Feed

__all__ = ["Feed", "Tracked", "Tracker", "tracker_named"]
