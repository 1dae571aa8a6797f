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
        accelerator: what both ran on there.
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
    accelerator: str = "CPU"


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
        p90: None under 50 inferences, and ``p99`` under 500: fewer do not support it.
        ci95_p50: bootstrapped over openings; empty for a single opening.
        ci95_p90, ci95_p99: two order statistics that account for openings; empty where the sample supports none.
    """

    p50: float
    p90: float | None
    p99: float | None
    min: float
    mean: float
    ci95_p50: tuple[float, ...]
    ci95_p90: tuple[float, ...] = ()
    ci95_p99: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """What one operator takes, as the engine executes it.

    Attributes:
        name, kind: as the engine calls it; several operators that were timed together are named from first to last.
        layers: of the source that it computes, several where they were fused; see `Profile.layers_of`.
        ms: of one inference; 0 for less than the clock tells, see `Profile.resolution_ms`.
        share: of `Profile.total_ms`.
        precision: what it computes in, such as ``i8``; None where the engine does not tell.
        placement: what executes it, such as ``CPU``, or ``XNNPACK`` of LiteRT; None where the engine does not tell.
        noise_ms: half the 95 % interval of ``ms``; None where the engine timed it.
    """

    name: str
    kind: str
    layers: tuple[str, ...]
    ms: float
    share: float
    precision: str | None
    placement: str | None
    noise_ms: float | None = None


@dataclass(frozen=True, slots=True)
class LayerTime:
    """What the operators of one layer of the source take together.

    Attributes:
        layers: one, or several that were fused so that nothing tells them apart.
        ms, share: the sum over the operators.
        operators: how many these are.
    """

    layers: tuple[str, ...]
    ms: float
    share: float
    operators: int


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the time of an inference goes. It is no latency: what is measured here was changed for it.

    Attributes:
        method: ``engine profile``, or ``bisection``: prefixes of the graph, timed in turns.
        total_ms: what the operators add up to.
        operators: those that take the most time first.
        plain_ms: a whole inference as it is, in the same process and in turns with the profile: the median, or for
            ``bisection`` the median of the fastest of each opening.
        profiled_ms: the same while the engine profiles; None for ``bisection``, which slows nothing.
        runs: inferences that each time rests on; for ``bisection`` openings of each prefix.
        resolution_ms: the least time that the clock tells; less is 0.
        layers_of: whose layers operators are matched with: those of the ``source``, or operators of the ``file``.
        layers: the same time by layer of the source, most first; what engines add, such as a change of layout, is in
            none. Empty without the source.
        notes: what else is to be known, in full sentences.
    """

    method: Literal["engine profile", "bisection"]
    total_ms: float
    operators: tuple[OperatorTime, ...]
    plain_ms: float
    profiled_ms: float | None
    runs: int
    resolution_ms: float
    layers_of: Literal["source", "file"]
    layers: tuple[LayerTime, ...] = ()
    notes: tuple[str, ...] = ()


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
        streams: inferences side by side.
        input_copy: what each timed inference copied: ``inputs and outputs``, ``outputs`` (the engine reads inputs where
            they lie) or ``nothing`` (both were bound once).
        load_cached_ms: opening the artifact in a fresh process with what its engine kept of an earlier one; None
            outside the ``cold`` scenario, and where the engine keeps nothing.
        way: how a source was run by its framework: ``predict``, ``eager``, ``compiled`` or ``exported``; None for an
            artifact. ``target`` is then the kind of source, and ``runtime`` the framework, such as ``keras:jax``.
        profile: where the time goes; None where that was not asked for, or the reasons say why there is none.
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
    way: str | None = None
    streams: int = 1
    input_copy: str | None = None
    load_cached_ms: float | None = None
    profile: Profile | None = None

    @property
    def name(self) -> str:
        return f"{self.target} {self.precision}" if self.way is None else f"{self.runtime} {self.way}"

    @property
    def emulated(self) -> bool:
        """Whether another CPU, or the GPU, was emulated in software: its times mean nothing then."""
        return self.environment.get("emulated") == str(True)


@dataclass(frozen=True, slots=True)
class Gain:
    """How much faster an artifact is than its source in one of the ways that the framework runs it.

    Attributes:
        artifact: its path.
        name: target and precision of the artifact.
        over: framework and way, such as ``keras:jax predict``.
        device: where both were timed, in turns.
        speedup: p50 of the source over p50 of the artifact, per sample.
        ci95: interval of the speed-up.
    """

    artifact: str
    name: str
    over: str
    device: str
    speedup: float
    ci95: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A timing against an earlier one, or against another artifact that took turns with it.

    Attributes:
        artifact, baseline: paths of the new one and of what it is compared with.
        ratio: new p50 over baseline p50, of two that took turns the median over rounds; above 1 is slower.
        ci95: interval of the ratio, corrected for the looks that were taken at it.
        answer: ``faster``, ``slower``, ``no difference shown`` or ``not comparable``.
        regression: whether the lower bound exceeds the limit that was given.
        name: target and precision of the new one.
        minimum_detectable: the least difference that such a measurement shows in 80 of 100 cases, as a share.
        rounds: in which both took turns; None for results of different times.
        base_ms, new_ms: p50 of each.
    """

    artifact: str
    baseline: str
    ratio: float | None
    ci95: tuple[float, ...] | None
    answer: str
    regression: bool
    reasons: tuple[str, ...]
    name: str = ""
    minimum_detectable: float | None = None
    rounds: int | None = None
    base_ms: float | None = None
    new_ms: float | None = None


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
