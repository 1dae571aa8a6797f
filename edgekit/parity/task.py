"""The user's task: a metric, the labels, and what they say about an artifact beside its source."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from edgekit.errors import DataError, JobError, UsageError
from edgekit.jobs.code import Code, code_environment, find_code
from edgekit.jobs.executor import Executor
from edgekit.jobs.process import Context
from edgekit.parity.accuracy import AccuracyJudgement, form, judge_drop
from edgekit.parity.custom import MetricJob, MetricResult, UserMetric, measure
from edgekit.parity.scores import Paired, compare
from edgekit.parity.task_metrics import METRICS, MetricRow, TaskMetric
from edgekit.samples import save_arrays
from edgekit.types import Blob

Array = NDArray[Any]

_CODE = re.compile(r"(?P<code>.+:[A-Za-z_]\w*)(@(?P<output>.+))?\Z")

#: Metrics whose labels are one class per sample, so that the output holds classes.
_OF_CLASSES = ("accuracy", "top5", "f1")


@dataclass(frozen=True)
class Metric:
    """What ``--metric`` names.

    Attributes:
        name: of a row of the registry, or ``file.py:function``.
        output: the output that was named behind an ``@``; None where edgekit finds it.
        code: the user's function; None for a metric of edgekit.
        env: variables by which a worker finds the code; never sent, see `for_message`.
    """

    name: str
    output: str | None = None
    code: Code | None = None
    env: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """As results show it: ``accuracy``, ``accuracy@logits``, ``score.py:recall``."""
        return self.name if self.output is None else f"{self.name}@{self.output}"

    @property
    def row(self) -> MetricRow | None:
        """Of the registry; None for the user's own."""
        return None if self.code is not None else METRICS[self.name]

    def for_message(self) -> Metric:
        """The same without paths; a worker's context needs `env`."""
        return replace(self, env={})


#: Where the user names none.
ACCURACY = Metric("accuracy")


def read_metric(given: str) -> Metric:
    """Read ``--metric``: ``accuracy``, ``mse@boxes``, ``file.py:function`` or ``file.py:function@output``.

    Raises:
        UsageError: there is no such metric or file. Nothing is imported yet.
    """
    name, _, output = given.partition("@")
    if name in METRICS.rows():
        return Metric(name, output or None)
    named = _CODE.match(given)
    found = find_code(named["code"], UsageError) if named else None
    if named is None or found is None:
        raise UsageError(
            "unknown-metric",
            f"there is no metric {given!r}.",
            received=given,
            hint=f"Choose one of: {', '.join(METRICS.rows())}; or give file.py:function.",
        )
    code, path = found
    return Metric(code.name, named["output"], code, code_environment([path]))


def refuse_limit(metric: Metric, labels: str | None, max_drop: float | None) -> None:
    """Refuse a metric or a limit that would do nothing, or a limit that no metric could mean.

    Args:
        metric: what to measure.
        labels: name of the array with labels.
        max_drop: largest accepted loss: a share for a metric that is one, else in the metric's unit.

    Raises:
        UsageError: no labels, or a limit that is negative, not finite, or beyond 1 for a share.
    """
    if labels is None and metric != ACCURACY:
        raise UsageError(
            "metric-without-labels",
            f"--metric {metric.label} needs labels to compare with.",
            received=metric.label,
            hint="Give --labels NAME.",
        )
    if max_drop is None:
        return
    if labels is None:
        raise UsageError(
            "drop-without-labels",
            "--max-drop needs labels to measure accuracy.",
            received=str(max_drop),
            hint="Give --labels NAME.",
        )
    share = metric.row is not None and metric.row.share
    if not (math.isfinite(max_drop) and max_drop >= 0) or (share and max_drop > 1):
        limits = "a share between 0 and 1" if share else f"0 or more, in the unit of {metric.label}"
        raise UsageError(
            "bad-drop", f"--max-drop is {limits}.", received=str(max_drop), hint="Example: --max-drop 0.005"
        )


class Task:
    """A metric and labels, held against the outputs of one source. Cheap to ask again and again.

    Args:
        metric: what to measure.
        labels: samples first.
        source: outputs of the source by name, on the labelled samples.
        executor: runs the user's function in a worker. None runs it here, which only a worker may do.

    Attributes:
        output: the output that it is about; None for a function that takes all of them.
        source_value: the metric of the source; NaN without samples.
        greater_is_better: whether a smaller figure is a loss.

    Raises:
        UsageError: no output is of the kind that the metric is about, or several are; the user's function raised, or
            returned no number for the source.
        DataError: labels that do not fit the output.
    """

    def __init__(
        self, metric: Metric, labels: Array, source: Mapping[str, Array], executor: Executor | None = None
    ) -> None:
        self.metric = metric
        self.labels = labels
        self._source = source
        self.executor = executor
        self._refuse()
        self.output = metric.output if metric.code else self._find()
        if metric.code is not None:
            found = self._ask(source, paired=False, interval=False)
            self.greater_is_better, value = found.greater_is_better, found.value
        else:
            like = source[self._named]
            self._scores = self._measure.scores(like, labels, like)
            self.greater_is_better, value = METRICS[metric.name].greater_is_better, self._scores.value
        self.source_value = math.nan if value is None else value
        if len(labels) and not math.isfinite(self.source_value):
            raise DataError(
                "metric-undefined",
                f"{metric.label} of the source is no finite number on these samples.",
                received=", ".join(f"{name} {form(array)}" for name, array in source.items()),
                hint="Give other samples, or another --metric.",
            )

    @property
    def class_output(self) -> str | None:
        """The output that surely holds classes, since labels name one class per sample; None for other tasks."""
        return self.output if self.metric.name in _OF_CLASSES and self.labels.size == len(self.labels) else None

    @property
    def value_output(self) -> str | None:
        """The output that surely holds no classes that exclude each other: labels are values, or one per column."""
        columns = self.metric.name == "f1" and self.class_output is None
        return self.output if columns or self.metric.name in ("mse", "mae") else None

    def fits(self, outputs: Mapping[str, Array]) -> bool:
        """Whether outputs have what the metric needs, in the source's shape; else they fail their parity."""
        return all(name in outputs and outputs[name].shape == self._source[name].shape for name in self._names)

    def value(self, outputs: Mapping[str, Array]) -> float:
        """The metric of an artifact's outputs; NaN where it is undefined.

        Raises:
            UsageError: the user's function raised.
        """
        if self.metric.code is not None:
            found = self._ask(outputs, paired=False, interval=False).value
            return math.nan if found is None else found
        return self._measure.scores(outputs[self._named], self.labels, self._source[self._named]).value

    def judge(
        self, outputs: Mapping[str, Array], max_drop: float | None, *, interval: bool = True
    ) -> AccuracyJudgement:
        """Compare an artifact with the source.

        Args:
            outputs: of the artifact, see `fits`.
            max_drop: largest accepted loss, see `judge_drop`.
            interval: leave it out in a search, where only the figures are asked for.

        Raises:
            UsageError: the user's function raised.
        """
        code = self.metric.code
        return judge_drop(self.metric.label, self._paired(outputs, interval), max_drop, code.sha256 if code else None)

    def _paired(self, outputs: Mapping[str, Array], interval: bool) -> Paired:
        if self.metric.code is not None:
            found = self._ask(outputs, paired=True, interval=interval).paired
            assert found is not None
            return found
        return compare(
            self._scores,
            self._measure.scores(outputs[self._named], self.labels, self._source[self._named]),
            greater_is_better=self.greater_is_better,
            interval=interval,
        )

    @property
    def _measure(self) -> TaskMetric:
        found: TaskMetric = METRICS[self.metric.name].load()
        return found

    @property
    def _named(self) -> str:
        assert self.output is not None
        return self.output

    def _find(self) -> str:
        """The output that the labels are about."""
        metric, name = self._measure, self.metric.name
        given = self._source if self.metric.output is None else {self.metric.output: self._source[self.metric.output]}
        found = metric.candidates(given, self.labels)
        if len(found) == 1:
            metric.refuse(self.labels, self._source[found[0]])
            return found[0]
        if not found and len(given) == 1 and name not in ("accuracy", "top5"):
            (array,) = given.values()  # the labels are at fault rather than the output
            metric.refuse(self.labels, array)
        received = ", ".join(f"{other} {form(array)}" for other, array in given.items())
        if found:
            raise UsageError(
                "several-scores",
                f"labels can be about one output only, and {', '.join(found)} all qualify.",
                received=received,
                hint=f"Say which: --metric {name}@{found[0]}",
            )
        raise UsageError(
            "no-scores",
            f"{name} needs {metric.about}.",
            received=f"{received}; labels {form(self.labels)}",
            hint="Leave --labels out, or choose another --metric: accuracy, top5, f1, iou, mse, mae, file.py:function.",
        )

    def _refuse(self) -> None:
        """What no metric can take; the rest is up to each."""
        labels, output = self.labels, self.metric.output
        if labels.ndim == 0:
            raise DataError(
                "bad-labels", "labels should hold one entry per sample.", received=form(labels), hint="Give an array."
            )
        if output is not None and output not in self._source:
            raise UsageError(
                "no-such-output",
                f"the model has no output {output!r}.",
                received=self.metric.label,
                hint=f"Choose one of: {', '.join(self._source)}.",
            )
        lengths = {len(array) if array.ndim else 0 for array in self._source.values()}
        if self.metric.code is not None and lengths != {len(labels)}:
            raise DataError(
                "label-count",
                "there should be one label per sample.",
                received=f"labels {form(labels)}, samples {min(lengths, default=0)}",
                hint="Give as many labels as samples, in the same order.",
            )

    def _ask(self, outputs: Mapping[str, Array], *, paired: bool, interval: bool) -> MetricResult:
        """Run the user's function: in a worker, or here where this is one.

        Raises:
            UsageError: it raised, or ended its process.
        """
        code = self.metric.code
        assert code is not None
        outputs = {name: outputs[name] for name in self._names}
        source = {name: self._source[name] for name in self._names}
        if self.executor is None:
            given = source if paired else None
            return measure(UserMetric(code, self.output), outputs, self.labels, given, interval=interval)
        job = MetricJob(
            code,
            self._blobs("got", outputs),
            self._label_blob,
            self._source_blobs if paired else {},
            self.output,
            interval,
        )
        try:
            return self.executor.run(job, Context("metric", self.metric.env))
        except JobError as error:
            if error.code == "stopped":  # the command ends
                raise
            raise UsageError(
                "metric-died",
                f"the metric {self.metric.label} ended its process: {error.message}",
                received=error.received,
                hint="Run it alone on what edgekit predict gives; --debug shows more.",
            ) from error

    @cached_property
    def _source_blobs(self) -> dict[str, Blob]:
        return self._blobs("source", {name: self._source[name] for name in self._names})

    @cached_property
    def _label_blob(self) -> Blob:
        return self._blobs("labels", {"": self.labels})[""]

    @property
    def _names(self) -> tuple[str, ...]:
        """The outputs that the metric takes."""
        return tuple(self._source) if self.output is None else (self.output,)

    def _blobs(self, prefix: str, arrays: Mapping[str, Array]) -> dict[str, Blob]:
        assert self.executor is not None
        folder = self.executor.scratch()
        paths = save_arrays(folder, prefix, arrays)
        return {name: self.executor.add(path) for name, path in paths.items()}
