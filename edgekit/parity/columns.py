"""Parts of one output that have a scale of their own: scores beside boxes, a small channel beside a large one.

The bound on an output rests on the deviation of all its elements, so that a fault of its smallest column could hide
behind the scale of its largest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.parity.metrics import blocks
from edgekit.parity.tolerance import MULTIPLE, TOLERANCE_HIGH

Array = NDArray[Any]
Floats = NDArray[np.float64]

#: Places along an axis that are judged one by one; longer axes are places of an image or of time, all of one scale.
MOST = 4096


def column_faults(name: str, want: Array, have: Array, noise: float) -> Iterator[str]:
    """Columns that are further off than the source's noise and their own deviation allow.

    Args:
        name: of the output.
        want: of the source, ``(samples, ...)``.
        have: of the artifact.
        noise: of the source, by the largest measure, and one rounding of numbers of the output's size at least.
    """
    for axis in sorted({1, want.ndim - 1}):
        if axis < 1 or not 1 < want.shape[axis] <= MOST:
            continue
        gaps, scales = _by_column(want, have, axis)
        limits = np.maximum(MULTIPLE * noise, TOLERANCE_HIGH * scales)
        worst = int(np.argmax(gaps / limits))
        if gaps[worst] > limits[worst]:
            allowed = f"its own deviation and the source's noise allow {limits[worst]:.3g}"
            yield f"output {name}: column {worst} of axis {axis} differs by {gaps[worst]:.3g}, where {allowed}."
            return


def _by_column(want: Array, have: Array, axis: int) -> tuple[Floats, Floats]:
    """Largest difference and deviation at each place along an axis, of elements that are finite in both."""
    length = want.shape[axis]
    gaps, count = np.zeros(length), np.zeros(length)
    total, square = np.zeros(length), np.zeros(length)
    centre: Floats | None = None
    for block, other in blocks(want, have):
        left, right = (np.moveaxis(one, axis, 0).reshape(length, -1) for one in (block, other))
        both = np.isfinite(left) & np.isfinite(right)
        left, right = np.where(both, left, 0.0), np.where(both, right, 0.0)
        gaps = np.maximum(gaps, np.abs(left - right).max(axis=1, initial=0.0))
        centre = left.mean(axis=1, keepdims=True) if centre is None else centre
        moved = np.where(both, left - centre, 0.0)
        count += both.sum(axis=1)
        total += moved.sum(axis=1)
        square += np.square(moved).sum(axis=1)
    count = np.maximum(count, 1)
    return gaps, np.sqrt(np.maximum(square / count - np.square(total / count), 0.0))
