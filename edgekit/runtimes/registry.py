"""Which runtimes there are. Part of the device core."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekit.errors import MissingError
from edgekit.registry import Registry, Row
from edgekit.runtimes.base import Runtime


@dataclass(frozen=True)
class RuntimeRow(Row):
    """A runtime, described without importing it.

    Attributes:
        formats: artifact targets or source kinds that it opens.
        travels: whether it is part of the device core; source frameworks are not.
        least: oldest version of the engine that the adapter works with; empty where any does. A device has no
            metadata of edgekit that would tell.
    """

    formats: tuple[str, ...] = ()
    travels: bool = True
    least: str = ""


def _framework(name: str, runtime: str, kind: str) -> RuntimeRow:
    target = f"edgekit.exporter.sources.file_runtimes:{runtime}"
    return RuntimeRow(name, target, name, (name,), (kind,), travels=False)


RUNTIMES = Registry(
    "runtime",
    "edgekit.runtimes",
    (
        _framework("jax", "JaxRuntime", "jax.export"),
        _framework("keras", "KerasRuntime", "keras"),
        RuntimeRow(
            "onnxruntime",
            "edgekit.runtimes.onnxruntime_:OnnxRuntime",
            "onnxruntime",
            ("onnxruntime",),
            ("onnx",),
            least="1.19",
        ),
        RuntimeRow(
            "openvino",
            "edgekit.runtimes.openvino_:OpenVinoRuntime",
            "openvino",
            ("openvino",),
            ("openvino",),
            least="2025.0",
        ),
        RuntimeRow(
            "tflite",
            "edgekit.runtimes.tflite_:TfliteRuntime",
            "tflite",
            ("ai_edge_litert|tflite_runtime|tensorflow",),
            ("tflite",),
        ),
        _framework("torch", "TorchRuntime", "torch.export"),
    ),
)


def installed_runtime(name: str) -> Runtime:
    """A runtime of this environment, imported.

    Raises:
        UsageError: there is none of this name.
        MissingError: its engine is not installed, or older than the adapter works with.
    """
    row = RUNTIMES[name]
    runtime: Runtime = row.load()()
    version = runtime.version()
    if row.least and _release(version) < _release(row.least):
        raise MissingError(
            "engine-too-old",
            f"{name} {version} is older than edgekit works with.",
            received=version,
            hint=f"Install {name} {row.least} or newer.",
        )
    return runtime


def _release(version: str) -> tuple[int, ...]:
    """Its numbers, ``(2025, 3)`` for ``2025.3.0-19807``."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def runtime_for(target: str) -> RuntimeRow:
    """The first runtime that opens a target: ``onnxruntime`` for ``onnx``.

    Raises:
        UsageError: no runtime opens it.
    """
    for row in RUNTIMES:
        if target in row.formats:
            return row
    return RUNTIMES[target]  # raises, and names the ones there are
