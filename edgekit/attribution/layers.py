"""Where an artifact leaves its reference: layers of the one beside tensors of the other, on a few samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, log10

import numpy as np

from edgekit.attribution.inputs import SAMPLES
from edgekit.attribution.tensors import Opened
from edgekit.checked import LayerParity
from edgekit.exporter.layers import LayersJob
from edgekit.exporter.reference import LoadedSource
from edgekit.parity.layers import Culprit, Layer, Match, blame, grouped, innocents, match
from edgekit.surgery.base import Graph
from edgekit.surgery.needs import upstream
from edgekit.types import Blob
from edgekit.workbench import Workbench


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
    """Inputs and operators of another artifact as layers, such as those of the one that was quantized."""
    maker = {name: operator for operator in parent.graph.operators for name in operator.outputs}
    values = {name: np.load(parent.bench.executor.path(blob), mmap_mode="r") for name, blob in inputs.items()}
    given = [Layer(name, "Input", array, 0.0) for name, array in values.items() if array.dtype.kind == "f"]
    made = parent.values(inputs)
    return (*given, *(Layer(maker[name].name, maker[name].kind, array, 0.0) for name, array in made.items()))


def attribute(layers: Sequence[Layer], graph: Graph, tensors: Mapping[str, np.ndarray], precision: str) -> Attribution:
    """Compare layer by layer.

    Args:
        layers: of the reference.
        graph: of the artifact that is checked.
        tensors: what it computes on the same samples, ``(inferences, ...)``, in the order of execution.
        precision: of the artifact; decides what is good.
    """
    inferences = min((len(array) for array in tensors.values()), default=0)
    makers = {name: operator.name for operator in graph.operators for name in operator.outputs}
    matches = _without_echoes(match(grouped(layers, inferences), tensors, precision, makers), graph)
    matches = _without_strangers(matches, graph, makers)
    rows = rows_of(matches, graph)
    return Attribution(rows, matches, blame(graph, _from_the_noisiest(matches, rows, graph)))


def rows_of(matches: Sequence[Match], graph: Graph) -> tuple[LayerParity, ...]:
    """One row per layer, with the error that it adds."""
    maker = {name: operator.name for operator in graph.operators for name in operator.outputs}
    before: dict[str, Match] = {}
    rows = []
    for one in matches:
        rows.append(_row(one, maker, graph, before))
        if one.tensor is not None:
            before.setdefault(one.tensor, one)
    return tuple(rows)


def _from_the_noisiest(matches: Sequence[Match], rows: Sequence[LayerParity], graph: Graph) -> tuple[Match, ...]:
    """Matches in which the layer that adds the most noise on the way to the first wrong one is wrong, and what follows
    from it: noise adds up, so that a layer beyond the gate may be the last straw. Only where SQNR alone decides.
    """
    innocent = innocents(graph, matches)
    wrong = (one.tensor is not None and not one.good and one.tensor not in innocent for one in matches)
    first = next((place for place, accused in enumerate(wrong) if accused), None)
    if first is None or matches[first].tolerance is not None:
        return tuple(matches)
    way = upstream(graph, [name for name in (matches[first].tensor,) if name is not None])
    adding = [
        (row.added_db, place)
        for place, (one, row) in enumerate(zip(matches, rows, strict=True))
        if place <= first and one.tensor in way and row.added_db is not None
    ]
    noisiest = min(adding, default=(0.0, first))[1]
    source = matches[noisiest].tensor

    def follows(one: Match) -> bool:
        return one.tensor is not None and source in upstream(graph, [one.tensor])

    return tuple(replace(one, good=one.good and not follows(one)) for one in matches)


def _without_echoes(matches: Sequence[Match], graph: Graph) -> tuple[Match, ...]:
    """A tensor behind a wrong one that holds an earlier layer excuses nobody: what lies between has done nothing, such
    as an addition whose bias is gone."""
    right = upstream(graph, [one.tensor for one in matches if one.good and one.tensor is not None], by_value=True)
    wrong = {one.tensor for one in matches if one.tensor is not None and not one.good} - right
    for operator in graph.operators:
        if not wrong.isdisjoint(operator.inputs):
            wrong.update(operator.outputs)
    return tuple(replace(one, also=tuple(name for name in one.also if name not in wrong)) for one in matches)


def _without_strangers(matches: Sequence[Match], graph: Graph, makers: Mapping[str, str]) -> tuple[Match, ...]:
    """A tensor that is unlike its layer and yet leads to one that is right is another's, and the layer was fused;
    unless an operator of the layer's own name computes it."""
    innocent = innocents(graph, matches)
    return tuple(
        Match(one.layer, None, None, None, None, good=False)
        if not one.good and one.tensor in innocent and makers.get(one.tensor or "") != one.layer.name
        else one
        for one in matches
    )


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
