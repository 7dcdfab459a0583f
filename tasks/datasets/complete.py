"""Training rows in which every class occurs."""

from collections.abc import Callable

import numpy as np

from tasks.errors import InvalidTask
from tasks.instance import Ints, Streams

ATTEMPTS = 20
"""Draws of the training labels until every class occurs."""


def complete(
    streams: Streams,
    purpose: str,
    codes: Callable[[Streams], Ints],
    *,
    n_classes: int,
    n_samples: int,
) -> Streams:
    """Return streams under which every class occurs in the training rows.

    Args:
        streams: Their parent.
        purpose: What the streams are for; with the number of the attempt it is their name.
        codes: Draws the classes of the (first chunk of) training rows from such streams.
        n_classes: Classes are numbered from 0 on.
        n_samples: The training rows that were asked for.

    Raises:
        InvalidTask: No attempt holds them all.
    """
    for attempt in range(ATTEMPTS):
        own = streams.child(f"{purpose} {attempt}")
        if np.bincount(codes(own), minlength=n_classes).all():
            return own
    raise InvalidTask(
        f"data_requirements.n_samples is {n_samples}: {ATTEMPTS} draws never held all "
        f"{n_classes} classes; ask for more rows or fewer classes"
    )
