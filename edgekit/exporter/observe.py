"""The job that runs a source: reference outputs, and how far its own arithmetic can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgekit.errors import ModelError
from edgekit.jobs.protocol import Job, Progress, Workspace
from edgekit.runtimes.base import Arrays
from edgekit.runtimes.jobs import load_arrays, run_samples, save_arrays
from edgekit.types import Blob, Signature, TensorSpec

if TYPE_CHECKING:
    from edgekit.exporter.keras_ import KerasModel, KerasSession

#: Samples per inference; a fixed batch of the model goes first.
BATCH = 32

#: Lengths tried for free dimensions besides the batch, until the model runs.
SIZES = (32, 64, 16, 8)

#: Scales of generated numbers, until every output varies: standardised features, then pixels for a model that divides.
SCALES = (1.0, 64.0)

#: An output varies when its deviation over samples is at least this share of its largest value.
VARIES = 1e-4

#: Most different token ids for an integer input that no embedding limits.
DEFAULT_IDS = 2

#: Noise and reactions are measured on the first samples: the source runs them once more for each input.
PROBED = 32


@dataclass(frozen=True)
class Observation:
    """What a source computes.

    Attributes:
        inputs: that were run, one ``.npy`` per name, samples first.
        outputs: one ``.npy`` per name, samples first.
        noise_floor: largest change of each output when every input moves by one unit in the last place.
        reacts: whether any output changes when this input is exchanged between samples.
    """

    inputs: dict[str, Blob]
    outputs: dict[str, Blob]
    noise_floor: dict[str, float]
    reacts: dict[str, bool]


@dataclass(frozen=True)
class ObserveJob(Job[Observation]):
    """Run a ``.keras`` file on samples.

    Attributes:
        model: the file.
        inputs: one ``.npy`` per input name, samples first; empty to generate them.
        pins: shapes of inputs whose free dimensions are to be fixed, by name.
        samples: how many to generate.
        seed: of the generator.
    """

    model: Blob
    inputs: dict[str, Blob]
    pins: dict[str, tuple[int | None, ...]]
    samples: int = 32
    seed: int = 0

    def run(self, work: Workspace) -> Observation:
        from edgekit.exporter.keras_ import KerasSession, load, pinned

        work.progress(Progress("load the model"))
        loaded = load(work.path(self.model))
        loaded = replace(loaded, signature=pinned(loaded, self.pins))
        session = KerasSession(loaded)
        work.progress(Progress("run the model"))
        rng = np.random.default_rng(self.seed)
        if self.inputs:
            inputs = load_arrays(work, self.inputs)
            outputs = _run(session, inputs)
        else:
            inputs, outputs = _generated(session, loaded, self.samples, rng)
        work.progress(Progress("measure its noise"))
        probed = {name: np.asarray(array[:PROBED]) for name, array in inputs.items()}
        expected = {name: array[:PROBED] for name, array in outputs.items()}
        noise = _noise_floor(session, probed, expected, rng)
        return Observation(
            inputs=self.inputs or save_arrays(work, "input", inputs),
            outputs=save_arrays(work, "output", outputs),
            noise_floor=noise,
            reacts={name: _reacts(session, probed, expected, noise, name) for name in probed},
        )


def generate(
    signature: Signature, samples: int, ids: Mapping[str, int], size: int, scale: float, rng: np.random.Generator
) -> Arrays:
    """Inputs from a signature alone.

    Args:
        signature: of the source.
        samples: length of the first axis.
        ids: number of different values per integer input (and per float input that holds token ids).
        size: length of free dimensions besides the batch.
        scale: of the normal distribution.
        rng: where the numbers come from.

    Returns:
        One array per input: normal numbers, or uniform integers from zero.
    """
    arrays = {}
    for spec in signature.inputs:
        shape = (samples, *(size if length is None else length for length in spec.shape[1:]))
        if spec.name in ids or np.dtype(spec.dtype).kind != "f":
            values: np.ndarray = rng.integers(0, ids.get(spec.name, DEFAULT_IDS), shape)
        else:
            values = rng.standard_normal(shape) * scale
        arrays[spec.name] = values.astype(spec.dtype)
    return arrays


def _generated(
    session: KerasSession, loaded: KerasModel, samples: int, rng: np.random.Generator
) -> tuple[Arrays, Arrays]:
    """Inputs on which every output varies, where a scale of `SCALES` gives that, and the outputs."""
    ids = _ids(loaded)
    size = _working_size(session, ids, rng)
    runs = []
    for scale in SCALES:
        inputs = generate(loaded.signature, samples, ids, size, scale, rng)
        outputs = _run(session, inputs)
        if all(_varies(array) for array in outputs.values()):
            return inputs, outputs
        runs.append((inputs, outputs))
    return runs[0]


def _working_size(session: KerasSession, ids: Mapping[str, int], rng: np.random.Generator) -> int:
    """The first of `SIZES` that the model runs with."""
    free = [spec for spec in session.signature.inputs if None in spec.shape[1:]]
    if not free:
        return SIZES[0]
    for size in SIZES:
        inputs = generate(session.signature, session.signature.batch or 1, ids, size, 1.0, rng)
        try:
            session.run(inputs)
        except ModelError as err:
            refusal = err
        else:
            return size
    raise _unknown_size(free[0], refusal) from refusal


def _unknown_size(spec: TensorSpec, cause: Exception) -> ModelError:
    shape = "x".join("?" if length is None or axis == 0 else str(length) for axis, length in enumerate(spec.shape))
    return ModelError(
        "unknown-size",
        f"the model runs with none of the sizes {', '.join(map(str, SIZES))} for input {spec.name}: "
        f"{str(cause).splitlines()[0] if str(cause) else type(cause).__name__}",
        received=str(spec),
        hint=f"Give samples with --data, or a size with --input {spec.name}={shape}.",
    )


def _ids(loaded: KerasModel) -> dict[str, int]:
    """Different values that inputs with token ids may have: the smallest embedding's.

    Counts every integer input, and a float input that an embedding takes directly (Keras' default dtype).
    """
    import keras

    embeddings = [layer for layer in loaded.layers if isinstance(layer, keras.layers.Embedding)]
    if not embeddings:
        return {}
    smallest = min(layer.input_dim for layer in embeddings)
    fed = {id(tensor) for layer in embeddings for node in layer._inbound_nodes for tensor in node.input_tensors}
    return {
        spec.name: smallest
        for spec, tensor in zip(loaded.signature.inputs, loaded.model.inputs, strict=True)
        if np.dtype(spec.dtype).kind in "iu" or id(tensor) in fed
    }


def _run(session: KerasSession, inputs: Mapping[str, np.ndarray]) -> Arrays:
    return run_samples(session, inputs, session.signature.batch or BATCH)


def _noise_floor(
    session: KerasSession, inputs: Mapping[str, np.ndarray], outputs: Arrays, rng: np.random.Generator
) -> dict[str, float]:
    """Largest difference per output when every floating input moves by one unit in the last place, up or down."""
    moved = {
        name: np.nextafter(array, np.where(rng.random(array.shape) < 0.5, -np.inf, np.inf).astype(array.dtype))
        if array.dtype.kind == "f"
        else array
        for name, array in inputs.items()
    }
    return _differences(outputs, _run(session, moved))


def _reacts(
    session: KerasSession, inputs: Mapping[str, np.ndarray], outputs: Arrays, noise: Mapping[str, float], name: str
) -> bool:
    """Whether giving each sample the next one's value of one input changes any output beyond its noise."""
    rolled = {**inputs, name: np.roll(inputs[name], 1, axis=0)}
    return any(change > noise[output] for output, change in _differences(outputs, _run(session, rolled)).items())


def _differences(left: Arrays, right: Arrays) -> dict[str, float]:
    """Largest absolute difference per output, over elements that are finite in both."""
    found = {}
    for name, array in left.items():
        gap = np.abs(array.astype(np.float64) - right[name].astype(np.float64))
        found[name] = float(gap[np.isfinite(gap)].max(initial=0.0))
    return found


def _deviation(array: np.ndarray) -> float:
    """Root mean square over elements of the standard deviation over samples; elements that are finite throughout."""
    values = array.astype(np.float64).reshape(len(array), -1)
    values = values[:, np.isfinite(values).all(axis=0)]
    return float(np.sqrt(values.var(axis=0).mean())) if values.size else 0.0


def _varies(array: np.ndarray) -> bool:
    values = np.abs(array.astype(np.float64))
    return _deviation(array) > VARIES * float(values[np.isfinite(values)].max(initial=0.0))
