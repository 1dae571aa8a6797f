"""Intersection over union of masks: labels of a class per position, as in segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.parity.accuracy import CONVERT, Array, refusal
from edgekit.parity.scores import Floats, Whole
from edgekit.parity.task_metrics import macro, refuse_no_flags, refuse_no_positive, refuse_one_hot, threshold

#: The class of positions that do not count, as in Pascal VOC and Cityscapes.
VOID = 255

#: Where an output keeps its classes: scores along the last or the second axis, one figure per position, or a class.
Layout = Literal["last", "first", "single", "classes"]


class _IoU:
    """Intersection over union of predicted and labelled positions, summed over all samples before the division.

    Of two classes that of class 1, else the mean over the classes that occur in labels or predictions. One figure per
    position is class 1 above a half, or above 0 where the source's outputs are no probabilities.

    Source: Everingham et al., "The Pascal Visual Object Classes Challenge", IJCV 111 (2015), section 3.3.
    """

    about = "an output with the spatial shape of the labels: (samples, height, width), classes last or second"

    def candidates(self, outputs: Mapping[str, Array], labels: Array) -> tuple[str, ...]:
        return tuple(name for name, array in outputs.items() if layout(array, labels) is not None)

    def refuse(self, labels: Array, output: Array) -> None:
        found = layout(output, labels)
        if len(labels) != len(output) and labels.ndim > 1:
            hint = "Give as many masks as samples, in the same order."
            raise refusal("label-count", "there should be one mask per sample.", labels, output, hint)
        if found is None:
            hint = "Give one mask per sample in the size of the output: (samples, height, width)."
            raise refusal("label-shape", "labels should be masks in the size of the output.", labels, output, hint)
        if found == "single":
            refuse_no_flags(labels, output)
            refuse_one_hot(labels, output)
            refuse_no_positive("iou", labels, output)
            return
        if labels.dtype != bool and not np.issubdtype(labels.dtype, np.integer):
            raise refusal("bad-labels", f"labels should be integers, not {labels.dtype}.", labels, output, CONVERT)
        classes = _count(output, found)
        known = np.asarray(labels)[_counted(labels, classes)]
        if not known.size or known.min() < 0 or (classes is not None and known.max() >= classes):
            span = f"go from {known.min()} to {known.max()}" if known.size else f"are all {VOID}"
            message = f"the output has the classes {'from 0 on' if classes is None else f'0 to {classes - 1}'}, "
            hint = f"Number the classes as the model does, from 0; {VOID} marks positions that do not count."
            raise refusal("label-range", f"{message}but labels {span}.", labels, output, hint)
        if classes == 2:
            refuse_no_positive("iou", labels, output)

    def scores(self, output: Array, labels: Array, like: Array) -> Whole:
        found = layout(like, labels)
        assert found is not None
        truth = np.asarray(labels).reshape(_positions(labels)).astype(np.int64)
        counted = _counted(truth, _count(like, found))
        level = threshold(like) if found == "single" else 0.0
        guess = np.stack([_predicted(output[i : i + 1], level, found)[0] for i in range(len(output))])
        guess = guess.reshape(truth.shape)
        classes = max(int(truth[counted].max(initial=1)), int(guess.max(initial=1))) + 1
        binary = _count(like, found) == 2 or (
            found == "classes" and int(truth[counted].max(initial=0)) < 2 > like.max()
        )
        both, either = np.zeros((len(truth), classes)), np.zeros((len(truth), classes))
        for i, (true, got, known) in enumerate(zip(truth, guess, counted, strict=True)):
            both[i] = np.bincount(true[known & (true == got)], minlength=classes)
            either[i] = np.bincount(true[known], minlength=classes) - both[i]
            either[i] += np.bincount(got[known & (got >= 0)], minlength=classes)

        def at(weights: Floats) -> float:
            return macro(*(np.einsum("i,ij", weights, one) for one in (both, either)), binary=binary)

        return Whole(at, len(truth))


IOU = _IoU()


def layout(output: Array, labels: Array) -> Layout | None:
    """Where an output keeps its classes, for masks as labels; None when the shapes do not fit."""
    size = _positions(labels)
    real = np.issubdtype(output.dtype, np.floating)
    if len(size) < 2 or not (real or np.issubdtype(output.dtype, np.integer)):
        return None
    if output.shape in (labels.shape, size, (*size, 1), (size[0], 1, *size[1:])):
        return "single" if real else "classes"
    if not real or output.ndim != len(size) + 1:
        return None
    if output.shape[:-1] == size:
        return "last"
    return "first" if (output.shape[0], *output.shape[2:]) == size else None


def _positions(labels: Array) -> tuple[int, ...]:
    """The shape of masks without a last axis of length 1."""
    return labels.shape[:-1] if labels.ndim > 2 and labels.shape[-1] == 1 else labels.shape


def _count(output: Array, found: Layout) -> int | None:
    if found == "classes":
        return None
    return 2 if found == "single" else int(output.shape[-1 if found == "last" else 1])


def _counted(labels: Array, classes: int | None) -> NDArray[np.bool_]:
    """Which positions count: all of them where `VOID` is a class of the output."""
    return np.asarray(labels != VOID) if classes is None or classes <= VOID else np.ones(labels.shape, dtype=bool)


def _predicted(output: Array, level: float, found: Layout) -> NDArray[np.int64]:
    """The class of every position; -1 where the output is NaN."""
    if found == "classes":
        return np.asarray(output, dtype=np.int64)
    if found == "single":
        return np.where(np.isnan(output), -1, output > level).astype(np.int64)
    axis = -1 if found == "last" else 1
    return np.where(np.isnan(output).any(axis=axis), -1, np.argmax(output, axis=axis)).astype(np.int64)
