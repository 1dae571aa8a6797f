"""What samples of a timing say, and how surely.

Noise has two levels: inferences within one opening of an artifact, and openings among themselves, since each
compilation has its own speed (2 to 3 % on a MobileNet). An interval from the inferences of one opening is
therefore false (measured: it claims 0.16 % where repeated measurements differ by 1.8 %), and every interval here
resamples whole openings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.figures import Latency
from edgekit.latency.tails import SUPPORT, percentile_interval
from edgekit.parity.intervals import ALPHA, student_quantile

Samples = NDArray[Any]

#: Bootstrap resamples: their own noise in the limits is then far below the width of the interval.
RESAMPLES = 4000

#: From this many openings on, percentiles of resampled medians can cover 95 %.
FEW_OPENINGS = 6


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval.

    Attributes:
        value: the figure.
        low, high: limits of the interval.
    """

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the width of the interval as a share of the figure."""
        return (self.high - self.low) / 2 / self.value

    @property
    def ci95(self) -> tuple[float, float]:
        return self.low, self.high


def percentile(ordered: Samples, percent: float) -> float:
    """The nearest-rank percentile of sorted samples: the smallest with ``percent`` of all at or below it."""
    rank = max(1, math.ceil(len(ordered) * percent / 100))
    return float(ordered[rank - 1])


def summarise(openings: Sequence[Samples]) -> Latency:
    """Latency over all openings.

    Args:
        openings: milliseconds per inference, one array per opening. Intervals are empty for a single opening.
    """
    pooled = np.sort(np.concatenate(openings))
    return Latency(
        p50=percentile(pooled, 50),
        p90=percentile(pooled, 90) if len(pooled) >= SUPPORT[90] else None,
        p99=percentile(pooled, 99) if len(pooled) >= SUPPORT[99] else None,
        min=float(pooled[0]),
        mean=float(pooled.mean()),
        ci95_p50=estimate_p50(openings).ci95 if len(openings) > 1 else (),
        ci95_p90=percentile_interval(openings, 90) if len(pooled) >= SUPPORT[90] else (),
        ci95_p99=percentile_interval(openings, 99) if len(pooled) >= SUPPORT[99] else (),
    )


def estimate_p50(openings: Sequence[Samples], *, seed: int = 0) -> Estimate:
    """The median over all openings, with an interval that is bootstrapped over openings.

    Args:
        openings: samples of at least two openings.
        seed: of the resampling: the same samples always give the same interval.
    """
    pooled = np.sort(np.concatenate(openings))
    medians = _resampled_medians(openings, _draws(len(openings), np.random.default_rng(seed)))
    value = percentile(pooled, 50)
    low, high = _interval(value, medians, len(openings))
    return Estimate(value, max(0.0, low), high)


def estimate_ratio(
    numerator: Sequence[Samples], denominator: Sequence[Samples], *, paired: bool, seed: int = 0
) -> Estimate:
    """The ratio of two medians, with an interval that is bootstrapped over openings.

    Args:
        numerator: samples of at least two openings.
        denominator: of the same unit. With ``paired`` the two have one opening of each round in the same order,
            and rounds are resampled: what slowed a round down slowed both.
        paired: whether the two were measured in turns.
        seed: of the resampling.
    """
    if paired and len(numerator) != len(denominator):
        raise ValueError(f"paired measurements have as many rounds: {len(numerator)} and {len(denominator)}")
    generator = np.random.default_rng(seed)
    above = _draws(len(numerator), generator)
    below = above if paired else _draws(len(denominator), generator)
    value = percentile(np.sort(np.concatenate(numerator)), 50) / percentile(np.sort(np.concatenate(denominator)), 50)
    ratios = _resampled_medians(numerator, above) / _resampled_medians(denominator, below)
    # On the logarithm a ratio and its inverse have the same interval, and none reaches zero.
    low, high = _interval(math.log(value), np.log(ratios), min(len(numerator), len(denominator)))
    return Estimate(value, math.exp(low), math.exp(high))


def _draws(openings: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """How often each opening is in each resample: ``(RESAMPLES, openings)``."""
    return generator.multinomial(openings, np.full(openings, 1 / openings), size=RESAMPLES)


def _interval(value: float, resampled: NDArray[np.float64], openings: int) -> tuple[float, float]:
    """The interval of a resampled figure, made for few openings, widened to hold the figure itself.

    Source: Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69 (2015): plain
    percentiles of n openings are too narrow by a factor ``sqrt(n / (n - 1))`` and by the normal instead of Student's
    distribution, so their tails are expanded (§4.5). Under `FEW_OPENINGS` no percentile of resampled medians can
    cover 95 %, since the median lies outside of all n with probability ``2^(1 - n)``: there it is the t interval
    with the bootstrap standard error.
    """
    reach = math.sqrt(openings / (openings - 1)) * student_quantile(1 - ALPHA / 2, openings - 1)
    if openings < FEW_OPENINGS:
        half = reach * float(np.std(resampled))
        return value - half, value + half
    tail = 100 * NormalDist().cdf(-reach)
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return min(float(low), value), max(float(high), value)


def _resampled_medians(openings: Sequence[Samples], draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """Median (nearest rank) of the pooled samples of each resample.

    Sorting every pool would take seconds. A median of several openings together lies between the lowest and the
    highest of their own, so only samples there are sorted, once, with running counts per opening; a resample's
    median is then the first position where the counts, weighted by its draws, reach the half, found by bisection
    for all resamples at once.
    """
    medians = [percentile(np.partition(opening, (len(opening) - 1) // 2), 50) for opening in openings]
    near = [opening[(opening >= min(medians)) & (opening <= max(medians))] for opening in openings]
    owner = np.repeat(np.arange(len(openings)), [len(opening) for opening in near])
    pooled = np.concatenate(near).astype(np.float64)
    order = np.argsort(pooled, kind="stable")
    pooled, owner = pooled[order], owner[order]
    below = np.array([np.count_nonzero(opening < min(medians)) for opening in openings])
    counts = below + np.cumsum(owner[:, None] == np.arange(len(openings)), axis=0, dtype=np.int64)
    half = (draws @ np.array([len(opening) for opening in openings]) + 1) // 2
    low, high = np.zeros(len(draws), dtype=np.int64), np.full(len(draws), len(pooled) - 1)
    while np.any(low < high):
        middle = (low + high) // 2
        reached = np.einsum("ij,ij->i", counts[middle], draws) >= half
        high, low = np.where(reached, middle, high), np.where(reached, low, middle + 1)
    return np.asarray(pooled[low])
