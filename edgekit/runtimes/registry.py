"""Which runtimes there are. Part of the device core."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.registry import Registry, Row


@dataclass(frozen=True)
class RuntimeRow(Row):
    """A runtime, described without importing it.

    Attributes:
        formats: artifact targets or source kinds that it opens.
        travels: whether it is part of the device core; source frameworks are not.
    """

    formats: tuple[str, ...] = ()
    travels: bool = True


RUNTIMES = Registry(
    "runtime",
    "edgekit.runtimes",
    (
        RuntimeRow(
            "keras",
            "edgekit.exporter.sources.keras_runtime:KerasRuntime",
            "keras",
            ("keras",),
            ("keras",),
            travels=False,
        ),
        RuntimeRow(
            "onnxruntime", "edgekit.runtimes.onnxruntime_:OnnxRuntime", "onnxruntime", ("onnxruntime",), ("onnx",)
        ),
        RuntimeRow("openvino", "edgekit.runtimes.openvino_:OpenVinoRuntime", "openvino", ("openvino",), ("openvino",)),
        RuntimeRow("tflite", "edgekit.runtimes.tflite_:TfliteRuntime", "tflite", ("ai_edge_litert",), ("tflite",)),
    ),
)


def runtime_for(target: str) -> RuntimeRow:
    """The first runtime that opens a target: ``onnxruntime`` for ``onnx``.

    Raises:
        UsageError: no runtime opens it.
    """
    for row in RUNTIMES:
        if target in row.formats:
            return row
    return RUNTIMES[target]  # raises, and names the ones there are
