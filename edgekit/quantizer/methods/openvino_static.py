"""OpenVINO, int8 weights and activations, by NNCF."""

from __future__ import annotations

from edgekit.quantizer.methods import nncf_, openvino_
from edgekit.quantizer.methods.samples import CalibrationBatches, tool
from edgekit.quantizer.registry import QuantizeOutcome, QuantizeRequest


def int8(request: QuantizeRequest) -> QuantizeOutcome:
    """Insert FakeQuantize with ranges measured on the calibration samples; inputs and outputs stay float."""
    import nncf

    model = openvino_.read(request.model)
    batches = CalibrationBatches(request)
    quantized = nncf.quantize(
        model,
        nncf.Dataset(batches),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(batches),
        advanced_parameters=nncf_.advanced(),
    )
    settings = {"tool": tool("nncf"), "preset": "mixed", "samples": str(batches.samples), **nncf_.DESCRIBED}
    return QuantizeOutcome(openvino_.write(quantized, request.folder), openvino_.after_quantizers(quantized), settings)
