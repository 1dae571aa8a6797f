"""Intervals of high percentiles, and when a sample supports one at all.

Openings are clusters: their inferences share the speed of one compilation and whatever else ran meanwhile, so the
pooled inferences are worth fewer independent ones. How many is measured, not assumed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.parity.intervals import ALPHA, clopper_pearson, student_quantile

#: A percentile is reported from this many inferences on. The largest of n independent samples lies under the true
#: p-quantile with probability ``p^n``, the usual order-statistic bound (David and Nagaraja, "Order Statistics", §7.1;
#: MLPerf LoadGen's early stopping rests on the same): at these counts 0.5 % for p90 and 0.7 % for p99.
SUPPORT = {90: 50, 99: 500}

#: Openings among which the slowest inferences are spread, as a share of all. With fewer it is the speed of single
#: openings that decides the percentile, and a handful of those says nothing about their own slowest tenth.
SPREAD = 0.6


def percentile_interval(openings: Sequence[NDArray[Any]], percent: float) -> tuple[float, ...]:
    """The 95 % interval of a percentile: two order statistics of the pooled samples, chosen without assuming a shape.

    The percentile is a value that a share of all inferences lies under, so the interval of that share is turned into
    one of values (Woodruff, "Confidence intervals for medians and other position measures", Journal of the American
    Statistical Association 47, 1952). That of the share is Clopper and Pearson's for as many independent samples as
    the openings are worth (Korn and Graubard, "Confidence intervals for proportions with small expected number of
    positive counts estimated from survey data", Survey Methodology 24, 1998): ``q (1 - q)`` over the variance of the
    share between openings, and less for few openings by the square of the quotient of Student's quantiles.

    No interval is stated where the slowest inferences come from a few openings only (`SPREAD`). In simulations with two
    levels of noise, 8 to 30 openings and either level far above the other, at most 8 in 100 measurements state one that
    misses the true percentile (tests/latency/test_tails.py).

    Args:
        openings: samples of each opening.
        percent: between 50 and 100.

    Returns:
        Lower and upper limit; nothing where the sample does not support them: fewer than two openings, slow inferences
        in few of them, or an upper limit beyond the largest sample.
    """
    pooled = np.sort(np.concatenate(openings))
    count = len(pooled)
    value = pooled[math.ceil(count * percent / 100) - 1]
    if len(openings) < 2 or _openings_beyond(openings, value) < SPREAD * len(openings):
        return ()
    worth, share = _independent(openings, value)
    low, high = clopper_pearson(share * worth, worth)
    first, last = math.floor(low * count), math.ceil(high * count) + 1
    return () if first < 1 or last > count else (float(pooled[first - 1]), float(pooled[last - 1]))


def _openings_beyond(openings: Sequence[NDArray[Any]], value: float) -> float:
    """Among how many openings the samples from a value on are spread: the inverse of the probability that two of them
    are of one opening (Simpson, Nature 163, 1949)."""
    beyond = np.array([np.count_nonzero(opening >= value) for opening in openings])
    total = int(beyond.sum())
    same = int((beyond * (beyond - 1)).sum())
    return total * (total - 1) / same if same else float(len(openings))


def _independent(openings: Sequence[NDArray[Any]], value: float) -> tuple[float, float]:
    """How many independent samples the openings are worth, and the share of samples up to a value."""
    sizes = np.array([len(opening) for opening in openings], dtype=np.float64)
    under = np.array([np.count_nonzero(opening <= value) for opening in openings], dtype=np.float64)
    count, clusters = float(sizes.sum()), len(openings)
    share = float(under.sum()) / count
    variance = clusters / (clusters - 1) * float(((under - share * sizes) ** 2).sum()) / count**2
    few = student_quantile(1 - ALPHA / 2, int(count) - 1) / student_quantile(1 - ALPHA / 2, clusters - 1)
    independent = share * (1 - share) / variance if variance > 0 else count
    return min(count, independent * few**2), share
