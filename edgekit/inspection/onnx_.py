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
