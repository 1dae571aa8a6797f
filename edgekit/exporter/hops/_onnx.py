"""The last steps of every hop that makes ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.exporter.hops._names import FILE_STEM

if TYPE_CHECKING:
    import onnx

    from edgekit.exporter.graph import HopRequest

#: Operator set unless another is asked for: what onnxruntime 1.14 and newer and every current converter read.
OPSET = 18
