"""Multiply-accumulates of a model file of any format."""

from __future__ import annotations

from pathlib import Path

from benchmarks import quantization_macs_onnx, quantization_macs_openvino, quantization_macs_tflite
from benchmarks.quantization_macs import Macs


def count(target: str, path: Path, steps: int = 1) -> Macs:
    """Count a file.

    Args:
        target: ``onnx``, ``openvino`` or ``tflite``.
        path: entry file.
        steps: how often a loop's body runs.
    """
    formats = {
        "onnx": quantization_macs_onnx.count,
        "openvino": quantization_macs_openvino.count,
        "tflite": quantization_macs_tflite.count,
    }
    return formats[target](path, steps)
