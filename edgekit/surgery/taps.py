"""Which tensors of a file can be looked at, and how many of them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from edgekit.surgery.base import Graph
from edgekit.types import TensorSpec

#: Tensors that become outputs together hold at most so many bytes of one sample: an engine keeps them all, and memory
#: is to stay near what it needs anyway.
TAPPED_BYTES = 32 << 20


def computed(graph: Graph) -> list[str]:
    """Every tensor that an operator computes, in the order of execution."""
    return list(dict.fromkeys(name for operator in graph.operators for name in operator.outputs))


def numbers(graph: Graph) -> list[str]:
    """Of these, tensors of floating point, and those of integers that stand for such."""
    specs = graph.tensors
    return [
        name
        for name in computed(graph)
        if (name in specs and specs[name].dtype.startswith("float")) or name in graph.quantized
    ]


def tap_groups(graph: Graph, tensors: Sequence[str], longest: int = 1) -> Iterator[list[str]]:
    """Tensors in their order, together within `TAPPED_BYTES`.

    Args:
        graph: that computes them.
        tensors: of it.
        longest: length that stands for an unknown one.
    """
    group: list[str] = []
    held = 0
    for name in tensors:
        size = _bytes(graph.tensors.get(name), longest)
        if group and held + size > TAPPED_BYTES:
            yield group
            group, held = [], 0
        group.append(name)
        held += size
    if group:
        yield group


def _bytes(spec: TensorSpec | None, longest: int) -> int:
    """Of one sample: a guess where lengths are free, that of the batch 1."""
    if spec is None:
        return 0
    lengths = [length or (longest if axis else 1) for axis, length in enumerate(spec.shape)]
    return prod(lengths) * np.dtype(spec.dtype).itemsize
