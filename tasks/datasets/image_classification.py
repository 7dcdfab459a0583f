"""Images of the glyphs of a fresh alphabet, as arrays or as PNG files (tier B)."""

from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.datasets import image_files, images
from tasks.families import ImageClassification
from tasks.instance import (
    Answers,
    Blob,
    Categorical,
    Contract,
    Instance,
    Ints,
    Streams,
    Table,
    class_names,
)

Columns = dict[str, NDArray[Any]]
Part = Literal["train", "test"]


def draw(params: ImageClassification, streams: Streams) -> Instance:
    """Draw an alphabet, and train and test images of its glyphs."""
    alphabet = images.Alphabet.random(
        streams.stream("structure"),
        n_classes=params.n_classes,
        image_size=params.image_size,
        shift=params.shift,
        scales=params.scales,
        rotations=params.rotations,
        channels=params.channels,
        occlusion=params.occlusion,
    )
    sd = alphabet.noise_for(params.ceiling, streams)
    n, n_test, k = params.n_samples, params.test_rows, params.n_classes
    known = streams.stream("train/codes").permutation(np.arange(n, dtype=np.int64) % k)
    hidden = streams.stream("test/codes").integers(k, size=n_test)
    names = tuple(str(code) for code in range(k))
    ids = {"train": np.arange(n, dtype=np.int64), "test": np.arange(n, n + n_test, dtype=np.int64)}
    prior = np.bincount(known, minlength=k) / n

    def part(name: Part, codes: Ints, target: Columns) -> dict[str, Table | Blob]:
        blocks = partial(alphabet.images, streams, name, codes, sd)
        if params.files == "npz":
            file = image_files.npz((len(codes), *alphabet.shape), blocks)
            return {name: Table.of({"id": ids[name], **target}), f"{name}.npz": file}
        width = len(str(n + n_test - 1))
        files = [f"{number:0{width}}.png" for number in ids[name].tolist()]
        columns = {"id": ids[name], "file": np.array(files, dtype=object), **target}
        return {
            name: Table.of(columns),
            f"{name}.zip": image_files.zip_of_pngs(files, blocks),
        }

    return Instance(
        public={
            **part("train", known, {"target": class_names(known, names)}),
            **part("test", hidden, {}),
        },
        notes=_notes(params),
        contract=Contract(kind="classes", ids=ids["test"], classes=names),
        answers=Answers(
            labels=hidden,
            law=Categorical(p=alphabet.posteriors(streams, "test", hidden, sd)),
            trivial={"prior": np.broadcast_to(prior, (n_test, k))},
        ),
        details={
            "noise_sd": sd,
            "background": images.BACKGROUND,
            "contrasts": images.CONTRASTS,
            "scales": params.scales,
            "rotations": params.rotations,
            "inks": alphabet.inks,
            "hidden_blocks": [
                [rows.start, rows.stop, columns.start, columns.stop]
                for rows, columns in alphabet.blocks
            ],
            "shift": params.shift,
            "strokes": [[stroke.tolist() for stroke in glyph] for glyph in alphabet.glyphs],
        },
    )


def _notes(params: ImageClassification) -> str:
    changes = ["place", "size", "contrast"]
    changes += ["angle"] if len(params.rotations) > 1 else []
    changes += ["colour"] if params.channels > 1 else []
    hidden = (
        " Somewhere in each image is a block of fixed size in which nothing of the glyph is seen."
        if params.occlusion > 0
        else ""
    )
    return (
        f"{_files(params)}\n\n"
        f"Each image shows one of {params.n_classes} glyphs; `target` is which, 0 to "
        f"{params.n_classes - 1}. From image to image the glyph's {', '.join(changes[:-1])} and "
        f"{changes[-1]} change, and every pixel has noise of its own.{hidden} All classes are "
        f"equally frequent; rows are in no order and ids mean nothing."
    )


def _files(params: ImageClassification) -> str:
    height, width = params.image_size
    kind = "grey" if params.channels == 1 else "colour"
    size = f"{kind} images of {height} by {width} pixels"
    if params.files == "png":
        return (
            f"- `train.zip`: {params.n_samples:,} PNG files, {size}.\n"
            f"- `train.csv`: columns `id`, `file` (the image's name in `train.zip`) and `target`.\n"
            f"- `test.zip`: {params.test_rows:,} PNG files of the same kind.\n"
            f"- `test.csv`: columns `id` and `file`."
        )
    last = "" if params.channels == 1 else "; the last axis is red, green, blue"
    return (
        f"- `train.npz`: the array `images`, {params.n_samples:,} {size}, uint8{last}; read it by "
        f"`numpy.load(path)['images']`.\n"
        f"- `train.csv`: columns `id` and `target`; row i belongs to image i of `train.npz`.\n"
        f"- `test.npz`: the array `images`, {params.test_rows:,} images of the same kind.\n"
        f"- `test.csv`: column `id`; row i belongs to image i of `test.npz`."
    )
