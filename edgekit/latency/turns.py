"""Two candidates in turns until it is decided which is faster."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median

from edgekit.errors import EdgekitError
from edgekit.jobs.executor import Executor, OnProgress
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Progress
from edgekit.latency.looks import LAST_ALPHA, LOOK_ALPHA, LOOKS, estimate_rounds, minimum_detectable
from edgekit.latency.measure import within
from edgekit.latency.measured import BenchSettings, Candidate, Measured
from edgekit.latency.run import Run
from edgekit.latency.search import search
from edgekit.latency.statistics import Estimate
from edgekit.runtimes.pairing import PairJob, Side
from edgekit.types import Blob

#: An interval of the ratio that is this narrow to either side ends the measurement, whatever it holds.
HALF_WIDTH = 0.02

#: Timed seconds of each in an opening: openings differ among themselves by more than that leaves open.
OPENING_S = 0.15


@dataclass(frozen=True, slots=True)
class Turns:
    """What came out of two candidates in turns.

    Attributes:
        base, new: the measurement of each.
        rounds: that both finished.
        together: whether both had one process in every round, so that memory and load times are of neither.
        ratio: p50 of the new one over that of the base, per sample; None where one of them failed, or after one round.
        minimum_detectable: see `edgekit.latency.looks`; None without a ratio.
    """

    base: Measured
    new: Measured
    rounds: int
    together: bool
    ratio: Estimate | None
    minimum_detectable: float | None


def take_turns(
    base: Candidate,
    new: Candidate,
    executor: Executor,
    context: Context,
    settings: BenchSettings,
    *,
    max_regression: float | None = None,
    on_progress: OnProgress = lambda progress: None,
) -> Turns:
    """Open both anew in each round until the ratio is decided or the time is up.

    For latency, both are opened in one fresh process, every other round in the other order, and timed in turns of a
    hundredth of a second or less (`edgekit.runtimes.pairing`). Other scenarios, and engines that cannot share a
    process, get a fresh process for each opening, every other round backwards.

    Args:
        base, new: what to compare.
        executor: runs the openings, each round alone on the machine.
        context: interpreter and variables of the engines.
        settings: scenario, batch, and ``max_seconds`` for both together.
        max_regression: a limit that the interval should be on one side of too.
        on_progress: told before each round.
    """
    rounds = _Rounds(base, new, executor, context, settings)
    if settings.scenario == "throughput" and not settings.emulated:
        for run in rounds.runs:
            search(run, run.candidate.context(context), on_progress)
    limits = (1.0,) if max_regression is None else (1.0, 1.0 + max_regression)
    began, took = time.monotonic(), 0.0
    ratio, alpha = None, LAST_ALPHA
    while not rounds.failed and (not rounds.ratios or time.monotonic() + took <= began + settings.max_seconds):
        started = time.monotonic()
        stage = f"round {len(rounds.ratios) + 1}, {LOOKS[0]} or more"
        on_progress(Progress(stage))
        rounds.take(within(stage, on_progress))
        took = time.monotonic() - started
        if rounds.emulated:
            break
        if len(rounds.ratios) in LOOKS and decided(found := estimate_rounds(rounds.ratios, LOOK_ALPHA), limits):
            ratio, alpha = found, LOOK_ALPHA
            break
    count = len(rounds.ratios)
    if ratio is None and count > 1:
        ratio = estimate_rounds(rounds.ratios, LAST_ALPHA)
    least = None if ratio is None else minimum_detectable(ratio, count - 1, alpha)
    of_base, of_new = (run.result() for run in rounds.runs)
    return Turns(of_base, of_new, count, rounds.together, ratio, least)


def decided(ratio: Estimate, limits: tuple[float, ...]) -> bool:
    """Whether a ratio is known well enough: on one side of each limit, or within `HALF_WIDTH`."""
    return ratio.half_width <= HALF_WIDTH or all(not ratio.low <= limit <= ratio.high for limit in limits)


class _Rounds:
    """The rounds of two candidates, while they go on.

    Attributes:
        runs: the measurement of the base and of the new one.
        ratios: of each round that both finished, per sample.
        together: whether both are opened in one process.
    """

    def __init__(
        self, base: Candidate, new: Candidate, executor: Executor, context: Context, settings: BenchSettings
    ) -> None:
        self.runs = [Run(candidate, executor, settings) for candidate in (base, new)]
        self.ratios: list[float] = []
        self.together = settings.scenario == "latency" and not settings.emulated
        self._executor = executor
        self._context = context
        self._sides: tuple[Side, Side] | None = None
        self._apart = ""

    @property
    def failed(self) -> bool:
        return any(run.error for run in self.runs)

    @property
    def emulated(self) -> bool:
        return any(run.openings and run.openings[0].environment.emulated for run in self.runs)

    def take(self, on_progress: OnProgress) -> None:
        """One more round."""
        self.together = self.together and self._open_both(on_progress)
        if self.together:
            return
        for run in self.runs if len(self.ratios) % 2 == 0 else reversed(self.runs):
            run.take_fresh(self._context, len(self.ratios), on_progress)
        if not self.failed:
            self._tell()
            old, new = (median(run.samples_ms[-1]) / run.batch / run.streams for run in self.runs)
            self.ratios.append(new / old)

    def _open_both(self, on_progress: OnProgress) -> bool:
        """Whether both could be opened in one process. If not, each has to show alone what is wrong."""
        base, new = self.runs
        self._sides = self._sides or (self._side("base", base), self._side("new", new))
        job = PairJob(self._sides[0], self._sides[1], base.plan(), reverse=len(self.ratios) % 2 == 1)
        try:
            with self._executor.session(base.candidate.context(self._context), on_progress) as execute:
                pair = execute(job)
        except EdgekitError as error:
            self._apart = f"each had a process of its own, since one for both failed: {error.message}"
            return False
        base.keep(pair.base, len(self.ratios))
        new.keep(pair.new, len(self.ratios))
        self.ratios.append(pair.ratio)
        return True

    def _tell(self) -> None:
        """Why they did not share a process, once each has shown that it runs alone."""
        for run in self.runs if self._apart else ():
            run.notes.append(self._apart)
        self._apart = ""

    def _side(self, name: str, run: Run) -> Side:
        inputs = run.inputs(run.batch)
        return Side(
            run.candidate.runtime,
            {blob.name: self._named(blob, name) for blob in run.candidate.files},
            {key: self._named(blob, f"{name}-input") for key, blob in inputs.items()},
            run.options,
        )

    def _named(self, blob: Blob, prefix: str) -> Blob:
        """The same content under a name that the other side has not."""
        return self._executor.add(self._executor.path(blob), f"{prefix}-{blob.name}")
