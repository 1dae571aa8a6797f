"""OpenVINO, weights in 8 or 4 bits, arithmetic in float, by NNCF."""

from __future__ import annotations

from edgekit.quantizer.methods import openvino_
from edgekit.quantizer.methods.nncf_weights import compress
from edgekit.quantizer.registry import QuantizeOutcome, QuantizeRequest


def int8(request: QuantizeRequest) -> QuantizeOutcome:
    """Store the weights as int8 with one scale per output channel."""
    return _compress(request, ("plain",), openvino_.LOW_BIT)


def int4(request: QuantizeRequest) -> QuantizeOutcome:
    """Store the weights of matrix products as int4 in groups; the rest and the last layer as int8."""
    return _compress(request, ("plain", "awq", "scale", "awq-scale", "gptq"), openvino_.FOUR_BIT)


def _compress(request: QuantizeRequest, algorithms: tuple[str, ...], counted: tuple[str, ...]) -> QuantizeOutcome:
    """Compress, and count the weights of the types that were asked for: NNCF may leave every one at int8."""
    model = openvino_.read(request.model)
    compressed, settings = compress(model, request, openvino_.operators(model), algorithms)
    weights = openvino_.decompressed(compressed, counted)
    return QuantizeOutcome(openvino_.write(compressed, request.folder), len(weights), settings)
