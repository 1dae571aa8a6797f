"""ONNX to ONNX: folded, cleaned and checked, in the operator set asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import ModelError
from edgekit.exporter.hops._onnx import OPSET, opset_of, save
from edgekit.exporter.hops._onnx_file import load
from edgekit.exporter.hops._quantized import refuse_quantized_onnx

if TYPE_CHECKING:
    import onnx

    from edgekit.exporter.graph import HopRequest
    from edgekit.types import Signature


def convert(request: HopRequest) -> Path:
    """Write ``model.onnx``, weights inside; the file's own operator set stays unless it is too old.

    Raises:
        ModelError: the model is quantized, or cannot be written in the operator set asked for.
    """
    model = load(request.model)
    refuse_quantized_onnx(model)
    written = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    wanted = opset_of(request) if request.opset is not None else max(written, OPSET)
    if wanted != written:
        model = _in_opset(model, written, wanted)
    _pin(model.graph, request.signature)
    return save(model, replace(request, opset=wanted))


def _in_opset(model: onnx.ModelProto, written: int, wanted: int) -> onnx.ModelProto:
    """The model in another operator set, by ONNX' own converter, which lacks some older operators."""
    from onnx import inliner, version_converter

    try:
        return version_converter.convert_version(inliner.inline_local_functions(model), wanted)
    except (RuntimeError, ValueError) as err:
        raise ModelError(
            "opset-not-written",
            f"ONNX' converter cannot bring this model from operator set {written} to {wanted}.",
            received=f"opset {written}",
            hint=f"Export the model to ONNX again with operator set {max(wanted, OPSET)}, or choose another --target.",
        ) from err


def _pin(graph: onnx.GraphProto, signature: Signature) -> None:
    """Drop weights from the inputs, and fix the dimensions that the signature fixes."""
    weights = {tensor.name for tensor in graph.initializer}
    for index in reversed(range(len(graph.input))):
        if graph.input[index].name in weights:  # as files before IR version 4 have them
            del graph.input[index]
    pinned = False
    for value, spec in zip(graph.input, signature.inputs, strict=True):
        for dim, length in zip(value.type.tensor_type.shape.dim, spec.shape, strict=False):
            if length is not None and dim.dim_value != length:
                dim.dim_value = length
                pinned = True
    if pinned:  # recorded shapes of what depends on it no longer hold
        del graph.value_info[:]
        for value, spec in zip(graph.output, signature.outputs, strict=True):
            for dim, length in zip(value.type.tensor_type.shape.dim, spec.shape, strict=False):
                if length is None and not dim.dim_param:
                    dim.Clear()
