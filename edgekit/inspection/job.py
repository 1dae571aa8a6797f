"""The job that opens a model file with its engine and reads what stands in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.inspection import onnx_, openvino_, tflite_
from edgekit.inspection.facts import Graph
from edgekit.jobs.protocol import Job, Workspace
from edgekit.runtimes import OpenOptions, Runtime, runtime_for
from edgekit.types import Blob, Signature

#: Readers of the deployment formats; every other kind is described by its loader.
READERS: Mapping[str, Callable[[Path], Graph]] = {
    "onnx": onnx_.read,
    "openvino": openvino_.read,
    "tflite": tflite_.read,
}


@dataclass(frozen=True, slots=True)
class Inspected:
    """The outcome of opening a file.

    Attributes:
        signature: as the runtime adapter shows it: quantized inputs and outputs appear as float32.
        engine: version of the engine.
    """

    signature: Signature
    engine: str
    graph: Graph


@dataclass(frozen=True)
class InspectJob(Job[Inspected]):
    """Describe a model file.

    Attributes:
        kind: of the file.
        files: the entry file first.
    """

    kind: str
    files: tuple[Blob, ...]

    def run(self, work: Workspace) -> Inspected:
        path = work.path(self.files[0])
        runtime: Runtime = runtime_for(self.kind).load()()
        with runtime.open(path, OpenOptions()) as session:
            signature = session.signature
        return Inspected(signature, runtime.version(), READERS[self.kind](path))
