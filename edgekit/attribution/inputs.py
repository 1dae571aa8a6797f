"""The samples on which layers are looked at: of those on which an artifact is wrong, where it is farthest off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from edgekit.attribution.tensors import Opened
from edgekit.parity.edges import judge_edges
from edgekit.parity.evaluate import OtherSize, Reference
from edgekit.parity.metrics import spread
from edgekit.types import Blob
from edgekit.workbench import Workbench

#: Samples whose layers are looked at; a fixed batch is looked at as a whole.
SAMPLES = 4

#: Samples among which those to look at are chosen.
CHOSEN_FROM = 256


def where_wrong(opened: Opened, reference: Reference, precision: str) -> tuple[Reference, list[int]]:
    """The samples on which a failed artifact is farthest from its reference.

    Args:
        opened: the artifact.
        reference: inputs and expected outputs, some at other lengths or at the edges.
        precision: of the artifact.

    Returns:
        The reference, or the part of it at other lengths or at the edges where an fp32 artifact is wrong there alone;
        and places in that.
    """
    sets = [reference]
    if precision == "fp32":
        sets += [_alone(reference, size) for size in reference.sizes]
    ran = []
    for one in sets:
        ran.append((one, opened.outputs(those(one.inputs, range(CHOSEN_FROM), opened.bench))))
        if len(sets) > 1 and _is_wrong(*ran[-1], precision):
            break
    else:
        del ran[1:]  # what failed is a limit of the user's, or another batch
    found, outputs = ran[-1]
    return found, _farthest(_first(found), outputs)


def those(inputs: Mapping[str, Blob], samples: Sequence[int], bench: Workbench) -> dict[str, Blob]:
    """Some samples of every input."""
    folder = bench.scratch("looked-at")
    paths = {}
    for index, (name, blob) in enumerate(inputs.items()):
        paths[name] = folder / f"{index}.npy"
        array = np.load(bench.executor.path(blob), mmap_mode="r")
        np.save(paths[name], array[[place for place in samples if place < len(array)]])
    return bench.blobs(paths)


def _alone(reference: Reference, size: OtherSize) -> Reference:
    """A further set of samples as a reference of its own."""
    return replace(
        reference, inputs=size.inputs, outputs=size.outputs, noise=size.noise, sizes=(), labels=None, task=None
    )


def _first(reference: Reference) -> dict[str, np.ndarray]:
    return {name: array[:CHOSEN_FROM] for name, array in reference.arrays().items()}


def _is_wrong(reference: Reference, outputs: Mapping[str, np.ndarray], precision: str) -> bool:
    got = {name: array.reshape(-1, *array.shape[2:]) for name, array in outputs.items() if array.ndim > 1}
    count = min((len(array) for array in got.values()), default=0)
    wanted = {name: array[:count] for name, array in _first(reference).items()}
    got = {name: array[: len(wanted[name])] for name, array in got.items() if name in wanted}
    return judge_edges(wanted, got, precision, reference.noise, reference.evidence(())) is not None


def _farthest(wanted: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> list[int]:
    """Places of the samples that are farthest off, by whole batches, in order."""
    inferences = min((len(array) for array in outputs.values()), default=0)
    batch = next((array.shape[1] for array in outputs.values() if array.ndim > 1), 1)
    gaps = np.zeros(inferences * batch)
    for name, array in wanted.items():
        if name in outputs and outputs[name].size == array[: len(gaps)].size:
            gaps += _gaps(array[: len(gaps)], outputs[name].reshape(array[: len(gaps)].shape))
    by_inference = gaps.reshape(inferences, batch).max(axis=1, initial=0.0)
    chosen = sorted(np.argsort(-by_inference, kind="stable")[: max(1, SAMPLES // max(1, batch))])
    return [int(place) * batch + offset for place in chosen for offset in range(batch)]


def _gaps(wanted: np.ndarray, got: np.ndarray) -> np.ndarray:
    """How far each sample is off, in deviations of the output; infinity where only one of both is finite."""
    count = len(wanted)
    off = np.zeros(count)
    scale = spread(wanted).scale or 1.0
    for index in range(count):
        left, right = wanted[index].astype(np.float64), got[index].astype(np.float64)
        both = np.isfinite(left) & np.isfinite(right)
        odd = ~both & (left != right) & ~(np.isnan(left) & np.isnan(right))
        off[index] = np.inf if odd.any() else np.square((left - right)[both] / scale).sum()
    return off
