"""Images, texts, and both together."""

import math
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from tasks.families.base import MOST_HELD, Sampled, Share, Told, check_ceiling

MAX_IMAGE_TEMPLATES = 250_000
"""The law of 10,000 small images takes a minute then."""
IMAGE_CONTRASTS, IMAGE_COLOURS, IMAGE_BLOCKS = 3, 6, 9
"""How many of each there are in images that have them."""
LEAST_GLYPH = 5.6
"""Pixels a side of the smallest glyph that is more than a blot."""

Glyphs = Annotated[int, Field(ge=2, le=50)]
"""Classes of images."""


def _image_size(least: int) -> BeforeValidator:
    """Return a check that names the range, where a tuple's own would speak of tuples."""

    def check(value: object) -> object:
        if not isinstance(value, list | tuple) or len(value) != 2:  # noqa: PLR2004 - height and width
            raise ValueError(f"it must be [height, width], {least} to 128 pixels each")
        return value

    return BeforeValidator(check)


class ImageClassification(Sampled):
    """Noisy glyphs of an alphabet drawn per seed; posterior over a finite nuisance grid."""

    draws = "tasks.datasets.image_classification:draw"
    version = 3
    tier = "B"
    most_cells = MOST_HELD

    n_samples: Annotated[int, Field(ge=100, le=1_000_000)] = 5000
    image_size: Annotated[
        tuple[Annotated[int, Field(ge=12, le=128)], Annotated[int, Field(ge=12, le=128)]],
        _image_size(12),
    ] = Field(default=(32, 32), strict=False)
    """Height and width, pixels."""
    n_classes: Glyphs = 10
    shift: Annotated[int, Field(ge=0, le=4)] = 2
    """Largest displacement of a glyph along each axis, pixels."""
    scales: tuple[Annotated[float, Field(ge=0.4, le=1.0)], ...] = Field(
        default=(0.7, 0.85, 1.0), min_length=1, max_length=8, strict=False
    )
    """Sizes of a glyph as shares of the room that shifts and rotations leave; one per image."""
    rotations: tuple[Annotated[int, Field(ge=-180, le=180)], ...] = Field(
        default=(0,), min_length=1, max_length=24, strict=False
    )
    """Degrees by which a glyph is turned; one of them per image."""
    occlusion: Annotated[float, Field(ge=0.0, le=0.6)] = 0.0
    """Height and width of a block in which nothing of the glyph is seen, shares of the image's."""
    channels: Literal[1, 3] = 1
    """3: the ink has one of six colours, whatever the class."""
    files: Literal["npz", "png"] = "npz"
    """`train.npz` with one array, or `train.zip` with a PNG file per image; and so for test."""
    ceiling: Share = 0.97
    """Accuracy of the Bayes-optimal classifier, hit by a root find on the noise."""

    @property
    def n_templates(self) -> int:
        """All that an image can show before noise: each is looked at for each image's law."""
        n_places = (2 * self.shift + 1) ** 2
        n_inks = IMAGE_CONTRASTS * (IMAGE_COLOURS if self.channels > 1 else 1)
        n_blocks = IMAGE_BLOCKS if self.occlusion > 0 else 1
        shapes = self.n_classes * len(self.scales) * len(self.rotations)
        return shapes * n_places * n_inks * n_blocks

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check_ceiling(self.ceiling, self.n_classes)
        for name, values in (("scales", self.scales), ("rotations", self.rotations)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} is {list(values)}; each may be there once")
        if self.n_templates > MAX_IMAGE_TEMPLATES:
            raise ValueError(
                f"n_classes, scales, rotations, shift, occlusion and channels make "
                f"{self.n_templates:,} templates; at most {MAX_IMAGE_TEMPLATES:,}"
            )
        self._check_room()
        return self

    def _check_room(self) -> None:
        angles = [math.radians(degrees) for degrees in self.rotations]
        turning = max(abs(math.cos(angle)) + abs(math.sin(angle)) for angle in angles)
        glyph = LEAST_GLYPH * turning / min(self.scales)
        least = math.ceil(glyph - 1e-9) + 2 * self.shift
        if min(self.image_size) < least:
            raise ValueError(
                f"image_size is {list(self.image_size)}; a shift of {self.shift}, these scales and "
                f"these rotations need at least {least} pixels a side"
            )


class TextClassification(Told):
    """Documents of a hidden-Markov grammar per class over words; posterior by the forward pass."""

    draws = "tasks.datasets.text:draw"
    version = 2
    tier = "B"
    most_cells = MOST_HELD

    n_samples: Annotated[int, Field(ge=30, le=1_000_000)] = 1000
    n_classes: Annotated[int, Field(ge=2, le=20)] = 3
    vocabulary: Annotated[int, Field(ge=50, le=5000)] = 500
    mean_length: Annotated[int, Field(ge=5, le=500)] = 30
    """Words per document, mean."""
    ceiling: Share = 0.9
    """Accuracy of the Bayes-optimal classifier, hit by a root find on the grammar's strictness."""


class MultiModal(Told):
    """A small image and term counts per row, independent given the class."""

    draws = "tasks.datasets.multi_modal:draw"
    version = 3
    tier = "B"
    ceilings = ("image_ceiling", "text_ceiling")
    most_cells = MOST_HELD

    n_samples: Annotated[int, Field(ge=20, le=200_000)] = 1000
    image_size: Annotated[
        tuple[Annotated[int, Field(ge=8, le=128)], Annotated[int, Field(ge=8, le=128)]],
        _image_size(8),
    ] = Field(default=(28, 28), strict=False)
    """Height and width, pixels."""
    n_text_features: Annotated[int, Field(ge=5, le=10_000)] = 100
    """Terms that are counted."""
    n_classes: Glyphs = 3
    image_ceiling: Share = 0.75
    """Accuracy of the Bayes-optimal classifier of the image alone, hit by a root find."""
    text_ceiling: Share = 0.75
    """The same for the term counts alone; both together allow more."""
