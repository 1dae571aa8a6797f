"""ONNX, weights in 8 or 4 bits, arithmetic in float, by NNCF."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgekit.errors import UsageError
from edgekit.quantizer.methods import _onnx_forms, onnx_
from edgekit.quantizer.methods._onnx_gemm import split_gemms
from edgekit.quantizer.methods.nncf_weights import compress
from edgekit.quantizer.registry import QuantizeOutcome, QuantizeRequest

if TYPE_CHECKING:
    import onnx

#: Sizes of groups that onnxruntime's MatMulNBits runs.
GROUPS = (16, 32, 64, 128, 256)


def int8(request: QuantizeRequest) -> QuantizeOutcome:
    """Store the weights of convolutions, matrix products and embeddings as int8 with one scale per channel.

    onnxruntime multiplies such weights with activations that it rounds to int8 in blocks of 32 as it runs. On four
    layers of 512 that took 26 microseconds instead of 1550 with weights made float in every inference, and 45 in
    float32, at 54 dB instead of 64. Its session option ``session.qdq_matmulnbits_accuracy_level=1`` keeps activations
    in float. Weights that several operators share, as the steps of an unrolled cell do, it makes float all the same.
    """
    model = onnx_.read(request)
    split_gemms(model)
    compressed, settings = compress(model, request, onnx_.operators(model))
    flatten_scales(compressed)
    _onnx_forms.count_axes_from_the_start(compressed)
    return QuantizeOutcome(onnx_.write(compressed, request.folder), onnx_.after_quantizers(compressed), settings)


def int4(request: QuantizeRequest) -> QuantizeOutcome:
    """Store the weights of matrix products as int4 in groups; the rest and the last layer as int8.

    Raises:
        UsageError: a size of groups that onnxruntime refuses to load.
    """
    size = request.recipe.group_size
    if size is not None and size not in GROUPS:
        raise UsageError(
            "group-size",
            f"onnxruntime runs no groups of {'a whole channel' if size == -1 else size} in 4 bits.",
            received=request.recipe.name,
            hint=f"Sizes of groups: {', '.join(map(str, GROUPS))}.",
        )
    model = onnx_.read(request)
    split_gemms(model)
    algorithms = ("plain", "awq", "scale", "awq-scale")
    compressed, settings = compress(model, request, onnx_.operators(model), algorithms)
    _onnx_forms.mend_four_bits(compressed)
    flatten_scales(compressed)
    _onnx_forms.count_axes_from_the_start(compressed)
    pack_zero_points(compressed)
    return QuantizeOutcome(onnx_.write(compressed, request.folder), onnx_.four_bit_weights(compressed), settings)


def flatten_scales(model: onnx.ModelProto) -> None:
    """Give scales per channel one axis, in place: NNCF gives a convolution's several, which onnxruntime refuses."""
    import onnx

    stored = {weight.name: weight for weight in model.graph.initializer}
    for node in model.graph.node:
        blocks = any(attribute.name == "block_size" for attribute in node.attribute)
        if node.op_type != "DequantizeLinear" or blocks:
            continue
        for name in node.input[1:]:
            if name in stored and len(stored[name].dims) > 1:
                flat = onnx.numpy_helper.to_array(stored[name]).reshape(-1)
                stored[name].CopyFrom(onnx.numpy_helper.from_array(flat, name))


def pack_zero_points(model: onnx.ModelProto) -> None:
    """Put two zero points into each byte, in place: NNCF writes one, which onnxruntime's MatMulNBits refuses."""
    import onnx

    stored = {weight.name: weight for weight in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "MatMulNBits" or len(node.input) < 4 or not node.input[3]:
            continue
        name = node.input[3]
        points = onnx.numpy_helper.to_array(stored[name])
        points = np.pad(points, [(0, 0)] * (points.ndim - 1) + [(0, points.shape[-1] % 2)])
        packed = points[..., 0::2] | (points[..., 1::2] << 4)
        stored[name].CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(packed), name))
