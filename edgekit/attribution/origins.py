"""Which layers of a source each operator of an artifact computes: by value, and by name where no value tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgekit.attribution.inputs import SAMPLES, those
from edgekit.attribution.layers import attribute
from edgekit.attribution.look import Basis
from edgekit.attribution.tensors import Opened
from edgekit.parity.layers import Match, computes
from edgekit.surgery.base import Graph, Operator
from edgekit.types import Blob

#: Layers that compute nothing: they stand for an input of the model.
_INPUTS = ("Input", "InputLayer")


@dataclass(frozen=True, slots=True)
class Placed:
    """Layers of a source by operator of an artifact.

    Attributes:
        computed: layers that an operator computes, or a part of.
        served: for an operator without any, such as one that changes a layout, those of the nearest one behind it.
    """

    computed: dict[str, tuple[str, ...]]
    served: dict[str, tuple[str, ...]]


def layers_by_operator(opened: Opened, basis: Basis, inputs: Mapping[str, Blob], precision: str) -> Placed:
    """Find the layers that operators compute.

    Args:
        opened: the artifact.
        basis: gives the layers of the source.
        inputs: one ``.npy`` per input name, samples first.
        precision: of the artifact.

    Raises:
        EdgekitError: the source cannot be loaded, or the engine cannot show what lies inside the artifact.
    """
    given = those(inputs, range(SAMPLES), opened.bench)
    layers = basis(given)
    with opened.bench.reporter.task("find the layers of operators"):
        tensors = opened.values(given)
    return placed(opened.graph, attribute(layers, opened.graph, tensors, precision).matches)


def placed(graph: Graph, matches: Sequence[Match]) -> Placed:
    """Layers by operator, in the order of the source.

    A layer is where its tensor is computed, else wherever its name stands; one without either was fused into the next
    that has a place.

    Args:
        graph: of the artifact.
        matches: of all layers of the source, in the order of execution.
    """
    makers = {name: operator.name for operator in graph.operators for name in operator.outputs}
    found: dict[str, list[str]] = {}
    waiting: list[str] = []
    for one in matches:
        if one.layer.kind in _INPUTS:
            continue
        waiting.append(one.layer.name)
        maker = makers.get(one.tensor or "")
        named = [operator.name for operator in graph.operators if computes(operator, one.layer.name)]
        places = named if maker is None else [maker]
        for place in places:
            found.setdefault(place, []).extend(waiting)
        waiting = [] if places else waiting
    served = {one.name: tuple(_behind(one, graph, found)) for one in graph.operators if one.name not in found}
    return Placed({name: tuple(layers) for name, layers in found.items()}, served)


def _behind(operator: Operator, graph: Graph, found: Mapping[str, list[str]]) -> list[str]:
    """Layers of the nearest operator that takes what this one gives, at one or more removes."""
    waiting, seen = [operator], {operator.name}
    while waiting:
        one = waiting.pop(0)
        if one.name in found:
            return found[one.name]
        for other in graph.operators:
            if other.name not in seen and not set(one.outputs).isdisjoint(other.inputs):
                seen.add(other.name)
                waiting.append(other)
    return []
