"""What is timed, how, and what came out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit import __version__
from edgekit.errors import EdgekitError, UsageError
from edgekit.figures import Latency
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Job
from edgekit.latency.statistics import Estimate, estimate_p50, percentile, summarise
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.cached import CachedLoad, CachedLoadJob
from edgekit.runtimes.cpus import show_cpus
from edgekit.runtimes.environment import foreign_load
from edgekit.runtimes.jobs import TimeJob
from edgekit.runtimes.timing import Opening, TimingPlan
from edgekit.types import Blob

Scenario = Literal["latency", "throughput", "cold"]
SCENARIOS: tuple[Scenario, ...] = ("latency", "throughput", "cold")

#: What instruction sets are called outside of Linux on Arm.
_COMMON_NAMES = {"asimd": "neon", "asimddp": "dotprod", "asimdhp": "fp16"}

#: Under this many openings an interval over openings says next to nothing.
MIN_OPENINGS = 3

#: Why times of an emulator are neither compared nor counted.
EMULATED = "the CPU or GPU is emulated, so these times are not representative of a device."


@dataclass(frozen=True, slots=True)
class Candidate:
    """One artifact to time, or something else that a subclass knows how to run.

    Attributes:
        name: for messages and progress.
        runtime: name in the registry.
        files: the artifact, the entry file first.
        inputs: one ``.npy`` per input name, samples first; repeated where a batch needs more.
        options: how to open it.
        size_bytes: of all files.
        fixed_batch: the batch that the artifact declares; None where it is free.
        compiles: its first opening may compile for long, and does not count towards the time limit; the others
            have the same process, which keeps what was compiled.
    """

    name: str
    runtime: str
    files: tuple[Blob, ...]
    inputs: Mapping[str, Blob]
    options: OpenOptions
    size_bytes: int
    fixed_batch: int | None = None
    compiles: bool = False

    def job(self, inputs: Mapping[str, Blob], options: OpenOptions, plan: TimingPlan) -> Job[Opening]:
        """What times one opening of it."""
        return TimeJob(self.runtime, self.files, dict(inputs), options, plan)

    def cached_load(self, options: OpenOptions, cache: tuple[Blob, ...]) -> Job[CachedLoad] | None:
        """What loads it with the engine's cache; None for what has none."""
        return CachedLoadJob(self.runtime, self.files, options, cache)

    def context(self, device: Context) -> Context:
        """The process it runs in; ``device`` is that of engines."""
        return device


@dataclass(frozen=True, slots=True)
class BenchSettings:
    """How to measure.

    Attributes:
        scenario: ``latency`` of one inference after another; ``throughput`` at the best batch and streams with all
            threads; ``cold``, load and first inference in a fresh process.
        batch: samples per inference; None is 1 or what the artifact is fixed to, and in ``throughput`` the best.
        streams: inferences side by side; None is 1, and in ``throughput`` the best.
        copy: whether each inference copies its inputs and outputs, as `Session.prepare` does by default; False binds
            them once.
        openings: at least so many openings of each artifact, 3 or more.
        half_width: half-width of the 95 % interval of p50, as a share of p50, at which an artifact is done.
        max_seconds: wall time per artifact after which no further opening starts.
        min_seconds: timed seconds per opening.
        span_seconds: an artifact is not done before so many seconds, those of others between included: noise that
            lasts for seconds cannot be seen in less. At most half of ``max_seconds``.
        emulated: the device emulates its CPU: one opening of three inferences tests the path, nothing more.
    """

    scenario: Scenario = "latency"
    batch: int | None = None
    streams: int | None = None
    copy: bool = True
    openings: int = 8
    half_width: float = 0.02
    max_seconds: float = 20.0
    min_seconds: float = 0.1
    span_seconds: float = 4.0
    emulated: bool = False

    def __post_init__(self) -> None:
        _demand(self.scenario in SCENARIOS, "scenario", self.scenario, f"one of {', '.join(SCENARIOS)}")
        _demand(self.batch is None or self.batch >= 1, "batch", self.batch, "1 or more")
        _demand(self.streams is None or self.streams >= 1, "streams", self.streams, "1 or more")
        _demand(self.openings >= MIN_OPENINGS, "openings", self.openings, f"{MIN_OPENINGS} or more")
        _demand(0 < self.half_width < 1, "half_width", self.half_width, "between 0 and 1")
        _demand(self.max_seconds > 0, "max_seconds", self.max_seconds, "above 0")
        _demand(self.min_seconds > 0, "min_seconds", self.min_seconds, "above 0")
        _demand(self.span_seconds >= 0, "span_seconds", self.span_seconds, "0 or more")
        if self.streams not in (None, 1) and self.scenario != "throughput":
            raise UsageError(
                "streams-without-throughput",
                "only the throughput scenario runs inferences side by side.",
                received=f"{self.streams} streams for {self.scenario}",
                hint="Give --scenario throughput, or leave --streams out.",
            )


@dataclass(frozen=True, slots=True)
class Measured:
    """The timing of one candidate, or the error that ended it.

    Attributes:
        candidate: what was timed.
        scenario: see `BenchSettings`.
        batch: samples per inference.
        streams: inferences side by side.
        options: how it was opened; in ``throughput`` with the threads that were used.
        openings: in order; empty where the first one failed.
        samples_ms: milliseconds per inference of each opening; for ``cold`` one figure each, load plus first
            inference, without the start of the process and the import of the engine.
        rounds: the round of each opening, which pairs it with those of other candidates.
        processes: a number for the process of each opening; empty where one had them all.
        converged: whether the interval became as narrow as asked within the time limit.
        cached_loads_ms: opening the artifact in fresh processes with what its engine kept of an earlier one, for
            ``cold``; empty where the engine offers no such thing.
        notes: what else the user should know, in full sentences.
        error: what ended the measurement.
    """

    candidate: Candidate
    scenario: Scenario
    batch: int
    options: OpenOptions
    streams: int = 1
    openings: tuple[Opening, ...] = ()
    samples_ms: tuple[NDArray[np.float64], ...] = ()
    rounds: tuple[int, ...] = ()
    processes: tuple[int, ...] = ()
    converged: bool = False
    cached_loads_ms: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    error: EdgekitError | None = None

    @property
    def latency_ms(self) -> Latency | None:
        """Percentiles over all openings; None without any."""
        return summarise(self.samples_ms) if self.samples_ms else None

    @property
    def p50(self) -> Estimate | None:
        """Median milliseconds with its interval; None with fewer than two openings."""
        return estimate_p50(self.samples_ms) if len(self.samples_ms) > 1 else None

    @property
    def opening_p50_ms(self) -> tuple[float, ...]:
        """The median of each opening."""
        return tuple(percentile(np.sort(samples), 50) for samples in self.samples_ms)

    @property
    def throughput_per_s(self) -> float | None:
        """Samples per second of wall time over all openings; None outside the ``throughput`` scenario."""
        if self.scenario != "throughput" or not self.openings:
            return None
        return self.batch * sum(map(len, self.samples_ms)) / sum(opening.timed_s for opening in self.openings)

    @property
    def load_ms(self) -> float | None:
        """Opening the artifact in a fresh process: the median over processes."""
        return median([opening.load_ms for opening in self._fresh()]) if self.openings else None

    @property
    def load_cached_ms(self) -> float | None:
        """The median of `cached_loads_ms`."""
        return median(self.cached_loads_ms) if self.cached_loads_ms else None

    @property
    def first_ms(self) -> float | None:
        """The first inference in a fresh process: the median over processes."""
        return median([opening.first_ms for opening in self._fresh()]) if self.openings else None

    @property
    def peak_rss_mb(self) -> float | None:
        """MiB that the artifact's process held at its peak beyond the interpreter with its engine."""
        if not self.openings:
            return None
        return max(opening.peak_rss_bytes - opening.base_rss_bytes for opening in self._fresh()) / 2**20

    @property
    def foreign_load(self) -> float | None:
        """CPU time of others while it was timed, as a share of one core; None where it cannot be read."""
        shares = [(opening.after.monotonic_s - opening.before.monotonic_s, opening) for opening in self.openings]
        loads = [(seconds, foreign_load(opening.before, opening.after)) for seconds, opening in shares]
        known = [(seconds, load) for seconds, load in loads if load is not None]
        total = sum(seconds for seconds, _ in known)
        return sum(seconds * load for seconds, load in known) / total if total else None

    def facts(self) -> dict[str, str]:
        """The machine and its state as text, for a result; what could not be read is left out."""
        return {key: str(value) for key, value in self._facts() if value not in (None, "", ())}

    def _facts(self) -> Iterator[tuple[str, Any]]:
        if not self.openings:
            return
        first, last = self.openings[0], self.openings[-1]
        machine = first.environment
        for name in ("architecture", "cpu", "board", "logical_cpus", "governor", "container", "virtual", "emulated"):
            yield name, getattr(machine, name)
        yield "cpu_features", " ".join(dict.fromkeys(_COMMON_NAMES.get(name, name) for name in machine.features))
        yield "cpus_used", len(machine.affinity)
        yield "cpus", show_cpus(machine.affinity)
        yield "cores_used", machine.cores
        yield "cpu_quota", _short(machine.cpu_quota)
        yield "max_frequency_mhz", _short(machine.max_frequency_mhz)
        yield "memory_mb", machine.memory_bytes and machine.memory_bytes >> 20
        available = last.after.memory_available_bytes
        yield "memory_available_mb", available and available >> 20
        yield "edgekit", __version__
        for name in ("os", "kernel", "libc", "python", "numpy"):
            yield name, getattr(machine, name)
        yield "engine", f"{self.candidate.runtime} {first.version}"
        yield "load_before", first.before.load_average
        yield "load_after", last.after.load_average
        yield "foreign_load", _short(self.foreign_load)
        yield "frequency_before_mhz", _short(first.before.frequency_mhz)
        yield "frequency_during_mhz", _short(_mean(opening.frequency_during_mhz for opening in self.openings))
        yield "frequency_after_mhz", _short(last.after.frequency_mhz)
        yield "temperature_before_c", _short(first.before.temperature_c)
        yield "temperature_after_c", _short(last.after.temperature_c)
        yield "throttle_events", _since(first.before.throttle_events, last.after.throttle_events)
        yield "quota_stops", _since(first.before.quota_stops, last.after.quota_stops)
        yield "page_faults_per_inference", _short(fmean(opening.page_faults_per_inference for opening in self.openings))
        yield "preemptions_per_inference", _short(fmean(opening.preemptions_per_inference for opening in self.openings))

    def _fresh(self) -> tuple[Opening, ...]:
        """The openings that were the first of their process."""
        before = (None, *self.processes)
        found = [
            one for one, process, last in zip(self.openings, self.processes, before, strict=False) if process != last
        ]
        return tuple(found) or self.openings[:1]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _since(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"


def _demand(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise UsageError(
            "bad-setting",
            f"{name} should be {wanted}.",
            received=str(value),
            hint=f"Set {name} to {wanted}, or leave it out.",
        )
