"""`edgekit.check`: does an artifact still compute what its source computes, here and now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgekit.against import Compared, something_else, source_of_kit
from edgekit.attribution.refused import advised, refused
from edgekit.attribution.stages import HERE, Runs, staged
from edgekit.attribution.trace import Tracer
from edgekit.checked import CheckRow
from edgekit.devices import Device, opened_devices
from edgekit.devices.on_runtime import on_runtimes, runtime_on, served
from edgekit.errors import EdgekitError, JobError, MissingError, UsageError
from edgekit.exporter.graph import conversion_context
from edgekit.exporter.reasons import explain
from edgekit.inspection.job import InspectJob
from edgekit.parity.criteria import POLICIES
from edgekit.parity.evaluate import Evaluation, Reference, task_accuracy
from edgekit.parity.task import ACCURACY, read_metric, refuse_limit
from edgekit.progress import SILENT, Reporter
from edgekit.results import CheckResult, holds, unique
from edgekit.runtimes import runtime_for
from edgekit.samples import refuse_labels_without
from edgekit.selection import Selected, select
from edgekit.types import Effective, Evidence, worst
from edgekit.workbench import Workbench, workbench


def check(
    path: str | Path,
    *,
    against: str | Path | None = None,
    data: str | Path | None = None,
    labels: str | None = None,
    metric: str = ACCURACY.name,
    max_drop: float | None = None,
    target: str | Sequence[str] = (),
    precision: str | Sequence[str] = (),
    device: str | Sequence[str] = "local",
    runtime: str | Sequence[str] = (),
    allow_fallback: bool = False,
    tolerance: float | None = None,
    layers: bool = False,
    strict: bool = False,
    reporter: Reporter = SILENT,
) -> CheckResult:
    """Run artifacts again and compare them with their source, or with another model or artifact.

    Args:
        path: a kit, an artifact of a kit, or a file of its own together with ``against``.
        against: a model, or an artifact or file of any format, to compare with; default: the source of the kit,
            through its golden samples, or itself on ``data``.
        data: real samples to compare on; default: golden samples of a kit, else generated from the signature.
        labels: name of the array that holds what the metric compares with; it is then reported.
        metric: ``accuracy``, ``top5``, ``f1``, ``iou``, ``mse``, ``mae`` or ``file.py:function``; with ``@output``
            behind it where several outputs qualify.
        max_drop: largest accepted loss of the metric: a share, or in the metric's own unit.
        target, precision: only these artifacts of a kit; for a file of its own, the precision that it is judged by
            instead of the one that its weights and operators show.
        device: where to run; several work side by side, and one that cannot be reached leaves the others' rows.
        runtime: only artifacts of these, and on what accelerator: ``onnxruntime:WebGPU``; all on the CPU by default.
        allow_fallback: let the CPU stand in for an accelerator that is missing or takes nothing, and say so.
        tolerance: bound on the absolute difference, instead of the derived one.
        layers: compare layer by layer too; an artifact that fails is looked at in any case.
        strict: count ``weak`` as a failure.
        reporter: receives progress.

    Raises:
        UsageError: nothing to compare with, or bad options.
        DataError: samples that do not fit.
        ModelError: an artifact or a model that was changed, or cannot be used.
        MissingError: the engine of an artifact is not installed, or the accelerator is not there.
    """
    refuse_labels_without(data, labels)
    measured = read_metric(metric)
    refuse_limit(measured, labels, max_drop)
    if tolerance is not None and not tolerance >= 0:
        raise UsageError(
            "bad-tolerance",
            "--tolerance is a difference, 0 or more.",
            received=str(tolerance),
            hint="Example: --tolerance 1e-4",
        )
    targets = (target,) if isinstance(target, str) else tuple(target)
    precisions = (precision,) if isinstance(precision, str) else tuple(precision)
    chosen = select(path, targets, precisions)
    for one in chosen:
        _refuse_unknown(one.artifact.precision)
    kit = chosen[0].kit
    with opened_devices(device) as devices, workbench(reporter) as bench:
        places = on_runtimes(devices, runtime, allow_fallback=allow_fallback)
        chosen = served(places, chosen)
        refuse_missing(places, chosen)
        chosen = tuple(one if one.artifact.precision else _as_it_shows(one, bench) for one in chosen)
        if against is None:
            compared = source_of_kit(chosen, data, labels, measured, bench)
        else:
            compared = something_else(against, chosen, data, labels, measured, bench)
        runs = Runs(compared.reference, bench, tolerance=tolerance, measured=max_drop is not None)
        rows = _rows(chosen, runs, compared, places, max_drop=max_drop, layers=layers, other=against is not None)
        _refuse_nowhere(rows, runs, chosen, places)
        verdict = worst(row.verdict for row in rows)
        stored = kit is not None and against is None
        result = CheckResult(
            ok=holds(verdict, strict=strict),
            verdict=verdict,
            evidence=_evidence(compared.reference, rows),
            kit=None if kit is None else str(kit.folder),
            against=str(against or (kit.manifest.source.path if kit else "")),
            results=rows,
            stored=stored,
        )
        if kit is not None and stored:
            kit.commit(result=result)
        return result


def refuse_missing(places: Sequence[Device], chosen: Sequence[Selected] = ()) -> None:
    """Refuse what the only device lacks, before anything runs; of several, the rows say what each lacks.

    Raises:
        MissingError: it cannot be reached, or has no engine for an artifact.
    """
    if len(places) == 1:
        for one in chosen:
            places[0].require(runtime_for(one.artifact.target))
        places[0].context()


def _refuse_nowhere(rows: Sequence[CheckRow], runs: Runs, chosen: Sequence[Selected], places: Sequence[Device]) -> None:
    """Where nothing ran since the only accelerator is missing, that is the answer, and no verdict on the artifacts.

    Raises:
        MissingError: it is.
    """
    if len(places) == 1 and all(row.verdict == "error" for row in rows):
        try:
            runs.of(chosen[0], places[0])  # has run: raises again what it raised
        except MissingError:
            raise
        except EdgekitError:
            return


def _refuse_unknown(precision: str) -> None:
    """What a file of its own is said to be has to be something that there are criteria for."""
    if precision and precision not in POLICIES:
        raise UsageError(
            "unknown-precision",
            "there are no criteria for this precision.",
            received=precision,
            hint=f"Choose one of: {', '.join(POLICIES)}.",
        )


def _as_it_shows(selected: Selected, bench: Workbench) -> Selected:
    """A file of its own with the precision that its weights and operators show; fp32 where nothing does."""
    artifact = selected.artifact
    job = InspectJob(artifact.target, tuple(bench.executor.add(file) for file in selected.files))
    try:
        found = bench.executor.run_fresh(job, conversion_context(None)).graph.precision
    except JobError:  # it cannot be read: the check itself says so
        found = None
    return replace(selected, artifact=replace(artifact, precision=found if found in POLICIES else "fp32"))


def _rows(
    chosen: Sequence[Selected],
    runs: Runs,
    compared: Compared,
    places: Sequence[Device],
    *,
    max_drop: float | None,
    layers: bool,
    other: bool,
) -> tuple[CheckRow, ...]:
    """Every artifact judged first, on all devices at once, so that what several share is known when one is traced."""

    there = {device: [one for one in chosen if device.serves(one.runtime)] for device in places}

    def judge(device: Device) -> list[CheckRow]:
        return [check_one(one, runs, device, max_drop=max_drop) for one in there[device]]

    judged = runs.bench.side_by_side(judge, places)
    tracer = Tracer(runs, compared.load, other=other)
    traced = [
        (one, tracer.traced(one, staged(one, row, runs, device, wanted=layers), device, wanted=layers), device)
        for device, found in zip(places, judged, strict=True)
        for one, row in zip(there[device], found, strict=True)
    ]
    return advised([refused(one, row, runs, device) for one, row, device in traced])


def check_one(selected: Selected, runs: Runs, device: Device, *, max_drop: float | None = None) -> CheckRow:
    """Run one artifact and judge it; what the runtime raises is the row's verdict.

    Args:
        selected: the artifact.
        runs: of this command.
        device: where to run.
        max_drop: largest accepted loss of the task metric.
    """
    elsewhere = "" if device.name == HERE else f" on {device.name}"
    with runs.bench.reporter.task(f"check {selected.artifact.name}".strip() + elsewhere) as update:
        try:
            device.require(runtime_for(selected.artifact.target))
            evaluation = runs.of(selected, device, update)
        except EdgekitError as error:
            return replace(_row(selected, device, None), verdict="error", reasons=(explain(error),))
        row = row_of(selected, device, evaluation, runs.reference.beyond)
        accuracy = task_accuracy(runs.reference, evaluation.outputs, max_drop)
        if accuracy is None:
            return row
        verdict = worst([row.verdict, accuracy.verdict])
        return replace(row, accuracy=accuracy.accuracy, verdict=verdict, reasons=(*row.reasons, *accuracy.reasons))


def row_of(selected: Selected, device: Device, evaluation: Evaluation, beyond: Sequence[str] = ()) -> CheckRow:
    """The row of an artifact that has run.

    Args:
        selected: the artifact.
        device: where it ran.
        evaluation: what it gave.
        beyond: of the reference; the likely reason where an artifact with static ranges fails.
    """
    row = _row(selected, device, evaluation.effective)
    reasons = (*evaluation.parity.reasons, *(f"{lost}." for lost in evaluation.fixed))
    parity = evaluation.parity
    if parity.verdict == "failed" and selected.artifact.precision == "int8":
        reasons = (*reasons, *beyond)
    return replace(
        row,
        verdict=parity.verdict,
        reasons=reasons,
        outputs=parity.outputs,
        evidence=parity.evidence,
        by_default=evaluation.by_default,
    )


def _row(selected: Selected, device: Device, effective: Effective | None) -> CheckRow:
    artifact = selected.artifact
    return CheckRow(
        artifact=selected.path,
        target=artifact.target,
        precision=artifact.precision,
        runtime=runtime_on(selected.runtime, device),
        device=device.name,
        verdict="verified",
        reasons=(),
        outputs=(),
        effective=effective,
        culprit=None,
        sha256=artifact.sha256,
        source_sha256=selected.kit.manifest.source.sha256 if selected.kit is not None else None,
    )


def _evidence(reference: Reference, rows: Sequence[CheckRow]) -> Evidence:
    """What all rows rest on: they share the reference, and so how much it varies."""
    variance = next((row.evidence.variance for row in rows if row.evidence is not None), {})
    return replace(reference.evidence(_shapes(rows)), variance=variance)


def _shapes(rows: Sequence[CheckRow]) -> tuple[str, ...]:
    return unique(shape for row in rows if row.evidence is not None for shape in row.evidence.shapes)
