"""Jobs that look into deployable files, in a worker: each imports its format's library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.jobs.protocol import Job, Workspace
from edgekit.surgery.base import Graph
from edgekit.surgery.registry import surgeon_for
from edgekit.types import Blob


@dataclass(frozen=True)
class ReadGraphJob(Job[Graph]):
    """The graph of an artifact.

    Attributes:
        target: its format.
        files: the entry file first.
    """

    target: str
    files: tuple[Blob, ...]

    def run(self, work: Workspace) -> Graph:
        return surgeon_for(self.target).read(work.path(self.files[0]))


@dataclass(frozen=True)
class Piece:
    """A file that was made from another.

    Attributes:
        files: the entry file first.
    """

    files: tuple[Blob, ...]


@dataclass(frozen=True)
class TapJob(Job[Piece]):
    """The same artifact with more outputs.

    Attributes:
        target: its format.
        files: the entry file first.
        tensors: that become outputs too.
    """

    target: str
    files: tuple[Blob, ...]
    tensors: tuple[str, ...]

    def run(self, work: Workspace) -> Piece:
        folder = work.folder / "tapped"
        folder.mkdir()
        return _piece(work, surgeon_for(self.target).tap(work.path(self.files[0]), self.tensors, folder))


@dataclass(frozen=True)
class CutJob(Job[Piece]):
    """A piece of an artifact.

    Attributes:
        target: its format.
        files: the entry file first.
        inputs: tensors that become inputs, and the shape of each.
        outputs: tensors that become outputs.
    """

    target: str
    files: tuple[Blob, ...]
    inputs: dict[str, tuple[int, ...]]
    outputs: tuple[str, ...]

    def run(self, work: Workspace) -> Piece:
        folder = work.folder / "cut"
        folder.mkdir()
        entry = surgeon_for(self.target).cut(work.path(self.files[0]), self.inputs, self.outputs, folder)
        return _piece(work, entry)


def _piece(work: Workspace, entry: Path) -> Piece:
    """Its files, moved over the links to the whole model's, which stays whole elsewhere."""
    paths = (entry, *sorted(path for path in entry.parent.iterdir() if path != entry))
    for path in paths:
        path.replace(work.folder / path.name)
    return Piece(tuple(work.blob(path.name) for path in paths))
