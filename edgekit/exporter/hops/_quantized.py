"""Refuses files that are quantized already: an export is fp32, and a converter would drop or change their rounding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import ModelError

if TYPE_CHECKING:
    import onnx
    import openvino

_INTEGERS = ("int8", "uint8", "int16")

#: Types of weights that only quantizers write; booleans and images are other types or no constants.
_IR_WEIGHTS = ("i4", "u4", "nf4", "i8", "u8", "u2", "u3", "u6", "f8e4m3", "f8e5m2", "f4e2m1")


def refuse_quantized_onnx(model: onnx.ModelProto) -> None:
    """Raise for a model with any operator that quantizes or computes with integers.

    Raises:
        ModelError: ``already-quantized``, with the first such operator.
    """
    for node in _nodes(model.graph):
        kind = node.op_type
        if "Quantize" in kind or kind.startswith("QLinear") or kind.endswith(("Integer", "NBits")) or kind == "QGemm":
            raise _refusal(f"{kind} at {node.name or node.output[0]}")


def refuse_quantized_openvino(model: openvino.Model) -> None:
    """Raise for a model with FakeQuantize, or with weights of 8 bits and fewer.

    Raises:
        ModelError: ``already-quantized``, with the first such operator.
    """
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind in ("FakeQuantize", "FakeConvert"):
            raise _refusal(f"{kind} at {node.get_friendly_name()}")
        if kind == "Constant" and node.get_element_type().get_type_name() in _IR_WEIGHTS:
            readers = {reader.get_node().get_type_name() for reader in node.output(0).get_target_inputs()}
            if "Convert" in readers:
                raise _refusal(f"{node.get_element_type().get_type_name()} weights {node.get_friendly_name()}")


def refuse_quantized_tflite(path: Path) -> None:
    """Raise for a file with any integer tensor that has a scale.

    Raises:
        ModelError: ``already-quantized``, with the first such tensor.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    for tensor in Interpreter(str(path), experimental_op_resolver_type=resolver).get_tensor_details():
        if len(tensor["quantization_parameters"]["scales"]) and tensor["dtype"].__name__ in _INTEGERS:
            raise _refusal(f"{tensor['dtype'].__name__} tensor {tensor['name']}")


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            bodies: Iterable[onnx.GraphProto] = (attribute.g, *attribute.graphs)
            for body in bodies:
                yield from _nodes(body)


def _refusal(received: str) -> ModelError:
    return ModelError(
        "already-quantized",
        "the model is quantized already, and export makes fp32 artifacts.",
        received=received,
        hint="Export the float model it was made from, then quantize the result.",
    )
