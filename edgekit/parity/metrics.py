"""How far two arrays are apart. Pure numpy, in float64, in blocks of samples so that memory stays flat.

The first axis of every array is the sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

#: Classes that are best, as in the top-5 error of ImageNet.
BEST = 5

#: Rows are probabilities when none is negative and each sums to 1 within this: what fp16 rounding leaves of a softmax.
SUM_SLACK = 1e-3


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

    The signal of an SQNR is the reference about its mean over samples, element by element: a constant offset carries
    nothing about the sample, and would drown any fault. For outputs whose mean is zero this is the plain SQNR; it is
    lower by the share of the offset for others (half a decibel for ten balanced classes, three for two). A reference
    that does not vary, as with a single sample, has no such signal, and its plain power is taken.

    Attributes:
        max_abs: largest absolute difference, in the array's unit.
        max_rel: largest difference over ``max(|ref|, 1e-3 * deviation)``.
        sqnr_db: ``10 log10(sum((ref - mean)^2) / sum((ref - got)^2))``; None when equal.
        worst_sqnr_db: the signal of an average sample over the noise of the noisiest one; None when equal.
        cosine: cosine similarity over all elements; None where either is all zeros.
        spoiled: elements that are NaN or infinite in one and not the same in the other.
        compared: elements that are finite in both.
        moving: root mean square of the reference about its mean over samples, in the array's unit.
    """

    max_abs: float
    max_rel: float
    sqnr_db: float | None
    worst_sqnr_db: float | None
    cosine: float | None
    spoiled: int
    compared: int
    moving: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often two arrays mean the same class.

    Attributes:
        hits: samples that agree; where a sample has several positions, the share of them that agree counts.
        samples: all of them.
        varies: whether the reference's class changes over samples; agreement on one class proves nothing.
    """

    hits: float
    samples: int
    varies: bool

    @property
    def share(self) -> float:
        return self.hits / self.samples if self.samples else 0.0


def spread(array: Array) -> Spread:
    """Deviation and variation of an array ``(samples, ...)``."""
    count, total, square, nonfinite = 0, 0.0, 0.0, 0
    low, high = np.full(array.shape[1:], np.inf), np.full(array.shape[1:], -np.inf)
    for (block,) in blocks(array):
        finite = np.isfinite(block)
        values = block[finite]
        count, nonfinite = count + values.size, nonfinite + block.size - values.size
        total, square = total + float(values.sum()), square + dot(values, values)
        low = np.minimum(low, np.where(finite, block, np.inf).min(axis=0))
        high = np.maximum(high, np.where(finite, block, -np.inf).max(axis=0))
    if not count:
        return Spread(0.0, 0.0, varies=False, nonfinite=nonfinite)
    mean = total / count
    about_mean = sum(_squares(block, mean) for (block,) in blocks(array))
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
    centre = _means(reference, got)
    max_abs = max_rel = signal = plain = noise = noisiest = cross = energy = 0.0
    spoiled = compared = 0
    for want, have in blocks(reference, got):
        both = np.isfinite(want) & np.isfinite(have)
        compared += int(np.count_nonzero(both))
        spoiled += int(np.count_nonzero(~both & (want != have) & ~(np.isnan(want) & np.isnan(have))))
        moves = np.where(both, want - centre, 0.0)
        want, have = np.where(both, want, 0.0), np.where(both, have, 0.0)
        error = np.abs(want - have)
        max_abs = max(max_abs, float(error.max()))
        floor = np.maximum(np.abs(want), RELATIVE_FLOOR * deviation)
        max_rel = max(max_rel, float(np.divide(error, floor, out=np.zeros_like(error), where=floor > 0).max()))
        sample_noise = _row_squares(error)
        noise, noisiest = noise + float(sample_noise.sum()), max(noisiest, float(sample_noise.max()))
        signal, plain = signal + dot(moves, moves), plain + dot(want, want)
        cross, energy = cross + dot(want, have), energy + dot(have, have)
    moving = (signal / max(compared, 1)) ** 0.5
    if signal <= CONSTANT_SHARE**2 * plain:
        signal = plain
    cosine = cross / (plain * energy) ** 0.5 if plain > 0 and energy > 0 else None
    sqnr = _decibel(signal, noise) if noise > 0 else None
    worst = _decibel(signal / len(reference), noisiest) if noisiest > 0 else None
    return Difference(max_abs, max_rel, sqnr, worst, cosine, spoiled, compared, moving)


def dot(left: Floats, right: Floats) -> float:
    """The sum of products, without BLAS: its threads can wait for each other for ever where two of ours compare."""
    return float(np.einsum("i,i", left.reshape(-1), right.reshape(-1)))


def are_probabilities(array: Array) -> bool:
    """Whether the last axis holds class probabilities: two or more, none negative, sum 1; rows with NaN aside.

    Args:
        array: ``(samples, classes)``, or ``(samples, ..., classes)`` as in segmentation and sequences.
    """
    if array.ndim < 2 or array.shape[-1] < 2 or not np.issubdtype(array.dtype, np.floating):
        return False
    found = False
    for (block,) in blocks(array):
        rows = block.reshape(-1, block.shape[-1])
        rows = rows[np.isfinite(rows).all(axis=1)]
        if (rows < 0).any() or (np.abs(rows.sum(axis=1) - 1) > SUM_SLACK).any():
            return False
        found = found or len(rows) > 0
    return found


def top1_agreement(reference: Array, got: Array) -> Agreement:
    """How often the largest element of the last axis is the same; the first of equals counts, a NaN never agrees."""
    hits, varies = 0.0, False
    first: NDArray[np.intp] | None = None
    for want, have in blocks(reference, got):
        best = np.argmax(want, axis=-1)
        same = (best == np.argmax(have, axis=-1)) & ~np.isnan(have).any(axis=-1)
        hits += float(same.reshape(len(same), -1).mean(axis=1).sum())
        first = best[:1] if first is None else first
        varies = varies or bool((best != first).any())
    return Agreement(hits, len(reference), varies)


def top_overlap(reference: Array, got: Array) -> float | None:
    """Share of the reference's best classes that are among the other's as many best, the mean over samples.

    Five are the best, or one less than all; the first of equals counts.

    Args:
        reference, got: scores ``(samples, classes)``.

    Returns:
        None for arrays of another rank, a single class, no sample, or integers, which are classes themselves.
    """
    if reference.ndim != 2 or reference.shape[1] < 2 or not reference.size or reference.dtype.kind != "f":
        return None
    best = min(BEST, reference.shape[1] - 1)
    shared = 0
    for want, have in blocks(reference, got):
        wanted, found = (np.argsort(-scores, axis=1, kind="stable")[:, :best] for scores in (want, have))
        shared += int((wanted[:, :, None] == found[:, None, :]).sum())
    return float(shared / (len(reference) * best))


def equal_samples(reference: Array, got: Array) -> int:
    """How many samples are the same in every element."""
    if not len(reference):
        return 0
    return int(np.count_nonzero((reference == got).reshape(len(reference), -1).all(axis=1)))


def blocks(*arrays: Array) -> Iterator[tuple[Floats, ...]]:
    """The arrays in step, some samples at a time, as float64; at least one axis is left in each."""
    rows = max(1, BLOCK_ELEMENTS // max(1, int(np.prod(arrays[0].shape[1:]))))
    for start in range(0, len(arrays[0]) if arrays[0].size else 0, rows):
        yield tuple(np.asarray(array[start : start + rows], dtype=np.float64) for array in arrays)


def _means(reference: Array, got: Array) -> Floats:
    """The reference's mean over samples, element by element, where both are finite."""
    total = np.zeros(reference.shape[1:])
    count = np.zeros(reference.shape[1:], dtype=np.int64)
    for want, have in blocks(reference, got):
        both = np.isfinite(want) & np.isfinite(have)
        total += np.where(both, want, 0.0).sum(axis=0)
        count += both.sum(axis=0)
    return np.asarray(total / np.maximum(count, 1))


def _squares(block: Floats, centre: float) -> float:
    off = block[np.isfinite(block)] - centre
    return dot(off, off)


def _row_squares(block: Floats) -> Floats:
    flat = block.reshape(len(block), -1)
    return np.asarray(np.einsum("ij,ij->i", flat, flat))


def _decibel(signal: float, noise: float) -> float:
    if signal <= 0:
        return NO_SIGNAL_DB
    return max(NO_SIGNAL_DB, 10.0 * (float(np.log10(signal)) - float(np.log10(noise))))
