"""`edgekit.quantize`: smaller artifacts that have run and still agree with the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from edgekit.errors import UsageError
from edgekit.exporter.reference import reference_for
from edgekit.kit import Kit
from edgekit.latency.bench import pays_in_kit
from edgekit.parity.evaluate import Reference
from edgekit.progress import SILENT, Reporter
from edgekit.quantizer.jobs import check_io
from edgekit.quantizer.make import Made, make
from edgekit.quantizer.registry import MethodRow, method_for
from edgekit.results import ArtifactResult, QuantizeResult, holds
from edgekit.samples import Samples, calibration_subset, read_samples, refuse_labels_without, split
from edgekit.selection import Selected, select
from edgekit.types import Evidence, Signature, worst
from edgekit.workbench import SEED, Workbench, workbench

METRICS = ("accuracy",)


@dataclass(frozen=True, slots=True)
class QuantizeOptions:
    """How to quantize.

    Attributes:
        precisions: ``int8``, ``fp16``, …
        io: ``float`` or ``int8`` inputs and outputs.
        max_drop: largest accepted loss of accuracy, between 0 and 1.
    """

    precisions: tuple[str, ...]
    io: Literal["float", "int8"] = "float"
    max_drop: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One artifact to make."""

    parent: Selected
    method: MethodRow


def quantize(
    path: str | Path,
    data: str | Path | None = None,
    *,
    precision: str | Sequence[str] = "int8",
    target: str | Sequence[str] = (),
    io: Literal["float", "int8"] = "float",
    eval_data: str | Path | None = None,
    labels: str | None = None,
    metric: str = "accuracy",
    max_drop: float | None = None,
    must_pay: bool = False,
    strict: bool = False,
    reporter: Reporter = SILENT,
) -> QuantizeResult:
    """Quantize artifacts of a kit; every result has run on its real runtime and is compared with the source.

    Args:
        path: a kit, or one fp32 artifact of a kit.
        data: real samples (``.npz`` or ``.npy``) for calibration. Without ``eval_data`` a third of them is set
            aside for evaluation. Precisions that need no calibration go without.
        precision: ``int8``, ``int8-dynamic``, ``int8-weights``, ``int4-weights``, ``fp16``, or several.
        target: only these targets of the kit; all of them when empty.
        io: ``int8`` makes inputs and outputs int8 too, where the target can.
        eval_data: real samples that take no part in calibration.
        labels: name of the array that holds integer classes; accuracy is then reported.
        metric: ``accuracy``.
        max_drop: largest accepted loss of the metric.
        must_pay: measure the speed-up and fail an artifact that is not faster.
        strict: count ``weak`` as a failure.
        reporter: receives progress.

    Returns:
        One row per target and precision; a row without a path was not kept.

    Raises:
        UsageError: bad options, a precision that a target cannot have, an artifact outside a kit.
        DataError: samples that do not fit or would make a broken model.
        MissingError: a package is not installed.
    """
    if metric not in METRICS:
        raise UsageError(
            "unknown-metric",
            f"there is no metric {metric!r}.",
            received=metric,
            hint=f"Choose one of: {', '.join(METRICS)}.",
        )
    refuse_labels_without(data or eval_data, labels, max_drop)
    precisions = (precision,) if isinstance(precision, str) else tuple(precision)
    options = QuantizeOptions(precisions, io, max_drop)
    parents = select(path, (target,) if isinstance(target, str) else target, ("fp32", ""))
    kit = parents[0].kit
    if kit is None:
        raise UsageError(
            "not-in-a-kit",
            "quantize works on the artifacts of a kit, which knows the source to compare with.",
            received=str(path),
            hint="Export the trained model first: edgekit export MODEL --target all",
        )
    plans = planned(parents, options)
    with workbench(reporter) as bench:
        calibration, evaluation = read_data(
            data,
            eval_data,
            labels,
            kit.manifest.source.signature,
            bench,
            calibrate=any(plan.method.needs_data for plan in plans),
        )
        reference = reference_for(kit, evaluation, bench)
        made = quantize_into(kit, plans, calibration, reference, options, bench)
        rows = tuple(one.row(kit) for one in made)
        if must_pay:
            rows = _with_pays(kit, rows, reference, bench)
        verdict = worst(row.verdict for row in rows)
        result = QuantizeResult(
            ok=holds(verdict, strict=strict) and not _some_do_not_pay(rows),
            verdict=verdict,
            evidence=next((row.parity.evidence for row in rows if row.parity), Evidence(reference.origin, 0, ())),
            kit=str(kit.folder),
            artifacts=rows,
        )
        kit.commit(result=result)
        return result


def planned(parents: Sequence[Selected], options: QuantizeOptions) -> tuple[Plan, ...]:
    """What to make, refused before anything runs.

    Raises:
        UsageError: a target cannot have a precision or ``io``.
        MissingError: a package is not installed.
    """
    plans = tuple(
        Plan(parent, method_for(parent.artifact.target, precision))
        for precision in options.precisions
        for parent in parents
    )
    for plan in plans:
        check_io(plan.method, options.io)
        plan.method.require()
    return plans


def quantize_into(
    kit: Kit,
    plans: Sequence[Plan],
    calibration: Samples | None,
    reference: Reference,
    options: QuantizeOptions,
    bench: Workbench,
) -> tuple[Made, ...]:
    """Make every planned artifact side by side, and commit those that did not fail.

    Args:
        kit: receives the artifacts.
        plans: what to make.
        calibration: samples for the methods that need them.
        reference: evaluation samples with the source's outputs.
        options: how to quantize.
        bench: of this command.
    """
    chosen = None if calibration is None else calibration_subset(calibration, bench.scratch("subset"), SEED)
    blobs = {} if chosen is None else bench.blobs(chosen.arrays)

    def one(plan: Plan) -> Made:
        name = f"quantize {plan.parent.artifact.target} to {plan.method.precision}"
        with bench.reporter.task(name) as update:
            return make(plan.parent, plan.method, blobs, reference, options.io, options.max_drop, bench, update)

    made = tuple(bench.side_by_side(one, plans))
    kept = [(one.artifact, one.files) for one in made if one.artifact is not None]
    if kept:
        kit.commit(artifacts=kept)
    return made


def read_data(
    data: str | Path | None,
    eval_data: str | Path | None,
    labels: str | None,
    signature: Signature,
    bench: Workbench,
    *,
    calibrate: bool,
) -> tuple[Samples | None, Samples | None]:
    """Samples to calibrate with and, apart from them, to evaluate on.

    Raises:
        UsageError: calibration is needed and there is no data.
        DataError: see `read_samples`.
    """
    if data is None and calibrate:
        raise no_calibration_data()
    evaluation = None if eval_data is None else read_samples(eval_data, bench.scratch("eval"), signature, labels)
    if data is None:
        return None, evaluation
    held = labels if evaluation is None else None
    everything = read_samples(data, bench.scratch("data"), signature, held, spare=labels)
    if evaluation is not None:
        return everything, evaluation
    if not calibrate:
        return None, everything
    return split(everything, bench.scratch("split"), SEED)


def no_calibration_data() -> UsageError:
    """The refusal of a static precision without samples."""
    return UsageError(
        "no-calibration-data",
        "static int8 needs real samples for calibration.",
        hint="Give --data samples.npz, or choose --precision int8-dynamic, int8-weights or fp16.",
    )


def _with_pays(
    kit: Kit, rows: tuple[ArtifactResult, ...], reference: Reference, bench: Workbench
) -> tuple[ArtifactResult, ...]:
    pays = pays_in_kit(kit, [row.sha256 for row in rows if row.sha256], reference.inputs, bench)
    return tuple(replace(row, pays=(pays[row.sha256],) if row.sha256 in pays else ()) for row in rows)


def _some_do_not_pay(rows: tuple[ArtifactResult, ...]) -> bool:
    return any(pays.answer == "no" for row in rows for pays in row.pays)
