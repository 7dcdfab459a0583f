"""Several tests at once: the more one looks, the more one finds."""

from collections.abc import Sequence


def holm(ps: Sequence[float]) -> list[float]:
    """Return the P values corrected for their number (Holm 1979), in the order given.

    Whoever rejects those up to `alpha` is wrong anywhere with a chance of at most `alpha`.
    """
    order = sorted(range(len(ps)), key=ps.__getitem__)
    corrected = [0.0] * len(ps)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[place]))
        corrected[place] = highest
    return corrected
