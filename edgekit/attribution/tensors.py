"""What lies inside an artifact: its graph, and the values of its tensors on some samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from edgekit.exporter.graph import conversion_context
from edgekit.jobs.process import Context
from edgekit.runtimes import OpenOptions, runtime_for
from edgekit.runtimes.jobs import TensorsJob
from edgekit.surgery.base import Graph
from edgekit.surgery.jobs import ReadGraphJob, TapJob
from edgekit.types import Blob, TensorSpec
from edgekit.workbench import Workbench

#: Tensors that are tapped together hold at most so many bytes of one sample, so that memory stays near what the
#: engine itself needs.
TAPPED_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Opened:
    """An artifact that is looked into.

    Attributes:
        target: its format.
        files: blobs of the executor, the entry file first.
        graph: its operators and tensors.
        context, options: where and how it runs.
        bench: of this command.
    """

    target: str
    files: tuple[Blob, ...]
    graph: Graph
    context: Context
    options: OpenOptions
    bench: Workbench

    def values(self, inputs: Mapping[str, Blob], tensors: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Tensors by name, ``(inferences, ...)``, memory-mapped, in the order of execution.

        Args:
            inputs: one ``.npy`` per input name, samples first.
            tensors: these alone; None for every computed tensor of floating point, or quantized.
        """
        found: dict[str, np.ndarray] = {}
        for group in self._groups(self.computed() if tensors is None else tensors):
            found |= self._tapped(inputs, group)
        return {name: found[name] for name in self.order() if name in found}

    def computed(self) -> list[str]:
        """Tensors of floating point, and those of integers that stand for such."""
        specs = self.graph.tensors
        return [
            name
            for name in self.order()
            if (name in specs and specs[name].dtype.startswith("float")) or name in self.graph.quantized
        ]

    def order(self) -> list[str]:
        """Every tensor that an operator computes."""
        return list(dict.fromkeys(name for operator in self.graph.operators for name in operator.outputs))

    def outputs(self, inputs: Mapping[str, Blob], files: tuple[Blob, ...] | None = None) -> dict[str, np.ndarray]:
        """What the artifact gives as it is, or another made of it."""
        job = TensorsJob(runtime_for(self.target).name, files or self.files, dict(inputs), self.options)
        made = self.bench.executor.run_fresh(job, self.context)
        paths = {name: self.bench.executor.path(blob) for name, blob in made.tensors.items()}
        return {name: np.load(path, mmap_mode="r", allow_pickle=False) for name, path in paths.items()}

    def tapped(self, tensors: Sequence[str]) -> tuple[Blob, ...]:
        """Files of the same artifact with more outputs."""
        job = TapJob(self.target, self.files, tuple(tensors))
        return self.bench.executor.run(job, conversion_context(None)).files

    def _tapped(self, inputs: Mapping[str, Blob], tensors: Sequence[str]) -> dict[str, np.ndarray]:
        values = self.outputs(inputs, self.tapped(tensors))
        return {name: values[name] for name in tensors if name in values}

    def _groups(self, tensors: Sequence[str]) -> Iterator[list[str]]:
        group: list[str] = []
        held = 0
        for name in tensors:
            size = _bytes(self.graph.tensors.get(name))
            if group and held + size > TAPPED_BYTES:
                yield group
                group, held = [], 0
            group.append(name)
            held += size
        if group:
            yield group


def look_into(target: str, files: tuple[Blob, ...], context: Context, options: OpenOptions, bench: Workbench) -> Opened:
    """Read the graph of an artifact.

    Raises:
        UsageError: nothing can look into this format.
        ModelError: the file cannot be read.
    """
    graph = bench.executor.run(ReadGraphJob(target, files), conversion_context(None))
    return Opened(target, files, graph, context, options, bench)


def _bytes(spec: TensorSpec | None) -> int:
    """Of one sample, where free lengths are 1: an estimate."""
    return 0 if spec is None else prod(length or 1 for length in spec.shape) * np.dtype(spec.dtype).itemsize
