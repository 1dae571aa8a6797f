"""The timing of one opening of an artifact. Part of the device core.

Each compilation of a model has its own speed, so one opening says little about the next: this module times one
and returns every sample; the host decides after each opening whether another is needed (`edgekit.latency`).
"""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np

from edgekit.jobs.protocol import Progress, Workspace
from edgekit.runtimes.base import OpenOptions, Runtime
from edgekit.runtimes.environment import Environment, Snapshot, probe, snapshot
from edgekit.runtimes.widths import narrowed
from edgekit.types import Blob, Effective, Signature

#: Steady: the medians of the last two windows differ by at most this share.
STEADY_SHARE = 0.05

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class TimingPlan:
    """How long to warm up and to measure.

    Attributes:
        batch: samples per inference.
        warmup_min_runs, warmup_min_s: inferences and seconds before steadiness is judged.
        min_runs, min_s: inferences and seconds that are timed at least.
        max_s: seconds after which the warm-up ends although not steady, and likewise the timed loop although
            ``min_runs`` is not reached. At least one inference is timed.
    """

    batch: int = 1
    warmup_min_runs: int = 10
    warmup_min_s: float = 0.1
    min_runs: int = 30
    min_s: float = 0.25
    max_s: float = 10.0


@dataclass(frozen=True)
class Opening:
    """One opening of an artifact, timed inference by inference.

    Attributes:
        load_ms: opening the artifact, the import of the engine excluded.
        first_ms: the first inference, which may still compile and allocate.
        warmup_runs: inferences after the first one and before the timed ones.
        steady: whether the warm-up ended because the speed was steady.
        samples: ``.npy`` of int64 nanoseconds, one per timed inference in order. Copies of the inputs into the
            engine and of the outputs out of it are included.
        base_rss_bytes: resident memory after the import of the engine and before the artifact was opened.
        peak_rss_bytes: the highest resident memory from then on.
        page_faults_per_inference, preemptions_per_inference: over the timed loop; a preemption is an involuntary
            context switch of any thread of the process.
        environment: the machine.
        before, after: around the timed loop.
        effective: what the engine really used.
        signature: as the artifact declares it.
        version: of the engine.
    """

    load_ms: float
    first_ms: float
    warmup_runs: int
    steady: bool
    samples: Blob
    base_rss_bytes: int
    peak_rss_bytes: int
    page_faults_per_inference: float
    preemptions_per_inference: float
    environment: Environment
    before: Snapshot
    after: Snapshot
    effective: Effective
    signature: Signature
    version: str


@dataclass(frozen=True)
class _Loop:
    """The timed loop: nanoseconds per inference and what happened to the process meanwhile."""

    samples: list[int]
    page_faults: int
    preemptions: int
    before: Snapshot
    after: Snapshot


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
    """
    version = runtime.version()  # imports the engine
    base_rss_bytes = _begin_memory()
    started = time.perf_counter_ns()
    session = runtime.open(path, options)
    load_ns = time.perf_counter_ns() - started
    with session:
        inputs = narrowed(session.signature, inputs)
        started = time.perf_counter_ns()
        session.run(inputs)
        first_ns = time.perf_counter_ns() - started
        infer = session.prepare(inputs)
        work.progress(Progress("warm up"))
        warmup_runs, steady = _warm_up(infer, plan)
        loop = _timed_loop(infer, plan)
        return Opening(
            load_ms=load_ns / 1e6,
            first_ms=first_ns / 1e6,
            warmup_runs=warmup_runs,
            steady=steady,
            samples=_save(loop.samples, work),
            base_rss_bytes=base_rss_bytes,
            peak_rss_bytes=_peak_rss_bytes(),
            page_faults_per_inference=loop.page_faults / len(loop.samples),
            preemptions_per_inference=loop.preemptions / len(loop.samples),
            environment=probe(),
            before=loop.before,
            after=loop.after,
            effective=session.effective(),
            signature=session.signature,
            version=version,
        )


def is_steady(samples: list[int]) -> bool:
    """Whether the speed has settled: the median of the last third is within 5 % of that of the third before."""
    window = len(samples) // 3
    if window < 1:
        return False
    last = statistics.median(samples[-window:])
    previous = statistics.median(samples[-2 * window : -window])
    return abs(last - previous) <= STEADY_SHARE * previous


def _warm_up(infer: Callable[[], object], plan: TimingPlan) -> tuple[int, bool]:
    """Run until steady or until the time limit. Returns the inferences done and whether steady."""
    clock = time.perf_counter_ns
    begin = clock()
    samples: list[int] = []
    next_look = plan.warmup_min_runs
    while True:
        start = clock()
        infer()
        end = clock()
        samples.append(end - start)
        elapsed_s = (end - begin) / 1e9
        if len(samples) >= next_look and elapsed_s >= plan.warmup_min_s:
            if is_steady(samples):
                return len(samples), True
            next_look = len(samples) + max(3, len(samples) // 5)  # looking costs time
        if elapsed_s >= plan.max_s:
            return len(samples), False


def _timed_loop(infer: Callable[[], object], plan: TimingPlan) -> _Loop:
    """Time inferences one by one, the garbage collector off."""
    clock = time.perf_counter_ns
    samples: list[int] = []
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        before, usage = snapshot(), resource.getrusage(resource.RUSAGE_SELF)
        begin = clock()
        enough, limit = begin + int(plan.min_s * 1e9), begin + int(plan.max_s * 1e9)
        while True:
            start = clock()
            infer()
            end = clock()
            samples.append(end - start)
            if (end >= enough and len(samples) >= plan.min_runs) or end >= limit:
                break
        used, after = resource.getrusage(resource.RUSAGE_SELF), snapshot()
    finally:
        if enabled:
            gc.enable()
    faults = (used.ru_minflt - usage.ru_minflt) + (used.ru_majflt - usage.ru_majflt)
    return _Loop(samples, faults, used.ru_nivcsw - usage.ru_nivcsw, before, after)


def _save(samples: list[int], work: Workspace) -> Blob:
    np.save(work.folder / "samples.npy", np.array(samples, dtype=np.int64), allow_pickle=False)
    return work.blob("samples.npy")


def _begin_memory() -> int:
    """Resident bytes now; from here on the kernel tracks a new peak, where it lets us ask for one."""
    with suppress(OSError):  # where it is refused the peak counts from the start of the process
        _CLEAR_REFS.write_text("5")  # resets VmHWM, proc_pid_clear_refs(5)
    return _status_bytes("VmRSS") or _rusage_peak_bytes()


def _peak_rss_bytes() -> int:
    return _status_bytes("VmHWM") or _rusage_peak_bytes()


def _status_bytes(key: str) -> int:
    """A field of ``/proc/self/status``; 0 where there is none. ``ru_maxrss`` would count the parent's pages too."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), 0)


def _rusage_peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
