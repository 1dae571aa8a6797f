"""Products that NNCF leaves in float in every ONNX model, though onnxruntime runs them in int8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

#: Ends the name of a tensor behind a softmax.
_ATTENTION = "/attention"


def separate_attention(model: onnx.ModelProto) -> None:
    """Put an Identity between a softmax and a product, in place, so that NNCF does not recognise them.

    Quantized, these products cost a trained vision transformer 1 dB.
    """
    from onnx import helper
    from onnxruntime.quantization.onnx_model import ONNXModel

    softmaxes = {name for node in model.graph.node if node.op_type == "Softmax" for name in node.output}
    products = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[0] in softmaxes]
    for source in dict.fromkeys(node.input[0] for node in products):
        name = source + _ATTENTION
        model.graph.node.append(helper.make_node("Identity", [source], [name], name))
    for node in products:
        node.input[0] += _ATTENTION
    ONNXModel(model).topological_sort()


def join_attention(model: onnx.ModelProto) -> None:
    """Take these out again, in place."""
    added = [node for node in model.graph.node if node.op_type == "Identity" and node.output[0].endswith(_ATTENTION)]
    sources = {node.output[0]: node.input[0] for node in added}
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = sources.get(name, name)
    for node in added:
        model.graph.node.remove(node)


def quantize_zeros(model: onnx.ModelProto) -> None:
    """Quantize the first state of an unrolled recurrent cell, which is all zeros, in place.

    Its weights are those of the later steps, which are quantized.
    """
    from onnx import helper, numpy_helper

    made = {name: node for node in model.graph.node for name in node.output}
    stored = {weight.name: weight for weight in model.graph.initializer}
    zeros = {
        node.output[0]
        for node in model.graph.node
        if node.op_type == "Expand"
        and node.input[0] in stored
        and not numpy_helper.to_array(stored[node.input[0]]).any()
    }
    states: dict[str, list[Any]] = {}
    for node in model.graph.node:
        if node.op_type in ("MatMul", "Gemm") and node.input[0] in zeros:
            weight = made.get(node.input[1])
            if weight is not None and weight.op_type == "DequantizeLinear":
                states.setdefault(node.input[0], []).append(node)
    for name, nodes in states.items():
        scale, zero = f"{name}/scale", f"{name}/zero_point"
        model.graph.initializer.append(numpy_helper.from_array(np.float32(1), scale))
        model.graph.initializer.append(numpy_helper.from_array(np.uint8(0), zero))
        quantized, used = f"{name}/quantized", f"{name}/dequantized"
        model.graph.node.append(helper.make_node("QuantizeLinear", [name, scale, zero], [quantized], quantized))
        model.graph.node.append(helper.make_node("DequantizeLinear", [quantized, scale, zero], [used], used))
        for node in nodes:
            node.input[0] = used
