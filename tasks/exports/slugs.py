"""Task ids as MLE-bench's competition ids, which must not hold `_`; and back."""

HYPHEN = "-..-"
"""Stands for a hyphen. No task id holds `..`, so that it can be told from what stands for `_`."""


def slug(task_id: str) -> str:
    """Return `classification-basic` for `classification_basic`."""
    return "-..-".join(part.replace("_", "-") for part in task_id.split("-"))


def task_id(competition_id: str) -> str:
    """Return the task id that `slug` made this of."""
    parts = competition_id.split(HYPHEN)
    return "-".join(part.replace("-", "_") for part in parts)
