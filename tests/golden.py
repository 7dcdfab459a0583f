"""Hashes of what each family makes, to be compared between versions of NumPy.

`make matrix` runs this with several of them: the bits of public files and labels are the same.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from tasks import plugins
from tasks.instance import Blob, Streams

REAL = {"bundled"}
"""Families that read packages which this comparison does without."""


def digest(instance):
    found = hashlib.sha256()
    for name, content in sorted(instance.public.items()):
        found.update(name.encode())
        if isinstance(content, Blob):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "blob"
                content.write(path)
                found.update(_pixels(path))
            continue
        for column, values in content.columns().items():
            found.update(column.encode())
            found.update(repr(values.tolist()).encode())
    if instance.answers is not None:
        found.update(repr(np.asarray(instance.answers.labels).tolist()).encode())
    return found.hexdigest()[:16]


def _pixels(path):
    """Return what a file holds; the head of an .npy array is spelt anew by each NumPy."""
    if not path.with_suffix(".npz").exists() and path.read_bytes()[:2] != b"PK":
        return path.read_bytes()
    with np.load(path) as stored:
        return b"".join(name.encode() + stored[name].tobytes() for name in sorted(stored.files))


def hashes():
    names = [name for name in plugins.BUILT_IN["family"] if name not in REAL]
    return {name: digest(plugins.load("family", name)().draw(Streams(b"golden"))) for name in names}


if __name__ == "__main__":
    print(json.dumps({"numpy": np.__version__, "hashes": hashes()}))
