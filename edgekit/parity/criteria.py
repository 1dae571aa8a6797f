"""What figures of a comparison mean: verdicts with reasons.

The policy rests on measurements of trained and untrained models over all engines: fp32 routes differ by at most
1.2e-4 of the output's deviation and by 91 dB or more, fp16 by 65 dB on trained models, bf16 by 44 dB, static
int8 by 17 to 39 dB. SQNR and agreement each alone let a broken int8 model pass, so int8 needs both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.parity.intervals import clopper_pearson, paired_drop
from edgekit.parity.metrics import (
    Difference,
    Spread,
    correct,
    difference,
    equal_samples,
    looks_like_scores,
    spread,
    top1_agreements,
)
from edgekit.results import Accuracy, OutputParity, Parity, unique
from edgekit.types import Evidence, Verdict, worst

Array = NDArray[Any]
Finding = tuple[Verdict, str]

#: A route may differ from its source by this many times what one ulp at the inputs does to the source itself:
#: kernels that reorder sums move every layer by some roundings, where the floor moves only the input by one.
FLOOR_MULTIPLE = 64

#: Bounds of the fp32 tolerance as shares of the output's deviation. The upper is eight times the worst of all
#: correct routes measured; the lower keeps the tolerance above rounding where the floor happens to vanish.
TOLERANCE_LOW, TOLERANCE_HIGH = 1e-4, 1e-3

#: Top-1 agreement: failed when the interval lies under the first, weak while it reaches under the second.
AGREEMENT_GOAL, AGREEMENT_SHOWN = 0.99, 0.97


@dataclass(frozen=True, slots=True)
class Policy:
    """What a precision promises.

    Attributes:
        decibel: least SQNR of every output; None for no such gate.
        bounded: whether ``max_abs`` has a derived bound.
        agreement: whether top-1 agreement is judged.
    """

    decibel: float | None
    bounded: bool = False
    agreement: bool = False


POLICIES = {
    "fp32": Policy(80.0, bounded=True),
    "fp16": Policy(50.0),
    "bf16": Policy(40.0),
    "int8": Policy(20.0, agreement=True),
    "int8-dynamic": Policy(20.0, agreement=True),
    "int8-weights": Policy(30.0),
    "int4-weights": Policy(None, agreement=True),
}


@dataclass(frozen=True, slots=True)
class AccuracyJudgement:
    """A task metric and what it says.

    Attributes:
        accuracy: the figures.
        verdict: ``verified``, ``weak`` or ``failed``.
        reasons: why it is not verified.
    """

    accuracy: Accuracy
    verdict: Verdict
    reasons: tuple[str, ...]


def derived_tolerance(scale: float, noise_floor: float) -> float:
    """The bound on ``max_abs`` of an fp32 artifact: ``clip(64 * floor, 1e-4 * scale, 1e-3 * scale)``.

    Args:
        scale: standard deviation of the source's output; its root mean square where all elements are equal.
        noise_floor: largest change of the source's output when its inputs move by one ulp.

    The floor shows how much this model amplifies rounding, so a well-behaved model is held to a tighter bound;
    the clip keeps a floor that was measured as zero from failing correct routes, and a large one from excusing
    wrong routes.
    """
    return float(np.clip(FLOOR_MULTIPLE * noise_floor, TOLERANCE_LOW * scale, TOLERANCE_HIGH * scale))


def judge(
    reference: Mapping[str, Array],
    got: Mapping[str, Array],
    *,
    precision: str,
    noise_floor: Mapping[str, float],
    evidence: Evidence,
    reacts: Mapping[str, bool],
    tolerance: float | None = None,
) -> Parity:
    """Compare outputs with those of the source.

    Args:
        reference: the source's outputs by name, ``(samples, ...)``.
        got: the artifact's.
        precision: what the artifact claims, a key of `POLICIES`.
        noise_floor: by output, see `derived_tolerance`; 0 where it is not given.
        evidence: what was run.
        reacts: by input, whether the source's outputs change with it.
        tolerance: bound on ``max_abs`` that the user gives. For fp32 it takes the place of the derived bound and
            of the SQNR gate; for other precisions it is one more criterion.

    Raises:
        UsageError: the precision is unknown.
    """
    if precision not in POLICIES:
        raise UsageError(
            "unknown-precision",
            f"there is no criterion for the precision {precision!r}.",
            received=precision,
            hint=f"Choose one of: {', '.join(POLICIES)}.",
        )
    findings = list(_findings_about_evidence(reference, got, precision, evidence, reacts))
    outputs = []
    for name in reference:
        if name not in got:
            continue
        mismatch = _mismatch(name, reference[name], got[name])
        if mismatch:
            findings.append(("failed", mismatch))
            continue
        figures, faults, shortfalls = _compare(
            name, reference[name], got[name], precision, noise_floor.get(name, 0.0), tolerance
        )
        outputs.append(figures)
        findings.extend(faults)
        doubtful = _cannot_prove(precision, evidence) and not _lost(figures)
        findings.extend(("weak", reason) if doubtful else (found, reason) for found, reason in shortfalls)
    verdict = worst(["verified", *(found for found, _ in findings)])
    return Parity(verdict, unique(reason for _, reason in findings), tuple(outputs), evidence)


def judge_accuracy(reference: Array, got: Array, labels: Array, *, max_drop: float | None = None) -> AccuracyJudgement:
    """Compare the accuracy of an artifact with its source's on the same labelled samples.

    Args:
        reference: outputs of the source, see `metrics.correct`.
        got: outputs of the artifact.
        labels: integer classes ``(samples,)``.
        max_drop: largest accepted loss, between 0 and 1. The verdict is ``failed`` when the whole interval of the
            drop lies above it and ``weak`` when only the drop itself does; None reports without judging.

    Raises:
        DataError: labels or outputs hold no classes.
    """
    source, artifact = correct(reference, labels), correct(got, labels)
    samples = len(source)
    only_source, only_artifact = int(np.sum(source & ~artifact)), int(np.sum(artifact & ~source))
    both = int(np.sum(source & artifact))
    drop = (only_source - only_artifact) / samples if samples else 0.0
    low, high = paired_drop(both, only_source, only_artifact, samples - both - only_source - only_artifact)
    shares = [float(np.mean(hits)) if samples else 0.0 for hits in (artifact, source)]
    accuracy = Accuracy("accuracy", shares[0], shares[1], drop, (low, high), samples)
    if samples == 0:
        return AccuracyJudgement(accuracy, "failed", ("accuracy: no sample was judged.",))
    if max_drop is None or drop <= max_drop:
        return AccuracyJudgement(accuracy, "verified", ())
    text = (
        f"accuracy falls by {drop:.4f} (95 % interval {low:.4f} to {high:.4f}, {samples} samples), "
        f"more than the {max_drop:g} allowed"
    )
    if low > max_drop:
        return AccuracyJudgement(accuracy, "failed", (f"{text}.",))
    return AccuracyJudgement(accuracy, "weak", (f"{text}, but too few samples show it.",))


def _findings_about_evidence(
    reference: Mapping[str, Array],
    got: Mapping[str, Array],
    precision: str,
    evidence: Evidence,
    reacts: Mapping[str, bool],
) -> Iterator[Finding]:
    if not set(reference) & set(got):
        names = f"source: {_listed(reference)}; artifact: {_listed(got)}"
        yield "failed", f"source and artifact have no output in common ({names})."
    else:
        missing, extra = set(reference) - set(got), set(got) - set(reference)
        if missing:
            yield "failed", f"the artifact lacks the source's output {_listed(missing)}."
        if extra:
            yield "weak", f"the artifact's output {_listed(extra)} has no reference to compare with."
    if evidence.samples == 0:
        yield "failed", "nothing was compared: there is no sample."
    still = [name for name, moves in reacts.items() if not moves]
    if still:
        yield "weak", f"no output reacts to input {_listed(still)}, so a fault behind it cannot show."
    if _cannot_prove(precision, evidence):
        yield "weak", f"generated inputs cannot prove the accuracy of {precision}; give real samples with --data."


def _cannot_prove(precision: str, evidence: Evidence) -> bool:
    """Whether the inputs are noise and the artifact is quantized.

    One that was calibrated on real samples may be poor on noise and good where it is used, so that a poor figure is
    a doubt there, not a failure.
    """
    return evidence.inputs == "generated" and precision.startswith(("int8", "int4"))


def _lost(figures: OutputParity) -> bool:
    """Whether the error is larger than the output itself: no inputs excuse that."""
    return figures.sqnr_db is not None and figures.sqnr_db < 0


def _mismatch(name: str, want: Array, have: Array) -> str | None:
    if want.shape != have.shape or want.dtype != have.dtype:
        return f"output {name}: the artifact gives {_form(have)}, the source {_form(want)}."
    if want.ndim == 0:
        return f"output {name}: it has no axis of samples, so it cannot be compared."
    if want.size == 0:
        return f"output {name}: nothing was compared, it is empty ({_form(want)})."
    return None


def _compare(
    name: str, want: Array, have: Array, precision: str, floor: float, tolerance: float | None
) -> tuple[OutputParity, list[Finding], list[Finding]]:
    """Figures of one output, faults that no inputs excuse, and figures that miss their criterion."""
    size, got_size = spread(want), spread(have)
    diff = difference(want, have, size.deviation)
    whole = not np.issubdtype(want.dtype, np.floating)
    bound = None if whole else tolerance
    if POLICIES[precision].bounded and bound is None and not whole:
        bound = derived_tolerance(size.scale, floor)
    hits = equal_samples(want, have) if whole else top1_agreements(want, have) if looks_like_scores(want) else None
    faults = list(_findings_about_variation(name, size, got_size, diff))
    if whole:
        shortfalls = list(_findings_about_classes(name, hits or 0, len(want), precision))
    else:
        shortfalls = list(_findings_about_size(name, diff, precision, bound, floor, derived=tolerance is None))
        shortfalls.extend(_findings_about_agreement(name, hits, len(want), precision))
    figures = OutputParity(
        name=name,
        max_abs=diff.max_abs,
        max_rel=None if whole else diff.max_rel,
        sqnr_db=None if whole else diff.sqnr_db,
        worst_sqnr_db=None if whole else diff.worst_sqnr_db,
        cosine=None if whole else diff.cosine,
        top1_agreement=None if hits is None else hits / len(want),
        top1_ci95=None if hits is None else clopper_pearson(hits, len(want)),
        tolerance=bound,
        noise_floor=floor,
    )
    return figures, faults, shortfalls


def _findings_about_variation(name: str, size: Spread, got: Spread, diff: Difference) -> Iterator[Finding]:
    if diff.spoiled:
        yield "failed", f"output {name}: {diff.spoiled} elements are NaN or infinite where the source is finite."
    if size.nonfinite:
        yield "weak", f"output {name}: the source itself has {size.nonfinite} NaN or infinite elements, left out."
    if not size.varies:
        yield "weak", f"output {name}: the source gives the same for every sample, so equality proves little."
    elif not got.varies:
        yield "failed", f"output {name}: the artifact gives the same for every sample, the source does not."


def _findings_about_size(
    name: str, diff: Difference, precision: str, bound: float | None, floor: float, *, derived: bool
) -> Iterator[Finding]:
    policy = POLICIES[precision]
    # A source that one ulp moves past the bound cannot be held to it, but to the same multiple of its own noise.
    excused = policy.bounded and derived and bound is not None and bound < floor
    excused = excused and diff.max_abs <= FLOOR_MULTIPLE * floor
    verdict: Verdict = "weak" if excused else "failed"
    why = f", but one ulp at the inputs moves the source itself by {floor:.3g}" if excused else ""
    if bound is not None and diff.max_abs > bound:
        yield verdict, f"output {name}: the largest difference {diff.max_abs:.3g} is over {bound:.3g}{why}."
    gate = policy.decibel if derived or not policy.bounded else None
    if gate is not None and diff.sqnr_db is not None and diff.sqnr_db < gate:
        yield verdict, f"output {name}: SQNR {diff.sqnr_db:.1f} dB is under {gate:g} dB{why}."


def _findings_about_agreement(name: str, hits: int | None, samples: int, precision: str) -> Iterator[Finding]:
    policy = POLICIES[precision]
    if not policy.agreement:
        return
    if hits is not None:
        yield from _agreement(f"output {name}: top-1 agreement", hits, samples)
    elif policy.decibel is None:
        yield (
            "weak",
            f"output {name}: it is no score vector, so nothing judges {precision}; give --labels for accuracy.",
        )


def _findings_about_classes(name: str, hits: int, samples: int, precision: str) -> Iterator[Finding]:
    """Integer outputs: equal for fp32; else the share of equal samples is an agreement."""
    if precision != "fp32":
        yield from _agreement(f"output {name}: the share of equal samples", hits, samples)
    elif hits < samples:
        yield "failed", f"output {name}: {samples - hits} of {samples} samples differ, and integers should be equal."


def _agreement(what: str, hits: int, samples: int) -> Iterator[Finding]:
    low, high = clopper_pearson(hits, samples)
    text = f"{what} {hits}/{samples} (95 % interval {low:.3f} to {high:.3f})"
    if high < AGREEMENT_GOAL:
        yield "failed", f"{text} is under {AGREEMENT_GOAL:g}."
    elif low < AGREEMENT_SHOWN:
        yield "weak", f"{text} is not shown to reach {AGREEMENT_SHOWN:g}."


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"


def _form(array: Array) -> str:
    return f"{'x'.join(map(str, array.shape)) or 'scalar'}:{array.dtype}"
