"""Which layer of an artifact is to blame, as a check tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.attribution.failing import save_failing
from edgekit.attribution.hidden import find_hidden
from edgekit.attribution.layers import SAMPLES, Attribution, attribute, layers_of_artifact, layers_of_source
from edgekit.attribution.tensors import Opened, look_into
from edgekit.devices import Device
from edgekit.errors import UsageError
from edgekit.exporter.reference import reload_source
from edgekit.figures import Failing, LayerParity
from edgekit.parity.criteria import POLICIES
from edgekit.parity.evaluate import Reference
from edgekit.parity.layers import Layer
from edgekit.parity.metrics import difference, spread
from edgekit.selection import Selected
from edgekit.types import Blob
from edgekit.workbench import Workbench


@dataclass(frozen=True, slots=True)
class Blame:
    """What a look at the layers shows.

    Attributes:
        rows: one per layer of the reference, in the order of execution.
        culprit: in words; None when every layer is right, or nothing can be told.
        failing: the smallest part that shows the fault.
        reason: why nothing can be told.
    """

    rows: tuple[LayerParity, ...] = ()
    culprit: str | None = None
    failing: Failing | None = None
    reason: str | None = None


def look(selected: Selected, reference: Reference, bench: Workbench, device: Device, *, failed: bool) -> Blame:
    """Compare an artifact of a kit with its parent, or with the source, layer by layer.

    Args:
        selected: the artifact.
        reference: inputs, and outputs of the source.
        bench: of this command.
        device: where the artifact runs.
        failed: whether it is known to be wrong: then what is wrong is saved.
    """
    kit, artifact = selected.kit, selected.artifact
    if kit is None:
        return Blame(reason="a file outside a kit has no source to compare its layers with.")
    inputs = _first(reference.inputs, bench)
    opened = _open(selected, bench, device)
    try:
        layers = _layers(selected, inputs, bench, device)
    except UsageError as error:
        return Blame(reason=error.message)
    found = attribute(layers, opened, inputs, artifact.precision)
    if found.culprit is None:
        return Blame(found.rows, _hidden(opened, inputs, reference, artifact.precision) if failed else None)
    saved = None
    if failed:
        folder = kit.folder / "failing" / Path(artifact.path).parent.name
        saved = save_failing(folder, opened, found.culprit, found.matches, inputs)
    return Blame(found.rows, _words(found), saved)


def _open(selected: Selected, bench: Workbench, device: Device) -> Opened:
    files = tuple(bench.executor.add(file) for file in selected.files)
    return look_into(selected.artifact.target, files, device.context(), device.options(), bench)


def _layers(selected: Selected, inputs: Mapping[str, Blob], bench: Workbench, device: Device) -> tuple[Layer, ...]:
    """Of the artifact that this one was made from, else of the source."""
    kit = selected.kit
    assert kit is not None  # the caller has looked
    parent = next((one for one in kit.artifacts if one.sha256 == selected.artifact.parent), None)
    if parent is not None:
        return layers_of_artifact(_open(Selected(parent, kit.files(parent), kit), bench, device), inputs)
    return layers_of_source(reload_source(kit, bench), inputs, bench)


def _first(inputs: Mapping[str, Blob], bench: Workbench) -> dict[str, Blob]:
    """The samples whose layers are looked at."""
    folder = bench.scratch("looked-at")
    paths = {}
    for index, (name, blob) in enumerate(inputs.items()):
        paths[name] = folder / f"{index}.npy"
        np.save(paths[name], np.load(bench.executor.path(blob), mmap_mode="r")[:SAMPLES])
    return bench.blobs(paths)


def _words(found: Attribution) -> str:
    culprit = found.culprit
    assert culprit is not None  # the caller has looked
    operator = f"{culprit.operator.kind} {culprit.operator.name}"
    if culprit.layer is None:
        return operator
    fused = f" with {', '.join(reversed(culprit.fused))} fused into it" if culprit.fused else ""
    return f"layer {culprit.layer}{fused} ({operator})"


def _hidden(opened: Opened, inputs: Mapping[str, Blob], reference: Reference, precision: str) -> str | None:
    """The group of operators that is right one by one and wrong together, in words."""
    wanted = {name: array[:SAMPLES] for name, array in reference.arrays().items()}

    def is_right(outputs: Mapping[str, np.ndarray]) -> bool:
        return all(
            name in outputs and _sqnr(array, outputs[name].reshape(array.shape)) >= POLICIES[precision].decibel
            for name, array in wanted.items()
        )

    if is_right(opened.outputs(inputs)):  # what failed is a limit that the user gave, and no layer is beyond its own
        return None
    group = find_hidden(opened, inputs, is_right)
    if group is None:
        return None
    return f"what the engine makes of {', '.join(group.operators)} together: each is right alone"


def _sqnr(wanted: np.ndarray, got: np.ndarray) -> float:
    found = difference(wanted, got, spread(wanted).deviation)
    return float("inf") if found.sqnr_db is None else found.sqnr_db
