"""A timing against a stored one: did it become slower?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from edgekit.errors import UsageError
from edgekit.figures import BenchRow, Comparison
from edgekit.latency.measured import MIN_OPENINGS
from edgekit.latency.statistics import Estimate, estimate_ratio
from edgekit.latency.validity import NOT_CONVERGED

#: What has to be the same in both rows, with the words for it.
_ROW_FIELDS = ("device", "runtime", "threads", "batch", "scenario")

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
    if max_regression is not None and not max_regression >= 0:
        raise UsageError(
            "bad-setting",
            "the largest accepted regression should be 0 or more.",
            received=str(max_regression),
            hint="Give a share, such as 5%.",
        )
    ratio = _ratio(row, baseline)
    comparison = Comparison(
        artifact=row.artifact,
        baseline=baseline.artifact,
        ratio=ratio.value if ratio else None,
        ci95=ratio.ci95 if ratio else None,
        answer="not comparable",
        regression=False,
        reasons=tuple(_obstacles(row, baseline)),
    )
    if comparison.reasons or ratio is None:
        return comparison
    if max_regression is None or ratio.low <= 1 + max_regression:
        return replace(comparison, answer=_answer(ratio))
    text = f"p50 is {ratio.value:.3g} times the baseline's (95 % interval {ratio.low:.3g} to {ratio.high:.3g})"
    reason = f"{text}, beyond the accepted {1 + max_regression:.3g}."
    return replace(comparison, answer="slower", regression=True, reasons=(reason,))


def _answer(ratio: Estimate) -> str:
    if ratio.low > 1:
        return "slower"
    return "faster" if ratio.high < 1 else "no difference shown"


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


def _said(value: object) -> str:
    return "not set" if value is None else str(value)
