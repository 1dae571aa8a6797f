"""Mends how jax2onnx writes pooling.

It pools over ``(batch, height, width, channel)`` as four spatial axes, and writes a sum over windows as a convolution
with ones. onnxruntime refuses the one at run time ("Unsupported pooling size"), OpenVINO the other. The same pooling
over ``(batch, channel, height, width)`` has two spatial axes, and both engines have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx


def to_channels_first(graph: onnx.GraphProto) -> None:
    """Rewrite every ``Unsqueeze, Unsqueeze, pool, Squeeze`` over batch, space and channel, in place."""
    makers = {output: node for node in graph.node for output in node.output}
    users = {name: node for node in graph.node for name in node.input}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for pool in list(graph.node):
        window = _window(pool, weights)
        inner = makers.get(pool.input[0]) if len(window) > 3 else None
        outer = makers.get(inner.input[0]) if inner is not None else None
        squeeze = users.get(pool.output[0])
        if inner is None or outer is None or squeeze is None or window[0] != 1 or window[-1] != 1:
            continue
        if [outer.op_type, inner.op_type, squeeze.op_type] != ["Unsqueeze", "Unsqueeze", "Squeeze"]:
            continue
        rank = len(window)
        _forget_shapes(graph, {outer.output[0], inner.output[0], pool.output[0]})
        _become_transpose(inner, outer.input[0], (0, rank - 1, *range(1, rank - 1)))
        _become_transpose(squeeze, pool.output[0], (0, *range(2, rank), 1))
        graph.node.remove(outer)
        _keep_space(pool, rank)
        if pool.op_type == "Conv":
            _become_sum(graph, pool, squeeze, window[1:-1])


def _window(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> tuple[int, ...]:
    """Lengths of a pooling window; nothing for a node that does not pool."""
    import onnx

    if node.op_type == "MaxPool":
        return next(tuple(item.ints) for item in node.attribute if item.name == "kernel_shape")
    if node.op_type != "Conv" or node.input[1] not in weights:
        return ()
    kernel = onnx.numpy_helper.to_array(weights[node.input[1]])
    is_sum = len(node.input) == 2 and kernel.shape[:2] == (1, 1) and bool(np.all(kernel == 1))
    return tuple(kernel.shape[2:]) if is_sum else ()


def _become_transpose(node: onnx.NodeProto, source: str, order: tuple[int, ...]) -> None:
    import onnx

    del node.input[:], node.attribute[:]
    node.op_type = "Transpose"
    node.input.append(source)
    node.attribute.append(onnx.helper.make_attribute("perm", order))


def _become_sum(graph: onnx.GraphProto, pool: onnx.NodeProto, after: onnx.NodeProto, window: tuple[int, ...]) -> None:
    """A convolution with ones becomes the average of each window times its size."""
    import onnx

    kept = [item for item in pool.attribute if item.name in ("strides", "pads", "dilations")]
    settings = [("kernel_shape", window), ("count_include_pad", 1)]
    made = [onnx.helper.make_attribute(name, value) for name, value in settings]
    pool.op_type = "AveragePool"
    del pool.input[1:], pool.attribute[:]
    pool.attribute.extend([*kept, *made])
    name = pool.output[0]
    size = onnx.numpy_helper.from_array(np.array(np.prod(window), np.float32), f"{name}_size")
    graph.initializer.append(size)
    times = onnx.helper.make_node("Mul", [name, size.name], [f"{name}_sum"])
    graph.node.insert(list(graph.node).index(pool) + 1, times)
    after.input[0] = times.output[0]


def _forget_shapes(graph: onnx.GraphProto, names: set[str]) -> None:
    """Drop recorded shapes that no longer hold: shape inference would take them for the truth."""
    for index in reversed(range(len(graph.value_info))):
        if graph.value_info[index].name in names:
            del graph.value_info[index]


def _keep_space(pool: onnx.NodeProto, rank: int) -> None:
    """Drop the first and the last axis from every attribute that has a value per axis."""
    for item in pool.attribute:
        values = list(item.ints)
        if len(values) == rank:
            kept = values[1:-1]
        elif len(values) == 2 * rank:  # pads: all begins, then all ends
            kept = [*values[1 : rank - 1], *values[rank + 1 : -1]]
        else:
            continue
        del item.ints[:]
        item.ints.extend(kept)
