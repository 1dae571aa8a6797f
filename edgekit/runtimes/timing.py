"""The timing of one opening of an artifact. Part of the device core.

Each compilation of a model has its own speed, so one opening says little about the next: this module times one
and returns every sample; the host decides after each opening whether another is needed (`edgekit.latency`).
"""

from __future__ import annotations

import gc
import math
import resource
import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, TypeVar

import numpy as np

from edgekit.errors import UsageError
from edgekit.jobs.protocol import Progress, Workspace
from edgekit.runtimes.base import Copies, OpenOptions, Runtime, Session
from edgekit.runtimes.cooling import Cooled, cool_down
from edgekit.runtimes.environment import Environment, Snapshot, frequency_mhz, probe, snapshot
from edgekit.runtimes.peak_memory import begin_peak, peak_rss_bytes
from edgekit.runtimes.widths import narrowed
from edgekit.types import Blob, Effective, Signature

#: Steady: the medians of the last two windows differ by no more than their own noise (three standard errors), but
#: never by more than the second share, and always where they differ by less than the first.
STEADY_SHARE = (0.01, 0.04)

T = TypeVar("T")


@dataclass(frozen=True)
class TimingPlan:
    """How long to warm up and to measure.

    Attributes:
        batch: samples per inference.
        streams: inferences side by side, each in a thread of its own.
        copy: each inference copies inputs and outputs as an application does that hands arrays over; else they are
            bound once, see `Session.bind`.
        warmup_min_runs, warmup_min_s: inferences and seconds before steadiness is judged.
        min_runs, min_s: inferences and seconds that are timed at least.
        max_s: seconds after which the warm-up ends although not steady, and likewise the timed loop although
            ``min_runs`` is not reached. At least one inference is timed.
        cool_to_c, cool_max_s: a temperature, degrees Celsius, that is waited for before the artifact is opened, and
            the longest such wait in seconds; None for no wait.
    """

    batch: int = 1
    streams: int = 1
    copy: bool = True
    warmup_min_runs: int = 10
    warmup_min_s: float = 0.05
    min_runs: int = 30
    min_s: float = 0.1
    max_s: float = 10.0
    cool_to_c: Optional[float] = None
    cool_max_s: float = 0.0


@dataclass(frozen=True)
class Opening:
    """One opening of an artifact, timed inference by inference.

    Attributes:
        load_ms: opening the artifact, the import of the engine excluded.
        first_ms: the first inference, which may still compile and allocate.
        warmup_runs: inferences after the first one and before the timed ones.
        steady: whether the warm-up ended because the speed was steady.
        samples: ``.npy`` of int64 nanoseconds, one per timed inference, in order within each stream.
        timed_s: wall time of the timed loop, all streams together.
        seconds: wall time of it all, from the load on; the start of the process and the import of the engine excluded.
        copies: what each of these inferences copied.
        base_rss_bytes: resident memory after the import of the engine and before the artifact was opened.
        peak_rss_bytes: the highest resident memory from then on.
        page_faults_per_inference, preemptions_per_inference: over the timed loop; a preemption is an involuntary
            context switch of any thread of the process.
        environment: the machine.
        before, after: around the timed loop.
        frequency_during_mhz: mean current frequency of the CPUs halfway through it; None where it cannot be read.
        effective: what the engine really used.
        signature: as the artifact declares it.
        version: of the engine.
        cooled: the temperature before the artifact was opened, and the wait for it.
    """

    load_ms: float
    first_ms: float
    warmup_runs: int
    steady: bool
    samples: Blob
    timed_s: float
    seconds: float
    copies: Copies
    base_rss_bytes: int
    peak_rss_bytes: int
    page_faults_per_inference: float
    preemptions_per_inference: float
    environment: Environment
    before: Snapshot
    after: Snapshot
    frequency_during_mhz: Optional[float]
    effective: Effective
    signature: Signature
    version: str
    cooled: Cooled


@dataclass(frozen=True)
class Warm:
    """An artifact that is open and runs at a steady speed; its sessions are one per stream."""

    session: Session
    infers: Sequence[Callable[[], object]]
    version: str
    begun_ns: int
    load_ns: int
    first_ns: int
    warmup_runs: int
    steady: bool
    base_rss_bytes: int
    cooled: Cooled


@dataclass(frozen=True)
class Watched:
    """What happened to the process and the machine during a timed loop."""

    page_faults: int
    preemptions: int
    before: Snapshot
    after: Snapshot


@dataclass(frozen=True)
class Timed:
    """Nanoseconds per inference, those of all together, and the frequency halfway."""

    samples: list[int]
    wall_ns: int
    frequency_mhz: Optional[float]


def time_opening(
    runtime: Runtime,
    path: Path,
    inputs: Mapping[str, np.ndarray],
    options: OpenOptions,
    plan: TimingPlan,
    work: Workspace,
) -> Opening:
    """Open an artifact, warm it up to a steady speed and time it.

    Args:
        runtime: the engine.
        path: the entry file of the artifact.
        inputs: one batch by input name.
        options: how to open it.
        plan: how long.
        work: where the samples are written.

    Raises:
        ModelError, MissingError, DataError: as `Runtime.open` and `Session.run` do.
        UsageError: the artifact's batch is fixed to another, or nothing can be bound.
    """
    with ExitStack() as stack:
        warm = open_warm(stack, runtime, path, inputs, options, plan, work)
        work.progress(Progress("measure"))
        timed, watched = watch(lambda: _loop(warm.infers, plan))
        return opening_of(warm, timed, watched, plan, work, "samples.npy")


def open_warm(
    stack: ExitStack,
    runtime: Runtime,
    path: Path,
    inputs: Mapping[str, np.ndarray],
    options: OpenOptions,
    plan: TimingPlan,
    work: Workspace,
) -> Warm:
    """Open an artifact until ``stack`` closes it, and warm it up; see `time_opening`."""
    version = runtime.version()  # imports the engine
    cooled = cool_down(plan.cool_to_c, plan.cool_max_s)
    base_rss_bytes = begin_peak()
    begun = time.perf_counter_ns()
    sessions = runtime.open_streams(path, options, plan.streams)
    load_ns = time.perf_counter_ns() - begun
    for session in sessions:
        stack.enter_context(session)
    refuse_fixed_batch(path.name, session.signature.batch, plan.batch)
    inputs = narrowed(session.signature, inputs)
    infers = [one.prepare(inputs) if plan.copy else one.bind(inputs) for one in sessions]
    started = time.perf_counter_ns()
    infers[0]()
    first_ns = time.perf_counter_ns() - started
    work.progress(Progress("warm up"))
    warmup_runs, steady = _warm_up(infers, plan)
    return Warm(session, infers, version, begun, load_ns, first_ns, warmup_runs, steady, base_rss_bytes, cooled)


def opening_of(warm: Warm, timed: Timed, watched: Watched, plan: TimingPlan, work: Workspace, name: str) -> Opening:
    """What is known of an opening once its loop has ended; ``name`` is the file of its samples."""
    np.save(work.folder / name, np.array(timed.samples, dtype=np.int64), allow_pickle=False)
    return Opening(
        load_ms=warm.load_ns / 1e6,
        first_ms=warm.first_ns / 1e6,
        warmup_runs=warm.warmup_runs,
        steady=warm.steady,
        samples=work.blob(name),
        timed_s=timed.wall_ns / 1e9,
        seconds=(time.perf_counter_ns() - warm.begun_ns) / 1e9,
        copies=warm.session.copies if plan.copy else "nothing",
        base_rss_bytes=warm.base_rss_bytes,
        peak_rss_bytes=peak_rss_bytes(),
        page_faults_per_inference=watched.page_faults / len(timed.samples),
        preemptions_per_inference=watched.preemptions / len(timed.samples),
        environment=probe(),
        before=watched.before,
        after=watched.after,
        frequency_during_mhz=timed.frequency_mhz,
        effective=warm.session.effective(),
        signature=warm.session.signature,
        version=warm.version,
        cooled=warm.cooled,
    )


def refuse_fixed_batch(name: str, fixed: Optional[int], batch: int) -> None:
    """Refuse a batch that an artifact cannot take.

    Args:
        name: of the artifact.
        fixed: the batch it declares; None where it is free.
        batch: the one that is asked for.

    Raises:
        UsageError: the two differ.
    """
    if fixed not in (None, batch):
        raise UsageError(
            "fixed-batch",
            f"{name} takes a batch of {fixed} only.",
            received=f"batch {batch}",
            hint=f"Leave --batch out, or use --batch {fixed}.",
        )


def is_steady(samples: list[int]) -> bool:
    """Whether the speed has settled: the medians of the last third and of the third before agree.

    They may differ by three standard errors of their difference, within `STEADY_SHARE`. That of a median of n is about
    ``1.86 MAD / sqrt(n)`` (1.2533 times that of the mean for a normal distribution, whose deviation is 1.4826 MAD).
    """
    window = len(samples) // 3
    if window < 1:
        return False
    last, previous = samples[-window:], samples[-2 * window : -window]
    settled, before = statistics.median(last), statistics.median(previous)
    errors = (_median_error(last, settled), _median_error(previous, before))
    allowed = min(max(3 * math.hypot(*errors), STEADY_SHARE[0] * before), STEADY_SHARE[1] * before)
    return abs(settled - before) <= allowed


def _median_error(samples: Sequence[int], middle: float) -> float:
    return 1.86 * statistics.median(abs(value - middle) for value in samples) / math.sqrt(len(samples))


def _warm_up(infers: Sequence[Callable[[], object]], plan: TimingPlan) -> tuple[int, bool]:
    """Run until steady or until the time limit. Returns the inferences done and whether steady."""
    runs, steady = _warm_up_one(infers[0], plan)
    if len(infers) > 1:  # the other streams, and what they do to each other
        runs += len(_streams(infers, plan.warmup_min_s, plan.warmup_min_runs, plan.max_s).samples)
    return runs, steady


def _warm_up_one(infer: Callable[[], object], plan: TimingPlan) -> tuple[int, bool]:
    """Steady is what looks so twice, the second time over half as many inferences again.

    One look takes a slow drift for none: in simulations of a speed that falls to a quarter within 0.3 s it ended the
    warm-up of a 1 ms model at three times the final time, where two looks waited for the end of the drift.
    """
    clock = time.perf_counter_ns
    begin = clock()
    samples: list[int] = []
    next_look, looked_steady = plan.warmup_min_runs, False
    while True:
        start = clock()
        infer()
        end = clock()
        samples.append(end - start)
        elapsed_s = (end - begin) / 1e9
        if len(samples) >= next_look and elapsed_s >= plan.warmup_min_s:
            steady = is_steady(samples)
            if steady and looked_steady:
                return len(samples), True
            looked_steady = steady
            next_look = len(samples) + max(3, len(samples) // (2 if steady else 5))  # looking costs time
        if elapsed_s >= plan.max_s:
            return len(samples), False


def watch(loop: Callable[[], T]) -> tuple[T, Watched]:
    """Run a timed loop with the garbage collector off, and look at the machine before and after."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        before, usage = snapshot(), resource.getrusage(resource.RUSAGE_SELF)
        timed = loop()
        used, after = resource.getrusage(resource.RUSAGE_SELF), snapshot()
    finally:
        if enabled:
            gc.enable()
    faults = (used.ru_minflt - usage.ru_minflt) + (used.ru_majflt - usage.ru_majflt)
    return timed, Watched(faults, used.ru_nivcsw - usage.ru_nivcsw, before, after)


def _loop(infers: Sequence[Callable[[], object]], plan: TimingPlan) -> Timed:
    if len(infers) == 1:
        return _one_by_one(infers[0], plan)
    return _streams(infers, plan.min_s, plan.min_runs, plan.max_s)


def _one_by_one(infer: Callable[[], object], plan: TimingPlan) -> Timed:
    """Nothing but two looks at the clock is between an inference and its time; the frequency is read halfway."""
    samples: list[int] = []
    begin = time.perf_counter_ns()
    _run_until(infer, samples, begin, plan.min_s / 2, plan.min_runs // 2, plan.max_s / 2)
    pause = time.perf_counter_ns()
    mhz = frequency_mhz()
    paused = time.perf_counter_ns() - pause
    if time.perf_counter_ns() < begin + paused + int(plan.max_s * 1e9):
        _run_until(infer, samples, begin + paused, plan.min_s, plan.min_runs, plan.max_s)
    return Timed(samples, time.perf_counter_ns() - begin - paused, mhz)


def _run_until(
    infer: Callable[[], object], samples: list[int], begin: int, enough_s: float, runs: int, limit_s: float
) -> None:
    """Time inferences until there are enough after so many seconds from ``begin`` on, or at the limit."""
    clock = time.perf_counter_ns
    enough, limit = begin + int(enough_s * 1e9), begin + int(limit_s * 1e9)
    while True:
        start = clock()
        infer()
        end = clock()
        samples.append(end - start)
        if (end >= enough and len(samples) >= runs) or end >= limit:
            return


def _streams(infers: Sequence[Callable[[], object]], min_s: float, min_runs: int, max_s: float) -> Timed:
    """Streams side by side, each in a thread of its own, begun together; ``min_runs`` are for all together."""
    from concurrent.futures import ThreadPoolExecutor  # not needed to time one stream, whose process starts sooner so

    together = threading.Barrier(len(infers) + 1)
    runs = -(-min_runs // len(infers))

    def stream(infer: Callable[[], object]) -> tuple[list[int], int]:
        samples: list[int] = []
        together.wait()
        _run_until(infer, samples, time.perf_counter_ns(), min_s, runs, max_s)
        return samples, time.perf_counter_ns()

    with ThreadPoolExecutor(len(infers)) as threads:
        going = [threads.submit(stream, infer) for infer in infers]
        together.wait()
        begin = time.perf_counter_ns()
        time.sleep(min_s / 2)
        mhz = frequency_mhz()
        done = [future.result() for future in going]
    samples = [sample for each, _ in done for sample in each]
    return Timed(samples, max(end for _, end in done) - begin, mhz)
