"""OpenVINO, int8 weights and activations, by NNCF."""

from __future__ import annotations

from edgekit.quantizer.methods import nncf_, openvino_
from edgekit.quantizer.methods._fusion_openvino import refuse_wrong_fusion
from edgekit.quantizer.methods._macs_openvino import layers_openvino
from edgekit.quantizer.registry import QuantizeOutcome, QuantizeRequest


def int8(request: QuantizeRequest) -> QuantizeOutcome:
    """Insert FakeQuantize with ranges measured on the calibration samples; inputs and outputs stay float."""
    model = openvino_.read(request.model)
    quantized, settings = nncf_.quantize(model, request, openvino_.operators(model))
    if request.recipe.smooth_quant is not None:
        refuse_wrong_fusion(model, quantized, request)
    infos, macs = layers_openvino(quantized)
    entry = openvino_.write(quantized, request.folder)
    return QuantizeOutcome(entry, len(infos), settings, tuple(info.name for info in infos), macs, infos)
