"""Two candidates in turns until it is decided which is faster."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from edgekit.errors import EdgekitError
from edgekit.jobs.executor import Executor, OnProgress
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Progress
from edgekit.latency.looks import LAST_ALPHA, LOOK_ALPHA, LOOKS, estimate_rounds, minimum_detectable
from edgekit.latency.measure import Run
from edgekit.latency.measured import BenchSettings, Candidate, Measured
from edgekit.latency.search import search
from edgekit.latency.statistics import Estimate

#: An interval of the ratio that is this narrow to either side ends the measurement, whatever it holds.
HALF_WIDTH = 0.02

#: Timed seconds of an opening: enough for its median, since openings differ among themselves by more.
OPENING_S = 0.05


@dataclass(frozen=True, slots=True)
class Turns:
    """What came out of two candidates in turns.

    Attributes:
        base, new: the measurement of each.
        rounds: that both finished.
        ratio: p50 of the new one over that of the base, per sample; None where one of them failed, or after one round.
        minimum_detectable: see `edgekit.latency.looks`; None without a ratio.
    """

    base: Measured
    new: Measured
    rounds: int
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
    """Open both once a round, each time in a fresh process, until the ratio is decided or the time is up.

    A process of its own for each opening: where its memory comes to lie has a share in the speed too, and would be
    taken for a difference otherwise. Every other round goes backwards.

    Args:
        base, new: what to compare.
        executor: runs the openings, each alone on the machine.
        context: interpreter and variables of the engines.
        settings: scenario, batch, and ``max_seconds`` for both together.
        max_regression: a limit that the interval should be on one side of too.
        on_progress: told before each opening.
    """
    runs = [Run(candidate, executor, settings) for candidate in (base, new)]
    if settings.scenario == "throughput" and not settings.emulated:
        for run in runs:
            search(run, run.candidate.context(context), on_progress)
    limits = (1.0,) if max_regression is None else (1.0, 1.0 + max_regression)
    began, rounds, took = time.monotonic(), 0, 0.0
    ratio, alpha = None, LAST_ALPHA
    while not any(run.error for run in runs) and (
        not rounds or time.monotonic() + took <= began + settings.max_seconds
    ):
        started = time.monotonic()
        for run in runs if rounds % 2 == 0 else reversed(runs):
            on_progress(Progress(f"{run.candidate.name}: round {rounds + 1}, {LOOKS[0]} or more"))
            _open(run, context, rounds)
        took = time.monotonic() - started
        rounds += not any(run.error for run in runs)
        if any(run.openings and run.openings[0].environment.emulated for run in runs):
            break
        if rounds in LOOKS and decided(found := _ratio(runs, LOOK_ALPHA), limits):
            ratio, alpha = found, LOOK_ALPHA
            break
    if ratio is None and rounds > 1:
        ratio = _ratio(runs, LAST_ALPHA)
    least = None if ratio is None else minimum_detectable(ratio, rounds - 1, alpha)
    return Turns(runs[0].result(), runs[1].result(), rounds, ratio, least)


def decided(ratio: Estimate, limits: tuple[float, ...]) -> bool:
    """Whether a ratio is known well enough: on one side of each limit, or within `HALF_WIDTH`."""
    return ratio.half_width <= HALF_WIDTH or all(not ratio.low <= limit <= ratio.high for limit in limits)


def _open(run: Run, context: Context, number: int) -> None:
    try:
        with run.executor.session(run.candidate.context(context)) as execute:
            run.take(execute, number)
    except EdgekitError as error:  # no process could be started
        run.stop(error)


def _ratio(runs: list[Run], alpha: float) -> Estimate:
    """Over the rounds that both finished."""
    base, new = ([float(np.median(one)) / run.batch / run.streams for one in run.samples_ms] for run in runs)
    common = min(len(base), len(new))  # an error ends the last round of one
    return estimate_rounds(new[:common], base[:common], alpha)
