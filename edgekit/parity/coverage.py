"""How much of what an input is known to hold the compared samples reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Least and largest number of an input.
Range = tuple[float, ...]

#: Elements that are looked at together, so that memory-mapped samples stay on disk.
BLOCK_ELEMENTS = 1 << 20


def ranges(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Range]:
    """Least and largest finite number of every floating input; indices and masks have no range worth covering."""
    found: dict[str, Range] = {}
    for name, array in arrays.items():
        if array.dtype.kind != "f" or not array.size:
            continue
        rows = max(1, BLOCK_ELEMENTS // max(1, array[0].size))
        low, high = np.inf, -np.inf
        for start in range(0, len(array), rows):
            block = np.asarray(array[start : start + rows])
            finite = np.isfinite(block)
            low = min(low, float(block.min(initial=np.inf, where=finite)))
            high = max(high, float(block.max(initial=-np.inf, where=finite)))
        if low <= high:
            found[name] = (low, high)
    return found


def joined(*several: Mapping[str, Range]) -> dict[str, Range]:
    """The range of each input over several sets of samples."""
    found: dict[str, Range] = {}
    for one in several:
        for name, (low, high) in one.items():
            known = found.get(name, (low, high))
            found[name] = (min(low, known[0]), max(high, known[1]))
    return found


def covered(compared: Mapping[str, Range], known: Mapping[str, Range]) -> float | None:
    """The least share, over inputs, of the known range that the compared samples span.

    Args:
        compared: of the samples that were run.
        known: of samples that were met elsewhere, such as those of a calibration.

    Returns:
        From 0 to 1; None where no sample that is known reaches beyond those that were compared.
    """
    shares = [
        max(0.0, min(compared[name][1], high) - max(compared[name][0], low)) / (high - low)
        for name, (low, high) in known.items()
        if name in compared and high > low and (low < compared[name][0] or high > compared[name][1])
    ]
    return min(shares, default=None)


def beyond(compared: Mapping[str, Range], known: Mapping[str, Range]) -> tuple[str, ...]:
    """A sentence for each input that reaches further past what is known than that is wide: it may be scaled otherwise.

    Args:
        compared: of the samples that were run.
        known: of samples that were met elsewhere, such as those of a calibration.
    """
    return tuple(
        f"input {name} spans {_span(compared[name])} here and {_span((low, high))} in the samples of export and "
        "calibration: integers saturate beyond that. Are these samples scaled as the model expects?"
        for name, (low, high) in known.items()
        if name in compared and max(low - compared[name][0], compared[name][1] - high) > high - low
    )


def _span(found: Range) -> str:
    return f"{found[0]:.4g} to {found[1]:.4g}"
