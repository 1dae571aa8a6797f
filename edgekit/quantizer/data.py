"""The samples of one quantization: for ranges, for the choice of a recipe, and for the figures that are reported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.data.read import read_samples
from edgekit.errors import DataError, UsageError
from edgekit.exporter.reference import (
    LoadedSource,
    golden_of,
    golden_part,
    reference_of,
    reload_source,
    stored_reference,
    with_known,
)
from edgekit.exporter.scale import Scale, ScaleJob
from edgekit.golden import Golden
from edgekit.kit import Kit
from edgekit.parity.coverage import ranges
from edgekit.parity.evaluate import Reference
from edgekit.parity.task import ACCURACY, Metric
from edgekit.quantizer.ranges import calibration_warnings, known_inputs, refuse_chance, scale_warnings
from edgekit.samples import Samples, split3
from edgekit.types import Signature
from edgekit.workbench import SEED, Workbench


@dataclass(frozen=True, slots=True)
class Shares:
    """The user's samples; no sample is in two of them.

    Attributes:
        calibration: to measure ranges on; None where nothing needs them.
        selection: to choose recipes on; None where nothing is chosen, or there are too few samples.
        evaluation: to judge on; None takes the kit's golden samples.
        notes: what could not be had, with the numbers.
    """

    calibration: Samples | None
    selection: Samples | None
    evaluation: Samples | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Data:
    """What artifacts are quantized with and compared with.

    Attributes:
        calibration: samples; None where nothing needs them.
        selection: samples with the source's outputs that recipes are chosen on; None where nothing is chosen.
        evaluation: samples with the source's outputs that took no part in calibration or choice.
    """

    calibration: Samples | None
    selection: Reference | None
    evaluation: Reference


def read_data(
    data: str | Path | None,
    eval_data: str | Path | None,
    labels: str | None,
    signature: Signature,
    bench: Workbench,
    *,
    calibrate: bool,
    choose: bool = False,
) -> Shares:
    """Read the user's samples and split them.

    Args:
        data: for calibration and choice, and for evaluation too without ``eval_data``.
        eval_data: for evaluation.
        labels: name of the array with labels.
        signature: of the source.
        bench: of this command.
        calibrate: whether anything is calibrated.
        choose: whether a recipe is chosen. All data evaluate where neither is so.

    Raises:
        UsageError: calibration is needed and there are no data.
        DataError: see `read_samples`.
    """
    if data is None and calibrate:
        raise no_calibration_data()
    evaluation = None if eval_data is None else read_samples(eval_data, bench, signature, labels)
    if data is None:
        return Shares(None, None, evaluation)
    if evaluation is None:
        everything = read_samples(data, bench, signature, labels)
    else:
        everything = _perhaps_labelled(data, labels, signature, bench)
    if not (calibrate or choose):
        return Shares(None, None, evaluation or everything)
    parts = split3(everything, bench.scratch("split"), SEED, evaluate=evaluation is None)
    selection = parts.selection if choose else None
    return Shares(parts.calibration, selection, evaluation or parts.evaluation, parts.notes if choose else ())


def _perhaps_labelled(data: str | Path, labels: str | None, signature: Signature, bench: Workbench) -> Samples:
    """Samples whose labels may be missing, because those of the evaluation samples are what counts.

    Labels that are there are read even if nothing is chosen by them: the split follows classes, and the same data
    should always give the same calibration samples, so that a recipe replays.
    """
    try:
        return read_samples(data, bench, signature, labels)
    except DataError as error:
        if error.code != "no-labels":
            raise
        return read_samples(data, bench, signature, spare=labels)


def doubts(kit: Kit, shares: Shares, most: int, bench: Workbench) -> tuple[str, ...]:
    """What may be wrong with the samples, in sentences with the numbers.

    Args:
        kit: knows real inputs where the source was exported with some.
        shares: the samples.
        most: calibration samples that a recipe takes.
        bench: of this command.

    Raises:
        DataError: they are scaled otherwise than those of the export, or of the training where its layers tell.
    """
    found: tuple[str, ...] = ()
    given = shares.calibration or shares.evaluation
    if given is not None:
        known = known_inputs(kit)
        layers = None if known is not None else _scale_in(reload_source(kit, bench), given, bench)
        found = scale_warnings(given.load(), known, layers)
    return (*found, *coverage(shares, most))


def coverage(shares: Shares, most: int) -> tuple[str, ...]:
    """Whether calibration samples stand for those of the evaluation: the part of `doubts` that needs no kit."""
    if shares.calibration is None or shares.evaluation is None:
        return shares.notes
    return (*shares.notes, *calibration_warnings(shares.calibration.load(), shares.evaluation.load(), most))


def _scale_in(source: LoadedSource, samples: Samples, bench: Workbench) -> Scale:
    """What the layers of a source say about the scale of samples."""
    return bench.executor.run(ScaleJob(source.spec, bench.blobs(samples.arrays)), source.context)


def references(kit: Kit, shares: Shares, bench: Workbench, metric: Metric) -> Data:
    """Run the source of a kit on the samples, or take its golden samples where there are none.

    Raises:
        UsageError, DataError: labels that do not fit, or of which the source knows nothing; see `reference_of`.
    """
    if shares.selection is None and shares.evaluation is None:
        return Data(shares.calibration, None, stored_reference(kit, bench))
    found = observed(reload_source(kit, bench), shares, bench, metric)
    refuse_chance(found.evaluation)
    return found


def real_golden(kit: Kit, evaluation: Reference, bench: Workbench) -> tuple[Golden, Path] | None:
    """Real golden samples for a kit that was exported without data; None where it has such, or there are none.

    Generated ones lie outside the ranges that an artifact is calibrated for: a check on them would blame a good one.
    """
    kept = kit.manifest.golden
    if evaluation.origin != "real" or kept is None or kept.inputs == "real":
        return None
    return golden_of(golden_part(evaluation, bench), bench)


def observed(source: LoadedSource, shares: Shares, bench: Workbench, metric: Metric = ACCURACY) -> Data:
    """Run a loaded source on the samples, or on generated ones where there are none.

    Raises:
        UsageError, DataError: labels that do not fit, see `reference_of`.
    """
    evaluation = reference_of(bench, source, shares.evaluation, metric)
    if shares.calibration is not None and shares.evaluation is not None:
        evaluation = with_known(evaluation, shares.evaluation.load(), ranges(shares.calibration.load()))
    selection = None
    if shares.selection is not None:  # other sizes are proven once, at the end
        selection = replace(reference_of(bench, source, shares.selection, metric), sizes=())
    return Data(shares.calibration, selection, evaluation)


def no_calibration_data() -> UsageError:
    """The refusal of a static precision without samples."""
    return UsageError(
        "no-calibration-data",
        "static int8 needs real samples for calibration.",
        hint="Give --data samples.npz, or choose --precision int8-dynamic, int8-weights or fp16.",
    )
