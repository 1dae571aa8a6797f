"""One ONNX graph with a free batch from two that were made for a batch each.

Some functions cannot be traced with a symbol for the batch, or jax2onnx fixes the symbol on the way: masks of
attention, resizing, tiled weights. Traced with numbers they convert well. Where two such graphs differ in nothing but
constants that follow the batch, those constants become expressions of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgekit.errors import ModelError

if TYPE_CHECKING:
    import onnx

#: What the two graphs are made for: neither is a size that artifacts are run with, so that runs prove the expressions.
BATCHES = (5, 7)

_BATCH = "edgekit_batch"


def with_free_batch(models: Sequence[onnx.ModelProto], inputs: Sequence[str]) -> onnx.ModelProto:
    """The first graph, changed so that it takes any batch.

    Args:
        models: of the same function, with the batch of each of `BATCHES` as the first axis of every input.
        inputs: names; the batch is read from the first.

    Raises:
        ModelError: they differ in more than constants that follow the batch.
    """
    import onnx

    first, second = models
    one, other = first.graph, second.graph
    for graph in (one, other):
        _hoist_constants(graph)
    _check_nodes(one, other)
    made: list[onnx.NodeProto] = []
    others = {tensor.name: tensor for tensor in other.initializer}
    if set(others) != {tensor.name for tensor in one.initializer}:
        raise _differ("names of weights")
    for tensor in list(one.initializer):
        twin = others[tensor.name]
        if tensor.SerializeToString() != twin.SerializeToString():
            one.initializer.remove(tensor)
            made += _expression(one, tensor.name, *map(onnx.numpy_helper.to_array, (tensor, twin)))
    if made:
        batch = onnx.helper.make_node("Shape", [inputs[0]], [_BATCH], _BATCH, start=0, end=1)
        nodes = [batch, *made, *one.node]
        del one.node[:]
        one.node.extend(nodes)
    _free_shapes(one, other)
    return first


def _expression(graph: onnx.GraphProto, name: str, one: np.ndarray, two: np.ndarray) -> list[onnx.NodeProto]:
    """Nodes that compute a constant from the batch; none where a constant still does.

    Raises:
        ModelError: its values do not follow the batch.
    """
    from onnx import helper, numpy_helper

    def hold(values: np.ndarray, role: str) -> str:
        held = f"{name}_{role}"
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), held))
        return held

    if one.shape == two.shape and one.dtype.kind == "i" and one.ndim <= 1:
        slope, offset = _line(one, two)
        kept = _shape_of_reshape(graph, name, slope, offset)
        if kept is not None:
            graph.initializer.append(numpy_helper.from_array(kept, name))
            return []
        return _linear(hold(slope, "slope"), hold(offset, "offset"), one.dtype, one.ndim == 0, name)
    if one.ndim != two.ndim or one.dtype != two.dtype:
        raise _differ(name)
    axes = tuple(axis for axis in range(one.ndim) if one.shape[axis] != two.shape[axis])
    row = one[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(one.ndim))]
    if not axes or not (_repeats(row, one) and _repeats(row, two)):
        raise _differ(name)
    slope, offset = _line(np.array(one.shape, np.int64), np.array(two.shape, np.int64))
    lengths = f"{name}_lengths"
    shape = _linear(hold(slope, "slope"), hold(offset, "offset"), np.dtype(np.int64), False, lengths)
    return [*shape, helper.make_node("Expand", [hold(row, "row"), lengths], [name], f"{name}_expand")]


def _repeats(row: np.ndarray, array: np.ndarray) -> bool:
    """Whether an array is a row of itself, again and again."""
    return np.array_equal(np.broadcast_to(row, array.shape), array, equal_nan=array.dtype.kind == "f")


def _line(one: np.ndarray, two: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and offset of integers over the batch, in int64.

    Raises:
        ModelError: a slope is no integer.
    """
    first, second = BATCHES
    rise = two.astype(np.int64) - one.astype(np.int64)
    if np.any(rise % (second - first)):
        raise _differ("a number that is not linear in the batch")
    slope = rise // (second - first)
    return slope, one.astype(np.int64) - slope * first


def _linear(slope: str, offset: str, dtype: np.dtype, scalar: bool, name: str) -> list[onnx.NodeProto]:
    """Nodes for ``slope * batch + offset``."""
    from onnx import helper

    nodes = [
        helper.make_node("Mul", [_BATCH, slope], [f"{name}_times"], f"{name}_times"),
        helper.make_node("Add", [f"{name}_times", offset], [f"{name}_sum"], f"{name}_sum"),
        helper.make_node("Cast", [f"{name}_sum"], [f"{name}_cast"], f"{name}_cast",
                         to=helper.np_dtype_to_tensor_dtype(dtype)),
    ]  # fmt: skip
    if scalar:
        nodes.append(helper.make_node("Squeeze", [f"{name}_cast"], [name], f"{name}_squeeze"))
    else:
        nodes[-1].output[0] = name
    return nodes


def _shape_of_reshape(graph: onnx.GraphProto, name: str, slope: np.ndarray, offset: np.ndarray) -> np.ndarray | None:
    """A constant shape with -1 for the batch, where only reshapes read it and one length is a multiple of the batch."""
    readers = [node for node in graph.node if name in node.input]
    only_reshapes = all(node.op_type == "Reshape" and node.input[0] != name for node in readers)
    moving = np.flatnonzero(slope)
    if slope.ndim != 1 or not only_reshapes or len(moving) != 1 or offset[moving[0]] or (offset == -1).any():
        return None
    if np.any(np.delete(offset, moving) == 0):
        return None
    return np.where(slope != 0, -1, offset)


def _hoist_constants(graph: onnx.GraphProto) -> None:
    """Make weights of constant nodes."""
    for node in list(graph.node):
        values = [item.t for item in node.attribute if item.name == "value"]
        if node.op_type == "Constant" and values:
            values[0].name = node.output[0]
            graph.initializer.append(values[0])
            graph.node.remove(node)


def _check_nodes(one: onnx.GraphProto, other: onnx.GraphProto) -> None:
    """Refuse graphs whose nodes differ.

    Raises:
        ModelError: they do.
    """
    if len(one.node) != len(other.node):
        raise _differ(f"{len(one.node)} and {len(other.node)} operators")
    for left, right in zip(one.node, other.node, strict=True):
        if _without_notes(left) != _without_notes(right):
            raise _differ(f"operator {left.op_type} ({left.name})")


def _without_notes(node: onnx.NodeProto) -> bytes:
    import onnx

    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.ClearField("metadata_props")
    copy.ClearField("doc_string")
    return bytes(copy.SerializeToString(deterministic=True))


def _free_shapes(one: onnx.GraphProto, other: onnx.GraphProto) -> None:
    """Free the lengths of inputs and outputs that differ, and forget those of inner values."""
    del one.value_info[:]
    for left, right in zip((*one.input, *one.output), (*other.input, *other.output), strict=True):
        lengths = (value.type.tensor_type.shape.dim for value in (left, right))
        for axis, (length, twin) in enumerate(zip(*lengths, strict=True)):
            if length.dim_value != twin.dim_value:
                length.dim_param = "batch" if axis == 0 else ""


def _differ(what: str) -> ModelError:
    return ModelError(
        "batch-not-free",
        f"the converted graph is another one for each batch: it differs in {what}.",
        received=f"batches {BATCHES[0]} and {BATCHES[1]}",
        hint="Fix the batch, for example: --input NAME=1x…",
    )
