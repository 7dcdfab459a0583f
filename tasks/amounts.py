"""Times and sizes as people write them: 90, 30m, 4g."""

import re
from collections.abc import Mapping
from typing import Final

from tasks.errors import brief

_TIME: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE: Final = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
"""As docker has them: powers of 1024, whether written g, gb or GiB."""
_AMOUNT: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")


def seconds(text: str) -> float:
    """Return the seconds of a time such as `90`, `30m` or `2h`.

    Raises:
        ValueError: It is none.
    """
    found = _amount(text, _TIME)
    if found is None:
        raise ValueError(f"{brief(text)} is no time; write it as 90, 30m or 2h")
    return found


def n_bytes(text: str) -> int:
    """Return the bytes of a size such as `512m` or `4g`.

    Raises:
        ValueError: It is none, or less than a byte.
    """
    found = int(_amount(text, _SIZE, ends=("ib", "b")) or 0)
    if found < 1:
        raise ValueError(f"{brief(text)} is no size; write it as 512m or 4g")
    return found


def _amount(text: str, units: Mapping[str, float], ends: tuple[str, ...] = ()) -> float | None:
    match = _AMOUNT.fullmatch(text)
    if match is None:
        return None
    unit = match[2].lower()
    for end in ends:
        unit = unit.removesuffix(end)
    return float(match[1]) * units[unit] if unit in units else None
