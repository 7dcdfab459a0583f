"""Tables with knobs: the three tabular families with all that may befall a table.

The law in `Answers` is that of the test rows as they are shown. Copied rows keep it: their target
is drawn anew, and from the law itself, for the train label of the original would tell of cells
that both have lost.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from tasks.datasets import columns, scm
from tasks.datasets.columns import Rows, World
from tasks.datasets.knobs import (
    ClassModel,
    LabelNoise,
    Scores,
    Tilt,
    ValueModel,
    ambiguity,
    odds_for,
    random_matrix,
    roughness,
)
from tasks.datasets.real import real_numbers
from tasks.datasets.sheets import Draw, instance_of
from tasks.datasets.tabular import Frame, class_functions, frame_of, root, rows_in
from tasks.errors import InvalidTask
from tasks.families import Classification, Imbalanced, Knobs, LabelKnobs, Regression
from tasks.instance import (
    Contract,
    Floats,
    Instance,
    Ints,
    Streams,
    class_names,
    on_grid,
)

PILOT_ROWS, MANY_CELLS = 65_536, 8_000_000
"""Rows behind a root find, whose mean accuracy errs by about 0.0006; fewer of wide tables."""
CLOSE = 2e-3
"""How near a root find must come to what was asked for."""


# --- the three families -------------------------------------------------------------------------


def classification(params: Classification, streams: Streams) -> Instance:
    """Draw K classes whose Bayes accuracy on the test rows as shown is `params.ceiling`."""
    world = _world(params, streams, discrete=True)
    n_classes = params.n_classes
    scores = _class_scores(params, world, streams)
    test = _in_test(params, scores, lambda own: _class_scores(params, world, own), streams)
    pilot = _pilot(world, n_classes)
    full, matrix = scores.full(pilot), _matrix(params, n_classes, streams)

    def at(temperature: float) -> ClassModel:
        bare = _bare(params, world, scores, test, temperature)
        if params.prevalence is not None:
            once = bare.clean(full)
            weights = odds_for(lambda w: _shares(once * w[:, None]), params.prevalence)
            bare = replace(bare, weights=weights)
        return _with_knobs(params, bare, bare.clean(full), matrix, streams)

    cases = _bare(params, world, scores, test, 1.0).cases(pilot, test=True)

    def accuracy(temperature: float) -> float:
        model = at(temperature)
        p = model.of_cases(cases, pilot.n, test=True).p
        return _mean(p.max(axis=1), model.tilt, pilot)

    temperature = root(accuracy, params.ceiling, 0.01, 200.0)
    _check_close("ceiling", accuracy(temperature), params.ceiling)
    return _classes(params, at(temperature), {"temperature": temperature})


def imbalanced(params: Imbalanced, streams: Streams) -> Instance:
    """Draw two classes; class 1 has the prevalence r / (1 + r) in train, before any noise."""
    world = _world(params, streams, discrete=True)
    prevalence = params.imbalance_ratio / (1 + params.imbalance_ratio)
    pilot = _pilot(world)

    def made(own: Streams) -> tuple[Scores, float]:
        scores = _rare_scores(params, world, own)
        score = scores.full(pilot)[1]
        slope = params.sharpness / scm.moments(score)[1] / 2
        bare = _bare(params, world, scores, scores, slope)

        def share(offset: float) -> float:
            return float(bare.clean(np.stack([np.zeros_like(score), score + offset]))[1].mean())

        return replace(scores, offsets=(0.0, -root(share, prevalence, -60.0, 60.0))), slope

    scores, slope = made(streams)
    test = _in_test(params, scores, lambda own: made(own)[0], streams)
    bare = _bare(params, world, scores, test, slope)
    matrix = _matrix(params, 2, streams)
    model = _with_knobs(params, bare, bare.clean(scores.full(pilot)), matrix, streams)
    return _classes(params, model, {"prevalence": prevalence})


def regression(params: Regression, streams: Streams) -> Instance:
    """Draw y = f(x) + noise; the R² of the best prediction of test rows is `params.ceiling`."""
    world = _world(params, streams, discrete=False)
    pilot = _pilot(world)
    scores, location, unit = _value_scores(params, world, streams)
    test = _in_test(params, scores, lambda own: _value_scores(params, world, own)[0], streams)
    shift, spread = scm.moments(scores.full(pilot)[0])
    uneven = None
    if params.heteroscedastic:
        column = world.numbers.relevant[-1]
        rough = roughness(pilot.x[column])
        uneven = (column, float(on_grid(np.array([np.sqrt(np.mean(rough * rough))]), 5)[0]))
    silent = ValueModel(
        world=world,
        train=scores,
        test=test,
        shift=shift,
        spread=spread,
        unit=unit,
        location=location,
        noise=0.0,
        uneven=uneven,
        trap=params.leakage_trap,
        kept=_covariate_tilt(params, world, streams),
    )
    model = replace(silent, noise=_noise_for(params.ceiling, silent, pilot))
    return _values(params, model)


def _noise_for(ceiling: float, model: ValueModel, pilot: Rows) -> float:
    """Return the noise at which the best prediction has this R²: (1 - c) / c of its variance.

    Raises:
        InvalidTask: What the lost cells leave open is more than that alone.
    """
    score, lost = model.known(pilot, test=True)
    score, lost = score / model.spread, lost / model.spread**2
    size = model.size(pilot)
    mean = _mean(score, model.tilt, pilot)
    told = _mean((score - mean) ** 2, model.tilt, pilot)
    left = _mean(lost, model.tilt, pilot)
    square = (told * (1 - ceiling) / ceiling - left) / _mean(size * size, model.tilt, pilot)
    if square <= 0:
        raise InvalidTask(
            f"data_requirements.ceiling is {ceiling}; cells that are lost leave at most "
            f"{told / (told + left):.3f}"
        )
    return float(on_grid(np.array([np.sqrt(square)]), 6)[0])


# --- scores -------------------------------------------------------------------------------------


def _class_scores(params: Classification, world: World, streams: Streams) -> Scores:
    numbers, k = world.numbers, params.n_classes
    functions = class_functions(params, numbers.relevant, numbers.pilot, streams)
    offsets = [scm.moments(scm.evaluate(f, numbers.pilot))[0] for f in functions]
    rng = streams.stream("knobs/effects")
    return Scores(
        functions=tuple(functions),
        offsets=tuple(offsets),
        words=tuple(_effects(rng, k, len(w.spellings[0])) for w in world.words),
        fickle=on_grid(_signed(rng, (len(world.fickle), k), 0.3, 0.6), 3),
    )


def _rare_scores(params: Imbalanced, world: World, streams: Streams) -> Scores:
    numbers, rich = world.numbers, params.structure == "rich"
    target = streams.stream("target")
    function = scm.random_function(target, numbers.relevant, 2, numbers.pilot, rich=rich)
    rng = streams.stream("knobs/effects")
    only_second = np.array([[0.0], [1.0]])
    return Scores(
        functions=((), function),
        offsets=(0.0, 0.0),
        words=tuple(only_second * _effects(rng, 1, len(w.spellings[0])) for w in world.words),
        fickle=on_grid(_signed(rng, (len(world.fickle), 1), 0.3, 0.6), 3) * only_second.T,
    )


def _value_scores(
    params: Regression, world: World, streams: Streams
) -> tuple[Scores, float, float]:
    """Return the score, and location and unit of the target, drawn as they are without knobs."""
    numbers, rich = world.numbers, params.structure == "rich"
    target = streams.stream("target")
    function = scm.random_function(
        target, numbers.relevant, params.interactions, numbers.pilot, rich=rich
    )
    location, unit = on_grid(np.array([200 * target.random() - 100, 1 + 20 * target.random()]), 2)
    rng = streams.stream("knobs/effects")
    scores = Scores(
        functions=(function,),
        offsets=(0.0,),
        words=tuple(_effects(rng, 1, len(w.spellings[0])) for w in world.words),
        fickle=on_grid(_signed(rng, (len(world.fickle), 1), 0.5, 0.9), 3),
    )
    return scores, float(location), float(unit)


def _in_test(
    params: Knobs, scores: Scores, draw: Callable[[Streams], Scores], streams: Streams
) -> Scores:
    """Return the scores that rule in test: with a concept shift they are mixed with others."""
    if params.shift != "concept":
        return scores
    return scores.mixed(draw(streams.child("concept")), params.shift_strength)


def _effects(rng: Generator, k: int, n: int) -> Floats:
    """Draw the effects of n words on k scores, of about the size of a number's effect."""
    return on_grid(2.6 * rng.random((k, n)) - 1.3, 3)


def _signed(rng: Generator, shape: tuple[int, int], low: float, high: float) -> Floats:
    signs = np.where(rng.random(shape) < 0.5, -1.0, 1.0)  # noqa: PLR2004 - a fair coin
    sizes: Floats = low + (high - low) * rng.random(shape)
    return signs * sizes


# --- knobs of the law ---------------------------------------------------------------------------


def _bare(
    params: LabelKnobs, world: World, train: Scores, test: Scores, temperature: float
) -> ClassModel:
    ones = np.ones(len(train.functions))
    return ClassModel(
        world=world,
        train=train,
        test=test,
        temperature=temperature,
        weights=ones,
        noise=LabelNoise(),
        odds=ones,
        trap=params.leakage_trap,
    )


def _with_knobs(
    params: LabelKnobs,
    model: ClassModel,
    clean: Floats,
    matrix: Floats | None,
    streams: Streams,
) -> ClassModel:
    """Add label noise and shift; `clean` is p(true class) of the pilot rows in train."""
    noise = LabelNoise(rate=params.label_noise, matrix=matrix)
    if params.label_noise_kind == "instance":
        factor = on_grid(np.array([params.label_noise / ambiguity(clean).mean()]), 6)[0]
        noise = LabelNoise(rate=float(factor), by_margin=True)
    odds = model.odds
    if params.shift == "label":
        shares = clean.mean(axis=1)
        order = streams.stream("knobs/shift").permutation(len(shares))
        ramp = (order + 1.0) / np.sum(order + 1.0)
        odds = on_grid(1 - params.shift_strength + params.shift_strength * ramp / shares, 5)
    kept = _covariate_tilt(params, model.world, streams)
    return replace(model, noise=noise, odds=odds, kept=kept)


def _matrix(params: LabelKnobs, n_classes: int, streams: Streams) -> Floats | None:
    if params.label_noise_matrix is not None:
        return np.array(params.label_noise_matrix)
    if params.label_noise_kind != "class_conditional":
        return None
    return random_matrix(streams.stream("knobs/label noise"), n_classes, params.label_noise)


def _covariate_tilt(params: Knobs, world: World, streams: Streams) -> Tilt | None:
    """Return which rows are met in test: those on one side of a relevant column, mostly."""
    if params.shift != "covariate":
        return None
    column, least = world.numbers.relevant[1], 1 - 0.98 * params.shift_strength
    sign = 1.0 - 2.0 * streams.stream("knobs/shift").integers(2)

    def tilt(rows: Rows) -> Floats:
        side = np.clip(0.5 + 0.5 * sign * rows.x[column], 0.0, 1.0)
        kept: Floats = least + (1 - least) * side
        return kept

    return tilt


def _shares(joint: Floats) -> Floats:
    shares: Floats = joint / joint.sum(axis=0)
    return shares


def _mean(values: Floats, tilt: Tilt | None, pilot: Rows) -> float:
    """Return the mean over test rows, from pilot rows that follow the law of train."""
    if tilt is None:
        return float(values.mean())
    weights = tilt(pilot)
    return float(np.sum(values * weights) / np.sum(weights))


def _check_close(name: str, found: float, wanted: float) -> None:
    if abs(found - wanted) > CLOSE:
        raise InvalidTask(f"data_requirements.{name} is {wanted}; the nearest found is {found:.3f}")


# --- the world ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Numbers from a causal graph."""

    frame: Frame
    names: tuple[str, ...] = ()
    words: tuple[columns.Words, ...] = ()

    @property
    def relevant(self) -> tuple[int, ...]:
        return self.frame.relevant

    @property
    def pilot(self) -> Floats:
        return self.frame.pilot

    def draw(self, part: str, chunk: int, n: int) -> tuple[Floats, Ints]:
        return self.frame.features(part, chunk, n), np.empty((0, n), dtype=np.int64)

    def shown(self, _: int, x: Floats) -> Floats:
        return x


def _world(
    params: Classification | Imbalanced | Regression, streams: Streams, *, discrete: bool
) -> World:
    rich = params.structure == "rich"
    numbers: columns.Numbers
    if params.real_covariates:
        numbers = real_numbers(params.real_covariates, streams)
    else:
        numbers = _Drawn(frame_of(params.n_features, streams, rich=rich))
    return columns.world(params, numbers, streams, discrete=discrete)


def _pilot(world: World, n_classes: int = 1) -> Rows:
    width = max(len(world.numbers.pilot), 6 * n_classes)
    n = min(PILOT_ROWS, max(8192, MANY_CELLS // width))
    return world.rows("law", 0, n)


# --- putting it together ------------------------------------------------------------------------


def _classes(
    params: Classification | Imbalanced, model: ClassModel, details: dict[str, object]
) -> Instance:
    n_classes = len(model.weights)
    names = tuple(str(k) for k in range(n_classes))
    costs = params.costs or ()
    draw = Draw(params=params, model=model, world=model.world, labels=model.world.streams)
    draw = draw.with_every_class(n_classes)
    details |= {
        "class_weights": model.weights,
        "odds_in_test": model.odds,
        "label_noise": model.noise.matrix if model.noise.matrix is not None else model.noise.rate,
    }
    prior = np.bincount(draw.train(0).target, minlength=n_classes) / rows_in(0, params.n_samples)
    return instance_of(
        draw,
        contract=lambda ids: Contract(kind="classes", ids=ids, classes=names, costs=costs),
        shown=lambda target: class_names(target, names),
        trivial={"prior": prior},
        notes=f"`target` is the class, one of {', '.join(names)}.",
        details=details,
    )


def _values(params: Regression, model: ValueModel) -> Instance:
    draw = Draw(params=params, model=model, world=model.world, labels=model.world.streams)
    known = draw.train(0).target
    return instance_of(
        draw,
        contract=lambda ids: Contract(kind="values", ids=ids),
        shown=lambda target: target,
        trivial={"mean": known.mean(), "median": np.median(known)},
        notes="`target` is a number to be predicted.",
        details={"noise_sd": model.unit * model.noise},
    )
