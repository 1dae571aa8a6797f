"""ONNX to OpenVINO IR, by OpenVINO's reader."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.hops._openvino import save

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest


def convert(request: HopRequest) -> Path:
    """Write ``model.xml`` and ``model.bin``; free dimensions stay free."""
    import openvino

    return save(openvino.Core().read_model(request.model), request.signature, request.folder)
