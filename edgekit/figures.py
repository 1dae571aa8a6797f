"""Rows of results and the figures in them: frozen, with the JSON form that the codec gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgekit.types import Attempt, Effective, Evidence, Signature, Verdict


@dataclass(frozen=True, slots=True)
class Derivation:
    """Where the bound on ``max_abs`` of one output comes from: ``clip(multiple * measured[method], low, high)``.

    Attributes:
        method: of the largest measure; None where nothing was measured.
        measured: how far the source's own output moves, in its unit, by method (`edgekit.parity.tolerance.METHODS`).
        scale: standard deviation of the source's output; its root mean square where all elements are equal.
        multiple: of that measure.
        low, high: the clip, shares of the scale.
        bound: that was derived.
        given: the user's own, which is judged in its place.
    """

    method: str | None
    measured: dict[str, float]
    scale: float
    multiple: float
    low: float
    high: float
    bound: float
    given: float | None = None

    @property
    def tolerance(self) -> float:
        """The bound that is judged."""
        return self.bound if self.given is None else self.given


@dataclass(frozen=True, slots=True)
class OutputParity:
    """How one output compares with its reference.

    Attributes:
        name: of the output.
        max_abs: largest absolute difference, in the output's unit.
        max_rel: largest difference relative to the reference, its magnitude floored at 1e-3 of its deviation.
        sqnr_db: signal to quantization noise, ``10 log10(sum((ref - mean)^2) / sum((ref - got)^2))``, the mean being
            that over samples; None when equal.
        worst_sqnr_db: the signal of an average sample over the noise of the worst one.
        cosine: cosine similarity over all elements.
        top1_agreement: share of samples with the same largest element (positions count as shares of their sample);
            None where the output may hold no classes.
        top1_ci95: Clopper-Pearson interval of that share.
        tolerance: the bound on ``max_abs`` that was judged; None where the precision has no such bound.
        noise_floor: how far the source's own output moves, by the largest of all measures of that.
        derivation: of the tolerance.
        top5_overlap: share of the source's five best classes that are among the artifact's five best, the mean over
            samples; for ``(samples, classes)`` that may hold classes, one less than all where there are five or fewer.
    """

    name: str
    max_abs: float | None
    max_rel: float | None
    sqnr_db: float | None
    worst_sqnr_db: float | None
    cosine: float | None
    top1_agreement: float | None
    top1_ci95: tuple[float, ...] | None
    tolerance: float | None
    noise_floor: float | None
    derivation: Derivation | None = None
    top5_overlap: float | None = None


@dataclass(frozen=True, slots=True)
class DefaultRun:
    """What an artifact computes where the engine chooses the precision. It never changes a verdict.

    Attributes:
        precision: that the engine computed in, such as ``bf16``.
        sqnr_db: of the worst output, beside the source; None when all are equal.
        top1_agreement: of the worst output that may hold classes; None where none may.
        summary: the same in one sentence.
    """

    precision: str
    sqnr_db: float | None
    top1_agreement: float | None
    summary: str


@dataclass(frozen=True, slots=True)
class Parity:
    """A comparison with the source and what it says.

    Attributes:
        verdict: worst criterion.
        reasons: one sentence per criterion that did not hold, or that could not be judged.
        outputs: figures per output.
        evidence: what was run.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    outputs: tuple[OutputParity, ...]
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A task metric on evaluation samples, beside the source's own.

    Attributes:
        metric: ``accuracy``, ``top5``, ``f1``, ``iou``, ``mse``, ``mae``, or ``file.py:function``; with ``@`` and the
            name of an output where the user named one.
        value, source_value: of the artifact and of the source, in the metric's unit.
        drop: how much worse the artifact is: ``source_value - value``, or the opposite where less is better.
        drop_ci95: paired interval of the drop; empty where the samples allow none, such as a single one.
        samples: how many were judged.
        metric_sha256: of the user's code; None for a metric of edgekit.
    """

    metric: str
    value: float
    source_value: float
    drop: float
    drop_ci95: tuple[float, ...]
    samples: int
    metric_sha256: str | None = None


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
class LayerParity:
    """How one layer of the reference compares with the tensor that holds it in the artifact.

    Attributes:
        layer, kind: of the reference.
        operator: of the artifact that computes the tensor; None where the layer was fused and has none.
        tensor: of the artifact.
        sqnr_db: None when equal, or without a tensor.
        max_abs: largest difference.
        tolerance: the bound on it that was derived for this layer; None where the precision has none.
        added_db: SQNR that the layer alone would have, its inputs being right; None where that is not known.
        good: whether it holds what the precision promises; None without a tensor.
    """

    layer: str
    kind: str
    operator: str | None
    tensor: str | None
    sqnr_db: float | None
    max_abs: float | None
    tolerance: float | None
    added_db: float | None
    good: bool | None


@dataclass(frozen=True, slots=True)
class Failing:
    """The smallest part of an artifact that shows its fault, on disk.

    Attributes:
        folder: holds the part, its inputs, what should come out, and a script.
        command: runs the script; exit status 1 shows the fault.
        operator: where the part begins.
        layers: what it computes, in layers of the reference.
        max_abs: by which its output differs there.
    """

    folder: str
    command: str
    operator: str
    layers: tuple[str, ...]
    max_abs: float


@dataclass(frozen=True, slots=True)
class Blame:
    """What a failure is traced to; `CheckRow.culprit` holds the same as words.

    Attributes:
        stage: the first that breaks: ``export``, ``quantize`` or ``device``; ``runtime`` where it does not run.
        layer: of the reference; None where no single one can be told.
        kind, operator: the first operator of the artifact that is not shown to be right; None where none can be told.
        fused: layers without a tensor of their own that this operator may compute too, in the order of execution.
        together: operators that are right one by one and wrong together.
    """

    stage: str
    layer: str | None = None
    kind: str | None = None
    operator: str | None = None
    fused: tuple[str, ...] = ()
    together: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The place within the stage, in words; empty where only the stage is known."""
        if self.together:
            return f"what the engine makes of {', '.join(self.together)} together: each is right alone"
        operator = " ".join(filter(None, (self.kind, self.operator)))
        if self.layer is None:
            return operator
        fused = f" with {', '.join(self.fused)} fused into it" if self.fused else ""
        return f"layer {self.layer}{fused} ({operator})"

    def __str__(self) -> str:
        return f"{self.stage}: {self.where}" if self.where else self.stage


@dataclass(frozen=True, slots=True)
class Distance:
    """How far an artifact's outputs are from what they are compared with.

    Attributes:
        sqnr_db: of the worst output; None when all are equal, or none could be compared.
        max_abs: the largest of all outputs; None where none could be compared.
        verdict: by the criteria of the artifact's precision.
    """

    sqnr_db: float | None
    max_abs: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class StageParity:
    """One stage on the way from the source to where an artifact runs.

    Attributes:
        stage: ``export``, ``quantize``, or ``device`` where the artifact was checked elsewhere than here.
        artifact: that the stage gives.
        against_parent: beside what the stage before gives; None where that is gone or does not run.
        against_source: beside the source; None where the artifact of this stage does not run.
        verdict: beside the parent where there is one, else beside the source.
        reasons: why it is not verified.
    """

    stage: str
    artifact: str
    against_parent: Distance | None
    against_source: Distance | None
    verdict: Verdict
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One artifact, checked on one runtime and device.

    Attributes:
        culprit: the first stage that breaks, such as ``export`` or ``quantize``, and the layer where that is known;
            None when nothing failed.
        sha256, source_sha256: digests of the artifact and of the source it was made from, None outside a kit.
        layers: in the order of execution; looked at when something failed, or when asked.
        failing: the smallest part that shows the fault.
        stages: from the source to this artifact, in order: for one that was made from another, and when something
            failed, or layers were asked for.
        blame: the culprit as fields.
        by_default: what the engine would make of an fp32 artifact unless it were pinned; None where that is the same.
    """

    artifact: str
    target: str
    precision: str
    runtime: str
    device: str
    verdict: Verdict
    reasons: tuple[str, ...]
    outputs: tuple[OutputParity, ...]
    effective: Effective | None
    culprit: str | None
    accuracy: Accuracy | None = None
    evidence: Evidence | None = None
    sha256: str | None = None
    source_sha256: str | None = None
    layers: tuple[LayerParity, ...] = ()
    failing: Failing | None = None
    stages: tuple[StageParity, ...] = ()
    blame: Blame | None = None
    by_default: DefaultRun | None = None


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
