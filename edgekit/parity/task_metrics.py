"""The metrics that ``--metric`` names: which output labels are about, which labels fit it, and the figures.

A metric is one object and one row here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.parity.accuracy import (
    ARGMAX,
    CONVERT,
    Array,
    count_classes,
    predicted,
    refusal,
    refuse_labels,
    task_outputs,
)
from edgekit.parity.metrics import are_probabilities
from edgekit.parity.scores import Floats, Hits, Means, Scores, Whole
from edgekit.registry import Registry, Row

#: Classes among which the label has to be for ``top5``.
TOP = 5

#: Elements whose errors are held at once.
_BLOCK = 1 << 20


class TaskMetric(Protocol):
    """What a metric can do. Labels and outputs have samples first; outputs are checked to be of the source's shape.

    Attributes:
        about: the outputs it is about, in words that follow "needs".
    """

    about: str

    def candidates(self, outputs: Mapping[str, Array], labels: Array) -> tuple[str, ...]:
        """The outputs of the source that these labels may be about."""
        ...

    def refuse(self, labels: Array, output: Array) -> None:
        """Refuse labels that do not fit the source's output.

        Raises:
            DataError: says what was expected and what was received.
        """
        ...

    def scores(self, output: Array, labels: Array, like: Array) -> Scores:
        """The figures of an output; ``like`` is the source's, which decides what kind of output it is."""
        ...


@dataclass(frozen=True)
class MetricRow(Row):
    """A metric, described without importing it.

    Attributes:
        greater_is_better: whether a smaller figure is a loss.
        share: whether the figure is a share between 0 and 1; else it has the unit of the labels.
    """

    greater_is_better: bool = True
    share: bool = True


def _row(name: str, target: str, *, error: bool = False) -> MetricRow:
    return MetricRow(name, f"edgekit.parity.{target}", "", (), greater_is_better=not error, share=not error)


METRICS = Registry[MetricRow](
    "metric",
    "edgekit.metrics",
    (
        _row("accuracy", "task_metrics:ACCURACY"),
        _row("top5", "task_metrics:TOP5"),
        _row("f1", "task_metrics:F1"),
        _row("iou", "masks:IOU"),
        _row("mse", "task_metrics:MSE", error=True),
        _row("mae", "task_metrics:MAE", error=True),
    ),
)


class _Accuracy:
    """Share of samples whose class is the labelled one."""

    about = "an output of class scores, one probability or one integer class per sample"

    def candidates(self, outputs: Mapping[str, Array], labels: Array) -> tuple[str, ...]:
        return task_outputs(outputs)

    def refuse(self, labels: Array, output: Array) -> None:
        refuse_labels(labels, output)

    def scores(self, output: Array, labels: Array, like: Array) -> Hits:
        if not len(output):
            return Hits(np.zeros(0, dtype=bool))
        return Hits(np.asarray(predicted(output, like) == labels.reshape(-1)))


class _Top5:
    """Share of samples whose labelled class is among the five with the largest scores; of equals the first counts."""

    about = f"an output of scores of more than {TOP} classes, (samples, classes)"

    def candidates(self, outputs: Mapping[str, Array], labels: Array) -> tuple[str, ...]:
        return task_outputs({name: array for name, array in outputs.items() if (count_classes(array) or 0) > TOP})

    def refuse(self, labels: Array, output: Array) -> None:
        refuse_labels(labels, output)

    def scores(self, output: Array, labels: Array, like: Array) -> Hits:
        right = np.zeros(len(output), dtype=bool)
        rows = max(1, _BLOCK // max(1, output.shape[1]))
        for start in range(0, len(output), rows):
            block, label = np.asarray(output[start : start + rows]), labels[start : start + rows].reshape(-1, 1)
            own = np.take_along_axis(block, label, axis=1)
            first = np.arange(block.shape[1]) < label
            before = (block > own) | ((block == own) & first)
            right[start : start + rows] = (before.sum(axis=1) < TOP) & ~np.isnan(block).any(axis=1)
        return Hits(right)


class _F1:
    """The harmonic mean of precision and recall.

    Of two classes that of class 1, else the mean over the classes that occur in labels or predictions (scikit-learn's
    ``binary`` and ``macro``). Labels of the output's own shape say of every column whether it applies: the mean is
    then over columns, and each is predicted above a half, or above 0 where the source's outputs are no probabilities.
    """

    about = (
        "an output of class scores, one probability or one integer class per sample, "
        "or labels of 0 and 1 in the shape of the output"
    )

    def candidates(self, outputs: Mapping[str, Array], labels: Array) -> tuple[str, ...]:
        if _many(labels):
            return tuple(name for name, array in outputs.items() if _real(array) and array.shape == labels.shape)
        return task_outputs(outputs)

    def refuse(self, labels: Array, output: Array) -> None:
        if not _many(labels):
            refuse_labels(labels, output)
            if count_classes(output) == 2:
                refuse_no_positive("f1", labels, output)
            return
        if labels.shape != output.shape:
            hint = "Give one class per sample, or 0 and 1 for every column of the output."
            raise refusal("label-shape", "labels and output differ in shape.", labels, output, hint)
        refuse_no_flags(labels, output)
        refuse_one_hot(labels, output)
        refuse_no_positive("f1", labels, output)

    def scores(self, output: Array, labels: Array, like: Array) -> Whole:
        if _many(labels):
            return _f1_of_columns(np.asarray(labels, dtype=bool), output, like)
        truth, guess = labels.reshape(-1).astype(np.int64), predicted(output, like)
        classes = int(max(truth.max(initial=1), guess.max(initial=1))) + 1
        binary = count_classes(like) == 2 or (count_classes(like) is None and _flags(labels) and _flags(like))
        hit, known = guess == truth, guess >= 0

        def at(weights: Floats) -> float:
            right = np.bincount(truth[hit], weights[hit], classes)
            counted = np.bincount(truth, weights, classes) + np.bincount(guess[known], weights[known], classes)
            return macro(2 * right, counted, binary=binary)

        return Whole(at, len(truth))


class _Error:
    """The mean over samples of each one's mean error, squared or absolute, in the unit of the labels."""

    about = "an output of real numbers in the shape of the labels"

    def __init__(self, power: int) -> None:
        self._power = power

    def candidates(self, outputs: Mapping[str, Array], labels: Array) -> tuple[str, ...]:
        return tuple(name for name, array in outputs.items() if _real(array) and _plain(array) == _plain(labels))

    def refuse(self, labels: Array, output: Array) -> None:
        if not (_real(labels) or np.issubdtype(labels.dtype, np.integer)):
            raise refusal("bad-labels", f"labels should be numbers, not {labels.dtype}.", labels, output, CONVERT)
        if len(labels) != len(output):
            hint = "Give as many labels as samples, in the same order."
            raise refusal("label-count", "there should be one label per sample.", labels, output, hint)
        if _plain(labels) != _plain(output):
            hint = "Give labels in the shape of the output, or name another one: --metric mse@OUTPUT."
            raise refusal("label-shape", "labels and output differ in shape.", labels, output, hint)
        for noun, array in (("label", labels), ("the source's output", output)):
            bad = ~np.isfinite(np.asarray(array)).reshape(len(array), -1).all(axis=1)
            if bad.any():
                message = f"{noun} {'of ' if array is output else ''}sample {int(np.argmax(bad))} is not finite."
                raise refusal("not-finite", message, labels, output, f"Leave out such samples ({int(bad.sum())}).")

    def scores(self, output: Array, labels: Array, like: Array) -> Means:
        each = np.zeros(len(output))
        rows = max(1, _BLOCK // max(1, int(np.prod(output.shape[1:]))))
        for start in range(0, len(output), rows):
            got = np.asarray(output[start : start + rows], dtype=np.float64)
            want = np.asarray(labels[start : start + rows], dtype=np.float64).reshape(got.shape)
            error = np.abs(got - want) ** self._power
            each[start : start + rows] = error.reshape(len(got), -1).mean(axis=1)
        return Means(each)


ACCURACY, TOP5, F1, MSE, MAE = _Accuracy(), _Top5(), _F1(), _Error(2), _Error(1)


def macro(part: NDArray[Any], whole: NDArray[Any], *, binary: bool) -> float:
    """The mean over classes of ``part / whole``, of those with any; of class 1 alone where there are two.

    Returns:
        NaN where no class is left.
    """
    if binary:
        part, whole = part[1:2], whole[1:2]
    some = whole > 0
    return float(np.mean(part[some] / whole[some])) if some.any() else float("nan")


def threshold(source: Array) -> float:
    """Above what an element is predicted: a half where the source's output is within 0 and 1, else 0."""
    within = np.fmin.reduce(source, axis=None) >= 0 and np.fmax.reduce(source, axis=None) <= 1
    return 0.5 if within else 0.0


def refuse_no_flags(labels: Array, output: Array) -> None:
    """Refuse labels that are not 0 and 1.

    Raises:
        DataError: another type or value.
    """
    if labels.dtype != bool and not np.issubdtype(labels.dtype, np.integer):
        raise refusal("bad-labels", f"labels should be integers, not {labels.dtype}.", labels, output, CONVERT)
    if not _flags(labels):
        message = f"labels should be 0 or 1, but go from {labels.min()} to {labels.max()}."
        raise refusal("label-range", message, labels, output, "Turn them into 0 and 1: (labels > 0).astype('int64').")


def refuse_one_hot(labels: Array, output: Array) -> None:
    """Refuse one-hot rows where the output holds the probabilities of classes that exclude each other.

    Raises:
        DataError: the classes should be given instead.
    """
    if labels.shape[-1] > 1 and are_probabilities(output) and bool((np.asarray(labels).sum(axis=-1) == 1).all()):
        message = "labels are one-hot rows of classes that exclude each other."
        raise refusal("bad-labels", message, labels, output, ARGMAX.replace("axis=1", "axis=-1"))


def refuse_no_positive(metric: str, labels: Array, output: Array) -> None:
    """Refuse labels without a single 1, of which a metric of class 1 says nothing.

    Raises:
        DataError: there is none.
    """
    if not (np.asarray(labels) == 1).any():
        message = f"no label is 1, so that {metric} says nothing."
        raise refusal("no-positive-label", message, labels, output, "Give samples of both kinds.")


def _f1_of_columns(truth: NDArray[np.bool_], output: Array, like: Array) -> Whole:
    guess = np.where(np.isnan(output), ~truth, output > threshold(like))  # NaN is never right
    flat = [array.reshape(len(truth), -1).astype(np.float64) for array in (truth & guess, truth, guess)]

    def at(weights: Floats) -> float:
        right, true, guessed = (np.einsum("i,ij", weights, array) for array in flat)
        return macro(2 * right, true + guessed, binary=False)

    return Whole(at, len(truth))


def _many(labels: Array) -> bool:
    """Whether there is more than one label per sample."""
    return labels.ndim > 1 and labels.size != len(labels)


def _real(array: Array) -> bool:
    return array.ndim > 0 and bool(np.issubdtype(array.dtype, np.floating))


def _flags(array: Array) -> bool:
    return not array.size or bool(array.min() >= 0 and array.max() <= 1)


def _plain(array: Array) -> tuple[int, ...]:
    """A shape without axes of length 1 behind the samples: ``(samples, 1)`` and ``(samples,)`` hold the same."""
    return (*array.shape[:1], *(length for length in array.shape[1:] if length != 1))
