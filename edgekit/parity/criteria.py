"""What figures of a comparison mean: verdicts with reasons.

The policy rests on measurements of trained and untrained models over all engines: fp32 routes differ by at most
1.2e-4 of the output's deviation and by 91 dB or more, fp16 by 65 dB on trained models, bf16 by 44 dB, static
int8 by 17 to 39 dB. SQNR and agreement each alone let a broken int8 model pass, so int8 needs both.

Agreement asks for classes, and whether an output holds any is not written in a model. Probabilities, outputs that
labels are about and integers are judged in full; three or more columns of other figures may be logits or a box, so
that a poor agreement of theirs is a doubt and no failure; nothing else is asked for agreement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.checked import Derivation, OutputParity, Parity
from edgekit.errors import UsageError
from edgekit.parity.accuracy import as_scores
from edgekit.parity.columns import column_faults
from edgekit.parity.intervals import share_interval, share_samples
from edgekit.parity.metrics import (
    Agreement,
    Difference,
    Spread,
    are_probabilities,
    difference,
    equal_samples,
    spread,
    top1_agreement,
    top_overlap,
)
from edgekit.parity.tolerance import CORRECT, MULTIPLE, derive, origin
from edgekit.results import unique
from edgekit.types import Evidence, Verdict, worst

Array = NDArray[Any]
Finding = tuple[Verdict, str]

#: Top-1 agreement: failed when the interval lies under the first, weak while it reaches under the second.
AGREEMENT_GOAL, AGREEMENT_SHOWN = 0.99, 0.97

#: Least share of an input's known range that the samples have to span: within a quarter, the two highest bits of a
#: calibrated integer range are never used. The tails of a distribution alone leave up to a half open.
LEAST_COVERED = 0.25


@dataclass(frozen=True, slots=True)
class Policy:
    """What a precision promises.

    Attributes:
        decibel: least SQNR of every output; 0 refuses only an error that is larger than the signal.
        bounded: whether ``max_abs`` has a derived bound.
        agreement: whether top-1 agreement is judged.
        metric_decides: whether a task metric, where the user measures one, is judged in place of agreement.
    """

    decibel: float
    bounded: bool = False
    agreement: bool = False
    metric_decides: bool = False


POLICIES = {
    "fp32": Policy(80.0, bounded=True),
    "fp16": Policy(50.0),
    "bf16": Policy(40.0),
    "int8": Policy(20.0, agreement=True),
    "int8-dynamic": Policy(20.0, agreement=True),
    "int8-weights": Policy(30.0),
    "int4-weights": Policy(0.0, agreement=True, metric_decides=True),
}


@dataclass(frozen=True, slots=True)
class _Compared:
    """One output.

    Attributes:
        figures: for the result.
        faults: what no inputs excuse.
        shortfalls: figures that miss their criterion.
        judged: whether agreement could be judged.
        variance: deviation over samples as a share of the output's scale.
    """

    figures: OutputParity
    faults: list[Finding]
    shortfalls: list[Finding]
    judged: bool
    variance: float


def judge(
    reference: Mapping[str, Array],
    got: Mapping[str, Array],
    *,
    precision: str,
    noise: Mapping[str, Mapping[str, float]],
    evidence: Evidence,
    tolerance: float | None = None,
    task: str | None = None,
    values: str | None = None,
    measured: bool = False,
    doubts: bool = True,
) -> Parity:
    """Compare outputs with those of the source.

    Args:
        reference: the source's outputs by name, ``(samples, ...)``.
        got: the artifact's.
        precision: what the artifact claims, a key of `POLICIES`.
        noise: by output and method, see `derive`.
        evidence: what was run.
        tolerance: bound on ``max_abs`` that the user gives. For fp32 it takes the place of the derived bound and
            of the SQNR gate; for other precisions it is one more criterion.
        task: the output that the user's labels are about, which therefore holds classes; None without labels.
        values: the output that the user's labels are values of, which therefore holds no classes.
        measured: whether the user's task metric is judged beside this.
        doubts: whether what is weak counts and is told; not for samples that can only fail.

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
    policy = POLICIES[precision]
    if measured and policy.metric_decides:
        policy = replace(policy, agreement=False)
    findings = list(_findings_about_evidence(reference, got, precision, evidence))
    compared = []
    holds = {task: True, values: False}
    for name in reference:
        if name not in got:
            continue
        mismatch = _mismatch(name, reference[name], got[name])
        if mismatch:
            findings.append(("failed", mismatch))
            continue
        measured_by = noise.get(name, {})
        one = _compare(name, reference[name], got[name], policy, measured_by, tolerance, holds=holds.get(name))
        compared.append(one)
        findings.extend(one.faults)
        doubtful = _cannot_prove(precision, evidence) and not _lost(one.figures)
        findings.extend(("weak", reason) if doubtful else (found, reason) for found, reason in one.shortfalls)
    if policy.agreement and not measured and compared and not any(one.judged for one in compared):
        findings.append(("weak", _no_task_metric(precision)))
    if not doubts:
        findings = [one for one in findings if one[0] == "failed"]
    verdict = worst(["verified", *(found for found, _ in findings)])
    found = replace(evidence, variance={one.figures.name: one.variance for one in compared})
    return Parity(verdict, unique(reason for _, reason in findings), tuple(one.figures for one in compared), found)


def _findings_about_evidence(
    reference: Mapping[str, Array],
    got: Mapping[str, Array],
    precision: str,
    evidence: Evidence,
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
    still = [name for name, moves in evidence.reacts.items() if not moves]
    if still:
        yield "weak", f"no output reacts to input {_listed(still)}, so a fault behind it cannot show."
    if evidence.range_covered is not None and evidence.range_covered < LEAST_COVERED:
        share = f"{100 * evidence.range_covered:.0f} % of the known range of an input"
        yield "weak", f"the samples span only {share}, so faults in the rest cannot show."
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


def _no_task_metric(precision: str) -> str:
    return (
        f"no task metric: no output shows classes that vary, so only SQNR judges {precision}; "
        "give --labels, --metric and --max-drop."
    )


def _compare(
    name: str,
    want: Array,
    have: Array,
    policy: Policy,
    noise: Mapping[str, float],
    tolerance: float | None,
    *,
    holds: bool | None,
) -> _Compared:
    size, got_size = spread(want), spread(have)
    diff = difference(want, have, size.deviation)
    whole = not np.issubdtype(want.dtype, np.floating)
    bounded = not whole and (policy.bounded or tolerance is not None)
    bound = derive(size.scale, noise, tolerance) if bounded else None
    agreement, certain = _agreement(want, have, holds=holds)
    faults = list(_findings_about_variation(name, size, got_size, diff))
    if whole and policy.bounded:
        shortfalls = list(_findings_about_integers(name, equal_samples(want, have), len(want)))
    else:
        own = max(noise.get("one-ulp", 0.0), 0.0 if whole else float(np.spacing(want.dtype.type(size.rms))))
        shortfalls = [] if whole else list(_findings_about_size(name, diff, policy, bound, own, tolerance is None))
        if policy.bounded and tolerance is None and any(noise.values()) and not shortfalls:
            found = column_faults(name, want, have, max(own, *noise.values()))
            shortfalls.extend(("failed", reason) for reason in found)
        if agreement is not None and (whole or policy.agreement):
            what = f"output {name}: {_agreeing(want)}"
            shortfalls.extend(_findings_about_agreement(what, agreement, certain=certain))
    known = diff.compared > 0 and not whole
    figures = OutputParity(
        name=name,
        max_abs=diff.max_abs if diff.compared else None,
        max_rel=diff.max_rel if known else None,
        sqnr_db=diff.sqnr_db if known else None,
        worst_sqnr_db=diff.worst_sqnr_db if known else None,
        cosine=diff.cosine if known else None,
        top1_agreement=None if agreement is None else agreement.share,
        top1_ci95=None if agreement is None else share_interval(agreement.hits, agreement.samples),
        tolerance=None if bound is None else bound.tolerance,
        noise_floor=max(noise.values(), default=None),
        derivation=bound,
        top5_overlap=None if agreement is None else top_overlap(want, have),
    )
    judged = agreement is not None and agreement.varies
    return _Compared(figures, faults, shortfalls, judged, diff.moving / size.scale if size.scale else 0.0)


def _agreement(want: Array, have: Array, *, holds: bool | None) -> tuple[Agreement | None, bool]:
    """Agreement of an output that may hold classes, and whether it surely does; ``holds`` is what labels say."""
    if holds is False:
        return None, False
    if not np.issubdtype(want.dtype, np.floating):
        return Agreement(equal_samples(want, have), len(want), spread(want).varies), True
    if holds:
        return top1_agreement(as_scores(want), as_scores(have)), True
    if are_probabilities(want):
        return top1_agreement(want, have), True
    if want.ndim == 2 and want.shape[1] >= 3:
        return top1_agreement(want, have), False
    return None, False


def _agreeing(want: Array) -> str:
    if not np.issubdtype(want.dtype, np.floating):
        return "the share of equal samples"
    return "top-1 agreement" if want.ndim < 3 else "top-1 agreement over positions"


def _findings_about_variation(name: str, size: Spread, got: Spread, diff: Difference) -> Iterator[Finding]:
    if not diff.compared:
        yield "failed", f"output {name}: nothing could be compared, no element is finite in source and artifact."
    if diff.spoiled:
        yield "failed", f"output {name}: {diff.spoiled} elements are NaN or infinite in one and not the same in both."
    if size.nonfinite:
        yield "weak", f"output {name}: the source itself has {size.nonfinite} NaN or infinite elements, left out."
    if not size.varies:
        yield "weak", f"output {name}: the source gives the same for every sample, so equality proves little."
    elif not got.varies:
        yield "failed", f"output {name}: the artifact gives the same for every sample, the source does not."


def _findings_about_size(
    name: str, diff: Difference, policy: Policy, bound: Derivation | None, own: float, derived: bool
) -> Iterator[Finding]:
    """SQNR and the largest difference.

    ``own`` is what the source cannot be held under: its noise floor, or one rounding of numbers of its size. Where the
    bound is nearer than correct artifacts come for a source of so much noise, what is within the multiple is a doubt.
    """
    near = policy.bounded and derived and diff.max_abs <= MULTIPLE * own
    why = f", but one rounding moves the source itself by {own:.3g}"
    if bound is not None and diff.max_abs > bound.tolerance:
        limit = f"{bound.tolerance:.3g} ({origin(bound)})"
        text = f"output {name}: the largest difference {diff.max_abs:.3g} is over {limit}"
        excused = near and bound.tolerance < CORRECT * own
        yield ("weak", f"{text}{why}.") if excused else ("failed", f"{text}.")
    gate = policy.decibel if derived or not policy.bounded else None
    if gate is not None and diff.sqnr_db is not None and diff.sqnr_db < gate:
        text = f"output {name}: SQNR {diff.sqnr_db:.1f} dB is under {gate:g} dB"
        yield ("weak", f"{text}{why}.") if near else ("failed", f"{text}.")


def _findings_about_integers(name: str, hits: int, samples: int) -> Iterator[Finding]:
    if hits < samples:
        yield "failed", f"output {name}: {samples - hits} of {samples} samples differ, and integers should be equal."


def _findings_about_agreement(what: str, agreement: Agreement, *, certain: bool) -> Iterator[Finding]:
    low, high = share_interval(agreement.hits, agreement.samples)
    text = f"{what} {agreement.hits:.6g}/{agreement.samples} (95 % interval {low:.3f} to {high:.3f})"
    if high < AGREEMENT_GOAL and certain:
        yield "failed", f"{text} is under {AGREEMENT_GOAL:g}."
    elif high < AGREEMENT_GOAL:
        yield "weak", f"{text} is under {AGREEMENT_GOAL:g}; if these are class scores, --labels lets that be judged."
    elif low < AGREEMENT_SHOWN:
        least = share_samples(AGREEMENT_SHOWN)
        more = f", which takes {least} samples or more (--data)" if agreement.samples < least else ""
        yield "weak", f"{text} is not shown to reach {AGREEMENT_SHOWN:g}{more}."
    elif not agreement.varies:
        yield "weak", f"{what} says nothing: the source gives the same class for every sample."


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"


def _form(array: Array) -> str:
    return f"{'x'.join(map(str, array.shape)) or 'scalar'}:{array.dtype}"
