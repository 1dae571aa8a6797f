"""Confidence intervals of shares, means and differences, without a statistics library."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Two-sided error of every interval in edgekit: 95 %.
ALPHA = 0.05

#: The 97.5 % point of the normal distribution.
Z95 = 1.959963984540054

#: Resamples of a bootstrap; Efron and Tibshirani (see `bootstrap`), section 14.5, ask for 1000 or more.
RESAMPLES = 2000

#: Least resamples, however long they take: enough for a standard error (the same, section 6.4).
_FEW = 25

#: Halvings of [0, 1]: below the spacing of floats.
_STEPS = 60


def clopper_pearson(hits: float, samples: float, alpha: float = ALPHA) -> tuple[float, float]:
    """The exact interval of a share of independent samples; it covers at least ``1 - alpha``.

    Source: Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26 (1934), through the beta distribution: the lower limit is the ``alpha / 2`` quantile
    of Beta(hits, samples - hits + 1), the upper the ``1 - alpha / 2`` quantile of Beta(hits + 1, samples - hits).

    Args:
        hits: samples that agree.
        samples: all of them, or how many independent ones they are worth, which may be no whole number; without any,
            nothing is known and the interval is 0 to 1.
        alpha: error of both sides together.
    """
    if not 0 <= hits <= samples:
        raise ValueError(f"hits should be between 0 and {samples}: {hits}")
    misses = samples - hits
    low = 0.0 if hits == 0 else _quantile(lambda x: regularised_beta(hits, misses + 1, x), alpha / 2)
    high = 1.0 if misses == 0 else _quantile(lambda x: regularised_beta(hits + 1, misses, x), 1 - alpha / 2)
    return low, high


def share_interval(hits: float, samples: int) -> tuple[float, float]:
    """The interval of a mean share where each sample counts with a share of its own, between 0 and 1.

    Positions of one sample depend on each other, so the samples are counted, not the positions: the interval is that
    of `clopper_pearson` for as many draws of 0 or 1 with the same mean, which spread the most of all variables
    between 0 and 1 (Hoeffding, JASA 58, 1963). Broken counts are rounded away from each other.

    Args:
        hits: sum of the shares.
        samples: how many.
    """
    slack = 1e-9 * max(samples, 1)  # a sum of shares misses a whole number by rounding
    below, above = math.floor(hits + slack), math.ceil(hits - slack)
    return clopper_pearson(max(0, below), samples)[0], clopper_pearson(min(samples, above), samples)[1]


def share_samples(share: float) -> int:
    """The least samples that show a share when all of them agree: ``share ** samples <= ALPHA / 2``.

    Args:
        share: between 0 and 1.
    """
    return math.ceil(math.log(ALPHA / 2) / math.log(share))


def wilson(hits: int, samples: int) -> tuple[float, float]:
    """The 95 % score interval of a share; Wilson, JASA 22 (1927)."""
    share, z2 = hits / samples, Z95**2
    centre = (share + z2 / (2 * samples)) / (1 + z2 / samples)
    half = Z95 * math.sqrt(share * (1 - share) / samples + z2 / (4 * samples**2)) / (1 + z2 / samples)
    return max(0.0, centre - half), min(1.0, centre + half)


def paired_drop(both: int, only_source: int, only_artifact: int, neither: int) -> tuple[float, float]:
    """The 95 % interval of ``accuracy(source) - accuracy(artifact)`` on the same samples.

    Source: Newcombe, "Improved confidence intervals for the difference between binomial proportions based on
    paired data", Statistics in Medicine 17 (1998), method 10: Wilson intervals of both shares, joined with a
    correlation that is corrected for continuity.

    Args:
        both: samples that both classify correctly.
        only_source: that only the source does.
        only_artifact: that only the artifact does.
        neither: that none does.
    """
    samples = both + only_source + only_artifact + neither
    if samples == 0:
        return -1.0, 1.0
    first, second = both + only_source, both + only_artifact
    drop = (only_source - only_artifact) / samples
    (low1, high1), (low2, high2) = wilson(first, samples), wilson(second, samples)
    down1, up1 = first / samples - low1, high1 - first / samples
    down2, up2 = second / samples - low2, high2 - second / samples
    phi = _correlation(both, only_source, only_artifact, neither)
    lower = math.sqrt(max(0.0, down1**2 - 2 * phi * down1 * up2 + up2**2))
    upper = math.sqrt(max(0.0, up1**2 - 2 * phi * up1 * down2 + down2**2))
    return max(-1.0, drop - lower), min(1.0, drop + upper)


def paired_mean(differences: NDArray[Any]) -> tuple[float, ...]:
    """The 95 % interval of the mean of paired differences, by Student's t.

    Args:
        differences: one per sample, ``(samples,)``.

    Returns:
        Lower and upper limit; nothing for fewer than two samples, which say nothing about the spread.
    """
    count = len(differences)
    if count < 2:
        return ()
    centre = float(np.mean(differences))
    half = student_quantile(1 - ALPHA / 2, count - 1) * float(np.std(differences, ddof=1)) / math.sqrt(count)
    return centre - half, centre + half


def bootstrap(
    statistic: Callable[[NDArray[np.float64]], float],
    samples: int,
    *,
    value: float,
    seed: int = 0,
    seconds: float | None = None,
) -> tuple[float, ...]:
    """The 95 % percentile interval of a statistic, over resamples of whole samples with replacement.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13. Where time allows fewer
    than `RESAMPLES`, their standard error with Student's t takes the place of the percentiles (chapter 12).

    Args:
        statistic: of samples that count as often as their weights say, ``(samples,)``; NaN where it is undefined.
        samples: how many there are.
        value: the statistic of all samples, which the interval always holds.
        seed: the same samples always give the same interval.
        seconds: time limit.

    Returns:
        Lower and upper limit; nothing for fewer than two samples, or where most resamples leave it undefined.
    """
    if samples < 2:
        return ()
    generator, started = np.random.default_rng(seed), time.monotonic()
    drawn: list[float] = []
    while len(drawn) < RESAMPLES:
        if seconds is not None and len(drawn) >= _FEW and time.monotonic() - started > seconds:
            break
        weights = np.bincount(generator.integers(0, samples, samples), minlength=samples)
        drawn.append(statistic(weights.astype(np.float64)))
    known = np.array([one for one in drawn if math.isfinite(one)])
    if 2 * len(known) < len(drawn):
        return ()
    if len(drawn) < RESAMPLES:
        half = student_quantile(1 - ALPHA / 2, len(known) - 1) * float(np.std(known, ddof=1))
        return value - half, value + half
    low, high = np.quantile(known, [ALPHA / 2, 1 - ALPHA / 2])
    return min(float(low), value), max(float(high), value)


def student_quantile(probability: float, freedom: int) -> float:
    """The point of Student's t distribution that ``probability`` (above a half) lies under.

    Source: Abramowitz and Stegun 26.7.1: ``P(|T| <= t) = 1 - I_x(freedom / 2, 1 / 2)``, ``x = f / (f + t^2)``.
    """
    x = _quantile(lambda value: regularised_beta(freedom / 2, 0.5, value), 2 * (1 - probability))
    return math.sqrt(freedom * (1 - x) / x)


def regularised_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function ``I_x(a, b)``, which is the distribution function of Beta(a, b).

    Source: continued fraction of DLMF 8.17.22, evaluated by the modified Lentz method (Thompson and Barnett,
    Journal of Computational Physics 64, 1986); ``I_x(a, b) = 1 - I_(1-x)(b, a)`` keeps it converging fast.
    """
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - regularised_beta(b, a, 1.0 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) / (a * _fraction(a, b, x))


def _fraction(a: float, b: float, x: float) -> float:
    """``1 + d1/(1 + d2/(1 + ...))`` of DLMF 8.17.22."""
    tiny = 1e-300
    value, upper, lower = 1.0, 1.0, 0.0
    for step in range(1, 100_000):  # converges in some sqrt(max(a, b)) steps
        m = step // 2
        if step % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        lower = 1.0 / ((1.0 + term * lower) or tiny)
        upper = (1.0 + term / upper) or tiny
        value *= upper * lower
        if abs(upper * lower - 1.0) < 1e-15:
            break
    return value


def _quantile(distribution: Callable[[float], float], probability: float) -> float:
    """Where an increasing function on [0, 1] reaches a probability, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if distribution(middle) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _correlation(both: int, only_source: int, only_artifact: int, neither: int) -> float:
    product = (both + only_source) * (only_artifact + neither) * (both + only_artifact) * (only_source + neither)
    if product == 0:
        return 0.0
    cross: float = both * neither - only_source * only_artifact
    if cross > 0:
        cross = max(0.0, cross - (both + only_source + only_artifact + neither) / 2)
    return cross / math.sqrt(product)
