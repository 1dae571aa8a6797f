"""Reads the graph of an ONNX file with the onnx package, which an engine does not need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.inspection.facts import Graph, precision_of
from edgekit.registry import install_command

if TYPE_CHECKING:
    import onnx

#: Operators with quantized activations of fixed scale.
_STATIC = {"QuantizeLinear", "QLinearConv", "QLinearMatMul", "QLinearAdd"}
_DYNAMIC = {"DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "DynamicQuantizeMatMul"}


def read(path: Path) -> Graph:
    """Describe an ``.onnx`` file. External data lies beside it."""
    if find_spec("onnx") is None:
        hint = f"Operators, precision and opset need the onnx package: {install_command('export-onnx')}"
        return Graph(parameters=None, operators={}, precision=None, format={}, notes=(hint,))
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    graphs = [*_graphs(model.graph), *model.functions]
    operators = Counter(node.op_type for graph in graphs for node in graph.node)
    opsets = {entry.domain or "ai.onnx": str(entry.version) for entry in model.opset_import}
    weights = list(_weights(model.graph))
    return Graph(
        parameters=sum(prod(tensor.dims) for tensor in weights if _dtype(tensor) not in ("int32", "int64")),
        operators={name: count for name, count in operators.most_common() if name != "Constant"},
        precision=_precision(operators, weights),
        format={"IR": str(model.ir_version), "opset": opsets.pop("ai.onnx", "none"), **opsets},
        flops=_flops(model),
    )


def _flops(model: onnx.ModelProto) -> int | None:
    """See `edgekit.inspection.facts.Graph`; None also where shape inference does not reach a product."""
    import onnx

    constants = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        lengths = value.type.tensor_type.shape.dim
        if value.name not in constants and any(not length.HasField("dim_value") for length in lengths[1:]):
            return None
        for length in lengths[:1]:
            length.dim_value = 1
    del model.graph.value_info[:]  # they hold for the free batch
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {value.name: _lengths(value) for value in (*graph.input, *graph.value_info, *graph.output)}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    shapes |= {
        node.output[0]: tuple(item.t.dims)
        for node in graph.node
        if node.op_type == "Constant"
        for item in node.attribute
        if item.name == "value"
    }
    total = 0
    for node in graph.node:
        factors = _factors(node, shapes)
        if None in factors:
            return None
        total += 2 * prod(length for length in factors if length is not None) if factors else 0
    return total


def _factors(node: onnx.NodeProto, shapes: Mapping[str, tuple[int | None, ...]]) -> tuple[int | None, ...]:
    """Lengths whose product is the number of multiplications of a node; nothing for one that hardly has any."""

    def shape(name: str) -> tuple[int | None, ...]:
        return shapes.get(name, (None,))

    if node.op_type in ("MatMul", "MatMulInteger"):
        return (*shape(node.output[0]), shape(node.input[0])[-1])
    if node.op_type == "Gemm":
        flipped = any(item.name == "transA" and item.i for item in node.attribute)
        return (*shape(node.output[0]), shape(node.input[0])[0 if flipped else -1])
    if node.op_type in ("Conv", "ConvInteger"):
        return (*shape(node.output[0]), *shape(node.input[1])[1:])
    if node.op_type in ("LSTM", "GRU", "RNN"):
        weights = [shape(name) for name in node.input[1:3]]
        if any(None in lengths for lengths in weights):
            return (None,)
        per_step = sum(prod(length for length in lengths if length is not None) for lengths in weights)
        return (*shape(node.input[0])[:2], per_step)
    if node.op_type == "ConvTranspose":
        return (*shape(node.input[0]), *shape(node.input[1])[1:])
    return ()


def _lengths(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    if not value.type.tensor_type.HasField("shape"):
        return (None,)
    return tuple(
        length.dim_value if length.HasField("dim_value") else None for length in value.type.tensor_type.shape.dim
    )


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those inside its control flow."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    yield from _graphs(inner)


def _weights(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Constants, whichever way the converter wrote them."""
    for part in _graphs(graph):
        yield from part.initializer
        yield from (
            item.t
            for node in part.node
            if node.op_type == "Constant"
            for item in node.attribute
            if item.name == "value"
        )


def _precision(operators: Mapping[str, int], weights: list[onnx.TensorProto]) -> str | None:
    if not set(operators) & _STATIC and set(operators) & _DYNAMIC:
        return "int8-dynamic"
    if any(name.startswith("MatMulNBits") for name in operators):
        return "int4-weights"
    dtypes = {_dtype(tensor) for tensor in weights if tensor.dims}
    return precision_of(dtypes, quantized_activations=bool(set(operators) & _STATIC))


def _dtype(tensor: onnx.TensorProto) -> str:
    import onnx

    name = str(onnx.TensorProto.DataType.Name(tensor.data_type)).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)
