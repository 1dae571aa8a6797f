"""The job that opens a model file: one reader per kind, each with its engine alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.inspection import keras_, onnx_, openvino_, tflite_
from edgekit.inspection.facts import Facts
from edgekit.jobs.protocol import Job, Workspace
from edgekit.types import Blob

_READERS: Mapping[str, Callable[[Path], Facts]] = {
    "keras": keras_.read,
    "onnx": onnx_.read,
    "openvino": openvino_.read,
    "tflite": tflite_.read,
}


@dataclass(frozen=True)
class InspectJob(Job[Facts]):
    """Describe a model file.

    Attributes:
        kind: of the file.
        files: the entry file first.
    """

    kind: str
    files: tuple[Blob, ...]

    def run(self, work: Workspace) -> Facts:
        return _READERS[self.kind](work.path(self.files[0]))
