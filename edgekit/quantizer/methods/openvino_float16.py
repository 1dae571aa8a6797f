"""OpenVINO, weights in float16; the engine computes in what its device offers."""

from __future__ import annotations

from edgekit.quantizer.methods import openvino_
from edgekit.quantizer.methods.samples import refuse_quantized, tool
from edgekit.quantizer.registry import QuantizeOutcome, QuantizeRequest


def fp16(request: QuantizeRequest) -> QuantizeOutcome:
    """Store the weights as float16, as OpenVINO's own ``save_model`` does by default."""
    import openvino

    model = openvino_.read(request.model)
    if openvino_.decompressed(model, ("f16",)):
        refuse_quantized("weights of float16")
    entry = openvino_.write(model, request.folder, fp16=True)
    weights = openvino_.decompressed(openvino.Core().read_model(entry), ("f16",))
    return QuantizeOutcome(entry, len(weights), {"tool": tool("openvino"), "compress_to_fp16": "true"})
