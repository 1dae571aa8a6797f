"""A timing against another: did it become slower?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from edgekit.errors import UsageError
from edgekit.figures import BenchRow, Comparison
from edgekit.latency.looks import LOOKS, minimum_detectable
from edgekit.latency.measured import EMULATED, MIN_OPENINGS
from edgekit.latency.statistics import Estimate, estimate_ratio
from edgekit.latency.turns import Turns
from edgekit.latency.validity import NOT_CONVERGED
from edgekit.parity.intervals import ALPHA

#: What has to be the same in both rows, with the words for it.
_ROW_FIELDS = ("device", "runtime", "threads", "batch", "streams", "input_copy", "scenario")

#: What has to be the same in both environments.
_FACTS = ("cpu", "architecture", "cpus_used")


def compare_rows(row: BenchRow, baseline: BenchRow, *, max_regression: float | None = None) -> Comparison:
    """Compare the p50 of two timings of different times.

    The interval resamples the medians of openings of both. It cannot know how the machine itself differed between
    the two days, so rows whose environment was not fit to measure on are not compared.

    Args:
        row: the new one.
        baseline: the stored one.
        max_regression: 0.05 accepts a ratio of up to 1.05. A regression is only what lies beyond with its whole
            interval; None sets no limit.

    Raises:
        UsageError: ``max_regression`` is negative.
    """
    check_limit(max_regression)
    ratio = _ratio(row, baseline)
    freedom = min(len(row.opening_p50_ms), len(baseline.opening_p50_ms)) - 1
    least = None if ratio is None else minimum_detectable(ratio, freedom, ALPHA)
    found = replace(_undecided(row, baseline, ratio, least), reasons=tuple(_obstacles(row, baseline)))
    return found if found.reasons or ratio is None else _answered(found, ratio, max_regression)


def compare_turns(
    turns: Turns, row: BenchRow, baseline: BenchRow, *, max_regression: float | None = None
) -> Comparison:
    """Compare two candidates that took turns: what slowed one down slowed both, so load makes it wider, not false.

    Args:
        turns: of both.
        row, baseline: the same measurements as rows.
        max_regression: see `compare_rows`.
    """
    ratio = turns.ratio
    undecided = replace(_undecided(row, baseline, ratio, turns.minimum_detectable), rounds=turns.rounds)
    found = replace(undecided, reasons=tuple(_hindrances(turns)))
    if found.reasons:
        return found
    answered = (
        replace(found, answer="no difference shown") if ratio is None else _answered(found, ratio, max_regression)
    )
    if answered.answer == "no difference shown" and turns.rounds < LOOKS[0]:
        few = f"the time limit allowed {turns.rounds} round{'' if turns.rounds == 1 else 's'}"
        return replace(answered, reasons=(f"{few}, which show little; --max-seconds 120 allows more.",))
    return answered


def check_limit(max_regression: float | None) -> None:
    """Refuse a limit that no ratio could keep.

    Raises:
        UsageError: it is negative.
    """
    if max_regression is not None and not max_regression >= 0:
        raise UsageError(
            "bad-setting",
            "the largest accepted regression should be 0 or more.",
            received=str(max_regression),
            hint="Give a share, such as 5%.",
        )


def _undecided(row: BenchRow, baseline: BenchRow, ratio: Estimate | None, least: float | None) -> Comparison:
    return Comparison(
        artifact=row.artifact,
        baseline=baseline.artifact,
        ratio=ratio.value if ratio else None,
        ci95=ratio.ci95 if ratio else None,
        answer="not comparable",
        regression=False,
        reasons=(),
        name=row.name if row.name == baseline.name else f"{row.name} against {baseline.name}",
        minimum_detectable=least,
        base_ms=baseline.latency_ms.p50 if baseline.latency_ms else None,
        new_ms=row.latency_ms.p50 if row.latency_ms else None,
    )


def _answered(found: Comparison, ratio: Estimate, max_regression: float | None) -> Comparison:
    if max_regression is None or ratio.low <= 1 + max_regression:
        answer = "slower" if ratio.low > 1 else "faster" if ratio.high < 1 else "no difference shown"
        return replace(found, answer=answer)
    text = f"p50 is {ratio.value:.3g} times the baseline's (95 % interval {ratio.low:.3g} to {ratio.high:.3g})"
    reason = f"{text}, beyond the accepted {1 + max_regression:.3g}."
    return replace(found, answer="slower", regression=True, reasons=(reason,))


def _ratio(row: BenchRow, baseline: BenchRow) -> Estimate | None:
    """The ratio of the two p50, with the interval of the ratio of medians of openings, widened to hold it."""
    if row.latency_ms is None or baseline.latency_ms is None:
        return None
    if min(len(row.opening_p50_ms), len(baseline.opening_p50_ms)) < MIN_OPENINGS:
        return None
    new, old = ([np.array([value]) for value in each.opening_p50_ms] for each in (row, baseline))
    interval = estimate_ratio(new, old, paired=False)
    value = row.latency_ms.p50 / baseline.latency_ms.p50
    return Estimate(value, min(interval.low, value), max(interval.high, value))


def _obstacles(row: BenchRow, baseline: BenchRow) -> Iterator[str]:
    for name in _ROW_FIELDS:
        new, old = getattr(row, name), getattr(baseline, name)
        if new != old:
            yield f"the {name} differs: {_said(new)} now, {_said(old)} in the baseline."
    copied = (row.input_copy, baseline.input_copy)
    if None not in copied and copied[0] != copied[1]:  # older results do not tell
        yield f"what an inference copies differs: {copied[0]} now, {copied[1]} in the baseline."
    for name in _FACTS:
        new, old = row.environment.get(name), baseline.environment.get(name)
        if new != old:
            yield f"the environment's {name} differs: {_said(new)} now, {_said(old)} in the baseline."
    for which, each in (("this result", row), ("the baseline", baseline)):
        if each.verdict in ("error", "failed") or each.latency_ms is None:
            yield f"{which} has no valid timing: its verdict is {each.verdict}."
        elif len(each.opening_p50_ms) < MIN_OPENINGS:
            yield f"{which} has fewer than {MIN_OPENINGS} openings."
        for reason in each.reasons if each.verdict == "weak" else ():
            if not reason.startswith(NOT_CONVERGED):
                yield f"{which} is weak: {reason}"


def _hindrances(turns: Turns) -> Iterator[str]:
    """Why two candidates that took turns cannot be compared all the same."""
    sides = (("the new one", turns.new), ("the baseline", turns.base))
    for which, side in sides:
        if side.error is not None:
            yield f"{which} was not timed: {side.error.message}"
    if any(side.openings and side.openings[0].environment.emulated for _, side in sides):
        yield EMULATED
    if turns.new.scenario != "throughput" and turns.new.batch != turns.base.batch:
        yield f"the batch differs: {turns.new.batch} now, {turns.base.batch} in the baseline."


def _said(value: object) -> str:
    return "not set" if value is None else str(value)
