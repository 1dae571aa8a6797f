"""OpenVINO IR to OpenVINO IR: read, optimised, and written with the names of the signature."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.hops._ir import pin
from edgekit.exporter.hops._openvino import save
from edgekit.exporter.hops._quantized import refuse_quantized_openvino

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest


def convert(request: HopRequest) -> Path:
    """Write ``model.xml`` and ``model.bin``; weights stored in float16 become float32.

    Raises:
        ModelError: the model is quantized.
    """
    import openvino

    model = openvino.Core().read_model(request.model)
    refuse_quantized_openvino(model)
    pin(model, request.signature)
    return save(model, request.signature, request.folder)
