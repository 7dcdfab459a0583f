"""pass@k and pass^k: the odds that one of k trials passes, and that all do."""

import math
from collections.abc import Mapping

from tasks.comparison.interval import Interval
from tasks.comparison.intervals import clusters_of, mean


def pass_at_k(n: int, passed: int, k: int) -> float:
    """Return the unbiased estimate of P(at least one of `k` trials passes).

    Source: Chen et al. (2021), 1 - C(n - c, k) / C(n, k).
    """
    return 1.0 - math.comb(n - passed, k) / math.comb(n, k)


def pass_hat_k(n: int, passed: int, k: int) -> float:
    """Return the unbiased estimate of P(all of `k` trials pass), pass^k (Yao et al. 2024)."""
    return math.comb(passed, k) / math.comb(n, k)


def over_tasks(
    counts: Mapping[str, tuple[int, int]], families: Mapping[str, str], k: int
) -> dict[str, Interval]:
    """Return pass@k and pass^k over tasks.

    Args:
        counts: By task, trials and how many passed; tasks of fewer than `k` trials are left out.
        families: The family of each task; tasks of one lean on each other.
        k: Trials in a row.
    """
    enough = {task: counted for task, counted in counts.items() if counted[0] >= k}
    clusters = clusters_of(enough, families)
    found = {}
    for name, estimate in (("pass_at_k", pass_at_k), ("pass_hat_k", pass_hat_k)):
        values = [estimate(n, passed, k) for n, passed in enough.values()]
        found[name] = mean(values, clusters, bounds=(0.0, 1.0)).interval
    return found
