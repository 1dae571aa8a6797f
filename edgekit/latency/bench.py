"""`edgekit.bench`: how long an inference takes on a device, and whether quantization pays there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edgekit.data.read import read_samples
from edgekit.devices import Device, open_device, opened_devices
from edgekit.devices.on_runtime import on_runtimes, runtime_on, served
from edgekit.errors import EdgekitError, InternalError, UsageError
from edgekit.figures import BenchRow, Comparison, Pays
from edgekit.jobs.codec import from_json
from edgekit.kit import Kit
from edgekit.latency.comparison import compare_rows
from edgekit.latency.explain import Explainer
from edgekit.latency.measure import measure
from edgekit.latency.measured import MIN_OPENINGS, BenchSettings, Candidate, Measured, Scenario
from edgekit.latency.validity import timing_reasons
from edgekit.progress import SILENT, Reporter
from edgekit.results import BenchResult, holds, unique
from edgekit.runtimes import runtime_for
from edgekit.samples import save_arrays
from edgekit.selection import Selected, select
from edgekit.types import Blob, Evidence, Origin, Verdict, worst
from edgekit.workbench import Workbench, workbench

#: After quantization: six openings, the fewest whose resampled medians have percentiles that can cover 95 %.
BRIEF = BenchSettings(openings=6, half_width=0.05, max_seconds=1.5, min_seconds=0.06)

#: For models too slow for that.
UNHURRIED = BenchSettings(openings=6, half_width=0.05, max_seconds=10.0, min_seconds=0.06)


def bench(
    paths: str | Path | Sequence[str | Path],
    *,
    data: str | Path | None = None,
    labels: str | None = None,
    target: str | Sequence[str] = (),
    precision: str | Sequence[str] = (),
    device: str | Sequence[str] = "local",
    runtime: str | Sequence[str] = (),
    allow_fallback: bool = False,
    threads: int | None = None,
    batch: int | None = None,
    scenario: Scenario = "latency",
    max_seconds: float | None = None,
    baseline: str | Path | None = None,
    max_regression: float | None = None,
    strict: bool = False,
    reporter: Reporter = SILENT,
) -> BenchResult:
    """Time artifacts side by side, each in a fresh process and over several openings.

    Args:
        paths: kits or artifacts.
        data: samples to run; the kit's golden inputs by default.
        labels: name of an array in the data that is no input; it is left out.
        target, precision: only these artifacts.
        device: where to run; several work side by side, and one that cannot be reached leaves the others' rows.
        runtime: only artifacts of these, and on what accelerator: ``onnxruntime:WebGPU``; all on the CPU by default.
        allow_fallback: let the CPU stand in for an accelerator that is missing or takes nothing, and say so.
        threads: inference threads; None is the engine's own choice.
        batch: samples per inference; 1, or what the artifact is fixed to, by default.
        scenario: ``latency``, ``throughput`` or ``cold``.
        max_seconds: time limit per artifact; 20 by default.
        baseline: a stored result (``results/bench-*.json``) to compare with.
        max_regression: 0.05 accepts a p50 of up to 1.05 times the baseline's.
        strict: count ``weak`` as a failure.
        reporter: receives progress.

    Returns:
        One row per artifact. ``ok`` is false when a row is an error or a regression was shown.

    Raises:
        UsageError: nothing to time, no inputs to run, or bad options.
    """
    settings = BenchSettings(scenario=scenario, batch=batch)
    settings = settings if max_seconds is None else replace(settings, max_seconds=max_seconds)
    if max_regression is not None and baseline is None:
        raise UsageError(
            "regression-without-baseline",
            "--max-regression needs something to compare with.",
            received=str(max_regression),
            hint="Give --baseline RESULT.json",
        )
    targets = (target,) if isinstance(target, str) else tuple(target)
    precisions = (precision,) if isinstance(precision, str) else tuple(precision)
    listed = [paths] if isinstance(paths, (str, Path)) else list(paths)
    chosen = tuple(one for path in listed for one in select(path, targets, precisions))
    stored = () if baseline is None else read_baseline(baseline)
    with opened_devices(device, threads=threads) as devices, workbench(reporter) as work:
        places = on_runtimes(devices, runtime, allow_fallback=allow_fallback)
        chosen = served(places, chosen)
        inputs, origin = _inputs(chosen, data, labels, work)
        rows = time_on_each(places, chosen, inputs, settings, work)
        comparisons = () if baseline is None else compared(rows, stored, max_regression)
        undecided = max_regression is not None and any(one.answer == "not comparable" for one in comparisons)
        verdict = worst(row.verdict for row in rows)
        verdict = worst([verdict, "weak"]) if undecided else verdict
        kits = unique(str(one.kit.folder) for one in chosen if one.kit is not None)
        result = BenchResult(
            ok=holds(verdict, strict=strict) and not any(one.regression for one in comparisons),
            verdict=verdict,
            evidence=Evidence(origin, *_extent(inputs, work)),
            kit=kits[0] if len(kits) == 1 else None,
            results=rows,
            comparisons=comparisons,
        )
        if len(kits) == 1 and chosen[0].kit is not None:
            chosen[0].kit.commit(result=result)
        return result


def time_on_each(
    places: Sequence[Device],
    chosen: Sequence[Selected],
    inputs: Sequence[Mapping[str, Blob]],
    settings: BenchSettings,
    work: Workbench,
) -> tuple[BenchRow, ...]:
    """`time_artifacts` on every device, side by side; one of several that cannot be reached gives rows that say so."""

    def time_there(device: Device) -> tuple[BenchRow, ...]:
        pairs = [pair for pair in zip(chosen, inputs, strict=True) if device.serves(pair[0].runtime)]
        mine, given = [one for one, _ in pairs], [arrays for _, arrays in pairs]
        try:
            device.context()
        except EdgekitError as error:
            if len(places) == 1:
                raise
            return tuple(_not_timed(one, arrays, settings, work, device, error) for one, arrays in pairs)
        return time_artifacts(mine, given, settings, work, device)

    return tuple(row for rows in work.side_by_side(time_there, places) for row in rows)


def _not_timed(
    one: Selected,
    given: Mapping[str, Blob],
    settings: BenchSettings,
    work: Workbench,
    device: Device,
    error: EdgekitError,
) -> BenchRow:
    candidate = _candidate(one, given, work, device)
    nothing = Measured(candidate, settings.scenario, settings.batch or 1, candidate.options, error=error)
    return _row(one, nothing, device)


def time_artifacts(
    chosen: Sequence[Selected],
    inputs: Sequence[Mapping[str, Blob]],
    settings: BenchSettings,
    work: Workbench,
    device: Device,
) -> tuple[BenchRow, ...]:
    """Time artifacts in turns on a device, and say which quantized ones are faster than their parents.

    Args:
        chosen: what to time.
        inputs: of each of them, one ``.npy`` per input name, as blobs of the executor.
        settings: how to measure.
        work: of this command.
        device: where.
    """
    for one in chosen:
        device.require(runtime_for(one.artifact.target))
    candidates = [_candidate(one, given, work, device) for one, given in zip(chosen, inputs, strict=True)]
    with work.reporter.task(f"time {len(candidates)} artifacts on {device.name}") as update:
        measured = measure(candidates, work.executor, device.context(), settings, update)
    by_digest = {one.artifact.sha256: timed for one, timed in zip(chosen, measured, strict=True)}
    explainer = Explainer(work, device)
    return tuple(
        replace(_row(one, timed, device), pays=explainer.pays(one.artifact, by_digest))
        for one, timed in zip(chosen, measured, strict=True)
    )


def pays_in_kit(
    kit: Kit, digests: Sequence[str], inputs: Mapping[str, Blob], work: Workbench, device: Device | None = None
) -> dict[str, Pays]:
    """Time artifacts of a kit beside their parents, for some seconds.

    Args:
        kit: holds the artifacts and what they were made from.
        digests: of the artifacts.
        inputs: one ``.npy`` per input name, samples first.
        work: of this command.
        device: where; this machine by default.

    Returns:
        By digest of the artifact; one whose parent the kit no longer holds is missing.
    """
    where = device or open_device("local")
    held = {artifact.sha256: Selected(artifact, kit.files(artifact), kit) for artifact in kit.artifacts}
    children = [held[digest] for digest in digests if held[digest].artifact.parent in held]
    explainer = Explainer(work, where)
    found: dict[str, Pays] = {}
    for target in unique(child.artifact.target for child in children):
        mine = [child for child in children if child.artifact.target == target]
        chosen = unique([digest for child in mine for digest in (str(child.artifact.parent), child.artifact.sha256)])
        where.require(runtime_for(target))
        candidates = [_candidate(held[digest], inputs, work, where) for digest in chosen]
        timed = dict(zip(chosen, _briefly(candidates, work, where), strict=True))
        for child in mine:
            (found[child.artifact.sha256],) = explainer.pays(child.artifact, timed)
    return found


def _briefly(candidates: Sequence[Candidate], work: Workbench, device: Device) -> tuple[Measured, ...]:
    """A few openings of each in turns; for longer where these are too slow for that."""
    with work.reporter.task(f"time {len(candidates)} artifacts in turns on {device.name}") as update:
        measured = measure(candidates, work.executor, device.context(), BRIEF, update)
        if any(one.error is None and len(one.openings) < MIN_OPENINGS for one in measured):
            measured = measure(candidates, work.executor, device.context(), UNHURRIED, update)
        return measured


def read_baseline(path: str | Path) -> tuple[BenchRow, ...]:
    """Rows of a stored result.

    Raises:
        UsageError: it is no result of ``edgekit bench``.
    """
    hint = "Write one with: edgekit bench KIT --json > baseline.json"
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise UsageError("bad-baseline", "the baseline is no result file.", received=str(path), hint=hint) from err
    if not isinstance(document, dict) or document.pop("schema", None) != BenchResult.schema:
        wanted = f"the baseline should hold {BenchResult.schema}."
        raise UsageError("bad-baseline", wanted, received=str(path), hint=hint)
    try:
        return from_json(BenchResult, document).results
    except InternalError as err:
        raise UsageError("bad-baseline", f"{path}: {err.message}", received=err.received, hint=hint) from err


def compared(
    rows: Sequence[BenchRow], baseline: Sequence[BenchRow], max_regression: float | None
) -> tuple[Comparison, ...]:
    """Each row against the baseline's row of the same model, target and precision.

    A row without such a partner is not comparable, and says so: silence would read as "no regression".
    """
    known = {_identity(row): row for row in baseline} | {(*_identity(row), row.device): row for row in baseline}
    before = [known.get((*_identity(row), row.device)) or known.get(_identity(row)) for row in rows]
    return tuple(
        compare_rows(row, old, max_regression=max_regression)
        if old is not None
        else Comparison(
            row.artifact,
            "",
            None,
            None,
            "not comparable",
            False,
            (f"the baseline holds no {row.name} of this model, only {_listed(baseline)}.",),
        )
        for row, old in zip(rows, before, strict=True)
    )


def _identity(row: BenchRow) -> tuple[str | None, ...]:
    """What makes two timings the same thing at different times: the model's file name, target and precision."""
    return Path(row.source).name if row.source else None, row.name


def _listed(rows: Sequence[BenchRow]) -> str:
    return (
        ", ".join(f"{row.name} of {Path(row.source).name if row.source else row.artifact}" for row in rows) or "nothing"
    )


def _candidate(one: Selected, inputs: Mapping[str, Blob], work: Workbench, device: Device) -> Candidate:
    artifact = one.artifact
    runtime = runtime_for(artifact.target)
    return Candidate(
        name=artifact.name.strip(),
        runtime=runtime.name,
        files=tuple(work.executor.add(file) for file in one.files),
        inputs=inputs,
        options=device.options(),
        size_bytes=artifact.size_bytes,
        fixed_batch=artifact.signature.batch,
    )


def _row(one: Selected, timed: Measured, device: Device) -> BenchRow:
    reasons = (*timed.notes, *timing_reasons(timed))
    verdict: Verdict = "weak" if timing_reasons(timed) else "verified"
    if timed.error is not None:
        verdict, reasons = "error", (*reasons, str(timed.error))
    return BenchRow(
        artifact=one.path,
        target=one.artifact.target,
        precision=one.artifact.precision,
        runtime=runtime_on(one.runtime, device),
        device=device.name,
        threads=timed.options.threads,
        batch=timed.batch,
        scenario=timed.scenario,
        latency_ms=timed.latency_ms,
        throughput_per_s=timed.throughput_per_s,
        load_ms=timed.load_ms,
        first_ms=timed.first_ms,
        peak_rss_mb=timed.peak_rss_mb,
        size_bytes=timed.candidate.size_bytes,
        openings=len(timed.openings),
        samples=sum(len(samples) for samples in timed.samples_ms),
        opening_p50_ms=timed.opening_p50_ms,
        verdict=verdict,
        reasons=reasons,
        effective=timed.openings[0].effective if timed.openings else None,
        environment=timed.facts(),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        sha256=one.artifact.sha256,
        source=one.kit.manifest.source.path if one.kit is not None else None,
        source_sha256=one.kit.manifest.source.sha256 if one.kit is not None else None,
    )


def _inputs(
    chosen: Sequence[Selected], data: str | Path | None, labels: str | None, work: Workbench
) -> tuple[list[dict[str, Blob]], Origin]:
    """Samples to run for each artifact and whose they are: the data given, else golden inputs of its kit."""
    if data is not None:
        signature = chosen[0].artifact.signature
        known = signature if signature.inputs else None
        given = work.blobs(read_samples(data, work, known, spare=labels).arrays)
        return [given] * len(chosen), "real"
    stray = next((one for one in chosen if one.kit is None), None)
    if stray is not None:
        raise UsageError(
            "no-samples",
            "a file outside a kit needs samples to run.",
            received=stray.path,
            hint="Give --data samples.npz.",
        )
    kits = {one.kit.folder: one.kit for one in chosen if one.kit is not None}
    samples = {folder: save_arrays(work.scratch("golden"), "in", kit.golden()[0][0]) for folder, kit in kits.items()}
    golden = {folder: work.blobs(files) for folder, files in samples.items()}
    real = all(kit.manifest.golden is not None and kit.manifest.golden.inputs == "real" for kit in kits.values())
    return [golden[one.kit.folder] for one in chosen if one.kit is not None], "real" if real else "generated"


def _extent(inputs: Sequence[Mapping[str, Blob]], work: Workbench) -> tuple[int, tuple[str, ...]]:
    """The fewest samples of any artifact, and the shapes of one sample."""
    counts, shapes = [], []
    for given in inputs:
        arrays = {name: np.load(work.executor.path(blob), mmap_mode="r") for name, blob in given.items()}
        counts.append(min(len(array) for array in arrays.values()))
        shapes += [f"{name}={'x'.join(map(str, array.shape[1:]))}" for name, array in arrays.items()]
    return min(counts), unique(shapes)
