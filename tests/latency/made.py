"""Measurements made up from given samples, on a made-up machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.figures import BenchRow
from edgekit.latency.measured import Candidate, Measured
from edgekit.runtimes.base import OpenOptions
from edgekit.runtimes.cooling import Cooled
from edgekit.runtimes.environment import Environment, Snapshot
from edgekit.runtimes.timing import Opening
from edgekit.types import Blob, Effective, Reading, Signature

MACHINE = Environment(
    architecture="x86_64",
    cpu="Made-up 3000",
    board=None,
    features=("avx2", "avx512_vnni"),
    logical_cpus=2,
    affinity=(0, 1),
    cores=2,
    cpu_quota=None,
    governor="performance",
    max_frequency_mhz=3000.0,
    memory_bytes=8 << 30,
    container=None,
    virtual=False,
    emulated=False,
    python="3.11.7",
    numpy="2.3.0",
    os="Debian",
    kernel="Linux 6.1",
    libc="glibc 2.36",
)
QUIET = Snapshot(0.0, 0.0, 0.0, 0.1, 3000.0, 50.0, None)


def speeds(
    p50_ms: float, openings: int = 8, *, spread: float = 0.01, seed: int = 0, size: int = 100
) -> list[NDArray[Any]]:
    """Samples of openings that each have their own speed around a median."""
    random = np.random.default_rng(seed)
    each = p50_ms * (1 + spread * random.standard_normal(openings))
    return [speed * (1 + 0.02 * random.standard_normal(size)) for speed in each]


def opening(*, before: Snapshot = QUIET, after: Snapshot | None = None, **changes: Any) -> Opening:
    """One opening of a second, on an idle machine unless the snapshots say otherwise."""
    made = Opening(
        load_ms=12.0,
        first_ms=3.0,
        warmup_runs=10,
        steady=True,
        samples=Blob("0" * 64, "samples.npy", 928),
        timed_s=1.0,
        seconds=1.5,
        copies="inputs and outputs",
        base_rss_bytes=60 << 20,
        peak_rss_bytes=80 << 20,
        page_faults_per_inference=0.0,
        preemptions_per_inference=0.0,
        environment=MACHINE,
        before=before,
        after=after or replace(before, monotonic_s=1.0, own_cpu_s=1.0, busy_cpu_s=1.0),
        frequency_during_mhz=before.frequency_mhz,
        effective=Effective(Reading("f32", "engine"), Reading("CPU", "engine")),
        signature=Signature((), ()),
        version="1.0",
        cooled=Cooled(0.0, 50.0, 50.0, reached=True),
    )
    return replace(made, **changes)


def measured(samples_ms: Sequence[NDArray[Any]], *openings: Opening, **changes: Any) -> Measured:
    """A converged measurement; the last opening given stands for the rest."""
    given = openings or (opening(),)
    made = Measured(
        candidate=Candidate("onnx fp32", "onnxruntime", (), {}, OpenOptions(), 1000),
        scenario="latency",
        batch=1,
        options=OpenOptions(),
        openings=tuple(given[min(index, len(given) - 1)] for index in range(len(samples_ms))),
        samples_ms=tuple(samples_ms),
        rounds=tuple(range(len(samples_ms))),
        converged=True,
    )
    return replace(made, **changes)


def row(samples_ms: Sequence[NDArray[Any]], **changes: Any) -> BenchRow:
    """What a result keeps of a measurement."""
    source = measured(samples_ms)
    made = BenchRow(
        artifact="model.onnx",
        target="onnx",
        precision="fp32",
        runtime="onnxruntime",
        device="local",
        threads=1,
        batch=1,
        scenario="latency",
        latency_ms=source.latency_ms,
        throughput_per_s=None,
        load_ms=source.load_ms,
        first_ms=source.first_ms,
        peak_rss_mb=source.peak_rss_mb,
        size_bytes=1000,
        openings=len(samples_ms),
        samples=sum(map(len, samples_ms)),
        opening_p50_ms=source.opening_p50_ms,
        verdict="verified",
        reasons=(),
        effective=source.openings[0].effective,
        environment=source.facts(),
        measured_at="2026-01-01T00:00:00Z",
    )
    return replace(made, **changes)
