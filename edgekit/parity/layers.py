"""Which layer is to blame: tensors of an artifact matched with those of its reference by value, and followed back.

Names do not survive conversion, and what an engine fuses has no tensor of its own. So a layer is matched with any
tensor of the artifact that holds its values, in whatever layout. An operator on the way to a tensor that is right is
innocent; the first in the order of execution that is not, is the culprit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.parity.criteria import POLICIES
from edgekit.parity.metrics import difference, dot, spread
from edgekit.parity.tolerance import derived_tolerance
from edgekit.surgery.base import Graph, Operator
from edgekit.surgery.needs import upstream

Array = NDArray[Any]

#: A tensor under this SQNR in decibel is not taken for a faulty version of a layer's, but for another one: tensors of
#: different layers lie around 0 dB, a layer with its weights scaled by a fifth at 14 dB.
SAME_TENSOR_DB = 12.0

#: Operators that compute nothing, in lower case without underscores: one that stands before a culprit is seldom at
#: fault itself, unless what it gives is known to be wrong. Those that give shapes and cut out steps stand before what a
#: recurrent layer computes.
_MOVES = frozenset(
    (
        *("broadcast", "broadcastto", "cast", "concat", "concatenation", "constantofshape", "convert", "convertlike"),
        *("expand", "expanddims", "fill", "flatten", "gather", "identity", "pack", "range", "reshape", "shape"),
        *("shapeof", "slice", "split", "squeeze", "stridedslice", "transpose", "unpack", "unsqueeze", "variadicsplit"),
    )
)

#: A layer may lie in the artifact as so many tensors, one for each step along an axis.
_MOST_STEPS = 256

#: Elements of a sample on which two tensors are compared before all are.
_GLANCE = 4096

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
        tolerance: what it may be, see `edgekit.parity.tolerance.derived_tolerance`; None for a precision without bound.
        good: whether it holds what its precision promises.
        axes: order of the layer's axes, those of length 1 left out, in which they lie in the tensor.
        also: further tensors that hold its values as well as its precision promises, such as a copy in another layout
            or the same values quantized and back; without a tensor, those that hold all of it step by step.
    """

    layer: Layer
    tensor: str | None
    sqnr_db: float | None
    max_abs: float | None
    tolerance: float | None
    good: bool
    axes: tuple[int, ...] = ()
    also: tuple[str, ...] = ()


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


def match(
    layers: Sequence[Layer],
    tensors: Mapping[str, Array],
    precision: str = "fp32",
    makers: Mapping[str, str] | None = None,
) -> tuple[Match, ...]:
    """Find each layer's tensor by value; where none is near, that of an operator of the very same name.

    Args:
        layers: of the reference, in the order of execution.
        tensors: of the artifact, ``(samples, ...)``, in the order of execution.
        precision: of the artifact; decides what is good.
        makers: name of the operator that computes each tensor; a quantizer keeps the names of what it was given.
    """
    known = [_Candidate(name, array) for name, array in tensors.items() if array.size and array.dtype.kind == "f"]
    found = [_best(layer, known, precision, makers or {}) for layer in layers]
    wrong = {one.tensor for one in found if not one.good}
    return tuple(replace(one, also=tuple(name for name in one.also if name not in wrong)) for one in found)


def right_tensors(matches: Sequence[Match]) -> list[str]:
    """Tensors that hold what some layer computes."""
    return [name for one in matches for name in (one.tensor if one.good else None, *one.also) if name is not None]


def innocents(graph: Graph, matches: Sequence[Match]) -> set[str]:
    """Tensors whose values lie on the way to one that is right."""
    return upstream(graph, right_tensors(matches), by_value=True)


def grouped(layers: Sequence[Layer], inferences: int) -> tuple[Layer, ...]:
    """Layers with their samples grouped as an artifact takes them: ``(inferences, batch, ...)``; left as they are
    where there is one sample per inference."""
    return tuple(replace(one, values=_by_inference(one.values, inferences)) for one in layers)


def _by_inference(values: Array, inferences: int) -> Array:
    if not inferences or len(values) == inferences:
        return values
    batch = len(values) // inferences
    return values[: inferences * batch].reshape(inferences, batch, *values.shape[1:])


def blame(graph: Graph, matches: Sequence[Match]) -> Culprit | None:
    """The first operator that is not shown to be right, and its layer.

    Args:
        graph: of the artifact.
        matches: of the reference's layers, in the order of execution.

    Returns:
        None where every operator lies on the way to a tensor that is right.
    """
    innocent = innocents(graph, matches)
    suspects = [operator for operator in graph.operators if innocent.isdisjoint(operator.outputs)]
    needed = upstream(graph, graph.outputs)
    suspects = [operator for operator in suspects if not needed.isdisjoint(operator.outputs)]
    if not suspects:
        return None
    wrong = {one.tensor for one in matches if not one.good}
    at_fault = (one for one in suspects if not _moves(one, graph) or not wrong.isdisjoint(one.outputs))
    first = next(at_fault, suspects[0])
    accused = [one for one in matches if not one.good and not _is_innocent(one, matches, graph, innocent)]
    traced = [one for one in accused if computes(first, one.layer.name)]
    chosen = traced or accused
    layer = chosen[0].layer.name if chosen else _traced_layer(first, matches)
    return Culprit(first, layer, tuple(_fused_before(layer, matches)))


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
        """Mean and root mean square of what is finite."""
        count, total, square = 0, 0.0, 0.0
        for sample in self.values:
            values = sample[np.isfinite(sample)].astype(np.float64)
            count, total, square = count + values.size, total + float(values.sum()), square + dot(values, values)
        return total / max(count, 1), (square / max(count, 1)) ** 0.5


def _long(shape: Sequence[int]) -> tuple[int, ...]:
    """Lengths over 1: the others may stand anywhere."""
    return tuple(length for length in shape if length != 1)


def _moves(operator: Operator, graph: Graph) -> bool:
    """Whether it computes nothing, or nothing but integers such as lengths and places."""
    dtypes = [spec.dtype for name in operator.outputs if (spec := graph.tensors.get(name)) is not None]
    counts = bool(dtypes) and graph.quantized.keys().isdisjoint(operator.outputs)
    counts = counts and all(dtype in ("bool", "int32", "int64") for dtype in dtypes)
    return counts or operator.kind.lower().replace("_", "") in _MOVES


def _best(layer: Layer, known: Sequence[_Candidate], precision: str, makers: Mapping[str, str]) -> Match:
    best = Match(layer, None, None, None, None, good=False)
    wanted = _Candidate(layer.name, layer.values)
    same_size = [
        one for one in known if one.values.size == wanted.values.size and len(one.values) == len(wanted.values)
    ]
    also = []
    for candidate in same_size:
        if not _alike(wanted.moments, candidate.moments):
            continue
        layouts = [axes for axes in _layouts(wanted.shape, candidate.shape) if _resemble(wanted, candidate, axes)]
        found = _nearest(layer, candidate, layouts, precision)
        if found is not None and found.good:
            also.append(candidate.name)
        if found is not None and found.sqnr_db is not None and found.sqnr_db > (best.sqnr_db or SAME_TENSOR_DB):
            best = found
    if best.tensor is None:
        own = (one for one in same_size if makers.get(one.name) == layer.name)
        named = (_nearest(layer, each, _layouts(wanted.shape, each.shape), precision) for each in own)
        best = next((one for one in named if one is not None), best)
    if best.tensor is None:
        return replace(best, also=_steps(layer, known, precision))
    return replace(best, also=tuple(name for name in also if name != best.tensor))


def _steps(layer: Layer, known: Sequence[_Candidate], precision: str) -> tuple[str, ...]:
    """Tensors that hold a layer step by step along one axis, as an unrolled loop does; none unless all are there."""
    lengths = _long(layer.values.shape[1:])
    if len(lengths) < 2:
        return ()
    values = layer.values.reshape(len(layer.values), *lengths)
    for axis, steps in enumerate(lengths):
        rest = lengths[:axis] + lengths[axis + 1 :]
        same = [one for one in known if one.shape == rest and len(one.values) == len(values)]
        if len(same) < steps or steps > _MOST_STEPS:
            continue
        found = []
        for place in range(steps):
            step = Layer(layer.name, layer.kind, values.take(place, axis + 1), layer.noise_floor)
            wanted = _Candidate(layer.name, step.values).moments
            near = (one for one in same if _alike(wanted, one.moments) and _compared(step, one, (), precision).good)
            holding = next(near, None)
            if holding is None:
                break
            found.append(holding.name)
        if len(found) == steps:
            return tuple(found)
    return ()


def _nearest(layer: Layer, candidate: _Candidate, layouts: Iterable[tuple[int, ...]], precision: str) -> Match | None:
    """A candidate in the layout in which it is nearest to a layer; None where nothing can be compared."""
    found = (_compared(layer, candidate, axes, precision) for axes in layouts)
    known = [one for one in found if one.sqnr_db is not None]
    return max(known, key=lambda one: one.sqnr_db or 0.0, default=None)


def _resemble(wanted: _Candidate, found: _Candidate, axes: tuple[int, ...]) -> bool:
    """Whether a few of the elements are nearer to each other than to chance: most pairs need no closer look."""
    left = wanted.values.reshape(len(wanted.values), *wanted.shape)
    right = found.values.reshape(len(found.values), *found.shape)
    if axes:
        left = left.transpose(0, *(axis + 1 for axis in axes))
    if left.shape != right.shape:
        left, right = left.reshape(len(left), -1), right.reshape(len(right), -1)
    most = _GLANCE ** (1 / max(1, left.ndim - 1))
    places = (slice(None), *(slice(None, None, max(1, int(length / most))) for length in left.shape[1:]))
    few, others = np.asarray(left[places], np.float64), np.asarray(right[places], np.float64)
    both = np.isfinite(few) & np.isfinite(others)
    few, others = few[both], others[both]
    signal = float(np.square(few - few.mean()).sum()) if few.size else 0.0
    return signal == 0 or float(np.square(few - others).sum()) < signal / 2


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
    if one.tensor is not None:
        return one.tensor in innocent
    needed = upstream(graph, graph.outputs)
    own = [operator for operator in graph.operators if computes(operator, one.layer.name)]
    own = [operator for operator in own if not needed.isdisjoint(operator.outputs)]
    if own:
        return all(not innocent.isdisjoint(operator.outputs) for operator in own)
    place = matches.index(one)
    before = next((other.tensor for other in reversed(matches[:place]) if other.good), None)
    after = next((other.tensor for other in matches[place + 1 :] if other.good), None)
    # Before the first layer stand the inputs, which are right.
    return after is not None and (before is None or before in upstream(graph, [after]))


def computes(operator: Operator, layer: str) -> bool:
    """Whether an operator's name says that it computes a layer: ``block/conv/Conv`` is of ``block/conv``."""
    name = operator.name.replace(".", "/")
    return f"/{layer.partition(':')[0]}/" in f"/{name}/"


def _traced_layer(operator: Operator, matches: Sequence[Match]) -> str | None:
    named = [one.layer.name for one in matches if computes(operator, one.layer.name)]
    return max(named, key=len, default=None)


def _fused_before(layer: str | None, matches: Sequence[Match]) -> Iterator[str]:
    """Layers just before one that have no tensor, so that the fault may lie in them as well."""
    names = [one.layer.name for one in matches]
    if layer not in names:
        return
    before = matches[: names.index(layer)]
    for one in reversed(before):
        if one.tensor is not None or one.also:
            return
        yield one.layer.name
