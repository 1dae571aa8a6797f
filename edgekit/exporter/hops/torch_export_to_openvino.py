"""A program of ``torch.export`` to OpenVINO IR, by OpenVINO's reader."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.hops._openvino import save
from edgekit.exporter.hops._torch import program_for, refuse_loops
from edgekit.exporter.sources._torch_trace import input_shapes

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest

#: Most time steps of a recurrent layer: the reader writes it out, and a file through ONNX keeps it whole.
MOST_STEPS = 32


def convert(request: HopRequest) -> Path:
    """Write ``model.xml`` and ``model.bin``; what is free in the program and the signature stays free.

    Raises:
        ModelError: a recurrent layer has too many steps, or a free number of them.
    """
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    program = program_for(request)
    refuse_loops(program, MOST_STEPS)
    shapes = input_shapes(program)
    # What convert_model does, without its telemetry.
    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchFXPythonDecoder.from_exported_program(program)  # the graph refers to it until it is converted
    model = frontend.convert(frontend.load(decoder))
    # The reader frees every length of an input that has one free length.
    declared = [
        openvino.PartialShape([length if isinstance(length, int) else -1 for length in shape]) for shape in shapes
    ]
    model.reshape(dict(zip(model.inputs, declared, strict=True)))
    return save(model, request.signature, request.folder)
