"""ONNX, int8 weights and activations as QuantizeLinear and DequantizeLinear, by NNCF."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.quantizer.methods import _onnx_forms, nncf_, onnx_
from edgekit.quantizer.methods._macs_onnx import layers_onnx
from edgekit.quantizer.methods._onnx_gemm import split_gemms
from edgekit.quantizer.methods._onnx_scope import join_attention, quantize_zeros, separate_attention
from edgekit.quantizer.registry import QuantizeOutcome, QuantizeRequest

if TYPE_CHECKING:
    import onnx

#: The newest operator set whose quantizers every onnxruntime moves correctly. From 21 on its optimizer inserts
#: QuantizeLinear of another type than the zero point, and refuses the model or saturates negative weights.
NEWEST_OPSET = 20

#: NNCF quantizes their inputs, and onnxruntime computes them in float all the same: it only costs accuracy and time.
LEFT_OUT = ("ReduceMean",)


def int8(request: QuantizeRequest) -> QuantizeOutcome:
    """Insert quantizers with ranges measured on the calibration samples; inputs and outputs stay float.

    Activations are quantized per tensor: onnxruntime cannot run a depthwise convolution with ranges per channel.
    """
    model = _lowered(onnx_.read(request))
    split_gemms(model, computed=True)
    operators = onnx_.operators(model)
    separate_attention(model)
    quantized, settings = nncf_.quantize(model, request, operators, LEFT_OUT)
    join_attention(quantized)
    quantize_zeros(quantized)
    _onnx_forms.count_axes_from_the_start(quantized)
    _onnx_forms.make_activations_unsigned(quantized)
    _onnx_forms.make_biases_integer(quantized)
    _onnx_forms.keep_gemms_apart(quantized)
    infos, macs = layers_onnx(quantized)
    entry = onnx_.write(quantized, request.folder)
    facts = {**settings, "opset": str(onnx_.opset(quantized))}
    return QuantizeOutcome(entry, len(infos), facts, tuple(info.name for info in infos), macs, infos)


def _lowered(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnx.version_converter import ConvertError, convert_version

    if onnx_.opset(model) <= NEWEST_OPSET:
        return model
    try:
        return convert_version(model, NEWEST_OPSET)
    except ConvertError:  # it has an operator that is newer; whether it runs is found out when it runs
        return model
