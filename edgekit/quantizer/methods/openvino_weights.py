"""OpenVINO, weights in 8 or 4 bits, arithmetic in float, by NNCF."""

from __future__ import annotations

from typing import Any

from edgekit.quantizer.methods import openvino_
from edgekit.quantizer.methods.nncf_ import int4_groups
from edgekit.quantizer.methods.samples import tool
from edgekit.quantizer.registry import QuantizeOutcome, QuantizeRequest


def int8(request: QuantizeRequest) -> QuantizeOutcome:
    """Store the weights as symmetric int8 with one scale per output channel."""
    import nncf

    options = {"mode": nncf.CompressWeightsMode.INT8_SYM}
    return _compress(request, options, {"mode": "int8_sym"}, openvino_.LOW_BIT)


def int4(request: QuantizeRequest) -> QuantizeOutcome:
    """Store the weights of matrix products as symmetric int4 in groups; the rest and the last layer as int8."""
    options, described = int4_groups()
    return _compress(request, options, described, openvino_.FOUR_BIT)


def _compress(
    request: QuantizeRequest, options: dict[str, Any], described: dict[str, str], counted: tuple[str, ...]
) -> QuantizeOutcome:
    """Compress, and count the weights of the types that were asked for: NNCF may leave every one at int8."""
    import nncf

    model = nncf.compress_weights(openvino_.read(request.model), **options)
    weights = openvino_.decompressed(model, counted)
    return QuantizeOutcome(openvino_.write(model, request.folder), len(weights), {"tool": tool("nncf"), **described})
