"""Noisy glyphs of a fresh alphabet: small images whose p(class | image) is known (tier B).

A stored pixel is round(level + sd · z) clipped to 0..255, so its law is a table: the mass of a
normal on a grey level's bin, and of its tails at 0 and 255. An image's law given its class is the
mean over a finite grid of nuisances: place, contrast, size, and if asked for, rotation, colour and
a hidden block. Nothing of it is approximated; its sums are in single precision, which moves no
posterior by more than 1e-4 (tested).

Sums and exp reach the public bytes by one way only, the comparisons that find sd, which lies on a
grid; all else is exact: glyphs by + - * / and comparisons, noise rounded to whole grey levels.
"""

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.datasets import glyphs
from tasks.datasets.glyphs import Glyph, Ink
from tasks.datasets.image_files import Images
from tasks.datasets.log_mean import LogMean
from tasks.datasets.one_thread import on_one_thread
from tasks.errors import InvalidTask
from tasks.instance import Floats, Ints, Streams

BLOCK_ROWS = 256
"""Images per noise stream. Fixed for ever: the bits depend on it."""

BACKGROUND = 104
CONTRASTS = (24, 32, 40)
"""Grey levels between ink and background; each image has one of them."""
MIDDLE = 1
"""The contrast of which the others are nearly straight lines."""
SCALES = (0.7, 0.85, 1.0)
"""Sizes of a glyph as shares of the room that the shifts leave."""
GREY_INK = ((1,),)
COLOURED_INKS = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1))
"""In which of red, green and blue ink differs from the background."""
BLOCKS_A_SIDE = 3
"""A block that hides hides one of this many places along each axis."""

FEW_ROWS, SOME_ROWS, MOST_ROWS = 256, 2048, 131_072
"""Images behind the steps of the root find: a bisection, a slope, a mean that is precise."""
CORRECTING_ROWS = 512
"""Of which the exact chances are computed, too; they differ from rough ones by 0.01 at most."""
PRECISE = 0.0007
"""Standard error of that mean."""
LEAST_NOISE, MOST_NOISE = 6.0, 1536.0
"""Bounds of the noise sd, grey levels; below, the mass of far bins would underflow."""
NEAR = 1.1
"""Factor between two noises within which accuracy falls nearly straight (to 0.0005)."""
CLOSE = 0.008
"""Accuracy that may be made up for by a slope, known to a tenth of itself."""
FAR = 2.0
"""Factor by which few images may be wrong about the noise."""
ATTEMPTS = 8
MOST_CELLS = 2**23
"""Numbers of a matrix of templates; more are taken in groups of classes."""
PRECISION: type[np.floating] = np.float32
"""Of the likelihood's sums; half the time of double precision."""

Logs = NDArray[np.floating]
Window = tuple[slice, slice]
"""Rows and columns of a block of pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alphabet:
    """The glyphs of all classes as they can occur, before noise."""

    glyphs: tuple[Glyph, ...]
    masks: NDArray[np.bool_]
    """(K, scales, rotations, height, width) where there is ink; without the border of shifts."""
    shift: int
    inks: tuple[tuple[int, ...], ...] = GREY_INK
    """Colours of ink, each 0 or 1 per channel; an image has one of them."""
    blocks: tuple[Window, ...] = ()
    """Blocks of which each image has one hidden."""

    @classmethod
    def random(
        cls,
        rng: np.random.Generator,
        *,
        n_classes: int,
        image_size: tuple[int, int],
        shift: int,
        scales: tuple[float, ...] = SCALES,
        rotations: tuple[int, ...] = (0,),
        channels: int = 1,
        occlusion: float = 0.0,
    ) -> "Alphabet":
        """Draw glyphs that differ wherever they are shifted; parameters as of the family."""
        room = (image_size[0] - 2 * shift, image_size[1] - 2 * shift)
        drawn: list[Glyph] = []
        inks: list[Ink] = []
        for _ in range(n_classes):
            drawn.append(glyphs.unlike(rng, inks, room, shift))
            inks.append(glyphs.ink(drawn[-1], room))
        turning = glyphs.turning_room(rotations)
        masks = [
            [[glyphs.ink(glyph, room, turning * scale, by) for by in rotations] for scale in scales]
            for glyph in drawn
        ]
        return cls(
            glyphs=tuple(drawn),
            masks=np.array(masks),
            shift=shift,
            inks=GREY_INK if channels == 1 else COLOURED_INKS,
            blocks=_blocks(image_size, occlusion) if occlusion > 0 else (),
        )

    @property
    def n_classes(self) -> int:
        """The number of glyphs."""
        return len(self.masks)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of an image, pixels."""
        height, width = self.masks.shape[-2:]
        return height + 2 * self.shift, width + 2 * self.shift

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an image: its size, and the channels if there are several."""
        channels = len(self.inks[0])
        return self.image_size if channels == 1 else (*self.image_size, channels)

    # --- images --------------------------------------------------------------------------------

    def images(self, streams: Streams, part: str, codes: Ints, sd: float) -> Iterator[Images]:
        """Yield the images of classes `codes` in blocks of BLOCK_ROWS, (n, *shape)."""
        for block in range(-(-len(codes) // BLOCK_ROWS)):
            yield self._block(streams, part, codes, sd, block)

    def _block(self, streams: Streams, part: str, codes: Ints, sd: float, block: int) -> Images:
        some = codes[block * BLOCK_ROWS : (block + 1) * BLOCK_ROWS]
        clean = self._clean(streams, part, block, some)
        rng = streams.stream(f"{part}/noise", block)
        noise = rng.standard_normal(clean.shape, dtype=np.float32)
        noise *= np.float32(sd)
        noise += clean
        return np.clip(np.rint(noise), 0, 255).astype(np.uint8)

    def _clean(self, streams: Streams, part: str, block: int, codes: Ints) -> NDArray[np.float32]:
        """Return glyphs of random nuisances, without noise."""

        def drawn(purpose: str, n_values: int) -> Ints:
            if n_values < 2:  # noqa: PLR2004 - nothing to draw
                return np.zeros(len(codes), dtype=np.int64)
            return streams.stream(f"{part}/{purpose}", block).integers(n_values, size=len(codes))

        n_scales, n_rotations = self.masks.shape[1:3]
        rng = streams.stream(f"{part}/nuisance", block)
        scale = rng.integers(n_scales, size=len(codes))
        contrast = np.array(CONTRASTS, dtype=np.float32)[
            rng.integers(len(CONTRASTS), size=len(codes))
        ]
        places = rng.integers(2 * self.shift + 1, size=(2, len(codes)))
        masks = self.masks[codes, scale, drawn("rotation", n_rotations)]
        inked = self._placed(masks, places, drawn("block", len(self.blocks)))
        ink = np.array(self.inks, dtype=np.float32)[drawn("ink", len(self.inks))]
        levels = contrast[:, None] * ink
        clean = BACKGROUND + inked[..., None] * levels[:, None, None, :]
        return clean.reshape(len(codes), *self.shape)

    def _placed(self, masks: NDArray[np.bool_], places: Ints, hidden: Ints) -> NDArray[np.float32]:
        """Return where there is ink, 0 or 1, (n, height, width)."""
        height, width = masks.shape[1:]
        inked = np.zeros((len(masks), *self.image_size), dtype=np.float32)
        for row, (y, x) in enumerate(places.T.tolist()):
            inked[row, y : y + height, x : x + width] = masks[row]
        if self.blocks:
            for row, block in enumerate(hidden.tolist()):
                inked[row][self.blocks[block]] = 0
        return inked

    # --- the law -------------------------------------------------------------------------------

    def log_likelihood(self, images: Images, sd: float, *, rough: bool = False) -> Floats:
        """Return log p(image | class), (n, K), up to a constant of each image.

        Pixels are independent given the glyph, so an image's log-ratio to a blank one is the sum
        of the log-ratios ink : background over the inked pixels: a matrix product per place.

        Args:
            images: (n, *shape).
            sd: Of the noise, grey levels.
            rough: Take the log-ratios of all contrasts for straight lines of one of them, which
                they are but for clipping and rounding: a third of the products.
        """
        tables = _log_ratios(sd)
        lines = _lines(tables) if rough else [(1.0, 0.0)]
        stacks = [table[images] for table in (tables[MIDDLE : MIDDLE + 1] if rough else tables)]
        groups = np.array_split(self.masks, self._parts())
        found = [self._of_classes(masks, stacks, lines) for masks in groups]
        return np.concatenate(found, axis=1)

    def _of_classes(
        self, masks: NDArray[np.bool_], stacks: list[Logs], lines: list[tuple[float, float]]
    ) -> Floats:
        """Return the log-likelihood of some classes, (n, k), from log-ratios per contrast.

        `lines` give further contrasts: a · log-ratio + b for each pixel of ink.
        """
        total = LogMean.of_nothing(len(stacks[0]), len(masks))
        blank = np.ones((1, *self.shape), dtype=PRECISION)
        for scale, rotation in np.ndindex(masks.shape[1:3]):
            inked = self._everywhere(masks[:, scale, rotation])
            pixels = list(self._logs(blank, inked)) if len(lines) > 1 else []
            for ratios in stacks:
                for i, logs in enumerate(self._logs(ratios, inked)):
                    for a, b in lines:
                        line = a * logs + b * pixels[i] if b else logs
                        total.add(line.reshape(len(logs), len(masks), -1))
        return total.value()

    def _logs(self, ratios: Logs, inked: Logs) -> Iterator[Logs]:
        """Yield log-ratios of images to blank ones, (n, templates), per ink and hidden block.

        Args:
            ratios: (n, *shape) of each pixel, inked or not.
            inked: (templates, height, width).
        """
        planes = np.moveaxis(ratios.reshape(len(ratios), *self.image_size, -1), -1, 0)
        whole = [_summed(plane, inked) for plane in planes]
        for block in self.blocks or (None,):
            seen = whole
            if block is not None:
                seen = [
                    logs - _summed(plane[:, *block], inked[:, *block])
                    for logs, plane in zip(whole, planes, strict=True)
                ]
            for ink in self.inks:
                there = [logs for logs, part in zip(seen, ink, strict=True) if part]
                yield sum(there[1:], start=there[0])

    def _parts(self) -> int:
        """Return the number of groups of classes whose glyphs fit into memory everywhere."""
        height, width = self.image_size
        cells = height * width * (2 * self.shift + 1) ** 2 * self.n_classes
        return min(self.n_classes, -(-cells // MOST_CELLS))

    def _everywhere(self, masks: NDArray[np.bool_]) -> Logs:
        """Return masks (k, …) at all places, (k · places, height, width), 0 or 1."""
        k, height, width = masks.shape
        places = 2 * self.shift + 1
        found = np.zeros((k, places, places, *self.image_size), dtype=PRECISION)
        for y, x in product(range(places), repeat=2):
            found[:, y, x, y : y + height, x : x + width] = masks
        return found.reshape(-1, *self.image_size)

    def posterior(self, images: Images, sd: float, *, rough: bool = False) -> Floats:
        """Return p(class | image), (n, K), all classes being equally frequent."""
        log = self.log_likelihood(images, sd, rough=rough)
        p = np.exp(log - log.max(axis=1, keepdims=True))
        posterior: Floats = p / p.sum(axis=1, keepdims=True)
        return posterior

    @on_one_thread
    def posteriors(
        self, streams: Streams, part: str, codes: Ints, sd: float, *, rough: bool = False
    ) -> Floats:
        """Return p(class | image) of all images of a part, made anew block by block."""

        def of(block: int) -> Floats:
            return self.posterior(self._block(streams, part, codes, sd, block), sd, rough=rough)

        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            return np.concatenate(list(pool.map(of, range(-(-len(codes) // BLOCK_ROWS)))))

    def noise_for(self, ceiling: float, streams: Streams) -> float:
        """Return the noise sd, grey levels, that makes the Bayes accuracy `ceiling`.

        Bisection on few images comes near, some more tell the slope, and many of them, at one
        noise mostly, how far it is from there. Posteriors are rough but on a few of the many,
        which correct the mean (a control variate).

        Raises:
            InvalidTask: No noise does.
        """
        codes = streams.stream("pilot/codes").integers(self.n_classes, size=MOST_ROWS)

        def right(sd: float, n: int, *, rough: bool = True) -> Floats:
            p = self.posteriors(streams, "pilot", codes[:n], sd, rough=rough)
            best: Floats = p.max(axis=1)
            return best

        low, high = LEAST_NOISE, MOST_NOISE
        while high > low * NEAR:
            middle = math.sqrt(low * high)
            if right(middle, FEW_ROWS).mean() > ceiling:
                low = middle
            else:
                high = middle
        if low > LEAST_NOISE and high < MOST_NOISE:
            best, worst = (float(right(sd, SOME_ROWS).mean()) for sd in (low, high))
            slope = (worst - best) / (high - low)
            sd = low + (ceiling - best) / slope if slope < 0 else MOST_NOISE
            for _ in range(ATTEMPTS):
                if not low / FAR < sd < high * FAR:
                    break
                miss = ceiling - _precise_mean(partial(right, sd))
                sd += miss / slope
                if abs(miss) < min(CLOSE, (1 - ceiling) / 4):
                    return _on_noise_grid(sd)
        raise InvalidTask(
            f"data_requirements.ceiling is {ceiling}; with these glyphs, noise of {LEAST_NOISE:g} "
            f"to {MOST_NOISE:g} grey levels cannot make it: try another value or larger images"
        )


class _Right(Protocol):
    def __call__(self, n: int, *, rough: bool = True) -> Floats:
        """Return the chance of being right on each of the first n pilot images."""


def _precise_mean(right: _Right) -> float:
    """Return the mean of the exact chances, to a standard error of `PRECISE`."""
    some = right(SOME_ROWS)
    n = math.ceil((float(some.std()) / PRECISE) ** 2)
    n = min(MOST_ROWS, -(-n // BLOCK_ROWS) * BLOCK_ROWS)
    many = right(n) if n > SOME_ROWS else some
    exact = right(CORRECTING_ROWS, rough=False)
    return float(many.mean() + (exact - many[:CORRECTING_ROWS]).mean())


# --- parts -------------------------------------------------------------------------------------


def _blocks(image_size: tuple[int, int], share: float) -> tuple[Window, ...]:
    """Return blocks of this share of the sides, evenly spread over the image."""

    def along(side: int) -> list[slice]:
        length = math.ceil(side * share)
        starts = [i * (side - length) // (BLOCKS_A_SIDE - 1) for i in range(BLOCKS_A_SIDE)]
        return [slice(start, start + length) for start in starts]

    return tuple(product(along(image_size[0]), along(image_size[1])))


def _log_ratios(sd: float) -> list[Logs]:
    """Return log P(stored pixel = v | ink) / P(v | background), v = 0..255, per contrast."""
    blank = _log_masses(sd, BACKGROUND)
    return [(_log_masses(sd, BACKGROUND + c) - blank).astype(PRECISION) for c in CONTRASTS]


def _lines(tables: list[Logs]) -> list[tuple[float, float]]:
    """Return a and b of each table of log-ratios, a · the middle one + b, by least squares."""
    x = tables[MIDDLE].astype(np.float64)
    found = []
    for table in tables:
        a = float(np.cov(x, table)[0, 1] / x.var(ddof=1))
        found.append((a, float(np.mean(table - a * x))))
    found[MIDDLE] = (1.0, 0.0)
    return found


def _summed(ratios: Logs, inked: Logs) -> Logs:
    """Return the sums over inked pixels, (n, templates)."""
    logs: Logs = ratios.reshape(len(ratios), -1) @ inked.reshape(len(inked), -1).T
    return logs


def _log_masses(sd: float, level: int) -> Floats:
    """Return log P(stored pixel = v), v = 0..255, of round(level + sd · z) clipped."""
    edges = [-math.inf, *(v + 0.5 for v in range(255)), math.inf]
    scaled = [(edge - level) / (sd * math.sqrt(2)) for edge in edges]
    return np.array([math.log(_mass(low, high)) for low, high in pairwise(scaled)])


def _mass(low: float, high: float) -> float:
    """Return the mass of N(0, 1/2) on [low, high], with the tail's own precision."""
    if low < 0:
        low, high = -high, -low
    return (math.erfc(low) - math.erfc(high)) / 2


def _on_noise_grid(sd: float) -> float:
    return float(np.rint(16 * sd)) / 16
