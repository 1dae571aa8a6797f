"""Which layer of an artifact is to blame, as a check tells it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from edgekit.attribution.failing import save_failing
from edgekit.attribution.failing_together import save_together
from edgekit.attribution.hidden import Fused, find_hidden, taps_change, worst_db
from edgekit.attribution.layers import (
    SAMPLES,
    Attribution,
    attribute,
    layers_of_artifact,
    layers_of_source,
    rows_of,
)
from edgekit.attribution.tensors import Opened, look_into
from edgekit.checked import Blame, Failing, LayerParity
from edgekit.devices import Device
from edgekit.errors import EdgekitError, InternalError
from edgekit.exporter.reference import LoadedSource
from edgekit.parity.criteria import POLICIES
from edgekit.parity.evaluate import Reference
from edgekit.parity.layers import Layer
from edgekit.parity.metrics import spread
from edgekit.selection import Selected
from edgekit.types import Blob
from edgekit.workbench import Workbench

#: What an artifact is compared with: given samples, the layers of that and what they compute.
Basis = Callable[[Mapping[str, Blob]], tuple[Layer, ...]]

#: Samples among which those to look at are chosen.
CHOSEN_FROM = 256

_CHANGED = (
    "the engine computes other results once tensors inside the artifact are outputs, so that the figures of layers are "
    "not those of the artifact as it is."
)


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the layers shows.

    Attributes:
        rows: one per layer of the reference, in the order of execution.
        blame: what is wrong; None when nothing failed, or nothing but the stage can be told.
        failing: the smallest part that shows the fault.
        reason: why nothing can be told.
    """

    rows: tuple[LayerParity, ...] = ()
    blame: Blame | None = None
    failing: Failing | None = None
    reason: str | None = None


def layers_of(load: Callable[[], LoadedSource], bench: Workbench) -> Basis:
    """Layers of a source, which is loaded when they are asked for."""
    return lambda inputs: layers_of_source(load(), inputs, bench)


def operators_of(selected: Selected, bench: Workbench, device: Device) -> Basis:
    """Operators of another artifact, or of the same one on another device."""
    return lambda inputs: layers_of_artifact(_open(selected, bench, device), inputs)


def look(
    selected: Selected,
    basis: Basis,
    reference: Reference,
    bench: Workbench,
    device: Device,
    *,
    stage: str | None,
    folder: Path,
) -> Look:
    """Compare an artifact layer by layer.

    Args:
        selected: the artifact.
        basis: what it is compared with.
        reference: inputs, and outputs of the source.
        bench: of this command.
        device: where the artifact runs.
        stage: that broke; None where nothing is known to be wrong. What is wrong is saved.
        folder: for the smallest part that shows the fault; what is there is replaced.
    """
    try:
        opened = _open(selected, bench, device)
        samples = list(range(SAMPLES)) if stage is None else _farthest(opened, reference)
        inputs = _those(reference.inputs, samples, bench)
        precision = selected.artifact.precision or "fp32"
        layers = basis(inputs)
        with bench.reporter.task("look at the layers"):
            seen = opened.look(inputs)
            found = attribute(layers, opened.graph, seen.tensors, precision)
            changed = taps_change(opened.outputs(inputs), seen.outputs, precision)
        if stage is None:
            return Look(found.rows, reason=_CHANGED if changed else None)
        wanted = {name: array[samples[: len(array)]] for name, array in reference.arrays().items()}
        if changed or found.culprit is None:
            fused = _hidden(opened, layers, inputs, wanted, precision)
            if fused is not None:
                together = tuple(one.name for one in fused.operators)
                saved = _kept(lambda: save_together(folder, opened, fused, inputs, precision))
                return Look(rows_of(fused.matches, opened.graph), Blame(stage, together=together), saved)
        if found.culprit is None:
            return Look(found.rows)
        culprit = found.culprit
        saved = _kept(lambda: save_failing(folder, opened, culprit, found.matches, inputs, wanted, precision))
        return Look(found.rows, _blame(stage, found), saved, _CHANGED if changed else None)
    except InternalError:
        raise
    except EdgekitError as error:  # the verdict stands all the same
        return Look(reason=error.message)


def _kept(save: Callable[[], Failing | None]) -> Failing | None:
    """A part that shows the fault; None as well where the engine refuses it on its own, which says nothing else."""
    try:
        return save()
    except InternalError:
        raise
    except EdgekitError:
        return None


def _open(selected: Selected, bench: Workbench, device: Device) -> Opened:
    files = tuple(bench.executor.add(file) for file in selected.files)
    return look_into(selected.artifact.target, files, device.context(), device.options(), bench)


def _farthest(opened: Opened, reference: Reference) -> list[int]:
    """The samples whose layers are looked at: those on which the artifact is farthest from the reference."""
    wanted = {name: array[:CHOSEN_FROM] for name, array in reference.arrays().items()}
    outputs = opened.outputs(_those(reference.inputs, range(CHOSEN_FROM), opened.bench))
    inferences = min((len(array) for array in outputs.values()), default=0)
    batch = min((len(array) for array in wanted.values()), default=0) // max(1, inferences)
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


def _those(inputs: Mapping[str, Blob], samples: Sequence[int], bench: Workbench) -> dict[str, Blob]:
    """Some samples of every input."""
    folder = bench.scratch("looked-at")
    paths = {}
    for index, (name, blob) in enumerate(inputs.items()):
        paths[name] = folder / f"{index}.npy"
        array = np.load(bench.executor.path(blob), mmap_mode="r")
        np.save(paths[name], array[[place for place in samples if place < len(array)]])
    return bench.blobs(paths)


def _blame(stage: str, found: Attribution) -> Blame:
    culprit = found.culprit
    assert culprit is not None  # the caller has looked
    fused = tuple(reversed(culprit.fused))
    return Blame(stage, culprit.layer, culprit.operator.kind, culprit.operator.name, fused)


def _hidden(
    opened: Opened,
    layers: Sequence[Layer],
    inputs: Mapping[str, Blob],
    wanted: Mapping[str, np.ndarray],
    precision: str,
) -> Fused | None:
    """The group of operators that is right one by one and wrong together."""
    if worst_db(wanted, opened.outputs(inputs)) >= POLICIES[precision].decibel:
        return None  # what failed is a limit that the user gave, and no layer is beyond its own
    return find_hidden(opened, layers, inputs, partial(worst_db, wanted), precision)
