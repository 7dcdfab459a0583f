"""Classes of small images that may be shifted: numpy only, within the time there is.

The quick model is a linear discriminant on coarse pixels. The full one adds transformation-
invariant mixtures: a class is a few templates, an image one of them at some shift under noise,
fitted by EM over template and shift (Frey & Jojic 2003). Mixtures of several sizes and reaches
are summed, bagged over folds, and weighed against the discriminant on rows they have not seen.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from arrays import Booleans, Floats, Ints
from linear_model import softmax

Log = Callable[[str], None]

COARSE_SIDE = 12
"""Pixels a side that the discriminant sees at most."""
FINE_SIDE = 32
"""Pixels a side that the mixtures see at most."""
SHRINKAGE = 0.1
"""Share of the diagonal in the discriminant's covariance."""

FOLDS = 5
MAX_ROWS = 20_000
"""Rows that the mixtures learn from at most."""
REACHES = range(5)
"""Greatest shifts tried, pixels of the fine images."""
TEMPLATES = (2, 3)
"""Templates a class in the mixtures that are summed."""
STEPS = 15
HEAT = 4.0
"""Temperature of the first E-step; it falls by `COOLING` a step down to 1."""
COOLING = 0.7
PSEUDO_ROWS = 2.0
"""Rows' worth of belief that a template is the mean of all images."""
SCORED_ROWS = 2048

WEIGHTS = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


def quick_predict_proba(train: Floats, labels: Ints, test: Floats, *, log: Log) -> Floats:
    """Return (n_test, K) probabilities by a linear discriminant on coarse pixels.

    Args:
        train: (n, height, width) or (n, height, width, channels).
        labels: (n,) codes; the columns of the answer are in the order of `np.unique`.
        test: Images of the same shape.
        log: Takes a line of text.
    """
    pixels = coarsened(np.concatenate([train, test]), COARSE_SIDE)
    log(f"discriminant on {pixels[0].size} coarse pixels")
    flat = pixels.reshape(len(pixels), -1).astype(np.float64)
    codes = np.unique(labels, return_inverse=True)[1]
    return softmax(
        discriminant(flat[: len(train)], codes, int(codes.max()) + 1, flat[len(train) :])
    )


def fit_predict_proba(
    train: Floats, labels: Ints, test: Floats, *, deadline: float, log: Log
) -> Floats:
    """Return (n_test, K) probabilities by as many mixtures as the time allows.

    Args:
        train: (n, height, width) or (n, height, width, channels).
        labels: (n,) codes; the columns of the answer are in the order of `np.unique`.
        test: Images of the same shape.
        deadline: On `time.monotonic()`; with little time left the quick model answers.
        log: Takes a line of text.
    """
    codes = np.unique(labels, return_inverse=True)[1]
    some = np.sort(np.random.default_rng(0).permutation(len(train))[:MAX_ROWS])
    if len(np.unique(codes[some])) <= codes.max() or len(train) < 2 * FOLDS:
        return quick_predict_proba(train, labels, test, log=log)
    bag = Bag.prepare(train[some], codes[some], test, deadline)
    try:
        reach = bag.best_reach(log)
        for n_templates, beyond in product(TEMPLATES, (0, 1)):
            bag.add_mixtures(n_templates, reach + beyond)
            log(f"{n_templates} templates a class, shifts up to {reach + beyond}: {bag.estimate()}")
    except OutOfTime:
        log("time is up for further mixtures")
    return bag.answer()


class OutOfTime(Exception):  # noqa: N818 - not an error
    """The deadline has come."""


@dataclass(slots=True, kw_only=True)
class Bag:
    """Sums of class scores over models, of train rows by models that have not seen them."""

    train: Floats
    """(n, height, width, channels) standardised fine pixels, float32."""
    test: Floats
    codes: Ints
    fold: Ints
    """(n,) in which fold a row is held out."""
    prior: Floats
    linear: tuple[Floats, Floats]
    """Discriminant scores of train (out of fold) and test rows, (n, K)."""
    deadline: float
    mixed: tuple[Floats, Floats] = field(init=False)
    """The same of the mixtures, summed."""

    @classmethod
    def prepare(cls, train: Floats, codes: Ints, test: Floats, deadline: float) -> "Bag":
        """Standardise the pixels, part the rows, fit the discriminant."""
        fine = coarsened(np.concatenate([train, test]), FINE_SIDE)
        fine -= fine[: len(train)].mean(axis=0)
        fine /= max(float(fine[: len(train)].std()), 1e-6)
        coarse = coarsened(fine, COARSE_SIDE).reshape(len(fine), -1).astype(np.float64)
        fold = np.empty(len(codes), dtype=np.int64)
        order = np.argsort(codes, kind="stable")  # as equal shares of each class as can be
        fold[order] = np.arange(len(codes)) % FOLDS
        k = int(codes.max()) + 1
        own, other = coarse[: len(train)], coarse[len(train) :]
        held = np.zeros((len(train), k))
        for f in range(FOLDS):
            out = fold == f
            held[out] = discriminant(own[~out], codes[~out], k, own[out])
        bag = cls(
            train=fine[: len(train)],
            test=fine[len(train) :],
            codes=codes,
            fold=fold,
            prior=np.log(np.bincount(codes, minlength=k) / len(codes)),
            linear=(held, discriminant(own, codes, k, other)),
            deadline=deadline,
        )
        bag.mixed = (np.zeros_like(held), np.zeros((len(test), k)))
        return bag

    def best_reach(self, log: Log) -> int:
        """Return the greatest shift beyond which a fold's held-out rows gain nothing."""
        fit, out = self.fold != 0, self.fold == 0
        losses: list[float] = []
        for reach in REACHES:
            mixtures = self._fit(fit, TEMPLATES[0], reach, seed=0)
            scores = self._score(mixtures, self.train[out])
            losses.append(min(log_loss(w * scores, self.codes[out]) for w in WEIGHTS))
            if len(losses) > 1 and losses[-1] > losses[-2]:
                break
        best = int(np.argmin(losses))
        log(f"shifts up to {best} pixels, held-out log-loss {losses[best]:.3f}")
        return best

    def add_mixtures(self, n_templates: int, reach: int) -> None:
        """Fit a mixture per class and fold; keep them if held-out rows are told better for it.

        Raises:
            OutOfTime: The deadline came first; nothing is added.
        """
        before, loss = self.mixed, self._loss()
        held, test = (scores.copy() for scores in self.mixed)
        for f in range(FOLDS):
            out = self.fold == f
            mixtures = self._fit(~out, n_templates, reach, seed=f)
            held[out] += self._score(mixtures, self.train[out])
            test += self._score(mixtures, self.test) / FOLDS
        self.mixed = (held, test)
        if self._loss() > loss:
            self.mixed = before

    def estimate(self) -> str:
        """Say how well the held-out rows are told."""
        right = (self._weighed()[0].argmax(axis=1) == self.codes).mean()
        return f"held-out accuracy {right:.3f}, log-loss {self._loss():.3f}"

    def _loss(self) -> float:
        return log_loss(self._weighed()[0], self.codes)

    def answer(self) -> Floats:
        """Return (n_test, K) probabilities of the test rows."""
        return softmax(self._weighed()[1])

    def _weighed(self) -> tuple[Floats, Floats]:
        """Return train and test scores of the weights that do best on held-out rows."""

        def weighed(part: int, linear: float, mixed: float) -> Floats:
            return self.prior + linear * (self.linear[part] - self.prior) + mixed * self.mixed[part]

        if not self.mixed[0].any():
            return self.linear
        linear, mixed = min(
            product(WEIGHTS, WEIGHTS), key=lambda pair: log_loss(weighed(0, *pair), self.codes)
        )
        return weighed(0, linear, mixed), weighed(1, linear, mixed)

    def _fit(self, rows: Booleans, n_templates: int, reach: int, seed: int) -> list["Mixture"]:
        rng = np.random.default_rng(seed)
        return [
            Mixture.fit(
                self.train[rows & (self.codes == k)], n_templates, reach, rng, self.deadline
            )
            for k in range(len(self.prior))
        ]

    def _score(self, mixtures: list["Mixture"], images: Floats) -> Floats:
        scores = np.empty((len(images), len(mixtures)))
        for start in range(0, len(images), SCORED_ROWS):
            if time.monotonic() > self.deadline:
                raise OutOfTime
            some = slice(start, start + SCORED_ROWS)
            scores[some] = np.column_stack([each.score(images[some]) for each in mixtures])
        return scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Templates of one class, each at any shift up to `reach`, under noise of unit variance."""

    templates: Floats
    """(C, height, width, channels)."""
    log_weights: Floats
    """(C · shifts,)."""
    reach: int

    @classmethod
    def fit(
        cls, images: Floats, n_templates: int, reach: int, rng: np.random.Generator, deadline: float
    ) -> "Mixture":
        """Fit by EM with a falling temperature, from means of random images.

        Raises:
            OutOfTime: The deadline came first.
        """
        n = len(images)
        n_templates = max(1, min(n_templates, n // 10))
        drawn = rng.integers(max(n, 1), size=(n_templates, max(10, n // n_templates)))
        starts = (
            [images[rows].mean(axis=0) for rows in drawn] if n else np.zeros((1, *images.shape[1:]))
        )
        places = n_templates * (2 * reach + 1) ** 2
        mixture = cls(
            templates=np.array(starts, dtype=np.float32),
            log_weights=np.full(places, -np.log(places), dtype=np.float32),
            reach=reach,
        )
        for step in range(STEPS if n else 0):
            if time.monotonic() > deadline:
                raise OutOfTime
            mixture = mixture.improved(images, max(1.0, HEAT * COOLING**step))
        return mixture

    def improved(self, images: Floats, heat: float) -> "Mixture":
        """Return the mixture after an E-step at temperature `heat` and an M-step."""
        flat = images.reshape(len(images), -1)
        share = softmax(self._logs(flat) / np.float32(heat))
        count = share.sum(axis=0)
        sums = (share.T @ flat).reshape(-1, len(shifts(self.reach)), *images.shape[1:])
        back = np.zeros_like(self.templates)
        for i, (y, x) in enumerate(shifts(self.reach)):
            back += np.roll(sums[:, i], (-y, -x), axis=(1, 2))
        rows = count.reshape(len(back), -1).sum(axis=1) + np.float32(PSEUDO_ROWS)
        return Mixture(
            templates=back / rows[:, None, None, None],
            log_weights=np.log((count + 1) / (count + 1).sum()),
            reach=self.reach,
        )

    def score(self, images: Floats) -> Floats:
        """Return log p(image | class) up to a constant of each image, (n,)."""
        logs = self._logs(images.reshape(len(images), -1))
        top = logs.max(axis=1)
        found: Floats = top + np.log(np.exp(logs - top[:, None]).sum(axis=1))
        return found

    def _logs(self, flat: Floats) -> Floats:
        bank = np.stack(
            [np.roll(self.templates, shift, axis=(1, 2)) for shift in shifts(self.reach)], axis=1
        ).reshape(len(self.log_weights), -1)
        logs: Floats = flat @ bank.T + (self.log_weights - (bank * bank).sum(axis=1) / 2)
        return logs


def shifts(reach: int) -> list[tuple[int, int]]:
    """Return all shifts up to `reach` pixels along both axes."""
    steps = range(-reach, reach + 1)
    return [(y, x) for y in steps for x in steps]


def coarsened(images: Floats, side: int) -> Floats:
    """Average blocks of pixels so that at most about `side` a side are left, with channels."""
    n, height, width = images.shape[:3]
    block = -(-max(height, width) // side)
    rows, columns = height // block, width // block
    parts = [
        images[start : start + SCORED_ROWS, : rows * block, : columns * block]
        .reshape(-1, rows, block, columns, block, *images.shape[3:])
        .mean(axis=(2, 4), dtype=np.float32)
        for start in range(0, n, SCORED_ROWS)
    ]
    return np.concatenate(parts).reshape(n, rows, columns, -1)


def discriminant(x: Floats, codes: Ints, n_classes: int, fresh: Floats) -> Floats:
    """Return log p(class | x) + constant of `fresh` rows, normal classes of one covariance."""
    counts = np.bincount(codes, minlength=n_classes)
    centre = x.mean(axis=0)
    means = np.zeros((n_classes, x.shape[1]))
    np.add.at(means, codes, x - centre)
    means /= np.maximum(counts, 1)[:, None]
    residual = x - centre - means[codes]
    covariance = residual.T @ residual / len(x)
    variances = np.diag(covariance)
    covariance *= 1 - SHRINKAGE
    covariance[np.diag_indices_from(covariance)] += SHRINKAGE * variances + 1e-6 * (
        variances.mean() + 1e-12
    )
    slopes = np.linalg.solve(covariance, means.T)
    offsets = np.log((counts + 0.5) / (counts + 0.5).sum()) - (means.T * slopes).sum(axis=0) / 2
    scores: Floats = (fresh - centre) @ slopes + offsets
    return scores


def log_loss(scores: Floats, codes: Ints) -> float:
    """Mean -log softmax of the true class."""
    top = scores - scores.max(axis=1, keepdims=True)
    logs = top[np.arange(len(codes)), codes] - np.log(np.exp(top).sum(axis=1))
    return float(-logs.mean())
