"""`edgekit.quantize`: smaller artifacts that have run and still agree with the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from edgekit.devices import Device, opened_devices
from edgekit.errors import UsageError
from edgekit.figures import ArtifactResult
from edgekit.kit import Kit
from edgekit.latency.bench import pays_in_kit
from edgekit.parity.coverage import ranges
from edgekit.parity.evaluate import Reference
from edgekit.parity.task import ACCURACY, Metric, read_metric, refuse_limit
from edgekit.progress import SILENT, Reporter
from edgekit.quantizer.budget import Budget
from edgekit.quantizer.data import Data, doubts, read_data, real_golden, references
from edgekit.quantizer.journal import Journal
from edgekit.quantizer.make import Made, make
from edgekit.quantizer.options import (
    DEFAULT_PRECISION,
    Plan,
    QuantizeOptions,
    chooses,
    given_recipe,
    planned,
    uses_data,
)
from edgekit.quantizer.recipe import ModelKind, Recipe
from edgekit.quantizer.trials import Calibration, Subject
from edgekit.results import QuantizeResult, holds
from edgekit.samples import refuse_labels_without
from edgekit.selection import Selected, select
from edgekit.types import Evidence, worst
from edgekit.workbench import Workbench, workbench


def quantize(
    path: str | Path,
    data: str | Path | None = None,
    *,
    precision: str | Sequence[str] = (),
    target: str | Sequence[str] = (),
    recipe: str | Path | Recipe | None = None,
    model_kind: ModelKind = "auto",
    ignore: Sequence[str] = (),
    io: Literal["float", "int8"] = "float",
    eval_data: str | Path | None = None,
    labels: str | None = None,
    metric: str = ACCURACY.name,
    max_drop: float | None = None,
    trials: int | None = None,
    max_seconds: float | None = None,
    device: str = "local",
    pays: bool = True,
    must_pay: bool = False,
    strict: bool = False,
    reporter: Reporter = SILENT,
) -> QuantizeResult:
    """Quantize artifacts of a kit; every result has run on its real runtime and is compared with the source.

    Without a recipe, several are tried and the one with the least noise at the worst output is taken. With
    ``max_drop``, layers are given back to float until the loss of the metric is within it. Both are done on samples
    that take no part in the reported figures. A command that was killed goes on where it was when it is run again.

    Args:
        path: a kit, or one fp32 artifact of a kit.
        data: real samples, for calibration, for the choice of a recipe and, without ``eval_data``, for evaluation:
            a third of them; of the rest a third for the choice. Precisions that need no calibration go without.
        precision: ``int8``, ``int8-dynamic``, ``int8-weights``, ``int4-weights``, ``fp16``, ``bf16`` or several; by
            default that of the recipe, else ``int8``.
        target: only these targets of the kit; all of them when empty.
        recipe: the only one to try: its short name, a ``.toml`` file, or an artifact of a kit, whose recipe is used
            again.
        model_kind: what to choose recipes for: ``convolutional``, ``transformer``, ``recurrent`` or ``other``;
            ``auto`` is detected from the graph.
        ignore: operators to leave in float, as in ``Recipe.left_float``.
        io: ``int8`` makes inputs and outputs int8 too, where the target can.
        eval_data: real samples that take part in nothing but evaluation.
        labels: name of the array that holds what the metric compares with.
        metric: ``accuracy``, ``top5``, ``f1``, ``iou``, ``mse``, ``mae`` or ``file.py:function``; with ``@output``
            behind it where several outputs qualify.
        max_drop: largest accepted loss of the metric: a share, or in the metric's own unit.
        trials: most recipes to try per artifact.
        max_seconds: longest search per artifact; by default 5 times the first trial, and 30 times for accuracy
            control.
        device: where to time the artifacts.
        pays: time each artifact beside the one it was made from.
        must_pay: fail an artifact that is not faster.
        strict: count ``weak`` as a failure.
        reporter: receives progress.

    Returns:
        One row per target and precision; a row without a path was not kept.

    Raises:
        UsageError: bad options, a precision or setting that a target cannot have, an artifact outside a kit.
        DataError: samples that do not fit or would make a broken model.
        MissingError: a package is not installed.

    Example:
        >>> result = edgekit.quantize("edgekit-out/digits", "train.npz", labels="label", max_drop=0.005)
        >>> result.artifacts[0].quantization.recipe
        'int8_histogram'
    """
    refuse_labels_without(data or eval_data, labels)
    measured = read_metric(metric)
    refuse_limit(measured, labels, max_drop)
    chosen = None if recipe is None else given_recipe(recipe)
    options = QuantizeOptions(
        precisions=_precisions(precision, chosen),
        io=io,
        max_drop=max_drop,
        recipe=chosen,
        model_kind=model_kind,
        ignore=tuple(ignore),
        budget=Budget(trials, max_seconds),
    )
    kit, parents = parents_in_kit(path, target)
    plans = planned(parents, options)
    with opened_devices(device) as (where,), workbench(reporter) as bench:
        if pays or must_pay:
            where.context()  # one that cannot be reached is known before the work begins
        shares = read_data(
            data,
            eval_data,
            labels,
            kit.manifest.source.signature,
            bench,
            calibrate=any(uses_data(plan, options) for plan in plans),
            choose=any(chooses(plan, options) for plan in plans),
        )
        warnings = doubts(kit, shares, _most_samples(options), bench)
        found = references(kit, shares, bench, measured)
        made = quantize_into(kit, plans, found, options, bench, measured)
        rows = tuple(one.row(kit) for one in made)
        if pays or must_pay:
            bench.executor.release_all()
            rows = _with_pays(kit, rows, found.evaluation, bench, where)
        verdict = worst(row.verdict for row in rows)
        result = QuantizeResult(
            ok=holds(verdict, strict=strict) and not (must_pay and _some_do_not_pay(rows)),
            verdict=verdict,
            evidence=next(
                (row.parity.evidence for row in rows if row.parity), Evidence(found.evaluation.origin, 0, ())
            ),
            kit=str(kit.folder),
            artifacts=rows,
            warnings=warnings,
        )
        kit.commit(result=result)
        return result


def parents_in_kit(path: str | Path, target: str | Sequence[str]) -> tuple[Kit, tuple[Selected, ...]]:
    """The kit, and its fp32 artifacts that are meant.

    Raises:
        UsageError: nothing fits, or a file outside a kit.
    """
    parents = select(path, (target,) if isinstance(target, str) else target, ("fp32", ""))
    kit = parents[0].kit
    if kit is None:
        raise UsageError(
            "not-in-a-kit",
            "quantize works on the artifacts of a kit, which knows the source to compare with.",
            received=str(path),
            hint="Export the trained model first: edgekit export MODEL --target all",
        )
    return kit, parents


def quantize_into(
    kit: Kit,
    plans: Sequence[Plan],
    data: Data,
    options: QuantizeOptions,
    bench: Workbench,
    metric: Metric = ACCURACY,
) -> tuple[Made, ...]:
    """Make every planned artifact side by side, and commit those that did not fail.

    Args:
        kit: receives the artifacts.
        plans: what to make.
        data: samples to calibrate with, to choose on and to judge on.
        options: how to quantize.
        bench: of this command.
        metric: of the data's labels.
    """
    calibration = None if data.calibration is None else Calibration(data.calibration, bench)
    measured = options.max_drop is not None
    subjects = [Subject(plan.parent, plan.method, calibration, bench, measured) for plan in plans]
    journals = [_journal(kit, subject, data, metric) for subject in subjects]

    def one(index: int) -> Made:
        subject = subjects[index]
        name = f"quantize {subject.parent.artifact.target} to {subject.method.precision}"
        with bench.reporter.task(name) as update:
            return make(subject, data, options, journals[index], update)

    made = tuple(bench.side_by_side(one, range(len(subjects))))
    kept = [(one.artifact, one.files) for one in made if one.artifact is not None]
    if kept:
        kit.commit(
            golden=real_golden(kit, data.evaluation, bench),
            artifacts=kept,
            ranges=None if data.calibration is None else ranges(data.calibration.load()),
        )
    for journal in journals:
        if journal is not None:
            journal.sweep()
    return made


def _journal(kit: Kit, subject: Subject, data: Data, metric: Metric) -> Journal | None:
    if data.selection is None:
        return None
    return Journal(kit.folder, subject.identity(data.selection, metric))


def _precisions(precision: str | Sequence[str], recipe: Recipe | None) -> tuple[str, ...]:
    given = (precision,) if isinstance(precision, str) else tuple(precision)
    return given or (recipe.precision if recipe is not None else DEFAULT_PRECISION,)


def _most_samples(options: QuantizeOptions) -> int:
    return options.recipe.samples if options.recipe is not None else Recipe().samples


def _with_pays(
    kit: Kit, rows: tuple[ArtifactResult, ...], reference: Reference, bench: Workbench, device: Device
) -> tuple[ArtifactResult, ...]:
    pays = pays_in_kit(kit, [row.sha256 for row in rows if row.sha256], reference.inputs, bench, device)
    return tuple(replace(row, pays=(pays[row.sha256],) if row.sha256 in pays else ()) for row in rows)


def _some_do_not_pay(rows: tuple[ArtifactResult, ...]) -> bool:
    return any(pays.answer == "no" for row in rows for pays in row.pays)
