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
from edgekit.attribution.inputs import SAMPLES, those, where_wrong
from edgekit.attribution.layers import (
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
from edgekit.selection import Selected
from edgekit.types import Blob
from edgekit.workbench import Workbench

#: What an artifact is compared with: given samples, the layers of that and what they compute.
Basis = Callable[[Mapping[str, Blob]], tuple[Layer, ...]]

_CHANGED = (
    "the engine computes other results once tensors inside the artifact are outputs, so that the figures of layers are "
    "not those of the artifact as it is."
)

_ELSEWHERE = "the figures of layers are those of the inputs on which it is wrong: at another size, or at the edges."


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the layers shows.

    Attributes:
        rows: one per layer of the reference, in the order of execution.
        blame: what is wrong; None when nothing failed, or nothing but the stage can be told.
        failing: the smallest part that shows the fault.
        reason: why nothing can be told, or what the figures are of.
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
        precision = selected.artifact.precision or "fp32"
        shown, samples = reference, list(range(SAMPLES))
        if stage is not None:
            shown, samples = where_wrong(opened, reference, precision)
        inputs = those(shown.inputs, samples, bench)
        layers = basis(inputs)
        with bench.reporter.task("look at the layers"):
            seen = opened.look(inputs)
            found = attribute(layers, opened.graph, seen.tensors, precision)
            changed = taps_change(opened.outputs(inputs), seen.outputs, precision)
        notes = (_ELSEWHERE if shown is not reference else None, _CHANGED if changed else None)
        reason = " ".join(filter(None, notes)) or None
        if stage is None:
            return Look(found.rows, reason=reason)
        wanted = {name: array[samples[: len(array)]] for name, array in shown.arrays().items()}
        if changed or found.culprit is None:
            fused = _hidden(opened, layers, inputs, wanted, precision)
            if fused is not None:
                together = tuple(one.name for one in fused.operators)
                saved = _kept(lambda: save_together(folder, opened, fused, inputs, precision))
                return Look(rows_of(fused.matches, opened.graph), Blame(stage, together=together), saved)
        if found.culprit is None:
            return Look(found.rows, reason=reason)
        culprit = found.culprit
        saved = _kept(lambda: save_failing(folder, opened, culprit, found.matches, inputs, wanted, precision))
        return Look(found.rows, _blame(stage, found), saved, reason)
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
