"""What has to be computed to get some tensors from others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgekit.errors import UsageError
from edgekit.surgery.base import Graph, Operator

#: Operators that take a tensor and give nothing of its values, in lower case without underscores.
SHAPES = frozenset(("rank", "shape", "shapeof", "size"))


def upstream(graph: Graph, tensors: Iterable[str], starts: Iterable[str] = (), *, by_value: bool = False) -> set[str]:
    """Tensors that some tensors are computed from, themselves among them.

    Args:
        graph: that computes them.
        tensors: where to begin.
        starts: tensors that are given: what these are computed from is left out.
        by_value: leave out tensors of which only the shape is taken.
    """
    maker = {tensor: operator for operator in graph.operators for tensor in operator.outputs}
    given = set(starts)
    found: set[str] = set()
    waiting = list(tensors)
    while waiting:
        tensor = waiting.pop()
        if tensor in found:
            continue
        found.add(tensor)
        if tensor in maker and tensor not in given:
            found.update(maker[tensor].outputs)
            if not by_value or _kind(maker[tensor]) not in SHAPES:
                waiting += maker[tensor].inputs
    return found


def needed(graph: Graph, inputs: Sequence[str], outputs: Sequence[str]) -> set[str]:
    """Tensors that are computed between inputs and outputs, the outputs among them.

    Raises:
        UsageError: an output is not computed, or needs an input of the model that is not among the inputs.
    """
    made = {tensor for operator in graph.operators for tensor in operator.outputs}
    found = upstream(graph, outputs, inputs) - set(inputs)
    missing = sorted(found - made)
    if missing:
        raise UsageError(
            "cannot-cut",
            f"the piece needs the tensor {missing[0]}, which is none of its inputs.",
            received=", ".join(inputs) or "no inputs",
            hint="Name every tensor that it starts from.",
        )
    return found


def _kind(operator: Operator) -> str:
    return operator.kind.lower().replace("_", "")
