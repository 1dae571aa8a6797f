"""Which formats can be looked into: a module of this folder and one row here."""

from __future__ import annotations

from typing import cast

from edgekit.registry import Registry, Row
from edgekit.surgery.base import Surgeon

SURGEONS = Registry[Row](
    "format",
    "edgekit.surgeons",
    (
        Row("onnx", "edgekit.surgery.onnx_:OnnxSurgeon", "export-onnx", ("onnx",)),
        Row("openvino", "edgekit.surgery.openvino_:OpenVinoSurgeon", "openvino", ("openvino",)),
        Row("tflite", "edgekit.surgery.tflite_:TfliteSurgeon", "tflite", ("ai_edge_litert", "flatbuffers")),
    ),
)


def surgeon_for(target: str) -> Surgeon:
    """The surgeon of a format.

    Raises:
        UsageError: nothing can look into that format.
        MissingError: the library that reads it is not installed.
    """
    SURGEONS[target].require()
    return cast(Surgeon, SURGEONS[target].load()())
