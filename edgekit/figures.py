"""Rows of results and the figures in them: frozen, with the JSON form that the codec gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgekit.checked import Accuracy, Parity
from edgekit.types import Attempt, Effective, Signature, Verdict


@dataclass(frozen=True, slots=True)
class Pays:
    """Whether a quantized artifact is faster than the one it was made from.

    Attributes:
        device: where both were timed, in turns.
        answer: ``yes`` or ``no`` when the interval excludes 1, else ``not shown``, which ``--must-pay`` lets pass.
        speedup: p50 of the parent over p50 of the artifact.
        ci95: interval of the speed-up.
        likely_reason: why that is not shown to pay, in one sentence; None when it does.
        size_ratio: bytes of the parent's files over the artifact's.
        memory_ratio: peak memory of the parent's inference process, beyond the interpreter with its engine, over the
            artifact's; None where either was too small to tell.
        over: what the engine computed the parent in, such as ``f32``.
        by_default: what it would compute the parent in if that were not pinned, such as ``bf16``: inferred from the
            engine's rule and the CPU's features, and not timed. None where that is the same.
    """

    device: str
    answer: Literal["yes", "no", "not shown"]
    speedup: float | None
    ci95: tuple[float, ...] | None
    likely_reason: str | None
    size_ratio: float | None = None
    memory_ratio: float | None = None
    over: str | None = None
    by_default: str | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """One recipe that was tried, judged on samples that take no part in the reported figures.

    Attributes:
        recipe: its short name.
        outcome: ``chosen``, ``worse`` (noisier, or less of the arithmetic in few bits), or that of an attempt:
            ``rejected``, ``unrunnable``, ``failed``, ``crashed``, ``timeout``, ``out-of-memory``.
        reason: one sentence; empty for the chosen one.
        sqnr_db: of the worst output.
        metric: the task metric; None without labels.
        low_bit_macs: share of the multiply-accumulates that are in few bits.
        seconds: wall time of quantizing, loading and comparing.
    """

    recipe: str
    outcome: str
    reason: str
    sqnr_db: float | None
    metric: float | None
    low_bit_macs: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Quantization:
    """How an artifact came to its recipe.

    Attributes:
        recipe: short name; the manifest holds every setting.
        model_kind: ``convolutional``, ``transformer``, ``recurrent`` or ``other``.
        trials: recipes in the order they were tried.
        low_bit_macs: share of the multiply-accumulates in few bits; None for a weight-only precision.
        left_float: operators that were given back to float to meet the accuracy budget.
        calibration_samples, selection_samples: what the ranges and the choice rest on.
    """

    recipe: str
    model_kind: str
    trials: tuple[Trial, ...]
    low_bit_macs: float | None
    left_float: tuple[str, ...]
    calibration_samples: int
    selection_samples: int


@dataclass(frozen=True, slots=True)
class ArtifactResult:
    """One artifact that was made, or the attempts that made none.

    ``path``, ``size_bytes``, ``sha256`` and ``route`` are None when no route was accepted; ``loads_in`` is the oldest
    runtime known to load an export, such as ``onnxruntime 1.14``, and None where that is not known.
    """

    target: str
    precision: str
    path: str | None
    size_bytes: int | None
    sha256: str | None
    route: str | None
    verdict: Verdict
    reasons: tuple[str, ...]
    parity: Parity | None
    accuracy: Accuracy | None
    attempts: tuple[Attempt, ...]
    pays: tuple[Pays, ...] = ()
    loads_in: str | None = None
    quantization: Quantization | None = None

    @property
    def name(self) -> str:
        return f"{self.target} {self.precision}"


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds per inference. Percentiles are nearest rank over all openings.

    Attributes:
        p99: None where fewer than 500 inferences support it.
        ci95_p50: bootstrapped over openings; empty for a single opening.
    """

    p50: float
    p90: float
    p99: float | None
    min: float
    mean: float
    ci95_p50: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One artifact, timed on one runtime and device.

    Attributes:
        threads: inference threads; None is the engine's own choice.
        load_ms, first_ms: opening the artifact and its first inference, in a fresh process.
        peak_rss_mb: what the process held at its peak beyond the bare interpreter with its engine, in MiB.
        openings: independent openings; ``samples`` counts the inferences of all.
        opening_p50_ms: median of each opening, which a later comparison bootstraps over.
        environment: facts about the machine, such as ``cpu``, ``governor``, ``load_before``.
        measured_at: UTC, ISO 8601.
        sha256: digest of the artifact.
        source, source_sha256: path and digest of the model it was made from, None outside a kit.
    """

    artifact: str
    target: str
    precision: str
    runtime: str
    device: str
    threads: int | None
    batch: int
    scenario: str
    latency_ms: Latency | None
    throughput_per_s: float | None
    load_ms: float | None
    first_ms: float | None
    peak_rss_mb: float | None
    size_bytes: int
    openings: int
    samples: int
    opening_p50_ms: tuple[float, ...]
    verdict: Verdict
    reasons: tuple[str, ...]
    effective: Effective | None
    environment: dict[str, str]
    measured_at: str
    pays: tuple[Pays, ...] = ()
    sha256: str | None = None
    source: str | None = None
    source_sha256: str | None = None

    @property
    def name(self) -> str:
        return f"{self.target} {self.precision}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A result against a stored baseline.

    Attributes:
        ratio: new p50 over baseline p50; above 1 is slower.
        ci95: interval of the ratio.
        answer: ``faster``, ``slower``, ``no difference shown`` or ``not comparable``.
        regression: whether the lower bound exceeds the limit that was given.
    """

    artifact: str
    baseline: str
    ratio: float | None
    ci95: tuple[float, ...] | None
    answer: str
    regression: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """A trained model in a few figures.

    Attributes:
        path: as the user gave it: a file or folder, or ``file.py:factory``.
        sha256: of the content, and of code that takes part in it.
        kind: node of the conversion graph without a backend, such as ``keras`` or ``torch.nn``.
        backend: that the reference ran on; ``none`` for an engine.
        framework: library and version that wrote or ran the model.
        signature: named inputs and outputs.
        parameters: count of weights; None where nothing tells.
        custom_objects: Python files that it was loaded with.
        submodel: the model inside the model that is meant.
        trust_code: whether code in the file was run.
    """

    path: str
    sha256: str
    kind: str
    backend: str
    framework: str
    signature: Signature
    parameters: int | None
    custom_objects: tuple[str, ...] = ()
    submodel: str | None = None
    trust_code: bool = False


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Which artifact to deploy, and why; ``artifact`` is None when none can be recommended."""

    artifact: str | None
    path: str | None
    reason: str
