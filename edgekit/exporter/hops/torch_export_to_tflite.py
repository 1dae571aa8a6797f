"""A program of ``torch.export`` to TFLite, by litert-torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.hops._names import litert_names
from edgekit.exporter.hops._torch import named, refuse_loops, zeros
from edgekit.exporter.sources.torch_ import load_program

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest

#: Most time steps of a recurrent layer: the converter writes it out.
MOST_STEPS = 128


def convert(request: HopRequest) -> Path:
    """Write ``model.tflite``; a free batch becomes 1, and images keep the order of their axes.

    Raises:
        ModelError: a dimension besides the batch is free, or a recurrent layer has too many steps.
    """
    import litert_torch

    examples = zeros(request.signature, 1)
    loaded = load_program(request.model, replace(request.loading, pins={}))  # the pins are in the signature
    refuse_loops(loaded.program, MOST_STEPS)
    path = request.folder / "model.tflite"
    wide = any(spec.dtype == "int64" for spec in (*request.signature.inputs, *request.signature.outputs))
    with litert_names():
        converted = litert_torch.convert(
            named(loaded, request.signature), sample_kwargs=examples, **({"enable_x64": True} if wide else {})
        )
        converted.export(str(path))
    return path
