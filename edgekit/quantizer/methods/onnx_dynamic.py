"""ONNX, int8 weights of matrix products, activations quantized while it runs, by onnxruntime."""

from __future__ import annotations

from edgekit.quantizer.methods import onnx_
from edgekit.quantizer.methods._macs_onnx import layers_onnx
from edgekit.quantizer.methods.samples import tool
from edgekit.quantizer.registry import QuantizeOutcome, QuantizeRequest

#: What stays float.
LEFT_OUT = ("Conv", "ConvTranspose", "LSTM", "GRU", "RNN")


def int8(request: QuantizeRequest) -> QuantizeOutcome:
    """Turn matrix products into integer ones.

    Convolutions stay float: onnxruntime has no ConvInteger for int8 weights, and its uint8 one is slower than
    float on most models measured. onnxruntime takes one range for a whole batch, so that a sample's result
    depends a little on the others in its batch.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    raw = request.folder / "model.onnx"
    quantize_dynamic(
        onnx_.read(request),
        raw,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        weight_type=QuantType.QInt8,
    )
    quantized = onnx.load(raw)
    infos, macs = layers_onnx(quantized)
    settings = {
        "tool": tool("onnxruntime"),
        "operators": "MatMul, Gemm",
        "weights": "int8 per channel",
        "left_out": ", ".join(sorted({node.op_type for node in quantized.graph.node} & set(LEFT_OUT))),
    }
    return QuantizeOutcome(
        onnx_.write(quantized, request.folder),
        onnx_.after_quantizers(quantized),
        settings,
        tuple(info.name for info in infos),
        macs,
        infos,
    )
