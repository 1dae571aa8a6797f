"""OpenVINO, weights in float16 or bfloat16; the engine computes in what its device offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.quantizer.methods import openvino_
from edgekit.quantizer.methods.bfloat16 import rounded, widened
from edgekit.quantizer.methods.samples import refuse_quantized, tool
from edgekit.quantizer.registry import QuantizeOutcome, QuantizeRequest

if TYPE_CHECKING:
    import openvino

#: Smaller constants stay as they are: they hold axes, shapes and scalars.
LEAST_ELEMENTS = 16


def fp16(request: QuantizeRequest) -> QuantizeOutcome:
    """Store the weights as float16, as OpenVINO's own ``save_model`` does by default."""
    import openvino

    model = _read(request)
    entry = openvino_.write(model, request.folder, fp16=True)
    weights = openvino_.decompressed(openvino.Core().read_model(entry), ("f16",))
    return QuantizeOutcome(entry, len(weights), {"tool": tool("openvino"), "compress_to_fp16": "true"})


def bf16(request: QuantizeRequest) -> QuantizeOutcome:
    """Store the weights as bfloat16: the range of float32 in half the size, with three bits less than float16.

    A CPU with AMX or AVX-512 BF16 computes in bfloat16 unless another precision is asked for, whatever the weights
    are stored in; this makes the file small, and the result the same where they are rounded anyway.
    """
    from openvino import Type
    from openvino import opset13 as ops

    model = _read(request)
    weights = [op for op in model.get_ordered_ops() if _is_weight(op)]
    for op in weights:
        targets = list(op.output(0).get_target_inputs())
        stored = ops.constant(widened(rounded(op.data)), dtype=Type.bf16, name=f"{op.get_friendly_name()}/bf16")
        used = ops.convert(stored, "f32", name=op.get_friendly_name())
        for target in targets:
            target.replace_source_output(used.output(0))
    return QuantizeOutcome(openvino_.write(model, request.folder), len(weights), {"tool": tool("openvino")})


def _read(request: QuantizeRequest) -> openvino.Model:
    model = openvino_.read(request.model)
    for kind, name in (("f16", "float16"), ("bf16", "bfloat16")):
        if openvino_.decompressed(model, (kind,)):
            refuse_quantized(f"weights of {name}")
    return model


def _is_weight(op: Any) -> bool:
    if op.get_type_name() != "Constant" or op.get_element_type().get_type_name() != "f32":
        return False
    return bool(op.data.size >= LEAST_ELEMENTS)
