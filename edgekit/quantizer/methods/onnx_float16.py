"""ONNX in float16, by onnxruntime's converter, or with weights in bfloat16."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgekit.quantizer.methods import onnx_
from edgekit.quantizer.methods.bfloat16 import rounded
from edgekit.quantizer.methods.samples import tool
from edgekit.quantizer.registry import QuantizeOutcome, QuantizeRequest

if TYPE_CHECKING:
    import onnx

#: Smaller weights stay as they are.
LEAST_ELEMENTS = 16


def fp16(request: QuantizeRequest) -> QuantizeOutcome:
    """Convert weights and operators to float16; inputs and outputs stay as they are."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    converted = convert_float_to_float16(onnx_.read(request), keep_io_types=True)
    _drop_repeats(converted.graph)
    weights = sum(weight.data_type == onnx.TensorProto.FLOAT16 for weight in converted.graph.initializer)
    settings = {"tool": tool("onnxruntime"), "keep_io_types": "true"}
    return QuantizeOutcome(onnx_.write(converted, request.folder), weights, settings)


def _drop_repeats(graph: onnx.GraphProto) -> None:
    """The converter writes the same cast once for each float32 operator that takes a tensor: the first one serves."""
    made: set[str] = set()
    for node in list(graph.node):
        if node.output and made.issuperset(node.output):
            graph.node.remove(node)
        made.update(node.output)


def bf16(request: QuantizeRequest) -> QuantizeOutcome:
    """Store the weights as bfloat16 and cast them when the model is loaded.

    onnxruntime's CPU provider has no bfloat16 arithmetic: the file is half as large, and computes in float32.
    """
    import onnx

    model = onnx_.read(request)
    weights = [
        weight
        for weight in model.graph.initializer
        if weight.data_type == onnx.TensorProto.FLOAT and math.prod(weight.dims) >= LEAST_ELEMENTS
    ]
    casts = []
    for weight in weights:
        name, values = weight.name, onnx.numpy_helper.to_array(weight)
        stored = f"{name}/bf16"
        raw = rounded(values).tobytes()
        weight.CopyFrom(onnx.helper.make_tensor(stored, onnx.TensorProto.BFLOAT16, values.shape, raw, raw=True))
        casts.append(onnx.helper.make_node("Cast", [stored], [name], f"{name}/Cast", to=onnx.TensorProto.FLOAT))
    model.graph.node.extend(casts)
    return QuantizeOutcome(onnx_.write(model, request.folder), len(weights), {"tool": tool("onnx")})
