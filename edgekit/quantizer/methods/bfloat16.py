"""Rounding to bfloat16, which numpy does not have."""

from __future__ import annotations

import numpy as np


def rounded(values: np.ndarray) -> np.ndarray:
    """The upper half of each float32, rounded to the nearest and then to even, as uint16.

    Args:
        values: finite, float32.
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def widened(halves: np.ndarray) -> np.ndarray:
    """The float32 values of what `rounded` gives."""
    return (halves.astype(np.uint32) << 16).view(np.float32)
