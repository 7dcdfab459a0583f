"""How much scores vary in trials that are there, for planning more of them."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from tasks.comparison.power import Spread
from tasks.comparison.records import Record
from tasks.errors import UsageError


def measure(records: Iterable[Record]) -> Spread:
    """Return the standard deviations of skill in these trials.

    An analysis of variance without its tests: the run's is what repeats of one agent on one task
    differ by, the leaning's what is left of agents on tasks when both their means are taken out.

    Raises:
        UsageError: No agent met any task twice, so that runs cannot be told from tasks.
    """
    counted = [one for one in records if one.counts]
    cells: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in counted:
        if one.completed:
            cells[one.task, one.agent].append(one.score)
    repeated = [values for values in cells.values() if len(values) > 1]
    if not repeated:
        raise UsageError("--from: no agent completed any task twice; give --sd-run and --sd-task")
    freedom = sum(len(values) - 1 for values in repeated)
    run = sum(_squares(values) for values in repeated) / freedom
    leaning, hardness = _between(cells, run)
    untold = {"interaction": leaning, "task": hardness}
    failed = sum(not one.completed for one in counted) / len(counted)
    usual = Spread()
    return Spread(
        interaction=usual.interaction if leaning is None else math.sqrt(leaning),
        run=math.sqrt(run),
        task=usual.task if hardness is None else math.sqrt(hardness),
        failures=failed,
        assumed=tuple(name for name, variance in untold.items() if variance is None),
    )


def _squares(values: Sequence[float]) -> float:
    centre = sum(values) / len(values)
    return sum((value - centre) ** 2 for value in values)


def _between(
    cells: dict[tuple[str, str], list[float]], run: float
) -> tuple[float | None, float | None]:
    """Return the variances of leanings and of tasks, over tasks that all agents completed.

    None is what so few tasks or agents do not tell.
    """
    agents = sorted({agent for _, agent in cells})
    tasks = sorted({task for task, _ in cells})
    full = [task for task in tasks if all((task, agent) in cells for agent in agents)]
    if len(full) < 2:  # noqa: PLR2004 - nothing to compare
        return None, None
    means = [[sum(c) / len(c) for c in (cells[t, a] for a in agents)] for t in full]
    noise = run * sum(1 / len(cells[t, a]) for t in full for a in agents) / len(full) / len(agents)
    by_task = [sum(row) / len(row) for row in means]
    hardness = max(0.0, _squares(by_task) / (len(full) - 1) - noise / len(agents))
    if len(agents) < 2:  # noqa: PLR2004 - one agent alone has no interaction
        return None, hardness
    by_agent = [sum(column) / len(full) for column in zip(*means, strict=True)]
    overall = sum(by_task) / len(full)
    left = sum(
        (means[i][j] - by_task[i] - by_agent[j] + overall) ** 2
        for i in range(len(full))
        for j in range(len(agents))
    )
    return max(0.0, left / ((len(full) - 1) * (len(agents) - 1)) - noise), hardness
