"""Samples that a model cannot take, or that would poison what is measured on them; no array is loaded whole."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from edgekit.errors import DataError
from edgekit.runtimes.base import check_array, describe
from edgekit.samples import Samples
from edgekit.types import Signature, TensorSpec

#: Values looked at in one piece, so that memory does not grow with the data set.
_PIECE_VALUES = 1 << 20

#: Bits by which a column must agree with the labels to be no coincidence.
_COINCIDENCE_BITS = 40

#: Wider inputs are not searched for a column of labels.
_MOST_COLUMNS = 4096


def check_samples(signature: Signature, samples: Samples) -> None:
    """Refuse samples that do not fit a model, hold NaN or infinity, or hold the labels among the inputs.

    Raises:
        DataError: says what was expected and what was received, and which sample it is.
    """
    arrays, labels = samples.load(), samples.load_labels()
    check_names(signature, arrays, samples.origin)
    everything = {**arrays, **({} if labels is None else {"labels": labels})}
    lengths = {name: array.shape[0] if array.ndim else 0 for name, array in everything.items()}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise DataError(
            "wrong-lengths",
            "all arrays of the data should hold the same number of samples, at least one.",
            received=", ".join(f"{name}: {length}" for name, length in lengths.items()),
            hint="The first axis of each array is the sample.",
        )
    check_fits(signature, arrays, labels, samples.origin)
    for name, array in everything.items():
        refuse_non_finite(name, array)
    if labels is not None:
        for name, array in arrays.items():
            _refuse_leak(name, array, labels)


def check_names(signature: Signature, arrays: Mapping[str, np.ndarray], origin: str) -> None:
    """Refuse arrays that are not exactly the inputs of a model.

    Raises:
        DataError: lists both.
    """
    names = [spec.name for spec in signature.inputs]
    if set(arrays) != set(names):
        more = [name for name in arrays if name not in names]
        only_more = len(more) == 1 and len(arrays) == len(names) + 1
        raise DataError(
            "wrong-input-names",
            f"{origin} should hold one array for each input: {', '.join(map(str, signature.inputs))}.",
            received=", ".join(arrays) or "no arrays",
            hint=f"If {more[0]} holds the labels, say so: --labels {more[0]}; else leave it out."
            if only_more
            else f"Name the arrays {', '.join(names)}; if one holds labels, say so with --labels NAME.",
        )


def check_fits(signature: Signature, arrays: Mapping[str, np.ndarray], labels: np.ndarray | None, origin: str) -> None:
    """Refuse arrays of another dtype or shape than the model takes; a batch may have any length.

    Raises:
        DataError: says how the shape differs: no axis of samples, channels at the other end.
    """
    check_names(signature, arrays, origin)
    for spec in signature.with_batch(None).inputs:
        _refuse_misfit(spec, arrays[spec.name])
    if labels is not None and labels.dtype.kind not in "iubf":
        raise DataError(
            "bad-labels",
            "labels should be numbers.",
            received=str(labels.dtype),
            hint="Number the classes as the model does, from 0.",
        )


def refuse_non_finite(name: str, array: np.ndarray) -> None:
    """Refuse NaN and infinity.

    Raises:
        DataError: names the first such sample.
    """
    if array.dtype.kind not in "fc":
        return
    for start, piece in pieces(array):
        bad = ~np.isfinite(piece.reshape(len(piece), -1)).all(axis=1)
        if bad.any():
            kind = "NaN" if np.isnan(piece).any() else "an infinite value"
            raise DataError(
                "not-finite",
                f"{'' if name == 'labels' else 'input '}{name} holds {kind} in sample {start + int(np.argmax(bad))}.",
                received=f"{int(bad.sum())} such samples among the first {start + len(piece)}",
                hint="Remove or repair these samples: quantizers accept them in silence and make a broken model.",
            )


def pieces(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Successive samples of a memory-mapped array with the number of the first, about a million values each."""
    rows = max(1, _PIECE_VALUES // max(1, math.prod(array.shape[1:])))
    for start in range(0, len(array), rows):
        yield start, np.asarray(array[start : start + rows])


def span(array: np.ndarray) -> tuple[float, float]:
    """Least and largest value of a memory-mapped array; NaN for an empty one."""
    found = [(float(piece.min()), float(piece.max())) for _, piece in pieces(array) if piece.size]
    return (min(low for low, _ in found), max(high for _, high in found)) if found else (math.nan, math.nan)


def _refuse_misfit(spec: TensorSpec, array: np.ndarray) -> None:
    """`check_array`, with the likely cause of a shape that does not fit."""
    if array.dtype == np.dtype(spec.dtype):
        cause = _cause(spec, array.shape)
        if cause is not None:
            what, hint = cause
            raise DataError(
                "wrong-shape", f"{what}; input {spec} (the first axis is the batch, ? is free).",
                received=describe(array), hint=hint,
            )  # fmt: skip
    check_array(spec, array)


def _cause(spec: TensorSpec, shape: tuple[int, ...]) -> tuple[str, str] | None:
    """What is likely wrong with a shape and how to mend it; None when it fits, or the cause is not known."""
    if _fits(spec.shape, shape):
        return None
    rank = len(shape)
    if _fits(spec.shape[1:], shape) and rank:
        return "the data has no axis of samples", "Stack the samples along a first axis; one sample is array[None]."
    if rank == len(spec.shape) and rank > 2:
        last = (shape[0], *shape[2:], shape[1])
        if _fits(spec.shape, last):
            axes = ", ".join(map(str, (0, *range(2, rank), 1)))
            return "the data has its channels first and the model takes them last", f"Use array.transpose({axes})."
        first = (shape[0], shape[-1], *shape[1:-1])
        if _fits(spec.shape, first):
            axes = ", ".join(map(str, (0, rank - 1, *range(1, rank - 1))))
            return "the data has its channels last and the model takes them first", f"Use array.transpose({axes})."
    if _fits(spec.shape, (*shape, 1)):
        return "the data has no axis of channels", "Add it: array[..., None]."
    if len(spec.shape) > 2 and _fits(spec.shape, (*shape[:1], 1, *shape[1:])):
        return "the data has no axis of channels", "Add it: array[:, None]."
    return None


def _fits(wanted: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
    return len(wanted) == len(shape) and all(
        want is None or want == have for want, have in zip(wanted, shape, strict=True)
    )


def _refuse_leak(name: str, array: np.ndarray, labels: np.ndarray) -> None:
    """Refuse an input of which one column is the labels: accuracy would then say nothing.

    Raises:
        DataError: names the column.
    """
    if array.ndim > 2 or array.size > len(array) * _MOST_COLUMNS or labels.size != len(labels):
        return
    truth = np.asarray(labels).reshape(-1)
    if _information_bits(truth) < _COINCIDENCE_BITS:
        return
    same = np.ones(array.size // len(array), dtype=bool)
    for start, piece in pieces(array):
        same &= (piece.reshape(len(piece), -1) == truth[start : start + len(piece), None]).all(axis=0)
        if not same.any():
            return
    raise DataError(
        "labels-in-inputs",
        f"input {name} holds the labels themselves, so that nothing could be told from them.",
        received=f"column {int(np.argmax(same))} of {name} equals the labels in all {len(truth)} samples",
        hint="Leave the labels out of the inputs, or name other labels with --labels.",
    )


def _information_bits(labels: np.ndarray) -> float:
    """Bits by which a column that agrees with all labels differs from a guess by their frequencies (Shannon)."""
    _, counts = np.unique(labels, return_counts=True)
    shares = counts / len(labels)
    return float(-(counts * np.log2(shares)).sum())
