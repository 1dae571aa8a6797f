"""TFLite to TFLite: the same file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.hops._quantized import refuse_quantized_tflite

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest


def convert(request: HopRequest) -> Path:
    """Write ``model.tflite``, byte for byte as it was.

    Raises:
        ModelError: the file is quantized.
    """
    refuse_quantized_tflite(request.model)
    path = request.folder / "model.tflite"
    shutil.copyfile(request.model, path)
    return path
