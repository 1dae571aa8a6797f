"""ONNX to OpenVINO IR, by OpenVINO's reader."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.hops._openvino import save
from edgekit.exporter.hops._quantized import refuse_quantized_openvino

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest


def convert(request: HopRequest) -> Path:
    """Write ``model.xml`` and ``model.bin``; free dimensions stay free.

    Raises:
        ModelError: the model is quantized already.
    """
    import openvino

    model = openvino.Core().read_model(request.model)
    refuse_quantized_openvino(model)
    return save(model, request.signature, request.folder)
