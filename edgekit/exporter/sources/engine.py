"""Models in a deployment format: the engine that runs them is the reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from edgekit.exporter.loading import Loaded, Loading, Record
from edgekit.exporter.sources._recording import Recorder
from edgekit.exporter.sources.pins import pinned_inputs
from edgekit.runtimes import OpenOptions, Runtime, Session, runtime_for
from edgekit.runtimes.base import Arrays
from edgekit.runtimes.widths import narrowed
from edgekit.surgery.base import Operator
from edgekit.surgery.registry import surgeon_for
from edgekit.surgery.taps import numbers, tap_groups
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
        return self._open(self.path)

    def twins(self) -> Mapping[str, Callable[[], Session]]:
        """LiteRT takes one thread unless it is told, so that two are another number; the others take all."""
        threads = 2 if self.kind == "tflite" else 1
        return {"threads": lambda: self._open(self.path, threads)}

    def run_layers(self, inputs: Mapping[str, np.ndarray], record: Record) -> Arrays:
        """See `Loaded`: the layers are operators, whose tensors become outputs of the file."""
        given = narrowed(self.signature, inputs)
        batch = min((len(array) for array in given.values()), default=1)
        recorder = Recorder(record, batch)
        outputs: Arrays = {}
        for session, makers in self._tapped:
            outputs = session.run(given)
            for name, operator in makers.items():
                found = outputs.get(name, np.empty(0))
                alone = batch == 1 and found.shape[:1] != (1,)  # a sample need not have an axis of its own inside
                recorder(operator.name, operator.kind, (found[None] if alone else found,))
        return {spec.name: outputs[spec.name] for spec in self.signature.outputs if spec.name in outputs}

    @cached_property
    def _tapped(self) -> list[tuple[Session, dict[str, Operator]]]:
        """The file with some of its tensors as outputs, several times, and the operators that compute these."""
        surgeon = surgeon_for(self.kind)
        graph = surgeon.read(self.path)
        maker = {name: operator for operator in graph.operators for name in operator.outputs}
        opened = []
        for number, group in enumerate(tap_groups(graph, numbers(graph))):
            folder = self.path.parent / f"layers-{number}"
            folder.mkdir()
            tapped = self._open(surgeon.tap(self.path, group, folder))
            opened.append((tapped, {name: maker[name] for name in group}))
        return opened

    def _open(self, path: Path, threads: int | None = None) -> Session:
        runtime: Runtime = runtime_for(self.kind).load()()
        return runtime.open(path, OpenOptions(threads, precision="f32"))


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
