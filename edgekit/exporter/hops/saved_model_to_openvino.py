"""TensorFlow SavedModel to OpenVINO IR, by OpenVINO's reader; TensorFlow is not imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.hops._openvino import save
from edgekit.exporter.hops._saved_model import unpacked

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest


def convert(request: HopRequest) -> Path:
    """Write ``model.xml`` and ``model.bin``; free dimensions stay free."""
    import openvino

    signature = request.signature
    with unpacked(request.model) as folder:
        read = openvino.Core().read_model(folder)
        # A SavedModel names inputs and outputs, but has no order of them.
        results = [read.output(spec.name).get_node() for spec in signature.outputs]
        parameters = [read.input(spec.name).get_node() for spec in signature.inputs]
        return save(openvino.Model(results, parameters, "model"), signature, request.folder)
