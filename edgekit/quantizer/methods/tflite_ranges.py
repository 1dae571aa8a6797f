"""Ranges of activations of a float .tflite file, measured on calibration samples one inference after another.

What was measured is kept in the process that measured it: a worker quantizes the same artifact again and again, with
other operators left in float, and the ranges of a float model do not depend on that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.errors import ModelError
from edgekit.jobs.protocol import Progress
from edgekit.quantizer.methods.samples import CalibrationBatches
from edgekit.quantizer.recipe import Ranges
from edgekit.quantizer.registry import QuantizeRequest

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

#: Lowest and highest value by tensor name.
Limits = dict[str, tuple[float, float]]

#: Bins of a histogram, as in NNCF and TensorRT; most values of one tensor and sample that it counts.
BINS = 2048
_COUNTED = 1 << 16

#: Share of the values that ``percentile`` cuts off at each end: 1e-4 was the best of 1e-3, 1e-4 on four trained models.
CUT = 1e-4

#: Shares of the range that ``histogram`` tries for each end.
_SHARES = np.linspace(1.0, 0.4, 25)

#: Measurements that are kept at most; each takes some 16 kB per tensor.
_KEPT_AT_MOST = 4


@dataclass
class _Seen:
    """What is known of one tensor."""

    low: float = np.inf
    high: float = -np.inf
    lows: float = 0.0
    highs: float = 0.0
    samples: int = 0
    counts: np.ndarray | None = None

    def widen(self, values: np.ndarray) -> None:
        low, high = float(values.min()), float(values.max())
        if not low >= self.low:
            self.low = low
        if not high <= self.high:
            self.high = high
        self.lows, self.highs = self.lows + low, self.highs + high  # a NaN stays in the sums
        self.samples += 1

    def count(self, values: np.ndarray) -> None:
        """Add values to the histogram between the limits of the first pass."""
        if self.counts is None:
            self.counts = np.zeros(BINS, np.int64)
        if not np.isfinite(self.low) or not np.isfinite(self.high) or self.high == self.low:
            return
        picked = values.ravel()[:: values.size // _COUNTED | 1]
        places = (picked - self.low) * ((BINS - 1) / (self.high - self.low))
        self.counts += np.bincount(places.astype(np.int32).clip(0, BINS - 1), minlength=BINS)


_KEPT: dict[str, dict[str, _Seen]] = {}


def measure(request: QuantizeRequest, content: bytes, names: Collection[str]) -> Limits:
    """Ranges by the recipe's ``ranges``, streamed: memory does not grow with the samples.

    ``minmax`` takes one pass, ``average`` the mean over samples of each one's minimum and maximum. ``percentile`` and
    ``histogram`` take a second pass: the former cuts off `CUT` at each end, the latter the ends that make the mean
    squared error of 8 bits least.

    Args:
        request: with calibration samples.
        content: the float model.
        names: of the tensors that count.

    Raises:
        ModelError: the file does not name its inputs.
    """
    ranges = request.recipe.ranges
    digest = _digest(request, content, names)
    seen = _KEPT.pop(digest, None)
    batches = CalibrationBatches(request)
    if seen is None:
        seen = {name: _Seen() for name in names}
        _pass(content, batches, {name: one.widen for name, one in seen.items()})
    else:
        request.progress(Progress("calibrate", batches.samples, batches.samples))
    if ranges in ("percentile", "histogram") and any(one.counts is None for one in seen.values()):
        _pass(content, batches, {name: one.count for name, one in seen.items()})
    _KEPT[digest] = seen
    while len(_KEPT) > _KEPT_AT_MOST:
        _KEPT.pop(next(iter(_KEPT)))
    return {name: _limits(one, ranges) for name, one in seen.items() if one.samples}


def means(content: bytes, batches: CalibrationBatches, names: Collection[str], most: int) -> dict[str, np.ndarray]:
    """Mean of tensors over samples and positions, per channel of the last axis, in real values.

    Args:
        content: a float or quantized model.
        batches: calibration samples.
        names: of tensors.
        most: inferences to average over.
    """
    sums = dict.fromkeys(names, np.zeros(()))
    counts = dict.fromkeys(names, 0)

    def add(name: str) -> Callable[[np.ndarray], None]:
        def one(values: np.ndarray) -> None:
            sums[name] = sums[name] + values.reshape(-1, values.shape[-1]).mean(axis=0, dtype=np.float64)
            counts[name] += 1

        return one

    _pass(content, batches, {name: add(name) for name in names}, most)
    return {name: sums[name] / max(1, counts[name]) for name in names}


def _pass(
    content: bytes,
    batches: CalibrationBatches,
    observers: dict[str, Callable[[np.ndarray], None]],
    most: int | None = None,
) -> None:
    """Run samples and show each observer its tensor."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1, experimental_preserve_all_tensors=True)
    inputs = _inputs(interpreter)
    fetched = [
        (detail["index"], detail["quantization"], observers[detail["name"]])
        for detail in interpreter.get_tensor_details()
        if detail["name"] in observers and np.dtype(detail["dtype"]).name in ("float32", "int8")
    ]
    for _ in _run(interpreter, inputs, batches, most):
        for index, (scale, zero), observe in fetched:
            values = interpreter.get_tensor(index)
            observe(values if values.dtype == np.float32 else (values.astype(np.float32) - zero) * scale)


def _run(
    interpreter: Interpreter, inputs: dict[str, dict[str, Any]], batches: CalibrationBatches, most: int | None
) -> Iterator[None]:
    for number, sample in enumerate(batches):
        if number == most:
            return
        if number == 0:  # all of them have the same shape
            for name, array in sample.items():
                interpreter.resize_tensor_input(inputs[name]["index"], array.shape)
            interpreter.allocate_tensors()
        for name, array in sample.items():
            interpreter.set_tensor(inputs[name]["index"], _stored(array, inputs[name]))
        interpreter.invoke()
        yield


def _stored(array: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    if np.dtype(detail["dtype"]) == array.dtype:
        return array
    scale, zero = detail["quantization"]
    stored: np.ndarray = np.clip(np.round(array / np.float32(scale)) + zero, -128, 127).astype(np.int8)
    return stored


def _inputs(interpreter: Interpreter) -> dict[str, dict[str, Any]]:
    """Details of the inputs by the names that samples have."""
    known = interpreter.get_signature_list()
    key = "serving_default" if "serving_default" in known else next(iter(known), None)
    if key is None:
        raise ModelError(
            "no-signature",
            "the .tflite file has no signature, so its inputs have no names to calibrate by.",
            hint="Export it with edgekit export --target tflite, or use --precision int8-dynamic.",
        )
    return dict(interpreter.get_signature_runner(key).get_input_details())


def _digest(request: QuantizeRequest, content: bytes, names: Collection[str]) -> str:
    found = hashlib.blake2b(content)
    found.update("\0".join(sorted(names)).encode())
    for name, array in sorted(request.calibration.items()):
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        for start in range(0, len(array), 64):
            found.update(np.ascontiguousarray(array[start : start + 64]).data)
    return found.hexdigest()


def _limits(seen: _Seen, ranges: Ranges) -> tuple[float, float]:
    if ranges == "average" or np.isnan(seen.lows + seen.highs):
        return seen.lows / seen.samples, seen.highs / seen.samples
    if ranges == "minmax" or seen.counts is None or not seen.counts.any():
        return seen.low, seen.high
    if ranges == "percentile":
        return _percentile(seen)
    return _least_error(seen)


def _percentile(seen: _Seen) -> tuple[float, float]:
    assert seen.counts is not None
    below = np.cumsum(seen.counts) / seen.counts.sum()
    width = (seen.high - seen.low) / BINS
    first = int(np.searchsorted(below, CUT, side="right"))
    last = int(np.searchsorted(below, 1 - CUT, side="left"))
    return seen.low + first * width, seen.low + (last + 1) * width


def _least_error(seen: _Seen) -> tuple[float, float]:
    """The range whose 255 steps have the least squared error, rounding and clipping together."""
    assert seen.counts is not None
    centres = seen.low + (np.arange(BINS) + 0.5) * (seen.high - seen.low) / BINS
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    lows, highs = (low * _SHARES if low < 0 else np.zeros(1)), (high * _SHARES if high > 0 else np.zeros(1))
    # Below a lower end only that end clips, so that the two sides need not be tried with each other.
    under = np.array([(seen.counts * np.minimum(centres - one, 0) ** 2).sum() for one in lows])
    over = np.array([(seen.counts * np.maximum(centres - one, 0) ** 2).sum() for one in highs])
    steps = (highs[None, :] - lows[:, None]) / 255
    error = under[:, None] + over[None, :] + seen.counts.sum() * steps**2 / 12
    row, column = np.unravel_index(int(error.argmin()), error.shape)
    return float(lows[row]), float(highs[column])
