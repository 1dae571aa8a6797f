"""The batch and the streams with the highest throughput: a short search before the measurement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgekit.errors import EdgekitError, UsageError
from edgekit.jobs.executor import OnProgress
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Progress

if TYPE_CHECKING:
    from edgekit.latency.run import Execute, Run

#: Batches that are tried, smallest first.
BATCHES = (1, 2, 4, 8, 16, 32)

#: The search ends after two batches in a row that do not gain this much, and after streams that do not.
GAIN = 1.05

#: Code of the error that is no matter of one artifact.
TOO_MANY_STREAMS = "too-many-streams"

#: Seconds of a try.
TRY_S = 0.125


def search(run: Run, context: Context, on_progress: OnProgress) -> None:
    """Set the batch and the streams with the most samples per second, with every CPU, where the user left these open.

    Batches come first, on one stream; then streams, each with one sample and with the best batch, since engines gain
    by either. An emulated CPU is tried once: its speed says nothing. An error of the first try is the run's; one of a
    later try ends the search with a note.

    Args:
        run: what to measure; its batch, streams and threads are set.
        context: the process of its engine.
        on_progress: told before each try.

    Raises:
        UsageError: more streams were asked for than there are threads.
    """
    if run.error is not None:
        return
    try:
        with run.executor.session(context, on_progress) as execute:
            _Search(run, execute, on_progress).go()
    except UsageError as error:
        if error.code == TOO_MANY_STREAMS:
            raise
        run.error = error
    except EdgekitError as error:
        run.error = error


class _Search:
    def __init__(self, run: Run, execute: Execute, on_progress: OnProgress) -> None:
        self.run, self.execute, self.on_progress = run, execute, on_progress
        self.best, self.choice = 0.0, (run.batch, run.streams)
        self.free_batch = run.settings.batch is None and run.candidate.fixed_batch is None
        self.free_streams = run.settings.streams is None
        self.emulated = False

    def go(self) -> None:
        run = self.run
        threads = self._threads()
        if run.streams > threads:
            raise UsageError(
                TOO_MANY_STREAMS,
                "each stream should have a thread of its own.",
                received=f"{run.streams} streams on {threads} threads",
                hint=f"Give --streams {threads} or fewer, or leave it out for the best.",
            )
        try:
            self._batches()
            if not self.emulated:
                self._streams(threads)
        except EdgekitError as error:
            if not self.best:
                raise
            run.notes.append(f"the search for the best batch and streams ended early: {error.message}")
        run.batch, run.streams = self.choice

    def _threads(self) -> int:
        """Threads for all streams: every CPU, unless the user said."""
        run = self.run
        if run.options.threads is None:
            self.on_progress(Progress(f"try {run.candidate.name} with batch {run.batch}"))
            brief = replace(run.plan(), streams=1, warmup_min_s=0.0, min_s=0.0, min_runs=1)
            opening = self.execute(run.job(brief))
            run.options = replace(run.options, threads=len(opening.environment.affinity))
        return run.options.threads or 1

    def _batches(self) -> None:
        poor = 0
        for batch in BATCHES if self.free_batch else (self.run.batch,):
            if not (self.free_batch or self.free_streams):
                return
            poor = 0 if self._better(batch, self.run.streams) else poor + 1
            if poor == 2 or self.emulated:
                return

    def _streams(self, threads: int) -> None:
        best_batch = self.choice[0]
        for streams in _doubled(threads) if self.free_streams else ():
            batches = sorted({1, best_batch} if self.free_batch else {best_batch})
            gains = [self._better(batch, streams) for batch in batches]
            if True not in gains:
                return

    def _better(self, batch: int, streams: int) -> bool:
        """Whether a try gains enough; the best of all is kept either way."""
        run = self.run
        beside = f", {streams} streams" if streams > 1 else ""
        self.on_progress(Progress(f"try {run.candidate.name} with batch {batch}{beside}"))
        opening = self.execute(run.job(replace(run.plan(), batch=batch, streams=streams, min_s=TRY_S, min_runs=3)))
        count = len(np.load(run.executor.path(opening.samples), mmap_mode="r", allow_pickle=False))
        rate = batch * count / opening.timed_s
        self.emulated = opening.environment.emulated
        gained = rate >= GAIN * self.best
        if rate > self.best:
            self.best, self.choice = rate, (batch, streams)
        return gained


def _doubled(limit: int) -> Iterator[int]:
    streams = 2
    while streams <= limit:
        yield streams
        streams *= 2
