"""TFLite to OpenVINO IR, by OpenVINO's reader."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import ModelError
from edgekit.exporter.hops._openvino import save
from edgekit.exporter.hops._quantized import refuse_quantized_tflite

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest

#: How OpenVINO begins the sentence that names an operator it cannot read.
_LACKS = "No translator found for "


def convert(request: HopRequest) -> Path:
    """Write ``model.xml`` and ``model.bin``; free dimensions stay free.

    Raises:
        ModelError: the file is quantized, or has an operator that OpenVINO cannot read.
    """
    import openvino

    refuse_quantized_tflite(request.model)
    try:
        model = openvino.Core().read_model(request.model)
    except RuntimeError as err:
        _, found, rest = str(err).partition(_LACKS)
        if not found:
            raise
        raise ModelError(
            "unsupported-operator",
            "OpenVINO cannot read an operator of this file.",
            received=f"operator {rest.split()[0]}",
            hint="Choose another --route, or another --target.",
        ) from err
    return save(model, request.signature, request.folder)
