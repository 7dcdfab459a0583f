"""Right-censored times until an event, Weibull given the columns (tier E).

Hazards are proportional: the scale of a row's law depends on its columns, the shape is common to
all. Of two rows the chance which comes first is then in closed form, and with it the concordance
of any ranking. Shapes are 1/2, 1 and 2, so that a time is drawn by exact operations.
"""

from collections.abc import Callable, Mapping

import numpy as np

from tasks.datasets import given_class, scm, sinks
from tasks.datasets.given_class import Part
from tasks.families import Survival
from tasks.instance import (
    Answers,
    Contract,
    Durations,
    Floats,
    Instance,
    Ints,
    Streams,
    on_grid,
)

SHAPES: Mapping[str, tuple[float, Callable[[Floats], Floats]]] = {
    "falling": (0.5, lambda e: e * e),
    "constant": (1.0, lambda e: e),
    "rising": (2.0, np.sqrt),
}
"""By hazard: the Weibull shape k, and e^(1/k)."""
PARTNERS = 64
"""Rows that each pilot row is compared with for the mean concordance, which errs by about 0.001."""
DECIMALS = 3
SHORTEST = 1e-3
"""Days; the grid of times."""


def draw(params: Survival, streams: Streams) -> Instance:
    """Draw censored times; `params.ceiling` is the best concordance, `params.censored` a share.

    Raises:
        InvalidTask: No spread of risks gives that ceiling.
    """
    frame = sinks.frame(params.n_features, streams)
    rng = streams.stream("target")
    terms = scm.random_function(rng, frame.relevant[:6], params.interactions, frame.pilot)
    score = sinks.Score.of(terms, frame.pilot)
    unit = float(on_grid(100 + 900 * rng.random(1), 1)[0])
    shape, rooted = SHAPES[params.hazard]
    pilot = score(frame.pilot)

    def scale(values: Floats, spread: float) -> Floats:
        return unit * sinks.growth(spread * values)

    def agreement(spread: float) -> float:
        logs = np.log(scale(pilot, spread))
        gaps = (np.abs(logs - np.roll(logs, k)) for k in range(1, PARTNERS + 1))
        return float(np.mean([(1.0 / (1.0 + np.exp(-shape * gap))).mean() for gap in gaps]))

    spread = given_class.root(agreement, params.ceiling, 0.01, 100.0)
    part = Part(streams=streams, name="pilot", chunk=0, n_rows=scm.PILOT_ROWS)
    draws = rooted(part.stream("labels").standard_exponential(part.n_rows))
    follow_up = _follow_up(scale(pilot, spread) * draws, part, params.censored)
    train = given_class.parts(streams, "train", params.n_samples)
    test = given_class.parts(streams, "test", params.n_test)

    def times(part: Part) -> tuple[Floats, Floats, Floats]:
        """Return columns, scale and time until the event."""
        x = frame.sample(part)
        scales = scale(score(x), spread)
        time = scales * rooted(part.stream("labels").standard_exponential(part.n_rows))
        return x, scales, np.maximum(on_grid(time, DECIMALS), SHORTEST)

    def known(part: Part) -> dict[str, Floats | Ints]:
        x, _, time = times(part)
        seen = _seen_for(part, follow_up)
        return {
            **sinks.named(x),
            "time": np.minimum(time, seen),
            "event": (time <= seen).astype(np.int64),
        }

    hidden = [times(part) for part in test]
    scales = np.concatenate([part[1] for part in hidden])
    return Instance(
        public=given_class.both(train, known, test, [sinks.named(x) for x, _, _ in hidden]),
        notes=_notes(params),
        contract=Contract(kind="values", ids=given_class.ids_of(test, params.n_samples)),
        answers=Answers(
            labels=np.concatenate([part[2] for part in hidden]),
            law=Durations(scale=scales, shape=shape),
            trivial={"all alike": np.zeros(len(scales))},
        ),
        details={
            "relevant": [f"f{j}" for j in frame.relevant[:6]],
            "spread": spread,
            "shape": shape,
            "longest_follow_up": follow_up,
            "terms": score.describe(),
        },
    )


def _seen_for(part: Part, follow_up: float) -> Floats:
    """Draw how long each row is followed: any time up to the longest, whatever its columns."""
    uniform = part.stream("censoring").random(part.n_rows)
    return np.maximum(on_grid(follow_up * uniform, DECIMALS), SHORTEST)


def _follow_up(times: Floats, part: Part, censored: float) -> float:
    """Return the longest follow-up under which that share of the pilot rows is censored."""
    uniform = part.stream("censoring").random(part.n_rows)
    # A row's event is seen if the longest follow-up is at least time / uniform: take a quantile.
    needed = np.sort(times / np.maximum(uniform, 1e-9))
    place = min(round((1 - censored) * len(needed)), len(needed) - 1)
    return float(on_grid(needed[place : place + 1], 1)[0])


def _notes(params: Survival) -> str:
    return (
        f"- `train.csv`: {params.n_samples:,} rows, columns `id`, `f0` … "
        f"`f{params.n_features - 1}`, `time` and `event`.\n"
        f"- `test.csv`: {params.n_test:,} rows of the same population, without `time` and "
        f"`event`.\n\n"
        f"All features are numbers without missing cells; some have nothing to do with the time. "
        f"Where `event` is 1, the event came after `time` days; where it is 0, the row was "
        f"followed for `time` days and the event had not come (right-censored). How long a row is "
        f"followed has nothing to do with its features. About {params.censored:.0%} of the rows "
        f"are censored. `target`, which is asked for, is any number that is larger the later you "
        f"expect the event, such as the median time; only its order counts. Hidden times are not "
        f"censored. Rows are independent of each other and in no order; ids mean nothing."
    )
