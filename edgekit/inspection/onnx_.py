"""Reads ONNX: the signature with onnxruntime, the graph with the onnx package where it is installed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.inspection.facts import Facts, precision_of
from edgekit.registry import install_command
from edgekit.types import Signature, TensorSpec

if TYPE_CHECKING:
    import onnx

#: Element types as onnxruntime spells them where numpy spells them otherwise.
_DTYPES = {"float": "float32", "double": "float64"}

#: Operators with quantized activations of fixed scale.
_STATIC = {"QuantizeLinear", "QLinearConv", "QLinearMatMul", "QLinearAdd"}
_DYNAMIC = {"DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "DynamicQuantizeMatMul"}


def read(path: Path) -> Facts:
    """Describe an ``.onnx`` file. External data lies beside it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    signature = Signature(
        tuple(_spec(node) for node in session.get_inputs()), tuple(_spec(node) for node in session.get_outputs())
    )
    facts = Facts(
        signature=signature,
        parameters=None,
        operators={},
        precision=None,
        format={},
        engine=f"onnxruntime {onnxruntime.__version__}",
        quantization={},
        signature_key=None,
        notes=(),
    )
    return _with_graph(facts, path)


def _spec(node: Any) -> TensorSpec:
    element = node.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(length if isinstance(length, int) and length >= 0 else None for length in node.shape)
    return TensorSpec(node.name, shape, _DTYPES.get(element, element))


def _with_graph(facts: Facts, path: Path) -> Facts:
    from dataclasses import replace

    if find_spec("onnx") is None:
        hint = f"Operators, precision and opset need the onnx package: {install_command('export-onnx')}"
        return replace(facts, notes=(hint,))
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    operators = Counter(node.op_type for graph in _graphs(model.graph) for node in graph.node)
    opsets = {entry.domain or "ai.onnx": str(entry.version) for entry in model.opset_import}
    weights = [tensor for graph in _graphs(model.graph) for tensor in graph.initializer]
    return replace(
        facts,
        parameters=_parameters(weights),
        operators=dict(operators.most_common()),
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


def _precision(operators: Mapping[str, int], weights: list[onnx.TensorProto]) -> str | None:
    if not set(operators) & _STATIC and set(operators) & _DYNAMIC:
        return "int8-dynamic"
    if any(name.startswith("MatMulNBits") for name in operators):
        return "int4-weights"
    dtypes = {_dtype(tensor) for tensor in weights if tensor.dims}
    return precision_of(dtypes, quantized_activations=bool(set(operators) & _STATIC))


def _dtype(tensor: onnx.TensorProto) -> str:
    import onnx

    name = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def _parameters(weights: list[onnx.TensorProto]) -> int:
    """Elements of all constants but int64 ones, which hold shapes and axes."""
    from math import prod

    return sum(prod(tensor.dims) for tensor in weights if _dtype(tensor) != "int64")
