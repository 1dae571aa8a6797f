"""ONNX, weights of matrix products in 8 or 4 bits, arithmetic in float, by NNCF."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgekit.quantizer.methods import onnx_
from edgekit.quantizer.methods.nncf_ import int4_groups
from edgekit.quantizer.methods.samples import tool
from edgekit.quantizer.registry import QuantizeOutcome, QuantizeRequest

if TYPE_CHECKING:
    import onnx

#: NNCF gives a convolution's scale one axis per weight axis, which onnxruntime refuses to load.
LEFT_OUT = ["Conv", "ConvTranspose"]


def int8(request: QuantizeRequest) -> QuantizeOutcome:
    """Store the weights of matrix products and embeddings as symmetric int8 with one scale per channel."""
    import nncf

    options = {"mode": nncf.CompressWeightsMode.INT8_SYM}
    return _compress(request, options, {"mode": "int8_sym"}, onnx_.after_quantizers)


def int4(request: QuantizeRequest) -> QuantizeOutcome:
    """Store the weights of matrix products as symmetric int4 in groups; the last layer as int8.

    Asymmetric int4 is not offered: onnxruntime refuses the zero points that NNCF writes.
    """
    options, described = int4_groups()
    return _compress(request, options, described, onnx_.four_bit_weights)


def _compress(
    request: QuantizeRequest,
    options: dict[str, Any],
    described: dict[str, str],
    count: Callable[[onnx.ModelProto], int],
) -> QuantizeOutcome:
    """Compress, and count what was asked for: NNCF may leave every weight at int8."""
    import nncf

    model = onnx_.read(request)
    present = sorted({node.op_type for node in model.graph.node} & set(LEFT_OUT))
    scope = nncf.IgnoredScope(types=present)  # NNCF refuses a type that the model does not have
    compressed = nncf.compress_weights(model, ignored_scope=scope, **options)
    settings = {"tool": tool("nncf"), **described, "left_out": ", ".join(present)}
    return QuantizeOutcome(onnx_.write(compressed, request.folder), count(compressed), settings)
