"""Runs an ONNX graph on JAX, operator by operator, so that JAX can trace it; the tables are in ``_graph_jax_*``.

Meanings follow ONNX' operator list (onnx.ai/onnx/operators). What does not depend on the inputs, such as arithmetic
with shapes, is computed at once and stays numpy: shapes are fixed here.

ONNX puts channels first, TFLite last. Convolutions are written with channels last between two transpositions, and
`Layout` moves those through everything that works value by value, until they meet and cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.errors import ModelError

if TYPE_CHECKING:
    import onnx

#: One operator: from its inputs (None for one that is left out) to its output or outputs.
Operator = Callable[["Node", list[Any]], Any]


class Layout:
    """Remembers which arrays are transpositions of others."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Any, Any, tuple[int, ...]]] = {}  # keeps the array: an id must not be used again

    def source(self, value: Any) -> tuple[Any, tuple[int, ...]] | None:
        """What a value is a transposition of, and by which order of axes."""
        found = self._made.get(id(value))
        return None if found is None else found[1:]

    def transpose(self, value: Any, order: Sequence[int]) -> Any:
        """A transposition, which undoes an earlier one where it can."""
        import jax.numpy as jnp

        if isinstance(value, np.ndarray):
            return value.transpose(order)
        inner, before = self.source(value) or (value, tuple(range(value.ndim)))
        whole = tuple(before[axis] for axis in order)
        if whole == tuple(range(value.ndim)):
            return inner
        made = jnp.transpose(inner, whole)
        self._made[id(made)] = (made, inner, whole)
        return made

    def to_last(self, value: Any) -> Any:
        """``(batch, channel, …)`` to ``(batch, …, channel)``."""
        return self.transpose(value, (0, *range(2, value.ndim), 1))

    def to_first(self, value: Any) -> Any:
        """``(batch, …, channel)`` to ``(batch, channel, …)``."""
        return self.transpose(value, (0, value.ndim - 1, *range(1, value.ndim - 1)))


@dataclass(frozen=True)
class Node:
    """One operator of the graph.

    Attributes:
        kind: such as ``Conv``.
        name: of the node, or of its first output.
        outputs: how many it has.
        opset: version of the operator set that gives it its meaning.
        attributes: by name; texts are decoded, tensors are numpy arrays.
        layout: of the whole graph.
        outer: values of the graph around this one, for the bodies of branches.
    """

    kind: str
    name: str
    outputs: int
    opset: int
    attributes: Mapping[str, Any]
    layout: Layout = field(repr=False)
    outer: Mapping[str, Any] = field(repr=False)

    def get(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    def unsupported(self, why: str = "") -> ModelError:
        """The refusal of this operator."""
        return ModelError(
            "unsupported-operator",
            f"this converter does not take {self.kind}{' with ' + why if why else ''} from ONNX.",
            received=f"operator {self.kind}, node {self.name}",
            hint="Choose another --route, or another --target.",
        )

    def fixed(self, value: Any, what: str) -> np.ndarray:
        """An input that must not depend on the model's inputs.

        Raises:
            ModelError: it does.
        """
        if not isinstance(value, np.ndarray):
            raise self.unsupported(f"{what} that depend on the inputs")
        return value

    def axes(self, x: list[Any], index: int) -> list[int] | None:
        """Axes from an input, or in older operator sets from the attribute; None where neither is there."""
        if len(x) > index and x[index] is not None:
            return [int(axis) for axis in np.atleast_1d(self.fixed(x[index], "axes"))]
        found = self.get("axes")
        return None if found is None else list(found)


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


def run_body(node: Node, graph: onnx.GraphProto) -> list[Any]:
    """The outputs of a body inside a node, which sees the values around it."""
    return _run(graph, node.outer, node.opset, node.layout)


def _apply(node: Node, domain: str, x: list[Any]) -> list[Any]:
    import jax

    from edgekit.exporter.hops import _graph_jax_layers, _graph_jax_math, _graph_jax_recurrent, _graph_jax_shape

    tables = (_graph_jax_math, _graph_jax_shape, _graph_jax_layers, _graph_jax_recurrent)
    operator = next((found for table in tables if (found := table.OPERATORS.get(node.kind))), None)
    if domain not in ("", "ai.onnx") or operator is None:
        raise node.unsupported()
    if node.kind != "If" and all(value is None or isinstance(value, np.ndarray) for value in x):
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
