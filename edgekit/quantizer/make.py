"""Make one quantized artifact: quantize, run, compare, measure the task metric."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgekit.errors import EdgekitError, JobError
from edgekit.exporter.attempts import BATCHES, OUTCOMES, versions_of
from edgekit.exporter.graph import conversion_context
from edgekit.exporter.reasons import explain
from edgekit.jobs.process import Context
from edgekit.jobs.protocol import Progress
from edgekit.kit import Kit, digest_of
from edgekit.parity.evaluate import Evaluation, Reference, evaluate, task_accuracy
from edgekit.progress import Update
from edgekit.quantizer.jobs import QuantizeJob
from edgekit.quantizer.recipe import Recipe
from edgekit.quantizer.registry import MethodRow
from edgekit.results import Accuracy, ArtifactResult
from edgekit.selection import Selected
from edgekit.types import Artifact, Attempt, Blob, Verdict, worst
from edgekit.workbench import Workbench


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
        )


def make(
    parent: Selected,
    method: MethodRow,
    calibration: Mapping[str, Blob],
    reference: Reference,
    io: Literal["float", "int8"],
    max_drop: float | None,
    bench: Workbench,
    update: Update,
) -> Made:
    """Quantize one artifact, load the result in a process of its own, and judge it.

    Args:
        parent: the fp32 artifact.
        method: how.
        calibration: samples as blobs of the executor.
        reference: evaluation samples with the source's outputs.
        io: ``float`` or ``int8``.
        max_drop: largest accepted loss of accuracy.
        bench: of this command.
        update: receives progress.

    Raises:
        UsageError, DataError, MissingError: the input is at fault, not the method.
    """
    started = time.monotonic()
    route = f"{parent.artifact.route}>{method.name}"

    def attempt(outcome: str, reason: str) -> Attempt:
        return Attempt(route, outcome, reason, round(time.monotonic() - started, 3))

    def nothing(error: EdgekitError, default: str) -> Made:
        outcome = OUTCOMES.get(type(error), default)
        verdict: Verdict = "failed" if default == "unrunnable" else "error"
        tried = attempt(outcome, explain(error))
        return Made(method.format, method.precision, None, (), verdict, (explain(error),), None, None, tried)

    parents = tuple(bench.executor.add(path) for path in parent.files)
    needed = dict(calibration) if method.needs_data else {}
    job = QuantizeJob(method.name, parents, parent.artifact.signature, needed, Recipe(method.precision, io=io))
    try:
        result = bench.executor.run(job, quantizer_context(method), update)
    except JobError as error:
        return nothing(error, "failed")
    update(Progress("run and compare"))
    try:
        evaluation = evaluate(
            method.format,
            method.precision,
            result.files,
            reference,
            executor=bench.executor,
            context=conversion_context(None),
            batches=BATCHES,
        )
    except EdgekitError as error:
        return nothing(error, "unrunnable")
    judged = task_accuracy(reference, evaluation.outputs, max_drop)
    verdict = worst([evaluation.parity.verdict, *([judged.verdict] if judged else [])])
    reasons = (*evaluation.parity.reasons, *(judged.reasons if judged else ()))
    failed = verdict == "failed"
    artifact = Artifact(
        target=method.format,
        precision=method.precision,
        path=result.files[0].name,
        files=result.files,
        sha256=digest_of(result.files),
        route=route,
        parent=parent.artifact.sha256,
        signature=evaluation.signature,
        fixed=evaluation.fixed,
        versions=versions_of(method.needs),
        settings=result.settings,
    )
    return Made(
        target=method.format,
        precision=method.precision,
        artifact=None if failed else artifact,
        files=tuple(bench.executor.path(blob) for blob in result.files),
        verdict=verdict,
        reasons=(*reasons, *(f"{lost}." for lost in evaluation.fixed)),
        evaluation=evaluation,
        accuracy=judged.accuracy if judged else None,
        attempt=attempt("rejected" if failed else "accepted", " ".join(reasons) if failed else ""),
    )


def quantizer_context(method: MethodRow) -> Context:
    """One worker per quantization library, so that two of them work side by side."""
    plain = conversion_context(None)
    return Context(method.needs[0], {**plain.env, "EDGEKIT_WORKER": method.needs[0]})
