"""One recipe tried on one fp32 artifact: quantized, loaded in a process of its own, compared on some samples."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

import edgekit
from edgekit.checked import Parity
from edgekit.errors import DataError, EdgekitError, JobError, MissingError
from edgekit.exporter.attempts import OUTCOMES, versions_of
from edgekit.exporter.graph import conversion_context
from edgekit.exporter.reasons import explain
from edgekit.inspection.job import InspectJob
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Progress
from edgekit.parity.accuracy import AccuracyJudgement
from edgekit.parity.evaluate import Evaluation, Reference, evaluate, task_accuracy
from edgekit.parity.task import Metric
from edgekit.progress import Update
from edgekit.quantizer.jobs import QuantizeJob, QuantizeJobResult
from edgekit.quantizer.journal import Journal, Score
from edgekit.quantizer.recipe import Recipe
from edgekit.quantizer.registry import LayerInfo, MethodRow, needs_data
from edgekit.samples import Samples
from edgekit.selection import Selected
from edgekit.types import Blob, Verdict, worst
from edgekit.workbench import Workbench

#: Outcomes that another run of the same recipe may not have, so that they are not kept.
_CHANCE = ("crashed", "timeout", "out-of-memory", "missing")


class Calibration:
    """Calibration samples of one command, drawn once for every number and seed that recipes ask for. Thread-safe."""

    def __init__(self, samples: Samples, bench: Workbench) -> None:
        self._samples = samples
        self._bench = bench
        self._guard = threading.Lock()
        self._drawn: dict[tuple[int, int], dict[str, Blob]] = {}

    def count(self, recipe: Recipe) -> int:
        """How many samples a recipe calibrates with."""
        return min(recipe.samples, len(self._samples))

    def blobs(self, recipe: Recipe) -> dict[str, Blob]:
        """One ``.npy`` per input name."""
        count = self.count(recipe)
        key = (count, recipe.seed if count < len(self._samples) else 0)
        with self._guard:
            if key not in self._drawn:
                chosen = self._samples
                if count < len(chosen):
                    order = np.random.default_rng(recipe.seed).permutation(len(chosen))[:count]
                    chosen = chosen.take(order, self._bench.scratch("calibration"))
                self._drawn[key] = self._bench.blobs(chosen.arrays)
            return self._drawn[key]


@dataclass(frozen=True)
class Subject:
    """One fp32 artifact, and the method that quantizes it.

    Attributes:
        parent: the artifact.
        method: how.
        calibration: samples; None where there are none.
        bench: of this command.
        measured: whether a limit on the task metric judges beside parity.
    """

    parent: Selected
    method: MethodRow
    calibration: Calibration | None
    bench: Workbench
    measured: bool = False

    @cached_property
    def files(self) -> tuple[Blob, ...]:
        return tuple(self.bench.executor.add(path) for path in self.parent.files)

    @cached_property
    def operators(self) -> dict[str, int]:
        """How often each kind of operator occurs in the artifact."""
        job = InspectJob(self.method.format, self.files)
        return self.bench.executor.run_fresh(job, conversion_context(None)).graph.operators

    def calibrated_with(self, recipe: Recipe) -> dict[str, Blob]:
        """Samples for a recipe; none where its method needs none, or none were given."""
        if self.calibration is None or not needs_data(self.method, recipe):
            return {}
        return self.calibration.blobs(recipe)

    def quantize(self, recipe: Recipe, update: Update) -> QuantizeJobResult:
        """Run the method.

        Raises:
            UsageError, DataError, MissingError: the input is at fault, not the method.
            JobError: the method failed.
        """
        signature = self.parent.artifact.signature
        job = QuantizeJob(self.method.name, self.files, signature, self.calibrated_with(recipe), recipe)
        return self.bench.executor.run(job, quantizer_context(self.method), update)

    def run(self, result: QuantizeJobResult, reference: Reference, batches: tuple[int, ...]) -> Evaluation:
        """Load a result in a process of its own and compare it.

        Raises:
            EdgekitError: its runtime refused the file, crashed or ran past a limit.
        """
        return evaluate(
            self.method.format,
            self.method.precision,
            result.files,
            reference,
            executor=self.bench.executor,
            context=conversion_context(None),
            batches=batches,
            measured=self.measured,
        )

    def identity(self, reference: Reference, metric: Metric) -> dict[str, Any]:
        """Everything but the recipe that decides a score, for the journal."""
        given = {} if self.calibration is None else self.calibration.blobs(Recipe(samples=1 << 62))
        return {
            "artifact": self.parent.artifact.sha256,
            "method": self.method.name,
            "calibration": {name: blob.sha256 for name, blob in given.items()},
            "reference": {name: blob.sha256 for name, blob in reference.inputs.items()},
            "labels": None if reference.labels is None else np.asarray(reference.labels).tolist(),
            "metric": [metric.label, metric.code.sha256 if metric.code else None, self.measured],
            "versions": {**versions_of(self.method.needs), "edgekit": edgekit.__version__},
        }


class Scorer:
    """Tries recipes on one artifact and some samples, each recipe once; knows what an earlier, killed command tried.

    Args:
        subject: what is quantized.
        reference: samples that take no part in the reported figures.
        journal: keeps the scores.
    """

    def __init__(self, subject: Subject, reference: Reference, journal: Journal) -> None:
        self.subject = subject
        self.journal = journal
        self._reference = reference
        self._results: dict[Recipe, QuantizeJobResult] = {}

    def result(self, recipe: Recipe) -> QuantizeJobResult | None:
        """What a recipe made in this command."""
        return self._results.get(recipe)

    def score(self, recipe: Recipe, update: Update) -> Score:
        """Quantize, load, compare; whatever goes wrong with the recipe is its score.

        Raises:
            UsageError, MissingError: the input is at fault, not the recipe.
        """
        key = recipe.to_toml()
        known = self.journal.get(key)
        if known is not None:
            return known
        score = self._tried(recipe, update)
        if score.outcome not in _CHANCE:
            self.journal.put(key, score)
        return score

    def _tried(self, recipe: Recipe, update: Update) -> Score:
        started = time.monotonic()
        try:
            result = self.subject.quantize(recipe, update)
        except JobError as error:
            return _failure(error, "failed", started)
        update(Progress("run and compare"))
        try:
            evaluation = self.subject.run(result, self._reference, (1,))
        except (DataError, MissingError):
            raise
        except EdgekitError as error:
            return _failure(error, "unrunnable", started)
        self._results[recipe] = result
        judged = task_accuracy(self._reference, evaluation.outputs, None, interval=False)
        return _scored(result, evaluation.parity, judged, started)


def _scored(result: QuantizeJobResult, parity: Parity, judged: AccuracyJudgement | None, started: float) -> Score:
    rejected = parity.verdict == "failed"
    return Score(
        outcome="rejected" if rejected else "ran",
        reason=" ".join(parity.reasons) if rejected else "",
        sqnr_db=worst_sqnr(parity),
        metric=judged.accuracy.value if judged else None,
        drop=judged.accuracy.drop if judged else None,
        macs=result.macs,
        infos=result.infos or tuple(LayerInfo(name, "", 0) for name in result.layers),
        size_bytes=sum(blob.size for blob in result.files),
        seconds=round(time.monotonic() - started, 3),
    )


def _failure(error: EdgekitError, default: str, started: float) -> Score:
    if error.code == "stopped":  # the command ends: this says nothing about the recipe
        raise error
    outcome = OUTCOMES.get(type(error), default)
    seconds = round(time.monotonic() - started, 3)
    return Score(outcome, explain(error), None, None, None, None, (), 0, seconds)


def worst_sqnr(parity: Parity) -> float | None:
    """SQNR of the worst output in dB; None when every output equals its reference, or holds no real numbers."""
    return min((output.sqnr_db for output in parity.outputs if output.sqnr_db is not None), default=None)


def quantizer_context(method: MethodRow) -> Context:
    """One worker per quantization library, so that two of them work side by side."""
    plain = conversion_context(None)
    return Context(method.needs[0], {**plain.env, "EDGEKIT_WORKER": method.needs[0]})


def verdict_of(evaluation: Evaluation, judged: AccuracyJudgement | None) -> tuple[Verdict, tuple[str, ...]]:
    """Parity and accuracy together."""
    verdict = worst([evaluation.parity.verdict, *([judged.verdict] if judged else [])])
    return verdict, (*evaluation.parity.reasons, *(judged.reasons if judged else ()))
