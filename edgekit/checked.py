"""What a comparison shows: figures of outputs, layers and stages, and the row of one checked artifact."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.types import Effective, Evidence, Verdict


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
        max_abs: by which its output differs there; None where one of both is NaN or infinite and the other is not.
    """

    folder: str
    command: str
    operator: str
    layers: tuple[str, ...]
    max_abs: float | None


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
