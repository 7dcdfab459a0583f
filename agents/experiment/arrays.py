"""Names for arrays in signatures; shapes stand in the docstrings."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
"""Floating-point numbers, single or double."""
Ints = NDArray[np.int64]
Booleans = NDArray[np.bool_]
