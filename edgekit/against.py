"""What artifacts are compared with: the source of their kit, or whatever ``--against`` names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from edgekit.data.checks import check_samples
from edgekit.data.read import read_samples
from edgekit.errors import DataError, UsageError
from edgekit.exporter.reference import (
    LoadedSource,
    load_source,
    reference_of,
    reload_source,
    stored_reference,
    with_known,
)
from edgekit.kit import Kit
from edgekit.parity.evaluate import Reference
from edgekit.parity.task import Metric
from edgekit.runtimes.widths import narrowed
from edgekit.samples import Samples, save_arrays
from edgekit.selection import SUFFIXES, Selected, select
from edgekit.types import Origin, Signature
from edgekit.workbench import Workbench


@dataclass(frozen=True, slots=True)
class Compared:
    """What artifacts are compared with.

    Attributes:
        reference: inputs and expected outputs.
        load: gives the model that these are of; it is loaded when that is asked for, and once.
    """

    reference: Reference
    load: Callable[[], LoadedSource]


def source_of_kit(
    chosen: Sequence[Selected], data: str | Path | None, labels: str | None, metric: Metric, bench: Workbench
) -> Compared:
    """The source of the artifacts' kit, through its golden samples, or itself on ``data``.

    Raises:
        UsageError: a file outside a kit, or a kit without golden samples.
        ModelError: the source is gone or has changed, and there are data to run it on.
        DataError: samples that do not fit.
    """
    kit = chosen[0].kit
    if kit is None:
        raise UsageError(
            "nothing-to-compare",
            "a file outside a kit needs something to compare it with.",
            received=chosen[0].path,
            hint="Give --against MODEL.keras or --against ARTIFACT.",
        )
    load = cache(lambda: reload_source(kit, bench))
    if data is None:
        return Compared(stored_reference(kit, bench), load)
    samples = read_samples(data, bench, kit.manifest.source.signature, labels)
    found = reference_of(bench, load(), samples, metric)
    return Compared(with_known(found, samples.load(), kit.ranges), load)


def something_else(
    against: str | Path,
    chosen: Sequence[Selected],
    data: str | Path | None,
    labels: str | None,
    metric: Metric,
    bench: Workbench,
) -> Compared:
    """A model or an artifact that the user names: on ``data``, else on golden inputs of a kit, else on generated ones.

    Raises:
        UsageError: an artifact against itself, several that fit, or no real samples for a quantized one.
        ModelError: a model that cannot be used.
        DataError: samples that do not fit.
        MissingError: what loads the model is not installed.
    """
    other = _artifact(against, chosen)
    source = load_source(bench, against if other is None else other.files[0])
    mine, its = chosen[0].kit, None if other is None else other.kit
    signature = source.signature
    if mine is not None and its is not None and mine.folder.samefile(its.folder):
        signature = mine.manifest.source.signature  # which both of them promise, each with what it cannot keep
    if data is not None:
        samples = read_samples(data, bench, signature, labels)
        found = reference_of(bench, source, samples, metric)
    else:
        kit = mine or its
        golden = None if kit is None else _golden_inputs(kit, signature, bench)
        kept = kit.manifest.golden if kit is not None and golden is not None else None
        origin: Origin = "generated" if kept is None else kept.inputs
        _refuse_generated(chosen, origin)
        found = replace(reference_of(bench, source, golden), origin=origin)
    return Compared(replace(found, signature=signature), lambda: source)


def _artifact(against: str | Path, chosen: Sequence[Selected]) -> Selected | None:
    """The artifact that the user names; None for a model.

    Raises:
        UsageError: it is one of those that are checked.
    """
    path = Path(against)
    is_model = (path / "saved_model.pb").is_file() if path.is_dir() else path.suffix not in SUFFIXES
    if is_model:
        return None
    other, *more = select(path)
    if more:
        raise UsageError(
            "several-artifacts",
            "--against names one artifact, and this is a kit of several.",
            received=", ".join(one.artifact.name for one in (other, *more)),
            hint=f"Name one of them: --against {other.path}",
        )
    if _content(other) in {_content(one) for one in chosen}:
        raise UsageError(
            "same-artifact",
            "an artifact cannot be checked against itself.",
            received=other.path,
            hint="Leave out --against to compare with the source, or choose with --target and --precision.",
        )
    return other


def _refuse_generated(chosen: Sequence[Selected], origin: Origin) -> None:
    """Static int8 holds within the ranges that it was calibrated for, and generated inputs lie outside them.

    Raises:
        UsageError: there are no real samples for it.
    """
    static = next((one for one in chosen if one.artifact.precision == "int8"), None)
    if static is not None and origin == "generated":
        raise UsageError(
            "no-samples",
            "a quantized artifact can only be compared on real samples: generated ones lie outside its ranges.",
            received=static.path,
            hint="Give --data samples.npz.",
        )


def _content(selected: Selected) -> tuple[str, ...]:
    """What a copy under another name has in common."""
    return tuple(blob.sha256 for blob in selected.artifact.files)


def _golden_inputs(kit: Kit, signature: Signature, bench: Workbench) -> Samples | None:
    """Inputs that a kit keeps; None where it has none that the model takes."""
    if kit.manifest.golden is None:
        return None
    (inputs, _), *_ = kit.golden()
    folder = bench.scratch("golden-inputs")
    try:
        samples = Samples(save_arrays(folder, "in", narrowed(signature, inputs)), None, str(kit.folder))
        check_samples(signature, samples)
    except DataError:
        return None
    return samples
