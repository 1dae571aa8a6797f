"""What artifacts are timed on: the user's data, golden inputs of their kit, or inputs of a size that was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgekit.data.read import read_samples
from edgekit.errors import EdgekitError, UsageError
from edgekit.exporter.graph import conversion_context
from edgekit.exporter.observe import generate
from edgekit.exporter.sizes import Lengths, resized
from edgekit.exporter.source import check_dtypes, parse_inputs
from edgekit.exporter.sources.pins import pinned_inputs
from edgekit.inspection.job import InspectJob
from edgekit.results import unique
from edgekit.runtimes.timing import refuse_fixed_batch
from edgekit.samples import GOLDEN_SAMPLES, save_arrays
from edgekit.selection import Selected
from edgekit.types import Blob, Origin, Signature, TensorSpec
from edgekit.workbench import SEED, Workbench

#: One ``.npy`` per input name, samples first.
Inputs = dict[str, Blob]


def described(chosen: Sequence[Selected], work: Workbench) -> tuple[Selected, ...]:
    """Artifacts with their signatures: a file outside a kit is opened once to learn it, on this machine.

    What cannot be opened here stays without; where it runs, its timing says why it cannot be opened there either.

    Args:
        chosen: artifacts.
        work: of this command.
    """
    return tuple(one if one.artifact.signature.inputs else _described(one, work) for one in chosen)


def _described(one: Selected, work: Workbench) -> Selected:
    files = tuple(work.executor.add(file) for file in one.files)
    try:
        found = work.executor.run_fresh(InspectJob(one.artifact.target, files), conversion_context(None))
    except EdgekitError:
        return one
    return replace(one, artifact=replace(one.artifact, signature=found.signature))


def timed_batch(chosen: Sequence[Selected], batch: int | None, sizes: Sequence[str]) -> int | None:
    """The batch that was asked for, by itself or as the first length of ``--input``; None for none.

    Raises:
        UsageError: two different ones, or one that none of the artifacts takes.
    """
    asked = {pin.shape[0] for pin in parse_inputs(sizes).values() if pin.shape} | {batch}
    known = sorted(length for length in asked if length is not None)
    if len(known) > 1:
        raise UsageError(
            "two-batches",
            "--batch and the first lengths of --input differ.",
            received=", ".join(map(str, known)),
            hint="Give one, and ? as the first length of the others.",
        )
    fixed = {one.artifact.signature.batch for one in chosen}
    if known and chosen and known[0] not in fixed and None not in fixed:
        refuse_fixed_batch(chosen[0].artifact.name.strip(), chosen[0].artifact.signature.batch, known[0])
    return known[0] if known else None


def inputs_for(
    chosen: Sequence[Selected], data: str | Path | None, labels: str | None, work: Workbench, sizes: Sequence[str] = ()
) -> tuple[list[Inputs], Origin]:
    """Samples to run for each artifact, and whose they are.

    Args:
        chosen: artifacts, see `described`.
        data: the user's samples; None for golden inputs.
        labels: name of an array in the data that is no input.
        work: of this command.
        sizes: lengths for free dimensions, as ``NAME=?x224x224x3``: golden inputs are repeated or cut to them, and a
            file outside a kit gets generated ones.

    Raises:
        UsageError: sizes that do not fit the artifacts, or beside data; nothing to run a file outside a kit on.
    """
    if not chosen:
        return [], "generated" if data is None else "real"
    if data is not None:
        if sizes:
            raise UsageError(
                "two-sizes",
                "the data have a size of their own, so --input cannot set another.",
                received=" ".join(sizes),
                hint="Leave out --data or --input.",
            )
        signature = chosen[0].artifact.signature
        known = signature if signature.inputs else None
        given = work.blobs(read_samples(data, work, known, spare=labels).arrays)
        return [given] * len(chosen), "real"
    return _without_data(chosen, parse_inputs(sizes), work)


def _without_data(
    chosen: Sequence[Selected], pins: Mapping[str, TensorSpec], work: Workbench
) -> tuple[list[Inputs], Origin]:
    golden = {one.kit.folder: one.kit.golden()[0][0] for one in chosen if one.kit is not None}
    real = not pins and all(_real(one) for one in chosen)
    known: dict[tuple[str, ...], Inputs] = {}
    found = []
    for one in chosen:
        lengths = _lengths(one.artifact.signature, pins)
        arrays = golden[one.kit.folder] if one.kit is not None else _generated(one, lengths, bool(pins))
        key = (str(one.kit.folder if one.kit is not None else one.path), str(sorted(lengths.items())))
        if key not in known:
            sized = resized(arrays, lengths, GOLDEN_SAMPLES) if lengths else arrays
            known[key] = work.blobs(save_arrays(work.scratch("inputs"), "in", sized))
        found.append(known[key])
    return found, "real" if real else "generated"


def _real(one: Selected) -> bool:
    golden = one.kit.manifest.golden if one.kit is not None else None
    return golden is not None and golden.inputs == "real"


def _lengths(signature: Signature, pins: Mapping[str, TensorSpec]) -> Lengths:
    """What the pins make of free dimensions besides the batch.

    Raises:
        UsageError: they do not fit the artifact.
    """
    if not pins:
        return {}
    check_dtypes(signature, dict(pins))
    batchless = {name: replace(pin, shape=(None, *pin.shape[1:])) for name, pin in pins.items()}
    pinned = pinned_inputs(signature.with_batch(None), batchless)
    return {
        (spec.name, axis): length
        for spec, pin in zip(signature.inputs, pinned, strict=True)
        for axis, (free, length) in enumerate(zip(spec.shape, pin.shape, strict=True))
        if axis and free is None and length is not None
    }


def _generated(one: Selected, lengths: Lengths, sized: bool) -> dict[str, np.ndarray]:
    """Inputs for a file outside a kit."""
    signature = one.artifact.signature
    free = [spec for spec in signature.inputs if any((spec.name, axis) not in lengths for axis in _free(spec))]
    if not sized or free or not signature.inputs:
        raise UsageError(
            "no-samples",
            "a file outside a kit needs samples to run, or the sizes of generated ones.",
            received=", ".join(map(str, free)) or one.path,
            hint="Give --data samples.npz, or --input NAME=?x224x224x3 for every free size.",
        )
    return generate(signature, GOLDEN_SAMPLES, {}, lengths, 1.0, np.random.default_rng(SEED))


def _free(spec: TensorSpec) -> list[int]:
    return [axis for axis, length in enumerate(spec.shape) if axis and length is None]


def extent(inputs: Sequence[Mapping[str, Blob]], work: Workbench) -> tuple[int, tuple[str, ...]]:
    """The fewest samples of any artifact, and the shapes of one sample."""
    counts, shapes = [], []
    for given in inputs:
        arrays = {name: np.load(work.executor.path(blob), mmap_mode="r") for name, blob in given.items()}
        counts.append(min(len(array) for array in arrays.values()))
        shapes += [f"{name}={'x'.join(map(str, array.shape[1:]))}" for name, array in arrays.items()]
    return min(counts), unique(shapes)
