"""What a task metric says about samples, and how much less of it an artifact gets than its source, with an interval.

Three forms cover every metric: samples that are right or wrong, a figure per sample, and a figure of the whole set.
Source and artifact are always compared on the same samples, so each interval is one of paired differences.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.parity.intervals import ALPHA, bootstrap, clopper_pearson, paired_drop, paired_mean

Floats = NDArray[np.float64]

#: Stands for an infinite or undefined figure, so that JSON keeps it.
NOT_FINITE = sys.float_info.max

#: Steps of 10 % in which more samples are tried, up to some thousand times those at hand.
_STEPS = 73


@dataclass(frozen=True, slots=True)
class Hits:
    """Samples that are right or wrong.

    Attributes:
        right: booleans ``(samples,)``.
    """

    right: NDArray[np.bool_]

    @property
    def value(self) -> float:
        """Share that is right; NaN without samples."""
        return float(np.mean(self.right)) if len(self.right) else math.nan

    def __len__(self) -> int:
        return len(self.right)


@dataclass(frozen=True, slots=True)
class Means:
    """One figure per sample, whose mean is the metric.

    Attributes:
        each: ``(samples,)``.
    """

    each: Floats

    @property
    def value(self) -> float:
        return float(np.mean(self.each)) if len(self.each) else math.nan

    def __len__(self) -> int:
        return len(self.each)


@dataclass(frozen=True, slots=True)
class Whole:
    """One figure of all samples together.

    Attributes:
        at: the figure when each sample counts as often as its weight says, ``(samples,)``; NaN where undefined.
        samples: how many there are.
        seconds: time limit of the resampling; None for a figure that is quickly computed.
    """

    at: Callable[[Floats], float]
    samples: int
    seconds: float | None = None

    @property
    def value(self) -> float:
        return self.at(np.ones(self.samples)) if self.samples else math.nan

    def __len__(self) -> int:
        return self.samples


Scores = Hits | Means | Whole


@dataclass(frozen=True)
class Paired:
    """A metric of an artifact beside its source's, on the same samples.

    Attributes:
        value, source_value: in the metric's unit; `NOT_FINITE` stands for what is not finite.
        drop: how much worse the artifact is.
        ci95: interval of the drop; empty where the samples allow none.
        samples: how many.
        table: samples that both, only the source, only the artifact and none gets right; empty for other forms.
        unchanged: whether no resample shows any difference.
    """

    value: float
    source_value: float
    drop: float
    ci95: tuple[float, ...]
    samples: int
    table: tuple[int, ...] = ()
    unchanged: bool = False

    def samples_needed(self, max_drop: float) -> int | None:
        """How many samples like these would keep the interval within a limit; None when hardly any number would."""
        if self.drop >= max_drop or not self.ci95:
            return None
        if self.table:
            return _grown(self.table, max_drop)
        if self.unchanged:
            return _rounded(math.log(ALPHA / 2) / math.log1p(-max_drop)) if max_drop < 1 else None
        factor = ((self.ci95[1] - self.drop) / (max_drop - self.drop)) ** 2  # a width shrinks with the root
        return _rounded(self.samples * factor) if factor <= 1.1**_STEPS else None


def compare(source: Scores, artifact: Scores, *, greater_is_better: bool, interval: bool = True) -> Paired:
    """A metric of an artifact beside its source's.

    Args:
        source, artifact: of the same form, on the same samples in the same order.
        greater_is_better: whether a smaller figure of the artifact is a loss.
        interval: leave it out where only the figures are asked for.
    """
    sign = 1.0 if greater_is_better else -1.0
    value, before, samples = artifact.value, source.value, len(source)
    if not samples:
        return Paired(0.0, 0.0, 0.0, (), 0)
    if not (math.isfinite(value) and math.isfinite(before)):
        return Paired(_finite(value, -sign), _finite(before, -sign), NOT_FINITE, (), samples)
    drop = sign * (before - value) + 0.0  # no minus zero
    if isinstance(source, Hits) and isinstance(artifact, Hits):
        table = _table(source.right, artifact.right)
        drop = (table[1] - table[2]) / samples
        return Paired(value, before, drop, paired_drop(*table) if interval else (), samples, table)
    if not interval:
        return Paired(value, before, drop, (), samples)
    if isinstance(source, Means) and isinstance(artifact, Means):
        return Paired(value, before, drop, paired_mean(sign * (source.each - artifact.each)), samples)
    if isinstance(source, Whole) and isinstance(artifact, Whole):
        return _compare_whole(source, artifact, Paired(value, before, drop, (), samples), sign)
    raise TypeError(f"two forms of scores: {type(source).__name__} and {type(artifact).__name__}")


def _compare_whole(source: Whole, artifact: Whole, found: Paired, sign: float) -> Paired:
    limits = bootstrap(
        lambda weights: sign * (source.at(weights) - artifact.at(weights)),
        found.samples,
        value=found.drop,
        seconds=source.seconds,
    )
    unchanged = limits == (0.0, 0.0)
    if unchanged:  # what no sample shows, up to this share of all samples may still do
        share = clopper_pearson(0, found.samples)[1]
        limits = (-share, share)
    return Paired(found.value, found.source_value, found.drop, limits, found.samples, (), unchanged)


def _table(source: NDArray[Any], artifact: NDArray[Any]) -> tuple[int, int, int, int]:
    only_source, only_artifact = int(np.sum(source & ~artifact)), int(np.sum(artifact & ~source))
    both = int(np.sum(source & artifact))
    return both, only_source, only_artifact, len(source) - both - only_source - only_artifact


def _finite(value: float, worse: float) -> float:
    return value if math.isfinite(value) else worse * NOT_FINITE


def _grown(table: tuple[int, ...], max_drop: float) -> int | None:
    for step in range(1, _STEPS):
        both, only_source, only_artifact, neither = (round(cell * 1.1**step) for cell in table)
        if paired_drop(both, only_source, only_artifact, neither)[1] <= max_drop:
            return _rounded(sum(table) * 1.1**step)
    return None


def _rounded(samples: float) -> int:
    """To two digits: the estimate knows no more."""
    return int(float(f"{samples:.2g}"))
