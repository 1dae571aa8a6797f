"""Runs an ONNX graph on JAX, operator by operator, so that JAX can trace it; the tables are in ``_graph_jax_*``.

Meanings follow ONNX' operator list (onnx.ai/onnx/operators). What does not depend on the inputs, such as arithmetic
with shapes, is computed at once and stays numpy: shapes are fixed here.

ONNX puts channels first, TFLite last. Convolutions are written with channels last between two transpositions, and
`Layout` moves those through everything that works value by value, until they meet and cancel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.exporter.hops import _graph_jax_layers, _graph_jax_math, _graph_jax_recurrent, _graph_jax_shape
from edgekit.exporter.hops._graph_jax_node import Layout, Node, Operator

if TYPE_CHECKING:
    import onnx

#: Every operator is in one of them.
_TABLES = (_graph_jax_math, _graph_jax_shape, _graph_jax_layers, _graph_jax_recurrent)


def run(graph: onnx.GraphProto, inputs: Mapping[str, Any], opset: int) -> list[Any]:
    """The graph's outputs, in order.

    Args:
        graph: without local functions.
        inputs: arrays by name.
        opset: version of ONNX' own operators.

    Raises:
        ModelError: an operator, or a form of it, that is not in the tables.
    """
    return _run(graph, inputs, opset, Layout())


def _run(graph: onnx.GraphProto, outer: Mapping[str, Any], opset: int, layout: Layout) -> list[Any]:
    from onnx import numpy_helper

    values: dict[str, Any] = dict(outer)
    values |= {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for proto in graph.node:
        attributes = {item.name: _attribute(item) for item in proto.attribute}
        name = proto.name or proto.output[0]
        node = Node(proto.op_type, name, len(proto.output), opset, attributes, layout, values)
        made = _apply(node, proto.domain, [values[source] if source else None for source in proto.input])
        values |= dict(zip(proto.output, made, strict=False))  # the last outputs may be left out
    return [values[output.name] for output in graph.output]


def _apply(node: Node, domain: str, x: list[Any]) -> list[Any]:
    import jax

    if node.kind == "If" and domain in ("", "ai.onnx"):  # its body sees the values around it
        branch = "then_branch" if node.fixed(x[0], "conditions").item() else "else_branch"
        return _run(node.get(branch), node.outer, node.opset, node.layout)
    operator = next((found for table in _TABLES if (found := table.OPERATORS.get(node.kind))), None)
    if domain not in ("", "ai.onnx") or operator is None:
        raise node.unsupported()
    if all(value is None or isinstance(value, np.ndarray) for value in x):
        with jax.ensure_compile_time_eval():
            made = operator(node, x)
            made = made if isinstance(made, (list, tuple)) else [made]
            return [np.asarray(value) if isinstance(value, (jax.Array, np.generic)) else value for value in made]
    if node.kind in _graph_jax_math.VALUE_BY_VALUE:
        return [_through_transpositions(operator, node, x)]
    made = operator(node, x)
    return list(made) if isinstance(made, (list, tuple)) else [made]


def _through_transpositions(operator: Operator, node: Node, x: list[Any]) -> Any:
    """Compute on what the inputs are transpositions of, and transpose the result, which may then cancel."""
    found = next((source for value in x if (source := node.layout.source(value))), None)
    if found is None:
        return operator(node, x)
    order = found[1]
    inner = []
    for value in x:
        source = node.layout.source(value)
        if source is not None and source[1] == order:
            inner.append(source[0])
        elif value is None or np.ndim(value) == 0:
            inner.append(value)
        elif isinstance(value, np.ndarray) and value.ndim <= len(order):
            whole = value.reshape((1,) * (len(order) - value.ndim) + value.shape)
            inner.append(whole.transpose(np.argsort(order)))
        else:
            return operator(node, x)
    made = operator(node, inner)
    return node.layout.transpose(made, order)


def _attribute(item: onnx.AttributeProto) -> Any:
    from onnx import helper, numpy_helper

    value = helper.get_attribute_value(item)
    if isinstance(value, bytes):
        return value.decode()
    if item.type == item.TENSOR:
        return numpy_helper.to_array(value)
    if item.type == item.STRINGS:
        return [text.decode() for text in value]
    return list(value) if item.type in (item.INTS, item.FLOATS) else value
