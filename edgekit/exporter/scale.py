"""Whether samples are scaled as those that a source was trained with, told by its own layers that normalise.

A batch normalisation keeps the mean and variance that it saw in training, and a Keras ``Normalization`` those of the
data that it was adapted to. Where samples are scaled as then, what comes out of the first such layer, before its own
scale and shift, has a deviation near 1; with samples 0 to 255 in place of 0 to 1 it has one near 255.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.errors import UsageError
from edgekit.exporter.loading import Loaded, SourceSpec
from edgekit.exporter.sources.registry import load_source_model
from edgekit.jobs.protocol import Job, Progress, Workspace
from edgekit.runtimes.jobs import load_arrays
from edgekit.types import Blob

#: Samples that are run; a fixed batch of the model goes first.
SAMPLES = 64


@dataclass(frozen=True)
class Scale:
    """What the first layer that normalises says about samples.

    Attributes:
        layer: its name; empty where the source has none, or it was never trained.
        spread: median over its channels of the deviation of what it normalises, in units of training; 1 is as then.
    """

    layer: str = ""
    spread: float = 1.0


@dataclass(frozen=True)
class ScaleJob(Job[Scale]):
    """Run a source on some samples and look at its first layer that normalises.

    Attributes:
        source: the model.
        inputs: one ``.npy`` per input name, samples first.
    """

    source: SourceSpec
    inputs: dict[str, Blob]

    def run(self, work: Workspace) -> Scale:
        work.progress(Progress("look at the scale of the samples"))
        entry = work.path(self.source.files[0]) if self.source.files else None
        loaded = load_source_model(self.source.kind, entry, self.source.loading)
        layers = dict(_normalizers(loaded))
        if not layers:
            return Scale()
        arrays = load_arrays(work, self.inputs)
        count = min(len(array) for array in arrays.values())
        chosen = np.linspace(0, count - 1, loaded.signature.batch or min(SAMPLES, count)).astype(int)
        return scale_of(loaded, layers, {name: np.asarray(array[chosen]) for name, array in arrays.items()})


@dataclass(frozen=True, slots=True)
class _Normalizer:
    """A layer that normalises: by what it multiplies afterwards, one number per channel or one, and where they are."""

    gamma: np.ndarray
    axis: int


def scale_of(loaded: Loaded, layers: Mapping[str, _Normalizer], inputs: Mapping[str, np.ndarray]) -> Scale:
    """Run one batch; the first of the layers that is reached decides."""
    found: list[Scale] = []

    def look(name: str, kind: str, array: np.ndarray) -> None:  # noqa: ARG001  # a `Record` is called with it
        layer = layers.get(name)
        if layer is None or found:
            return
        values = np.moveaxis(array, layer.axis, -1).reshape(-1, array.shape[layer.axis])
        gamma = np.abs(np.broadcast_to(layer.gamma, values.shape[1:]))
        used = gamma > gamma.max() / 1000  # a channel that training switched off says nothing
        deviation = values.std(axis=0, dtype=np.float64)[used] / gamma[used]
        found.append(Scale(name, float(np.median(deviation)) if len(deviation) else 1.0))

    try:
        loaded.run_layers(inputs, look)
    except UsageError as error:
        if error.code != "no-layers":
            raise
    return found[0] if found else Scale()


def _normalizers(loaded: Loaded) -> Iterator[tuple[str, _Normalizer]]:
    """Layers with statistics of training, by the names under which `Loaded.run_layers` records them."""
    if loaded.kind == "keras":
        for layer in getattr(loaded, "layers", ()):
            found = _keras(layer)
            if found is not None:
                yield str(getattr(layer, "path", None) or layer.name), found
    elif loaded.kind == "torch.nn":
        model: Any = getattr(loaded, "model", None)
        for name, module in model.named_modules():
            found = _torch(module)
            if found is not None:
                yield name.replace(".", "/"), found


def _keras(layer: Any) -> _Normalizer | None:
    kind = type(layer).__name__
    if kind == "Normalization" and not layer.invert and layer.mean is not None:
        trained = _trained(_numbers(layer.mean), _numbers(layer.variance))
        return _Normalizer(np.ones(1), -1) if trained else None
    if kind != "BatchNormalization" or not _trained(_numbers(layer.moving_mean), _numbers(layer.moving_variance)):
        return None
    return _Normalizer(np.ones(1) if layer.gamma is None else _numbers(layer.gamma), int(layer.axis))


def _torch(module: Any) -> _Normalizer | None:
    if not type(module).__name__.startswith("BatchNorm") or module.running_mean is None:
        return None
    if not _trained(_numbers(module.running_mean), _numbers(module.running_var)):
        return None
    return _Normalizer(np.ones(1) if module.weight is None else _numbers(module.weight), 1)


def _numbers(variable: Any) -> np.ndarray:
    """The value of a Keras variable or a torch tensor."""
    if hasattr(variable, "detach"):
        variable = variable.detach().cpu()
    return np.asarray(variable)


def _trained(mean: np.ndarray, variance: np.ndarray) -> bool:
    """Whether statistics are others than those that a new layer has."""
    return bool(np.any(mean != 0) or np.any(variance != 1))
