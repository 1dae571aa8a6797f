"""`edgekit.sensitivity`: which operators an int8 artifact loses its accuracy in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgekit.errors import UsageError
from edgekit.parity.evaluate import Reference
from edgekit.parity.metrics import NO_SIGNAL_DB
from edgekit.parity.task import ACCURACY, read_metric, refuse_limit
from edgekit.progress import SILENT, Reporter, Update
from edgekit.quantizer.budget import Budget, Meter
from edgekit.quantizer.data import Data, doubts, read_data, references
from edgekit.quantizer.journal import Journal, Score
from edgekit.quantizer.layers import noise_alone, only
from edgekit.quantizer.options import DEFAULT_PRECISION, QuantizeOptions, given_recipe, has_layers, planned, recipes_for
from edgekit.quantizer.quantize import parents_in_kit
from edgekit.quantizer.recipe import ModelKind, Recipe
from edgekit.quantizer.registry import LayerInfo
from edgekit.quantizer.search import refused, staged
from edgekit.quantizer.trials import Calibration, Scorer, Subject
from edgekit.results import LayerSensitivity, SensitivityResult, SensitivityRow, holds
from edgekit.samples import refuse_labels_without
from edgekit.types import Evidence, Verdict, worst
from edgekit.workbench import Workbench, workbench


def sensitivity(
    path: str | Path,
    data: str | Path | None = None,
    *,
    precision: str = DEFAULT_PRECISION,
    target: str | Sequence[str] = (),
    recipe: str | Path | Recipe | None = None,
    model_kind: ModelKind = "auto",
    ignore: Sequence[str] = (),
    eval_data: str | Path | None = None,
    labels: str | None = None,
    metric: str = ACCURACY.name,
    trials: int | None = None,
    max_seconds: float | None = None,
    strict: bool = False,
    reporter: Reporter = SILENT,
) -> SensitivityResult:
    """Quantize every operator of an artifact alone and rank them by the damage that does.

    Each of these files is loaded in a process of its own and compared with the source on samples that took no part in
    calibration. A command that was killed goes on where it was when it is run again.

    Args:
        path: a kit, or one fp32 artifact of a kit.
        data: real samples, for calibration and, without ``eval_data``, a third of them for the comparison.
        precision: ``int8``; weight-only precisions have no operators that compute on quantized values.
        target: only these targets of the kit; all of them when empty.
        recipe, model_kind, ignore: what to quantize with, as for `edgekit.quantize`; without a recipe, the plain one.
        eval_data: real samples for the comparison.
        labels: name of the array that holds what the metric compares with; its loss is then reported per operator.
        metric: as for `edgekit.quantize`.
        trials: most operators to measure per artifact.
        max_seconds: longest time per artifact; the operators with most arithmetic come first.
        strict: count ``weak`` as a failure.
        reporter: receives progress.

    Returns:
        One row per artifact.

    Raises:
        UsageError, DataError, MissingError: as `edgekit.quantize`.

    Example:
        >>> result = edgekit.sensitivity("edgekit-out/digits", "train.npz", target="openvino")
        >>> result.results[0].layers[0].layer
        'block/conv2d_3'
    """
    refuse_labels_without(data or eval_data, labels)
    measured = read_metric(metric)
    refuse_limit(measured, labels, None)
    given = None if recipe is None else given_recipe(recipe)
    precision = given.precision if given is not None else precision
    options = QuantizeOptions(
        (precision,),
        recipe=given,
        model_kind=model_kind,
        ignore=tuple(ignore),
        budget=Budget(trials, max_seconds),
    )
    kit, parents = parents_in_kit(path, target)
    plans = planned(parents, options)
    for plan in plans:
        if not has_layers(plan.method):
            raise UsageError(
                "no-layers",
                f"{plan.method.name} cannot quantize single operators.",
                received=precision,
                hint="Use --precision int8.",
            )
    with workbench(reporter) as bench:
        shares = read_data(data, eval_data, labels, kit.manifest.source.signature, bench, calibrate=True)
        warnings = doubts(kit, shares, (given or Recipe()).samples, bench)
        found = references(kit, shares, bench, measured)
        assert shares.calibration is not None  # it was asked for
        calibration = Calibration(shares.calibration, bench)
        subjects = [Subject(plan.parent, plan.method, calibration, bench) for plan in plans]
        reference = replace(found.evaluation, sizes=())
        journals = [Journal(kit.folder, one.identity(reference, measured)) for one in subjects]

        def row(index: int) -> SensitivityRow:
            subject = subjects[index]
            with reporter.task(f"sensitivity of {subject.parent.artifact.name}") as update:
                scorer = Scorer(subject, reference, journals[index])
                return _Ranking(scorer, options, update).row(found)

        rows = tuple(bench.side_by_side(row, range(len(subjects))))
        verdict = worst(one.verdict for one in rows)
        result = SensitivityResult(
            ok=holds(verdict, strict=strict),
            verdict=verdict,
            evidence=Evidence(reference.origin, reference.samples, _shapes(reference, bench)),
            kit=str(kit.folder),
            results=rows,
            warnings=warnings,
        )
        kit.commit(result=result)
        for journal in journals:
            journal.sweep()
        return result


class _Ranking:
    """The operators of one artifact, each quantized alone."""

    def __init__(self, scorer: Scorer, options: QuantizeOptions, update: Update) -> None:
        self._scorer = scorer
        self._options = options
        self._update = update
        self._meter = Meter(options.budget)

    def row(self, data: Data) -> SensitivityRow:
        subject = self._scorer.subject
        _, (recipe, *_) = recipes_for(subject, self._options)
        whole = self._scorer.score(recipe, staged("all operators", self._update))
        if not whole.layers:
            reason = whole.reason or "the quantizer does not tell which operators it has quantized."
            return self._row(recipe, (), 0, "error", (reason,))
        order = sorted(whole.infos, key=lambda info: -info.macs)
        found = []
        for index, info in enumerate(order):
            if not self._meter.allows(float("inf")):
                break
            found.append(self._measured(recipe, whole, info, f"{info.name}, {index + 1} of {len(order)}", len(order)))
        missing = len(order) - len(found)
        reasons = (f"the budget left no time for {missing} of {len(order)} operators.",) if missing else ()
        doubts = (
            ("the samples were generated: give real ones with --data.",) if data.evaluation.origin != "real" else ()
        )
        ranked = tuple(sorted(found, key=lambda one: float("inf") if one.sqnr_db is None else one.sqnr_db))
        verdict: Verdict = "weak" if reasons or doubts else "verified"
        return self._row(recipe, ranked, missing, verdict, (*reasons, *doubts))

    def _measured(self, recipe: Recipe, whole: Score, info: LayerInfo, what: str, count: int) -> LayerSensitivity:
        alone = only(recipe, whole.layers, (info.name,))
        stage = f"{what}{self._meter.left(float('inf'), count - self._meter.trials)}"
        try:
            score = self._scorer.score(alone, staged(stage, self._update))
        except UsageError as error:
            score = refused(error)
        self._meter.add(score.seconds)
        lost = noise_alone(score, 1) == float("inf")  # the engine cannot run it
        decibel = NO_SIGNAL_DB if lost else score.sqnr_db
        return LayerSensitivity(info.name, info.kind, decibel, score.drop, _share(info, whole))

    def _row(
        self,
        recipe: Recipe,
        layers: tuple[LayerSensitivity, ...],
        missing: int,
        verdict: Verdict,
        reasons: tuple[str, ...],
    ) -> SensitivityRow:
        parent, method = self._scorer.subject.parent, self._scorer.subject.method
        return SensitivityRow(
            parent.path, method.format, method.precision, recipe.name, layers, missing, verdict, reasons
        )


def _shapes(reference: Reference, bench: Workbench) -> tuple[str, ...]:
    """Of one sample of every input."""
    arrays = {name: np.load(bench.executor.path(blob), mmap_mode="r") for name, blob in reference.inputs.items()}
    return tuple(f"{name}={'x'.join(map(str, (1, *array.shape[1:])))}" for name, array in arrays.items())


def _share(info: LayerInfo, whole: Score) -> float | None:
    return info.macs / whole.macs.total if whole.macs is not None and whole.macs.total else None
