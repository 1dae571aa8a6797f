"""ONNX, int8 weights and activations as QuantizeLinear and DequantizeLinear, by NNCF."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.quantizer.methods import nncf_, onnx_
from edgekit.quantizer.methods.samples import CalibrationBatches, tool
from edgekit.quantizer.registry import QuantizeOutcome, QuantizeRequest

if TYPE_CHECKING:
    import onnx

#: The newest operator set whose quantizers every onnxruntime moves correctly. From 21 on its optimizer inserts
#: QuantizeLinear of another type than the zero point, and refuses the model or saturates negative weights.
NEWEST_OPSET = 20


def int8(request: QuantizeRequest) -> QuantizeOutcome:
    """Insert quantizers with ranges measured on the calibration samples; inputs and outputs stay float."""
    import nncf

    batches = CalibrationBatches(request)
    quantized = nncf.quantize(
        _lowered(onnx_.read(request)),
        nncf.Dataset(batches),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(batches),
        advanced_parameters=nncf_.advanced(),
    )
    settings = {
        "tool": tool("nncf"),
        "preset": "mixed",
        "samples": str(batches.samples),
        **nncf_.DESCRIBED,
        "opset": str(onnx_.opset(quantized)),
    }
    return QuantizeOutcome(onnx_.write(quantized, request.folder), onnx_.after_quantizers(quantized), settings)


def _lowered(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnx.version_converter import ConvertError, convert_version

    if onnx_.opset(model) <= NEWEST_OPSET:
        return model
    try:
        return convert_version(model, NEWEST_OPSET)
    except ConvertError:  # it has an operator that is newer; whether it runs is found out when it runs
        return model
