"""OpenVINO IR to ONNX, by an own table of operators: no library that does it runs with today's ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.hops._ir import pin, translate
from edgekit.exporter.hops._onnx import opset_of, save
from edgekit.exporter.hops._quantized import refuse_quantized_openvino

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest


def convert(request: HopRequest) -> Path:
    """Write ``model.onnx``; free dimensions stay free unless the signature fixes them.

    Raises:
        ModelError: the model is quantized, or has an operator that is not in the tables.
    """
    import openvino
    from openvino._offline_transformations import apply_moc_transformations

    model = openvino.Core().read_model(request.model)
    refuse_quantized_openvino(model)
    pin(model, request.signature)
    apply_moc_transformations(model, cf=True)  # constants are folded, so most shapes and axes become plain numbers
    return save(translate(model, request.signature, opset_of(request)), request)
