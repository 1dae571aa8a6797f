"""Calibration samples one inference at a time, and the refusal of what is quantized already."""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib import metadata

import numpy as np

from edgekit.errors import UsageError
from edgekit.jobs.protocol import Progress
from edgekit.quantizer.registry import QuantizeRequest


class CalibrationBatches:
    """Inputs by name, one inference after another, in the batch the artifact is fixed to, else 1.

    Of more samples than the recipe takes, so many are drawn with its seed. Iterable more than once; every pass reports
    its progress. Memory holds one batch. A short last batch is filled with its last sample, which does not change any
    minimum or maximum.
    """

    def __init__(self, request: QuantizeRequest) -> None:
        self._request = request
        self._batch = request.signature.batch or 1
        given = min(len(array) for array in request.calibration.values())
        self.samples = min(given, request.recipe.samples)
        order = np.random.default_rng(request.recipe.seed).permutation(given)
        self._rows = np.sort(order[: self.samples])

    def __len__(self) -> int:
        return math.ceil(self.samples / self._batch)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, self.samples, self._batch):
            rows = self._rows[start : start + self._batch]
            self._request.progress(Progress("calibrate", start + len(rows), self.samples))
            yield {
                name: np.ascontiguousarray(_filled(array[rows], self._batch))
                for name, array in self._request.calibration.items()
            }


def _filled(piece: np.ndarray, batch: int) -> np.ndarray:
    missing = batch - len(piece)
    return np.concatenate([piece, np.repeat(piece[-1:], missing, axis=0)]) if missing else piece


def refuse_quantized(found: str) -> None:
    """Raise for an artifact that is quantized already: a second time only loses accuracy.

    Raises:
        UsageError: always.
    """
    raise UsageError(
        "already-quantized",
        "the artifact is quantized already.",
        received=found,
        hint="Quantize the fp32 artifact that it was made from.",
    )


def tool(package: str) -> str:
    """Name and version of the library that quantizes, for the settings of an artifact."""
    return f"{package} {metadata.version(package)}"
