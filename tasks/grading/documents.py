"""Images inside notebooks and HTML pages."""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

from tasks.grading.inert import parse_json
from tasks.grading.rasters import NotAFigureError

MAX_IMAGES = 100
"""Images of one document that are looked at."""

_INLINE = re.compile(rb"data:image/(?:png|jpeg|webp);base64,([A-Za-z0-9+/=\s]+)")
_TYPES = ("image/png", "image/jpeg", "image/webp")


def images(name: str, data: bytes) -> list[bytes]:
    """Return the images in a document, at most `MAX_IMAGES`, undecoded.

    Raises:
        NotAFigureError: The document cannot be read.
    """
    texts = _in_notebook(data) if name.endswith(".ipynb") else _in_page(data)
    found: list[bytes] = []
    for text in texts:
        if len(found) == MAX_IMAGES:
            break
        try:
            found.append(base64.b64decode(text))
        except binascii.Error:
            found.append(b"")  # keeps the numbering; refused when it is looked at
    return found


def _in_page(data: bytes) -> Iterator[bytes]:
    for match in _INLINE.finditer(data):
        yield match[1]


def _in_notebook(data: bytes) -> list[str]:
    try:
        notebook = parse_json(data)
    except ValueError as error:
        raise NotAFigureError("no readable notebook") from error
    bundles = [
        output["data"]
        for cell in _items(notebook, "cells")
        for output in _items(cell, "outputs")
        if isinstance(output, dict) and isinstance(output.get("data"), dict)
    ]
    found = []
    for bundle in bundles:
        best = next((bundle[kind] for kind in _TYPES if kind in bundle), None)
        if isinstance(best, list):  # nbformat allows lines
            best = "".join(line for line in best if isinstance(line, str))
        if isinstance(best, str) and best.isascii():
            found.append(best)
    return found


def _items(value: Any, key: str) -> list[Any]:
    items = value.get(key) if isinstance(value, dict) else None
    return items if isinstance(items, list) else []
