"""A noisy glyph and term counts per row, independent given the class (tier B).

So the posteriors of the two multiply, and the accuracy that each allows alone is known too. Terms
are drawn one by one from a theme of the class or from what all rows have in common; drawing takes
whole numbers and comparisons only, and the sums of the law reach no stored value.
"""

import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.datasets import given_class
from tasks.datasets.images import Alphabet
from tasks.datasets.one_thread import on_one_thread
from tasks.errors import InvalidTask
from tasks.families import MultiModal
from tasks.instance import (
    Answers,
    Blob,
    Categorical,
    Contract,
    Floats,
    Instance,
    Ints,
    Streams,
    Table,
    class_names,
)

SHIFT = 1
"""Largest displacement of a glyph along each axis, pixels."""
THEMES = 2
"""Themes of a class, equally likely; a row has one."""
SHORTEST, LONGEST = 20, 60
"""Terms in a row."""
MOST_OWN_TERMS = 30
BLOCK_ROWS = 1024
"""Rows of counts per stream. Fixed for ever: the bits depend on it."""

Counts = NDArray[np.int32]
Part = Literal["train", "test", "pilot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The law of term counts given the class; d terms."""

    common: Ints
    """(d,) odds of terms that tell nothing, whole numbers, so that they add up exactly."""
    themes: Ints
    """(K · THEMES, d) odds of the terms of each theme; class k has those from k · THEMES on."""
    focus: float = 0.5
    """Probability that a term comes from the theme."""

    def counts(self, streams: Streams, part: Part, codes: Ints) -> Iterator[Counts]:
        """Yield the counts of rows of these classes in blocks, (n, d)."""
        for block, start in enumerate(range(0, len(codes), BLOCK_ROWS)):
            some = codes[start : start + BLOCK_ROWS]
            yield self._block(streams.stream(f"{part}/terms", block), some)

    def _block(self, rng: Generator, codes: Ints) -> Counts:
        n, d = len(codes), len(self.common)
        theme = codes * THEMES + rng.integers(0, THEMES, n)
        there = np.arange(LONGEST) < rng.integers(SHORTEST, LONGEST + 1, n)[:, None]
        themed = rng.random((n, LONGEST)) < self.focus
        uniform = rng.random((n, LONGEST))
        terms = _pick(self.common, uniform)
        for t, odds in enumerate(self.themes):
            mine = themed & (theme == t)[:, None]
            terms[mine] = _pick(odds, uniform[mine])
        cells = (np.arange(n)[:, None] * d + terms)[there]
        return np.bincount(cells, minlength=n * d).reshape(n, d).astype(np.int32)

    def log_likelihood(self, counts: Counts) -> Floats:
        """Return log p(counts | class), (n, K), up to a constant of the row."""
        common = self.common / self.common.sum()
        themes = self.themes / self.themes.sum(axis=1, keepdims=True)
        log_odds = np.log(self.focus * themes / common + (1.0 - self.focus))
        evidence = (counts @ log_odds.T).reshape(len(counts), -1, THEMES)
        log: Floats = np.logaddexp.reduce(evidence, axis=2)
        return log

    def log_likelihoods(self, streams: Streams, part: Part, codes: Ints) -> Floats:
        """Return log p(counts | class) of all rows of a part, made anew block by block."""
        blocks = self.counts(streams, part, codes)
        return np.concatenate([self.log_likelihood(block) for block in blocks])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Everything about the rows of one part."""

    part: Part
    codes: Ints
    alphabet: Alphabet
    noise: float
    terms: Terms
    streams: Streams

    def images(self) -> Iterator[NDArray[np.uint8]]:
        return self.alphabet.images(self.streams, self.part, self.codes, self.noise)

    def counts(self) -> Iterator[Counts]:
        return self.terms.counts(self.streams, self.part, self.codes)

    def archive(self) -> Blob:
        """Return an .npz file with the arrays `images` and `text_features`."""

        def write(path: Path) -> None:
            n = len(self.codes)
            with zipfile.ZipFile(path, "w") as archive:
                _add(archive, "images", "|u1", (n, *self.alphabet.image_size), self.images())
                width = len(self.terms.common)
                _add(archive, "text_features", "<i4", (n, width), self.counts())

        return Blob(write=write)


@on_one_thread
def draw(params: MultiModal, streams: Streams) -> Instance:
    """Draw an alphabet, themes, and rows of both kinds of data.

    Raises:
        InvalidTask: `image_ceiling` or `text_ceiling` is out of reach.
    """
    n, n_test, k = params.n_samples, params.test_rows, params.n_classes
    alphabet = Alphabet.random(
        streams.stream("structure"), n_classes=k, image_size=params.image_size, shift=SHIFT
    )
    known = streams.stream("train/codes").permutation(np.arange(n, dtype=np.int64) % k)
    hidden = streams.stream("test/codes").integers(k, size=n_test)
    test = _Rows(
        part="test",
        codes=hidden,
        alphabet=alphabet,
        noise=_noise(alphabet, params.image_ceiling, streams),
        terms=_focused(params, streams),
        streams=streams,
    )
    train = replace(test, part="train", codes=known)
    p = _posteriors(test)
    ids = np.arange(n, n + n_test, dtype=np.int64)
    names = tuple(str(code) for code in range(k))
    prior = np.bincount(known, minlength=k) / n
    return Instance(
        public={
            "train": Table.of(
                {"id": np.arange(n, dtype=np.int64), "target": class_names(known, names)}
            ),
            "test": Table.of({"id": ids}),
            "train.npz": train.archive(),
            "test.npz": test.archive(),
        },
        notes=_notes(params),
        contract=Contract(kind="classes", ids=ids, classes=names),
        answers=Answers(
            labels=hidden,
            law=Categorical(p=p["both"]),
            trivial={"prior": np.broadcast_to(prior, (n_test, k))},
        ),
        details={
            "ceilings": {kind: float(q.max(axis=1).mean()) for kind, q in p.items()},
            "noise_sd": test.noise,
            "focus": test.terms.focus,
            "strokes": [[stroke.tolist() for stroke in glyph] for glyph in alphabet.glyphs],
        },
    )


def _noise(alphabet: Alphabet, ceiling: float, streams: Streams) -> float:
    try:
        return alphabet.noise_for(ceiling, streams)
    except InvalidTask as error:
        raise InvalidTask(
            f"data_requirements.image_ceiling is {ceiling}: no noise makes these glyphs as hard "
            f"as that; try another value or larger images"
        ) from error


def _focused(params: MultiModal, streams: Streams) -> Terms:
    """Draw terms whose focus makes the accuracy of counts alone `params.text_ceiling`."""
    terms = _random(streams.stream("terms"), params)
    rows = given_class.MOST_ROWS
    codes = streams.stream("pilot/terms/codes").integers(params.n_classes, size=rows)

    def chances(focus: float, n: int) -> Floats:
        logs = replace(terms, focus=focus).log_likelihoods(streams, "pilot", codes[:n])
        best: Floats = given_class.softmax(logs).max(axis=1)
        return best

    focus = given_class.precise_root(chances, params.text_ceiling, 0.001, 0.99, name="text_ceiling")
    return replace(terms, focus=focus)


def _random(rng: Generator, params: MultiModal) -> Terms:
    d = params.n_text_features
    n_own = min(max(3, d // 10), MOST_OWN_TERMS)
    themes = np.zeros((params.n_classes * THEMES, d), dtype=np.int64)
    for theme in themes:
        theme[rng.permutation(d)[:n_own]] = rng.integers(1, 6, n_own)
    return Terms(common=1 + 1000 // (rng.permutation(d) + 5), themes=themes)


def _pick(odds: Ints, uniform: Floats) -> Ints:
    """Return terms drawn by these odds, given uniform numbers."""
    last = np.cumsum(odds)
    picked: Ints = np.searchsorted(last, (uniform * last[-1]).astype(np.int64), side="right")
    return picked


def _posteriors(rows: _Rows) -> dict[str, Floats]:
    """Return p(class | image), p(class | counts) and p(class | both), each (n, K)."""
    images = np.concatenate(
        [rows.alphabet.log_likelihood(block, rows.noise) for block in rows.images()]
    )
    counts = rows.terms.log_likelihoods(rows.streams, rows.part, rows.codes)
    logs = {"image": images, "text": counts, "both": images + counts}
    return {kind: given_class.softmax(log) for kind, log in logs.items()}


def _add(
    archive: zipfile.ZipFile,
    name: str,
    dtype: str,
    shape: tuple[int, ...],
    blocks: Iterable[NDArray[Any]],
) -> None:
    """Add an array to an .npz file, never whole in memory."""
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    # A member opened by name is dated 1980, whatever the clock says.
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(block.astype(dtype, copy=False).tobytes())


def _notes(params: MultiModal) -> str:
    height, width = params.image_size
    return (
        f"- `train.npz`: two arrays, read by `numpy.load(path)[name]`: `images`, "
        f"{params.n_samples:,} grey images of {height} by {width} pixels, uint8, and "
        f"`text_features`, how often each of {params.n_text_features:,} terms occurs in the "
        f"text that belongs to the image, int32.\n"
        f"- `train.csv`: columns `id` and `target`; row i belongs to row i of both arrays.\n"
        f"- `test.npz`: the same arrays for {params.test_rows:,} rows.\n"
        f"- `test.csv`: column `id`; row i belongs to row i of both arrays.\n\n"
        f"`target` is the class, 0 to {params.n_classes - 1}. Image and text tell of it in ways "
        f"of their own, neither all; given the class they are independent. All classes are "
        f"equally frequent; rows are in no order and ids mean nothing."
    )
