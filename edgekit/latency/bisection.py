"""The time of operators of an engine without a profile: from prefixes of the graph, timed in turns.

What an operator takes is the time of the graph up to it less that of the graph up to the one before, round by round,
so that drift hits both. A graph with more operators than there is time for is bisected: where most of the time goes,
its parts get shorter, down to single operators.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Job
from edgekit.latency.measured import Candidate
from edgekit.runtimes.profile_tflite import PrefixesJob, PrefixTimes
from edgekit.surgery.base import Graph
from edgekit.surgery.prefixes import CutPrefixesJob, open_ends
from edgekit.types import Blob
from edgekit.workbench import Workbench

#: Prefixes of one graph.
MOST, FEWEST = 64, 16

#: Bytes that all of them may take.
MOST_BYTES = 1 << 30

#: More rounds than fit in here make the intervals narrower, to nobody's use.
ENOUGH_SECONDS = 5.0

#: The range of six rounds covers the median of all in 97 of 100 cases, of five in 94; two rounds show the way.
ROUNDS, ROUGH_ROUNDS = 6, 2


@dataclass(frozen=True, slots=True)
class Part:
    """Operators one after another that were timed together.

    Attributes:
        start, end: places in the graph; the last is not among them.
        us, noise_us: microseconds, and half their 95 % interval.
    """

    start: int
    end: int
    us: float
    noise_us: float


@dataclass(frozen=True, slots=True)
class Bisection:
    """Times of a graph.

    Attributes:
        parts: all operators, in the order of execution.
        whole_us: one inference of the whole, the fastest of each opening, the median of these.
        rounds: openings of each prefix.
    """

    parts: tuple[Part, ...]
    whole_us: float
    rounds: int


class Prefixes:
    """A graph whose prefixes are cut and timed.

    Args:
        candidate: what is timed, one ``.tflite`` file.
        graph: of it.
        batch: samples per inference.
        work: of this command.
        cutting: the process that cuts.
    """

    def __init__(self, candidate: Candidate, graph: Graph, batch: int, work: Workbench, cutting: Context) -> None:
        self._candidate, self._graph, self._batch = candidate, graph, candidate.fixed_batch or batch
        self._work, self._cutting = work, cutting
        self._files: dict[int, Blob] = {}
        self._ends = [count for count in range(1, len(graph.operators) + 1) if _may_end(graph, count)]

    def bisect(self, execute: Callable[[Job[PrefixTimes]], PrefixTimes], seconds: float) -> Bisection:
        """Time them.

        Args:
            execute: runs jobs in one process that has the machine for itself.
            seconds: time limit, about: a graph whose operators would take longer is timed in fewer parts.
        """
        first = self._times(execute, self._ends[-1:], ROUGH_ROUNDS, 0.0)
        most = self._most(first.opening_s, seconds)
        ends = self._ends
        if len(ends) > most:
            steps = [round(len(ends) * place / (most // 2)) for place in range(1, most // 2 + 1)]
            rough = self._times(execute, [ends[step - 1] for step in steps], ROUGH_ROUNDS, 0.0)
            ends = [ends[step - 1] for step in refined(steps, np.median(rough.rounds_us, axis=0), most)]
        found = self._times(execute, ends, ROUNDS, min(seconds, ENOUGH_SECONDS))
        rounds = np.array(found.rounds_us)
        starts = [0, *ends[:-1]]
        taken = np.diff(rounds, axis=1, prepend=0.0)
        parts = (Part(start, end, *_median(column)) for start, end, column in zip(starts, ends, taken.T, strict=True))
        return Bisection(tuple(parts), float(np.median(rounds[:, -1])), len(rounds))

    def _most(self, opening_s: float, seconds: float) -> int:
        """Prefixes that fit: they take half of what the whole takes, on average."""
        for_time = 2 * seconds / (ROUNDS * opening_s)
        for_space = 2 * MOST_BYTES / max(1, self._candidate.size_bytes)
        return int(max(FEWEST, min(MOST, for_time, for_space)))

    def _times(
        self, execute: Callable[[Job[PrefixTimes]], PrefixTimes], ends: Sequence[int], rounds: int, seconds: float
    ) -> PrefixTimes:
        one, files = self._candidate, self._cut(ends)
        return execute(PrefixesJob(files, one.files[0], dict(one.inputs), one.options, self._batch, rounds, seconds))

    def _cut(self, ends: Sequence[int]) -> tuple[Blob, ...]:
        missing = tuple(end for end in ends if end not in self._files)
        if missing:
            job = CutPrefixesJob("tflite", self._candidate.files, self._shapes(), missing)
            made = self._work.executor.run(job, self._cutting).files
            self._files |= dict(zip(missing, made, strict=True))
        return tuple(self._files[end] for end in ends)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        given: Mapping[str, Blob] = self._candidate.inputs
        arrays = {name: np.load(self._work.executor.path(blob), mmap_mode="r") for name, blob in given.items()}
        return {name: (self._batch, *arrays[name].shape[1:]) for name in self._graph.inputs if name in arrays}


def _may_end(graph: Graph, count: int) -> bool:
    """Whether a prefix can give what the rest needs: an engine gives numbers, and nothing like a variable."""
    whole = count == len(graph.operators)
    return whole or all(name in graph.tensors for name in open_ends(graph, count))


def refined(ends: Sequence[int], times: Sequence[float] | NDArray[np.float64], most: int) -> list[int]:
    """Ends of parts of which those that take long are halved again and again.

    Args:
        ends: of the parts, in steps of which one is the least part; each begins where the one before ends.
        times: of the graph up to each end.
        most: parts that there may be.
    """
    found = set(ends)
    starts, before = [0, *ends[:-1]], [0.0, *times[:-1]]
    parts = zip(starts, ends, before, times, strict=True)
    waiting = [(earlier - time, start, end) for start, end, earlier, time in parts]
    heapq.heapify(waiting)
    while waiting and len(found) < most:
        negative, start, end = heapq.heappop(waiting)
        if end - start > 1:
            middle = (start + end) // 2
            found.add(middle)
            for half in ((negative / 2, start, middle), (negative / 2, middle, end)):
                heapq.heappush(waiting, half)
    return sorted(found)


def _median(rounds: NDArray[np.float64]) -> tuple[float, float]:
    """The median, and half of its 95 % interval between order statistics, which assumes no distribution (David and
    Nagaraja, "Order Statistics", §7.1)."""
    ordered, count = np.sort(rounds), len(rounds)
    below = 0
    while sum(comb(count, hits) for hits in range(below + 2)) * 0.5**count <= 0.025:
        below += 1
    return max(0.0, float(np.median(rounds))), float(ordered[count - 1 - below] - ordered[below]) / 2
