"""Where an artifact leaves its reference: layers of the one beside tensors of the other, on a few samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, log10

import numpy as np

from edgekit.attribution.tensors import Opened
from edgekit.exporter.layers import LayersJob
from edgekit.exporter.reference import LoadedSource
from edgekit.figures import LayerParity
from edgekit.parity.layers import Culprit, Layer, Match, blame, match, upstream
from edgekit.surgery.base import Graph
from edgekit.types import Blob
from edgekit.workbench import Workbench

#: Samples whose layers are looked at.
SAMPLES = 4


@dataclass(frozen=True, slots=True)
class Attribution:
    """What a look at the layers shows.

    Attributes:
        rows: one per layer of the reference, in the order of execution.
        matches: the same with their values.
        culprit: the first operator that is not shown to be right; None when all are.
    """

    rows: tuple[LayerParity, ...]
    matches: tuple[Match, ...]
    culprit: Culprit | None


def layers_of_source(source: LoadedSource, inputs: Mapping[str, Blob], bench: Workbench) -> tuple[Layer, ...]:
    """What the layers of a source compute.

    Raises:
        UsageError: a source of this kind does not show its layers.
    """
    with bench.reporter.task("run the source layer by layer") as update:
        job = LayersJob(source.spec, dict(inputs), SAMPLES)
        found = bench.executor.run(job, source.context, update)
    return tuple(
        Layer(one.name, one.kind, np.load(bench.executor.path(one.values), mmap_mode="r"), one.noise_floor)
        for one in found.layers
    )


def layers_of_artifact(parent: Opened, inputs: Mapping[str, Blob]) -> tuple[Layer, ...]:
    """The operators of another artifact as layers, such as those of the one that was quantized."""
    maker = {name: operator for operator in parent.graph.operators for name in operator.outputs}
    return tuple(
        Layer(maker[name].name, maker[name].kind, values, 0.0) for name, values in parent.values(inputs).items()
    )


def attribute(layers: Sequence[Layer], artifact: Opened, inputs: Mapping[str, Blob], precision: str) -> Attribution:
    """Compare layer by layer.

    Args:
        layers: of the reference, on the first samples of ``inputs``.
        artifact: what is checked.
        inputs: one ``.npy`` per input name, samples first.
        precision: of the artifact; decides what is good.
    """
    with artifact.bench.reporter.task("look at the layers"):
        tensors = artifact.values(inputs)
        inferences = min((len(array) for array in tensors.values()), default=0)
        shown = [Layer(one.name, one.kind, _by_inference(one.values, inferences), one.noise_floor) for one in layers]
        matches = _without_strangers(match(shown, tensors, precision), artifact.graph)
    maker = {name: operator.name for operator in artifact.graph.operators for name in operator.outputs}
    before: dict[str, Match] = {}
    rows = []
    for one in matches:
        rows.append(_row(one, maker, artifact.graph, before))
        if one.tensor is not None:
            before.setdefault(one.tensor, one)
    return Attribution(tuple(rows), matches, blame(artifact.graph, matches))


def _without_strangers(matches: Sequence[Match], graph: Graph) -> tuple[Match, ...]:
    """A tensor that is unlike its layer and yet leads to one that is right is another's: the layer was fused."""
    innocent = upstream(graph, [one.tensor for one in matches if one.good and one.tensor is not None])
    return tuple(
        Match(one.layer, None, None, None, None, good=False) if not one.good and one.tensor in innocent else one
        for one in matches
    )


def _by_inference(values: np.ndarray, inferences: int) -> np.ndarray:
    """Samples of a layer, grouped as the artifact took them."""
    if not inferences or len(values) == inferences:
        return values
    batch = len(values) // inferences
    return values[: inferences * batch].reshape(inferences, batch, *values.shape[1:])


def _row(one: Match, maker: Mapping[str, str], graph: Graph, before: Mapping[str, Match]) -> LayerParity:
    return LayerParity(
        layer=one.layer.name,
        kind=one.layer.kind,
        operator=None if one.tensor is None else maker.get(one.tensor),
        tensor=one.tensor,
        sqnr_db=None if one.sqnr_db is None or one.sqnr_db == inf else one.sqnr_db,
        max_abs=one.max_abs,
        tolerance=one.tolerance,
        added_db=_added(one, graph, before),
        good=None if one.tensor is None else one.good,
    )


def _added(one: Match, graph: Graph, before: Mapping[str, Match]) -> float | None:
    """SQNR of the noise beyond that of the noisiest layer on the way to this one; noise adds up."""
    if one.tensor is None or one.sqnr_db is None or one.sqnr_db == inf:
        return None
    maker = {name: operator for operator in graph.operators for name in operator.outputs}
    waiting, seen, worst = list(maker[one.tensor].inputs), set(), inf
    while waiting:  # back to the nearest layers that are known
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        known = before.get(name)
        if known is not None and known.sqnr_db is not None:
            worst = min(worst, known.sqnr_db)
        elif name in maker:
            waiting += maker[name].inputs
    noise = 10 ** (-one.sqnr_db / 10) - (0.0 if worst == inf else 10 ** (-worst / 10))
    return None if noise <= 0 else -10 * log10(noise)
