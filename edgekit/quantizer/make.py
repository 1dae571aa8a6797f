"""Make one quantized artifact: choose a recipe, quantize, run, compare, measure the task metric."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.checked import Accuracy
from edgekit.errors import EdgekitError, JobError
from edgekit.exporter.attempts import BATCHES, OUTCOMES, versions_of
from edgekit.exporter.reasons import explain
from edgekit.figures import ArtifactResult, Quantization
from edgekit.jobs.protocol import Progress
from edgekit.kit import Kit, digest_of
from edgekit.parity.evaluate import Evaluation, task_accuracy
from edgekit.progress import Update
from edgekit.quantizer.budget import Meter
from edgekit.quantizer.control import control
from edgekit.quantizer.data import Data
from edgekit.quantizer.jobs import QuantizeJobResult
from edgekit.quantizer.journal import Journal
from edgekit.quantizer.options import QuantizeOptions, recipes_for
from edgekit.quantizer.recipe import Recipe
from edgekit.quantizer.search import Found, Tried, meets, search
from edgekit.quantizer.trials import Scorer, Subject, verdict_of
from edgekit.types import Artifact, Attempt, Verdict


@dataclass(frozen=True, slots=True)
class Made:
    """What came of one plan.

    Attributes:
        target, precision: what was asked for.
        artifact: None when nothing was made, or what was made is wrong.
        files: of the artifact, on this machine.
        verdict, reasons: of parity and accuracy together.
        evaluation: on the reference's samples; None when it did not run.
        accuracy: None without labels.
        attempt: the method with its outcome and time.
        quantization: how the recipe was chosen; None where the input was at fault before that.
    """

    target: str
    precision: str
    artifact: Artifact | None
    files: tuple[Path, ...]
    verdict: Verdict
    reasons: tuple[str, ...]
    evaluation: Evaluation | None
    accuracy: Accuracy | None
    attempt: Attempt
    quantization: Quantization | None = None

    def row(self, kit: Kit) -> ArtifactResult:
        """The result's row, once the kit holds the artifact."""
        mine = (self.artifact.name, self.artifact.sha256) if self.artifact is not None else None
        stored = next((one for one in kit.artifacts if (one.name, one.sha256) == mine), None)
        return ArtifactResult(
            target=self.target,
            precision=self.precision,
            path=None if stored is None else str(kit.folder / stored.path),
            size_bytes=None if stored is None else stored.size_bytes,
            sha256=None if stored is None else stored.sha256,
            route=None if stored is None else stored.route,
            verdict=self.verdict,
            reasons=self.reasons,
            parity=None if self.evaluation is None else self.evaluation.parity,
            accuracy=self.accuracy,
            attempts=(self.attempt,),
            quantization=self.quantization,
        )


def make(subject: Subject, data: Data, options: QuantizeOptions, journal: Journal | None, update: Update) -> Made:
    """Quantize one artifact by the best recipe there is, load the result in a process of its own, and judge it.

    Args:
        subject: the fp32 artifact and the method.
        data: samples to choose on, and others to judge on.
        options: the user's.
        journal: of the trials; None where nothing is chosen.
        update: receives progress.

    Raises:
        UsageError, DataError, MissingError: the input is at fault, not the method.
    """
    return _Making(subject, data, options, update).run(journal)


class _Making:
    def __init__(self, subject: Subject, data: Data, options: QuantizeOptions, update: Update) -> None:
        self._subject = subject
        self._data = data
        self._options = options
        self._update = update
        self._started = time.monotonic()
        self._route = f"{subject.parent.artifact.route}>{subject.method.name}"

    def run(self, journal: Journal | None) -> Made:
        try:
            kind, recipes = recipes_for(self._subject, self._options)
        except JobError as error:
            return self._nothing(error, "failed", None)
        scorer = None
        chosen, found = recipes[0], Found(None, ())
        if self._data.selection is not None and journal is not None:
            scorer = Scorer(self._subject, self._data.selection, journal)
            found = self._find(scorer, recipes)
            chosen = found.chosen.recipe if found.chosen is not None else chosen
        told = self._quantization(kind, chosen, found)
        if found.tried and found.chosen is None:
            return self._none_works(found.tried, told)
        try:
            result = (scorer.result(chosen) if scorer else None) or self._subject.quantize(chosen, self._update)
        except JobError as error:
            return self._nothing(error, "failed", told)
        self._update(Progress("run and compare"))
        try:
            evaluation = self._subject.run(result, self._data.evaluation, BATCHES)
        except EdgekitError as error:
            return self._nothing(error, "unrunnable", told)
        return self._judged(result, evaluation, told, found.notes)

    def _find(self, scorer: Scorer, recipes: tuple[Recipe, ...]) -> Found:
        meter, max_drop = Meter(self._options.budget), self._options.max_drop
        if len(recipes) == 1 and max_drop is None:
            return Found(None, ())
        found = search(scorer, recipes, meter, max_drop, self._update)
        if found.chosen is None or max_drop is None or meets(found.chosen.score, max_drop):
            return found
        if self._data.selection is None or self._data.selection.labels is None:
            return replace(found, notes=(*found.notes, "accuracy control needs labels in --data, not in --eval-data."))
        return control(scorer, found, max_drop, meter, self._update)

    def _quantization(self, kind: str, chosen: Recipe, found: Found) -> Quantization:
        calibration, selection = self._subject.calibration, self._data.selection
        observes = bool(self._subject.calibrated_with(chosen))
        return Quantization(
            recipe=chosen.name,
            model_kind=kind,
            trials=found.trials(self._options.max_drop),
            low_bit_macs=None,
            left_float=chosen.left_float,
            calibration_samples=calibration.count(chosen) if calibration is not None and observes else 0,
            selection_samples=selection.samples if selection is not None and found.tried else 0,
        )

    def _judged(
        self, result: QuantizeJobResult, evaluation: Evaluation, told: Quantization, notes: tuple[str, ...]
    ) -> Made:
        judged = task_accuracy(self._data.evaluation, evaluation.outputs, self._options.max_drop)
        verdict, reasons = verdict_of(evaluation, judged)
        failed = verdict == "failed"
        method, parent = self._subject.method, self._subject.parent.artifact
        artifact = Artifact(
            target=method.format,
            precision=method.precision,
            path=result.files[0].name,
            files=result.files,
            sha256=digest_of(result.files),
            route=self._route,
            parent=parent.sha256,
            signature=evaluation.signature,
            fixed=evaluation.fixed,
            versions=versions_of(method.needs),
            settings=result.settings,
        )
        share = result.macs.low_bit / result.macs.total if result.macs is not None and result.macs.total else None
        return Made(
            target=method.format,
            precision=method.precision,
            artifact=None if failed else artifact,
            files=tuple(self._subject.bench.executor.path(blob) for blob in result.files),
            verdict=verdict,
            reasons=(*reasons, *notes, *(f"{lost}." for lost in evaluation.fixed)),
            evaluation=evaluation,
            accuracy=judged.accuracy if judged else None,
            attempt=self._attempt("rejected" if failed else "accepted", " ".join(reasons) if failed else ""),
            quantization=replace(told, low_bit_macs=share),
        )

    def _none_works(self, tried: tuple[Tried, ...], told: Quantization) -> Made:
        score = tried[0].score
        verdict: Verdict = "error" if score.outcome == "failed" else "failed"
        return self._without(verdict, score.reason, self._attempt(score.outcome, score.reason), told)

    def _nothing(self, error: EdgekitError, default: str, told: Quantization | None) -> Made:
        verdict: Verdict = "failed" if default == "unrunnable" else "error"
        tried = self._attempt(OUTCOMES.get(type(error), default), explain(error))
        return self._without(verdict, explain(error), tried, told)

    def _without(self, verdict: Verdict, reason: str, attempt: Attempt, told: Quantization | None) -> Made:
        method = self._subject.method
        return Made(method.format, method.precision, None, (), verdict, (reason,), None, None, attempt, told)

    def _attempt(self, outcome: str, reason: str) -> Attempt:
        return Attempt(self._route, outcome, reason, round(time.monotonic() - self._started, 3))
