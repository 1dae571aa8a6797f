"""How far two arrays are apart. Pure numpy, in float64, in blocks of samples so that memory stays flat.

The first axis of every array is the sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError

Array = NDArray[Any]
Floats = NDArray[np.float64]

#: Elements that are held in float64 at once.
BLOCK_ELEMENTS = 1 << 20

#: A reference without any signal has no finite SQNR; this figure stands for minus infinity, so that JSON keeps it.
NO_SIGNAL_DB = -300.0

#: The denominator of the relative difference is at least this share of the reference's deviation.
RELATIVE_FLOOR = 1e-3

#: An output is constant when no element moves over samples by more than this share of the largest magnitude:
#: some eight float32 roundings, which batching alone can cause.
CONSTANT_SHARE = 1e-6


@dataclass(frozen=True, slots=True)
class Spread:
    """The size of one array.

    Attributes:
        deviation: standard deviation over all finite elements, in the array's unit.
        rms: root mean square of the same.
        varies: whether some element changes over samples; False for a single sample.
        nonfinite: how many elements are NaN or infinite.
    """

    deviation: float
    rms: float
    varies: bool
    nonfinite: int

    @property
    def scale(self) -> float:
        """The deviation, or the root mean square where all elements are equal but for rounding."""
        return self.deviation if self.deviation > CONSTANT_SHARE * self.rms else self.rms


@dataclass(frozen=True, slots=True)
class Difference:
    """How one array differs from its reference; elements that are not finite in either are left out.

    Attributes:
        max_abs: largest absolute difference, in the array's unit.
        max_rel: largest difference over ``max(|ref|, 1e-3 * deviation)``.
        sqnr_db: ``10 log10(sum(ref^2) / sum((ref - got)^2))``; None when equal.
        worst_sqnr_db: the same for the worst sample that has a signal; None when no such sample differs.
        cosine: cosine similarity over all elements; None where either is all zeros.
        spoiled: elements that are NaN or infinite where the reference is finite.
    """

    max_abs: float
    max_rel: float
    sqnr_db: float | None
    worst_sqnr_db: float | None
    cosine: float | None
    spoiled: int


def spread(array: Array) -> Spread:
    """Deviation and variation of an array ``(samples, ...)``."""
    count, total, square, nonfinite = 0, 0.0, 0.0, 0
    low, high = np.full(array.shape[1:], np.inf), np.full(array.shape[1:], -np.inf)
    for (block,) in _blocks(array):
        finite = np.isfinite(block)
        values = block[finite]
        count, nonfinite = count + values.size, nonfinite + block.size - values.size
        total, square = total + float(values.sum()), square + float(values @ values)
        low = np.minimum(low, np.where(finite, block, np.inf).min(axis=0))
        high = np.maximum(high, np.where(finite, block, -np.inf).max(axis=0))
    if not count:
        return Spread(0.0, 0.0, varies=False, nonfinite=nonfinite)
    mean = total / count
    about_mean = sum(_squares(block, mean) for (block,) in _blocks(array))
    peak = max(abs(float(np.min(low))), abs(float(np.max(high))))
    moves = float(np.max(high - low, where=np.isfinite(low), initial=0.0))
    return Spread((about_mean / count) ** 0.5, (square / count) ** 0.5, moves > CONSTANT_SHARE * peak, nonfinite)


def difference(reference: Array, got: Array, deviation: float) -> Difference:
    """Compare two arrays of one shape ``(samples, ...)``.

    Args:
        reference: what should come out.
        got: what came out.
        deviation: standard deviation of the reference, for the floor of the relative difference.
    """
    max_abs = max_rel = signal = noise = cross = energy = 0.0
    worst: list[float] = []
    spoiled = 0
    for want, have in _blocks(reference, got):
        spoiled += int(np.count_nonzero(np.isfinite(want) & ~np.isfinite(have)))
        both = np.isfinite(want) & np.isfinite(have)
        want, have = np.where(both, want, 0.0), np.where(both, have, 0.0)
        error = np.abs(want - have)
        max_abs = max(max_abs, float(error.max()))
        floor = np.maximum(np.abs(want), RELATIVE_FLOOR * deviation)
        max_rel = max(max_rel, float(np.divide(error, floor, out=np.zeros_like(error), where=floor > 0).max()))
        sample_signal, sample_noise = _row_squares(want), _row_squares(error)
        heard = (sample_signal > 0) & (sample_noise > 0)
        worst.extend(map(_decibel, sample_signal[heard], sample_noise[heard]))
        signal, noise = signal + float(sample_signal.sum()), noise + float(sample_noise.sum())
        cross, energy = cross + float(np.vdot(want, have)), energy + float(np.vdot(have, have))
    cosine = cross / (signal * energy) ** 0.5 if signal > 0 and energy > 0 else None
    sqnr = _decibel(signal, noise) if noise > 0 else None
    return Difference(max_abs, max_rel, sqnr, min(worst, default=None), cosine, spoiled)


def looks_like_scores(array: Array) -> bool:
    """Whether the largest element of a sample means a class: floats ``(samples, classes)``, two classes or more."""
    return array.ndim == 2 and array.shape[1] >= 2 and bool(np.issubdtype(array.dtype, np.floating))


def top1_agreements(reference: Array, got: Array) -> int:
    """How many samples have the same largest element; the first of equals counts, a NaN never agrees."""
    same = np.argmax(reference, axis=1) == np.argmax(got, axis=1)
    return int(np.count_nonzero(same & ~np.isnan(got).any(axis=1)))


def equal_samples(reference: Array, got: Array) -> int:
    """How many samples are the same in every element."""
    if not len(reference):
        return 0
    return int(np.count_nonzero((reference == got).reshape(len(reference), -1).all(axis=1)))


def correct(output: Array, labels: Array) -> NDArray[np.bool_]:
    """Which samples an output classifies as labelled.

    Args:
        output: scores ``(samples, classes)``, where the largest decides; one probability per sample, where more
            than a half is class 1; or integer classes, one per sample. NaN is never correct.
        labels: integers ``(samples,)`` or ``(samples, 1)``.

    Raises:
        DataError: the labels are no integers, of another count, or the output holds no classes.
    """
    received = f"labels {labels.shape}:{labels.dtype}, output {output.shape}:{output.dtype}"
    if not np.issubdtype(labels.dtype, np.integer) or labels.size != len(labels):
        raise DataError("bad-labels", "labels should be one integer per sample.", received=received, hint=_LABELS_HINT)
    if len(labels) != len(output):
        raise DataError("label-count", "there should be one label per sample.", received=received, hint=_LABELS_HINT)
    if not len(output):
        return np.zeros(0, dtype=bool)
    classes = _classes(output, received)
    sound = ~np.isnan(output).reshape(len(output), -1).any(axis=1)
    return np.asarray((classes == labels.reshape(-1)) & sound)


_LABELS_HINT = "Give integer classes, one per sample, under --labels; argmax turns one-hot rows into such."


def _classes(output: Array, received: str) -> Array:
    if looks_like_scores(output):
        return np.asarray(np.argmax(output, axis=1))
    if output.size == len(output):
        single = output.reshape(-1)
        if np.issubdtype(output.dtype, np.integer):
            return single
        if float(np.nanmin(single)) >= 0 and float(np.nanmax(single)) <= 1:
            return np.asarray(single > 0.5)
    raise DataError(
        "no-classes",
        "accuracy needs an output of class scores, one probability or one integer class per sample.",
        received=received,
        hint="Leave --labels out, or use a model that ends in class scores.",
    )


def _blocks(*arrays: Array) -> Iterator[tuple[Floats, ...]]:
    """The arrays in step, some samples at a time, as float64; at least one axis is left in each."""
    rows = max(1, BLOCK_ELEMENTS // max(1, int(np.prod(arrays[0].shape[1:]))))
    for start in range(0, len(arrays[0]) if arrays[0].size else 0, rows):
        yield tuple(np.asarray(array[start : start + rows], dtype=np.float64) for array in arrays)


def _squares(block: Floats, centre: float) -> float:
    off = block[np.isfinite(block)] - centre
    return float(off @ off)


def _row_squares(block: Floats) -> Floats:
    flat = block.reshape(len(block), -1)
    return np.asarray(np.einsum("ij,ij->i", flat, flat))


def _decibel(signal: float, noise: float) -> float:
    if signal <= 0:
        return NO_SIGNAL_DB
    return max(NO_SIGNAL_DB, 10.0 * (float(np.log10(signal)) - float(np.log10(noise))))
