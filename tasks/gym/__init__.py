"""Trials as environments of Gymnasium, for reinforcement learning and loops of one's own."""

from tasks.errors import MissingPart, install

try:
    import gymnasium
except ImportError as error:
    raise MissingPart(f"tasks.gym needs Gymnasium: {install('gym')}") from error

from tasks.gym.env import Snapshot, TaskEnv, run, submit, write

__all__ = ["ID", "Snapshot", "TaskEnv", "run", "submit", "write"]

ID = "aexp/Task-v0"
"""As Gymnasium knows it: `gymnasium.make("aexp/Task-v0", task="regression_basic")`."""

if ID not in gymnasium.registry:
    gymnasium.register(id=ID, entry_point="tasks.gym.env:TaskEnv")
