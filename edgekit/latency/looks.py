"""The ratio of two candidates that take turns, looked at more than once, and what it could have shown.

The unit is a round: one fresh opening of each. An opening that meets a busy neighbour takes half again as long, so the
rounds' ratios have outliers on both sides. Their median and order statistics do not care how far away those lie.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.latency.statistics import Estimate
from edgekit.parity.intervals import student_quantile

Figures = Sequence[float] | NDArray[Any]

#: Rounds after which the ratio is looked at before the time is up, and the error that each of these looks may make.
LOOKS = (8, 12, 18)
LOOK_ALPHA = 0.01

#: Error of the last look: what the others leave of 5 %. The sign test has steps, so these use up 0.78 + 0.63 + 0.75 %.
#: By Bonferroni's inequality the chance that any of the intervals misses is at most the sum, whenever one stops.
LAST_ALPHA = 0.028

#: The chance of seeing a difference that is called detectable.
POWER = 0.8


def estimate_rounds(ratios: Figures, alpha: float) -> Estimate:
    """The ratio of two candidates over rounds, with an interval of level ``1 - alpha``.

    The median of the rounds' ratios, between two of them: the interval that inverts the sign test, exact for any noise
    (Hollander, Wolfe and Chicken, "Nonparametric Statistical Methods", §3.4 to 3.6). Wilcoxon's signed ranks give
    narrower ones on a quiet machine, and on a busy one find fewer differences: where one opening in ten is slowed by
    20 to 60 %, 78 of 100 slow-downs of 5 %, against 97. Where there are too few rounds for such limits the
    interval is Student's, of the logarithms.

    Args:
        ratios: of two rounds or more.
        alpha: error of both sides together.
    """
    logs = np.sort(np.log(np.asarray(ratios, dtype=np.float64)))
    count = len(logs)
    rank = _rejected(count, alpha)
    if rank is None:
        centre = float(logs.mean())
        half = student_quantile(1 - alpha / 2, count - 1) * float(logs.std(ddof=1)) / math.sqrt(count)
        low, high = centre - half, centre + half
    else:
        centre, low, high = float(np.median(logs)), float(logs[rank]), float(logs[-1 - rank])
    return Estimate(math.exp(centre), math.exp(low), math.exp(high))


def minimum_detectable(estimate: Estimate, freedom: int, alpha: float) -> float:
    """The least difference that a measurement as noisy as this one shows with a probability of `POWER`, as a share.

    Source: Bloom, "Minimum Detectable Effects", Evaluation Review 19 (1995): the standard error times the sum of
    Student's quantiles of ``1 - alpha / 2`` and of the power. The standard error is the one that the measured interval
    implies, on the logarithm.

    Args:
        estimate: with an interval of level ``1 - alpha``.
        freedom: rounds, or openings of the side that has fewer, less one.
        alpha: error of both sides together.
    """
    half = math.log(estimate.high / estimate.low) / 2
    return math.expm1(half * (1 + student_quantile(POWER, freedom) / student_quantile(1 - alpha / 2, freedom)))


@cache
def _rejected(count: int, alpha: float) -> int | None:
    """The most signs of one kind that a sign test at ``alpha`` rejects; None where it can reject nothing."""
    chance, rejected = 0.0, None
    for signs in range(count // 2):
        chance += math.comb(count, signs) / 2**count
        if chance > alpha / 2:
            break
        rejected = signs
    return rejected
