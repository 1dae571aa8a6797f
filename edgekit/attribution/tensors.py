"""What lies inside an artifact: its graph, and the values of its tensors on some samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.errors import EdgekitError, InternalError
from edgekit.exporter.graph import conversion_context
from edgekit.jobs.process import Context
from edgekit.runtimes import OpenOptions, runtime_for
from edgekit.runtimes.jobs import TensorsJob
from edgekit.surgery.base import Graph
from edgekit.surgery.jobs import ReadGraphJob, TapJob
from edgekit.surgery.taps import computed, numbers, tap_groups
from edgekit.types import Blob
from edgekit.workbench import Workbench

#: Groups of taps that an engine may refuse; each is halved, down to the tensor that it cannot show.
MOST_REFUSED = 16


@dataclass(frozen=True, slots=True)
class Seen:
    """What taps show.

    Attributes:
        tensors: by name, ``(inferences, ...)``, memory-mapped, in the order of execution.
        outputs: of the artifact in each run with taps, which may have changed them.
    """

    tensors: Mapping[str, np.ndarray]
    outputs: tuple[Mapping[str, np.ndarray], ...]


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

    def look(self, inputs: Mapping[str, Blob], tensors: Sequence[str] | None = None) -> Seen:
        """Run it with taps, as many at a time as `edgekit.surgery.taps` allows.

        Args:
            inputs: one ``.npy`` per input name, samples first.
            tensors: these alone; None for every computed tensor of floating point, or quantized.
        """
        found: dict[str, np.ndarray] = {}
        outputs = []
        wanted, longest = numbers(self.graph) if tensors is None else tensors, _longest(inputs, self.bench)
        waiting, refused = list(tap_groups(self.graph, wanted, longest)), 0
        while waiting:
            group = waiting.pop(0)
            try:
                given = self.outputs(inputs, self.tapped(group))
            except InternalError:
                raise
            except EdgekitError:  # an engine may crash on a tap that it cannot compile: look at the others
                refused += 1
                if refused > MOST_REFUSED:
                    raise
                middle = len(group) // 2
                waiting[:0] = [group[:middle], group[middle:]] if middle else []
                continue
            found |= {name: given[name] for name in group if name in given}
            outputs.append({name: given[name] for name in self.graph.outputs if name in given})
        return Seen({name: found[name] for name in computed(self.graph) if name in found}, tuple(outputs))

    def values(self, inputs: Mapping[str, Blob], tensors: Sequence[str] | None = None) -> Mapping[str, np.ndarray]:
        """Tensors by name, see `look`."""
        return self.look(inputs, tensors).tensors

    def outputs(
        self, inputs: Mapping[str, Blob], files: tuple[Blob, ...] | None = None, *, whole: bool = False
    ) -> dict[str, np.ndarray]:
        """What the artifact gives as it is, or another made of it.

        Args:
            inputs: one ``.npy`` per input name, samples first.
            files: of the other.
            whole: see `TensorsJob`.
        """
        job = TensorsJob(runtime_for(self.target).name, files or self.files, dict(inputs), self.options, whole)
        made = self.bench.executor.run_fresh(job, self.context)
        paths = {name: self.bench.executor.path(blob) for name, blob in made.tensors.items()}
        return {name: np.load(path, mmap_mode="r", allow_pickle=False) for name, path in paths.items()}

    def tapped(self, tensors: Sequence[str]) -> tuple[Blob, ...]:
        """Files of the same artifact with more outputs."""
        job = TapJob(self.target, self.files, tuple(tensors))
        return self.bench.executor.run(job, conversion_context(None)).files


def look_into(target: str, files: tuple[Blob, ...], context: Context, options: OpenOptions, bench: Workbench) -> Opened:
    """Read the graph of an artifact.

    Raises:
        UsageError: nothing can look into this format.
        ModelError: the file cannot be read.
    """
    graph = bench.executor.run(ReadGraphJob(target, files), conversion_context(None))
    return Opened(target, files, graph, context, options, bench)


def _longest(inputs: Mapping[str, Blob], bench: Workbench) -> int:
    """The longest axis of any input besides its samples."""
    shapes = [np.load(bench.executor.path(blob), mmap_mode="r").shape[1:] for blob in inputs.values()]
    return max((length for shape in shapes for length in shape), default=1)
