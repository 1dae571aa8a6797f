"""Which layer is to blame: tensors of an artifact matched with those of its reference by value, and followed back.

Names do not survive conversion, and what an engine fuses has no tensor of its own. So a layer is matched with any
tensor of the artifact that holds its values, in whatever layout. An operator on the way to a tensor that is right is
innocent; the first in the order of execution that is not, is the culprit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.parity.criteria import POLICIES, derived_tolerance
from edgekit.parity.metrics import difference, spread
from edgekit.surgery.base import Graph, Operator

Array = NDArray[Any]

#: A tensor under this SQNR in decibel is not taken for a faulty version of a layer's, but for another one: tensors of
#: different layers lie around 0 dB, a layer with its weights scaled by a fifth at 14 dB.
SAME_TENSOR_DB = 12.0

#: Operators that compute nothing, in lower case: one that stands before a culprit is seldom at fault itself.
_MOVES = frozenset(
    ("cast", "convert", "expand_dims", "flatten", "identity", "reshape", "squeeze", "transpose", "unsqueeze")
)

#: Axes beside the sample that are tried in every order.
_MOST_AXES = 5


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of the reference and what it computes.

    Attributes:
        name, kind: of the layer.
        values: ``(samples, ...)``; the batch of each sample may be an axis of length 1.
        noise_floor: largest change when the inputs of the model move by one unit in the last place.
    """

    name: str
    kind: str
    values: Array
    noise_floor: float


@dataclass(frozen=True, slots=True)
class Match:
    """A layer and its tensor in the artifact.

    Attributes:
        layer: of the reference.
        tensor: that holds its values; None where none does, since it was fused or is far off.
        sqnr_db: infinity when equal; None without a tensor.
        max_abs: largest difference.
        tolerance: what it may be, see `edgekit.parity.criteria.derived_tolerance`; None for a precision without bound.
        good: whether it holds what its precision promises.
        axes: order of the layer's axes, those of length 1 left out, in which they lie in the tensor.
    """

    layer: Layer
    tensor: str | None
    sqnr_db: float | None
    max_abs: float | None
    tolerance: float | None
    good: bool
    axes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Culprit:
    """Where an artifact leaves its reference.

    Attributes:
        operator: the first operator of the artifact that is not shown to be right.
        layer: the layer of the reference that it computes, as far as that is known.
        fused: layers that have no tensor of their own between the last right one and this.
    """

    operator: Operator
    layer: str | None
    fused: tuple[str, ...]


def match(layers: Sequence[Layer], tensors: Mapping[str, Array], precision: str = "fp32") -> tuple[Match, ...]:
    """Find each layer's tensor by value.

    Args:
        layers: of the reference, in the order of execution.
        tensors: of the artifact, ``(samples, ...)``, in the order of execution.
        precision: of the artifact; decides what is good.
    """
    known = [_Candidate(name, array) for name, array in tensors.items() if array.size and array.dtype.kind == "f"]
    return tuple(_best(layer, known, precision) for layer in layers)


def blame(graph: Graph, matches: Sequence[Match]) -> Culprit | None:
    """The first operator that is not shown to be right, and its layer.

    Args:
        graph: of the artifact.
        matches: of the reference's layers, in the order of execution.

    Returns:
        None where every operator lies on the way to a tensor that is right.
    """
    innocent = upstream(graph, [one.tensor for one in matches if one.good and one.tensor is not None])
    suspects = [operator for operator in graph.operators if innocent.isdisjoint(operator.outputs)]
    needed = upstream(graph, graph.outputs)
    suspects = [operator for operator in suspects if not needed.isdisjoint(operator.outputs)]
    if not suspects:
        return None
    first = next((operator for operator in suspects if operator.kind.lower() not in _MOVES), suspects[0])
    accused = [one for one in matches if not one.good and not _is_innocent(one, matches, graph, innocent)]
    traced = [one for one in accused if _computes(first, one.layer.name)]
    chosen = traced or accused
    layer = chosen[0].layer.name if chosen else _traced_layer(first, matches)
    return Culprit(first, layer, tuple(_fused_before(layer, matches)))


def upstream(graph: Graph, tensors: Sequence[str]) -> set[str]:
    """Tensors that some tensors are computed from, themselves among them."""
    maker = {tensor: operator for operator in graph.operators for tensor in operator.outputs}
    found: set[str] = set()
    waiting = list(tensors)
    while waiting:
        tensor = waiting.pop()
        if tensor in found:
            continue
        found.add(tensor)
        if tensor in maker:
            found.update(maker[tensor].outputs)
            waiting += maker[tensor].inputs
    return found


def arranged(values: Array, axes: Sequence[int], shape: Sequence[int]) -> Array:
    """Values of a layer in the layout of its tensor.

    Args:
        values: ``(samples, ...)``.
        axes: of a `Match`.
        shape: of the tensor, ``(samples, ...)``.
    """
    squeezed = values.reshape(len(values), *_long(values.shape[1:]))
    if axes:
        squeezed = squeezed.transpose(0, *(axis + 1 for axis in axes))
    return squeezed.reshape(shape)


class _Candidate:
    """A tensor of the artifact, with figures that no layout changes."""

    def __init__(self, name: str, values: Array) -> None:
        self.name, self.values = name, values
        self.shape = _long(values.shape[1:])

    @cached_property
    def moments(self) -> tuple[float, float]:
        """Mean and root mean square."""
        values = np.asarray(self.values, np.float64)
        return float(values.mean()), float(np.sqrt(np.square(values).mean()))


def _long(shape: Sequence[int]) -> tuple[int, ...]:
    """Lengths over 1: the others may stand anywhere."""
    return tuple(length for length in shape if length != 1)


def _best(layer: Layer, known: Sequence[_Candidate], precision: str) -> Match:
    best = Match(layer, None, None, None, None, good=False)
    wanted = _Candidate(layer.name, layer.values)
    for candidate in known:
        if candidate.values.size != wanted.values.size or len(candidate.values) != len(wanted.values):
            continue
        if not _alike(wanted.moments, candidate.moments):
            continue
        for axes in _layouts(wanted.shape, candidate.shape):
            found = _compared(layer, candidate, axes, precision)
            if found.sqnr_db is not None and found.sqnr_db > (best.sqnr_db or SAME_TENSOR_DB):
                best = found
    return best


def _alike(wanted: tuple[float, float], found: tuple[float, float]) -> bool:
    """Whether two tensors may hold the same values but for an error of `SAME_TENSOR_DB`."""
    room = 2 * 10 ** (-SAME_TENSOR_DB / 20) * max(wanted[1], 1e-30)
    return all(abs(left - right) <= room for left, right in zip(wanted, found, strict=True))


def _layouts(wanted: tuple[int, ...], found: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Orders of axes in which one shape becomes another; nothing to reorder where only axes of length 1 differ."""
    if wanted == found or len(wanted) != len(found):
        yield ()
    if len(wanted) != len(found) or len(wanted) > _MOST_AXES:
        return
    for axes in permutations(range(len(wanted))):
        if axes != tuple(range(len(wanted))) and tuple(wanted[axis] for axis in axes) == found:
            yield axes


def _compared(layer: Layer, candidate: _Candidate, axes: tuple[int, ...], precision: str) -> Match:
    policy = POLICIES[precision]
    wanted = arranged(np.asarray(layer.values), axes, candidate.values.shape)
    size = spread(wanted)
    diff = difference(wanted, np.asarray(candidate.values), size.deviation)
    if not diff.compared:
        return Match(layer, None, None, None, None, good=False)
    sqnr = float("inf") if diff.sqnr_db is None else diff.sqnr_db
    bound = derived_tolerance(size.scale, layer.noise_floor) if policy.bounded else None
    good = not diff.spoiled and sqnr >= policy.decibel and (bound is None or diff.max_abs <= bound)
    return Match(layer, candidate.name, sqnr, diff.max_abs, bound, good, axes)


def _is_innocent(one: Match, matches: Sequence[Match], graph: Graph, innocent: set[str]) -> bool:
    """Whether a layer without a right tensor of its own lies on the way to one that is right."""
    own = [operator for operator in graph.operators if _computes(operator, one.layer.name)]
    if own:
        return any(not innocent.isdisjoint(operator.outputs) for operator in own)
    place = matches.index(one)
    before = next((other.tensor for other in reversed(matches[:place]) if other.good), None)
    after = next((other.tensor for other in matches[place + 1 :] if other.good), None)
    return before is not None and after is not None and before in upstream(graph, [after])


def _computes(operator: Operator, layer: str) -> bool:
    """Whether an operator's name says that it computes a layer: ``block/conv/Conv`` is of ``block/conv``."""
    name = operator.name.replace(".", "/")
    return f"/{layer.partition(':')[0]}/" in f"/{name}/"


def _traced_layer(operator: Operator, matches: Sequence[Match]) -> str | None:
    named = [one.layer.name for one in matches if _computes(operator, one.layer.name)]
    return max(named, key=len, default=None)


def _fused_before(layer: str | None, matches: Sequence[Match]) -> Iterator[str]:
    """Layers just before one that have no tensor, so that the fault may lie in them as well."""
    names = [one.layer.name for one in matches]
    if layer not in names:
        return
    before = matches[: names.index(layer)]
    for one in reversed(before):
        if one.tensor is not None:
            return
        yield one.layer.name
