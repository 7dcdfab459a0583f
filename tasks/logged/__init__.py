"""What an agent logged with its own tracker: claims, never scores.

MLflow's SQLite file, W&B's offline files and `metrics.jsonl` are hostile bytes like all that an
agent leaves. They are read from the collected copy, by a process of its own with hard limits.
"""

from tasks.logged.read import Logged, Point, read

__all__ = ["Logged", "Point", "read"]
