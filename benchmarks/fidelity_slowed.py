"""ONNX Runtime, slowed: what a comparison has to find. Added as third parties add runtimes, by entry points.

Each timed inference is followed by a busy wait of a share of the time that it took itself, in the same call.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.onnxruntime_ import OnnxRuntime, OnnxSession
from edgekit.runtimes.registry import RuntimeRow

#: How much slower, in percent.
PERCENTS = (5, 10)


def name(percent: int) -> str:
    """Of the runtime in the registry."""
    return f"onnxruntime-slowed-{percent}"


def install(folder: Path) -> Path:
    """Make a folder that holds a distribution with the slowed runtimes, for ``PYTHONPATH``.

    Args:
        folder: where; it is made.
    """
    info = folder / "fidelity_slowed-1.0.dist-info"
    info.mkdir(parents=True)
    lines = [f"{name(percent)} = fidelity_slowed:ROW_{percent}" for percent in PERCENTS]
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fidelity-slowed\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(["[edgekit.runtimes]", *lines, ""]))
    return folder


def slowed(infer: Callable[[], object], share: float) -> Callable[[], object]:
    """A call that takes a share longer than another."""
    clock = time.perf_counter_ns
    own = statistics.median(_pair(clock) for _ in range(1001))  # what the two looks at the clock cost

    def call() -> object:
        begin = clock()
        result = infer()
        took = clock() - begin
        end = begin + took + int(took * share) - own
        while clock() < end:
            pass
        return result

    return call


def _pair(clock: Callable[[], int]) -> int:
    begin = clock()
    return clock() - begin


class Slowed5(OnnxRuntime):
    """ONNX Runtime with a wait after each timed inference."""

    percent = 5

    def open(self, path: Path, options: OpenOptions) -> OnnxSession:
        """As ONNX Runtime does, with slow calls from `prepare`."""
        session = super().open(path, options)
        prepare, share = session.prepare, self.percent / 100
        session.prepare = lambda inputs: slowed(prepare(inputs), share)  # type: ignore[method-assign] # this one only
        return session


class Slowed10(Slowed5):
    percent = 10


#: What the entry points name.
ROW_5, ROW_10 = (
    RuntimeRow(name(kind.percent), f"fidelity_slowed:{kind.__name__}", "onnxruntime", ("onnxruntime",))
    for kind in (Slowed5, Slowed10)
)
