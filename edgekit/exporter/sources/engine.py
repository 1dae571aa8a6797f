"""Models in a deployment format: the engine that runs them is the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.errors import UsageError
from edgekit.exporter.loading import Loaded, Loading
from edgekit.runtimes import OpenOptions, Runtime, Session, runtime_for
from edgekit.types import Signature, TensorSpec


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
    return EngineModel(kind, pinned(signature, loading.pins), f"{runtime.name} {runtime.version()}", path)


def pinned(signature: Signature, pins: Mapping[str, TensorSpec]) -> Signature:
    """A signature with free lengths of some inputs set; outputs keep what they declare.

    Raises:
        UsageError: there is no such input, or the file fixes another length.
    """
    unknown = set(pins) - {spec.name for spec in signature.inputs}
    if unknown:
        raise UsageError(
            "unknown-input",
            f"the model has no input {sorted(unknown)[0]!r}.",
            received=", ".join(sorted(pins)),
            hint=f"Its inputs are: {', '.join(map(str, signature.inputs))}.",
        )
    return replace(signature, inputs=tuple(_pinned(spec, pins.get(spec.name, spec)) for spec in signature.inputs))


def _pinned(spec: TensorSpec, pin: TensorSpec) -> TensorSpec:
    fits = len(pin.shape) == len(spec.shape) and all(
        have is None or have == want for have, want in zip(spec.shape, pin.shape, strict=True)
    )
    if not fits:
        raise UsageError(
            "wrong-pin",
            f"input {spec} cannot have this shape.",
            received=str(pin),
            hint="Keep the lengths that the model fixes and choose only the free ones (?).",
        )
    return replace(spec, shape=pin.shape)
