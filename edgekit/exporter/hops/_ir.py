"""OpenVINO's graph to ONNX, operator by operator; the tables are in the modules ``_ir_*``.

Meanings follow OpenVINO's operation specifications (docs.openvino.ai, "Available Operation Sets") and ONNX' operator
list (onnx.ai/onnx/operators).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.exporter.hops import _ir_layers, _ir_math, _ir_recurrent, _ir_shape
from edgekit.exporter.hops._ir_writer import Writer, dtype_of, lengths, unsupported

if TYPE_CHECKING:
    import onnx
    import openvino

    from edgekit.types import Signature, TensorSpec


def pin(model: openvino.Model, signature: Signature) -> None:
    """Fix the free dimensions that the signature fixes, in place; those that are fixed stay."""
    import openvino

    shapes = {}
    for index, (spec, port) in _pairs(signature.inputs, model.inputs):
        known = lengths(port) or [None] * len(spec.shape)
        fixed = [wanted if own is None else own for own, wanted in zip(known, spec.shape, strict=True)]
        if fixed != known:
            shapes[index] = openvino.PartialShape([-1 if length is None else length for length in fixed])
    if shapes:
        model.reshape(shapes)


def translate(model: openvino.Model, signature: Signature, opset: int) -> onnx.ModelProto:
    """An ONNX model with the inputs and outputs of a signature, which has them in the graph's order.

    Raises:
        ModelError: an operator, or a form of it, that is not in the tables.
    """
    from onnx import helper

    writer = Writer()
    names: dict[tuple[str, int], str] = {}
    for parameter, spec in zip(model.get_parameters(), signature.inputs, strict=True):
        names[parameter.get_name(), 0] = spec.name
    for op in model.get_ordered_ops():
        if op.get_type_name() not in ("Parameter", "Result"):
            sources = [op.input_value(index) for index in range(op.get_input_size())]
            made = _write(writer, op, [names[source.get_node().get_name(), source.get_index()] for source in sources])
            names |= {(op.get_name(), index): name for index, name in enumerate(made)}
    for result, spec in zip(model.get_results(), signature.outputs, strict=True):
        source = result.input_value(0)
        inner = names[source.get_node().get_name(), source.get_index()]
        writer.nodes.append(helper.make_node("Identity", [inner], [spec.name]))
    inputs = [_value(spec.name, port, f"size{index}") for index, (spec, port) in _pairs(signature.inputs, model.inputs)]
    outputs = [
        _value(spec.name, port, f"length{index}") for index, (spec, port) in _pairs(signature.outputs, model.outputs)
    ]
    graph = helper.make_graph(writer.nodes, "model", inputs, outputs, writer.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def _pairs(specs: Sequence[TensorSpec], ports: Sequence[Any]) -> Iterable[tuple[int, tuple[TensorSpec, Any]]]:
    return enumerate(zip(specs, ports, strict=True))


def _write(writer: Writer, op: openvino.Node, inputs: list[str]) -> list[str]:
    kind = op.get_type_name()
    if kind == "Constant":
        dtype = dtype_of(op.output(0))
        return [writer.constant(np.asarray(op.data).astype(dtype), dtype)]
    tables = (_ir_math.OPERATORS, _ir_shape.OPERATORS, _ir_layers.OPERATORS, _ir_recurrent.OPERATORS)
    found = next((table[kind] for table in tables if kind in table), None)
    if found is None:
        raise unsupported(op)
    made = found(writer, op, inputs)
    return [made] if isinstance(made, str) else list(made)


def _value(name: str, port: Any, prefix: str) -> onnx.ValueInfoProto:
    """An input or output: the first free axis is the batch, others are symbols of their own."""
    from onnx import helper

    shape = lengths(port)
    kind = helper.np_dtype_to_tensor_dtype(dtype_of(port))
    if shape is None:
        return helper.make_tensor_value_info(name, kind, None)
    symbols = ["batch", *(f"{prefix}_{axis}" for axis in range(1, len(shape)))]
    return helper.make_tensor_value_info(
        name, kind, [symbol if length is None else length for symbol, length in zip(symbols, shape, strict=True)]
    )
