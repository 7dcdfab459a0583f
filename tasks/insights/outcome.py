"""What the outcome depends on: which columns, in which direction and form, alone or together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from tasks.insights.forms import Args, Choice, Column, Columns
from tasks.insights.kind import (
    Chunk,
    Kind,
    Planted,
    Setting,
    about_column,
    number,
    pick,
    scale,
    sign,
)
from tasks.insights.sample import OUTCOME, Booleans, Findings, Sample, correlation, ranked
from tasks.instance import Floats, Streams, on_grid

RELEVANT_WALD, RELEVANT_SHARE = 30.0, 0.01
"""A column matters: Wald statistic of x and x² given all others (χ² with 2 degrees of freedom
under no effect, so p = 3e-7), and its share of what the others leave unexplained."""
INTERACTION_Z, INTERACTION_SHARE = 5.0, 0.02
"""A product matters: z of its correlation with what x and x² leave over, and that squared."""
DIRECTION_T, DIRECTION_SHARE = 6.0, 0.01
"""A direction is clear: t of the slope given all others, and its partial R²."""
IDLE_Z, IDLE_R = 7.0, 0.12
"""A column goes along with the outcome: z and size of their correlation."""
FORM_MARGIN = 3.0
"""By how much the BIC of the best form beats the second; a straight line gains log n on a bend."""
STRAIGHT = 0.95
"""A straight line explains at least this share of what the best form does."""
COMPLETE = 0.75
"""Share of the relevant columns that a claim must name to count as having found them."""
FORMS = ("linear", "quadratic", "threshold")
_CUTS = np.arange(0.08, 0.93, 0.02)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The outcome regressed on all that may explain it: x, x², and the levels of groups."""

    names: tuple[str, ...]
    """p numeric columns, then groups."""
    x: Floats
    """(p, n) complete rows, standardised."""
    rows: Booleans
    """Which rows of the sample these are."""
    wald: Floats
    share: Floats
    """Per name."""
    left: Floats
    """(n,) residuals."""
    parts: Floats
    """(p, n) what the fit has each numeric column do."""
    t: Floats
    slope_share: Floats
    """(p,) t and partial R² of each slope, in a fit without squares."""


def fit(sample: Sample) -> Fit:
    """Return the fit, made once a sample."""
    if "fit" not in sample.memory:
        sample.memory["fit"] = _fit(sample)
    made: Fit = sample.memory["fit"]
    return made


def _fit(sample: Sample) -> Fit:
    names = sample.explaining
    features = np.array([sample.scaled[name] for name in names]).reshape(len(names), -1)
    y = sample.scaled[OUTCOME]
    rows = np.isfinite(features).all(axis=0) & np.isfinite(y)
    x, y = features[:, rows], y[rows]
    dummies = {
        group: np.array([member[rows] for member in list(sample.members(group).values())[1:]])
        for group in sample.levels
    }
    squares = x * x
    squares -= squares.mean(axis=1, keepdims=True)
    ones = np.ones((1, len(y)))
    design = np.concatenate([ones, x, squares, *(d.astype(np.float64) for d in dummies.values())])
    inverse = np.linalg.pinv(design @ design.T, hermitian=True)
    weights = inverse @ (design @ y)
    left = y - weights @ design
    freedom = max(len(y) - len(design), 1)
    variance = float(left @ left) / freedom or 1.0
    p = len(x)
    blocks = [[1 + j, 1 + p + j] for j in range(p)]
    at = 1 + 2 * p
    for levels in dummies.values():
        blocks.append(list(range(at, at + len(levels))))
        at += len(levels)
    wald = np.array([_wald(weights, inverse, block) / variance for block in blocks])
    t, slope_share = _slopes(np.concatenate([design[: 1 + p], design[1 + 2 * p :]]), y, p)
    return Fit(
        names=(*names, *dummies),
        x=x,
        rows=rows,
        wald=wald,
        share=wald / (wald + freedom),
        left=left,
        parts=weights[1 : 1 + p, None] * x + weights[1 + p : 1 + 2 * p, None] * squares,
        t=t,
        slope_share=slope_share,
    )


def _wald(weights: Floats, inverse: Floats, block: list[int]) -> float:
    effect = weights[block]
    own = inverse[np.ix_(block, block)]
    return float(effect @ np.linalg.pinv(own, hermitian=True) @ effect)


def _slopes(design: Floats, y: Floats, p: int) -> tuple[Floats, Floats]:
    """Return t and partial R² of the p rows of the design after the first."""
    inverse = np.linalg.pinv(design @ design.T, hermitian=True)
    weights = inverse @ (design @ y)
    left = y - weights @ design
    freedom = max(len(y) - len(design), 1)
    variance = float(left @ left) / freedom or 1.0
    own = np.maximum(np.diag(inverse)[1 : 1 + p], 1e-300)
    t = weights[1 : 1 + p] / np.sqrt(own * variance)
    return on_grid(t, 6), on_grid(t * t / (t * t + freedom), 6)


# --- relevant features --------------------------------------------------------------------------


def _relevant(sample: Sample) -> Sequence[Args]:
    made = fit(sample)
    wald, share = on_grid(np.array([made.wald, made.share]), 6)
    chosen = (wald > RELEVANT_WALD) & (share > RELEVANT_SHARE)
    columns = tuple(sorted(name for name, own in zip(made.names, chosen, strict=True) if own))
    return [{"columns": columns}] if columns else []


def _most_of(claim: Args, fact: Args, _: float) -> bool:
    named, true = set(claim["columns"]), set(fact["columns"])
    return named <= true and len(named) >= COMPLETE * len(true)


def _some_of(sample: Sample, args: Args) -> bool:
    return any(set(args["columns"]) <= set(fact["columns"]) for fact in RELEVANT.found(sample))


RELEVANT = Kind(
    type="relevant_features",
    says="all columns the outcome depends on, given the others, alone or together; being "
    "correlated with one of them is not enough. A quarter may be missing, none may be wrong",
    form={"columns": Columns()},
    example={"columns": ["x310", "x415", "x926"]},
    text=lambda args: (
        f"the outcome depends on {' and '.join(args['columns'])} and on no other column"
    ),
    detect=_relevant,
    agree=_most_of,
    true=_some_of,
)


# --- interaction --------------------------------------------------------------------------------


@ranked
def _interactions(sample: Sample) -> Findings:
    made = fit(sample)
    n = len(made.left)
    rest = made.left / (np.sqrt(float(made.left @ made.left) / n) or 1.0)
    for i in range(len(made.x) - 1):
        products = made.x[i + 1 :] * made.x[i]
        products -= products.mean(axis=1, keepdims=True)
        spread = np.sqrt((products * products).mean(axis=1)) * n
        size = on_grid(np.abs(products @ rest) / np.where(spread > 0, spread, 1.0), 6)
        strong = (size * np.sqrt(n) > INTERACTION_Z) & (size**2 > INTERACTION_SHARE)
        for k in np.flatnonzero(strong).tolist():
            pair = tuple(sorted((made.names[i], made.names[i + 1 + k])))
            yield float(size[k]), {"columns": pair}


INTERACTION = Kind(
    type="interaction",
    says="two columns whose product acts on the outcome",
    form={"columns": Columns(size=2)},
    example={"columns": ["x310", "x415"]},
    text=lambda args: f"the product of {' and '.join(args['columns'])} acts on the outcome",
    detect=_interactions,
)


# --- no effect ----------------------------------------------------------------------------------


@ranked
def _idle(sample: Sample) -> Findings:
    """Find columns that go along with the outcome, and yet do nothing given the others."""
    made = fit(sample)
    for name in sample.explaining:
        r = correlation(sample.scaled[name], sample.scaled[OUTCOME])
        if r > IDLE_R and r * np.sqrt(len(sample.order)) > IDLE_Z and _does_nothing(made, name):
            yield r, {"column": name}


def _does_nothing(made: Fit, name: str) -> bool:
    if name not in made.names:
        return False
    j = made.names.index(name)
    wald, share = on_grid(np.array([made.wald[j], made.share[j]]), 6)
    return bool(wald <= RELEVANT_WALD or share <= RELEVANT_SHARE)


def _plant_idle(rng: Generator, setting: Setting) -> Planted:
    (name,) = setting.names
    way, (at, unit) = sign(rng), scale(rng)

    def act(chunk: Chunk, streams: Streams) -> None:
        noise = chunk.noise(streams)
        z = 0.8 * way * chunk.lead + 0.6 * noise
        chunk.columns[name] = on_grid(at + unit * z)

    return Planted(args={"column": name}, act=act)


NO_EFFECT = about_column(
    "no_effect",
    "a column that does nothing to the outcome given the others; looked for is one that "
    "goes along with the outcome all the same, because it is correlated with a cause",
    example="x208",
    is_so="goes along with the outcome and does nothing to it",
    detect=_idle,
    true=lambda sample, args: _does_nothing(fit(sample), args["column"]),
    plant=_plant_idle,
)


# --- direction ----------------------------------------------------------------------------------


@ranked
def _directions(sample: Sample) -> Findings:
    made = fit(sample)
    for name, t, share in zip(sample.explaining, made.t, made.slope_share, strict=True):
        if abs(t) > DIRECTION_T and share > DIRECTION_SHARE:
            way = "positive" if t > 0 else "negative"
            yield abs(float(t)), {"column": name, "direction": way}


def _plant_direction(rng: Generator, setting: Setting) -> Planted:
    """Plant an effect that the correlation with a cause hides or turns around."""
    (name,) = setting.names
    way, (at, unit) = sign(rng), scale(rng)
    effect = -setting.lead_sign * way * number(rng, 0.45, 0.55)

    def act(chunk: Chunk, streams: Streams) -> None:
        noise = chunk.noise(streams)
        z = 0.8 * way * chunk.lead + 0.6 * noise
        chunk.outcome += effect * z
        chunk.columns[name] = on_grid(at + unit * z)

    direction = "positive" if effect > 0 else "negative"
    return Planted(args={"column": name, "direction": direction}, act=act, relevant=(name,))


DIRECTION = Kind(
    type="effect_direction",
    says="whether the outcome rises (`positive`) or falls (`negative`) with a column, given all "
    "others, which need not be the sign of their correlation",
    form={"column": Column(), "direction": Choice(("positive", "negative"))},
    example={"column": "x310", "direction": "negative"},
    text=lambda args: f"given the others, {args['column']} has a {args['direction']} effect",
    detect=_directions,
    n_columns=1,
    plant=_plant_direction,
)


# --- form ---------------------------------------------------------------------------------------


@ranked
def _forms(sample: Sample) -> Findings:
    made = fit(sample)
    for j, name in enumerate(sample.explaining):
        if made.wald[j] > RELEVANT_WALD and made.share[j] > RELEVANT_SHARE:
            margin, form = best_form(made.x[j], made.left + made.parts[j])
            if margin > FORM_MARGIN:
                yield margin, {"column": name, "form": form}


def best_form(x: Floats, y: Floats) -> tuple[float, str]:
    """Return by how much the BIC of the best form beats the second, and that form."""
    n, left = len(y), _left_over(x, y)
    terms = {"linear": 1, "quadratic": 2, "threshold": 2}
    bic = {form: n * np.log(max(left[form], 1e-9) / n) + terms[form] * np.log(n) for form in FORMS}
    first, second = sorted(bic, key=lambda form: bic[form])[:2]
    return float(on_grid(np.array([bic[second] - bic[first]]), 3)[0]), first


def _left_over(x: Floats, y: Floats) -> dict[str, float]:
    """Return the sum of squares that each form leaves of y."""
    n, y = len(y), y - y.mean()
    line = x - x.mean()
    slope = float(line @ y) / float(line @ line)
    rest = y - slope * line
    square = x * x
    square -= square.mean()
    square = square - float(square @ line) / float(line @ line) * line
    bend = float(square @ rest) / (float(square @ square) or 1.0)
    total = float(y @ y)
    before = np.cumsum(y[np.argsort(x)])
    cuts = np.unique((_CUTS * n).astype(np.int64))
    steps = before[cuts - 1] ** 2 * n / (cuts * (n - cuts))
    return {
        "linear": float(rest @ rest),
        "quadratic": float(rest @ rest) - bend * float(square @ rest),
        "threshold": total - float(steps.max()),
    }


def _has_form(sample: Sample, args: Args) -> bool:
    """Say whether the form is the best, or as good as straight: a trifle of bend is no bend."""
    if args in FORM.found(sample):
        return True
    made, name = fit(sample), args["column"]
    if args["form"] != "linear" or name not in sample.explaining or _does_nothing(made, name):
        return False
    j = made.names.index(name)
    y = made.left + made.parts[j]
    left = _left_over(made.x[j], y - y.mean())
    total = float((y - y.mean()) @ (y - y.mean()))
    return total - left["linear"] >= STRAIGHT * (total - min(left.values()))


def _plant_form(rng: Generator, setting: Setting) -> Planted:
    (name,) = setting.names
    form: str = pick(rng, FORMS)
    effect, cut = sign(rng) * number(rng, 0.75, 0.9), number(rng, -0.4, 0.4)
    at, unit = scale(rng)

    def act(chunk: Chunk, streams: Streams) -> None:
        u = streams.stream("noise", chunk.k).random((2, len(chunk.lead)))
        z = (u[0] + u[1] - 1.0) * np.sqrt(6.0)
        does = {"linear": z, "quadratic": z * z - 1.0, "threshold": np.where(z > cut, 1.0, -1.0)}
        chunk.outcome += effect * does[form]
        chunk.columns[name] = on_grid(at + unit * z)

    return Planted(args={"column": name, "form": form}, act=act, relevant=(name,))


FORM = Kind(
    type="functional_form",
    says="how the outcome follows a column: `linear`, `quadratic` (bent, such as a U), or "
    "`threshold` (two levels)",
    form={"column": Column(), "form": Choice(FORMS)},
    example={"column": "x310", "form": "threshold"},
    text=lambda args: f"the effect of {args['column']} is {args['form']}",
    detect=_forms,
    true=_has_form,
    n_columns=1,
    plant=_plant_form,
)

KINDS = (RELEVANT, INTERACTION, NO_EFFECT, DIRECTION, FORM)
