"""Reading, counting and writing ONNX models for its quantization methods."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.hops._names import name_rest
from edgekit.quantizer.methods.einsum import rewrite_onnx
from edgekit.quantizer.methods.samples import refuse_quantized
from edgekit.quantizer.registry import QuantizeRequest

if TYPE_CHECKING:
    import onnx

#: Domain of onnxruntime's own operators.
CONTRIB = "com.microsoft"

_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
_INTEGER = ("MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv", "MatMulNBits", "DynamicQuantizeMatMul")


def read(request: QuantizeRequest) -> onnx.ModelProto:
    """A float model with constants folded and batch normalisation merged into convolutions.

    onnxruntime's basic optimizations do that, and are the same for every device. Without them NNCF refuses some
    models, and quantizes each leftover operator on its own, which costs accuracy, size and speed.

    Raises:
        UsageError: it is quantized already.
    """
    import onnx
    import onnxruntime

    source = onnx.load(request.model, load_external_data=False).graph
    for node in source.node:
        if node.op_type in _QUANTIZERS + _INTEGER:
            refuse_quantized(f"operator {node.op_type} {node.name!r}")
    for kind, name in ((onnx.TensorProto.FLOAT16, "float16"), (onnx.TensorProto.BFLOAT16, "bfloat16")):
        if any(weight.data_type == kind for weight in source.initializer):
            refuse_quantized(f"weights of {name}")
    simplified = request.folder / "simplified.onnx"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(simplified)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(request.model, options, providers=["CPUExecutionProvider"])
    model = onnx.load(simplified)
    simplified.unlink()
    rewrite_onnx(model)
    name_rest(model.graph)
    return model


def operators(model: onnx.ModelProto) -> list[tuple[str, str]]:
    """Name and type of every operator, in the order of the file; those inside loops are not counted."""
    return [(node.name, node.op_type) for node in model.graph.node]


def opset(model: onnx.ModelProto) -> int:
    """Version of the standard operator set that a model uses."""
    return next((imported.version for imported in model.opset_import if imported.domain in ("", "ai.onnx")), 0)


def write(model: onnx.ModelProto, folder: Path) -> Path:
    """Write ``model.onnx``: nodes in order, every operator set declared, checked."""
    import onnx
    from onnxruntime.quantization.onnx_model import ONNXModel

    versions = {CONTRIB: 1, **{entry.domain: entry.version for entry in model.opset_import}}
    used = {node.domain for node in model.graph.node} | {""}
    del model.opset_import[:]  # onnxruntime declares sets that nothing uses, NNCF leaves one out that it uses
    model.opset_import.extend(onnx.helper.make_opsetid(domain, versions[domain]) for domain in sorted(used))
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


def four_bit_weights(model: onnx.ModelProto) -> int:
    """How many weights are stored in four bits."""
    import onnx

    kinds = (onnx.TensorProto.INT4, onnx.TensorProto.UINT4)
    stored = {weight.name for weight in model.graph.initializer if weight.data_type in kinds}
    packed = [node for node in model.graph.node if node.op_type == "MatMulNBits"]
    return len(stored) + len(packed)
