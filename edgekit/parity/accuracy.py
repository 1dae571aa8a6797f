"""Labels that are classes: which output they are about, what it predicts, and whether a loss is accepted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.checked import Accuracy
from edgekit.errors import DataError
from edgekit.parity.metrics import are_probabilities
from edgekit.parity.scores import NOT_FINITE, Paired
from edgekit.types import Verdict

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class AccuracyJudgement:
    """A task metric and what it says.

    Attributes:
        accuracy: the figures.
        verdict: ``verified``, ``weak`` or ``failed``.
        reasons: why it is not verified.
    """

    accuracy: Accuracy
    verdict: Verdict
    reasons: tuple[str, ...]


def task_outputs(outputs: Mapping[str, Array]) -> tuple[str, ...]:
    """The outputs that labels may be about, of the strongest kind there is.

    The kinds: probabilities ``(samples, classes)`` that sum to 1; one probability per sample; and, since labels say
    that there are classes, scores of two or more classes or one integer class per sample.

    Args:
        outputs: of the source, by name.
    """
    ranks = {name: _rank(array) for name, array in outputs.items()}
    best = min((rank for rank in ranks.values() if rank is not None), default=None)
    return tuple(name for name, rank in ranks.items() if rank is not None and rank == best)


def refuse_labels(labels: Array, output: Array) -> None:
    """Refuse labels that do not fit the output they are about.

    Args:
        labels: should be integers ``(samples,)`` or ``(samples, 1)``, from 0 up to the number of classes.
        output: of the source, see `task_outputs`.

    Raises:
        DataError: one-hot rows, no integers, another count, or a class that the output does not have.
    """
    if labels.ndim == 0 or labels.size != len(labels):
        raise refusal("bad-labels", "labels should be one class per sample.", labels, output, ARGMAX)
    if not np.issubdtype(labels.dtype, np.integer):
        raise refusal("bad-labels", f"labels should be integers, not {labels.dtype}.", labels, output, CONVERT)
    if len(labels) != len(output):
        hint = "Give as many labels as samples, in the same order."
        raise refusal("label-count", "there should be one label per sample.", labels, output, hint)
    classes = count_classes(output)
    if classes is None or not labels.size:
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        message = f"the output has the classes 0 to {classes - 1}, but labels go from {low} to {high}."
        raise refusal("label-range", message, labels, output, "Number the classes as the model does, from 0.")


def predicted(output: Array, like: Array | None = None) -> NDArray[np.int64]:
    """The class that an output gives each sample; -1 where it holds NaN.

    Args:
        output: scores ``(samples, classes)``, where the largest decides; one probability per sample, where more
            than a half is class 1; or integer classes, one per sample.
        like: the output whose kind decides; itself when None. A quantized probability may lie beyond 1.
    """
    whole = np.issubdtype((output if like is None else like).dtype, np.integer)
    classes = output.reshape(-1) if whole else np.argmax(as_scores(output), axis=1)
    sound = ~np.isnan(output).reshape(len(output), -1).any(axis=1)
    return np.where(sound, classes, -1).astype(np.int64)


def count_classes(output: Array) -> int | None:
    """How many classes an output tells apart; None for integer classes, of which there may be any number."""
    if _is_one_probability(output):
        return 2
    return int(output.shape[1]) if _is_scores(output) else None


def as_scores(output: Array) -> Array:
    """Scores whose largest element is the class: one probability per sample becomes two columns, ``(0.5, p)``."""
    if output.size != len(output):
        return output
    single = np.asarray(output).reshape(-1)
    return np.stack([np.full_like(single, 0.5), single], axis=1)


def judge_drop(metric: str, found: Paired, max_drop: float | None, sha256: str | None = None) -> AccuracyJudgement:
    """What the loss of a metric means.

    Args:
        metric: as the result shows it.
        found: the artifact beside its source.
        max_drop: largest accepted loss, in the metric's unit. The verdict is ``verified`` when the whole interval of
            the drop lies within it, ``failed`` when it lies beyond, else ``weak``; None reports without judging.
        sha256: of the user's code.
    """
    accuracy = Accuracy(metric, found.value, found.source_value, found.drop, found.ci95, found.samples, sha256)
    if found.samples == 0:
        return AccuracyJudgement(accuracy, "failed", (f"{metric}: no sample was judged.",))
    if found.drop == NOT_FINITE:
        return AccuracyJudgement(accuracy, "failed", (f"{metric}: the artifact's is not a finite number.",))
    if max_drop is None:
        return AccuracyJudgement(accuracy, "verified", ())
    many = f"{found.samples} sample{'s' if found.samples > 1 else ''}"
    if not found.ci95:
        reason = f"the drop of {metric} is {found.drop:.4g}, and {many} give it no interval."
        return AccuracyJudgement(accuracy, "failed" if found.drop > max_drop else "weak", (reason,))
    low, high = found.ci95
    if high <= max_drop:
        return AccuracyJudgement(accuracy, "verified", ())
    text = f"the drop of {metric} is {found.drop:.4f} (95 % interval {low:.4f} to {high:.4f}, {many})"
    if low > max_drop:
        return AccuracyJudgement(accuracy, "failed", (f"{text}, more than the {max_drop:g} allowed.",))
    needed = found.samples_needed(max_drop)
    enough = f"; some {needed:,} samples like these would show it" if needed else ""
    return AccuracyJudgement(accuracy, "weak", (f"{text}, not shown to stay within {max_drop:g}{enough}.",))


def _rank(output: Array) -> int | None:
    """How strongly an output says that it holds classes, 0 the most; None when it does not."""
    if _is_scores(output):
        return 0 if are_probabilities(output) else 2
    if _is_one_probability(output):
        return 1
    whole = np.issubdtype(output.dtype, np.integer) and output.ndim > 0 and output.size == len(output)
    return 2 if whole else None


def _is_scores(output: Array) -> bool:
    return output.ndim == 2 and output.shape[1] >= 2 and bool(np.issubdtype(output.dtype, np.floating))


def _is_one_probability(output: Array) -> bool:
    if output.ndim == 0 or output.size != len(output) or not np.issubdtype(output.dtype, np.floating):
        return False
    known = output[~np.isnan(output)]
    return bool(known.size and known.min() >= 0 and known.max() <= 1)


def refusal(code: str, message: str, labels: Array, output: Array, hint: str) -> DataError:
    """Labels that do not fit an output, with the form of both."""
    return DataError(code, message, received=f"labels {form(labels)}, output {form(output)}", hint=hint)


#: What mends labels that the metrics of classes cannot take.
ARGMAX = "Turn one-hot rows into classes before saving them: labels.argmax(axis=1)."
CONVERT = 'Convert whole numbers before saving them: labels.astype("int64").'


def form(array: Array) -> str:
    """Shape and dtype, as ``719x10:float32``."""
    return f"{'x'.join(map(str, array.shape)) or 'scalar'}:{array.dtype}"
