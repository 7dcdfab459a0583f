"""Judging an SVG without drawing it: how many marks of its own does it hold?

No renderer is at hand, so this is weaker than the look at pixels: hidden or white marks count.
Marks in definitions, and in groups named as axes, text, legend or grid, are furniture and do not.
"""

import base64
import hashlib
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from xml.parsers import expat

from tasks.grading.rasters import Budget, NotAFigureError, look

MIN_MARKS = 24
"""Distinct points; the frame of empty axes has 16, three bars add 12."""
MAX_ELEMENTS = 500_000

_FURNITURE = re.compile(r"axis|tick|text|legend|title|label|grid|background", re.IGNORECASE)
_SHAPES = {
    "rect": ("x", "y", "width", "height"),
    "circle": ("cx", "cy", "r"),
    "ellipse": ("cx", "cy", "rx", "ry"),
    "line": ("x1", "y1", "x2", "y2"),
    "use": ("x", "y", "transform"),
}
_LISTS = {"path": "d", "polyline": "points", "polygon": "points"}
_ACTIVE = {"script", "foreignobject", "iframe", "handler", "listener"}
_NUMBER = re.compile(r"-?\d[\d.]*+(?:e-?\d++)?", re.IGNORECASE)
_DATA_IMAGE = re.compile(r"data:image/(?:png|jpeg|webp);base64,([A-Za-z0-9+/=\s]*)")


@dataclass(slots=True)
class _Reader:
    """What has been seen so far; fed by expat."""

    budget: Budget
    points: set[str] = field(default_factory=set)
    pictures: int = 0
    elements: int = 0
    skipping: int = 0
    """Depth below the furniture group we are in; 0 outside."""
    depth: int = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        self.depth += 1
        name = tag.rpartition(":")[2].lower()
        if self.elements == 1 and name != "svg":
            raise NotAFigureError("no SVG image")
        if self.elements > MAX_ELEMENTS or self.depth > 200:  # noqa: PLR2004 - deeper than any drawing program nests
            raise NotAFigureError("too many elements")
        if name in _ACTIVE or any(_acts(key, text) for key, text in attributes.items()):
            raise NotAFigureError("holds a script or foreign content")
        if self.skipping or _is_furniture(name, attributes):
            self.skipping += 1
        else:
            self.mark(name, attributes)

    def end(self, _tag: str) -> None:
        self.depth -= 1
        self.skipping -= self.skipping > 0

    def mark(self, name: str, attributes: dict[str, str]) -> None:
        if name in _SHAPES:
            self.points.add(" ".join(attributes.get(key, "") for key in (name, *_SHAPES[name])))
        elif name in _LISTS:
            numbers = [_rounded(n) for n in _NUMBER.findall(attributes.get(_LISTS[name], ""))]
            self.points.update(f"{x} {y}" for x, y in pairwise(numbers))
        elif name == "image":
            link = attributes.get("xlink:href") or attributes.get("href", "")
            if picture := _DATA_IMAGE.fullmatch(link.strip()):
                look(base64.b64decode(picture[1]), self.budget)
                self.points.add(hashlib.sha256(picture[1].encode()).hexdigest())
                self.pictures += 1


def read(data: bytes, budget: Budget) -> str:
    """Return a hash of what is drawn, the same whatever the colours, names and order.

    Raises:
        NotAFigureError: No SVG, one with entities or scripts, or one that draws too little.
    """
    reader = _Reader(budget=budget)
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = _doctype
    parser.EntityDeclHandler = _entity
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise NotAFigureError("no well-formed SVG") from error
    if len(reader.points) < MIN_MARKS and not reader.pictures:
        raise NotAFigureError(f"only {len(reader.points)} marks; an SVG needs {MIN_MARKS}")
    return hashlib.sha256("\n".join(sorted(reader.points)).encode()).hexdigest()


def _doctype(_name: str, _system: Any, _public: Any, has_internal_subset: Any) -> None:
    # Plotting libraries name the public SVG DTD, which is never fetched; only own rules are refused
    if has_internal_subset:
        raise NotAFigureError("declares a document type of its own")


def _entity(*_: Any) -> None:
    raise NotAFigureError("declares entities")


def _acts(key: str, text: str) -> bool:
    """Whether an attribute runs code: a handler, or an address that is a script."""
    address = re.sub(r"[\x00-\x20]", "", text).lower()  # browsers skip these within a scheme
    return key.lower().startswith("on") or address.startswith(("javascript:", "vbscript:"))


def _is_furniture(name: str, attributes: dict[str, str]) -> bool:
    if name in {"defs", "clippath", "text", "metadata", "style", "symbol", "marker"}:
        return True
    if name != "g":
        return False
    names = f"{attributes.get('id', '')} {attributes.get('class', '')}"
    return bool(_FURNITURE.search(names))


def _rounded(number: str) -> str:
    try:
        return f"{float(number):.0f}"
    except ValueError:
        return number
