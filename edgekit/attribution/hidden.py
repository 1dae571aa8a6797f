"""Faults that looking hides: an output in the middle of a fused group makes the engine compute it otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.attribution.tensors import Opened
from edgekit.surgery.base import Graph
from edgekit.types import Blob


@dataclass(frozen=True, slots=True)
class Fused:
    """Operators that are right one by one and wrong together.

    Attributes:
        operators: each of them, looked at alone, mends the result; in the order of execution.
    """

    operators: tuple[str, ...]


def find_hidden(
    artifact: Opened, inputs: Mapping[str, Blob], is_right: Callable[[Mapping[str, np.ndarray]], bool]
) -> Fused | None:
    """The group of operators whose fusion is wrong.

    The shortest row of taps from the front that mends the result ends in the group; its neighbours are tried alone.

    Args:
        artifact: its result is wrong as it is, and right with every tensor tapped.
        inputs: one ``.npy`` per input name, samples first.
        is_right: judges the outputs of the artifact, taps among them.

    Returns:
        None where even all taps do not mend it.
    """
    names = artifact.computed()

    def mends(tensors: Sequence[str]) -> bool:
        return is_right(artifact.outputs(inputs, artifact.tapped(tensors)))

    if not names or not mends(names):
        return None
    low, high = 0, len(names)  # the first `high` taps mend, the first `low` do not
    while high - low > 1:
        middle = (low + high) // 2
        if mends(names[:middle]):
            high = middle
        else:
            low = middle
    place = high - 1
    first, last = place, place
    while first > 0 and mends([names[first - 1]]):
        first -= 1
    while last + 1 < len(names) and mends([names[last + 1]]):
        last += 1
    return Fused(tuple(dict.fromkeys(_makers(artifact.graph, names[first : last + 1]))))


def _makers(graph: Graph, tensors: Sequence[str]) -> list[str]:
    maker = {name: operator.name for operator in graph.operators for name in operator.outputs}
    return [maker[name] for name in tensors]
