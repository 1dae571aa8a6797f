"""ONNX in float16, by onnxruntime's converter."""

from __future__ import annotations

from edgekit.quantizer.methods import onnx_
from edgekit.quantizer.methods.samples import tool
from edgekit.quantizer.registry import QuantizeOutcome, QuantizeRequest


def fp16(request: QuantizeRequest) -> QuantizeOutcome:
    """Convert weights and operators to float16; inputs and outputs stay as they are."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    converted = convert_float_to_float16(onnx_.read(request), keep_io_types=True)
    weights = sum(weight.data_type == onnx.TensorProto.FLOAT16 for weight in converted.graph.initializer)
    settings = {"tool": tool("onnxruntime"), "keep_io_types": "true"}
    return QuantizeOutcome(onnx_.write(converted, request.folder), weights, settings)
