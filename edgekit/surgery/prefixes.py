"""Prefixes of a graph: what its first operators compute, as files of their own."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.jobs.protocol import Job, Workspace
from edgekit.surgery.base import Graph
from edgekit.surgery.jobs import Piece
from edgekit.surgery.needs import upstream
from edgekit.surgery.registry import surgeon_for
from edgekit.types import Blob


def open_ends(graph: Graph, count: int) -> tuple[str, ...]:
    """Tensors that the first operators compute and that are needed behind them.

    Args:
        graph: with its operators in the order of execution.
        count: operators, at least one.
    """
    made = [name for operator in graph.operators[:count] for name in operator.outputs]
    later = {name for operator in graph.operators[count:] for name in operator.inputs} | set(graph.outputs)
    return tuple(name for name in dict.fromkeys(made) if name in later)


@dataclass(frozen=True)
class CutPrefixesJob(Job[Piece]):
    """Prefixes of an artifact whose graph is one file.

    Attributes:
        target: its format.
        files: the entry file first.
        inputs: shape of each input of the graph.
        counts: operators of each prefix; all of them for the whole.
    """

    target: str
    files: tuple[Blob, ...]
    inputs: dict[str, tuple[int, ...]]
    counts: tuple[int, ...]

    def run(self, work: Workspace) -> Piece:
        """The files in the order of ``counts``."""
        surgeon, path = surgeon_for(self.target), work.path(self.files[0])
        graph = surgeon.read(path)
        made = []
        for count in self.counts:
            ends = open_ends(graph, count)
            given = upstream(graph, ends)
            inputs = {name: shape for name, shape in self.inputs.items() if name in given}
            folder = work.folder / f"prefix-{count}"
            folder.mkdir()
            entry = surgeon.cut(path, inputs, ends, folder)
            made.append(entry.replace(work.folder / f"prefix-{count}{entry.suffix}").name)
        return Piece(tuple(work.blob(name) for name in made))
