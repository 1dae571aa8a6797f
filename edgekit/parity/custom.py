"""A metric that is the user's own function, run in a process of its own and never in the command's.

The function takes the outputs and the labels of some samples, and returns one number, or one per sample. Beside it,
``function.greater_is_better = False`` says that it is an error.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.jobs.code import Code, function_of, users_code
from edgekit.jobs.protocol import Job, Progress, Workspace
from edgekit.parity.scores import Hits, Means, Paired, Scores, Whole, compare
from edgekit.runtimes.jobs import load_arrays
from edgekit.types import Blob

Array = NDArray[Any]

#: Seconds that the resampling of a figure of the whole set may take.
RESAMPLING_S = 60.0

_FORM = "Return one number, or an array with one number per sample."


@dataclass(frozen=True)
class MetricResult:
    """What a user's metric says.

    Attributes:
        value: of the outputs; None where it is not finite.
        greater_is_better: as the function declares it.
        paired: beside the source; None where only the value was asked for.
    """

    value: float | None
    greater_is_better: bool
    paired: Paired | None = None


@dataclass(frozen=True)
class MetricJob(Job[MetricResult]):
    """Run a user's metric on outputs, and on the source's beside them.

    Attributes:
        code: the function.
        outputs: one ``.npy`` per output name, samples first.
        labels: one ``.npy``, samples first.
        source: the source's outputs; empty for the value alone.
        output: name of the output that the function takes; None for the only one, or a dictionary of all.
        interval: whether to resample for an interval of the drop.
    """

    code: Code
    outputs: dict[str, Blob]
    labels: Blob
    source: dict[str, Blob]
    output: str | None = None
    interval: bool = True

    def run(self, work: Workspace) -> MetricResult:
        work.progress(Progress(f"measure {self.code.name}"))
        labels = np.load(work.path(self.labels), mmap_mode="r", allow_pickle=False)
        source = load_arrays(work, self.source) if self.source else None
        outputs = load_arrays(work, self.outputs)
        return measure(UserMetric(self.code, self.output), outputs, labels, source, interval=self.interval)


class UserMetric:
    """The user's function in the process that runs it: a worker.

    Attributes:
        greater_is_better: as the function declares it.

    Raises:
        UsageError: the file raised when it was imported, or has no such function.
    """

    def __init__(self, code: Code, output: str | None) -> None:
        self._code = code
        self._output = output
        self._function: Callable[..., Any] = function_of(code, UsageError)
        declared = getattr(self._function, "greater_is_better", True)
        if not isinstance(declared, bool):
            raise self.refused("bad-metric", "says in greater_is_better something that is neither True nor False")
        self.greater_is_better = declared
        try:
            inspect.signature(self._function).bind(None, None)
        except TypeError as err:
            raise self.refused("bad-metric", "should take two arguments, the outputs and the labels") from err

    def scores(self, outputs: Mapping[str, Array], labels: Array) -> Scores:
        """What the function says, as a figure per sample or one of the whole set.

        Raises:
            UsageError: the function raised, or returned neither.
        """
        found = self._call(outputs, labels)
        if not isinstance(found, (bool, int, float)) and not hasattr(found, "__array__"):
            raise self.refused("bad-metric", f"returned {type(found).__name__}, which is no number")
        array = np.asarray(found)
        if array.dtype.kind not in "biuf":
            raise self.refused("bad-metric", f"returned {array.dtype}, which is no number")
        if array.shape == (len(labels),):
            return Hits(array) if array.dtype == bool else Means(array.astype(np.float64))
        if array.ndim:
            shape = "x".join(map(str, array.shape))
            raise self.refused("bad-metric", f"returned an array of shape {shape} for {len(labels)} samples")
        return Whole(_Resampled(self, outputs, labels, float(array)), len(labels), RESAMPLING_S)

    def refused(self, code: str, what: str) -> UsageError:
        """An error of the user's function, with its place."""
        known = inspect.unwrap(self._function).__code__ if inspect.isfunction(self._function) else None
        place = f" ({Path(known.co_filename).name}, line {known.co_firstlineno})" if known else ""
        return UsageError(code, f"the metric {self._code.name}{place} {what}.", hint=_FORM)

    def _call(self, outputs: Mapping[str, Array], labels: Array) -> Any:
        given: Array | dict[str, Array] = dict(outputs)
        if self._output is not None:
            given = outputs[self._output]
        elif len(outputs) == 1:
            (given,) = outputs.values()
        with users_code(self._code, UsageError):
            found = self._function(given, labels)
            return found.detach().cpu().numpy() if hasattr(found, "detach") else found


def measure(
    metric: UserMetric,
    outputs: Mapping[str, Array],
    labels: Array,
    source: Mapping[str, Array] | None,
    *,
    interval: bool = True,
) -> MetricResult:
    """Run a user's metric here, beside the source's outputs where they are given.

    Raises:
        UsageError: the function raised, or returned no number.
    """
    scores, better = metric.scores(outputs, labels), metric.greater_is_better
    value = scores.value if math.isfinite(scores.value) else None
    if source is None:
        return MetricResult(value, better)
    before = metric.scores(source, labels)
    if type(before) is not type(scores):
        raise metric.refused("bad-metric", "returned one number for some outputs, and one per sample for others")
    return MetricResult(value, better, compare(before, scores, greater_is_better=better, interval=interval))


class _Resampled:
    """A user's figure of the whole set, by how often each sample counts."""

    def __init__(self, metric: UserMetric, outputs: Mapping[str, Array], labels: Array, value: float) -> None:
        self._metric, self._outputs, self._labels, self._value = metric, outputs, labels, value

    def __call__(self, weights: NDArray[np.float64]) -> float:
        if (weights == 1).all():
            return self._value
        chosen = np.repeat(np.arange(len(weights)), weights.astype(np.int64))
        try:
            found = self._metric._call(
                {name: array[chosen] for name, array in self._outputs.items()}, self._labels[chosen]
            )
            return float(found)
        except (UsageError, TypeError, ValueError):  # undefined here, such as an AUC of samples of one class
            return math.nan
