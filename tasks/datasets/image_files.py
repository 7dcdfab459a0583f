"""Images as files: one .npz array, or a .zip of PNG files; the same bytes on every build.

Noise cannot be compressed, so nothing is; what zlib makes of it would depend on its version.
"""

import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.instance import Blob

Images = NDArray[np.uint8]
"""(n, height, width), or (n, height, width, 3) in colour."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, COLOUR = 0, 2
"""Colour types of PNG."""
MOST_STORED = 65_535
"""Bytes that a stored block of deflate holds."""


def npz(shape: tuple[int, ...], blocks: Callable[[], Iterable[Images]]) -> Blob:
    """Return an .npz file with the array `images` of `shape`, never whole in memory."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}

    def write(path: Path) -> None:
        # a member opened by name is dated 1980, whatever the clock says
        with (
            zipfile.ZipFile(path, "w") as archive,
            archive.open("images.npy", "w", force_zip64=True) as file,
        ):
            np.lib.format.write_array_header_1_0(file, header)
            for block in blocks():
                file.write(block.tobytes())

    return Blob(write=write)


def zip_of_pngs(names: Iterable[str], blocks: Callable[[], Iterable[Images]]) -> Blob:
    """Return a .zip file with an image of each name, in order."""

    def write(path: Path) -> None:
        every = iter(names)
        with zipfile.ZipFile(path, "w") as archive:
            for block in blocks():
                for image in block:
                    archive.writestr(zipfile.ZipInfo(next(every)), png(image))

    return Blob(write=write)


def png(image: Images) -> bytes:
    """Return an image (height, width) or (height, width, 3) as PNG, 8 bits a sample, unpacked.

    Source: W3C, Portable Network Graphics (third edition); RFC 1950 and 1951 for the stream.
    """
    height, width = image.shape[:2]
    colour = GREY if image.ndim == 2 else COLOUR  # noqa: PLR2004 - rows and columns
    lines = image.reshape(height, -1)
    raw = np.pad(lines, ((0, 0), (1, 0))).tobytes()  # each line begins with its filter: none
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return (
        SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", _stored(raw)) + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def _stored(raw: bytes) -> bytes:
    """Return a zlib stream of stored blocks."""
    starts = range(0, len(raw), MOST_STORED)
    blocks = [raw[start : start + MOST_STORED] for start in starts]
    packed = [
        struct.pack("<BHH", block is blocks[-1], len(block), MOST_STORED - len(block)) + block
        for block in blocks
    ]
    return b"\x78\x01" + b"".join(packed) + struct.pack(">I", zlib.adler32(raw))
