"""Models in a deployment format: the engine that runs them is the reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.exporter.loading import Loaded, Loading
from edgekit.exporter.sources.pins import pinned_inputs
from edgekit.runtimes import OpenOptions, Runtime, Session, runtime_for
from edgekit.types import Signature


@dataclass(frozen=True)
class EngineModel(Loaded):
    """A file of a deployment format.

    Attributes:
        kind: ``onnx``, ``openvino`` or ``tflite``.
        signature: as the engine shows it, pins applied.
        framework: the engine and its version.
        path: the entry file.
    """

    kind: str
    signature: Signature
    framework: str
    path: Path

    @property
    def parameters(self) -> None:
        """Engines do not tell; `edgekit.inspect` reads the file."""

    def open(self) -> Session:
        runtime: Runtime = runtime_for(self.kind).load()()
        return runtime.open(self.path, OpenOptions(precision="f32"))


def load_onnx(path: Path | None, loading: Loading) -> EngineModel:
    """An ``.onnx`` file, by onnxruntime."""
    return _load("onnx", path, loading)


def load_openvino(path: Path | None, loading: Loading) -> EngineModel:
    """An OpenVINO ``.xml`` file with its ``.bin``."""
    return _load("openvino", path, loading)


def load_tflite(path: Path | None, loading: Loading) -> EngineModel:
    """A ``.tflite`` file, by LiteRT."""
    return _load("tflite", path, loading)


def _load(kind: str, path: Path | None, loading: Loading) -> EngineModel:
    assert path is not None
    runtime: Runtime = runtime_for(kind).load()()
    with runtime.open(path, OpenOptions(precision="f32")) as session:
        signature = session.signature
    signature = replace(signature, inputs=pinned_inputs(signature, loading.pins))
    return EngineModel(kind, signature, f"{runtime.name} {runtime.version()}", path)
