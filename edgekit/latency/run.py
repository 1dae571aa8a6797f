"""The measurement of one artifact, opening by opening; who takes turns is for others to say."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError
from edgekit.jobs.executor import Executor, OnProgress
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Job
from edgekit.latency.measured import BenchSettings, Candidate, Measured
from edgekit.latency.statistics import estimate_p50
from edgekit.runtimes.cached import CachedLoad
from edgekit.runtimes.cooling import BAND_C, MAX_WAIT_S
from edgekit.runtimes.timing import Opening, TimingPlan, refuse_fixed_batch
from edgekit.types import Blob

Execute = Callable[[Job[Opening]], Opening]

#: After a look at the interval the next one is due when there are this share more openings: looking costs time.
NEXT_LOOK = 0.1


class Run:
    """The measurement of one candidate, while it goes on: `take` its openings, then ask for its `result`."""

    def __init__(self, candidate: Candidate, executor: Executor, settings: BenchSettings) -> None:
        self.candidate = candidate
        self.executor = executor
        self.settings = settings
        self.options = candidate.options
        self.process = ExitStack()
        self.execute: Execute | None = None
        self.start_s = 0.0
        self.openings: list[Opening] = []
        self.samples_ms: list[NDArray[np.float64]] = []
        self.rounds: list[int] = []
        self.processes: list[int] = []
        self.notes: list[str] = []
        self.seconds = 0.0
        self.converged = False
        self.error: EdgekitError | None = None
        self.cached_loads_ms: list[float] = []
        self.batch = settings.batch or candidate.fixed_batch or 1
        self.streams = settings.streams or 1
        self._inputs: dict[int, dict[str, Blob]] = {}
        self._cache: tuple[Blob, ...] = ()
        self._cached = settings.scenario == "cold" and not settings.emulated
        self._begun = 0.0
        self._last: Execute | None = None
        self._next_look = settings.openings
        try:
            refuse_fixed_batch(candidate.name, candidate.fixed_batch, self.batch)
        except EdgekitError as error:
            self.error = error

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
        self._begun = self._begun or started
        try:
            opening = execute(self.job(self.plan()))
        except EdgekitError as error:
            self.stop(error)
            return
        finally:
            self.seconds += time.monotonic() - started
        self.seconds = 0.0 if self.candidate.compiles and not self.openings else self.seconds
        if execute is not self._last:
            self.start_s = time.monotonic() - started - opening.seconds - opening.cooled.waited_s
        self.processes.append(self.processes[-1] if execute is self._last else len(self.openings))
        self._last = execute
        self.keep(opening, number)
        span = min(self.settings.span_seconds, self.settings.max_seconds / 2)
        count = len(self.openings)
        if count >= self._next_look and time.monotonic() - self._begun >= span:
            self.converged = estimate_p50(self.samples_ms).half_width <= self.settings.half_width
            self._next_look = count + max(1, int(NEXT_LOOK * count))

    def take_fresh(self, context: Context, number: int, on_progress: OnProgress = lambda step: None) -> None:
        """One opening in a process of its own; that none can be started is the run's error too."""
        try:
            with self.executor.session(self.candidate.context(context), on_progress) as execute:
                self.take(execute, number)
        except EdgekitError as error:
            self.stop(error)

    def keep(self, opening: Opening, number: int) -> None:
        """Count an opening of a round."""
        self.openings.append(opening)
        self.samples_ms.append(self._samples_ms(opening))
        self.rounds.append(number)

    def take_cached(self, execute: Callable[[Job[CachedLoad]], CachedLoad]) -> None:
        """One load with the engine's cache, which the first of them writes; once it is not offered, no more."""
        job = self.candidate.cached_load(self.options, self._cache) if self._cached else None
        if job is None or self.error is not None:
            return
        started = time.monotonic()
        try:
            loaded = execute(job)
        except EdgekitError as error:
            self.notes.append(f"there is no load time with the engine's cache: {error.message}")
            self._cached = False
            return
        finally:
            self.seconds += time.monotonic() - started
        if loaded.load_ms is not None:
            self.cached_loads_ms.append(loaded.load_ms)
        elif not loaded.cache:
            self.notes.append(f"{self.candidate.runtime} keeps nothing that it compiled for the next load.")
            self._cached = False
        elif self._cache:
            self.notes.append(f"{self.candidate.runtime} compiled anew in spite of its cache.")
            self._cached = False
        self._cache = loaded.cache

    def stop(self, error: EdgekitError) -> None:
        """End the measurement for an error; what was taken before stays."""
        self.error = error
        if self.openings:
            few = f"{len(self.openings)} opening{'s' if len(self.openings) > 1 else ''}"
            self.notes.append(f"it ended early, after {few}; its figures rest on these alone.")

    def result(self) -> Measured:
        return Measured(
            candidate=self.candidate,
            scenario=self.settings.scenario,
            batch=self.batch,
            options=self.options,
            streams=self.streams,
            openings=tuple(self.openings),
            samples_ms=tuple(self.samples_ms),
            rounds=tuple(self.rounds),
            processes=tuple(self.processes),
            converged=self.converged,
            cached_loads_ms=tuple(self.cached_loads_ms),
            notes=tuple(self.notes),
            error=self.error,
        )

    def job(self, plan: TimingPlan) -> Job[Opening]:
        """What takes one opening by a plan."""
        return self.candidate.job(self.inputs(plan.batch), self.options, plan)

    def inputs(self, batch: int) -> dict[str, Blob]:
        """Enough samples for a batch."""
        if batch not in self._inputs:
            self._inputs[batch] = {name: self._repeated(blob, batch) for name, blob in self.candidate.inputs.items()}
        return self._inputs[batch]

    def _repeated(self, blob: Blob, batch: int) -> Blob:
        """The same samples again and again where a batch needs more than there are."""
        array = np.load(self.executor.path(blob), mmap_mode="r", allow_pickle=False)
        if len(array) >= batch or not len(array):
            return blob
        path = self.executor.scratch() / "inputs.npy"
        np.save(path, array[np.arange(batch) % len(array)], allow_pickle=False)
        return self.executor.add(path, blob.name)

    def plan(self) -> TimingPlan:
        """How long an opening takes."""
        plan = TimingPlan(self.batch, self.streams, self.settings.copy)
        if self.settings.emulated or self.settings.scenario == "cold":  # the first inference, one more, a timed one
            return replace(plan, warmup_min_runs=0, warmup_min_s=0.0, min_runs=1, min_s=0.0, max_s=0.0)
        share = self.settings.max_seconds / self.settings.openings / 2  # warm-up and timed loop have a limit each
        return replace(self._cool(plan), min_s=min(self.settings.min_seconds, share), max_s=share)

    def _cool(self, plan: TimingPlan) -> TimingPlan:
        """On a board, which has no fan or a small one, every opening starts as cool as the first one did."""
        first = self.openings[0] if self.openings else None
        if first is None or first.environment.board is None or first.cooled.after_c is None:
            return plan
        left = max(0.0, self.settings.max_seconds - self.seconds)
        return replace(plan, cool_to_c=first.cooled.after_c + BAND_C, cool_max_s=min(MAX_WAIT_S, left))

    def _samples_ms(self, opening: Opening) -> NDArray[np.float64]:
        if self.settings.scenario == "cold":
            return np.array([opening.load_ms + opening.first_ms])
        samples = np.load(self.executor.path(opening.samples), allow_pickle=False)
        return np.asarray(samples / 1e6, dtype=np.float64)
