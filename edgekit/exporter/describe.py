"""Jobs on the source itself: what it is, and what it computes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional

import numpy as np

from edgekit.errors import ModelError
from edgekit.exporter.keras_ import KerasModel, KerasSession, load, pinned
from edgekit.jobs.protocol import Job, Progress, Workspace
from edgekit.runtimes.base import Arrays
from edgekit.runtimes.jobs import load_arrays, run_samples, save_arrays
from edgekit.types import Blob, Signature, TensorSpec

#: Lengths tried for a free dimension other than the batch, in order.
FREE_LENGTHS = (32, 64, 16, 8)

#: Samples that the source runs at once.
BATCH = 32


@dataclass(frozen=True)
class Description:
    """A source, loaded and looked at.

    Attributes:
        signature: with the sizes asked for.
        framework: what wrote the file, such as ``keras 3.15.1``.
        backend: that it was loaded on.
        parameters: count of trained numbers.
        layers: count of layers, nested ones too.
    """

    signature: Signature
    framework: str
    backend: str
    parameters: int
    layers: int


@dataclass(frozen=True)
class DescribeJob(Job[Description]):
    """Load a source and read its signature.

    Attributes:
        model: the file.
        pins: shapes by input name.
    """

    model: Blob
    pins: dict[str, tuple[Optional[int], ...]]

    def run(self, work: Workspace) -> Description:
        import keras

        work.progress(Progress("load"))
        loaded = load(work.path(self.model))
        signature = pinned(loaded, self.pins)
        return Description(signature, loaded.framework, keras.backend.backend(), loaded.parameters, len(loaded.layers))


@dataclass(frozen=True)
class ReferenceResult:
    """What a source computes.

    Attributes:
        inputs: the inputs that were generated; empty where they were given.
        outputs: one ``.npy`` per output name, samples first.
        noise_floor: per output, the largest change when every input moves by one ulp in a random direction.
        reacts: per input, whether any output changes when that input alone goes to another sample.
    """

    inputs: dict[str, Blob]
    outputs: dict[str, Blob]
    noise_floor: dict[str, float]
    reacts: dict[str, bool]


@dataclass(frozen=True)
class ReferenceJob(Job[ReferenceResult]):
    """Run a source on samples.

    Attributes:
        model: the file.
        pins: shapes by input name.
        inputs: one ``.npy`` per input name, samples first; empty to generate them.
        samples: how many to generate.
        seed: of what is drawn.
    """

    model: Blob
    pins: dict[str, tuple[Optional[int], ...]]
    inputs: dict[str, Blob]
    samples: int
    seed: int

    def run(self, work: Workspace) -> ReferenceResult:
        work.progress(Progress("load"))
        loaded = load(work.path(self.model))
        signature = pinned(loaded, self.pins)
        generator = np.random.default_rng(self.seed)
        with KerasSession(loaded) as session:
            work.progress(Progress("run"))
            if self.inputs:
                inputs = load_arrays(work, self.inputs)
                outputs = run_samples(session, inputs, BATCH)
            else:
                inputs, outputs = _generated(loaded, signature, session, self.samples, generator)
            probed = {name: np.array(array[:BATCH]) for name, array in inputs.items()}
            expected = {name: array[: len(next(iter(probed.values())))] for name, array in outputs.items()}
            work.progress(Progress("measure its noise floor"))
            moved = session.run({name: _one_ulp(array, generator) for name, array in probed.items()})
            return ReferenceResult(
                inputs={} if self.inputs else save_arrays(work, "in", inputs),
                outputs=save_arrays(work, "out", outputs),
                noise_floor={name: _distance(expected[name], moved[name]) for name in expected},
                reacts={name: _reacts(session, probed, expected, name) for name in probed},
            )


def _generated(
    loaded: KerasModel, signature: Signature, session: KerasSession, samples: int, generator: np.random.Generator
) -> tuple[Arrays, Arrays]:
    """Inputs that fit the signature, at the first size that the source accepts, and its outputs on them."""
    limit = _smallest_vocabulary(loaded)
    problem: Exception | None = None
    for sized in _sizes(signature):
        inputs = {spec.name: _draw(spec, samples, limit, generator) for spec in sized.inputs}
        try:
            return inputs, run_samples(session, inputs, sized.batch or BATCH)
        except Exception as err:  # a size that this model cannot take; the next one may fit
            problem = err
    raise ModelError(
        "no-inputs",
        f"the model takes none of the inputs that were generated for it: {problem}",
        received=", ".join(map(str, signature.inputs)),
        hint="Give real samples with --data, or sizes with --input.",
    ) from problem


def _sizes(signature: Signature) -> Iterator[Signature]:
    """The signature with its free dimensions set, the batch aside."""
    free = any(length is None for spec in signature.inputs for length in spec.shape[1:])
    for length in FREE_LENGTHS if free else (0,):
        yield replace(signature, inputs=tuple(_filled(spec, length) for spec in signature.inputs))


def _filled(spec: TensorSpec, length: int) -> TensorSpec:
    return replace(spec, shape=(spec.shape[0], *(length if free is None else free for free in spec.shape[1:])))


def _draw(spec: TensorSpec, samples: int, limit: int, generator: np.random.Generator) -> np.ndarray:
    """Standard normal numbers, or integers that an embedding accepts."""
    shape = [samples, *(length or 1 for length in spec.shape[1:])]
    if np.dtype(spec.dtype).kind == "f":
        return generator.standard_normal(shape).astype(spec.dtype)
    return generator.integers(0, 2 if spec.dtype == "bool" else limit, shape).astype(spec.dtype)


def _smallest_vocabulary(loaded: KerasModel) -> int:
    import keras

    sizes = [layer.input_dim for layer in loaded.layers if isinstance(layer, keras.layers.Embedding)]
    return min(sizes, default=2)


def _one_ulp(array: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    if array.dtype.kind != "f":
        return array
    direction = np.where(generator.random(array.shape) < 0.5, -np.inf, np.inf).astype(array.dtype)
    moved: np.ndarray = np.nextafter(array, direction)
    return moved


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """Largest absolute difference; NaN in the same place is none."""
    apart = np.abs(np.asarray(one, np.float64) - np.asarray(other, np.float64))
    return float(np.nanmax(apart, initial=0.0))


def _reacts(session: KerasSession, inputs: Mapping[str, Any], outputs: Arrays, name: str) -> bool:
    rolled = {**inputs, name: np.roll(inputs[name], 1, axis=0)}
    if np.array_equal(rolled[name], inputs[name]):
        return False
    return any(not np.array_equal(outputs[key], array) for key, array in session.run(rolled).items())
