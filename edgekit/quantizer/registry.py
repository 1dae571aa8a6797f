"""Which quantization methods there are: one for every pair of target and precision that works.

A method is one function in `edgekit.quantizer.methods` and one row here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edgekit.errors import UsageError
from edgekit.jobs.protocol import Progress
from edgekit.quantizer.recipe import Recipe
from edgekit.registry import Registry, Row
from edgekit.types import Signature


@dataclass(frozen=True, slots=True)
class QuantizeRequest:
    """What a method quantizes.

    Attributes:
        model: entry file of the fp32 artifact; companions lie beside it.
        signature: of the artifact.
        folder: where to write the result.
        calibration: one array per input name, ``(samples, ...)``, in the input's dtype; memory-mapped; empty for a
            method that needs no data.
        recipe: every setting.
        progress: tells the host how far calibration is.
    """

    model: Path
    signature: Signature
    folder: Path
    calibration: Mapping[str, np.ndarray]
    recipe: Recipe
    progress: Callable[[Progress], None]


@dataclass(frozen=True)
class MacCount:
    """Multiply-accumulates of one inference of one sample.

    Attributes:
        low_bit: those of operators whose inputs and weights are both quantized.
        total: those of all convolutions, matrix products and recurrent cells.
    """

    low_bit: int
    total: int


@dataclass(frozen=True)
class LayerInfo:
    """An operator that computes on quantized values.

    Attributes:
        name: as ``Recipe.left_float`` takes it.
        kind: type of the operator in its format, such as ``Convolution``.
        macs: its multiply-accumulates in one inference of one sample; 0 where it has none.
    """

    name: str
    kind: str
    macs: int


@dataclass(frozen=True, slots=True)
class QuantizeOutcome:
    """What a method made.

    Attributes:
        entry: entry file of the result, in the request's folder.
        quantized_ops: operators that compute on quantized values; where only weights are stored in fewer bits,
            these weights.
        settings: facts beside the recipe, such as the library's version.
        layers: operators that compute on quantized values, in execution order, by names that ``Recipe.left_float``
            takes; empty for a weight-only precision.
        macs: how much of the arithmetic is in few bits; None for a weight-only precision.
        infos: kind and multiply-accumulates of each of ``layers``, in the same order.
    """

    entry: Path
    quantized_ops: int
    settings: dict[str, str]
    layers: tuple[str, ...] = ()
    macs: MacCount | None = None
    infos: tuple[LayerInfo, ...] = ()


class Quantize(Protocol):
    """The function of a method: writes the quantized artifact into ``request.folder``."""

    def __call__(self, request: QuantizeRequest) -> QuantizeOutcome: ...


@dataclass(frozen=True)
class MethodRow(Row):
    """A method, described without importing it.

    Attributes:
        format: artifact target that it reads and writes.
        precision: what it makes.
        needs_data: whether it observes activations on calibration samples.
        int8_io: whether it can quantize the inputs and outputs of the model too.
        takes: settings of a `Recipe` that it heeds, besides those that every method does.
    """

    format: str = ""
    precision: str = ""
    needs_data: bool = False
    int8_io: bool = False
    takes: tuple[str, ...] = ()


def _method(
    name: str,
    function: str,
    needs: tuple[str, ...],
    *,
    needs_data: bool = False,
    int8_io: bool = False,
    takes: tuple[str, ...] = (),
) -> MethodRow:
    target, _, precision = name.partition(":")
    extra = {"openvino": "quantize,openvino", "onnx": "quantize,onnxruntime"}.get(target, "quantize")
    return MethodRow(
        name, f"edgekit.quantizer.methods.{function}", extra, needs, target, precision, needs_data, int8_io, takes
    )


#: Algorithms of a weight-only precision that look at activations.
DATA_AWARE = ("awq", "scale", "awq-scale", "gptq")

#: What the static methods by NNCF heed.
_STATIC = (
    "model_kind",
    "target_device",
    "preset",
    "ranges",
    "bias_correction",
    "smooth_quant",
    "per_channel",
    "left_float",
    "samples",
    "seed",
)

#: What the weight-only methods by NNCF heed.
_EIGHT_BITS = ("symmetric", "left_float")
_FOUR_BITS = (*_EIGHT_BITS, "group_size", "ratio", "algorithm")

_NNCF_OV = ("nncf", "openvino")
_NNCF_ONNX = ("nncf", "onnx", "onnxruntime")
_AEQ = ("ai_edge_quantizer",)

METHODS = Registry[MethodRow](
    "quantization method",
    "edgekit.methods",
    (
        _method(
            "openvino:int8",
            "openvino_static:int8",
            _NNCF_OV,
            needs_data=True,
            takes=(*_STATIC, "activation_channels"),
        ),
        _method("openvino:int8-weights", "openvino_weights:int8", _NNCF_OV, takes=_EIGHT_BITS),
        _method("openvino:int4-weights", "openvino_weights:int4", _NNCF_OV, takes=_FOUR_BITS),
        _method("openvino:fp16", "openvino_float16:fp16", ("openvino",)),
        _method("openvino:bf16", "openvino_float16:bf16", ("openvino",)),
        _method("onnx:int8", "onnx_static:int8", _NNCF_ONNX, needs_data=True, takes=_STATIC),
        _method("onnx:int8-dynamic", "onnx_dynamic:int8", ("onnx", "onnxruntime")),
        _method("onnx:int8-weights", "onnx_weights:int8", _NNCF_ONNX, takes=_EIGHT_BITS),
        _method("onnx:int4-weights", "onnx_weights:int4", _NNCF_ONNX, takes=_FOUR_BITS),
        _method("onnx:fp16", "onnx_float16:fp16", ("onnx", "onnxruntime")),
        _method("onnx:bf16", "onnx_float16:bf16", ("onnx", "onnxruntime")),
        _method(
            "tflite:int8",
            "tflite_static:int8",
            _AEQ,
            needs_data=True,
            int8_io=True,
            takes=(
                "model_kind",
                "target_device",
                "ranges",
                "bias_correction",
                "per_channel",
                "left_float",
                "samples",
                "seed",
            ),
        ),
        _method("tflite:int8-dynamic", "tflite_weights:int8_dynamic", _AEQ, takes=("per_channel", "left_float")),
        _method("tflite:int8-weights", "tflite_weights:int8", _AEQ, takes=("per_channel", "left_float")),
        _method(
            "tflite:int4-weights",
            "tflite_weights:int4",
            _AEQ,
            takes=("per_channel", "left_float", "algorithm", "ratio"),
        ),
        _method("tflite:fp16", "tflite_weights:fp16", _AEQ, takes=("left_float",)),
    ),
)


def needs_data(row: MethodRow, recipe: Recipe) -> bool:
    """Whether a method needs calibration samples for a recipe: some ways to round weights look at activations."""
    return row.needs_data or needs_data_of(recipe)


def needs_data_of(recipe: Recipe) -> bool:
    """Whether the recipe rounds weights by looking at activations."""
    return recipe.algorithm in DATA_AWARE


def method_for(target: str, precision: str) -> MethodRow:
    """The method that makes a precision of a target.

    Raises:
        UsageError: that target cannot have that precision; the hint lists those it can.
    """
    rows = {row.precision: row for row in METHODS if row.format == target}
    if precision in rows:
        return rows[precision]
    targets = ", ".join(dict.fromkeys(row.format for row in METHODS))
    raise UsageError(
        "unknown-precision",
        f"{target} has no precision {precision!r}." if rows else f"there is no target {target!r} to quantize.",
        received=precision if rows else target,
        hint=f"Precisions of {target}: {', '.join(rows)}." if rows else f"Targets: {targets}.",
    )
