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

    Iterable more than once; every pass reports its progress. A short last batch is filled with its last sample,
    which does not change any minimum or maximum.
    """

    def __init__(self, request: QuantizeRequest) -> None:
        self._request = request
        self._batch = request.signature.batch or 1
        self.samples = min(len(array) for array in request.calibration.values())

    def __len__(self) -> int:
        return math.ceil(self.samples / self._batch)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, self.samples, self._batch):
            pieces = {name: array[start : start + self._batch] for name, array in self._request.calibration.items()}
            self._request.progress(Progress("calibrate", min(start + self._batch, self.samples), self.samples))
            yield {name: np.ascontiguousarray(_filled(piece, self._batch)) for name, piece in pieces.items()}


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
