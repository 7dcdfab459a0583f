"""Judging one image by its pixels: is anything drawn on it, and what does it look like?"""

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 25_000_000
FORMATS = ("PNG", "JPEG", "WEBP")
MIN_INK, MIN_INSIDE = 0.01, 0.005
"""Share of pixels that differ from the background: overall, and inside the plot area."""
CONTRAST = 24
"""Grey levels from which a pixel differs from the background."""
MAX_ENTROPY, MAX_COLOURS = 7.5, 100_000
"""Noise has more of both: bits of the grey histogram, and distinct colours."""
SAMPLED_PIXELS = 1_000_000

Bits = NDArray[np.bool_]


class NotAFigureError(Exception):
    """Does not count; the text says why."""


@dataclass(slots=True)
class Budget:
    """Pixels that may still be decoded, over all images."""

    pixels: int = 20 * MAX_PIXELS

    def spend(self, width: int, height: int) -> None:
        """Take an image's pixels off the budget."""
        if width * height > MAX_PIXELS:
            raise NotAFigureError(f"{width} x {height} pixels are too many")
        self.pixels -= width * height
        if self.pixels < 0:
            raise NotAFigureError("too many pixels in all images together")


def look(data: bytes, budget: Budget) -> Bits:
    """Return the perceptual hash, (256,) bits, of an image that shows something.

    Raises:
        NotAFigureError: It cannot be decoded, is too large, blank or noise.
    """
    image = _decoded(data, budget)
    grey = np.asarray(image.convert("L").resize((320, 240)), dtype=np.int64)
    if _is_blank(grey):
        raise NotAFigureError("blank")
    if _is_noise(image):
        raise NotAFigureError("noise")
    return _hash(np.asarray(image.convert("L").resize((64, 64)), dtype=np.float64))


def _decoded(data: bytes, budget: Budget) -> "Image":
    """Decode to RGB on white; the size is checked before any pixel is decoded."""
    from PIL import Image  # 0.1 s

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


def _is_blank(grey: NDArray[np.int64]) -> bool:
    background = int(np.bincount(grey.ravel(), minlength=256).argmax())
    ink = np.abs(grey - background) > CONTRAST
    inside = ink[40:200, 50:285]  # where the axes usually are, at 320 x 240
    return bool(ink.mean() < MIN_INK or inside.mean() < MIN_INSIDE)


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
