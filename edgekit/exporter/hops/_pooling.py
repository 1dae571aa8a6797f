"""Mends how jax2onnx writes pooling.

It pools over ``(batch, height, width, channel)`` as four spatial axes, which onnxruntime refuses at run time
("Unsupported pooling size"). The same pooling over ``(batch, channel, height, width)`` has two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_KINDS = ("MaxPool", "AveragePool")


def to_channels_first(graph: onnx.GraphProto) -> None:
    """Rewrite every ``Unsqueeze, Unsqueeze, pool, Squeeze`` over batch, space and channel, in place."""
    makers = {output: node for node in graph.node for output in node.output}
    users = {name: node for node in graph.node for name in node.input}
    for pool in graph.node:
        if pool.op_type not in _KINDS:
            continue
        kernel = next(list(item.ints) for item in pool.attribute if item.name == "kernel_shape")
        inner, squeeze = makers.get(pool.input[0]), users.get(pool.output[0])
        outer = makers.get(inner.input[0]) if inner is not None else None
        if len(kernel) < 4 or kernel[0] != 1 or kernel[-1] != 1 or inner is None or outer is None or squeeze is None:
            continue
        if [outer.op_type, inner.op_type, squeeze.op_type] != ["Unsqueeze", "Unsqueeze", "Squeeze"]:
            continue
        rank = len(kernel)
        _become_transpose(inner, outer.input[0], (0, rank - 1, *range(1, rank - 1)))
        _keep_space(pool, rank)
        _become_transpose(squeeze, pool.output[0], (0, *range(2, rank), 1))
        graph.node.remove(outer)
        _forget_shapes(graph, {outer.output[0], inner.output[0], pool.output[0]})


def _become_transpose(node: onnx.NodeProto, source: str, order: tuple[int, ...]) -> None:
    import onnx

    del node.input[:], node.attribute[:]
    node.op_type = "Transpose"
    node.input.append(source)
    node.attribute.append(onnx.helper.make_attribute("perm", order))


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
