"""Judging one image by its pixels: is anything drawn on it, and what does it look like?"""

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS, MAX_IMAGES = 25_000_000, 500
MAX_SCANS = 64
"""Passes of a progressive JPEG; few bytes ask for a pass over all pixels, honest files for 10."""
FORMATS = ("PNG", "JPEG", "WEBP")
MIN_INK, MIN_INSIDE = 0.01, 0.005
"""Share of pixels that differ from the background: overall, and inside the plot area."""
CONTRAST = 24
"""Grey levels from which a pixel differs from the background."""
MIN_LINES, LINE_HEIGHT, WORD_LENGTH = 3, 0.1, 0.2
"""Text is at least so many bands of ink with empty rows between, none of them higher than this
share of the image, with a gap at least every so much of its width: no axis, bar, curve or map."""
MAX_ENTROPY, MAX_COLOURS = 7.5, 100_000
"""Noise has more of both: bits of the grey histogram, and distinct colours."""
SAMPLED_PIXELS = 1_000_000

Bits = NDArray[np.bool_]


class NotAFigureError(Exception):
    """Does not count; the text says why."""


@dataclass(slots=True)
class Budget:
    """Images and pixels that may still be decoded, over all files."""

    pixels: int = 20 * MAX_PIXELS
    images: int = MAX_IMAGES

    def spend(self, width: int, height: int) -> None:
        """Take one image off the budget."""
        self.images -= 1
        if self.images < 0:
            raise NotAFigureError("too many images in all files together")
        if width * height > MAX_PIXELS:
            raise NotAFigureError(f"{width} x {height} pixels are too many")
        self.pixels -= width * height
        if self.pixels < 0:
            raise NotAFigureError("too many pixels in all images together")


def look(data: bytes, budget: Budget) -> Bits:
    """Return the perceptual hash, (256,) bits, of an image that shows something.

    Raises:
        NotAFigureError: It cannot be decoded, is too large, blank, noise or nothing but text.
    """
    image = _decoded(data, budget)
    if _is_blank(_ink(image, 320, 240)):
        raise NotAFigureError("blank")
    if _is_text(_ink(image, 640, 480)):
        raise NotAFigureError("nothing but text")
    if _is_noise(image):
        raise NotAFigureError("noise")
    return _hash(np.asarray(image.convert("L").resize((64, 64)), dtype=np.float64))


def _decoded(data: bytes, budget: Budget) -> "Image":
    """Decode to RGB on white; the size is checked before any pixel is decoded."""
    from PIL import Image  # 0.1 s

    if data.count(b"\xff\xda") > MAX_SCANS and data.startswith(b"\xff\xd8"):
        raise NotAFigureError("a JPEG of too many scans")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            budget.spend(image.width, image.height)
            return _flat(image)
    except NotAFigureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise NotAFigureError("too many pixels") from error
    except (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError) as error:
        raise NotAFigureError("no readable PNG, JPEG or WebP image") from error
    except (ArithmeticError, AttributeError, RuntimeError, struct.error) as error:
        raise NotAFigureError("a damaged image") from error


def _flat(image: "Image") -> "Image":
    if not image.has_transparency_data:
        return image.convert("RGB")
    from PIL import Image

    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    white.alpha_composite(rgba)
    return white.convert("RGB")


def _ink(image: "Image", width: int, height: int) -> Bits:
    """Return the (height, width) pixels that differ from the commonest grey."""
    grey = np.asarray(image.convert("L").resize((width, height)), dtype=np.int64)
    background = int(np.bincount(grey.ravel(), minlength=256).argmax())
    ink: Bits = np.abs(grey - background) > CONTRAST
    return ink


def _is_blank(ink: Bits) -> bool:
    inside = ink[40:200, 50:285]  # where the axes usually are, at 320 x 240
    return bool(ink.mean() < MIN_INK or inside.mean() < MIN_INSIDE)


def _is_text(ink: Bits) -> bool:
    height, width = ink.shape
    lines = _runs(np.logical_or.reduce(ink, axis=1))
    return len(lines) >= MIN_LINES and all(
        stop - start < LINE_HEIGHT * height
        and all(
            end - begin < WORD_LENGTH * width
            for begin, end in _runs(np.logical_or.reduce(ink[start:stop]))
        )
        for start, stop in lines
    )


def _runs(marked: Bits) -> list[tuple[int, int]]:
    """Return the (start, stop) of each run of marked places."""
    edges = np.flatnonzero(np.diff(marked, prepend=False, append=False))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _is_noise(image: "Image") -> bool:
    pixels = np.asarray(image).reshape(-1, 3)
    pixels = pixels[:: max(1, -(-len(pixels) // SAMPLED_PIXELS))].astype(np.uint32)
    colours = len(np.unique(pixels[:, 0] << 16 | pixels[:, 1] << 8 | pixels[:, 2]))
    if colours <= MAX_COLOURS:
        return False
    counts = np.bincount(np.asarray(image.convert("L")).ravel(), minlength=256)
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum()) > MAX_ENTROPY


def _hash(grey: NDArray[np.float64]) -> Bits:
    """Return which of the 16 x 16 lowest DCT coefficients exceed their median (pHash)."""
    basis = np.cos(np.pi * np.arange(16)[:, None] * (2 * np.arange(64) + 1) / 128)
    low = basis @ grey @ basis.T
    bits: Bits = (low > np.median(low)).ravel()
    return bits


def distance(first: Bits, second: Bits) -> float:
    """Return the share of bits that differ."""
    return float((first != second).mean())
