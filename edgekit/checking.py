"""`edgekit.check`: does an artifact still compute what its source computes, here and now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgekit.attribution.look import look
from edgekit.data.read import read_samples
from edgekit.devices import Device, open_device
from edgekit.errors import EdgekitError, UsageError
from edgekit.exporter.attempts import BATCHES
from edgekit.exporter.reasons import explain
from edgekit.exporter.reference import load_source, reference_for, reference_of, stored_reference
from edgekit.figures import CheckRow
from edgekit.parity.evaluate import Evaluation, Reference, evaluate, task_accuracy, with_labels
from edgekit.parity.task import ACCURACY, Metric, read_metric, refuse_limit
from edgekit.progress import SILENT, Reporter
from edgekit.results import CheckResult, holds, unique
from edgekit.runtimes import runtime_for
from edgekit.runtimes.jobs import RunJob
from edgekit.samples import Samples, refuse_labels_without
from edgekit.selection import SUFFIXES, Selected, select, select_one
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
    device: str = "local",
    tolerance: float | None = None,
    layers: bool = False,
    strict: bool = False,
    reporter: Reporter = SILENT,
) -> CheckResult:
    """Run artifacts again and compare them with their source, or with another model or artifact.

    Args:
        path: a kit, an artifact of a kit, or a file of its own together with ``against``.
        against: a ``.keras`` model or an artifact to compare with; default: the source of the kit, through its
            golden samples, or itself on ``data``.
        data: real samples to compare on.
        labels: name of the array that holds what the metric compares with; it is then reported.
        metric: ``accuracy``, ``top5``, ``f1``, ``iou``, ``mse``, ``mae`` or ``file.py:function``; with ``@output``
            behind it where several outputs qualify.
        max_drop: largest accepted loss of the metric: a share, or in the metric's own unit.
        target, precision: only these artifacts of a kit.
        device: where to run.
        tolerance: bound on the absolute difference, instead of the derived one.
        layers: compare layer by layer too; an artifact of a kit that fails is looked at in any case.
        strict: count ``weak`` as a failure.
        reporter: receives progress.

    Raises:
        UsageError: nothing to compare with, or bad options.
        DataError: samples that do not fit.
        MissingError: the engine of an artifact is not installed.
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
        runtime_for(one.artifact.target).require()
    kit = chosen[0].kit
    with workbench(reporter) as bench:
        where = open_device(device)
        reference = _reference(chosen, against, data, labels, measured, bench, where)
        rows = tuple(check_one(one, reference, bench, where, max_drop=max_drop, tolerance=tolerance) for one in chosen)
        if against is None:
            rows = tuple(_looked_at(*pair, reference, bench, where, layers) for pair in zip(chosen, rows, strict=True))
        verdict = worst(row.verdict for row in rows)
        result = CheckResult(
            ok=holds(verdict, strict=strict),
            verdict=verdict,
            evidence=Evidence(reference.origin, reference.samples, _shapes(rows)),
            kit=None if kit is None else str(kit.folder),
            against=str(against or (kit.manifest.source.path if kit else "")),
            results=rows,
        )
        if kit is not None and against is None:
            kit.commit(result=result)
        return result


def check_one(
    selected: Selected,
    reference: Reference,
    bench: Workbench,
    device: Device,
    *,
    max_drop: float | None = None,
    tolerance: float | None = None,
) -> CheckRow:
    """Run one artifact and judge it; what the runtime raises is the row's verdict."""
    artifact = selected.artifact
    with bench.reporter.task(f"check {artifact.name}".strip()) as update:
        files = tuple(bench.executor.add(file) for file in selected.files)
        try:
            evaluation = evaluate(
                artifact.target,
                artifact.precision or "fp32",
                files,
                reference,
                executor=bench.executor,
                context=device.context(),
                batches=BATCHES,
                options=device.options(),
                tolerance=tolerance,
                measured=max_drop is not None,
                update=update,
            )
        except EdgekitError as error:
            row = _row(selected, device, None)
            return replace(row, verdict="error", reasons=(explain(error),), culprit="runtime")
        row = row_of(selected, device, evaluation)
        judged = task_accuracy(reference, evaluation.outputs, max_drop)
        if judged is not None:
            verdict = worst([row.verdict, judged.verdict])
            row = replace(row, accuracy=judged.accuracy, verdict=verdict, reasons=(*row.reasons, *judged.reasons))
        if row.verdict == "failed":
            row = replace(row, culprit=_culprit(selected, reference, bench, device))
        return row


def _looked_at(
    selected: Selected, row: CheckRow, reference: Reference, bench: Workbench, device: Device, wanted: bool
) -> CheckRow:
    """The row with its layers, where they were asked for, or something failed that has layers to look at."""
    failed = row.verdict == "failed"
    if not (wanted or failed) or row.verdict == "error":
        return row
    found = look(selected, reference, bench, device, failed=failed)
    reasons = (
        row.reasons if found.reason is None else (*row.reasons, f"its layers could not be compared: {found.reason}")
    )
    culprit = row.culprit if found.culprit is None or not failed else f"{row.culprit}: {found.culprit}"
    return replace(row, layers=found.rows, culprit=culprit, failing=found.failing, reasons=reasons)


def row_of(selected: Selected, device: Device, evaluation: Evaluation) -> CheckRow:
    """The row of an artifact that has run."""
    row = _row(selected, device, evaluation.effective)
    reasons = (*evaluation.parity.reasons, *(f"{lost}." for lost in evaluation.fixed))
    parity = evaluation.parity
    return replace(row, verdict=parity.verdict, reasons=reasons, outputs=parity.outputs, evidence=parity.evidence)


def _row(selected: Selected, device: Device, effective: Effective | None) -> CheckRow:
    artifact = selected.artifact
    return CheckRow(
        artifact=selected.path,
        target=artifact.target,
        precision=artifact.precision,
        runtime=runtime_for(artifact.target).name,
        device=device.name,
        verdict="verified",
        reasons=(),
        outputs=(),
        effective=effective,
        culprit=None,
        sha256=artifact.sha256,
        source_sha256=selected.kit.manifest.source.sha256 if selected.kit is not None else None,
    )


def _culprit(selected: Selected, reference: Reference, bench: Workbench, device: Device) -> str:
    """The first stage that differs: the export, when the artifact's parent differs too."""
    kit, artifact = selected.kit, selected.artifact
    parent = next((one for one in kit.artifacts if one.sha256 == artifact.parent), None) if kit else None
    if kit is None or artifact.parent is None:
        return "export"
    if parent is None:
        return "quantize"
    ancestor = check_one(Selected(parent, kit.files(parent), kit), reference, bench, device)
    return "quantize" if ancestor.verdict in ("verified", "weak") else "export"


def _reference(
    chosen: Sequence[Selected],
    against: str | Path | None,
    data: str | Path | None,
    labels: str | None,
    metric: Metric,
    bench: Workbench,
    device: Device,
) -> Reference:
    kit = chosen[0].kit
    if against is None:
        if kit is None:
            raise UsageError(
                "nothing-to-compare",
                "a file outside a kit needs something to compare it with.",
                hint="Give --against MODEL.keras or --against ARTIFACT.",
            )
        samples = None if data is None else read_samples(data, bench, kit.manifest.source.signature, labels)
        return reference_for(kit, samples, bench, metric)
    if Path(against).suffix not in SUFFIXES and not Path(against).is_dir():
        source = load_source(bench, against)
        samples = None if data is None else read_samples(data, bench, source.signature, labels)
        return reference_of(bench, source, samples, metric)
    return _from_artifact(against, chosen, data, labels, metric, bench, device)


def _from_artifact(
    against: str | Path,
    chosen: Sequence[Selected],
    data: str | Path | None,
    labels: str | None,
    metric: Metric,
    bench: Workbench,
    device: Device,
) -> Reference:
    """The outputs of another artifact as the reference, on the data given or on a kit's golden inputs."""
    other = select_one(against)
    if any(one.artifact.sha256 == other.artifact.sha256 for one in chosen):
        raise UsageError(
            "same-artifact",
            "an artifact cannot be checked against itself.",
            received=other.path,
            hint="Leave out --against to compare with the source, or choose with --target and --precision.",
        )
    known = chosen[0].kit or other.kit
    if known is None:
        raise UsageError(
            "no-samples",
            "two files outside any kit need samples to be compared on.",
            received=str(against),
            hint="Compare with the .keras model, or with an artifact of a kit.",
        )
    base = stored_reference(known, bench)
    samples: Samples | None = None
    if data is not None:
        samples = read_samples(data, bench, base.signature, labels)
    inputs = base.inputs if samples is None else bench.blobs(samples.arrays)
    files = tuple(bench.executor.add(file) for file in other.files)
    sizes = base.sizes if samples is None else ()
    further = tuple(dict(size.inputs) for size in sizes)
    job = RunJob(runtime_for(other.artifact.target).name, files, dict(inputs), (1,), device.options(), further)
    ran = bench.executor.run_fresh(job, device.context())
    reference = replace(
        base,
        inputs=inputs,
        outputs={name: bench.executor.path(blob) for name, blob in ran.outputs[0].items()},
        origin=base.origin if samples is None else "real",
        sizes=tuple(
            replace(size, outputs={name: bench.executor.path(blob) for name, blob in blobs.items()})
            for size, blobs in zip(sizes, ran.sizes, strict=True)
            if blobs
        ),
    )
    return with_labels(reference, None if samples is None else samples.load_labels(), metric, bench.executor)


def _shapes(rows: Sequence[CheckRow]) -> tuple[str, ...]:
    return unique(shape for row in rows if row.evidence is not None for shape in row.evidence.shapes)
