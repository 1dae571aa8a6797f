"""`edgekit.run`: the whole path of one source: export, quantize, check, time, report."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from importlib import metadata
from pathlib import Path

import edgekit
from edgekit.attribution.stages import HERE, Runs, staged
from edgekit.checked import CheckRow
from edgekit.checking import check_one, refuse_missing, row_of
from edgekit.data.spec import data_digest
from edgekit.devices import Device, open_device, opened_devices, parse_device
from edgekit.errors import EdgekitError, UsageError
from edgekit.exporter.compatibility import parse_for
from edgekit.exporter.export import ExportOptions, export_into
from edgekit.exporter.graph import TARGETS
from edgekit.exporter.reference import golden_part, load_source
from edgekit.exporter.source import Source, SourceOptions, open_source
from edgekit.figures import ArtifactResult
from edgekit.kit import Kit, default_folder
from edgekit.latency.bench import time_on_each
from edgekit.latency.measured import BenchSettings
from edgekit.parity.evaluate import Reference
from edgekit.parity.task import ACCURACY, Metric, read_metric, refuse_limit
from edgekit.progress import SILENT, Reporter
from edgekit.quantizer.budget import Budget
from edgekit.quantizer.data import Data, coverage, no_calibration_data, observed, read_data
from edgekit.quantizer.make import Made
from edgekit.quantizer.options import Plan, QuantizeOptions
from edgekit.quantizer.quantize import quantize_into
from edgekit.quantizer.ranges import refuse_chance
from edgekit.quantizer.recipe import Recipe
from edgekit.quantizer.registry import METHODS, method_for
from edgekit.recommendation import recommend
from edgekit.registry import requirements
from edgekit.report.render import report
from edgekit.results import RunResult, holds, unique
from edgekit.samples import refuse_labels_without
from edgekit.selection import Selected, select
from edgekit.types import Evidence, worst
from edgekit.workbench import Workbench, workbench

#: What is made where the user asks for nothing else.
DEFAULT_PRECISIONS = ("int8",)

#: Time limit of the timing per artifact where the user sets none: less than that of ``edgekit bench``, since it is one
#: stage of several here and there are often six artifacts; what pays is timed in turns besides.
MAX_SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What to do with a source.

    Attributes:
        targets: artifact formats.
        precisions: made from each fp32 artifact; a target that cannot have one is skipped with a warning. None is
            int8 wherever data and packages allow it.
        data: samples for calibration; a third is set aside for evaluation where ``eval_data`` is None.
        eval_data: samples that take no part in calibration.
        labels: name of the array with labels.
        metric: what they are judged by, see `edgekit.parity.task.read_metric`.
        max_drop: largest accepted loss of the metric.
        trials: most recipes, and steps of accuracy control, per quantized artifact; None is a multiple of the time of
            the first.
        inputs: sizes to pin.
        backend: Keras backend to convert from.
        threads: inference threads for the timing.
        max_seconds: time limit of the timing per artifact; None is `MAX_SECONDS`.
        device: where to check and time; several work side by side, and the recommendation is for the first.
        runtimes: oldest ones that have to load the fp32 artifacts, see `edgekit.export`.
        custom_objects, submodel, trust_code: how to load the source, see `edgekit.export`.
    """

    targets: tuple[str, ...] = ("all",)
    precisions: tuple[str, ...] | None = None
    data: str | None = None
    eval_data: str | None = None
    labels: str | None = None
    metric: str = ACCURACY.name
    max_drop: float | None = None
    trials: int | None = None
    inputs: tuple[str, ...] = ()
    backend: str = "auto"
    threads: int | None = None
    max_seconds: float | None = None
    device: str | tuple[str, ...] = "local"
    runtimes: tuple[str, ...] = ()
    custom_objects: tuple[str, ...] = ()
    submodel: str | None = None
    trust_code: bool = False

    @property
    def source(self) -> SourceOptions:
        return SourceOptions(self.custom_objects, self.submodel, self.trust_code)


def run(
    model: str | Path,
    options: RunOptions | None = None,
    *,
    output: str | Path | None = None,
    replace_source: bool = False,
    fresh: bool = False,
    strict: bool = False,
    reporter: Reporter = SILENT,
) -> RunResult:
    """Take a trained model the whole way and recommend what to deploy.

    A second run with nothing changed (source, data, options, library versions, CPU) returns the stored result, with
    the time it was measured; not on devices other than this machine, which may have changed unseen.

    Args:
        model: a model file or code, as for `edgekit.export`.
        options: targets, precisions, data and the rest.
        output: folder of the kit; ``edgekit-out/<stem>`` by default.
        replace_source: throw away a kit of another source in the same folder.
        fresh: do and measure everything again.
        strict: count ``weak`` as a failure.
        reporter: receives progress.

    Raises:
        UsageError, ModelError, DataError, MissingError: as `edgekit.export` and `edgekit.quantize`.

    Example:
        >>> result = edgekit.run("digits.keras", RunOptions(data="train.npz", labels="label"))
        >>> result.recommendation.artifact
        'tflite int8'
    """
    options = options or RunOptions()
    _refuse(options)
    source = open_source(model, options.source)
    folder = Path(output) if output is not None else default_folder(source.stem)
    key = _key(source, options)
    if not fresh and key is not None:
        stored = _stored(folder, key, strict)
        if stored is not None:
            return stored
    with opened_devices(options.device, threads=options.threads) as places, workbench(reporter) as bench:
        return _run(source, folder, key, options, bench, places, replace_source=replace_source, strict=strict)


def _refuse(options: RunOptions) -> None:
    """Refuse what cannot work before the first minute is spent.

    Raises:
        UsageError: see `refuse_labels_without`, `refuse_limit`, `BenchSettings`; or a precision that no target has,
            or that needs data where there are none.
        MissingError: a precision that was asked for needs a package that is not installed.
    """
    refuse_labels_without(options.data or options.eval_data, options.labels)
    refuse_limit(read_metric(options.metric), options.labels, options.max_drop)
    _settings(options)
    targets = TARGETS if "all" in options.targets else options.targets
    for precision in options.precisions or ():
        able = [row for row in METHODS if row.precision == precision and row.format in targets]
        if not able:
            known = dict.fromkeys(row.precision for row in METHODS if row.format in targets)
            raise UsageError(
                "unknown-precision",
                f"none of these targets can have the precision {precision!r}: {', '.join(targets)}.",
                received=precision,
                hint=f"Choose from: {', '.join(known) or 'none'}.",
            )
        if all(row.needs_data for row in able) and options.data is None:
            raise no_calibration_data()
        for row in able:
            row.require()


def _run(
    file: Source,
    folder: Path,
    key: str | None,
    options: RunOptions,
    bench: Workbench,
    places: Sequence[Device],
    *,
    replace_source: bool,
    strict: bool,
) -> RunResult:
    plan = ExportOptions(options.targets, options.backend, old=parse_for(options.runtimes))
    if file.kind != "code":  # what a factory returns is known once it has run
        plan.planned(file.kind)
    refuse_missing(places)
    source = load_source(bench, file.name, options.inputs, options.backend, options.source)
    kit = Kit.prepare(folder, source.summary(), replace_source=replace_source)
    given = options.data is not None
    shares = read_data(
        options.data, options.eval_data, options.labels, source.signature, bench, calibrate=given, choose=given
    )
    metric = read_metric(options.metric)
    data = observed(source, shares, bench, metric)
    reference = data.evaluation
    refuse_chance(reference)
    exported = export_into(kit, source, golden_part(reference, bench), plan, bench, places[0], strict=strict)
    parents = _selected(kit, exported.artifacts)
    made, warnings = _quantize(kit, parents, data, options, bench, metric)
    if any(one.quantization is not None and one.quantization.calibration_samples for one in made):
        warnings = (*coverage(shares, Recipe().samples), *warnings)
    bench.executor.release_all()
    artifacts = (*exported.artifacts, *(one.row(kit) for one in made))
    chosen = _selected(kit, artifacts)
    checks = _checks(chosen, made, reference, options, bench, places)
    inputs = [reference.inputs] * len(chosen)
    timings = time_on_each(places, chosen, inputs, _settings(options), bench) if chosen else ()
    first = places[0].name
    verdict = worst(
        [*(row.verdict for row in artifacts), *(row.verdict for row in checks), *(row.verdict for row in timings)]
    )
    result = RunResult(
        ok=holds(verdict, strict=strict),
        verdict=verdict,
        evidence=Evidence(reference.origin, reference.samples, exported.evidence.shapes),
        kit=str(kit.folder),
        source=source.summary(),
        artifacts=artifacts,
        checks=checks,
        latency=timings,
        recommendation=recommend(
            artifacts,
            [row for row in checks if row.device == first],
            [row for row in timings if row.device == first],
        ),
        key=key or "",
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cached=False,
        report=str(kit.folder / "report.html") if chosen else None,
        warnings=warnings,
    )
    if chosen:  # without any artifact the kit that may be there stays as it is
        kit.commit(result=result)
        report(kit.folder, kit.folder / "report.html")
    return result


def _settings(options: RunOptions) -> BenchSettings:
    settings = BenchSettings(max_seconds=MAX_SECONDS)
    return settings if options.max_seconds is None else replace(settings, max_seconds=options.max_seconds)


def _selected(kit: Kit, rows: Sequence[ArtifactResult]) -> tuple[Selected, ...]:
    """The artifacts of this run; the kit may hold others."""
    made = {row.sha256 for row in rows}
    return tuple(Selected(one, kit.files(one), kit) for one in kit.artifacts if one.sha256 in made)


def _quantize(
    kit: Kit,
    parents: Sequence[Selected],
    data: Data,
    options: RunOptions,
    bench: Workbench,
    metric: Metric,
) -> tuple[tuple[Made, ...], tuple[str, ...]]:
    """Every precision that each exported target can have; what is skipped becomes a warning."""
    plans, warnings = [], []
    precisions = DEFAULT_PRECISIONS if options.precisions is None else options.precisions
    for precision in precisions:
        for parent in parents:
            try:
                method = method_for(parent.artifact.target, precision)
                method.require()
            except EdgekitError as error:
                warnings.append(f"{parent.artifact.target} {precision} was skipped: {error} {error.hint}")
                continue
            if method.needs_data and data.calibration is None:
                warnings.append(f"{method.format} {precision} was skipped: it needs real samples, see --data.")
                continue
            plans.append(Plan(parent, method))
    if not plans:
        return (), unique(warnings)
    quantizing = QuantizeOptions(precisions, max_drop=options.max_drop, budget=Budget(options.trials))
    return quantize_into(kit, plans, data, quantizing, bench, metric), unique(warnings)


def _checks(
    chosen: Sequence[Selected],
    made: Sequence[Made],
    reference: Reference,
    options: RunOptions,
    bench: Workbench,
    places: Sequence[Device],
) -> tuple[CheckRow, ...]:
    """Every artifact against the source on all evaluation samples; those just quantized have had their run here."""
    fresh = {one.artifact.sha256: one for one in made if one.artifact is not None}
    runs, here = Runs(reference, bench, measured=options.max_drop is not None), open_device(HERE)
    for one in chosen:
        quantized = fresh.get(one.artifact.sha256)
        if quantized is not None and quantized.evaluation is not None:
            runs.add(one, here, quantized.evaluation)

    def check(place: tuple[Device, Selected]) -> CheckRow:
        device, one = place
        quantized = fresh.get(one.artifact.sha256)
        if quantized is None or quantized.evaluation is None or device.name != HERE:
            return check_one(one, runs, device, max_drop=options.max_drop)
        row = row_of(one, device, quantized.evaluation)
        return replace(row, verdict=quantized.verdict, reasons=quantized.reasons, accuracy=quantized.accuracy)

    wanted = [(device, one) for device in places for one in chosen]
    rows = bench.side_by_side(check, wanted) if wanted else []
    return tuple(staged(one, row, runs, device) for (device, one), row in zip(wanted, rows, strict=True))


def _key(source: Source, options: RunOptions) -> str | None:
    """Digest of everything that could change the result; None for data and devices that only asking them would tell."""
    data = [data_digest(path) for path in (options.data, options.eval_data) if path]
    code = read_metric(options.metric).code
    devices = [options.device] if isinstance(options.device, str) else options.device
    if None in data or any(parse_device(device).kind != "local" for device in devices):
        return None
    known = {
        "source": source.sha256,
        "options": asdict(options),
        "data": data,
        "metric": None if code is None else code.sha256,
        "versions": library_versions(),
        "edgekit": edgekit.__version__,
        "machine": [platform.node(), platform.machine(), platform.python_version()],  # timings belong to one machine
    }
    return sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def library_versions() -> dict[str, str]:
    """Versions of everything installed that edgekit's extras name, without importing any of it."""
    found = {}
    for distribution in sorted({"numpy", *(one.name for one in requirements() if one.extra != "dev")}):
        try:
            found[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return found


def _stored(folder: Path, key: str, strict: bool) -> RunResult | None:
    """The newest stored result of a key, if the kit still holds every artifact it names, unchanged, and its page."""
    try:
        kit = Kit.open(folder)
        stored = next((one for one in kit.stored_results(RunResult) if one.key == key), None)
        held = {one.artifact.sha256 for one in select(folder)}
    except EdgekitError:  # no kit, or one that has to be made again
        return None
    if stored is None:
        return None
    named = {row.sha256 for row in stored.artifacts if row.sha256 is not None}
    page = stored.report is not None and Path(stored.report).is_file()
    if not (named <= held and page and holds(stored.verdict, strict=False)):
        return None
    return replace(stored, cached=True, ok=holds(stored.verdict, strict=strict))
