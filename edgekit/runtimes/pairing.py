"""Two artifacts in one process, timed in short turns. Part of the device core.

Who else runs on the physical core, another tenant's program among them, changes the speed by half for milliseconds or
for minutes, and nothing inside a virtual machine shows it. Two turns of a hundredth of a second or less that follow
each other meet the same neighbour nearly always, so their ratio does not depend on it.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Callable, Optional

from edgekit.jobs.protocol import Job, Progress, Workspace
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.clusters import on_cluster
from edgekit.runtimes.environment import frequency_mhz, probe
from edgekit.runtimes.jobs import PATH_ONLY, first_samples, load_arrays
from edgekit.runtimes.registry import installed_runtime
from edgekit.runtimes.timing import Opening, Timed, TimingPlan, Warm, open_warm, opening_of, watch
from edgekit.types import Blob

#: A turn ends after so many seconds or inferences, whatever comes first: short ones meet the same neighbour more often.
#: One inference before it is not counted, since the other's data and code are in the caches then.
TURN_S = 0.01
TURN_RUNS = 64

#: The order of the turns in a cycle: a drift that is steady over it cancels.
CYCLE = (0, 1, 1, 0)

#: Cycles of an opening at least, where the time limit allows them.
MIN_CYCLES = 5


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        runtime: name in the registry.
        files: the artifact, the entry file first, by the names that the engine knows; those of the blobs differ
            between the sides.
        inputs: one ``.npy`` per input name.
        options: how to open it.
    """

    runtime: str
    files: dict[str, Blob]
    inputs: dict[str, Blob]
    options: OpenOptions


@dataclass(frozen=True)
class PairOpening:
    """One opening of both.

    Attributes:
        base, new: each as `edgekit.runtimes.timing` tells of one; memory and page faults are those of both together.
        ratio: time of the new one over that of the base: the median over cycles.
        cycles: of turns.
    """

    base: Opening
    new: Opening
    ratio: float
    cycles: int


@dataclass(frozen=True)
class PairJob(Job[PairOpening]):
    """Open two artifacts and time their inferences in turns.

    Attributes:
        base, new: what to open.
        plan: of each; ``max_s`` limits the warm-up of each and the timed turns of both.
        reverse: open the new one first.
    """

    base: Side
    new: Side
    plan: TimingPlan
    reverse: bool = False

    def run(self, work: Workspace) -> PairOpening:
        plan = replace(self.plan, **PATH_ONLY) if probe().emulated else self.plan
        with ExitStack() as stack:
            warm: dict[str, Warm] = {}
            for name in ("new", "base") if self.reverse else ("base", "new"):
                warm[name] = self._open(stack, name, plan, work)
            work.progress(Progress("measure in turns"))
            infers = [warm[name].infers[0] for name in ("base", "new")]
            (timed, ratios), watched = watch(lambda: take_turns(infers, plan))
            base, new = (
                opening_of(warm[name], one, watched, plan, work, f"{name}-samples.npy")
                for name, one in zip(("base", "new"), timed)
            )
        return PairOpening(base, new, statistics.median(ratios), len(ratios))

    def _open(self, stack: ExitStack, name: str, plan: TimingPlan, work: Workspace) -> Warm:
        side: Side = getattr(self, name)
        folder = work.folder / name
        folder.mkdir()
        for file, blob in side.files.items():
            work.path(blob).replace(folder / file)
        inputs = {key: first_samples(array, plan.batch) for key, array in load_arrays(work, side.inputs).items()}
        runtime, options = installed_runtime(side.runtime), on_cluster(side.options)
        return open_warm(stack, runtime, folder / next(iter(side.files)), inputs, options, plan, work)


def take_turns(infers: Sequence[Callable[[], object]], plan: TimingPlan) -> tuple[tuple[Timed, Timed], list[float]]:
    """Time two in turns for ``2 * plan.min_s`` seconds, or until ``plan.max_s``.

    Returns:
        The samples of each, and the ratio of the second to the first of every cycle.
    """
    clock = time.perf_counter_ns
    samples: tuple[list[int], list[int]] = ([], [])
    ratios: list[float] = []
    mhz: Optional[float] = None
    begin = clock()
    while True:
        logs = [0.0, 0.0]
        for which in CYCLE:
            turn = _turn(infers[which])
            samples[which].extend(turn)
            logs[which] += math.log(statistics.median(turn)) / 2
        ratios.append(math.exp(logs[1] - logs[0]))
        mhz = frequency_mhz() if mhz is None else mhz
        seconds = (clock() - begin) / 1e9
        if (seconds >= 2 * plan.min_s and len(ratios) >= MIN_CYCLES) or seconds >= plan.max_s:
            first, second = (Timed(each, sum(each), mhz) for each in samples)
            return (first, second), ratios


def _turn(infer: Callable[[], object]) -> list[int]:
    """Nanoseconds of each inference of a turn."""
    clock = time.perf_counter_ns
    infer()
    samples: list[int] = []
    enough = clock() + int(TURN_S * 1e9)
    while True:
        start = clock()
        infer()
        end = clock()
        samples.append(end - start)
        if end >= enough or len(samples) == TURN_RUNS:
            return samples
