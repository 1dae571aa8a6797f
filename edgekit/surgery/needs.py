"""What has to be computed to get some tensors from others."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.errors import UsageError
from edgekit.surgery.base import Graph


def needed(graph: Graph, inputs: Sequence[str], outputs: Sequence[str]) -> set[str]:
    """Tensors that are computed between inputs and outputs, the outputs among them.

    Raises:
        UsageError: an output is not computed, or needs an input of the model that is not among the inputs.
    """
    maker = {tensor: operator for operator in graph.operators for tensor in operator.outputs}
    found: set[str] = set()
    waiting = list(outputs)
    while waiting:
        tensor = waiting.pop()
        if tensor in inputs:
            continue
        operator = maker.get(tensor)
        if operator is None:
            raise UsageError(
                "cannot-cut",
                f"the piece needs the tensor {tensor}, which is none of its inputs.",
                received=", ".join(inputs) or "no inputs",
                hint="Name every tensor that it starts from.",
            )
        if tensor not in found:
            found.update(operator.outputs)
            waiting += operator.inputs
    return found
