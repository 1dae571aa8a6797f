"""What labels say: which output they are about, what it gets right, and whether a loss is accepted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError, UsageError
from edgekit.parity.intervals import paired_drop
from edgekit.parity.metrics import are_probabilities
from edgekit.results import Accuracy
from edgekit.types import Verdict

Array = NDArray[Any]

#: Steps of 10 % in which more samples are tried, up to some thousand times those at hand.
_STEPS = 73


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


def find_task(outputs: Mapping[str, Array]) -> str:
    """The one output that labels are about.

    Raises:
        UsageError: no output qualifies, or several do.
    """
    found = task_outputs(outputs)
    if len(found) == 1:
        return found[0]
    received = ", ".join(f"{name} {_form(array)}" for name, array in outputs.items())
    if found:
        raise UsageError(
            "several-scores",
            f"labels can be about one output only, and {', '.join(found)} all qualify.",
            received=received,
            hint="Leave --labels out, or export a model with one output of classes.",
        )
    raise UsageError(
        "no-scores",
        "accuracy needs an output of class scores, one probability or one integer class per sample.",
        received=received,
        hint="Leave --labels out, or use a model that ends in class scores, or in a sigmoid for two classes.",
    )


def refuse_labels(labels: Array, output: Array) -> None:
    """Refuse labels that do not fit the output they are about.

    Args:
        labels: should be integers ``(samples,)`` or ``(samples, 1)``, from 0 up to the number of classes.
        output: of the source, see `task_outputs`.

    Raises:
        DataError: one-hot rows, no integers, another count, or a class that the output does not have.
    """
    if labels.ndim == 0 or labels.size != len(labels):
        raise _refusal("bad-labels", "labels should be one class per sample.", labels, output, _ARGMAX)
    if not np.issubdtype(labels.dtype, np.integer):
        raise _refusal("bad-labels", f"labels should be integers, not {labels.dtype}.", labels, output, _CONVERT)
    if len(labels) != len(output):
        hint = "Give as many labels as samples, in the same order."
        raise _refusal("label-count", "there should be one label per sample.", labels, output, hint)
    classes = 2 if _is_one_probability(output) else output.shape[1] if _is_scores(output) else None
    if classes is None or not labels.size:
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        message = f"the output has the classes 0 to {classes - 1}, but labels go from {low} to {high}."
        raise _refusal("label-range", message, labels, output, "Number the classes as the model does, from 0.")


def correct(output: Array, labels: Array, like: Array | None = None) -> NDArray[np.bool_]:
    """Which samples an output classifies as labelled.

    Args:
        output: scores ``(samples, classes)``, where the largest decides; one probability per sample, where more
            than a half is class 1; or integer classes, one per sample. NaN is never correct.
        labels: integers ``(samples,)`` or ``(samples, 1)``.
        like: the output whose kind decides; itself when None. A quantized probability may lie beyond 1.

    Raises:
        DataError: see `refuse_labels`; or the output holds no classes.
    """
    decides = output if like is None else like
    refuse_labels(labels, decides)
    if not len(output):
        return np.zeros(0, dtype=bool)
    if _rank(decides) is None:
        message = "accuracy needs an output of class scores, one probability or one integer class per sample."
        hint = "Leave --labels out, or use a model that ends in class scores."
        raise _refusal("no-classes", message, labels, output, hint)
    whole = np.issubdtype(decides.dtype, np.integer)
    classes = output.reshape(-1) if whole else np.argmax(as_scores(output), axis=1)
    sound = ~np.isnan(output).reshape(len(output), -1).any(axis=1)
    return np.asarray((classes == labels.reshape(-1)) & sound)


def as_scores(output: Array) -> Array:
    """Scores whose largest element is the class: one probability per sample becomes two columns, ``(0.5, p)``."""
    if output.size != len(output):
        return output
    single = np.asarray(output).reshape(-1)
    return np.stack([np.full_like(single, 0.5), single], axis=1)


def judge_accuracy(reference: Array, got: Array, labels: Array, *, max_drop: float | None = None) -> AccuracyJudgement:
    """Compare the accuracy of an artifact with its source's on the same labelled samples.

    Args:
        reference: outputs of the source, see `correct`.
        got: outputs of the artifact.
        labels: integer classes ``(samples,)``.
        max_drop: largest accepted loss, between 0 and 1. The verdict is ``verified`` when the whole interval of the
            drop lies within it, ``failed`` when it lies beyond, else ``weak``; None reports without judging.

    Raises:
        DataError: labels or outputs hold no classes.
    """
    source, artifact = correct(reference, labels), correct(got, labels, like=reference)
    samples = len(source)
    only_source, only_artifact = int(np.sum(source & ~artifact)), int(np.sum(artifact & ~source))
    both = int(np.sum(source & artifact))
    table = (both, only_source, only_artifact, samples - both - only_source - only_artifact)
    drop = (only_source - only_artifact) / samples if samples else 0.0
    low, high = paired_drop(*table)
    shares = [float(np.mean(hits)) if samples else 0.0 for hits in (artifact, source)]
    accuracy = Accuracy("accuracy", shares[0], shares[1], drop, (low, high), samples)
    if samples == 0:
        return AccuracyJudgement(accuracy, "failed", ("accuracy: no sample was judged.",))
    if max_drop is None or high <= max_drop:
        return AccuracyJudgement(accuracy, "verified", ())
    text = f"the drop of accuracy is {drop:.4f} (95 % interval {low:.4f} to {high:.4f}, {samples} samples)"
    if low > max_drop:
        return AccuracyJudgement(accuracy, "failed", (f"{text}, more than the {max_drop:g} allowed.",))
    needed = _samples_needed(table, max_drop)
    enough = f"; some {needed:,} samples like these would show it" if needed else ""
    return AccuracyJudgement(accuracy, "weak", (f"{text}, not shown to stay within {max_drop:g}{enough}.",))


def _samples_needed(table: tuple[int, int, int, int], max_drop: float) -> int | None:
    """How many samples with the same shares would keep the interval within the limit; None when hardly any would."""
    if (table[1] - table[2]) / sum(table) >= max_drop:
        return None
    for step in range(1, _STEPS):
        grown = (round(cell * 1.1**step) for cell in table)
        if paired_drop(*grown)[1] <= max_drop:
            return int(float(f"{sum(table) * 1.1**step:.2g}"))
    return None


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


def _refusal(code: str, message: str, labels: Array, output: Array, hint: str) -> DataError:
    return DataError(code, message, received=f"labels {_form(labels)}, output {_form(output)}", hint=hint)


_ARGMAX = "Turn one-hot rows into classes before saving them: labels.argmax(axis=1)."
_CONVERT = 'Convert whole numbers before saving them: labels.astype("int64").'


def _form(array: Array) -> str:
    return f"{'x'.join(map(str, array.shape)) or 'scalar'}:{array.dtype}"
