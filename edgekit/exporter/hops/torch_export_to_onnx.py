"""A program of ``torch.export`` to ONNX, by torch's exporter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.hops._torch import program_for, to_onnx

if TYPE_CHECKING:
    from edgekit.exporter.graph import HopRequest


def convert(request: HopRequest) -> Path:
    """Write ``model.onnx``; what is free in the program and the signature stays free.

    Raises:
        ModelError: the file cannot be used.
        JobFailed: torch cannot export the program, with torch's reason.
    """
    return to_onnx(program_for(request), request)
