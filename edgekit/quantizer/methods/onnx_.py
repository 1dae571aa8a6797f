"""Reading, counting and writing ONNX models for its quantization methods."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.quantizer.methods.samples import refuse_quantized

if TYPE_CHECKING:
    import onnx

#: Domain of onnxruntime's own operators.
CONTRIB = "com.microsoft"

_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
_INTEGER = ("MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv", "MatMulNBits", "DynamicQuantizeMatMul")


def read(path: Path) -> onnx.ModelProto:
    """A float model, with the external data beside it.

    Raises:
        UsageError: it is quantized already.
    """
    import onnx

    model = onnx.load(path)
    for node in model.graph.node:
        if node.op_type in _QUANTIZERS + _INTEGER:
            refuse_quantized(f"operator {node.op_type} {node.name!r}")
    return model


def opset(model: onnx.ModelProto) -> int:
    """Version of the standard operator set that a model uses."""
    return next((imported.version for imported in model.opset_import if imported.domain in ("", "ai.onnx")), 0)


def write(model: onnx.ModelProto, folder: Path) -> Path:
    """Write ``model.onnx``: nodes in order, every operator set declared, checked."""
    import onnx
    from onnxruntime.quantization.onnx_model import ONNXModel

    imported = {entry.domain for entry in model.opset_import}
    if CONTRIB not in imported and any(node.domain == CONTRIB for node in model.graph.node):
        model.opset_import.append(onnx.helper.make_opsetid(CONTRIB, 1))  # NNCF leaves it out
    ONNXModel(model).topological_sort()  # converters append the nodes that they add
    onnx.checker.check_model(model)
    entry = folder / "model.onnx"
    onnx.save(model, entry)
    return entry


def after_quantizers(model: onnx.ModelProto) -> int:
    """How many operators take an input from a DequantizeLinear, or compute in integers themselves."""
    dequantized = {name for node in model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    return sum(
        node.op_type in _INTEGER or (node.op_type not in _QUANTIZERS and not dequantized.isdisjoint(node.input))
        for node in model.graph.node
    )
