"""Quantize a network of the digits, and run the result, each in a process as edgekit does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.exporter.graph import conversion_context
from edgekit.jobs.executor import Executor
from edgekit.quantizer.jobs import QuantizeJob, QuantizeJobResult
from edgekit.quantizer.recipe import Recipe
from edgekit.runtimes import runtime_for
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.jobs import RunJob
from edgekit.types import Blob
from tests.quantizer import digits

IMAGES, LABELS = digits.images()

#: What no calibration has seen.
EVALUATION = slice(digits.TRAINING, None)


@dataclass(frozen=True)
class Runs:
    """Files of one target.

    Attributes:
        executor: runs the jobs.
        target: ``onnx``, ``openvino`` or ``tflite``.
        folder: for samples.
    """

    executor: Executor
    target: str
    folder: Path

    def files(self, *paths: Path) -> tuple[Blob, ...]:
        """Blobs of a model, the entry file first."""
        return tuple(self.executor.add(path) for path in paths)

    def quantized(self, files: tuple[Blob, ...], recipe: str, samples: np.ndarray = IMAGES[:100]) -> QuantizeJobResult:
        """What edgekit makes."""
        parsed = Recipe.parse(recipe)
        calibration = self._array("calibration", samples) if parsed.precision == "int8" else {}
        job = QuantizeJob(
            f"{self.target}:{parsed.precision}", files, digits.signature(self.target), calibration, parsed
        )
        return self.executor.run(job, conversion_context(None))

    def scores(self, files: tuple[Blob, ...]) -> np.ndarray:
        """``(samples, 10)`` of the evaluation images."""
        inputs = self._array("evaluation", IMAGES[EVALUATION])
        job = RunJob(runtime_for(self.target).name, files, inputs, (1,), OpenOptions(threads=1))
        ran = self.executor.run_fresh(job, conversion_context(None))
        loaded: np.ndarray = np.load(self.executor.path(ran.outputs[0]["scores"]))
        return loaded

    def _array(self, name: str, values: np.ndarray) -> dict[str, Blob]:
        np.save(self.folder / f"{name}.npy", values)
        return {"image": self.executor.add(self.folder / f"{name}.npy")}
