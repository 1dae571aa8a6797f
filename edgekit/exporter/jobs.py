"""The job that runs one hop."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekit.exporter.graph import HOPS, Convert, HopRequest
from edgekit.exporter.loading import Loading
from edgekit.jobs.protocol import Job, Progress, Workspace
from edgekit.types import Blob, Signature


@dataclass(frozen=True)
class ConvertResult:
    """Files of the next representation, the entry file first."""

    files: tuple[Blob, ...]


@dataclass(frozen=True)
class ConvertJob(Job[ConvertResult]):
    """Run one hop.

    Attributes:
        hop: name in the registry.
        files: the representation it starts from, the entry file first.
        signature: of the source.
        opset: ONNX operator set asked for.
        loading: how to load the source, for a hop that starts from it.
    """

    hop: str
    files: tuple[Blob, ...]
    signature: Signature
    opset: int | None = None
    loading: Loading = field(default_factory=Loading)

    def run(self, work: Workspace) -> ConvertResult:
        work.progress(Progress(self.hop))
        convert: Convert = HOPS[self.hop].load()
        folder = work.folder / "out"
        folder.mkdir()
        entry = convert(HopRequest(work.path(self.files[0]), self.signature, folder, self.opset, self.loading))
        companions = sorted(path for path in folder.iterdir() if path != entry)
        for path in (entry, *companions):
            path.replace(work.folder / path.name)
        return ConvertResult(tuple(work.blob(path.name) for path in (entry, *companions)))
