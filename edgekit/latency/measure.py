"""Time artifacts side by side.

One fresh process per artifact, opened again and again. The openings of all artifacts take turns in rounds, each
alone on the machine, and every other round goes backwards, so that drift hits all alike: under load the ratio of
two artifacts stays within 1 to 4 % where the figures themselves move by 15 %.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError, UsageError
from edgekit.jobs.executor import Executor, OnProgress
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Job, Progress
from edgekit.latency.measured import BenchSettings, Candidate, Measured, Scenario
from edgekit.latency.statistics import estimate_p50
from edgekit.runtimes.jobs import TimeJob
from edgekit.runtimes.timing import Opening, TimingPlan
from edgekit.types import Blob

__all__ = ["BenchSettings", "Candidate", "Measured", "Scenario", "measure"]

Execute = Callable[[Job[Opening]], Opening]

#: Batches that the throughput scenario tries, smallest first.
THROUGHPUT_BATCHES = (1, 2, 4, 8, 16, 32)

#: The search ends after two batches in a row that do not gain this much.
THROUGHPUT_GAIN = 1.05


def measure(
    candidates: Sequence[Candidate],
    executor: Executor,
    context: Context,
    settings: BenchSettings,
    on_progress: OnProgress = lambda progress: None,
) -> tuple[Measured, ...]:
    """Time candidates in turns until each is known as closely as asked, or its time is up.

    Args:
        candidates: what to time; an error in one is its result and leaves the others alone.
        executor: runs the openings, each alone on the machine.
        context: interpreter and variables of the engines.
        settings: how long, how close, which scenario.
        on_progress: told before each opening.

    Returns:
        One for each candidate, in order.
    """
    runs = [_Run(candidate, executor, settings) for candidate in candidates]
    if settings.scenario == "throughput" and not settings.emulated:
        for run in runs:
            run.search_batch(context, on_progress)
    with ExitStack() as stack:
        number = 0
        while active := [run for run in runs if run.active]:
            for run in active if number % 2 == 0 else reversed(active):
                opening = f"opening {len(run.openings) + 1}, {settings.openings} or more"
                on_progress(Progress(f"{run.candidate.name}: {opening}"))
                run.take(_session(executor, context, settings, run, stack), number)
            number += 1
    return tuple(run.result() for run in runs)


def _session(executor: Executor, context: Context, settings: BenchSettings, run: _Run, stack: ExitStack) -> Execute:
    """The process of a candidate: one for all its openings, or for ``cold`` one for each."""
    if settings.scenario == "cold":

        def execute_fresh(job: Job[Opening]) -> Opening:
            with executor.session(context) as execute:
                return execute(job)

        return execute_fresh
    if run.execute is None:
        run.execute = stack.enter_context(executor.session(context))
    return run.execute


class _Run:
    """The measurement of one candidate, while it goes on."""

    def __init__(self, candidate: Candidate, executor: Executor, settings: BenchSettings) -> None:
        self.candidate = candidate
        self.executor = executor
        self.settings = settings
        self.options = candidate.options
        self.execute: Execute | None = None
        self.openings: list[Opening] = []
        self.samples_ms: list[NDArray[np.float64]] = []
        self.rounds: list[int] = []
        self.notes: list[str] = []
        self.seconds = 0.0
        self.converged = False
        self.error: EdgekitError | None = None
        self._inputs: dict[int, dict[str, Blob]] = {}
        self.batch = settings.batch or candidate.fixed_batch or 1
        if candidate.fixed_batch not in (None, self.batch):
            self.error = UsageError(
                "fixed-batch",
                f"{candidate.name} takes a batch of {candidate.fixed_batch} only.",
                received=f"batch {self.batch}",
                hint=f"Leave --batch out, or use --batch {candidate.fixed_batch}.",
            )

    @property
    def active(self) -> bool:
        """Whether another opening is due."""
        if self.error is not None or self.converged:
            return False
        if self.openings and (self.settings.emulated or self.openings[0].environment.emulated):
            return False
        return not self.openings or self.seconds < self.settings.max_seconds

    def take(self, execute: Execute, number: int) -> None:
        """One opening in a round."""
        started = time.monotonic()
        try:
            opening = execute(self._job(self.batch, self._plan()))
        except EdgekitError as error:
            self.error = error
            return
        finally:
            self.seconds += time.monotonic() - started
        self.openings.append(opening)
        self.samples_ms.append(self._samples_ms(opening))
        self.rounds.append(number)
        if len(self.openings) >= self.settings.openings:
            self.converged = estimate_p50(self.samples_ms).half_width <= self.settings.half_width

    def search_batch(self, context: Context, on_progress: OnProgress) -> None:
        """Find the batch with the highest throughput and give it every CPU, where the user left these open."""
        candidate, settings = self.candidate, self.settings
        free = settings.batch is None and candidate.fixed_batch is None
        if self.error is not None or not (free or self.options.threads is None):
            return
        best_batch, best, poor = self.batch, 0.0, 0
        with self.executor.session(context) as execute:
            for batch in THROUGHPUT_BATCHES if free else (self.batch,):
                on_progress(Progress(f"try {candidate.name} with batch {batch}"))
                try:
                    rate = self._rate(execute, batch)
                except EdgekitError as error:
                    if not best:
                        self.error = error
                    else:
                        self.notes.append(f"batch {batch} was not tried further: {error.message}")
                    break
                poor = 0 if rate >= THROUGHPUT_GAIN * best else poor + 1
                best_batch, best = (batch, rate) if rate > best else (best_batch, best)
                if poor == 2:
                    break
        self.batch = best_batch

    def result(self) -> Measured:
        return Measured(
            candidate=self.candidate,
            scenario=self.settings.scenario,
            batch=self.batch,
            options=self.options,
            openings=tuple(self.openings),
            samples_ms=tuple(self.samples_ms),
            rounds=tuple(self.rounds),
            converged=self.converged,
            notes=tuple(self.notes),
            error=self.error,
        )

    def _rate(self, execute: Execute, batch: int) -> float:
        """Samples per second in one short opening. The first one also tells how many CPUs there are to use."""
        plan = replace(self._plan(), batch=batch, min_s=self.settings.min_seconds / 2, min_runs=3)
        opening = execute(self._job(batch, plan))
        if self.options.threads is None:
            self.options = replace(self.options, threads=len(opening.environment.affinity))
            opening = execute(self._job(batch, plan))
        return batch / float(self._samples_ms(opening).mean())

    def _job(self, batch: int, plan: TimingPlan) -> TimeJob:
        if batch not in self._inputs:
            self._inputs[batch] = {name: self._repeated(blob, batch) for name, blob in self.candidate.inputs.items()}
        return TimeJob(self.candidate.runtime, self.candidate.files, self._inputs[batch], self.options, plan)

    def _repeated(self, blob: Blob, batch: int) -> Blob:
        """The same samples again and again where a batch needs more than there are."""
        array = np.load(self.executor.path(blob), mmap_mode="r", allow_pickle=False)
        if len(array) >= batch or not len(array):
            return blob
        path = self.executor.scratch() / "inputs.npy"
        np.save(path, array[np.arange(batch) % len(array)], allow_pickle=False)
        return self.executor.add(path, blob.name)

    def _plan(self) -> TimingPlan:
        if self.settings.emulated or self.settings.scenario == "cold":  # the first inference, one more, a timed one
            return TimingPlan(self.batch, warmup_min_runs=0, warmup_min_s=0.0, min_runs=1, min_s=0.0, max_s=0.0)
        share = self.settings.max_seconds / self.settings.openings / 2  # warm-up and timed loop have a limit each
        return TimingPlan(self.batch, min_s=min(self.settings.min_seconds, share), max_s=share)

    def _samples_ms(self, opening: Opening) -> NDArray[np.float64]:
        if self.settings.scenario == "cold":
            return np.array([opening.load_ms + opening.first_ms])
        samples = np.load(self.executor.path(opening.samples), allow_pickle=False)
        return np.asarray(samples / 1e6, dtype=np.float64)
