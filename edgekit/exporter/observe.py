"""The job that runs a source: reference outputs, and how far its own arithmetic can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgekit.errors import ModelError
from edgekit.exporter.edges import edges, numbers_in
from edgekit.exporter.loading import Loaded, SourceSpec
from edgekit.exporter.noise import BATCH, Noise, differences, one_ulp_away, probe, run_source, twin_noise
from edgekit.exporter.sizes import (
    SIZES,
    Lengths,
    first_lengths,
    free_axes,
    lengths_of,
    other_lengths,
    resized,
)
from edgekit.exporter.sources.registry import load_source_model
from edgekit.jobs.protocol import Job, Progress, Workspace
from edgekit.runtimes.base import Arrays, Session
from edgekit.runtimes.jobs import load_arrays, run_samples, save_arrays
from edgekit.types import Blob, Signature

#: Scales of generated numbers, until every output varies: standardised features, then pixels for a model that divides.
SCALES = (1.0, 64.0)

#: An output varies when its deviation over samples is at least this share of its largest value.
VARIES = 1e-4

#: Most different token ids for an integer input that no embedding limits.
DEFAULT_IDS = 2

#: Samples at other lengths: each shape costs the source a compilation, each sample little.
RESIZED = 8


@dataclass(frozen=True)
class Observed:
    """What a source computes on one set of samples.

    Attributes:
        inputs: that were run, one ``.npy`` per name, samples first.
        outputs: one ``.npy`` per name, samples first.
        noise: how far each output moves when nothing but rounding changes, by method.
        reacts: whether any output changes when this input is exchanged between samples.
        edge: whether these are inputs at the edges of what the model may meet, see `edgekit.exporter.edges`.
    """

    inputs: dict[str, Blob]
    outputs: dict[str, Blob]
    noise: Noise
    reacts: dict[str, bool]
    edge: bool = False


@dataclass(frozen=True)
class Observation(Observed):
    """What a source computes.

    Attributes:
        sizes: the same for a few samples with other lengths of the free dimensions, where something besides the
            batch is free and the source runs with another length that was tried; and for a few at the edges.
    """

    sizes: tuple[Observed, ...] = ()


@dataclass(frozen=True)
class ObserveJob(Job[Observation]):
    """Run a source on samples, and on some of other lengths where a dimension besides the batch is free.

    Attributes:
        source: the model.
        inputs: one ``.npy`` per input name, samples first; empty to generate them.
        samples: how many to generate.
        seed: of the generator.
    """

    source: SourceSpec
    inputs: dict[str, Blob]
    samples: int = 32
    seed: int = 0

    def run(self, work: Workspace) -> Observation:
        work.progress(Progress("load the model"))
        entry = work.path(self.source.files[0]) if self.source.files else None
        loaded = load_source_model(self.source.kind, entry, self.source.loading)
        session = loaded.open()
        work.progress(Progress("run the model"))
        rng = np.random.default_rng(self.seed)
        if self.inputs:
            inputs = load_arrays(work, self.inputs)
            outputs = run_source(session, inputs)
            lengths = lengths_of(loaded.signature, inputs)
        else:
            lengths, inputs, outputs = _generated(session, loaded, self.samples, rng)
        work.progress(Progress("measure its noise"))
        noise, reacts = probe(session, inputs, outputs, rng)
        sizes = _at_other_lengths(work, session, inputs, lengths, rng)
        edges = _at_edges(work, session, loaded, inputs, rng)
        twins = twin_noise(loaded, inputs, outputs)
        return Observation(
            inputs=self.inputs or save_arrays(work, "input", inputs),
            outputs=save_arrays(work, "output", outputs),
            noise={name: {**found, **twins[name]} for name, found in noise.items()},
            reacts=reacts,
            sizes=(*sizes, *edges),
        )


def generate(
    signature: Signature,
    samples: int,
    ids: Mapping[str, int],
    lengths: Lengths,
    scale: float,
    rng: np.random.Generator,
) -> Arrays:
    """Inputs from a signature alone.

    Args:
        signature: of the source.
        samples: length of the first axis.
        ids: number of different values per integer input (and per float input that holds token ids).
        lengths: of free dimensions besides the batch.
        scale: of the normal distribution.
        rng: where the numbers come from.

    Returns:
        One array per input: normal numbers, or uniform integers from zero.
    """
    arrays = {}
    for spec in signature.inputs:
        rest = enumerate(spec.shape[1:], start=1)
        shape = (samples, *(lengths[spec.name, axis] if length is None else length for axis, length in rest))
        if spec.name in ids or np.dtype(spec.dtype).kind != "f":
            values: np.ndarray = rng.integers(0, ids.get(spec.name, DEFAULT_IDS), shape)
        else:
            values = rng.standard_normal(shape) * scale
        arrays[spec.name] = values.astype(spec.dtype)
    return arrays


def _generated(
    session: Session, loaded: Loaded, samples: int, rng: np.random.Generator
) -> tuple[Lengths, Arrays, Arrays]:
    """Inputs on which every output varies, where a scale of `SCALES` gives that, and the outputs."""
    ids = loaded.ids()
    lengths, inputs, outputs = _first_that_runs(session, loaded.signature, samples, ids, rng)
    first = inputs, outputs
    for scale in SCALES[1:]:
        if all(_varies(array) for array in outputs.values()):
            return lengths, inputs, outputs
        inputs = generate(loaded.signature, samples, ids, lengths, scale, rng)
        outputs = run_source(session, inputs)
    varies = all(_varies(array) for array in outputs.values())
    return lengths, *((inputs, outputs) if varies else first)


def _first_that_runs(
    session: Session, signature: Signature, samples: int, ids: Mapping[str, int], rng: np.random.Generator
) -> tuple[Lengths, Arrays, Arrays]:
    """Inputs of the first lengths with which the model gives numbers, and its outputs.

    Raises:
        ModelError: there are none.
    """
    refusal: ModelError | None = None
    ran: tuple[Lengths, Arrays, Arrays] | None = None
    for lengths in first_lengths(signature):
        inputs = generate(signature, samples, ids, lengths, SCALES[0], rng)
        try:
            outputs = run_source(session, inputs)
        except ModelError as err:
            if not lengths:
                raise
            refusal = refusal or err
            continue
        ran = ran or (lengths, inputs, outputs)
        if not lengths or _are_numbers(outputs):
            return lengths, inputs, outputs
    if ran is None:
        assert refusal is not None
        raise _unknown_size(signature, refusal) from refusal
    return ran


def _at_other_lengths(
    work: Workspace, session: Session, inputs: Arrays, lengths: Lengths, rng: np.random.Generator
) -> tuple[Observed, ...]:
    """A few of the samples with every free dimension at another length; nothing where no other length runs."""
    for other in other_lengths(lengths):
        changed = resized(inputs, other, RESIZED)
        try:
            outputs = run_source(session, changed)
        except ModelError:  # a size that the model itself cannot have
            continue
        if _are_numbers(outputs):
            noise, reacts = probe(session, changed, outputs, rng)
            stored = save_arrays(work, "other-input", changed), save_arrays(work, "other-output", outputs)
            return (Observed(*stored, noise, reacts),)
    return ()


def _at_edges(
    work: Workspace, session: Session, loaded: Loaded, inputs: Arrays, rng: np.random.Generator
) -> tuple[Observed, ...]:
    """Inputs at the edges, as far as the source gives numbers there.

    They and what is one ulp away run together, in the batch of the usual ones, for which JAX has compiled already.
    """
    extreme = edges(loaded.signature, inputs, loaded.ids())
    if not extreme:
        return ()
    near = one_ulp_away(extreme, rng)
    both = {name: np.concatenate([array, near[name]]) for name, array in extreme.items()}
    batch = session.signature.batch or min(BATCH, min(len(array) for array in inputs.values()))
    try:
        found = run_samples(session, both, batch)
    except ModelError:  # what the model itself refuses
        return ()
    count = len(next(iter(near.values())))
    outputs, moved = (
        {name: array[part] for name, array in found.items()} for part in (slice(count), slice(count, None))
    )
    kept = numbers_in(outputs) & numbers_in(moved)
    if not kept.any():
        return ()
    extreme, outputs, moved = ({name: a[kept] for name, a in one.items()} for one in (extreme, outputs, moved))
    noise = {name: {"one-ulp": size} for name, size in differences(outputs, moved).items()}
    stored = save_arrays(work, "edge-input", extreme), save_arrays(work, "edge-output", outputs)
    return (Observed(*stored, noise, {}, edge=True),)


def _are_numbers(outputs: Arrays) -> bool:
    """Whether every output has elements and no NaN, which is what a position beyond an embedding gives on JAX."""
    return all(array.size and not np.isnan(array).any() for array in outputs.values())


def _unknown_size(signature: Signature, cause: Exception) -> ModelError:
    free, _ = free_axes(signature)[0]
    spec = next(spec for spec in signature.inputs if spec.name == free)
    shape = "x".join("?" if axis == 0 else str(length or 224) for axis, length in enumerate(spec.shape))
    return ModelError(
        "unknown-size",
        f"the model runs with none of the sizes {', '.join(map(str, SIZES))} for input {spec.name}: "
        f"{str(cause).splitlines()[0] if str(cause) else type(cause).__name__}",
        received=str(spec),
        hint=f"Give samples with --data, or a size with --input {spec.name}={shape}.",
    )


def _deviation(array: np.ndarray) -> float:
    """Root mean square over elements of the standard deviation over samples; elements that are finite throughout."""
    values = array.astype(np.float64).reshape(len(array), -1)
    values = values[:, np.isfinite(values).all(axis=0)]
    return float(np.sqrt(values.var(axis=0).mean())) if values.size else 0.0


def _varies(array: np.ndarray) -> bool:
    values = np.abs(array.astype(np.float64))
    return _deviation(array) > VARIES * float(values[np.isfinite(values)].max(initial=0.0))
