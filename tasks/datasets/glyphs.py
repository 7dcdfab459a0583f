"""Glyphs: a few bent strokes, drawn at any size and angle by + - * / and comparisons only.

Sine and cosine, whose last bits depend on the build, are rounded before they place a stroke.
"""

import math
from itertools import chain, pairwise, product

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.instance import Floats, Ints

LATTICE = 5
"""Strokes bend at points of a square lattice with this many points a side."""
BENDS = 3
"""Points per stroke."""
STROKES = (2, 3)
"""Least and greatest number of strokes of a glyph."""
PEN = 0.1
"""Radius of a stroke as a share of the half size, but at least `LEAST_PEN` pixels."""
LEAST_PEN = 0.75
ALIKE = 0.6
"""Glyphs of an alphabet overlap at most by this share of their common ink, where possible."""
CANDIDATES = 40
"""Glyphs tried for a place in the alphabet before the least alike of them is taken."""
TURN_DECIMALS = 6

Ink = NDArray[np.bool_]
"""Where there is ink, (height, width)."""
Glyph = tuple[Ints, ...]
"""Strokes, each (BENDS, 2) points of the lattice: row and column."""


def unlike(rng: Generator, inks: list[Ink], room: tuple[int, int], shift: int) -> Glyph:
    """Return a glyph unlike those in `inks`, or the least alike of `CANDIDATES`."""
    best, least = _strokes(rng), math.inf
    for glyph in chain([best], (_strokes(rng) for _ in range(CANDIDATES - 1))):
        alike = overlap(ink(glyph, room), inks, shift)
        if alike < least:
            best, least = glyph, alike
        if least < ALIKE:
            break
    return best


def _strokes(rng: Generator) -> Glyph:
    count = int(rng.integers(STROKES[0], STROKES[1] + 1))
    strokes: list[Ints] = []
    while len(strokes) < count:
        stroke = rng.integers(LATTICE, size=(BENDS, 2))
        if (stroke[:-1] != stroke[1:]).any(axis=1).all():  # no dots
            strokes.append(stroke)
    return tuple(strokes)


def ink(glyph: Glyph, room: tuple[int, int], size: float = 1.0, degrees: int = 0) -> Ink:
    """Return the pixels within a pen's radius of a stroke, in the middle of the room.

    Args:
        glyph: The strokes.
        room: Height and width, pixels.
        size: Side of the glyph's square as a share of the shorter side of the room.
        degrees: By how much the glyph is turned, counter-clockwise.
    """
    half = (min(room) - 1) / 2 * size
    pen = max(LEAST_PEN, PEN * half)
    middle = np.array([(side - 1) / 2 for side in room])
    found = np.zeros(room, dtype=np.bool_)
    for stroke in glyph:
        square = stroke * np.float64(2.0 / (LATTICE - 1)) - 1.0
        points = middle + turned(square, degrees) * (half - pen)
        for start, end in pairwise(points):
            found |= _squared_distance(room, start, end) <= pen * pen
    return found


def turned(points: Floats, degrees: int) -> Floats:
    """Return points (n, 2), row and column, turned counter-clockwise about (0, 0)."""
    cos, sin = _direction(degrees)
    y, x = points[:, 0], points[:, 1]
    return np.stack([y * cos - x * sin, y * sin + x * cos], axis=1)


def turning_room(rotations: tuple[int, ...]) -> float:
    """Return how large a square may be, as a share of its room, so as to turn within it."""
    directions = [_direction(degrees) for degrees in rotations]
    return 1.0 / max(abs(cos) + abs(sin) for cos, sin in directions)


def _direction(degrees: int) -> tuple[float, float]:
    angle = math.radians(degrees)
    return round(math.cos(angle), TURN_DECIMALS), round(math.sin(angle), TURN_DECIMALS)


def _squared_distance(room: tuple[int, int], start: Floats, end: Floats) -> Floats:
    """Return each pixel's squared distance to a segment of positive length."""
    y, x = np.arange(room[0])[:, None] - start[0], np.arange(room[1])[None, :] - start[1]
    dy, dx = end[0] - start[0], end[1] - start[1]
    along = np.clip((y * dy + x * dx) / (dy * dy + dx * dx), 0.0, 1.0)
    off_y, off_x = y - along * dy, x - along * dx
    distance: Floats = off_y * off_y + off_x * off_x
    return distance


def overlap(ink: Ink, others: list[Ink], shift: int) -> float:
    """Return the greatest share of common ink with one of `others` at any shift."""
    if not others:
        return 0.0
    stack = np.array(others)
    total = stack.sum(axis=(1, 2)) + ink.sum()
    padded = np.pad(ink, 2 * shift)
    height, width = ink.shape
    greatest = 0.0
    for y, x in product(range(4 * shift + 1), repeat=2):
        common = (stack & padded[y : y + height, x : x + width]).sum(axis=(1, 2))
        greatest = max(greatest, float((common / (total - common)).max()))
    return greatest
