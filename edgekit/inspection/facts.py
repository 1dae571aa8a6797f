"""What a reader finds in a model file."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Quantization:
    """How integers stand for real numbers: ``real = scale * (integer - zero_point)``.

    Attributes:
        dtype: of the integers in the file.
    """

    dtype: str
    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class Graph:
    """What the file says about itself, beyond its signature. See `edgekit.inspection.Inspection`.

    Attributes:
        flops: two per multiplication and addition of convolutions and products, for one sample; None where a size that
            they depend on is free.
        signature_key: name of the TFLite signature that the names come from; None where the file has none.
    """

    parameters: int | None
    operators: dict[str, int]
    precision: str | None
    format: dict[str, str]
    flops: int | None = None
    quantization: dict[str, Quantization] = field(default_factory=dict)
    signature_key: str | None = None
    notes: tuple[str, ...] = ()


def precision_of(weights: set[str], *, quantized_activations: bool) -> str | None:
    """The name that edgekit gives to a precision.

    Args:
        weights: element types of the weights, as numpy names; ``int4`` and ``uint4`` included.
        quantized_activations: whether activations are quantized with fixed scales.

    Returns:
        ``int8``, ``int8-weights``, ``int4-weights``, ``fp16``, ``bf16`` or ``fp32``; None for a model without weights
        that would tell.
    """
    if weights & {"int4", "uint4"}:
        return "int4-weights"
    if quantized_activations:
        return "int8"
    if weights & {"int8", "uint8"}:
        return "int8-weights"
    return next((short for name, short in _FLOATS.items() if name in weights), None)


#: The narrowest first: a compressed model keeps a few float32 constants.
_FLOATS = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "float64": "fp64"}
