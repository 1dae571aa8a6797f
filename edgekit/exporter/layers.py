"""The job that runs a source layer by layer and keeps what each computes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from edgekit.exporter.loading import SourceSpec
from edgekit.exporter.noise import one_ulp_away
from edgekit.exporter.sources.registry import load_source_model
from edgekit.jobs.protocol import Job, Progress, Workspace
from edgekit.runtimes.array_file import ArrayFile
from edgekit.runtimes.jobs import load_arrays
from edgekit.types import Blob

#: Elements that are compared at once, in float64.
BLOCK = 1 << 20


@dataclass(frozen=True)
class LayerOutput:
    """What one layer computes.

    Attributes:
        name: of the layer, as artifacts trace it.
        kind: its class, operator or primitive.
        values: ``.npy``, samples first.
        noise_floor: largest change when every input of the model moves by one unit in the last place.
    """

    name: str
    kind: str
    values: Blob
    noise_floor: float


@dataclass(frozen=True)
class LayersResult:
    """Layers in the order in which they run."""

    layers: tuple[LayerOutput, ...]


@dataclass(frozen=True)
class LayersJob(Job[LayersResult]):
    """Run a source on samples and keep what its layers compute.

    One sample is run at a time and written as it comes, so that memory holds one layer of one sample.

    Attributes:
        source: the model.
        inputs: one ``.npy`` per input name, samples first.
        samples: how many of them to run.
        seed: of the directions in which inputs move.
    """

    source: SourceSpec
    inputs: dict[str, Blob]
    samples: int = 4
    seed: int = 0

    def run(self, work: Workspace) -> LayersResult:
        work.progress(Progress("load the model"))
        entry = work.path(self.source.files[0]) if self.source.files else None
        loaded = load_source_model(self.source.kind, entry, self.source.loading)
        arrays = {name: array[: self.samples] for name, array in load_arrays(work, self.inputs).items()}
        count = min(len(array) for array in arrays.values())
        kept = _Kept(work.folder, count)
        step = loaded.signature.batch or 1
        rng = np.random.default_rng(self.seed)
        for start in range(0, count - count % step, step):
            work.progress(Progress("run the layers", start, count))
            piece = {name: np.ascontiguousarray(array[start : start + step]) for name, array in arrays.items()}
            loaded.run_layers(piece, partial(kept.write, start))
            loaded.run_layers(one_ulp_away(piece, rng), partial(kept.compare, start))
        return LayersResult(tuple(kept.outputs(work)))


class _Kept:
    """Values of layers on disk."""

    def __init__(self, folder: Path, samples: int) -> None:
        self._folder, self._samples = folder, samples
        self._kinds: dict[str, str] = {}
        self._floors: dict[str, float] = {}
        self._files: dict[str, ArrayFile] = {}

    def write(self, start: int, name: str, kind: str, array: np.ndarray) -> None:
        if name not in self._files:
            path = self._folder / f"layer-{len(self._files)}.npy"  # names of layers are no safe file names
            self._files[name] = ArrayFile(path, array.dtype, (self._samples, *array.shape[1:]))
            self._kinds[name], self._floors[name] = kind, 0.0
        file = self._files[name]
        if array.shape[1:] == file.shape[1:]:  # a layer of another length each time has no one shape
            file.write(start, array)

    def compare(self, start: int, name: str, kind: str, array: np.ndarray) -> None:
        """Take the difference from what was written into the noise floor."""
        if name in self._files and array.shape[1:] == self._files[name].shape[1:]:
            known = self._files[name].read(start, len(array))
            gap = max(_gap(*pair) for pair in zip(_blocks(array), _blocks(known), strict=True)) if array.size else 0.0
            self._floors[name] = max(self._floors[name], gap)

    def outputs(self, work: Workspace) -> list[LayerOutput]:
        return [
            LayerOutput(name, self._kinds[name], work.blob(f"layer-{index}.npy"), self._floors[name])
            for index, name in enumerate(self._files)
        ]


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    flat = array.reshape(-1)
    return (flat[start : start + BLOCK] for start in range(0, flat.size, BLOCK))


def _gap(left: np.ndarray, right: np.ndarray) -> float:
    """Largest difference of elements that are finite in both."""
    gap = np.abs(left.astype(np.float64) - right.astype(np.float64))
    return float(gap[np.isfinite(gap)].max(initial=0.0))
